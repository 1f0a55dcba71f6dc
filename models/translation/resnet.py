"""CycleGAN's generator (Zhu et al., ICCV 2017; Johnson et al., ECCV 2016), and CUT's, which blurs where the size changes.

CUT: Park et al., ECCV 2020; the blurring is that of Zhang, ICML 2019.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.translation.config import ResNetConfig
from models.translation.layers import has_bias, norm_layer

DOWN_TAPS, UP_TAPS = (1.0, 2.0, 1.0), (1.0, 3.0, 3.0, 1.0)


class ResNetBlock(nn.Module):
    """Two convolutions, whose result is added to what came in; no activation after the sum."""

    def __init__(self, channels: int, norm: str, dropout: bool):
        super().__init__()
        bias = has_bias(norm)
        first = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm_layer(norm, channels), nn.ReLU()]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm_layer(norm, channels)]
        self.conv_block = nn.Sequential(*first, *([nn.Dropout(0.5)] if dropout else []), *second)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_block(features)


class Blur(nn.Module):
    """A filter for each channel; ``filt`` is in the published files."""

    filt: Tensor

    def __init__(self, channels: int, taps: tuple[float, ...], gain: float):
        super().__init__()
        row = torch.tensor(taps)
        square = row[:, None] * row
        self.register_buffer("filt", (square * (gain / square.sum())).expand(channels, 1, -1, -1).clone())


class BlurDown(Blur):
    """Halves the size, of the blurred."""

    def __init__(self, channels: int):
        super().__init__(channels, DOWN_TAPS, 1.0)

    def forward(self, features: Tensor) -> Tensor:
        return F.conv2d(F.pad(features, (1, 1, 1, 1), "reflect"), self.filt, stride=2, groups=features.shape[1])


class BlurUp(Blur):
    """Doubles the size, and blurs."""

    def __init__(self, channels: int):
        super().__init__(channels, UP_TAPS, 4.0)

    def forward(self, features: Tensor) -> Tensor:
        padded = F.pad(features, (1, 1, 1, 1), "replicate")
        doubled = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=features.shape[1])
        return doubled[:, :, 1:-1, 1:-1]


class ResNetGenerator(nn.Module):
    """(N, inputs, H, W) to (N, outputs, H, W), both in [-1, 1]; H and W are multiples of 4, from 8 up."""

    def __init__(self, config: ResNetConfig):
        super().__init__()
        width, norm = config.width, config.norm
        first = [nn.ReflectionPad2d(3), nn.Conv2d(config.inputs, width, 7, bias=has_bias(norm)), norm_layer(norm, width), nn.ReLU()]
        down = [*going_down(width, config), *going_down(2 * width, config)]
        blocks = [ResNetBlock(4 * width, norm, config.dropout) for _ in range(config.blocks)]
        up = [*going_up(4 * width, config), *going_up(2 * width, config)]
        last = [nn.ReflectionPad2d(3), nn.Conv2d(width, config.outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*first, *down, *blocks, *up, *last)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


def going_down(channels: int, config: ResNetConfig) -> Iterator[nn.Module]:
    yield nn.Conv2d(channels, 2 * channels, 3, 1 if config.antialias_down else 2, 1, bias=has_bias(config.norm))
    yield norm_layer(config.norm, 2 * channels)
    yield nn.ReLU()
    if config.antialias_down:
        yield BlurDown(2 * channels)


def going_up(channels: int, config: ResNetConfig) -> Iterator[nn.Module]:
    half, bias = channels // 2, has_bias(config.norm)
    if config.antialias_up:
        yield BlurUp(channels)
        yield nn.Conv2d(channels, half, 3, 1, 1, bias=bias)
    else:
        yield nn.ConvTranspose2d(channels, half, 3, 2, 1, output_padding=1, bias=bias)
    yield norm_layer(config.norm, half)
    yield nn.ReLU()
