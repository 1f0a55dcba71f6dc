"""A StyleGAN2 that renderings of the rig steer: each layer's noise is replaced by a convolution of guide maps.

w says who somebody is; where every lid and lip is, the maps say (see ``guide.py``). The idea is that of GIF (Ghosh et
al., 3DV 2020). Names are those of ``stylegan2.py``, with ``guide`` in place of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.bias_act import LEAK, modulate
from models.generators.config import GeneratorConfig
from models.generators.errors import bad_config
from models.generators.layers import (
    GAIN,
    FullyConnectedLayer,
    ToRGBLayer,
    blur_kernel,
    channels_last,
    convolve_up,
    demodulation,
    upsample_image,
)
from models.generators.stylegan2 import over_backdrop, truncate

WIDE_UP_TO = 32  # pixels: guide convolutions are 3x3 up to here, 1x1 above
GUIDE_STD = 0.3  # of a guide convolution's first weights, times the square root of its inputs
MOST_GUIDES = 256


@dataclass(frozen=True)
class GuidedConfig(GeneratorConfig):
    """``guide_channels`` maps steer the picture; the first ``person`` numbers of z say who it shows, the others nothing."""

    guide_channels: int = 64
    person: int = 0

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.guide_channels <= MOST_GUIDES:
            raise bad_config(f"guide_channels is {self.guide_channels}, expected 1 to {MOST_GUIDES}")
        if not 0 <= self.person <= self.z_dim:
            raise bad_config(f"person is {self.person}, expected 0 to {self.z_dim}")

    @property
    def size(self) -> int:
        """How many numbers a generator of this configuration holds."""
        guides = sum(
            self.channels[size] * self.guide_channels * guide_kernel(size) ** 2 * (1 if size == 4 else 2) for size in self.block_resolutions
        )
        return super().size + guides


def guide_kernel(resolution: int) -> int:
    """Side of the guide convolutions at a resolution."""
    return 3 if resolution <= WIDE_UP_TO else 1


class GuidedLayer(nn.Module):
    """Modulated 3x3 convolution, guide, bias and leaky ReLU: (N, I, H, W) -> (N, O, R, R)."""

    def __init__(self, in_channels: int, out_channels: int, config: GuidedConfig, resolution: int, up: bool = False):
        super().__init__()
        self.up = up
        kernel = guide_kernel(resolution)
        self.affine = FullyConnectedLayer(config.w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(channels_last(torch.randn(out_channels, in_channels, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        fan_in = config.guide_channels * kernel**2
        self.guide = nn.Parameter(torch.randn(out_channels, config.guide_channels, kernel, kernel) * (GUIDE_STD * fan_in**-0.5))
        self.register_buffer("resample_filter", blur_kernel(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, guide: Tensor) -> Tensor:
        """``guide`` (N, G, R, R) are the maps at this layer's size."""
        styles = self.affine(w)
        x = modulate(x, styles)
        weight = self.weight.to(x.dtype)
        x = convolve_up(x, weight, self.resample_filter) if self.up else F.conv2d(x, weight, padding=1)
        told = F.conv2d(guide.to(x.dtype), self.guide.to(x.dtype), self.bias.to(x.dtype), padding=self.guide.shape[-1] // 2)
        scale = demodulation(self.weight, styles).to(x.dtype)
        return F.leaky_relu(torch.addcmul(told, x, scale[..., None, None]), LEAK) * GAIN


class GuidedBlock(nn.Module):
    """All layers of one resolution."""

    def __init__(self, in_channels: int, out_channels: int, config: GuidedConfig, resolution: int):
        super().__init__()
        self.first = in_channels == 0
        if self.first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = GuidedLayer(in_channels, out_channels, config, resolution, up=True)
        self.conv1 = GuidedLayer(out_channels, out_channels, config, resolution)
        self.torgb = ToRGBLayer(out_channels, config.img_channels, config.w_dim)
        self.num_conv = 1 if self.first else 2

    def forward(self, x: Tensor | None, image: Tensor | None, ws: Tensor, guide: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """``ws`` (N, num_conv + 1, w_dim): the block's own layers, the last for toRGB."""
        if self.first:
            x = channels_last(self.const.to(dtype)[None].repeat(len(ws), 1, 1, 1))
        else:
            x = self.conv0(x, ws[:, 0], guide)
        x = self.conv1(x, ws[:, self.num_conv - 1], guide)
        colour = self.torgb(x, ws[:, self.num_conv])
        return x, colour if image is None else upsample_image(image) + colour


class GuidedSynthesisNetwork(nn.Module):
    """w (N, num_ws, w_dim) and guide maps (N, G, R, R) -> picture float32 in [-1, 1]."""

    def __init__(self, config: GuidedConfig):
        super().__init__()
        self.img_channels, self.num_ws, self.guide_channels = config.img_channels, config.num_ws, config.guide_channels
        self.block_resolutions = config.block_resolutions
        self.dtype = torch.float32
        before = 0
        for resolution in self.block_resolutions:
            setattr(self, f"b{resolution}", GuidedBlock(before, config.channels[resolution], config, resolution))
            before = config.channels[resolution]

    def raw(self, ws: Tensor, guide: Tensor, resolution: int | None = None) -> Tensor:
        """The network's own channels (N, img_channels, R, R), unclipped; ``resolution`` stops at an earlier block.

        Maps may be of any size from ``resolution`` on that is a power of two times it: each layer sees their average.
        """
        size = resolution or self.block_resolutions[-1]
        maps = pyramid(guide, [side for side in self.block_resolutions if side <= size])
        x = image = None
        index = 0
        for side, at_size in maps.items():
            block = getattr(self, f"b{side}")
            x, image = block(x, image, ws[:, index : index + block.num_conv + 1].float(), at_size, self.dtype)
            index += block.num_conv
        return image

    def forward(self, ws: Tensor, guide: Tensor) -> Tensor:
        """The picture (N, 3, R, R); one with a matte lies over the neutral backdrop, grey 0.5."""
        return over_backdrop(self.raw(ws, guide))


def pyramid(guide: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
    """The maps (N, G, R, R) averaged down to each of the ascending ``sizes``."""
    maps, at_size = {}, guide
    for size in reversed(sizes):
        at_size = at_size if at_size.shape[-1] == size else F.avg_pool2d(at_size, at_size.shape[-1] // size)
        maps[size] = at_size
    return {size: maps[size] for size in sizes}


class PersonMapping(nn.Module):
    """z (N, z_dim) -> w (N, num_ws, w_dim): the numbers of a person, each N(0, 1), through layers that keep them apart."""

    def __init__(self, config: GuidedConfig):
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = config.z_dim, 0, config.num_ws, config.mapping_layers
        self.person = config.person or config.z_dim
        features = self.person
        for index in range(self.num_layers):
            setattr(self, f"fc{index}", FullyConnectedLayer(features, config.w_dim, "lrelu", config.mapping_lr_multiplier))
            features = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def single(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation: (N, w_dim)."""
        x = z[:, : self.person].float()
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)
        return x

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float | Sequence[float] = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """As ``stylegan2.truncate`` says."""
        w = self.single(z)[:, None].repeat(1, self.num_ws, 1)
        return truncate(w, self.w_avg, truncation_psi, truncation_cutoff)
