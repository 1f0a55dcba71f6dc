"""Noise inputs of StyleGAN 1 and 2: constant, none, or random by seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NOISE_MODES = ("const", "none", "random")


def check_noise(mode: str) -> None:
    """Raises ValueError for a mode that there is not."""
    if mode not in NOISE_MODES:
        raise ValueError(f"noise is one of {NOISE_MODES}, not {mode!r}")


def draw_noise(sizes: Sequence[int], batch: int, seed: int, device: torch.device | str = "cpu") -> list[Tensor]:
    """Noise N(0, 1) of shape (batch, 1, R, R) for each R in ``sizes``, the same on every device."""
    draw = torch.Generator("cpu").manual_seed(int(seed))
    return [torch.randn(batch, 1, size, size, generator=draw).to(device) for size in sizes]
