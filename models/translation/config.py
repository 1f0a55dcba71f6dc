"""What the networks of a look are made of, as it stands in the header of a look's file.

Defaults are the published widths. Bounds keep a damaged or hostile header from asking for a network without end.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from models.translation.errors import ConfigError

Width = Annotated[int, Field(ge=1, le=1024)]
Depth = Annotated[int, Field(ge=1, le=32)]
Channels = Annotated[int, Field(ge=1, le=3)]
Norm = Literal["batch", "instance", "none"]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=256)]
ImageSize = Annotated[int, Field(ge=16, le=2048)]


class NetworkConfig(BaseModel):
    """Settings in which a name that is not known, or a value of another type, is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TranslatorConfig(NetworkConfig):
    """A generator from images to images; 1 input and 2 outputs are lightness and colour in Lab."""

    width: Width = 64
    inputs: Channels = 3
    outputs: Channels = 3

    @model_validator(mode="after")
    def only_lab_has_two_channels(self) -> TranslatorConfig:
        if self.inputs == 2 or (self.outputs == 2 and self.inputs != 1):
            raise ValueError("two channels are the colours of Lab, made of one input, its lightness")
        return self

    @property
    def colourises(self) -> bool:
        return self.outputs == 2


class UNetConfig(TranslatorConfig):
    """pix2pix: ``levels`` 8 takes 256 px to one, 7 takes 128 px. Dropout leaves no trace in a file; the published default has it."""

    kind: Literal["pix2pix"] = "pix2pix"
    levels: Annotated[int, Field(ge=5, le=11)] = 8
    norm: Norm = "batch"
    dropout: bool = True


class ResNetConfig(TranslatorConfig):
    """CycleGAN: 9 ``blocks`` for 256 px, 6 for 128 px. CUT blurs before it goes down and after it goes up."""

    kind: Literal["cyclegan", "cut"] = "cyclegan"
    blocks: Depth = 9
    norm: Norm = "instance"
    dropout: bool = False
    antialias_down: bool = False
    antialias_up: bool = False


class PatchConfig(NetworkConfig):
    """PatchGAN: ``layers`` 3 judges patches of 70 px; 0 judges pixels alone. ``inputs`` 6 for pairs of images."""

    width: Width = 64
    inputs: Annotated[int, Field(ge=1, le=8)] = 3
    layers: Annotated[int, Field(ge=0, le=8)] = 3
    norm: Norm = "instance"


class StarGANConfig(NetworkConfig):
    """``label_sets``: the names of each set that the training joined; more than one is followed by a mask of sets.

    ``image_size`` and ``discriminator_layers`` are the discriminator's; ``norm`` is the generator's. ``residual``: what the network
    says is added to the image; as published it is the image.
    """

    kind: Literal["stargan"] = "stargan"
    width: Width = 64
    blocks: Depth = 6
    label_sets: Annotated[tuple[Names, ...], Field(min_length=1, max_length=16)]
    image_size: ImageSize = 128
    norm: Literal["instance", "none"] = "instance"
    residual: bool = False
    discriminator_layers: Annotated[int, Field(ge=1, le=10)] = 6

    @property
    def labels(self) -> tuple[str, ...]:
        """Every name, one set after the other."""
        return tuple(name for names in self.label_sets for name in names)

    @property
    def label_size(self) -> int:
        """How long a label is, with its mask of sets."""
        joined = len(self.label_sets)
        return len(self.labels) + (joined if joined > 1 else 0)


class StarGANv2Config(NetworkConfig):
    """``width`` is that at full size, which doubles at each step down to ``max_width``; ``hidden`` is the mapping's.

    ``high_pass`` 0 is none, else what the filter is divided by; ``masks`` says whether the network that finds the
    parts of a face, ``fan_width`` wide, is there. ``norm`` and ``residual`` as in ``StarGANConfig``.
    """

    kind: Literal["starganv2"] = "starganv2"
    image_size: ImageSize = 256
    width: Width = 64
    max_width: Width = 512
    downs: Annotated[int, Field(ge=1, le=9)] = 4
    style_dim: Width = 64
    latent_dim: Width = 16
    hidden: Annotated[int, Field(ge=1, le=4096)] = 512
    domains: Names = ("domain 0", "domain 1")
    norm: Literal["instance", "none"] = "instance"
    high_pass: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.0
    masks: bool = False
    residual: bool = False
    fan_width: Annotated[int, Field(ge=8, le=1024, multiple_of=8)] = 256

    @model_validator(mode="after")
    def size_is_a_power_of_two(self) -> StarGANv2Config:
        power_of_two(self.image_size)
        return self


class CoGANConfig(NetworkConfig):
    """``width`` is that of the generator's last shared layer at full size; ``own_layers`` is how many each domain has to itself.

    ``conditional`` shares them all and tells the networks the domain instead: the conditional GAN that CoGAN is held against.
    """

    kind: Literal["cogan"] = "cogan"
    image_size: Annotated[int, Field(ge=32, le=128)] = 128
    width: Width = 32
    latent_dim: Width = 100
    domains: Names = ("domain 0", "domain 1")
    own_layers: Annotated[int, Field(ge=1, le=3)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    conditional: bool = False

    @property
    def told(self) -> int:
        """How many numbers say the domain."""
        return len(self.domains) if self.conditional else 0

    @model_validator(mode="after")
    def size_is_a_power_of_two(self) -> CoGANConfig:
        power_of_two(self.image_size)
        return self


def power_of_two(size: int) -> None:
    if not math.log2(size).is_integer():
        raise ValueError(f"the image size {size} is not a power of two")


LookConfig = UNetConfig | ResNetConfig | StarGANConfig | StarGANv2Config | CoGANConfig
ADAPTER: TypeAdapter[LookConfig] = TypeAdapter(Annotated[LookConfig, Field(discriminator="kind")])


def read_config(values: Any) -> LookConfig:
    """From a parsed JSON table, whose "kind" says which; raises ConfigError for anything that does not fit."""
    try:
        return ADAPTER.validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{place}: {first['msg']}"[:200]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("it is not a table of names and values") from error
