"""CycleGAN's memory of images that its generators made (Shrivastava et al., CVPR 2017)."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keeps ``size`` images; the discriminator sees older ones as often as new ones, so that it does not chase the newest."""

    def __init__(self, size: int = 50, seed: int = 0):
        self.size = size
        self.images: list[Tensor] = []
        self.random = random.Random(seed)

    def query(self, images: Tensor) -> Tensor:
        """Of each image (N, …) itself, or, with probability a half once the pool is full, an older one, whose place it takes."""
        return torch.stack([self.swapped(image) for image in images.detach()]) if self.size else images.detach()

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {"images": self.images, "random": self.random.getstate()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``state()`` gave."""
        self.images = list(state["images"])
        self.random.setstate(state["random"])

    def swapped(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
        elif self.random.random() < 0.5:
            place = self.random.randrange(self.size)
            image, self.images[place] = self.images[place].to(image.device), image.clone()
        return image
