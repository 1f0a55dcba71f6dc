"""A StyleGAN2 that renderings of the rig steer: each layer's noise is replaced by a convolution of guide maps.

w says who somebody is (see ``person.py``); where every lid and lip is, the maps say (see ``guide.py``). The idea is that of GIF (Ghosh et
al., 3DV 2020). Names are those of ``stylegan2.py``, with ``guide`` in place of the noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.bias_act import LEAK, modulate
from models.generators.config import GeneratorConfig, mapping_size
from models.generators.errors import bad_config
from models.generators.guide import CHANNELS, COVERED, LIGHT, POINT, SHELL_COVERED, SHELL_LIGHT, SHELL_POINT, SHOULDERS, Guide
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
from models.generators.person import PersonConfig
from models.generators.planes import Planes, PlanesConfig
from models.generators.roi import Box, drawn_parts
from models.generators.strands import OCTAVES, Strands, widths
from models.generators.stylegan2 import over_backdrop

WIDE_UP_TO = 32  # pixels: guide convolutions are 3x3 up to here, 1x1 above
GUIDE_STD = 0.3  # of a guide convolution's first weights, times the square root of its inputs
OUR_HEADS = ("head-2",)  # a file names no other: a name could be a path
MOST_GUIDES, MOST_MATTES = 256, 16
PAINTED = 128  # pixels: what w says is painted on maps of this size, as fine as the shell's, for all coarser layers
LEAST_SHARE = 1e-3  # of a pixel: where less is covered nothing is seen
PALETTE = ("shirt", "jacket", "hair")  # what w says the colour of; without a jacket it has the shirt's


@dataclass(frozen=True)
class GuidedConfig(GeneratorConfig):
    """``guide_channels`` maps steer the picture; ``person`` is what z says of who it shows; ``mattes`` names what it draws
    mattes of; the maps show the face model ``head``. With a ``palette`` they also show clothes and hair in the person's colours, with
    ``planes`` what w says of each point, with ``strands`` hair is made of lines, where the matte "hair" is."""

    guide_channels: int = CHANNELS
    head: str = "head-2"
    person: PersonConfig = field(default_factory=PersonConfig)
    mattes: tuple[str, ...] = ()
    palette: bool = False
    planes: PlanesConfig | None = None
    strands: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.guide_channels <= MOST_GUIDES:
            raise bad_config(f"guide_channels is {self.guide_channels}, expected 1 to {MOST_GUIDES}")
        if not isinstance(self.palette, bool) or not isinstance(self.strands, bool):
            raise bad_config("palette and strands are true or false")
        if self.strands and "hair" not in self.mattes:
            raise bad_config("strands need a matte of hair")
        if (self.palette or self.planes or self.strands) and self.guide_channels != CHANNELS:
            raise bad_config(f"{self.guide_channels} guide maps cannot show a palette, planes or strands")
        if self.planes and (self.planes.w_dim != self.w_dim or self.planes.num_ws > self.num_ws):
            raise bad_config("the planes are of another w")
        if not isinstance(self.head, str) or self.head not in OUR_HEADS:
            raise bad_config(f"head is {self.head!r}, expected one of {OUR_HEADS}")
        if len(self.mattes) > MOST_MATTES or not all(isinstance(name, str) and name.isidentifier() for name in self.mattes):
            raise bad_config(f"mattes are {self.mattes!r}, expected at most {MOST_MATTES} names")
        if self.person.numbers > self.z_dim:
            raise bad_config(f"a person is made of {self.person.numbers} numbers, but z has {self.z_dim}")

    @property
    def outputs(self) -> int:
        """Channels of the network: the picture's and the mattes."""
        return self.img_channels + len(self.mattes)

    @property
    def told_channels(self) -> int:
        """Channels of the maps with what w says."""
        said = 3 * len(PALETTE) * self.palette + (2 * self.planes.features if self.planes else 0)
        return self.guide_channels + said

    @property
    def size(self) -> int:
        """How many numbers a generator of this configuration holds."""
        guides = 3 * len(PALETTE) * (self.w_dim + 1) * self.palette + (self.planes.size if self.planes else 0)
        guides += sum(
            self.channels[size] * self.told_channels * guide_kernel(size) ** 2 * (1 if size == 4 else 2) for size in self.block_resolutions
        )
        guides += len(self.mattes) * sum(self.channels[size] + 1 for size in self.block_resolutions)
        mapping = mapping_size(self, self.person.features or self.person.numbers or self.z_dim) - mapping_size(self, self.z_dim)
        guides += len(OCTAVES) * (self.w_dim + 1) * self.strands
        return super().size + guides + mapping + self.person.size

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """As its base; "person" is a table of its own."""
        if isinstance(values, dict) and "person" in values:
            values = values | {"person": person_from_json(values["person"])}
        if isinstance(values, dict) and values.get("planes") is not None:
            values = values | {"planes": planes_from_json(values["planes"])}
        if isinstance(values, dict) and isinstance(values.get("mattes"), list):
            values = values | {"mattes": tuple(values["mattes"])}
        return super().from_json(values)


