"""StarGAN: one network for many attributes (Choi et al., CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.translation.config import StarGANConfig


def norm_layer(norm: str, channels: int) -> nn.Module:
    """With weights and running statistics, so that evaluation differs from training, as published; or none.

    A norm by the image takes away what a label adds everywhere alike: as published it is seen at the padded edges alone.
    """
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True) if norm == "instance" else nn.Identity()


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, norm: str):
        super().__init__()
        alone = norm == "none"  # then convolutions have biases of their own
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=alone),
            norm_layer(norm, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=alone),
            norm_layer(norm, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.main(features)


class StarGANGenerator(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] and label (N, label_size) to an image; H and W are multiples of 4."""

    def __init__(self, config: StarGANConfig):
        super().__init__()
        width, norm, self.residual = config.width, config.norm, config.residual
        alone = norm == "none"
        layers = [nn.Conv2d(3 + config.label_size, width, 7, 1, 3, bias=alone), norm_layer(norm, width), nn.ReLU()]
        for channels in (width, 2 * width):
            layers += [nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=alone), norm_layer(norm, 2 * channels), nn.ReLU()]
        layers += [ResidualBlock(4 * width, norm) for _ in range(config.blocks)]
        for channels in (4 * width, 2 * width):
            half = channels // 2
            layers += [nn.ConvTranspose2d(channels, half, 4, 2, 1, bias=alone), norm_layer(norm, half), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 3, 7, 1, 3, bias=alone), nn.Tanh())

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        everywhere = label[:, :, None, None].expand(-1, -1, *image.shape[2:])
        said = self.main(torch.cat([image, everywhere], dim=1))
        return image + said if self.residual else said


class StarGANDiscriminator(nn.Module):
    """Image (N, 3, S, S), S the configuration's image size, to scores (N, 1, s, s) and classes' logits (N, labels)."""

    def __init__(self, config: StarGANConfig):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for level in range(config.discriminator_layers):
            width = config.width * 2**level
            layers += [nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.01)]
            inputs = width
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(inputs, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(inputs, len(config.labels), config.image_size // 2**config.discriminator_layers, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.main(image)
        return self.conv1(features), self.conv2(features).flatten(1)
