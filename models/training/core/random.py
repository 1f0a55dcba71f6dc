"""Random numbers that are the same on every device."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor


class Draws:
    """Random numbers of a seed, drawn on the processor and handed over on ``device``."""

    def __init__(self, seed: int, device: torch.device | str = "cpu"):
        self.generator = torch.Generator().manual_seed(seed)
        self.device = torch.device(device)

    def on(self, device: torch.device | str) -> Self:
        """The same sequence of numbers, those to come on another device."""
        other = type(self).__new__(type(self))
        other.generator, other.device = self.generator, torch.device(device)
        return other

    def uniform(self, *shape: int) -> Tensor:
        """Evenly from 0–1."""
        return torch.rand(shape, generator=self.generator).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1)."""
        return torch.randn(shape, generator=self.generator).to(self.device)

    def whole(self, first: int, end: int, *shape: int) -> Tensor:
        """Whole numbers from ``first`` to before ``end``, int64."""
        return torch.randint(first, end, shape, generator=self.generator).to(self.device)

    def order(self, count: int) -> Tensor:
        """0 … count - 1 in any order, (count,) int64."""
        return torch.randperm(count, generator=self.generator).to(self.device)

    def kinds(self, shares: tuple[float, ...], count: int) -> Tensor:
        """Which of several kinds, each by its share, (count,) int64."""
        return torch.multinomial(torch.tensor(shares), count, replacement=True, generator=self.generator).to(self.device)
