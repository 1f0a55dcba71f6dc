"""Images of any size for networks that halve and double: mirrored at the edges up to what they take, and cut back."""

from __future__ import annotations

import torch
from torch import Tensor


def padded_size(size: int, step: int, least: int) -> int:
    """The next multiple of ``step`` from ``least`` up."""
    return max(-(-size // step) * step, least)


def pad_by_reflection(image: Tensor, step: int, least: int) -> tuple[Tensor, tuple[slice, slice]]:
    """(N, C, H, W) with sides that are multiples of ``step``, and where the image lies in it.

    The edges are mirrors, as often as it takes: even one pixel fills any size.
    """
    rows, down = mirrored(image.shape[2], padded_size(image.shape[2], step, least))
    columns, across = mirrored(image.shape[3], padded_size(image.shape[3], step, least))
    if len(rows) != image.shape[2] or len(columns) != image.shape[3]:
        image = image[:, :, rows.to(image.device)[:, None], columns.to(image.device)]
    return image, (down, across)


def mirrored(size: int, wanted: int) -> tuple[Tensor, slice]:
    """Which pixel of ``size`` stands at each of ``wanted`` places, and the places of the pixels themselves."""
    before = (wanted - size) // 2
    period = max(2 * (size - 1), 1)
    places = (torch.arange(wanted) - before) % period
    return torch.minimum(places, period - places) if size > 1 else torch.zeros_like(places), slice(before, before + size)
