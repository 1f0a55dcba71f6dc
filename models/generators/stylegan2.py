"""The StyleGAN2 networks: mapping (z -> w) and synthesis with skip connections (w -> picture).

Module and parameter names follow NVIDIA's stylegan2-ada-pytorch, so that a state dictionary
of an official checkpoint fits name by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from models.generators.config import GeneratorConfig
from models.generators.layers import (
    FullyConnectedLayer,
    SynthesisLayer,
    ToRGBLayer,
    channels_last,
    upsample_image,
)
from models.generators.noise import check_noise, draw_noise

BLACK, WHITE = 0.02, 0.99  # levels of the matte: what counts as nothing and as covered


class SynthesisConfig(Protocol):
    """What a synthesis network is made from."""

    @property
    def w_dim(self) -> int: ...
    @property
    def num_ws(self) -> int: ...
    @property
    def img_channels(self) -> int: ...
    @property
    def channels(self) -> dict[int, int]: ...
    @property
    def block_resolutions(self) -> list[int]: ...
    @property
    def conv_clamp(self) -> float | None: ...


def normalize_2nd_moment(x: Tensor) -> Tensor:
    """Scale each row of (N, C) to mean square 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class MappingNetwork(nn.Module):
    """z (N, z_dim), label c (N, c_dim) or None -> w (N, num_ws, w_dim), optionally truncated."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig, inputs: int | None = None):
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws = config.z_dim, config.c_dim, config.num_ws
        self.num_layers = config.mapping_layers
        in_features = inputs or config.z_dim
        if config.c_dim:
            self.embed = FullyConnectedLayer(config.c_dim, config.w_dim)
            in_features += config.w_dim
        for index in range(self.num_layers):
            layer = FullyConnectedLayer(in_features, config.w_dim, "lrelu", config.mapping_lr_multiplier)
            setattr(self, f"fc{index}", layer)
            in_features = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def single(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation: (N, w_dim)."""
        x = self.inputs(z, c)
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)
        return x

    def inputs(self, z: Tensor, c: Tensor | None) -> Tensor:
        """What the first layer takes: z, and the label's embedding, each scaled to mean square 1."""
        x = normalize_2nd_moment(z.float())
        if self.c_dim:
            if c is None:
                c = torch.zeros(len(z), self.c_dim, device=z.device)
            x = torch.cat((x, normalize_2nd_moment(self.embed(c.float()))), dim=1)
        return x

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float | Sequence[float] = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """As ``truncate`` says; ``c`` None stands for the label 0."""
        w = self.single(z, c)[:, None].repeat(1, self.num_ws, 1)
        return truncate(w, self.w_avg, truncation_psi, truncation_cutoff)


def truncate(w: Tensor, w_avg: Tensor, psi: float | Sequence[float], cutoff: int | None) -> Tensor:
    """w' = w_avg + psi (w - w_avg) on the first ``cutoff`` layers (None: all) of w (N, num_ws, w_dim).

    ``psi`` may also be one number for each layer.
    """
    layers = w.shape[1]
    if isinstance(psi, Sequence):
        if len(psi) != layers:
            raise ValueError(f"truncation_psi has {len(psi)} values for {layers} layers")
        factors = torch.tensor(psi, dtype=w.dtype, device=w.device)[:, None]
        factors[cutoff if cutoff is not None else layers :] = 1.0
        return w_avg.lerp(w, factors)
    if psi == 1.0:
        return w
    cutoff = layers if cutoff is None else cutoff
    return torch.cat((w_avg.lerp(w[:, :cutoff], psi), w[:, cutoff:]), dim=1)


