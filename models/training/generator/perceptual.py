"""Perceptual loss of a face regressor: that a lid which is shut is drawn shut.

Lids, brows and lips are a few pixels in a hundred, and L1 is content with what lies between open and shut. A
network that was trained to regress expressions, light and pose from images hardly looks at anything else. What it
regresses from a generated image shall be what it regresses from the pair, and so shall the features that this
follows from (a perceptual loss, Johnson et al. 2016, with a network that knows faces).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from models.colour import over_backdrop
from models.perception.face_regressor import LANDMARKS, Estimator

NOISE_STD = 0.02
PARTS = ("expression", "light", "rotation")  # what it regresses surely; who it is, the pixels tell better


def perceptual_loss(regressor: Estimator, images: Tensor, target: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """Difference of what is regressed, in standard deviations, plus that of features, relative: a scalar.

    Both (N, 4, R, R), premultiplied, in [-1, 1]. Both are seen through the same noise, drawn from ``rng``, so that
    the regressor cannot be told by what no eye would see.
    """
    noise = NOISE_STD * torch.randn(len(target), 3, *target.shape[2:], generator=rng).to(target) if rng else 0.0
    with torch.no_grad():
        wanted, target_features = regressor.forward_features(over_grey(target) + noise)
    found, features = regressor.forward_features(over_grey(images) + noise)
    terms = [smooth_l1_loss(found[:, part], wanted[:, part]) for part in columns(regressor)]
    return torch.stack(terms).mean() + (features - target_features).abs().mean() / target_features.abs().mean()


def columns(regressor: Estimator) -> list[slice]:
    """Where landmarks and ``PARTS`` lie in a regressor's output."""
    found, start = [slice(0, LANDMARKS)], LANDMARKS
    for name, size in regressor.sizes.items():
        if name in PARTS:
            found.append(slice(start, start + size))
        start += size
    return found


def over_grey(images: Tensor) -> Tensor:
    """RGBA (N, 4, R, R) in [-1, 1] -> RGB 0–1 over grey."""
    unit = (images * 0.5 + 0.5).clamp(0, 1)
    return over_backdrop(unit[:, :3], unit[:, 3:])
