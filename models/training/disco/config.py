"""The training plan of DiscoFaceGAN."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from models.face.model import FaceModel
from models.face.parameters import part_sizes
from models.generators.disco import FACTORS, HIDDEN, NOISE, NUMBERS, DiscoConfig
from models.training.core import config
from models.training.core.config import Fraction, NonNegative, Positive, load_settings
from models.training.core.trainer import Plan

EARLY = 32  # pixels up to which a generator only learns the mean colour of what the mesh covers, as published
LEAST_PAIRS = 4  # images of a contrastive batch: two that differ in expression, two in light
Size = Annotated[int, Field(strict=False)]  # keys of TOML and JSON are text
Count = Annotated[int, Field(ge=1)]


class Stage(config.Stage):
    """So many images at one resolution; all weights as published.

    Up to ``EARLY`` pixels only ``colour_weight`` acts; above it the imitative losses: ``identity_weight``, ``landmark_weight``,
    ``light_weight`` and ``skin_weight``. A ``contrastive`` stage has as many images again in pairs, with ``expression_weight``
    (one face warped upon the other) and ``relight_weight`` (what light must leave). ``flip`` mirrors half of the real images.
    """

    resolution: int = Field(ge=8, le=1024)
    batch: int = Field(default=16, ge=1, le=256)
    images: int = Field(ge=1)
    learning_rate: Positive = 0.001
    final_rate: Fraction = 1.0
    discriminator_learning_rate: Positive = 0.001
    r1_gamma: NonNegative = 10.0
    r1_interval: Count = 16
    flip: bool = True
    contrastive: bool = False
    adversarial_weight: NonNegative = 1.0
    colour_weight: NonNegative = 20.0
    identity_weight: NonNegative = 3.0
    landmark_weight: NonNegative = 500.0
    light_weight: NonNegative = 10.0
    skin_weight: NonNegative = 20.0
    expression_weight: NonNegative = 10.0
    relight_weight: NonNegative = 10.0

    @property
    def is_early(self) -> bool:
        """Whether the image is too small for anything but its colour."""
        return self.resolution <= EARLY

    @property
    def cost(self) -> float:
        return self.resolution * (2.0 if self.contrastive else 1.0)

    @model_validator(mode="after")
    def check_stage(self) -> Self:
        if self.contrastive and self.is_early:
            raise ValueError(f"pairs need more than {EARLY} pixels")
        if self.contrastive and self.batch < LEAST_PAIRS:
            raise ValueError(f"pairs need a batch of at least {LEAST_PAIRS}")
        return self


class DiscoPlan(Plan):
    """A whole training. ``heads`` are drawn for the VAEs, which ``factors`` trains; ``numbers`` and ``hidden`` are those of z and
    the decoders by factor, ``noise`` the numbers that none of them has. Without ``contrastive`` no stage has pairs (an ablation).
    """

    seed: int = Field(default=1, ge=0)
    head: str = "head-2"
    heads: int = Field(default=10_000, ge=40)
    factors: config.Stage = config.Stage(batch=64, steps=10_000, learning_rate=1e-3, final_rate=0.05)
    numbers: dict[str, Count] = Field(default_factory=lambda: dict(NUMBERS))
    hidden: dict[str, Count] = Field(default_factory=lambda: dict(HIDDEN))
    noise: int = Field(default=NOISE, ge=0)
    channels: dict[Size, Count]
    discriminator_channels: dict[Size, Count]
    mapping_layers: int = Field(default=8, ge=1, le=16)
    mapping_lr_multiplier: Positive = 0.01
    contrastive: bool = True
    ema_images: Positive = 10_000.0
    checkpoint_minutes: NonNegative = 5.0
    sample_minutes: NonNegative = 15.0
    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def check_plan(self) -> Self:
        for name in ("numbers", "hidden"):
            if sorted(getattr(self, name)) != sorted(FACTORS):
                raise ValueError(f"{name} needs {', '.join(FACTORS)}")
        for number, stage in enumerate(self.stages, 1):
            if stage.resolution not in self.channels:
                raise ValueError(
                    f"stages.#{number} has the resolution {stage.resolution}, the generator passes through {sorted(self.channels)}"
                )
        if missing := set(self.channels) - set(self.discriminator_channels):
            raise ValueError(f"discriminator_channels lacks the resolutions {sorted(missing)}")
        return self

    def generator(self, face: FaceModel) -> DiscoConfig:
        """What is taught, of heads of ``face``."""
        sizes = part_sizes(face)
        return DiscoConfig(
            resolution=max(self.channels),
            z_dim=sum(self.numbers.values()) + self.noise,
            channels=dict(self.channels),
            mapping_layers=self.mapping_layers,
            mapping_lr_multiplier=self.mapping_lr_multiplier,
            head=self.head,
            parts={part: sizes[part] for parts in FACTORS.values() for part in parts},
            numbers=dict(self.numbers),
            hidden=dict(self.hidden),
        )


def load_plan(path: str | Path) -> DiscoPlan:
    """Read a plan; raises StyleRigError with the name of what is wrong in it."""
    return load_settings(DiscoPlan, path)
