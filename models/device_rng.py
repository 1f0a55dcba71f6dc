"""Random numbers that are the same on every device."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor


def step_seed(*numbers: int) -> int:
    """A seed from several numbers, such as a training's seed, the step and the process (the multiplier of Knuth's MMIX generator)."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return seed


class DeviceRng:
    """Random numbers of a seed, drawn on the CPU and handed over on ``device``. Names are torch's."""

    def __init__(self, seed: int, device: torch.device | str = "cpu"):
        self.generator = torch.Generator().manual_seed(seed)
        self.device = torch.device(device)

    def on(self, device: torch.device | str) -> Self:
        """The same sequence of numbers, those to come on another device."""
        other = type(self).__new__(type(self))
        other.generator, other.device = self.generator, torch.device(device)
        return other

    def rand(self, *shape: int) -> Tensor:
        """Evenly from 0–1."""
        return torch.rand(shape, generator=self.generator).to(self.device)

    def randn(self, *shape: int) -> Tensor:
        """N(0, 1)."""
        return torch.randn(shape, generator=self.generator).to(self.device)

    def randint(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from ``low`` to before ``high``, int64."""
        return torch.randint(low, high, shape, generator=self.generator).to(self.device)

    def randperm(self, count: int) -> Tensor:
        """0 … count - 1 in any order, (count,) int64."""
        return torch.randperm(count, generator=self.generator).to(self.device)

    def multinomial(self, weights: tuple[float, ...], count: int) -> Tensor:
        """Numbers of ``weights``, each as often as it weighs, (count,) int64."""
        return torch.multinomial(torch.tensor(weights), count, replacement=True, generator=self.generator).to(self.device)
