"""What NVIDIA's published code does on a processor in plain float32, operation by operation.

After torch_utils/ops and training/networks of stylegan2-ada-pytorch and stylegan3, the slow
paths that run without CUDA: grouped convolutions with modulated weights, a transposed
convolution and a filter to go up, zero insertion and full filters around StyleGAN3's leaky ReLU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators import Generator
from models.generators.stylegan3_config import StyleGAN3Config


def upfirdn2d(
    x: Tensor, taps: Tensor | None, up: int = 1, down: int = 1, padding: tuple[int, int, int, int] = (0, 0, 0, 0), gain: float = 1.0
) -> Tensor:
    """Insert zeros, pad or crop (left, right, top, bottom), convolve, keep every ``down``-th sample."""
    taps = x.new_ones(1, 1) if taps is None else taps
    n, channels, height, width = x.shape
    x = F.pad(x.reshape(n, channels, height, 1, width, 1), [0, up - 1, 0, 0, 0, up - 1])
    x = F.pad(x.reshape(n, channels, height * up, width * up), [max(part, 0) for part in padding])
    left, right, top, bottom = (max(-part, 0) for part in padding)
    x = x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]
    taps = (taps * gain ** (taps.ndim / 2)).flip(list(range(taps.ndim)))
    taps = taps[None, None].repeat([channels, 1] + [1] * taps.ndim)
    if taps.ndim == 4:
        x = F.conv2d(x, taps, groups=channels)
    else:
        x = F.conv2d(F.conv2d(x, taps[:, :, None], groups=channels), taps[:, :, :, None], groups=channels)
    return x[:, :, ::down, ::down]


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    demodulate: bool,
    padding: int = 0,
    up_filter: Tensor | None = None,
    gain: Tensor | None = None,
) -> Tensor:
    """One group for each sample, with weights of its own; ``up_filter`` doubles the size."""
    batch = len(x)
    weight = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    if gain is not None:
        weight = weight * gain
    x = x.reshape(1, -1, *x.shape[2:])
    if up_filter is None:
        y = F.conv2d(x, weight.flatten(0, 1), padding=padding, groups=batch)
    else:
        y = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=batch)
        y = upfirdn2d(y, up_filter, padding=(1, 1, 1, 1), gain=4)
    return y.reshape(batch, -1, *y.shape[2:])


def stylegan2(network: nn.Module, ws: Tensor) -> Tensor:
    """The synthesis of a StyleGAN2 with constant noise: ws (N, num_ws, w_dim) -> (N, C, R, R)."""
    image, x, index = None, network.b4.const[None].repeat(len(ws), 1, 1, 1), 0
    for size in network.block_resolutions:
        block = getattr(network, f"b{size}")
        for layer in [block.conv1] if block.first else [block.conv0, block.conv1]:
            up_filter = layer.resample_filter if layer.up else None
            x = modulated_conv2d(x, layer.weight, layer.affine(ws[:, index]), True, 1, up_filter)
            x = x + layer.noise_const * layer.noise_strength
            x = F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)
            x = x if layer.clamp is None else x.clamp(-layer.clamp, layer.clamp)
            index += 1
        to_rgb = block.torgb
        y = modulated_conv2d(x, to_rgb.weight, to_rgb.affine(ws[:, index]) * to_rgb.weight_gain, False)
        y = y + to_rgb.bias[:, None, None]
        y = y if to_rgb.clamp is None else y.clamp(-to_rgb.clamp, to_rgb.clamp)
        taps = block.conv1.resample_filter
        image = y if image is None else upfirdn2d(image, taps, up=2, padding=(2, 1, 2, 1), gain=4) + y
    return image


def stylegan3(network: nn.Module, ws: Tensor) -> Tensor:
    """The synthesis of a StyleGAN3: ws (N, num_ws, w_dim) -> (N, 3, R, R)."""
    x = network.input(ws[:, 0]).contiguous()
    for name, w in zip(network.layer_names, ws.unbind(1)[1:], strict=False):
        layer = getattr(network, name)
        config, weight, styles = layer.config, layer.weight, layer.affine(w)
        if config.to_rgb:
            styles = styles / math.sqrt(weight[0].numel())
        else:
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
            styles = styles * styles.square().mean().rsqrt()
        x = modulated_conv2d(x, weight, styles, not config.to_rgb, config.kernel - 1, gain=layer.magnitude_ema.rsqrt())
        x = upfirdn2d(x + layer.bias[:, None, None], layer.up_filter, config.up, 1, config.padding, config.up**2)
        x = x if config.to_rgb else F.leaky_relu(x, 0.2) * math.sqrt(2)
        x = x if config.conv_clamp is None else x.clamp(-config.conv_clamp, config.conv_clamp)
        x = upfirdn2d(x, layer.down_filter, 1, config.down)
    return x * network.output_scale


def synthesis(generator: Generator, ws: Tensor) -> Tensor:
    """What NVIDIA's code puts out for ``ws``, before any clipping."""
    run = stylegan3 if isinstance(generator.config, StyleGAN3Config) else stylegan2
    return run(generator.synthesis, ws)


class Floor:
    """All convolutions of a network, bare, channels last: what nothing built of them can beat."""

    def __init__(self, generator: Generator, dtype: torch.dtype, device: str = "cpu"):
        self.work = []
        for weight, size, padding in convolutions(generator):
            weight = weight.to(device, dtype).contiguous(memory_format=torch.channels_last)
            x = torch.randn(1, weight.shape[1], size, size, device=device, dtype=dtype)
            self.work.append((x.contiguous(memory_format=torch.channels_last), weight, padding))

    def __call__(self) -> None:
        for x, weight, padding in self.work:
            F.conv2d(x, weight, padding=padding)

    @property
    def products(self) -> int:
        """Multiply-adds, edges aside."""
        return sum(weight.numel() * x.shape[2] * x.shape[3] for x, weight, _ in self.work)


def convolutions(generator: Generator) -> list[tuple[Tensor, int, tuple[int, int]]]:
    """(weight, side of the input, padding) of each; one that goes up counts as its four phases."""
    network, found = generator.synthesis, []
    if isinstance(generator.config, StyleGAN3Config):
        layers = [getattr(network, name) for name in network.layer_names]
        return [(layer.weight, layer.config.in_size, (layer.config.kernel - 1,) * 2) for layer in layers]
    for size in network.block_resolutions:
        block = getattr(network, f"b{size}")
        for layer in [block.conv1] if block.first else [block.conv0, block.conv1]:
            if not layer.up:
                found.append((layer.weight, size, (1, 1)))
                continue
            for rows in ([2, 0], [1]):
                for columns in ([2, 0], [1]):
                    weight = layer.weight[:, :, rows][:, :, :, columns]
                    found.append((weight, size // 2, (len(rows) - 1, len(columns) - 1)))
    return found