class SynthesisBlock(nn.Module):
    """All layers of one resolution: x (N, I, R/2, R/2) and image -> x (N, O, R, R) and image."""

    def __init__(self, in_channels: int, out_channels: int, config: SynthesisConfig, resolution: int):
        super().__init__()
        self.resolution = resolution
        self.first = in_channels == 0
        if self.first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, config.w_dim, resolution, up=True, clamp=config.conv_clamp)
        self.conv1 = SynthesisLayer(out_channels, out_channels, config.w_dim, resolution, clamp=config.conv_clamp)
        self.torgb = ToRGBLayer(out_channels, config.img_channels, config.w_dim, config.conv_clamp)
        self.num_conv = 1 if self.first else 2

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noises: Sequence[str | Tensor], dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """``ws`` (N, num_conv + 1, w_dim): the block's own layers, the last for toRGB; ``noises`` of its layers."""
        start = lambda: channels_last(self.const.to(dtype)[None].repeat(len(ws), 1, 1, 1))
        x = start() if self.first else self.conv0(x, ws[:, 0], noises[0])
        x = self.conv1(x, ws[:, self.num_conv - 1], noises[-1])
        colour = self.torgb(x, ws[:, self.num_conv])
        return x, colour if image is None else upsample_image(image) + colour


class SynthesisNetwork(nn.Module):
    """w (N, num_ws, w_dim) -> picture float32 in [-1, 1]."""

    def __init__(self, config: SynthesisConfig):
        super().__init__()
        self.img_channels = config.img_channels
        self.num_ws = config.num_ws
        self.block_resolutions = config.block_resolutions
        self.dtype = torch.float32
        before = 0
        for resolution in self.block_resolutions:
            channels = config.channels[resolution]
            setattr(self, f"b{resolution}", SynthesisBlock(before, channels, config, resolution))
            before = channels

    @property
    def noise_sizes(self) -> list[int]:
        """The side of each layer's noise."""
        return [size for size in self.block_resolutions for _ in range(1 if size == 4 else 2)]

    def raw(self, ws: Tensor, noise: str = "const", resolution: int | None = None, seed: int | None = None) -> Tensor:
        """The network's own channels (N, img_channels, R, R), unclipped.

        ``noise``: "const", "none", or "random", which depends on ``seed`` alone if one is given.
        ``resolution`` stops at an earlier block, whose accumulated image is returned: this
        is how a network is grown.
        """
        check_noise(noise)
        noises: Sequence[str | Tensor] = [noise] * len(self.noise_sizes)
        if noise == "random" and seed is not None:
            noises = draw_noise(self.noise_sizes, len(ws), seed, ws.device)
        x = image = None
        index = 0
        for size in self.block_resolutions:
            block = getattr(self, f"b{size}")
            part = ws[:, index : index + block.num_conv + 1].float()
            x, image = block(x, image, part, noises[index : index + block.num_conv], self.dtype)
            index += block.num_conv
            if size == resolution:
                break
        return cast(Tensor, image)

    def forward(self, ws: Tensor, noise: str = "const", seed: int | None = None) -> Tensor:
        """The picture (N, 3, R, R); one with a matte lies over the neutral backdrop, grey 0.5."""
        return over_backdrop(self.raw(ws, noise, seed=seed))


def over_backdrop(raw: Tensor) -> Tensor:
    """Channels (N, 3 or 4, H, W) in [-1, 1] -> picture (N, 3, H, W); a matte lies over grey 0.5."""
    if raw.shape[1] != 4:
        return raw
    colour, alpha = split_matte(raw)
    return (colour + (1.0 - alpha) * 0.5) * 2.0 - 1.0


def split_matte(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Channels in [-1, 1] -> premultiplied colour (N, 3, H, W) and alpha (N, 1, H, W), both 0..1.

    Colour is limited to alpha, as no premultiplied pixel can be brighter than its coverage. What is nearly
    nothing is nothing and what is nearly covered is covered, as a compositor sets a matte's levels: a
    network never says quite 0, which would lie as a veil over a plate. Without a fourth channel
    alpha is 1 everywhere.
    """
    unit = (raw * 0.5 + 0.5).clamp(0.0, 1.0)
    if raw.shape[1] != 4:
        return unit, torch.ones_like(unit[:, :1])
    drawn = unit[:, 3:]
    alpha = ((drawn - BLACK) / (WHITE - BLACK)).clamp(0.0, 1.0)
    return torch.minimum(unit[:, :3] * (alpha / drawn.clamp(min=BLACK)), alpha), alpha
