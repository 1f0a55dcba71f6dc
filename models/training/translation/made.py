"""Domains that are made of photographs: black and white, and line drawings in ink on paper."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from models.translation.look import GREY

# Extended difference of Gaussians (Winnemöller, Kyprianidis and Olsen, 2012), of brightness from 0 to 1
FINE = 1.1 / 256  # width of the narrow Gaussian, of the image's side
RATIO = 1.6  # of the wide Gaussian's width to the narrow one's
SHARPENING = 18.0  # how much the difference counts against the brightness
DARK = 0.42  # what is darker is ink
SOFTNESS = 6.0  # of the way from ink to paper
INK, PAPER = (0.13, 0.11, 0.16), (0.96, 0.94, 0.89)  # sRGB


def black_and_white(images: Tensor) -> Tensor:
    """RGB (N, 3, R, R) without its colours, as bright as Pillow's grey."""
    return grey(images).expand(-1, 3, -1, -1)


def line_drawing(images: Tensor) -> Tensor:
    """RGB (N, 3, R, R) in [-1, 1] as ink on paper: lines where brightness changes, and areas of ink where it is dark."""
    brightness = grey(images) * 0.5 + 0.5
    width = FINE * images.shape[-1]
    fine, wide = blurred(brightness, width), blurred(brightness, RATIO * width)
    sharp = fine + SHARPENING * (fine - wide)
    paper = torch.where(sharp >= DARK, torch.ones_like(sharp), 1 + torch.tanh(SOFTNESS * (sharp - DARK)))
    ink, white = (images.new_tensor(colour)[:, None, None] for colour in (INK, PAPER))
    return ink.lerp(white, paper) * 2 - 1


MADE: dict[str, Callable[[Tensor], Tensor]] = {"photo": lambda images: images, "black and white": black_and_white, "drawing": line_drawing}


def made_of(people: np.ndarray, count: int) -> np.ndarray:
    """Which of ``count`` domains the pictures of each person (M,) go to: no person is in two, and those held out are in all."""
    return (people % 32 + people // 32) % count


def grey(images: Tensor) -> Tensor:
    """(N, 1, R, R), as looks of one channel take it."""
    return (images * images.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)


def blurred(images: Tensor, width: float) -> Tensor:
    """(N, 1, R, R) after a Gaussian of ``width`` pixels; the border goes on outside."""
    reach = max(int(3 * width + 0.5), 1)
    steps = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (steps / width) ** 2)
    kernel = kernel / kernel.sum()
    images = pad(images, (reach,) * 4, mode="replicate")
    return conv2d(conv2d(images, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
