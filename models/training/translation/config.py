"""The training plans of looks, one for each kind. What they begin with are the published settings."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from models.evaluation.looks.measures import is_hair_colour
from models.training.core import config
from models.training.core.config import Fraction, NonNegative, Positive, load_settings
from models.training.core.trainer import Plan
from models.training.translation.framing import Framing
from models.translation.config import (
    CoGANConfig,
    NetworkConfig,
    PatchConfig,
    ResNetConfig,
    StarGANConfig,
    StarGANv2Config,
    UNetConfig,
    read_config,
)
from models.translation.errors import ConfigError
from models.translation.schedules import SCHEDULES, factor_at

Names = Annotated[tuple[str, ...], Field(strict=False)]
GanMode = Literal["vanilla", "lsgan", "wgangp"]
Size = Annotated[int, Field(ge=16, le=1024)]


def network(kind: str) -> BeforeValidator:
    """Reads the table of a look's network of that kind; its errors say what is wrong in it."""

    def read(values: Any) -> Any:
        if isinstance(values, NetworkConfig):
            return values
        if not isinstance(values, dict):
            raise ValueError("it is not a table of names and values")
        try:
            return read_config(values | {"kind": kind})
        except ConfigError as error:
            raise ValueError(error.reason) from error

    return BeforeValidator(read)


class Stage(config.Stage):
    """A part of a training.

    ``schedule`` is the learning rate's, one of ``schedules.SCHEDULES``, as long as the stage: what the published code does in 200
    epochs, or StarGAN in 200,000 iterations. ``epochs`` is a limit too: how often all images are seen.
    """

    epochs: int = Field(default=0, ge=0)
    schedule: str = "constant"

    @model_validator(mode="after")
    def schedule_exists(self) -> Self:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"there is no schedule {self.schedule!r}; there are {', '.join(SCHEDULES)}")
        return self

    def learning_rate_factor(self, fraction: float, images: int) -> float:
        warmup = min(1.0, images / max(self.warmup_images, 1))
        return warmup * (self.final_rate + (1 - self.final_rate) * factor_at(self.schedule, fraction))

    def counted(self, images: int) -> Self:
        """With its epochs of so many images as a number of images."""
        return self.replace(images=self.images or self.epochs * images)


Stages = Annotated[tuple[Stage, ...], Field(strict=False, min_length=1)]


class LookPlan(Plan):
    """What every kind has. ``flip`` mirrors half of the images. ``precision`` is that of convolutions, with "auto" bfloat16 where the
    machine multiplies it in hardware. ``whole``: of a set of whole heads, all that its pictures show, as
    generators of whole heads draw portraits; else the FFHQ crops in them."""

    checkpoint_minutes: NonNegative = 5.0
    sample_minutes: NonNegative = 15.0
    flip: bool = True
    whole: bool = False
    precision: Literal["auto", "float32", "bf16"] = "float32"
    stages: Stages

    @property
    @abstractmethod
    def size(self) -> int:
        """Side of the images in pixels."""

    @property
    def framing(self) -> Framing:
        """How pictures become images."""
        return Framing(self.size, self.whole)

    @model_validator(mode="after")
    def stages_end(self) -> Self:
        for number, stage in enumerate(self.stages, 1):
            if stage.is_off and not stage.epochs:
                raise ValueError(f"stage #{number} has no end: give it epochs, steps, images or minutes")
        return self


class PatchPlan(LookPlan):
    """What pix2pix and CycleGAN share. Images are enlarged by ``enlarge``, of which a part is cut at random, of ``crop`` pixels a side
    or, with 0, of the resolution.
    """

    resolution: Size = 256
    enlarge: Annotated[float, Field(ge=1, le=2)] = 286 / 256
    crop: int = Field(default=0, ge=0, le=1024)
    discriminator_width: Annotated[int, Field(ge=1, le=1024)] = 64
    discriminator_layers: Annotated[int, Field(ge=0, le=8)] = 3

    @property
    def size(self) -> int:
        return self.resolution

    @model_validator(mode="after")
    def crop_fits(self) -> Self:
        if self.crop and (self.crop > self.resolution or self.crop % 4):
            raise ValueError("crop has to be a multiple of 4, and not more than resolution")
        return self


class Pix2PixPlan(PatchPlan):
    """pix2pix. With ``generator`` from 1 channel to 2 it colours lightness in Lab."""

    generator: Annotated[UNetConfig, network("pix2pix")] = UNetConfig()
    gan_mode: GanMode = "vanilla"
    l1_weight: NonNegative = 100.0
    pool: int = Field(default=0, ge=0)
    stages: Stages = (Stage(epochs=200, batch=1, learning_rate=2e-4, schedule="linear"),)

    @property
    def discriminator(self) -> PatchConfig:
        """Of inputs and outputs on each other."""
        channels = self.generator.inputs + self.generator.outputs
        return PatchConfig(width=self.discriminator_width, inputs=channels, layers=self.discriminator_layers, norm=self.generator.norm)

    @model_validator(mode="after")
    def size_can_be_halved(self) -> Self:
        if self.resolution % 2**self.generator.levels or self.crop % 2**self.generator.levels:
            raise ValueError(
                f"resolution {self.resolution}{f' or crop {self.crop}' if self.crop else ''} cannot be halved {self.generator.levels} times, as generator.levels says"
            )
        return self


