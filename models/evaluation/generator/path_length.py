"""Perceptual path length (Karras et al. 2019) on the studio features.

The paper's figure uses VGG-16 features, LPIPS-weighted; this one has the same definition but
our own distance, so values compare only with each other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.evaluation.generator.samples import BATCH, draw, random_z
from models.generators import Generator
from models.perception.features import StudioFeatures

EPSILON = 1e-4
SPACES = ("z", "w")


def slerp(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """Along the great circle between directions (N, D), t (N, 1)."""
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    cosine = (first * second).sum(1, keepdim=True)
    angle = t * cosine.clamp(-1, 1).acos()
    across = F.normalize(second - cosine * first, dim=1)
    return first * angle.cos() + across * angle.sin()


class Step(NamedTuple):
    """A batch of pairs: z (N, z_dim) of the ends, and how far from the first to the second, (N, 1)."""

    first: Tensor
    second: Tensor
    t: Tensor


def steps(generator: Generator, pairs: int, seed: int) -> list[Step]:
    """All random pairs in batches."""
    z, rng = random_z(generator, 2 * pairs, seed), torch.Generator().manual_seed(seed)
    ends = zip(z[:pairs].split(BATCH), z[pairs:].split(BATCH), strict=True)
    return [Step(first, second, torch.rand(len(first), 1, generator=rng)) for first, second in ends]


@torch.no_grad()
def lengths(generator: Generator, features: StudioFeatures, space: str, step: Step) -> Tensor:
    """Perceptual distance (N,) of pictures a step of 1e-4 apart, over its square. ``space`` z (slerp) or w (lerp)."""
    if space not in SPACES:
        raise ValueError(f"space is one of {SPACES}, not {space!r}")
    w = [place(generator, space, step.first, step.second, step.t + further) for further in (0.0, EPSILON)]
    return features.perceptual_distance(draw(generator, w[0]), draw(generator, w[1])) / EPSILON**2


def path_length(values: Tensor) -> float:
    """Mean of ``lengths`` of all pairs (N,). Those outside the 1st to 99th percentile are dropped, as in the paper."""
    low, high = values.quantile(0.01), values.quantile(0.99)
    return float(values[(values >= low) & (values <= high)].mean())


def place(generator: Generator, space: str, first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """w (N, num_ws, w_dim) at ``t`` of the way."""
    device = generator.w_avg.device
    if space == "z":
        return generator.mapping(slerp(first, second, t).to(device))
    return generator.mapping(first.to(device)).lerp(generator.mapping(second.to(device)), t[:, :, None].to(device))


def mean_distance(pictures: Tensor, features: StudioFeatures) -> float:
    """Mean perceptual distance between pictures (N, 4, R, R) and their neighbours in the batch: a scale for lengths."""
    with torch.no_grad():
        return float(features.perceptual_distance(pictures, pictures.roll(1, 0)).mean())
