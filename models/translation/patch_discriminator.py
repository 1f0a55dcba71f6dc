"""What judges pix2pix and CycleGAN: each patch of an image, or each of its pixels (Isola et al., CVPR 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from models.translation.config import PatchConfig
from models.translation.layers import has_bias, norm_layer


class PatchDiscriminator(nn.Module):
    """(N, inputs, H, W) to scores (N, 1, h, w), high for real ones: 30 x 30 of 256 x 256 with 3 layers."""

    def __init__(self, config: PatchConfig):
        super().__init__()
        widths = [config.width * min(2**level, 8) for level in range(config.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(config.inputs, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(1, config.layers + 1):
            stride = 2 if level < config.layers else 1
            layers += [
                nn.Conv2d(widths[level - 1], widths[level], 4, stride, 1, bias=has_bias(config.norm)),
                norm_layer(config.norm, widths[level]),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class PixelDiscriminator(nn.Module):
    """(N, inputs, H, W) to scores (N, 1, H, W), each from its own pixel alone."""

    def __init__(self, config: PatchConfig):
        super().__init__()
        width, bias = config.width, has_bias(config.norm)
        self.net = nn.Sequential(
            nn.Conv2d(config.inputs, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            norm_layer(config.norm, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)


def make_discriminator(config: PatchConfig) -> PatchDiscriminator | PixelDiscriminator:
    return PatchDiscriminator(config) if config.layers else PixelDiscriminator(config)
