"""A small network that tells what images show. It takes no part in any look's training, so its opinion is one from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

SIDE = 64  # pixels that it looks at
WIDTHS = (16, 32, 64, 128)
LEARNING_RATE, BATCH, STEPS = 2e-3, 32, 500


class Classifier(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] to a logit of each of ``labels``: above 0 is yes."""

    def __init__(self, labels: int):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers, self.answer = nn.Sequential(*layers), nn.Linear(WIDTHS[-1], labels)

    def features(self, images: Tensor) -> Tensor:
        """(N, 128) of images of any size."""
        if images.shape[2:] != (SIDE, SIDE):
            images = interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        return self.layers(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.answer(self.features(images))

    @torch.no_grad()
    def says(self, images: Tensor) -> Tensor:
        """Which labels it sees (N, labels), bool."""
        return self(images) > 0


class Judged(NamedTuple):
    """A classifier, and how often it is right about people that it never saw, the mean of yes and no, by label."""

    network: Classifier
    accuracy: list[float]


def train_classifier(images_of: Callable[[np.ndarray], Tensor], labels: Tensor, training: np.ndarray, held_out: np.ndarray,
                     steps: int = STEPS, seed: int = 0) -> Judged:  # fmt: skip
    """Teach a classifier the ``labels`` (M, C) of the rows ``training`` and try it on ``held_out``; yes and no count alike.

    ``images_of`` gives the images of rows. The same arguments give the same network.
    """
    random = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(labels.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    share = labels[training].mean(dim=0).clamp(0.02, 0.98)
    for _ in range(steps):
        rows = random.choice(training, BATCH)
        images = images_of(rows)
        flipped = torch.from_numpy(random.random(BATCH) < 0.5).view(-1, 1, 1, 1)
        logits = network(torch.where(flipped, images.flip(3), images))
        loss = binary_cross_entropy_with_logits(logits, labels[rows], pos_weight=(1 - share) / share)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval().requires_grad_(False)
    return Judged(network, balanced(in_parts(network.says, images_of, held_out), labels[held_out] > 0.5))


def in_parts(function: Callable[[Tensor], Tensor], images_of: Callable[[np.ndarray], Tensor], rows: np.ndarray) -> Tensor:
    """``function`` of the images of rows, some at a time."""
    return torch.cat([function(images_of(part)) for part in np.array_split(rows, -(-len(rows) // BATCH))])


def balanced(said: Tensor, true: Tensor) -> list[float]:
    """By column, the mean of how often yes is right and how often no is."""
    right = said == true
    return [
        float(np.mean([right[side, column].float().mean() for side in (true[:, column], ~true[:, column]) if side.any()]))
        for column in range(true.shape[1])
    ]
