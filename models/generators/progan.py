"""The ProGAN generator.

Formulas: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and
Variation" (2018), section 4 and appendix A, as in
https://github.com/tkarras/progressive_growing_of_gans (networks.py, G_paper).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.bias_act import LEAK
from models.generators.config import ProGANConfig
from models.generators.layers import GAIN
from models.generators.noise import check_noise
from models.generators.stylegan1 import ToRGB, convolve_up
from models.generators.stylegan2 import normalize_2nd_moment, truncate


class MappingNetwork(nn.Module):
    """z (N, z_dim), label c (N, c_dim) or None -> w (N, 1, z_dim + c_dim): both normalised together."""

    w_avg: Tensor

    def __init__(self, config: ProGANConfig):
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws = config.z_dim, config.c_dim, 1
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def single(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation: (N, w_dim)."""
        x = z.float()
        if self.c_dim:
            c = torch.zeros(len(z), self.c_dim, device=z.device) if c is None else c
            x = torch.cat((x, c.float()), dim=1)
        return normalize_2nd_moment(x)

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float | Sequence[float] = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """Truncation moves w towards 0: the network knows no average."""
        return truncate(self.single(z, c)[:, None], self.w_avg, truncation_psi, truncation_cutoff)


def normalize_pixels(x: Tensor) -> Tensor:
    """Scale each pixel of (N, C, H, W) to mean square 1 over its channels."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Layer(nn.Module):
    """Weights and bias of a layer; ``finish`` is what follows each of them."""

    def __init__(self, *shape: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))

    def scaled(self, gain: float = GAIN, fan_in: int | None = None) -> Tensor:
        return self.weight * (gain / math.sqrt(fan_in or self.weight[0].numel()))

    def finish(self, x: Tensor) -> Tensor:
        return normalize_pixels(F.leaky_relu(x.float() + self.bias[:, None, None], LEAK))


class SynthesisNetwork(nn.Module):
    """w (N, 1, w_dim) -> picture float32 (N, 3, R, R) in [-1, 1]."""

    noise_sizes: tuple[int, ...] = ()

    def __init__(self, config: ProGANConfig):
        super().__init__()
        self.block_resolutions = config.block_resolutions
        self.dtype = torch.float32
        before = 0
        for size in self.block_resolutions:
            channels = config.channels[size]
            block = nn.Module()
            block.conv0 = Layer(channels, 16, config.w_dim) if size == 4 else Layer(channels, before, 3, 3)
            block.conv1 = Layer(channels, channels, 3, 3)
            setattr(self, f"b{size}", block)
            before = channels
        self.torgb = ToRGB(before, config.img_channels)

    def raw(self, ws: Tensor, noise: str = "const", seed: int | None = None) -> Tensor:
        """The picture, unclipped; ``noise`` is only checked, for this network draws none."""
        check_noise(noise)
        x = None
        for size in self.block_resolutions:
            block = getattr(self, f"b{size}")
            if x is None:
                # This layer's gain is a quarter of the others'.
                weight = block.conv0.scaled(GAIN / 4, block.conv0.weight.shape[2])
                x = torch.einsum("cpi,ni->ncp", weight, ws[:, 0].float()).unflatten(2, (4, 4))
            else:
                x = convolve_up(x.to(self.dtype), block.conv0.scaled().to(self.dtype))
            x = block.conv0.finish(x)
            x = block.conv1.finish(F.conv2d(x.to(self.dtype), block.conv1.scaled().to(self.dtype), padding=1))
        return self.torgb(x)

    forward = raw
