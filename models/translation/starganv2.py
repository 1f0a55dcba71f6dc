"""StarGAN v2: many styles of many domains (Choi et al., CVPR 2020), written from the paper and the facts of its files."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.translation.config import StarGANv2Config
from models.translation.face_alignment_network import FaceAlignmentNetwork
from models.translation.layers import of_domain

Masks = tuple[Tensor, Tensor]
SKIPS = {32: 0, 64: 1, 128: 1}  # height of the features that may skip the bottleneck -> which of the two masks


class ResidualBlock(nn.Module):
    """Norm, activation and convolution, twice; the size halves between the two."""

    def __init__(self, inputs: int, outputs: int, normalise: bool, halves: bool):
        super().__init__()
        self.halves = halves
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm1 = nn.InstanceNorm2d(inputs, affine=True) if normalise else nn.Identity()
        self.norm2 = nn.InstanceNorm2d(inputs, affine=True) if normalise else nn.Identity()
        self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        shortcut = self.shrink(self.conv1x1(features))
        inner = self.shrink(self.conv1(F.leaky_relu(self.norm1(features), 0.2)))
        inner = self.conv2(F.leaky_relu(self.norm2(inner), 0.2))
        return (shortcut + inner) / math.sqrt(2)

    def shrink(self, features: Tensor) -> Tensor:
        return F.avg_pool2d(features, 2) if self.halves else features


class StyleNorm(nn.Module):
    """Instance norm whose scale and offset come from the style (AdaIN); or without the norm (FiLM)."""

    def __init__(self, style_dim: int, channels: int, normalise: bool):
        super().__init__()
        self.normalise = normalise
        self.fc = nn.Linear(style_dim, 2 * channels)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        scale, offset = self.fc(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * (F.instance_norm(features) if self.normalise else features) + offset


class StyledBlock(nn.Module):
    """Style norm, activation and convolution, twice. With a high-pass skip there is no shortcut, though its weights exist."""

    def __init__(self, inputs: int, outputs: int, config: StarGANv2Config, doubles: bool):
        super().__init__()
        self.doubles, self.has_shortcut = doubles, config.high_pass == 0
        normalise = config.norm == "instance"
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm1 = StyleNorm(config.style_dim, inputs, normalise)
        self.norm2 = StyleNorm(config.style_dim, outputs, normalise)
        self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        inner = self.conv1(self.grow(F.leaky_relu(self.norm1(features, style), 0.2)))
        inner = self.conv2(F.leaky_relu(self.norm2(inner, style), 0.2))
        if not self.has_shortcut:
            return inner
        return (inner + self.conv1x1(self.grow(features))) / math.sqrt(2)

    def grow(self, features: Tensor) -> Tensor:
        return F.interpolate(features, scale_factor=2, mode="nearest") if self.doubles else features


class HighPass(nn.Module):
    """What is finer than three pixels, of each channel."""

    filter: Tensor

    def __init__(self, divisor: float):
        super().__init__()
        self.register_buffer("filter", torch.tensor([[-1.0, -1.0, -1.0], [-1.0, 8.0, -1.0], [-1.0, -1.0, -1.0]]) / divisor)

    def forward(self, features: Tensor) -> Tensor:
        channels = features.shape[1]
        return F.conv2d(features, self.filter.expand(channels, 1, 3, 3), padding=1, groups=channels)


class StarGANv2Generator(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] and style (N, style_dim) to an image, not clipped; H and W are multiples of 2 ** downs.

    With ``masks`` (each N, 1, h, w, 0 to 1) fine detail of the features 32, 64 and 128 px high skips the bottleneck.
    """

    def __init__(self, config: StarGANv2Config):
        super().__init__()
        self.residual, widths = config.residual, widths_down(config, config.downs)
        normalise = config.norm == "instance"
        steps = list(pairwise(widths))
        self.from_rgb = nn.Conv2d(3, widths[0], 3, 1, 1)
        self.encode = nn.ModuleList([ResidualBlock(wide, deep, normalise, True) for wide, deep in steps])
        self.encode.extend(ResidualBlock(widths[-1], widths[-1], normalise, False) for _ in range(2))
        self.decode = nn.ModuleList([StyledBlock(widths[-1], widths[-1], config, False) for _ in range(2)])
        self.decode.extend(StyledBlock(deep, wide, config, True) for wide, deep in reversed(steps))
        last = nn.InstanceNorm2d(widths[0], affine=True) if normalise else nn.Identity()
        self.to_rgb = nn.Sequential(last, nn.LeakyReLU(0.2), nn.Conv2d(widths[0], 3, 1))
        if config.high_pass:
            self.hpf = HighPass(config.high_pass)

    @property
    def style_norms(self) -> list[StyleNorm]:
        return [module for module in self.modules() if isinstance(module, StyleNorm)]

    def forward(self, image: Tensor, style: Tensor, masks: Masks | None = None) -> Tensor:
        features = self.from_rgb(image)
        kept: dict[int, Tensor] = {}
        for block in self.encode:
            if masks is not None:
                kept[features.shape[2]] = features
            features = block(features)
        for block in self.decode:
            features = block(features, style)
            height = features.shape[2]
            if masks is not None and height in SKIPS and height in kept:
                mask = F.interpolate(masks[SKIPS[height]], size=features.shape[2:], mode="bilinear", align_corners=False)
                features = features + self.hpf(mask * kept[height])
        return image + self.to_rgb(features) if self.residual else self.to_rgb(features)


