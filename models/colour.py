"""The sRGB transfer function (IEC 61966-2-1) and the backdrop, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

BACKDROP = 0.5  # sRGB grey that a portrait lies over where nothing else is behind it
GREEN = (0.0, 0.69, 0.25)  # a studio's green screen, sRGB


def srgb_to_linear(image: Tensor) -> Tensor:
    """Display values 0–1 of any shape to linear ones."""
    curved = ((image + 0.055) / 1.055).clamp(min=1e-9).log().mul(2.4).exp()  # a third of the time of a power
    return torch.where(image <= 0.04045, image / 12.92, curved)


def linear_to_srgb(image: Tensor) -> Tensor:
    """The inverse of ``srgb_to_linear``, clipped to 0–1; differentiable everywhere."""
    image = image.clamp(0, 1)
    return torch.where(image <= 0.0031308, image * 12.92, 1.055 * image.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def over_backdrop(colour: Tensor, alpha: Tensor) -> Tensor:
    """Display colour, premultiplied by ``alpha`` (of a shape that broadcasts), over the backdrop."""
    return colour + (1 - alpha) * BACKDROP
