"""Adaptive discriminator augmentation for premultiplied pictures with a matte.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B:
the geometric and colour transformations with the paper's distributions (without its wavelet
filters: one bilinear lookup), each with probability p, and p adapted so that
r_t = E[sign(D(real))] stays at its target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 0.125  # of the frame
SCALE, SATURATION = 0.2, 1.0  # spread of log2
BRIGHTNESS, CONTRAST = 0.2, 0.5
ADAPT_EVERY = 4  # steps


@dataclass(frozen=True)
class Augmentation:
    """One transformation for each picture of a batch; None where nothing is to be done."""

    places: Tensor | None  # (N, 2, 3) frame coordinates of the result -> of the picture, both in [-1, 1]
    colours: Tensor | None  # (N, 3, 4) on (r, g, b, alpha) in 0..1

    def __call__(self, pictures: Tensor) -> Tensor:
        """Premultiplied (N, 4, R, R) in [-1, 1] -> the same, transformed; beyond the frame it is mirrored."""
        if self.places is not None:
            grid = F.affine_grid(self.places.to(pictures.device), list(pictures.shape), align_corners=False)
            pictures = F.grid_sample(pictures.float(), grid, padding_mode="reflection", align_corners=False)
        if self.colours is not None:
            unit = (pictures * 0.5 + 0.5).flatten(2)
            colour = torch.bmm(self.colours.to(unit), unit)
            pictures = torch.cat((colour, unit[:, 3:]), dim=1).view_as(pictures) * 2 - 1
        return pictures


def draw(count: int, p: float, size: int, rng: torch.Generator, flip: bool = False) -> Augmentation:
    """Transformations for ``count`` pictures of ``size`` pixels; ``flip`` allows mirroring."""
    if p <= 0:
        return Augmentation(None, None)
    return Augmentation(draw_places(count, p, size, rng, flip), draw_colours(count, p, rng))


class Dice:
    """Random numbers that take effect with probability p."""

    def __init__(self, count: int, p: float, rng: torch.Generator):
        self.count, self.p, self.rng = count, p, rng

    def chosen(self, values: Tensor, otherwise: float, p: float | None = None) -> Tensor:
        chosen = torch.rand(self.count, generator=self.rng) < (self.p if p is None else p)
        return torch.where(chosen.view(-1, *[1] * (values.dim() - 1)), values, torch.full_like(values, otherwise))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.rng)

    def uniform(self, *shape: int) -> Tensor:
        """In [-1, 1)."""
        return torch.rand(self.count, *shape, generator=self.rng) * 2 - 1


def draw_places(count: int, p: float, size: int, rng: torch.Generator, flip: bool) -> Tensor:
    dice = Dice(count, p, rng)
    turn_p = 1 - math.sqrt(1 - min(p, 1.0))  # two turns: together p
    matrix = torch.eye(3).repeat(count, 1, 1)
    if flip:
        sign = torch.where(dice.uniform() < 0, -1.0, 1.0)
        matrix = matrix @ scaling(dice.chosen(sign, 1.0), torch.ones(count))
    whole = (dice.uniform(2) * SHIFT * size).round() * (2 / size)
    matrix = matrix @ translation(dice.chosen(whole, 0.0))
    scale = torch.exp2(dice.chosen(dice.normal() * SCALE, 0.0))
    matrix = matrix @ scaling(scale, scale)
    matrix = matrix @ rotation(dice.chosen(dice.uniform() * math.pi, 0.0, turn_p))
    stretch = torch.exp2(dice.chosen(dice.normal() * SCALE, 0.0))
    matrix = matrix @ scaling(stretch, 1 / stretch)
    matrix = matrix @ rotation(dice.chosen(dice.uniform() * math.pi, 0.0, turn_p))
    matrix = matrix @ translation(dice.chosen(dice.normal(2) * SHIFT * 2, 0.0))
    return matrix[:, :2]


def scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack((x, y, torch.ones_like(x)), dim=1))


def translation(shift: Tensor) -> Tensor:
    matrix = torch.eye(3).repeat(len(shift), 1, 1)
    matrix[:, :2, 2] = shift
    return matrix


def rotation(angle: Tensor) -> Tensor:
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin(), angle.sin()
    return matrix


def draw_colours(count: int, p: float, rng: torch.Generator) -> Tensor:
    """(N, 3, 4). The paper's matrices M and shifts b act on straight colours v = 2c - 1; for
    premultiplied C = alpha c that is C' = M C + alpha (b + 1 - M 1) / 2, without a division."""
    dice = Dice(count, p, rng)
    unit = torch.eye(3)
    grey = torch.full((3, 3), 1 / 3)  # projection on the axis of greys
    shift = dice.chosen(dice.normal() * BRIGHTNESS, 0.0)[:, None].expand(-1, 3)
    contrast = torch.exp2(dice.chosen(dice.normal() * CONTRAST, 0.0))
    matrix = unit * contrast[:, None, None]
    shift = shift * contrast[:, None]
    mirrored = dice.chosen((dice.uniform() < 0).float(), 0.0)[:, None, None]
    mirror = unit - 2 * grey * mirrored
    hue = hue_rotation(dice.chosen(dice.uniform() * math.pi, 0.0))
    saturation = torch.exp2(dice.chosen(dice.normal() * SATURATION, 0.0))[:, None, None]
    after = (grey + (unit - grey) * saturation) @ hue @ mirror
    matrix, shift = after @ matrix, (after @ shift[:, :, None])[:, :, 0]
    offset = (shift + 1 - matrix.sum(dim=2)) / 2
    return torch.cat((matrix, offset[:, :, None]), dim=2)


def hue_rotation(angle: Tensor) -> Tensor:
    """Turn about the axis of greys, by Rodrigues' formula: (N,) -> (N, 3, 3)."""
    k = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -k, k], [k, 0, -k], [-k, k, 0]])
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return torch.eye(3) * cosine + (1 - cosine) / 3 + cross * sine


class Adaptive:
    """The probability p, moved every few steps so that E[sign(D(real))] comes to ``target``."""

    def __init__(self) -> None:
        self.p = 0.0
        self.signs: list[float] = []

    def update(self, sign: float, batch: int, target: float, ramp: int) -> None:
        """``sign``: mean sign of the logits of this step's real pictures; p needs ``ramp`` pictures from 0 to 1."""
        self.signs.append(sign)
        if len(self.signs) < ADAPT_EVERY:
            return
        mean = sum(self.signs) / len(self.signs)
        step = math.copysign(batch * len(self.signs) / ramp, mean - target)
        self.p = min(max(self.p + step, 0.0), 1.0)
        self.signs = []

    def state(self) -> dict:
        return {"p": self.p, "signs": list(self.signs)}

    def load(self, state: dict) -> None:
        self.p, self.signs = float(state["p"]), [float(sign) for sign in state["signs"]]
