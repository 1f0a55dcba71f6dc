"""A matte of a photograph: where a generator's people mostly are, and by the colours there and elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d, interpolate

SIDE = 128
BINS = 16  # of each colour
ROUNDS = 4
LEAST, MOST = 0.02, 0.98  # of what is taken for granted before any colour is seen
RADIUS, SOFTNESS = 3, 4e-3  # of the filter that lays the matte along the picture's edges


@torch.no_grad()
def segment(picture: Tensor, expected: Tensor, sure: Tensor) -> Tensor:
    """Matte (1, R, R), 0–1, of ``picture`` (3, R, R) sRGB.

    ``expected`` (1, R, R) is how likely a pixel shows the person before it is looked at, ``sure`` (1, R, R) where it does for
    certain. Colours of both sides are counted, and weigh against what was expected; the result follows the picture's edges.
    """
    full = picture.shape[-1]
    picture, expected, sure = (resized(image, SIDE) for image in (picture, expected, sure))
    expected = expected.clamp(LEAST, MOST)
    place = ((picture.clamp(0, 1) * (BINS - 1e-3)).long() * torch.tensor((BINS * BINS, BINS, 1))[:, None, None]).sum(dim=0).flatten()
    matte = torch.maximum(expected, sure)
    for _ in range(ROUNDS):
        person, around = counted(place, matte.flatten()), counted(place, 1 - matte.flatten())
        ratio = (person / around).clamp(1 / 30, 30)[place].view_as(matte)
        odds = expected / (1 - expected) * ratio
        matte = torch.maximum(smoothed(odds / (1 + odds), picture), sure)
    return resized(matte, full).clamp(0, 1)


def resized(image: Tensor, size: int) -> Tensor:
    """(C, H, W) -> (C, size, size)."""
    if image.shape[-1] == size:
        return image
    return interpolate(image[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False)[0]


def counted(place: Tensor, weights: Tensor) -> Tensor:
    """How often each colour occurs (BINS³,), neighbours counted in, as shares that sum to about 1."""
    table = torch.zeros(BINS**3).index_add_(0, place, weights).view(1, 1, BINS, BINS, BINS)
    for _ in range(2):
        table = avg_pool3d(table, 3, stride=1, padding=1)
    table = table.flatten() / weights.sum().clamp(min=1)
    return table + 0.05 / BINS**3


def smoothed(matte: Tensor, guide: Tensor) -> Tensor:
    """``matte`` (1, R, R) as a linear function of the picture's brightness in each neighbourhood (guided filter, He et al. 2010)."""
    grey = guide.mean(dim=0, keepdim=True)
    mean = lambda image: avg_pool2d(image[None], 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)[0]
    middle, level = mean(grey), mean(matte)
    slope = (mean(grey * matte) - middle * level) / (mean(grey * grey) - middle.square() + SOFTNESS)
    return (mean(slope) * grey + mean(level - slope * middle)).clamp(0, 1)