def person_from_json(values: Any) -> PersonConfig:
    """The part of a configuration that says what a person is made of."""
    known = {entry.name for entry in dataclasses.fields(PersonConfig)}
    if not isinstance(values, dict) or set(values) - known or not isinstance(values.get("choices", []), list):
        raise bad_config(f"person is not a table of {sorted(known)}")
    if not all(isinstance(value, int) for value in values.get("choices", [])):
        raise bad_config("the choices of a person are whole numbers")
    return PersonConfig(**values | {"choices": tuple(values.get("choices", []))})


def planes_from_json(values: Any) -> PlanesConfig:
    """The part of a configuration that says what draws the planes."""
    if not isinstance(values, dict) or set(values) != {entry.name for entry in dataclasses.fields(PlanesConfig)}:
        raise bad_config("planes are not a table of features, channels and w_dim")
    channels = values["channels"]
    if not isinstance(channels, dict) or not all(str(side).isdecimal() for side in channels):
        raise bad_config(f"the planes' channels are {channels!r}")
    return PlanesConfig(**values | {"channels": {int(side): count for side, count in channels.items()}})


def guide_kernel(resolution: int) -> int:
    """Side of the guide convolutions at a resolution."""
    return 3 if resolution <= WIDE_UP_TO else 1


class GuidedLayer(nn.Module):
    """Modulated 3x3 convolution, guide, bias and leaky ReLU: (N, I, H, W) -> (N, O, R, R)."""

    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, config: GuidedConfig, resolution: int, up: bool = False):
        super().__init__()
        self.up, self.resolution, self.clamp = up, resolution, None
        kernel = guide_kernel(resolution)
        self.affine = FullyConnectedLayer(config.w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(channels_last(torch.randn(out_channels, in_channels, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        fan_in = config.told_channels * kernel**2
        self.guide = nn.Parameter(torch.randn(out_channels, config.told_channels, kernel, kernel) * (GUIDE_STD * fan_in**-0.5))
        self.register_buffer("resample_filter", blur_kernel(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, guide: Tensor) -> Tensor:
        """``guide`` (N, G, R, R) are the maps at this layer's size."""
        styles = self.affine(w)
        x = modulate(x, styles)
        weight = self.weight.to(x.dtype)
        x = convolve_up(x, weight, self.resample_filter) if self.up else F.conv2d(x, weight, padding=1)
        # The activation's gain commutes with the leaky ReLU, so it rides on scale, bias and guide.
        told, bias = (self.guide * GAIN).to(x.dtype), (self.bias * GAIN).to(x.dtype)
        told = F.conv2d(guide, told, bias, padding=told.shape[-1] // 2)
        scale = (demodulation(self.weight, styles) * GAIN).to(x.dtype)
        return F.leaky_relu(torch.addcmul(told, x, scale[..., None, None]), LEAK)


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
        self.torgb = ToRGBLayer(out_channels, config.outputs, config.w_dim)
        self.num_conv = 1 if self.first else 2

    def forward(self, x: Tensor | None, image: Tensor | None, ws: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
        """``ws`` (N, num_conv + 1, w_dim): the block's own layers, the last for toRGB."""
        start = lambda: channels_last(self.const.to(guide.dtype)[None].repeat(len(ws), 1, 1, 1))
        x = start() if self.first else self.conv0(x, ws[:, 0], guide)
        x = self.conv1(x, ws[:, self.num_conv - 1], guide)
        colour = self.torgb(x, ws[:, self.num_conv])
        return x, colour if image is None else upsample_image(image) + colour


class GuidedSynthesisNetwork(nn.Module):
    """w (N, num_ws, w_dim) and guide maps (N, G, R, R) -> picture float32 in [-1, 1]."""

    def __init__(self, config: GuidedConfig):
        super().__init__()
        self.img_channels, self.num_ws, self.guide_channels = config.img_channels, config.num_ws, config.guide_channels
        self.block_resolutions = config.block_resolutions
        self.guide = Guide(config.head)
        self.palette = FullyConnectedLayer(config.w_dim, 3 * len(PALETTE)) if config.palette else None
        self.planes = Planes(config.planes) if config.planes else None
        self.strands = Strands(config.w_dim) if config.strands else None
        self.hair = config.img_channels + config.mattes.index("hair") if config.strands else 0
        self.dtype = torch.float32
        before = 0
        for resolution in self.block_resolutions:
            setattr(self, f"b{resolution}", GuidedBlock(before, config.channels[resolution], config, resolution))
            before = config.channels[resolution]

    def raw(
        self,
        ws: Tensor,
        noise: str = "const",
        resolution: int | None = None,
        seed: int | None = None,
        guide: Tensor | None = None,
        box: Box | None = None,
        strands: bool = True,
    ) -> Tensor:
        """The network's own channels (N, outputs, R, R), unclipped, mattes last; ``resolution`` stops at an earlier block, as
        smaller maps than the network's picture do.
        Of a ``box`` only these pixels, and of the fine layers only what they need.

        There is no noise: the maps stand in its place. Without maps all have the shape of the mean head, at rest.

        Without ``strands`` hair is left smooth. Maps may be of any size from ``resolution`` on that is a power of two times it: each layer sees their average.
        """
        finest = self.block_resolutions[-1]
        size = resolution or (finest if guide is None else min(finest, guide.shape[-1]))
        if guide is None:
            guide = self.mean_maps(size).to(ws.device).expand(len(ws), -1, -1, -1)
        sizes = [side for side in self.block_resolutions if side <= size]
        parts = drawn_parts(box or Box.whole(size), sizes)
        x = image = None
        index, before = 0, Box.whole(0)
        for side, part, told in zip(sizes, parts, self.told(guide, ws, parts), strict=True):
            block = getattr(self, f"b{side}")
            if x is not None and image is not None and part.halved() != before:
                source = part.halved().inside(before).place
                x, image = x[..., *source], image[..., *source]
            x, image = block(x, image, ws[:, index : index + block.num_conv + 1].float(), told)
            index, before = index + block.num_conv, part
        drawn = cast(Tensor, image)
        if strands:
            drawn = self.with_strands(drawn, pyramid(guide, [size])[size], ws, parts[-1])
        return drawn if box is None else drawn[..., *box.inside(before).place]

    def colours(self, w: Tensor) -> Tensor:
        """Roots of the linear colours (N, 3, 3) of what ``PALETTE`` names, of people w (N, w_dim); for generators that have one."""
        return cast(FullyConnectedLayer, self.palette)(w.float()).unflatten(1, (-1, 3))

    def told(self, maps: Tensor, ws: Tensor, parts: Sequence[Box], planes: Tensor | None = None) -> list[Tensor]:
        """What the blocks' layers are told of their ``parts``: the average (N, C, h, w) there of maps (N, G, R, R), and what ``ws`` says.

        What w says is painted on maps of ``PAINTED`` pixels for all coarser layers, for finer ones on their own part alone.
        ``planes`` are those of ``ws``, where they were drawn before. All is of the network's precision: joined first and rounded
        then, maps of bfloat16 took three times as long.
        """
        sizes = self.block_resolutions[: len(parts)]
        averaged, coarse = pyramid(maps, sizes), [side for side in sizes if side <= PAINTED]
        if self.planes is not None and planes is None:
            planes = self.planes(ws)
        far = None if self.planes is None else read(self.planes, cast(Tensor, planes), averaged[coarse[-1]], SHELL_COVERED, SHELL_POINT)
        said = self.said(averaged[coarse[-1]], ws, planes, far)  # apart from the maps, through which no gradients have to go
        pooled = None if said is None else pyramid(said, coarse)
        seen = []
        for side, part in zip(sizes, parts, strict=True):
            shown = averaged[side][..., *part.place]
            if side <= PAINTED:
                on = None if pooled is None else pooled[side][..., *part.place]
            else:
                on = self.said(shown, ws, planes, None if far is None else enlarged(far, side)[..., *part.place])
            shown = shown.to(self.dtype)
            seen.append(shown if on is None else joined(shown, on.to(self.dtype)))
        return seen

    def said(self, maps: Tensor, ws: Tensor, planes: Tensor | None, far: Tensor | None) -> Tensor | None:
        """What ``ws`` (N, num_ws, w_dim) says on maps (N, G, H, W): clothes and hair in their colours, and what stands on the
        planes where the surface lies; ``far`` (N, features, H, W) is what stands there where the shell lies."""
        parts = []
        if self.palette is not None:
            cloth = maps[:, SHOULDERS] * maps[:, LIGHT]
            colours = self.colours(ws[:, -1]).unbind(1)  # as all colours, the finest layers'
            parts += [colour[:, :, None, None] * on for colour, on in zip(colours, (cloth, cloth, maps[:, SHELL_LIGHT]), strict=True)]
        if self.planes is not None:
            parts += [read(self.planes, cast(Tensor, planes), maps, COVERED, POINT), cast(Tensor, far)]
        return joined(*parts) if parts else None

    def with_strands(self, drawn: Tensor, maps: Tensor, ws: Tensor, part: Box) -> Tensor:
        """What was drawn of a ``part`` (N, outputs, H, W), its hair made of strands; ``maps`` (N, G, R, R) are the whole picture's."""
        if self.strands is None:
            return drawn
        points = places(maps, SHELL_COVERED, SHELL_POINT)
        lines = self.strands.read(points[..., *part.place], widths(points)[..., *part.place])
        strength = self.strands.strength(ws[:, -1])[..., None, None]
        detail = (strength * lines).sum(dim=1, keepdim=True) * maps[:, SHELL_COVERED, *part.place]
        hair = (drawn[:, self.hair, None] * 0.5 + 0.5).clamp(0, 1)
        return torch.cat((drawn[:, :3] + (drawn[:, :3] + 1) * hair * detail, drawn[:, 3:]), dim=1)

    def mean_maps(self, size: int) -> Tensor:
        """The maps (1, G, size, size) of the mean head."""
        maps = self.guide.mean
        return maps if maps.shape[-1] == size else F.interpolate(maps, size=(size, size), mode="area")

    def forward(self, ws: Tensor, noise: str = "const", seed: int | None = None, guide: Tensor | None = None) -> Tensor:
        """The picture (N, 3, R, R); one with a matte lies over the neutral backdrop, grey 0.5."""
        return over_backdrop(self.raw(ws, guide=guide)[:, : self.img_channels])


def joined(*parts: Tensor) -> Tensor:
    """Maps beside each other; in one layout, for mixed ones take five times as long."""
    return torch.cat(list(map(channels_last, parts)), dim=1)


def read(planes: Planes, drawn: Tensor, maps: Tensor, covered: slice, point: slice) -> Tensor:
    """What planes say (N, features, H, W) of the points of a surface that pixels of the maps see, 0 where there is none.

    Where maps hold its coverage and its points, times the coverage, is told by ``covered`` and ``point``."""
    return planes.read(drawn, places(maps, covered, point)) * maps[:, covered]


def places(maps: Tensor, covered: slice, point: slice) -> Tensor:
    """The canonical places (N, 3, H, W) of a surface that pixels of the maps see."""
    return maps[:, point] / maps[:, covered].clamp(min=LEAST_SHARE)


def enlarged(maps: Tensor, size: int) -> Tensor:
    """Maps (N, C, H, W) at a finer size."""
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


def pyramid(guide: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
    """The maps (N, G, R, R) averaged down to each of the ascending ``sizes``."""
    maps, at_size = {}, guide
    for size in reversed(sizes):
        at_size = at_size if at_size.shape[-1] == size else F.avg_pool2d(at_size, at_size.shape[-1] // size)
        maps[size] = at_size
    return {size: maps[size] for size in sizes}
