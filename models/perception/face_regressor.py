"""A convolutional network that reads landmarks and rig parameters from a portrait's pixels.

It looks twice: at the whole portrait, for landmarks and for what shapes all of it, and then closely at
each eye with its brow and at the mouth, which it finds by its own landmarks. A lid or a corner of the
lips moves few pixels; seen closely and always in the same place it can be told from who the person is.

It is trained on rendered portraits with exact truth, twice and apart: one network gives landmarks to
the training of the rig, the other judges the finished rig and takes no part in its training. What it
tells of the person (identity, skin, and attributes beyond the rig such as hair) is also the embedding by
which identity is compared: pose, expression and light vary freely in what it learned from, so the
best it can do is not to heed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate, relu

from models.face import FaceModel
from models.face.alignment import LEFT_EYE, RIGHT_EYE
from models.face.parameters import default_std, part_sizes
from models.io.weights_file import channels_last, fill_network, read_network, save_network

LANDMARKS = 136
PERSON = ("identity", "reflectance")  # the first parts of a vector of rig parameters
SIZE = 256  # side of the pictures it looks closely at
WHOLE = 128  # side at which it sees the whole portrait
CLOSE = 64  # side of a close view
CHANNELS = (24, 48, 96, 160, 192)  # of the whole portrait
CLOSE_CHANNELS = (24, 48, 80, 112)  # of a close view
# Close views: half their side and how far their centre lies above the landmarks' mean, both in NDC.
EYE_VIEW, MOUTH_VIEW = (0.26, 0.06), (0.36, 0.02)
MOUTH = slice(48, 68)
HIDDEN, CLOSE_HIDDEN = 256, 128


class Block(nn.Module):
    """Two 3x3 convolutions, the first halves the picture, with a pooled shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.second(relu(self.first(x))) + self.shortcut(x))


