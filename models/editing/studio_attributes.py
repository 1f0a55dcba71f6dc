"""Sliders of the generators that the studio taught: the same people with and without an attribute, exactly.

Such a generator's mapping begins with what a person is made of, so one thing can be changed and all else kept, before
anything is drawn. The mean change of w over many people is the attribute's direction; what the rig controls is projected
out of it, as InterFaceGAN does with conditions, so that the rig stays put. SeFa's directions of each group of layers follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.editing.boundary import project
from models.editing.directions import Directions, Header, generator_hash
from models.editing.layers import StyleLayer, style_layers
from models.editing.sefa import find_directions
from models.editing.studio_people import People, people_of
from models.generators import Generator

SEFA_COUNT = 6  # directions of each group of layers
SEFA_REACH = {"coarse": 5.5, "middle": 5.0, "fine": 7.0}  # in w: further the head turns by more than a degree, or the matte frays
GROUPS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 4096)}  # sides of the layers, from and to


@dataclass(frozen=True)
class Slider:
    """One direction on its way into a file: ``step`` (D,) is what an amount of 1 adds to w at ``layers``."""

    name: str
    step: Tensor
    span: tuple[float, float]
    layers: tuple[int, ...]


@torch.no_grad()
def studio_directions(generator: Generator, seed: int = 0, count: int = 3000) -> Directions:
    """The sliders of a generator, attributes first. Raises StyleRigError for one that the studio did not teach."""
    people = people_of(generator)
    numbers = people.draw(count, seed)
    codes, rig = people.codes(numbers), people.rig(numbers)
    normals = rig_normals(codes, rig)
    # In some layers alone a step turns the head also where it goes the way that turned heads differ.
    held = torch.cat((normals, rig_changes(codes, rig)))
    sliders = attribute_sliders(generator, people, numbers, normals) + sefa_sliders(generator, held)
    lengths = [float(slider.step.norm()) for slider in sliders]
    header = Header(
        kind="attributes",
        generator=generator_hash(generator),
        layers=tuple(sorted({layer for slider in sliders for layer in slider.layers})),
        row_layers=tuple(slider.layers for slider in sliders),
        names=tuple(slider.name for slider in sliders),
        ranges=tuple(slider.span for slider in sliders),
        units=tuple(lengths),
        conditions=people.conditions,
    )
    return Directions(header, torch.stack([slider.step / length for slider, length in zip(sliders, lengths, strict=True)]).float())


def attribute_sliders(generator: Generator, people: People, numbers: Tensor, normals: Tensor) -> list[Slider]:
    """The attributes that people of this kind have, in all of W; an amount of 1 goes as far as faces stay faces."""
    layers = tuple(range(len(style_layers(generator.synthesis))))
    found = []
    for name, contrast in people.contrasts.items():
        low, high = (people.codes(people.changed(numbers, values)) for values in (contrast.low, contrast.high))
        step = (high - low).double().mean(dim=0)
        least, most = contrast.reach
        kept = project(step, normals, name) * (most * step.norm())
        found.append(Slider(name, kept, (round(least / most, 2), 1.0), layers))
    return found


def sefa_sliders(generator: Generator, normals: Tensor) -> list[Slider]:
    """The strongest directions of each group of layers."""
    known = style_layers(generator.synthesis)
    found = []
    for group, (first, last) in GROUPS.items():
        layers = tuple(number for number, layer in enumerate(known) if first <= side(layer) <= last)
        if not layers:
            continue
        for number, row in enumerate(find_directions(generator, layers, min(SEFA_COUNT, generator.w_dim)).rows, start=1):
            step = project(row.double(), normals, group) * SEFA_REACH[group]
            found.append(Slider(f"{group}_{number}", step, (-1.0, 1.0), layers))
    return found


def side(layer: StyleLayer) -> int:
    """Pixels of what a layer draws, which its name begins with: b16.conv0."""
    return int(layer.name.partition(".")[0].removeprefix("b"))


def rig_normals(codes: Tensor, values: Tensor) -> Tensor:
    """Normals (M, D) along which each of a rig's ``values`` (N, M) is read from codes (N, D), by least squares."""
    centred = codes.double() - codes.double().mean(dim=0)
    covariance = centred.mT @ centred
    ridge = 1e-3 * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=covariance.dtype)
    return torch.linalg.solve(covariance + ridge, rig_changes(codes, values).mT).mT


def rig_changes(codes: Tensor, values: Tensor) -> Tensor:
    """How codes (N, D) differ with each of a rig's ``values`` (N, M) that varies: their covariances (≤ M, D)."""
    centred, wanted = (part.double() - part.double().mean(dim=0) for part in (codes, values))
    return wanted[:, wanted.abs().amax(dim=0) > 1e-6].mT @ centred
