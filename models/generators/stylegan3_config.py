"""What a StyleGAN3 is made of: one line for each layer, checked to fit its neighbours."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from models.generators.config import mapping_size
from models.generators.errors import bad_config

LARGEST = {"resolution": 2048, "z_dim": 4096, "w_dim": 4096, "c_dim": 4096, "mapping_layers": 16,
           "input_channels": 2048, "input_size": 2048}  # fmt: skip
LARGEST_LAYER = {"in_channels": 2048, "out_channels": 2048, "in_size": 4096, "out_size": 4096,
                 "kernel": 3, "up": 8, "down": 8, "up_taps": 128, "down_taps": 128}  # fmt: skip
MOST_LAYERS = 64
LARGEST_PADDING = 512


@dataclass(frozen=True)
class LayerConfig:
    """One layer: convolution, then bias and leaky ReLU at ``up`` times the rate, then down again.

    ``padding`` is (left, right, top, bottom) after zero insertion and may be negative.
    ``up_taps`` and ``down_taps`` are the filters' lengths, 1 for none; a radial filter is a
    square of that side. toRGB has neither activation nor demodulation.
    """

    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    kernel: int
    up: int
    down: int
    up_taps: int
    down_taps: int
    down_radial: bool
    padding: tuple[int, int, int, int]
    to_rgb: bool
    conv_clamp: float | None

    def __post_init__(self) -> None:
        check_range(self, LARGEST_LAYER, "a layer's ")
        if len(self.padding) != 4 or any(type(p) is not int or abs(p) > LARGEST_PADDING for p in self.padding):
            raise bad_config("a layer's padding is not four small whole numbers")
        if type(self.down_radial) is not bool or type(self.to_rgb) is not bool:
            raise bad_config("a layer's switch is neither on nor off")
        if self.conv_clamp is not None and not 0 < self.conv_clamp < float("inf"):
            raise bad_config(f"a layer's conv_clamp is {self.conv_clamp}")
        for low, high in (self.padding[:2], self.padding[2:]):
            if self.filtered_size(low + high) != self.out_size:
                raise bad_config(f"a layer of size {self.out_size} comes out at {self.filtered_size(low + high)}")

    def filtered_size(self, padding: int) -> int:
        """Size after the convolution with full padding, both filters and both changes of rate."""
        up = (self.in_size + self.kernel - 1) * self.up + padding - (self.up_taps - 1)
        return (up - (self.down_taps - 1) + self.down - 1) // self.down

    def parameters(self, w_dim: int) -> int:
        """How many numbers the layer holds, filters included."""
        affine, weight = (w_dim + 1) * self.in_channels, self.out_channels * self.in_channels * self.kernel**2
        up = self.up_taps if self.up_taps > 1 else 0
        down = self.down_taps ** (2 if self.down_radial else 1) if self.down_taps > 1 else 0
        return affine + weight + self.out_channels + 1 + up + down

    def name(self, index: int) -> str:
        """The layer's name in the network."""
        return f"L{index}_{self.out_size}_{self.out_channels}"


@dataclass(frozen=True)
class StyleGAN3Config:
    """A StyleGAN3-T or -R: mapping, Fourier features (``input_…``), layers.

    ``sampling_rate`` is in samples per unit of length (the picture's width), ``bandwidth`` in
    cycles per unit.
    """

    resolution: int
    z_dim: int
    w_dim: int
    c_dim: int
    img_channels: int
    mapping_layers: int
    mapping_lr_multiplier: float
    input_channels: int
    input_size: int
    sampling_rate: float
    bandwidth: float
    output_scale: float
    layers: tuple[LayerConfig, ...]

    def __post_init__(self) -> None:
        check_range(self, LARGEST, "")
        if self.img_channels != 3:
            raise bad_config(f"{self.img_channels} image channels, expected 3")
        if not 0 < self.mapping_lr_multiplier <= 1:
            raise bad_config(f"mapping_lr_multiplier is {self.mapping_lr_multiplier}, expected 0 to 1")
        if not 0 < self.bandwidth < self.sampling_rate / 2 < float("inf"):
            raise bad_config(f"bandwidth {self.bandwidth} does not fit the sampling rate {self.sampling_rate}")
        if not 0 < abs(self.output_scale) < float("inf"):
            raise bad_config(f"output_scale is {self.output_scale}")
        self.check_chain()

    def check_chain(self) -> None:
        """Every layer takes what the one before it puts out."""
        if not 1 <= len(self.layers) <= MOST_LAYERS:
            raise bad_config(f"{len(self.layers)} layers, expected 1 to {MOST_LAYERS}")
        channels, size = self.input_channels, self.input_size
        for layer in self.layers:
            if (layer.in_channels, layer.in_size) != (channels, size):
                raise bad_config(f"a layer takes {layer.in_channels} channels of {layer.in_size}², but gets {channels} of {size}²")
            channels, size = layer.out_channels, layer.out_size
        if (channels, size) != (self.img_channels, self.resolution):
            raise bad_config(f"the last layer puts out {channels} channels of {size}²")

    @property
    def num_ws(self) -> int:
        return len(self.layers) + 1

    @property
    def size(self) -> int:
        """How many numbers a generator of this configuration holds."""
        features = self.input_channels**2 + 3 * self.input_channels + 9 + 4 * (self.w_dim + 1)
        return mapping_size(self, self.z_dim) + features + sum(layer.parameters(self.w_dim) for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> StyleGAN3Config:
        """From a parsed JSON table; raises StyleRigError for anything that does not fit."""
        try:
            layers = [LayerConfig(**{**layer, "padding": tuple(layer["padding"])}) for layer in values["layers"]]
            return cls(**{**values, "layers": tuple(layers)})
        except (TypeError, KeyError, ValueError) as error:
            raise bad_config(str(error) or "a value is missing") from error


def check_range(config: Any, largest: dict[str, int], prefix: str) -> None:
    for name, limit in largest.items():
        value = getattr(config, name)
        smallest = 0 if name == "c_dim" else 1
        if type(value) is not int or not smallest <= value <= limit:
            raise bad_config(f"{prefix}{name} is {value!r}, expected {smallest} to {limit}")
