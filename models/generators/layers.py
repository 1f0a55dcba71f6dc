"""Building blocks of StyleGAN2, named and scaled as in NVIDIA's stylegan2-ada-pytorch.

Formulas: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020),
section 2.2 (modulation and demodulation) and appendix B (equalised learning rates).
Modulation scales the activations and demodulation the results, which equals scaling the
weights per sample but lets a whole batch share one convolution.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.bias_act import LEAK, activate, modulate, rows

GAIN = math.sqrt(2.0)


def blur_kernel() -> Tensor:
    """The separable filter [1, 3, 3, 1], normalised to sum 1, as (4, 4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps)
    return kernel / kernel.sum()


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def filter_depthwise(x: Tensor, kernel: Tensor, padding: int, stride: int = 1) -> Tensor:
    """Correlate every channel of ``x`` (N, C, H, W) with ``kernel`` (k, k)."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, padding=padding, stride=stride, groups=channels)


def upsample_image(x: Tensor) -> Tensor:
    """Twice the size by the filter [1, 3, 3, 1] with zeros outside: (N, C, H, W) -> (N, C, 2H, 2W)."""
    for axis in (2, 3):
        size = x.shape[axis]
        padded = F.pad(x, (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0))
        before, here, after = (padded.narrow(axis, start, size) for start in (0, 1, 2))
        even, odd = before * 0.25 + here * 0.75, here * 0.75 + after * 0.25
        x = torch.stack((even, odd), dim=axis + 1).flatten(axis, axis + 1)
    return x


def convolve_up(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """3x3 convolution to twice the size: stride-2 transposed convolution, then the blur."""
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return filter_depthwise(y, kernel * 4, padding=1)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """1 / norm of each modulated filter: weight (O, I, k, k), styles (N, I) -> (N, O)."""
    energy = weight.float().square().sum(dim=(2, 3))
    return (styles.square() @ energy.t() + 1e-8).rsqrt()


class FullyConnectedLayer(nn.Module):
    """Linear layer with equalised learning rate: (N, in) -> (N, out)."""

    def __init__(self, in_features: int, out_features: int, activation: str = "linear", lr_multiplier: float = 1.0, bias_init: float = 0.0):
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return F.leaky_relu(y, LEAK) * GAIN if self.activation == "lrelu" else y


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU: (N, I, H, W) -> (N, O, R, R)."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up: bool = False, clamp: float | None = None):
        super().__init__()
        self.clamp = clamp
        self.resolution = resolution
        self.up = up
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(channels_last(torch.randn(out_channels, in_channels, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", blur_kernel(), persistent=False)

    def noise(self, mode: str | Tensor, batch: int) -> Tensor | None:
        if isinstance(mode, Tensor):
            return mode
        if mode == "none":
            return None
        if mode == "random":
            return torch.randn((batch, 1, *self.noise_const.shape), device=self.noise_const.device)
        return self.noise_const

    def forward(self, x: Tensor, w: Tensor, noise: str | Tensor = "const") -> Tensor:
        """``noise``: const, none, random (from torch's own state), or what was drawn, (N, 1, R, R)."""
        styles = self.affine(w)
        x = modulate(x, styles)
        weight = self.weight.to(x.dtype)
        x = convolve_up(x, weight, self.resample_filter) if self.up else F.conv2d(x, weight, padding=1)
        # The activation's gain commutes with the leaky ReLU, so it rides on scale, bias and noise.
        scale = demodulation(self.weight, styles) * GAIN
        x = activate(x, scale, self.bias * GAIN, self.noise(noise, len(w)), self.noise_strength * GAIN)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ToRGBLayer(nn.Module):
    """Modulated 1x1 convolution to image channels, without demodulation: -> float32 (N, C, R, R)."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.weight_gain = 1.0 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        # The weights are few: modulating them per sample spares a pass over the activations.
        weight = (self.weight[None, :, :, 0, 0] * styles[:, None]).to(x.dtype)
        colour = torch.bmm(rows(x), weight.transpose(1, 2)).float() + self.bias
        if self.clamp is not None:
            colour = colour.clamp(-self.clamp, self.clamp)
        return colour.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
