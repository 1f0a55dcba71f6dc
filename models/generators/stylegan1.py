"""The StyleGAN 1 networks.

Formulas: Karras et al., "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2019), section 2 and appendix C, as in https://github.com/NVlabs/stylegan
(training/networks_stylegan.py). Names follow our StyleGAN2's where the parts are the same.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators import stylegan2
from models.generators.bias_act import LEAK
from models.generators.config import StyleGAN1Config
from models.generators.layers import GAIN, FullyConnectedLayer
from models.generators.noise import check_noise, draw_noise
from models.generators.stylegan2 import normalize_2nd_moment

EPSILON = 1e-8


class MappingNetwork(stylegan2.MappingNetwork):
    """z (N, z_dim), label c (N, c_dim) or None -> w (N, num_ws, w_dim), optionally truncated."""

    def __init__(self, config: StyleGAN1Config):
        nn.Module.__init__(self)
        self.z_dim, self.c_dim, self.num_ws = config.z_dim, config.c_dim, config.num_ws
        self.num_layers, self.rate = config.mapping_layers, config.mapping_lr_multiplier
        if config.c_dim:
            self.register_parameter("embed", nn.Parameter(torch.randn(config.z_dim, config.c_dim)))
        inputs = config.z_dim * (2 if config.c_dim else 1)
        for index in range(self.num_layers):
            setattr(self, f"fc{index}", nn.Linear(inputs, config.w_dim))
            inputs = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def single(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation: (N, w_dim)."""
        x = z.float()
        if self.c_dim:
            c = torch.zeros(len(z), self.c_dim, device=z.device) if c is None else c
            x = torch.cat((x, c.float() @ self.get_parameter("embed").t()), dim=1)
        x = normalize_2nd_moment(x)
        for index in range(self.num_layers):
            layer = getattr(self, f"fc{index}")
            # The activation's gain is in the weights' scale here, so the bias does not get it.
            weight = layer.weight * (GAIN / math.sqrt(x.shape[1]) * self.rate)
            x = F.leaky_relu(F.linear(x, weight, layer.bias * self.rate), LEAK)
        return x


class Epilogue(nn.Module):
    """Noise, bias, leaky ReLU, then the style replaces mean and deviation: (N, C, R, R), w -> (N, C, R, R)."""

    noise_const: Tensor

    def __init__(self, channels: int, w_dim: int, resolution: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = FullyConnectedLayer(w_dim, 2 * channels)
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: str | Tensor, dtype: torch.dtype) -> Tensor:
        """``dtype`` is what the layers with a convolution run it in."""
        return self.finish(x, w, noise)

    def finish(self, x: Tensor, w: Tensor, noise: str | Tensor) -> Tensor:
        if isinstance(noise, Tensor) or noise == "const":
            values = noise if isinstance(noise, Tensor) else self.noise_const
            x = x + values * self.noise_strength[:, None, None]
        x = F.leaky_relu(x + self.bias[:, None, None], LEAK)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x * (x.square().mean(dim=(2, 3), keepdim=True) + EPSILON).rsqrt()
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        return x * (scale + 1) + shift


class ConvolutionLayer(Epilogue):
    """3x3 convolution, to twice the size if ``up``, and its epilogue."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up: bool = False):
        super().__init__(out_channels, w_dim, resolution)
        self.up = up
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))

    def forward(self, x: Tensor, w: Tensor, noise: str | Tensor, dtype: torch.dtype) -> Tensor:
        weight = self.weight * (GAIN / math.sqrt(self.weight[0].numel()))
        x = x.to(dtype)
        x = blur(convolve_up(x, weight.to(dtype)).float()) if self.up else F.conv2d(x, weight.to(dtype), padding=1)
        return self.finish(x.float(), w, noise)


def convolve_up(x: Tensor, weight: Tensor) -> Tensor:
    """Each sample four times, then a convolution with the mirrored weight (O, I, 3, 3), as one: twice the size."""
    spread = F.pad(weight, (1, 1, 1, 1))
    spread = spread[:, :, 1:, 1:] + spread[:, :, :-1, 1:] + spread[:, :, 1:, :-1] + spread[:, :, :-1, :-1]
    return F.conv_transpose2d(x, spread.transpose(0, 1), stride=2, padding=1)


def blur(x: Tensor) -> Tensor:
    """The filter [1, 2, 1] / 4 along both axes, zeros outside."""
    taps = x.new_tensor([0.25, 0.5, 0.25])
    channels = x.shape[1]
    x = F.conv2d(x, taps.view(1, 1, 3, 1).expand(channels, 1, 3, 1), padding=(1, 0), groups=channels)
    return F.conv2d(x, taps.view(1, 1, 1, 3).expand(channels, 1, 1, 3), padding=(0, 1), groups=channels)


class ToRGB(nn.Module):
    """1x1 convolution to image channels: -> float32 (N, 3, R, R)."""

    def __init__(self, in_channels: int, img_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / math.sqrt(self.weight.shape[1])
        return F.conv2d(x.float(), weight[:, :, None, None], self.bias)


class SynthesisBlock(nn.Module):
    """Both layers of one resolution; the first of all begins with a constant."""

    def __init__(self, in_channels: int, channels: int, w_dim: int, resolution: int):
        super().__init__()
        self.first = in_channels == 0
        if self.first:
            self.const = nn.Parameter(torch.ones(channels, resolution, resolution))
            self.conv0 = Epilogue(channels, w_dim, resolution)
        else:
            self.conv0 = ConvolutionLayer(in_channels, channels, w_dim, resolution, up=True)
        self.conv1 = ConvolutionLayer(channels, channels, w_dim, resolution)

    def forward(self, x: Tensor | None, ws: Tensor, noises: list[str | Tensor], dtype: torch.dtype) -> Tensor:
        begin = self.const[None].expand(len(ws), -1, -1, -1) if self.first else x
        x = self.conv0(begin, ws[:, 0], noises[0], dtype)
        return self.conv1(x, ws[:, 1], noises[1], dtype)


class SynthesisNetwork(nn.Module):
    """w (N, num_ws, w_dim) -> picture float32 (N, 3, R, R) in [-1, 1]."""

    def __init__(self, config: StyleGAN1Config):
        super().__init__()
        self.block_resolutions = config.block_resolutions
        self.dtype = torch.float32
        before = 0
        for resolution in self.block_resolutions:
            channels = config.channels[resolution]
            setattr(self, f"b{resolution}", SynthesisBlock(before, channels, config.w_dim, resolution))
            before = channels
        self.torgb = ToRGB(before, config.img_channels)

    @property
    def noise_sizes(self) -> list[int]:
        """The side of each layer's noise."""
        return [size for size in self.block_resolutions for _ in range(2)]

    def raw(self, ws: Tensor, noise: str = "const", seed: int | None = None) -> Tensor:
        """The picture, unclipped; ``noise`` "const", "none", or "random", by ``seed`` if one is given."""
        check_noise(noise)
        noises: list[str | Tensor] = [noise] * len(self.noise_sizes)
        if noise == "random":
            seed = int(torch.randint(2**62, ())) if seed is None else seed
            noises = list(draw_noise(self.noise_sizes, len(ws), seed, ws.device))
        x, ws = None, ws.float()
        for index, size in enumerate(self.block_resolutions):
            part = slice(2 * index, 2 * index + 2)
            x = getattr(self, f"b{size}")(x, ws[:, part], noises[part], self.dtype)
        return self.torgb(x)

    forward = raw
