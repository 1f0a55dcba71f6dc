"""Perceptual path length (Karras et al. 2019) on the studio features.

The paper's figure uses VGG-16 features, LPIPS-weighted; this one has the same definition but
our own distance, so values compare only with each other.
"""

from __future__ import annotations

import sys

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


@torch.no_grad()
def path_length(generator: Generator, features: StudioFeatures, space: str, pairs: int, seed: int = 0) -> float:
    """Mean perceptual distance of pictures a step of 1e-4 apart, over its square; at any place between the ends.

    ``space`` z (slerp) or w (lerp). Pairs outside the 1st to 99th percentile are dropped, as in the paper.
    """
    from tqdm import tqdm

    if space not in SPACES:
        raise ValueError(f"space is one of {SPACES}, not {space!r}")
    z, rng = random_z(generator, 2 * pairs, seed), torch.Generator().manual_seed(seed)
    lengths = []
    bar = tqdm(total=pairs, desc=f"path length in {space}", unit="pair", file=sys.stderr, disable=None)
    for first, second in zip(z[:pairs].split(BATCH), z[pairs:].split(BATCH), strict=True):
        t = torch.rand(len(first), 1, generator=rng)
        w = [place(generator, space, first, second, t + step) for step in (0.0, EPSILON)]
        distance = features.perceptual_distance(draw(generator, w[0]), draw(generator, w[1]))
        lengths.append(distance / EPSILON**2)
        bar.update(len(first))
    bar.close()
    values = torch.cat(lengths)
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
