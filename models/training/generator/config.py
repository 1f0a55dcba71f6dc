"""The training plan of a generator."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from models.errors import StyleRigError
from models.generators import GeneratorConfig
from models.training.core import config
from models.training.core.config import Fraction, NonNegative, Positive, load_settings
from models.training.core.trainer import Plan

MIN_PIXELS = {"stylegan2": 8, "patches": 16}  # of what each discriminator sees
Interval = Annotated[int, Field(ge=1)]


def generator_config(values: Any) -> GeneratorConfig:
    """A table as a configuration; ValueError says what is wrong in it."""
    try:
        return values if isinstance(values, GeneratorConfig) else GeneratorConfig.from_json(values)
    except StyleRigError as error:
        raise ValueError(error.message) from error


class Stage(config.Stage):
    """One part of a generator's training.

    Adversarial stages: ``free`` is the share of the generated images that come from random z (styles mixed with
    probability ``mixing``), 1 for images without latents; the others are pairs, whose losses go on, without their
    ``pair_skip`` finest levels. Regularisers act every ``_interval`` steps, path lengths with ``path_weight`` 0
    not at all; ADA with ``ada_target`` 0 not at all, ``ada_images`` take its probability from 0 to 1. ``flip`` lets
    the discriminator see mirrored images. In the loss of pairs the middle of an image weighs 1 + ``focus``, and eyes,
    brows and mouth ``feature_focus`` more; ``texture_weight`` is that of the texture loss (texture.py),
    ``perceptual_weight`` of what a face regressor sees (perceptual.py).
    """

    renamed: ClassVar[dict[str, str]] = {"reading_weight": "perceptual_weight", "discriminator_rate": "discriminator_learning_rate"}

    kind: Literal["pairs", "adversarial"] = "pairs"
    resolution: int = 128
    batch: int = Field(default=16, ge=1)
    learning_rate: Positive = 0.003
    final_rate: Fraction = 0.1
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    warmup_images: int = Field(default=500, ge=0)
    pair_weight: NonNegative = 1.0
    pair_skip: int = Field(default=0, ge=0)
    gradient_weight: NonNegative = 1.0
    focus: NonNegative = 2.0
    feature_focus: NonNegative = 0.0
    texture_weight: NonNegative = 0.0
    perceptual_weight: NonNegative = 0.0
    adversarial_weight: NonNegative = 1.0
    adversarial_ramp: int = Field(default=2000, ge=0)
    feature_weight: NonNegative = 1.0
    discriminator_learning_rate: Positive = 0.002
    r1_gamma: NonNegative = 1.0
    r1_interval: Interval = 16
    path_weight: NonNegative = 0.0
    path_interval: Interval = 8
    ada_target: Fraction = 0.6
    ada_images: Interval = 100_000
    flip: bool = False
    free: Fraction = 0.25
    mixing: Fraction = 0.5

    @property
    def cost(self) -> float:
        return self.resolution

    @model_validator(mode="after")
    def check_stage(self) -> Self:
        if self.is_off:
            raise ValueError("it needs steps, images or minutes")
        if self.resolution >> self.pair_skip < 4:
            raise ValueError(f"pair_skip leaves out {self.pair_skip} levels of a resolution of {self.resolution}, which is all there are")
        return self


class GeneratorPlan(Plan):
    """The generator, the stages one after another, and how the loop works.

    ``mapping_rate`` is the mapping's learning rate, relative to the stage's. ``discriminator`` judges the whole
    image ("stylegan2", of ``discriminator_channels``) or its patches ("patches").
    """

    renamed: ClassVar[dict[str, str]] = {"sheet_minutes": "sample_minutes"}

    generator: Annotated[GeneratorConfig, PlainValidator(generator_config)] = GeneratorConfig()
    discriminator: Literal["stylegan2", "patches"] = "stylegan2"
    discriminator_channels: dict[Annotated[int, Field(strict=False)], Annotated[int, Field(ge=1)]] = Field(
        default={4: 192, 8: 192, 16: 128, 32: 96, 64: 48, 128: 16}
    )
    stages: Annotated[tuple[Stage, ...], Field(strict=False)] = (Stage(images=1000),)
    mapping_rate: NonNegative = 1.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = True
    ema_images: Positive = 2000.0
    sample_minutes: NonNegative = 3.0
    rescan_minutes: NonNegative = 1.0

    @model_validator(mode="after")
    def check_plan(self) -> Self:
        if self.generator.img_channels != 4:
            raise ValueError("the images carry a matte, so the generator needs img_channels = 4")
        if not self.stages:
            raise ValueError("it has no stages")
        for number, stage in enumerate(self.stages, 1):
            self.check_resolution(f"stages.#{number}", stage)
        return self

    def check_resolution(self, name: str, stage: Stage) -> None:
        """Raise ValueError where generator or discriminator cannot do with the stage's resolution."""
        sizes = self.generator.block_resolutions
        if stage.resolution not in sizes:
            raise ValueError(f"{name} has the resolution {stage.resolution}, the generator passes through {sizes}")
        if stage.kind == "adversarial":
            if stage.resolution < (least := MIN_PIXELS[self.discriminator]):
                raise ValueError(f"{name} is adversarial, which takes at least {least} pixels with the discriminator {self.discriminator}")
            if self.discriminator == "stylegan2" and (missing := set(sizes) - set(self.discriminator_channels)):
                raise ValueError(f"discriminator_channels lacks the resolutions {sorted(missing)}")

    def shape(self) -> dict[str, Any]:
        """What a checkpoint must agree in; stages may be changed between two runs."""
        return {
            "generator": dataclasses.asdict(self.generator),
            "discriminator": self.discriminator,
            "discriminator_channels": self.discriminator_channels,
        }


def load_plan(path: str | Path) -> GeneratorPlan:
    """Read a plan; raises StyleRigError with the name of what is wrong in it."""
    return load_settings(GeneratorPlan, path)