def widths_down(config: StarGANv2Config, count: int) -> list[int]:
    """Channels at full size and after each of ``count`` steps down."""
    return [min(config.width * 2**step, max(config.max_width, config.width)) for step in range(count + 1)]


class MappingNetwork(nn.Module):
    """Latent (N, latent_dim) and domain (N,) to style (N, style_dim)."""

    def __init__(self, config: StarGANv2Config):
        super().__init__()
        hidden = config.hidden
        self.shared = nn.Sequential(*perceptron(config.latent_dim, hidden, 4), nn.ReLU())
        self.unshared = nn.ModuleList(
            nn.Sequential(*perceptron(hidden, hidden, 3), nn.ReLU(), nn.Linear(hidden, config.style_dim)) for _ in config.domains
        )

    def forward(self, latent: Tensor, domain: Tensor) -> Tensor:
        shared = self.shared(latent)
        return of_domain(torch.stack([layers(shared) for layers in self.unshared], dim=1), domain)


def perceptron(inputs: int, hidden: int, count: int) -> list[nn.Module]:
    """``count`` linear layers with activations between them."""
    layers: list[nn.Module] = [nn.Linear(inputs, hidden)]
    for _ in range(count - 1):
        layers += [nn.ReLU(), nn.Linear(hidden, hidden)]
    return layers


def shrinking_layers(config: StarGANv2Config) -> tuple[list[nn.Module], int]:
    """From an image of the configured size to features (N, width, 1, 1), and that width."""
    widths = widths_down(config, int(math.log2(config.image_size)) - 2)
    blocks = [ResidualBlock(wide, deep, False, True) for wide, deep in pairwise(widths)]
    last = [nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], widths[-1], 4), nn.LeakyReLU(0.2)]
    return [nn.Conv2d(3, widths[0], 3, 1, 1), *blocks, *last], widths[-1]


class StyleEncoder(nn.Module):
    """Image (N, 3, S, S) of the configured size and domain (N,) to style (N, style_dim)."""

    def __init__(self, config: StarGANv2Config):
        super().__init__()
        layers, width = shrinking_layers(config)
        self.shared = nn.Sequential(*layers)
        self.unshared = nn.ModuleList(nn.Linear(width, config.style_dim) for _ in config.domains)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        shared = self.shared(image).flatten(1)
        return of_domain(torch.stack([layer(shared) for layer in self.unshared], dim=1), domain)


class StarGANv2Discriminator(nn.Module):
    """Image (N, 3, S, S) of the configured size and domain (N,) to logits (N,), high for a real one of that domain."""

    def __init__(self, config: StarGANv2Config):
        super().__init__()
        layers, width = shrinking_layers(config)
        self.main = nn.Sequential(*layers, nn.Conv2d(width, len(config.domains), 1))

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        return of_domain(self.main(image).flatten(1), domain)


class StarGANv2(nn.Module):
    """The networks that a checkpoint holds, under its names; ``fan`` finds the parts of the face for the masks."""

    def __init__(self, config: StarGANv2Config):
        super().__init__()
        self.generator = StarGANv2Generator(config)
        self.mapping_network = MappingNetwork(config)
        self.style_encoder = StyleEncoder(config)
        if config.masks:
            self.fan = FaceAlignmentNetwork(config.fan_width)

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        return self.generator(image, style, self.fan.masks(image) if hasattr(self, "fan") else None)