def trunk(channels: Sequence[int], side: int, outputs: int) -> nn.Sequential:
    """Picture (N, 3, side, side) -> (N, outputs), halved once for each of ``channels``."""
    stem = nn.Sequential(nn.Conv2d(3, channels[0], 3, 2, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU())
    blocks = [Block(a, b) for a, b in pairwise(channels)]
    end = channels[-1] * (side // 2 ** len(channels)) ** 2
    return nn.Sequential(stem, *blocks, nn.Flatten(), nn.Linear(end, outputs), nn.ELU())


def shrunk(images: Tensor, size: int) -> Tensor:
    """Pictures of at most ``size`` a side; smaller ones stay, but for the whole portrait."""
    if images.shape[-1] > size or size == WHOLE != images.shape[-1]:
        images = interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return images.contiguous(memory_format=torch.channels_last)


def close_view(images: Tensor, points: Tensor, view: tuple[float, float]) -> Tensor:
    """Squares (N, 3, CLOSE, CLOSE) of pictures about landmarks (N, M, 2) in NDC, y up."""
    half, above = view
    axis = (torch.arange(CLOSE, device=images.device) + 0.5) * (2 / CLOSE) - 1
    across, down = torch.meshgrid(axis, axis, indexing="xy")
    centre = points.mean(dim=1)
    centre = torch.stack((centre[:, 0], -centre[:, 1] - above), dim=1)
    grid = centre[:, None, None] + half * torch.stack((across, down), dim=2)
    seen = grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)
    return seen.contiguous(memory_format=torch.channels_last)


@dataclass(eq=False)
class Prediction:
    """What an estimator reads from N pictures."""

    landmarks: Tensor  # (N, 68, 2) NDC
    parameters: Tensor  # (N, P)
    embedding: Tensor  # (N, D) the person's numbers, standardised


class Estimator(nn.Module):
    """Picture (N, 3, H, W) sRGB 0–1 -> landmarks (N, 68, 2) NDC and parameters (N, P).

    ``n_attributes`` is how many further numbers of the person it reads (hair, age, clothes), that are no rig parameters.
    """

    mean: Tensor
    spread: Tensor
    reliability: Tensor

    def __init__(self, sizes: dict[str, int], channels: Sequence[int] = CHANNELS, n_attributes: int = 0):
        super().__init__()
        self.sizes, self.channels, self.n_attributes = dict(sizes), list(channels), n_attributes
        self.header: dict = {}
        parameters, outputs = sum(sizes.values()), LANDMARKS + sum(sizes.values()) + n_attributes
        self.whole = trunk(channels, WHOLE, HIDDEN)
        self.eye = trunk(CLOSE_CHANNELS, CLOSE, CLOSE_HIDDEN)  # both eyes; the one at the right is mirrored
        self.mouth = trunk(CLOSE_CHANNELS, CLOSE, CLOSE_HIDDEN)
        self.landmarks = nn.Linear(HIDDEN, LANDMARKS)
        self.others = nn.Sequential(nn.Linear(HIDDEN + 3 * CLOSE_HIDDEN, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, outputs - LANDMARKS))
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("spread", torch.ones(outputs))
        self.register_buffer("reliability", torch.ones(parameters))  # R² on pictures held out, 0–1

    @classmethod
    def create(cls, face: FaceModel, parameters: Tensor, landmarks: Tensor, attributes: Tensor | None = None, **options: Any) -> Estimator:
        """Untrained, scaled by the truth of a population: parameters (M, P), landmarks (M, 68, 2), attributes (M, Q)."""
        attributes = parameters.new_zeros(len(parameters), 0) if attributes is None else attributes
        network = cls(part_sizes(face), n_attributes=attributes.shape[1], **options)
        truth = torch.cat((landmarks.flatten(1), parameters, attributes), dim=1)
        least = torch.cat((torch.full((LANDMARKS,), 0.02), 0.05 * default_std(face), torch.full((attributes.shape[1],), 0.05)))
        network.mean.copy_(truth.mean(dim=0))
        network.spread.copy_(torch.maximum(truth.std(dim=0), least))
        for last in (network.landmarks, network.others[-1]):
            last.get_parameter("weight").data.mul_(0.1)
        return network

    def standardised(self, images: Tensor) -> Tensor:
        """All outputs (N, 136 + P + attributes) in units of their spread."""
        return self.forward_features(images)[0]

    def forward_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """All outputs, in units of their spread, and the features (N, F) that they follow from."""
        images = images * 2 - 1
        whole = self.whole(shrunk(images, WHOLE)).float()
        landmarks = self.landmarks(whole)
        places = (self.mean[:LANDMARKS] + self.spread[:LANDMARKS] * landmarks.detach()).unflatten(1, (68, 2))
        fine = shrunk(images, SIZE)
        eyes = torch.cat((close_view(fine, places[:, LEFT_EYE], EYE_VIEW), close_view(fine, places[:, RIGHT_EYE], EYE_VIEW).flip(3)))
        mouth = self.mouth(close_view(fine, places[:, MOUTH], MOUTH_VIEW)).float()
        features = torch.cat((whole, *self.eye(eyes).float().chunk(2), mouth), dim=1)
        return torch.cat((landmarks, self.others(features)), dim=1), features

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.predict(images)
        return found.landmarks, found.parameters

    def predict(self, images: Tensor) -> Prediction:
        """Everything at once."""
        standardised = self.standardised(images)
        values = self.mean + self.spread * standardised
        end = LANDMARKS + sum(self.sizes.values())
        person = torch.cat((standardised[:, LANDMARKS : LANDMARKS + self.person], standardised[:, end:]), dim=1)
        return Prediction(values[:, :LANDMARKS].unflatten(1, (68, 2)), values[:, LANDMARKS:end], person)

    @property
    def person(self) -> int:
        """How many rig parameters, the first ones, tell who it is."""
        return sum(self.sizes[name] for name in PERSON)

    @property
    def floors(self) -> dict:
        """What it reads of pictures that change one thing only, where that was measured."""
        return self.header.get("floors", {})

    def save(self, path: Path, header: dict) -> Path:
        shape = {"sizes": self.sizes, "channels": self.channels, "n_attributes": self.n_attributes}
        return save_network(self, path, "estimator", {**header, "shape": shape})

    @classmethod
    def load(cls, path: Path) -> Estimator:
        header, state = read_network(path, "estimator")
        network = cls(**{"n_attributes" if name == "looks" else name: value for name, value in header["shape"].items()})  # its former name
        network.header = header
        return channels_last(fill_network(network, state, path))
