"""The training plan of a guided generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from models.generators import guide
from models.generators.guided import GuidedConfig
from models.generators.person import PersonConfig
from models.generators.planes import PlanesConfig
from models.training.core import config
from models.training.core.config import Fraction, NonNegative, Positive, load_settings
from models.training.core.trainer import Plan

Size = Annotated[int, Field(strict=False)]  # keys of TOML and JSON are text


class Stage(config.Stage):
    """So many images at one resolution; ``adversarial_weight`` is that of realism (0: pairs alone).

    ``feature_weight`` is that of feature matching, relative to it, ``texture_weight`` that of likeness of texture, which
    teaches strands alone; ``dyed`` is the share of images whose clothes get another colour, ``mirrored`` of those that are
    seen in a mirror, ``tinted`` of those in light of another colour. With a ``window`` of so many pixels, a step draws only
    that part of its images, somewhere on them: what fine layers draw is of its surroundings alone.
    """

    renamed: ClassVar[dict[str, str]] = {"patches": "adversarial_weight", "patch_rate": "discriminator_learning_rate"}

    resolution: int = Field(ge=16, le=1024)
    batch: int = Field(ge=1, le=256)
    images: int = Field(ge=1)
    learning_rate: Positive
    final_rate: Fraction = 0.2
    warmup_images: int = Field(default=400, ge=0)
    feature_focus: NonNegative = 4.0
    pair_skip: int = Field(default=0, ge=0, le=4)
    dyed: Fraction = 0.7
    mirrored: Fraction = 0.5
    tinted: Fraction = 0.6
    window: int = Field(default=0, ge=0, le=1024, multiple_of=4)
    texture_weight: NonNegative = 0.0
    adversarial_weight: NonNegative = 0.0
    feature_weight: NonNegative = 0.3
    discriminator_learning_rate: Positive = 0.001
    r1_gamma: NonNegative = 1.0

    @property
    def cost(self) -> float:
        return self.resolution


class GuidedPlan(Plan):
    """A whole training. ``mapping_rate`` and ``guide_rate`` are learning rates relative to the stage's; ``precision`` is that of the
    generator's convolutions, with "auto" bfloat16 where the machine multiplies it in hardware."""

    renamed: ClassVar[dict[str, str]] = {"sheet_minutes": "sample_minutes"}

    seed: int = Field(default=1, ge=0)
    head: str = "head-2"
    channels: dict[Size, int]
    mapping_layers: int = Field(default=2, ge=1, le=8)
    mapping_rate: Positive = 0.2
    guide_rate: Positive = 0.25
    people: int = Field(default=60_000, ge=0)  # how many the network that describes people learns from; 0: z itself says who
    people_steps: int = Field(default=6000, ge=1)
    matte_weight: NonNegative = 0.15
    palette_weight: NonNegative = 0.3
    ema_images: Positive = 2000.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    checkpoint_minutes: NonNegative = 5.0
    sample_minutes: NonNegative = 15.0
    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1)]

    def generator(self, person: PersonConfig, mattes: tuple[str, ...]) -> GuidedConfig:
        """What is taught, of people who are made of ``person``."""
        return GuidedConfig(resolution=max(self.channels), channels=self.channels, mapping_layers=self.mapping_layers, mattes=mattes,
                            head=self.head, mapping_lr_multiplier=1.0, guide_channels=guide.CHANNELS, person=person,
                            palette=person.features > 0, planes=PlanesConfig() if person.features else None,
                            strands=person.features > 0)  # fmt: skip


def load_plan(path: str | Path) -> GuidedPlan:
    """Read a plan; raises StyleRigError with the name of what is wrong in it."""
    return load_settings(GuidedPlan, path)
