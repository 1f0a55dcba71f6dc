"""StyleGAN2's residual discriminator, named as in NVIDIA's stylegan2-ada-pytorch, and a small one of patches.

The first judges the whole picture, which takes many pictures to learn. Where pairs already teach what a
picture shows, only its texture is left to judge: that of patches (Isola et al. 2017, "Image-to-Image
Translation with Conditional Adversarial Networks", at two scales as in Wang et al. 2018, pix2pixHD),
and with plain weights instead of equalised learning rates it is learned from hundreds.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.bias_act import LEAK
from models.generators.layers import (
    GAIN,
    FullyConnectedLayer,
    blur_kernel,
    channels_last,
    filter_depthwise,
)

PATCH_CHANNELS, PATCH_SCALES = (32, 64, 128), 2
DETAIL, DETAIL_GAIN = 4, 4.0  # pixels of a picture's coarse part; how much stronger the rest is shown


class Conv2dLayer(nn.Module):
    """Convolution with equalised learning rate, optional blur and halving, optional leaky ReLU."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        down: bool = False,
        activation: str = "lrelu",
        bias: bool = True,
        gain: float = 1.0,
    ):
        super().__init__()
        self.down, self.activation = down, activation
        self.padding = kernel_size // 2
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(channels_last(torch.randn(shape)))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.gain = gain * (GAIN if activation == "lrelu" else 1.0)
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.register_buffer("resample_filter", blur_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # The gain commutes with the leaky ReLU, so it rides on the few weights.
        weight = (self.weight * (self.weight_gain * self.gain)).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.gain).to(x.dtype)
        if self.down and self.padding:
            x = F.conv2d(filter_depthwise(x, self.resample_filter, padding=2), weight, bias, stride=2)
        elif self.down:
            x = F.conv2d(filter_depthwise(x, self.resample_filter, padding=1, stride=2), weight, bias)
        else:
            x = F.conv2d(x, weight, bias, padding=self.padding)
        return F.leaky_relu(x, LEAK) if self.activation == "lrelu" else x


class DiscriminatorBlock(nn.Module):
    """Two convolutions and a skip: (N, I, R, R) -> (N, O, R/2, R/2).

    ``fromrgb`` takes the pictures where they are of this block's size: the networks grow.
    """

    def __init__(self, channels: int, out_channels: int, img_channels: int):
        super().__init__()
        self.fromrgb = Conv2dLayer(img_channels, channels, 1)
        self.conv0 = Conv2dLayer(channels, channels, 3)
        self.conv1 = Conv2dLayer(channels, out_channels, 3, down=True, gain=math.sqrt(0.5))
        self.skip = Conv2dLayer(channels, out_channels, 1, down=True, activation="linear", bias=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.conv1(self.conv0(x))


class DiscriminatorEpilogue(nn.Module):
    """Minibatch deviation, convolution and two linear layers: (N, C, 4, 4) -> (N, 1)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2dLayer(channels + 1, channels, 3)
        self.fc = FullyConnectedLayer(channels * 16, channels, "lrelu")
        self.out = FullyConnectedLayer(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        deviation = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        x = torch.cat((x, deviation.expand(len(x), 1, *x.shape[2:])), dim=1)
        return self.out(self.fc(self.conv(x).flatten(1)))


class Discriminator(nn.Module):
    """Pictures (N, C, R, R) in [-1, 1] -> logits [(N, 1)] and each block's features.

    R is ``resolution`` or, while the networks grow, a smaller power of two from 8 up.
    """

    def __init__(self, resolution: int, img_channels: int, channels: dict[int, int]):
        super().__init__()
        self.dtype = torch.float32
        self.resolutions = [2**power for power in range(resolution.bit_length() - 1, 2, -1)]
        for size in self.resolutions:
            setattr(self, f"b{size}", DiscriminatorBlock(channels[size], channels[size // 2], img_channels))
        self.b4 = DiscriminatorEpilogue(channels[4])

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        x = channels_last(pictures.to(self.dtype))
        sizes = [size for size in self.resolutions if size <= pictures.shape[-1]]
        x, features = getattr(self, f"b{sizes[0]}").fromrgb(x), []
        for size in sizes:
            x = getattr(self, f"b{size}")(x)
            features.append(x)
        return [self.b4(x)], features


class PatchDiscriminator(nn.Module):
    """Pictures (N, C, R, R) in [-1, 1] -> logits of patches, one (N, 1, P, P) a scale, and features.

    Each scale sees 38 of its pixels at a time; R is any power of two from 16 up.
    """

    def __init__(self, img_channels: int):
        super().__init__()
        self.dtype = torch.float32
        self.scales = nn.ModuleList(patch_layers(2 * img_channels) for _ in range(PATCH_SCALES))

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        logits, features = [], []
        for layers in self.scales:
            coarse = F.interpolate(F.avg_pool2d(pictures, DETAIL), scale_factor=DETAIL, mode="bilinear", align_corners=False)
            x = channels_last(torch.cat((pictures, DETAIL_GAIN * (pictures - coarse)), dim=1).to(self.dtype))
            *first, last = layers.children()
            for layer in first:
                x = F.leaky_relu(judged(x, layer), LEAK)
                features.append(x)
            logits.append(judged(x, last).float())
            pictures = F.avg_pool2d(pictures, 2)
        return logits, features


def judged(x: Tensor, layer: nn.Module) -> Tensor:
    """A convolution in the type of what goes in."""
    conv = cast(nn.Conv2d, layer)
    return F.conv2d(x, conv.weight.to(x.dtype), cast(Tensor, conv.bias).to(x.dtype), conv.stride, cast(tuple[int, int], conv.padding))


def patch_layers(in_channels: int) -> nn.ModuleList:
    """Three halving convolutions and one that judges, with He's beginning."""
    sizes = (in_channels, *PATCH_CHANNELS)
    layers = [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(sizes)] + [nn.Conv2d(sizes[-1], 1, 3, padding=1)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, LEAK)
        nn.init.zeros_(layer.get_parameter("bias"))
    return nn.ModuleList(layers)
