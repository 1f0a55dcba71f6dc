"""What the generator is taught with: likeness to its pair, and realism.

Adversarial part: non-saturating logistic loss (Goodfellow et al. 2014) with R1 (Mescheder et
al. 2018), feature matching after Salimans et al. 2016 and Wang et al. 2018 (pix2pixHD), path
lengths (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 3.2).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 16
FEATURES = slice(17, 27), slice(36, 68)  # of the 68 landmarks: brows; eyes and mouth
FEATURE_RADIUS = 0.07  # of half the picture's width
FEATURE_MAP = 64  # side at which the surroundings of features are drawn


def focus_map(resolution: int, strength: float) -> Tensor:
    """Weight (1, 1, R, R), mean 1: eyes, nose and mouth lie in the middle of an aligned portrait."""
    axis = (torch.arange(resolution) + 0.5) / resolution * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    middle = torch.exp(-((x / 0.45) ** 2 + ((y - 0.1) / 0.55) ** 2))
    weight = 1.0 + strength * middle
    return (weight / weight.mean())[None, None]


def feature_map(landmarks: Tensor, resolution: int) -> Tensor:
    """How near eyes, brows and mouth are (N, 1, R, R), 0..1, from landmarks (N, 68, 2), y up."""
    points = torch.cat([landmarks[:, part] for part in FEATURES], dim=1)
    size = min(resolution, FEATURE_MAP)
    axis = (torch.arange(size, device=points.device) + 0.5) / size * 2 - 1
    across, down = (torch.exp(-(((axis - place.unsqueeze(-1)) / FEATURE_RADIUS) ** 2)) for place in (points[..., 0], -points[..., 1]))
    near = (down.unsqueeze(-1) * across.unsqueeze(-2)).amax(dim=1, keepdim=True)
    return F.interpolate(near, size=(resolution, resolution), mode="bilinear", align_corners=False)


def pair_loss(
    picture: Tensor, target: Tensor, focus: Tensor, gradient_weight: float = 1.0, skip: int = 0, near: Tensor | None = None
) -> Tensor:
    """L1 of colour and matte over a pyramid, and of their differences between neighbours: a scalar.

    Both (N, 4, R, R) in [-1, 1]; ``focus`` (1 or N, 1, R, R) weighs the places. The ``skip`` finest
    levels are left out (of the matte one less): where strands of hair lie is for a discriminator,
    L1 would blur them. Only ``near`` (N, 1, R, R), what the eyes, brows and mouth weigh, counts there too.
    """
    difference = picture - target
    colour = pyramid_loss(difference[:, :3], focus, gradient_weight, skip)
    if near is not None and skip:
        colour = colour + near_loss(difference[:, :3], near, skip)
    matte = pyramid_loss(difference[:, 3:], focus, gradient_weight, max(skip - 1, 0))
    return 0.75 * colour + 0.25 * matte  # the mean over four channels


def pyramid_loss(difference: Tensor, focus: Tensor, gradient_weight: float, skip: int) -> Tensor:
    """Mean of |difference| over the levels from the ``skip``-th down, and of its slope at the first of them."""
    if skip:
        difference, focus = F.avg_pool2d(difference, 2**skip), F.avg_pool2d(focus, 2**skip)
    across = (difference[..., :, 1:] - difference[..., :, :-1]).abs() * focus[..., :, 1:]
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs() * focus[..., 1:, :]
    loss = gradient_weight * (across.mean() + down.mean())
    levels = 0
    while difference.shape[-1] >= SMALLEST:
        loss = loss + (difference.abs() * focus).mean()
        difference, focus = F.avg_pool2d(difference, 2), F.avg_pool2d(focus, 2)
        levels += 1
    return loss / max(levels, 1)


def near_loss(difference: Tensor, near: Tensor, levels: int) -> Tensor:
    """Mean of |difference| near eyes, brows and mouth over the finest ``levels``."""
    loss = difference.new_zeros(())
    for _ in range(levels):
        loss = loss + (difference.abs() * near).mean()
        difference, near = F.avg_pool2d(difference, 2), F.avg_pool2d(near, 2)
    return loss / levels


def feature_loss(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean relative L1 between a discriminator's feature maps of two pictures of the same scene."""
    terms = [(a.float() - b.float()).abs().mean() / (b.float().abs().mean() + 1e-6) for a, b in zip(fake, real, strict=True)]
    return torch.stack(terms).mean()


def generator_loss(fake: list[Tensor]) -> Tensor:
    """Of a discriminator's logits of generated pictures, of each scale alike."""
    return torch.stack([F.softplus(-logits).mean() for logits in fake]).mean()


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Of its logits of real and of generated pictures."""
    terms = [F.softplus(-a).mean() + F.softplus(b).mean() for a, b in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def r1_penalty(discriminator: torch.nn.Module, real: Tensor) -> Tensor:
    """Mean squared gradient norm of the logits with respect to the pictures (N, C, R, R) that it sees."""
    real = real.detach().requires_grad_()
    verdict = sum(logits.flatten(1).mean(dim=1).sum() for logits in discriminator(real)[0])
    (gradient,) = torch.autograd.grad(verdict, real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(pictures: Tensor, codes: Tensor, rng: torch.Generator) -> Tensor:
    """How far pictures (N, C, R, R) move along random directions as their w (N, L, D) moves: (N,)."""
    directions = torch.randn(pictures.shape, generator=rng).to(pictures) / math.sqrt(pictures[0, 0].numel())
    (gradient,) = torch.autograd.grad((pictures * directions).sum(), codes, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
