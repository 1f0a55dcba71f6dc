"""What a generator is made of, as it stands in the header of its file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from models.generators.errors import bad_config

STUDIO_CHANNELS = {4: 256, 8: 256, 16: 160, 32: 96, 64: 48, 128: 32}
LARGEST = {"resolution": 2048, "z_dim": 4096, "w_dim": 4096, "c_dim": 4096, "mapping_layers": 16, "meanings": 4096}
MAY_BE_ZERO = ("c_dim", "meanings")


@dataclass(frozen=True)
class GeneratorConfig:
    """``channels`` maps each resolution from 4 up to ``resolution`` to its feature maps.

    ``img_channels`` is 3 (a picture) or 4 (premultiplied foreground and its matte). ``meanings`` is how many
    features of a scene the mapping begins with (see semantic_mapping); with 0 it begins with z.
    """

    resolution: int = 128
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    img_channels: int = 4
    mapping_layers: int = 2
    mapping_lr_multiplier: float = 0.1
    meanings: int = 0
    channels: dict[int, int] = field(default_factory=lambda: dict(STUDIO_CHANNELS))

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            smallest = 0 if name in MAY_BE_ZERO else 1
            if not isinstance(value, int) or not smallest <= value <= largest:
                raise bad_config(f"{name} is {value!r}, expected {smallest} to {largest}")
        if self.resolution < 4 or self.resolution & (self.resolution - 1):
            raise bad_config(f"the resolution {self.resolution} is not a power of two from 4 up")
        if self.img_channels not in (3, 4):
            raise bad_config(f"{self.img_channels} image channels, expected 3 or 4")
        if not 0 < self.mapping_lr_multiplier <= 1:
            raise bad_config(f"mapping_lr_multiplier is {self.mapping_lr_multiplier}, expected 0 to 1")
        missing = [r for r in self.block_resolutions if not 1 <= self.channels.get(r, 0) <= 1024]
        if missing:
            raise bad_config(f"no usable channel count for the resolutions {missing}")

    @property
    def conv_clamp(self) -> float | None:
        """No field: files and training states of ours hold exactly the fields above."""
        return None

    @property
    def block_resolutions(self) -> list[int]:
        return [2**power for power in range(2, self.resolution.bit_length())]

    @property
    def num_ws(self) -> int:
        return 2 * len(self.block_resolutions)

    @property
    def size(self) -> int:
        """How many numbers a generator of this configuration holds."""
        total, before = mapping_size(self, self.meanings or self.z_dim) + 2 * self.meanings, 0
        for resolution in self.block_resolutions:
            channels = self.channels[resolution]
            convolutions = [(before, channels), (channels, channels)] if before else [(channels, channels)]
            for inputs, outputs in convolutions:
                total += (self.w_dim + 1) * inputs + 9 * inputs * outputs + outputs + resolution**2 + 1
            total += (self.w_dim + 1) * channels + (channels + 1) * self.img_channels
            before = channels
        return total + 16 * self.channels[4]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """From a parsed JSON or TOML table; raises StyleRigError for anything that does not fit."""
        if not isinstance(values, dict):
            raise bad_config("it is not a table of names and values")
        unknown = set(values) - {entry.name for entry in dataclasses.fields(cls)}
        if unknown:
            raise bad_config(f"unknown names {sorted(unknown)}")
        values = dict(values)
        try:
            if "channels" in values:
                values["channels"] = {int(key): int(value) for key, value in values["channels"].items()}
            for name in ("mapping_lr_multiplier", "conv_clamp"):
                if values.get(name) is not None:
                    values[name] = float(values[name])
        except (TypeError, ValueError, AttributeError) as error:
            raise bad_config(str(error)) from error
        return cls(**values)


def mapping_size(config: Any, inputs: int) -> int:
    """How many numbers a mapping network of this configuration holds that takes ``inputs`` beside a label's."""
    embedded = config.w_dim if config.c_dim else 0
    hidden = (config.w_dim + 1) * config.w_dim * (config.mapping_layers - 1)
    return embedded * (config.c_dim + 1) + (inputs + embedded + 1) * config.w_dim + hidden + config.w_dim


@dataclass(frozen=True)
class StyleGAN1Config(GeneratorConfig):
    """A StyleGAN 1: two styles for each resolution, the picture from the last one alone."""

    img_channels: int = 3

    @property
    def size(self) -> int:
        embedded = self.z_dim if self.c_dim else 0
        total = embedded * self.c_dim + (self.z_dim + embedded + 1) * self.w_dim + self.w_dim
        total += (self.w_dim + 1) * self.w_dim * (self.mapping_layers - 1)
        before = 0
        for resolution in self.block_resolutions:
            channels = self.channels[resolution]
            total += 2 * ((self.w_dim + 1) * 2 * channels + 2 * channels + resolution**2)
            total += 9 * channels * (before + channels)
            before = channels
        return total + 16 * self.channels[4] + (before + 1) * self.img_channels


@dataclass(frozen=True)
class ProGANConfig(GeneratorConfig):
    """A ProGAN: no mapping network; w is the normalised z and label, the same for all layers."""

    img_channels: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.w_dim != self.z_dim + self.c_dim:
            raise bad_config(f"w_dim is {self.w_dim}, expected z_dim and c_dim together")

    @property
    def num_ws(self) -> int:
        return 1

    @property
    def size(self) -> int:
        total, before = self.w_dim, 0
        for resolution in self.block_resolutions:
            channels = self.channels[resolution]
            first = 16 * self.w_dim if resolution == 4 else 9 * before
            total += channels * (first + 9 * channels + 2)
            before = channels
        return total + (before + 1) * self.img_channels


@dataclass(frozen=True)
class StyleGAN2Config(GeneratorConfig):
    """An official StyleGAN2; ``conv_clamp`` limits what each layer puts out (None: no limit)."""

    img_channels: int = 3
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conv_clamp is not None and not 0 < self.conv_clamp < float("inf"):
            raise bad_config(f"conv_clamp is {self.conv_clamp}, expected a positive number")
