"""Likeness of what can be read from a portrait: that a lid which is shut is drawn shut.

Lids, brows and lips are a few pixels in a hundred, and L1 is content with what lies between open and shut. A
network that was trained to read expressions, light and pose from pictures hardly looks at anything else. What it
reads of a generated picture shall be what it reads of the pair, and so shall the features that it reads it from
(a perceptual loss, Johnson et al. 2016, with a network that knows faces).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from models.perception.face_regressor import LANDMARKS, Estimator

BACKDROP = 0.5
GRAIN = 0.02  # standard deviation
PARTS = ("expression", "light", "rotation")  # what the reader tells surely; who it is, the pixels tell better


def reading_loss(reader: Estimator, picture: Tensor, target: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """Unlikeness of readings, in their spreads, plus that of features, relative: a scalar.

    Both pictures (N, 4, R, R), premultiplied, in [-1, 1]. Both are seen through the same grain, drawn from
    ``rng``, so that the reader cannot be told by what no eye would see.
    """
    grain = GRAIN * torch.randn(len(target), 3, *target.shape[2:], generator=rng).to(target) if rng else 0.0
    with torch.no_grad():
        wanted, known = reader.forward_features(over_grey(target) + grain)
    found, seen = reader.forward_features(over_grey(picture) + grain)
    terms = [smooth_l1_loss(found[:, part], wanted[:, part]) for part in columns(reader)]
    return torch.stack(terms).mean() + (seen - known).abs().mean() / known.abs().mean()


def columns(reader: Estimator) -> list[slice]:
    """Where landmarks and ``PARTS`` lie in what a reader tells."""
    found, start = [slice(0, LANDMARKS)], LANDMARKS
    for name, size in reader.sizes.items():
        if name in PARTS:
            found.append(slice(start, start + size))
        start += size
    return found


def over_grey(picture: Tensor) -> Tensor:
    """RGBA (N, 4, R, R) in [-1, 1] -> RGB 0–1 over grey."""
    unit = (picture * 0.5 + 0.5).clamp(0, 1)
    return unit[:, :3] + (1 - unit[:, 3:]) * BACKDROP
