"""Directions in w as methods: a linear fit, InterFaceGAN's boundaries, SeFa's eigenvectors.

All take the portrait's parameters, and how far a direction goes for a degree or a weight, from the rig's reconstruction; the judge
has no part in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.editing.boundary import train_boundary
from models.editing.layers import style_layers
from models.editing.sefa import factorize, stacked_weights
from models.evaluation.methods.method import scalars
from models.evaluation.methods.rigs import RigNetMethod
from models.face.parameters import RigParameters
from models.generators import latents_from_seed
from models.rigging import Portrait, Rig

SAMPLES, FIRST_SEED = 4096, 700_000  # codes that directions are found in; none of a portrait that is judged
CHOSEN = 0.1  # share of them at each end that a boundary parts; of the published 0.02 of many more codes too few would be left
REACH = 4.0  # standard deviations of the codes, along its direction, beyond which no request moves one
RIDGE = 1e-3
LEAST_GAIN = 1e-6


@dataclass(eq=False)
class Codes:
    """Samples of a rig's w (N, 512) and what its reconstruction reads from them, by axis (N,)."""

    rig: Rig
    w: Tensor
    values: dict[str, Tensor]

    @classmethod
    def of(cls, rig: Rig, count: int = SAMPLES) -> Codes:
        z = latents_from_seed(FIRST_SEED, count, rig.generator.z_dim).to(rig.device)
        w = torch.cat([rig.generator.mapping(part)[:, 0] for part in z.split(512)])
        return cls(rig, w, reading(rig, w))


def reading(rig: Rig, w: Tensor) -> dict[str, Tensor]:
    """The axes as a rig's reconstruction reads them from w (N, 512)."""
    if rig.reconstruction is None:
        raise ValueError("a rig without a reconstruction reads nothing from w")
    parts = [rig.reconstruction(part[:, None].expand(-1, rig.generator.num_ws, -1), rig.face).vector() for part in w.split(512)]
    return scalars(RigParameters.from_vector(torch.cat(parts), rig.face), rig.face.expression_names)


Finder = Callable[[Codes, str], Tensor]


def steering(codes: Codes, axis: str) -> Tensor:
    """What w changes with an axis, the others held still: the slope of a linear fit (512,)."""
    names = list(codes.values)
    x = torch.stack([codes.values[name] for name in names], dim=1).double()
    x = (x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-9)
    y = (codes.w - codes.w.mean(dim=0)).double()
    slopes = torch.linalg.solve(x.mT @ x + RIDGE * len(x) * torch.eye(len(names), dtype=x.dtype, device=x.device), x.mT @ y)
    return slopes[names.index(axis)].float()


def interfacegan(codes: Codes, axis: str) -> Tensor:
    """The normal (512,) of the boundary between codes that have much of an axis and such that have little."""
    found = train_boundary(codes.w.cpu(), codes.values[axis].cpu(), chosen=CHOSEN)
    return found.normal.to(codes.w)


def sefa(codes: Codes, axis: str) -> Tensor:
    """Of all eigenvectors of the styles' weights the one (512,) that an axis goes with most, by correlation."""
    synthesis = codes.rig.generator.synthesis
    rows, _ = factorize(stacked_weights(synthesis, list(range(len(style_layers(synthesis))))), codes.w.shape[1])
    places = codes.w @ rows.to(codes.w).mT
    places = (places - places.mean(dim=0)) / places.std(dim=0).clamp(min=1e-9)
    values = codes.values[axis] - codes.values[axis].mean()
    return rows[int((values @ places).abs().argmax())].to(codes.w)


class LinearMethod(RigNetMethod):
    """A rig's generator steered along one direction of w for each axis, which ``find`` finds; the rest of a request it cannot follow."""

    def __init__(self, rig: Rig, codes: Codes, find: Finder, title: str):
        super().__init__(rig, "joint", title)
        start = time.monotonic()
        self.directions = {axis: find(codes, axis) for axis in codes.values}
        self.steps = {axis: scaled(codes, axis, direction) for axis, direction in self.directions.items()}
        self.training = f"{time.monotonic() - start:.0f} s, {len(codes.w)} codes"

    def edited(self, portrait: Portrait, wanted: RigParameters) -> Tensor:
        names, w = self.face.expression_names, self.code(portrait)
        before, after = scalars(self.own(portrait), names), scalars(wanted, names)
        for axis, (step, most) in self.steps.items():
            amount = (after[axis] - before[axis]).clamp(-most, most)
            w = w + amount * step
        return w


def scaled(codes: Codes, axis: str, direction: Tensor) -> tuple[Tensor, float]:
    """What to add to w (512,) for one more of an axis, and by how much at most that may be asked."""
    unit = direction / direction.norm().clamp(min=1e-9)
    spread = float((codes.w @ unit).std())
    ends = [reading(codes.rig, codes.w + sign * spread * unit)[axis] for sign in (-1.0, 1.0)]
    gain = float((ends[1] - ends[0]).mean()) / (2 * spread)
    if abs(gain) * spread < LEAST_GAIN:
        return torch.zeros_like(unit), 0.0
    return unit / gain, REACH * spread * abs(gain)
