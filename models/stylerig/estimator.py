"""A convolutional network that reads landmarks and rig parameters from a portrait's pixels.

It is trained on rendered portraits with exact truth, twice and apart: one network gives landmarks to
the training of the rig, the other judges the finished rig and takes no part in its training.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from models.face import FaceModel
from models.face.parameters import RigParameters
from models.stylerig.reconstruction import default_spread, part_sizes
from models.stylerig.storage import fill_network, read_network, save_network

LANDMARKS = 136
SIZE = 128  # side of the pictures it sees
CHANNELS = (24, 48, 96, 160, 256)


class Block(nn.Module):
    """Two 3x3 convolutions, the first halves the picture, with a pooled shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.second(relu(self.first(x))) + self.shortcut(x))


class Estimator(nn.Module):
    """Picture (N, 3, H, W) sRGB 0–1 -> landmarks (N, 68, 2) NDC and parameters (N, P)."""

    def __init__(self, sizes: dict[str, int], channels: list[int] = list(CHANNELS)):
        super().__init__()
        self.sizes, self.channels = dict(sizes), list(channels)
        parameters = sum(sizes.values())
        stem = nn.Sequential(nn.Conv2d(3, channels[0], 3, 2, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU())
        blocks = [Block(a, b) for a, b in zip(channels, channels[1:], strict=False)]
        self.features = nn.Sequential(stem, *blocks)
        side = SIZE // 2 ** len(channels)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(channels[-1] * side * side, 256), nn.ELU(), nn.Linear(256, LANDMARKS + parameters)
        )
        self.register_buffer("mean", torch.zeros(LANDMARKS + parameters))
        self.register_buffer("spread", torch.ones(LANDMARKS + parameters))
        self.register_buffer("reliability", torch.ones(parameters))  # R² on pictures held out, 0–1

    @classmethod
    def create(cls, face: FaceModel, parameters: Tensor, landmarks: Tensor, **options) -> Estimator:
        """Untrained, scaled by the truth of a population: parameters (M, P), landmarks (M, 68, 2)."""
        network = cls(part_sizes(face), **options)
        truth = torch.cat((landmarks.flatten(1), parameters), dim=1)
        least = torch.cat((torch.full((LANDMARKS,), 0.02), 0.05 * default_spread(face)))
        network.mean.copy_(truth.mean(dim=0))
        network.spread.copy_(torch.maximum(truth.std(dim=0), least))
        network.head[-1].weight.data.mul_(0.1)
        return network

    def standardised(self, images: Tensor) -> Tensor:
        """All outputs (N, 136 + P) in units of their spread."""
        if images.shape[-1] != SIZE:
            images = interpolate(images, size=(SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        images = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        return self.head(self.features(images).float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        values = self.mean + self.spread * self.standardised(images)
        return values[:, :LANDMARKS].unflatten(1, (68, 2)), values[:, LANDMARKS:]

    def parameters_of(self, images: Tensor, face: FaceModel) -> RigParameters:
        """The rig parameters seen in pictures, not clamped."""
        return RigParameters.from_vector(self(images)[1], face)

    def save(self, path: Path, header: dict) -> Path:
        return save_network(
            self, path, "estimator", {**header, "shape": {"sizes": self.sizes, "channels": self.channels}}
        )

    @classmethod
    def load(cls, path: Path) -> Estimator:
        header, state = read_network(path, "estimator")
        network = cls(**header["shape"])
        network.header = header
        return fill_network(network, state, path).to(memory_format=torch.channels_last)