class CycleGANPlan(PatchPlan):
    """CycleGAN, from the first of the two ``domains`` to the second and back. ``identity_weight`` counts in that of the cycle."""

    domains: Names = ()
    generator: Annotated[ResNetConfig, network("cyclegan")] = ResNetConfig()
    gan_mode: GanMode = "lsgan"
    cycle_weights: Annotated[tuple[float, float], Field(strict=False)] = (10.0, 10.0)
    identity_weight: NonNegative = 0.5
    pool: int = Field(default=50, ge=0)
    stages: Stages = (Stage(epochs=200, batch=1, learning_rate=2e-4, schedule="linear"),)

    @property
    def discriminator(self) -> PatchConfig:
        return PatchConfig(width=self.discriminator_width, layers=self.discriminator_layers, norm=self.generator.norm)

    @model_validator(mode="after")
    def network_fits(self) -> Self:
        if (self.generator.inputs, self.generator.outputs) != (3, 3):
            raise ValueError("generator has to take and give 3 channels: images go there and back")
        if self.resolution % 4:
            raise ValueError("resolution has to be a multiple of 4")
        return self


class CoGANPlan(LookPlan):
    """CoGAN of the ``domains`` in ``generator``."""

    generator: Annotated[CoGANConfig, network("cogan")] = CoGANConfig()
    weight_decay: NonNegative = 5e-4
    stages: Stages = (Stage(steps=100_000, batch=128, learning_rate=2e-4),)

    @property
    def size(self) -> int:
        return self.generator.image_size


class StarGANPlan(LookPlan):
    """StarGAN of the label sets in ``generator``, one for each folder of images; the generator learns every ``critic_steps`` steps.

    Not in the published code: in the first ``warm_up_steps`` the generator learns to leave images as they are, and the discriminator to
    see labels; by ``paired_weight`` the generator learns from pairs of the studio's makeovers, in the warm-up from these alone.

    The stage's schedule is ``stargan-published``, which hardly falls, as the published weights were trained, or
    ``stargan-intended``, which falls to 0 over the second half, as the paper says.
    """

    generator: Annotated[StarGANConfig, network("stargan")]
    critic_steps: int = Field(default=5, ge=1)
    warm_up_steps: int = Field(default=0, ge=0)
    paired_weight: NonNegative = 0.0
    classification_weight: NonNegative = 1.0
    reconstruction_weight: NonNegative = 10.0
    gradient_penalty_weight: NonNegative = 10.0
    stages: Stages = (Stage(steps=200_000, batch=16, learning_rate=1e-4, schedule="stargan-published"),)

    @property
    def size(self) -> int:
        return self.generator.image_size

    @model_validator(mode="after")
    def pairs_can_be_made(self) -> Self:
        if self.paired_weight and len(self.generator.label_sets) != 1:
            raise ValueError("paired_weight is for one set of labels")
        return self


class StarGANv2Plan(LookPlan):
    """StarGAN v2 of the ``domains`` in ``generator``, which has no high-pass skip.

    ``momentum`` is Adam's first beta. ``diversity_weight`` falls to 0 over ``diversity_steps``. ``mapping_rate`` is the mapping network's learning rate relative to the
    stage's, ``ema`` what the running average keeps at each step, ``crop`` how many images have a part of theirs enlarged.
    Not in the published code: in the first ``warm_up_steps`` generator and style encoder learn to leave images as they are; by
    ``paired_weight`` they and the mapping network learn from pairs of the studio's makeovers, in the warm-up from these alone.
    """

    generator: Annotated[StarGANv2Config, network("starganv2")] = StarGANv2Config()
    r1_weight: NonNegative = 1.0
    style_weight: NonNegative = 1.0
    cycle_weight: NonNegative = 1.0
    diversity_weight: NonNegative = 1.0
    diversity_steps: int = Field(default=100_000, ge=1)
    mapping_rate: Positive = 0.01
    weight_decay: NonNegative = 1e-4
    momentum: Fraction = 0.0
    ema: Fraction = 0.999
    warm_up_steps: int = Field(default=0, ge=0)
    paired_weight: NonNegative = 0.0
    crop: Fraction = 0.5
    stages: Stages = (Stage(steps=100_000, batch=8, learning_rate=1e-4),)

    @property
    def size(self) -> int:
        return self.generator.image_size

    @model_validator(mode="after")
    def pairs_can_be_made(self) -> Self:
        if self.paired_weight and not all(map(is_hair_colour, self.generator.domains)):
            raise ValueError("paired_weight is for domains that are hair colours")
        return self

    @model_validator(mode="after")
    def has_no_skip(self) -> Self:
        if self.generator.high_pass or self.generator.masks:
            raise ValueError("generator.high_pass has to be 0: its masks need a trained network that finds the parts of a face")
        return self


PLANS: dict[str, type[LookPlan]] = {
    "pix2pix": Pix2PixPlan,
    "cyclegan": CycleGANPlan,
    "cogan": CoGANPlan,
    "stargan": StarGANPlan,
    "starganv2": StarGANv2Plan,
}


def load_plan(kind: str, path: str | Path) -> LookPlan:
    """Read a plan of that kind; raises StyleRigError with the name of what is wrong in it."""
    return load_settings(PLANS[kind], path)
