"""pix2pix's generator: a U-Net (Isola et al., CVPR 2017; Ronneberger et al., MICCAI 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.translation.config import UNetConfig
from models.translation.layers import has_bias, norm_layer


class UNetLevel(nn.Module):
    """Halves the size, lets ``inside`` work there, doubles it, and adds its own input as further channels."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, norm: str, dropout: bool = False):
        super().__init__()
        bias = has_bias(norm)
        down: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        if inside is not None:
            down += [norm_layer(norm, inner), inside]
        coming_up = inner if inside is None else 2 * inner
        up = [nn.ReLU(), nn.ConvTranspose2d(coming_up, outer, 4, 2, 1, bias=bias), norm_layer(norm, outer)]
        self.model = nn.Sequential(*down, *up, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.model(features)], dim=1)


class OutermostLevel(nn.Module):
    """The level at full size: images in and out, without norms."""

    def __init__(self, inputs: int, outputs: int, width: int, inside: nn.Module, norm: str):
        super().__init__()
        first = nn.Conv2d(inputs, width, 4, 2, 1, bias=has_bias(norm))
        self.model = nn.Sequential(first, inside, nn.ReLU(), nn.ConvTranspose2d(2 * width, outputs, 4, 2, 1), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class UNetGenerator(nn.Module):
    """(N, inputs, H, W) to (N, outputs, H, W), both in [-1, 1]; H and W are multiples of 2 ** levels."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        width, norm = config.width, config.norm
        level = UNetLevel(8 * width, 8 * width, None, norm)
        for _ in range(config.levels - 5):
            level = UNetLevel(8 * width, 8 * width, level, norm, config.dropout)
        for outer in (4 * width, 2 * width, width):
            level = UNetLevel(outer, 2 * outer, level, norm)
        self.model = OutermostLevel(config.inputs, config.outputs, width, level, norm)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)
