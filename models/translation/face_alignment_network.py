"""Where the parts of a face are: the heat-map network of StarGAN v2's checkpoints, and the masks made of its maps.

A face-alignment network with one hourglass (Bulat and Tzimiropoulos, ICCV 2017) as trained with the adaptive wing
loss (Wang et al., ICCV 2019): 98 points of a face and its outline. Which maps are moved and sharpened how, below, are
facts of the published masks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE, MAP_SIZE = 256, 64
POINTS = 98
FAINT = 0.1  # smaller values of a map are noise


class Part(NamedTuple):
    """Points ``first`` to ``end``, whose maps move ``up`` by so many pixels and are raised to ``power``."""

    first: int
    end: int
    up: int
    power: int


CHIN, BROWS, MOUTH, EYES = slice(8, 25), slice(33, 51), slice(76, 96), slice(60, 76)
NOSE = slice(52, 55)
PARTS = (Part(8, 25, 0, 3), Part(33, 51, -7, 2), Part(55, 60, 8, 4), Part(77, 82, -8, 4), Part(83, 88, 8, 4), Part(88, 96, -2, 3))
LEFT_OUT = [*range(8), *range(25, 33), 33, 46, 76, 82]  # the outline's ends, corners of brows and mouth
NOSE_UP, EYES_UP, EYES_POWER, LIDS_UP = 4, -8, 3, -24


class CoordinateConv(nn.Module):
    """A convolution that also sees where it is: row, column (-1 to 1) and distance from the middle (0 to 1).

    Computed in the published order: what lies near the threshold of the maps may not change by a rounding.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs + 3, outputs, kernel, stride, padding)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        rows = axis(height, features.device)[:, None].expand(height, width)
        columns = axis(width, features.device)[None].expand(height, width)
        distance = (rows**2 + columns**2).sqrt()
        place = torch.stack([rows, columns, distance / distance.max()])
        return self.conv(torch.cat([features, place.expand(len(features), -1, -1, -1)], dim=1))


def axis(size: int, device: torch.device) -> Tensor:
    """``size`` places from -1 to 1."""
    return torch.arange(size, dtype=torch.float32, device=device) / (size - 1) * 2 - 1


class HierarchicalBlock(nn.Module):
    """Three convolutions in a row, whose results lie side by side, added to what came in."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, half, 3, 1, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, quarter, 3, 1, 1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(quarter), nn.Conv2d(quarter, quarter, 3, 1, 1, bias=False)
        changes = inputs != outputs
        self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False)) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        first = self.conv1(F.relu(self.bn1(features)))
        second = self.conv2(F.relu(self.bn2(first)))
        third = self.conv3(F.relu(self.bn3(second)))
        shortcut = features if self.downsample is None else self.downsample(features)
        return torch.cat([first, second, third], dim=1) + shortcut


class Hourglass(nn.Module):
    """Halves the size four times and doubles it again, with a way past each level."""

    DEPTH = 4
    b2_plus_1: HierarchicalBlock

    def __init__(self, width: int):
        super().__init__()
        self.coordconv = CoordinateConv(width, width, 1, 1, 0)
        for level in range(self.DEPTH, 0, -1):
            for name in ("b1", "b2", "b3", *(["b2_plus"] if level == 1 else [])):
                self.add_module(f"{name}_{level}", HierarchicalBlock(width, width))

    def forward(self, features: Tensor) -> Tensor:
        return self.level(self.DEPTH, self.coordconv(features))

    def level(self, level: int, features: Tensor) -> Tensor:
        past = getattr(self, f"b1_{level}")(features)
        low = getattr(self, f"b2_{level}")(F.avg_pool2d(features, 2))
        low = self.level(level - 1, low) if level > 1 else self.b2_plus_1(low)
        low = getattr(self, f"b3_{level}")(low)
        return past + F.interpolate(low, scale_factor=2, mode="nearest")


class FaceAlignmentNetwork(nn.Module):
    """Image (N, 3, 256, 256) in [0, 1] to maps (N, 99, 64, 64) of the 98 points and the outline."""

    def __init__(self, width: int = 256):
        super().__init__()
        self.conv1 = CoordinateConv(3, width // 4, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = HierarchicalBlock(width // 4, width // 2)
        self.conv3 = HierarchicalBlock(width // 2, width // 2)
        self.conv4 = HierarchicalBlock(width // 2, width)
        self.m0 = Hourglass(width)
        self.top_m_0 = HierarchicalBlock(width, width)
        self.conv_last0 = nn.Conv2d(width, width, 1)
        self.bn_end0 = nn.BatchNorm2d(width)
        self.l0 = nn.Conv2d(width, POINTS + 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = F.relu(self.bn1(self.conv1(image)))
        features = F.avg_pool2d(self.conv2(features), 2)
        features = self.conv4(self.conv3(features))
        features = self.top_m_0(self.m0(features))
        return self.l0(F.relu(self.bn_end0(self.conv_last0(features))))

    def train(self, mode: bool = True) -> FaceAlignmentNetwork:
        """It is never trained here, and keeps the statistics that it came with."""
        return super().train(False)

    def masks(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of an image (N, 3, H, W) in [-1, 1]: all parts, and those without chin, brows and mouth (N, 1, 256, 256), 0 to 1."""
        image = F.interpolate(image, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        maps = self(image * 0.5 + 0.5)[:, :POINTS]
        return masks_of(F.interpolate(maps, scale_factor=SIZE // MAP_SIZE, mode="bilinear", align_corners=True))


def masks_of(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The two masks (N, 1, 256, 256) of the points' maps (N, 98, 256, 256)."""
    maps = full_range(torch.where(maps < FAINT, torch.zeros_like(maps), maps))
    parts = torch.zeros_like(maps)
    parts[:, 51:55] = maps[:, 51:55]
    parts[:, NOSE] = moved(maps[:, NOSE], NOSE_UP)
    parts[:, 96:] = maps[:, 96:]
    for part in PARTS:
        parts[:, part.first : part.end] = moved(maps[:, part.first : part.end], part.up) ** part.power
    parts[:, EYES] = moved(maps[:, EYES], EYES_UP) ** EYES_POWER + moved(maps[:, EYES], LIDS_UP)
    parts[:, LEFT_OUT] = 0
    inner = parts.clone()
    for outer in (CHIN, BROWS, MOUTH):
        inner[:, outer] = 0
    return parts.sum(dim=1, keepdim=True).clamp(0, 1), inner.sum(dim=1, keepdim=True).clamp(0, 1)


def full_range(maps: Tensor) -> Tensor:
    """Each map from 0 to 1, by its own smallest and largest value."""
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (maps - low) / (high - low + 1e-6)


def moved(maps: Tensor, up: int) -> Tensor:
    """Up by so many rows; what leaves at one end comes in at the other, as published."""
    return maps.roll(-up, dims=2)
