"""The training plan of a rig; the defaults are small, studio.toml made the weights that ship."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from models.generators.generator import Precision
from models.rigging.rignet import Method
from models.training.core import config
from models.training.core.config import NonNegative, Settings, load_settings
from models.training.core.schedule import warmup_cosine
from models.training.core.trainer import Plan

WARMUP_STEPS = 100
SCENE_STAGES = ("reconstruction", "joint", "finish")
REQUIRED_STAGES = ("landmarks", "judge", "reconstruction", "joint")
DEFAULT = Path(__file__).with_name("studio.toml")


class Stage(config.Stage):
    """One network's training: it ends after ``steps``, or ``minutes`` if these come first.

    A stage with neither is left out, where the rig does without its network.
    """

    renamed: ClassVar[dict[str, str]] = {"rate": "learning_rate"}

    optimizer: Literal["adam", "adadelta"] = "adam"  # adadelta is the paper's

    def learning_rate_factor(self, fraction: float, images: int) -> float:
        """A warm-up of a hundred steps, then a cosine to zero; AdaDelta's rate stays as it is."""
        return 1.0 if self.optimizer == "adadelta" else warmup_cosine(fraction, images / (WARMUP_STEPS * self.batch), self.final_rate)


class PoolSettings(Settings):
    """Samples of the generator that the later stages learn from."""

    samples: int = Field(default=6000, ge=1)
    minutes: NonNegative = 0.0  # stops earlier with fewer samples; 0 is no limit
    size: int = Field(default=64, ge=1)  # side of the images that are kept for the photometric terms


class ReconstructionSettings(Stage):
    """Weights of the terms of the reconstruction network."""

    photometric: NonNegative = 1.0
    landmark: NonNegative = 17.5
    prior: NonNegative = 0.002
    teacher: NonNegative = 1.0  # agreement with what the landmark network regresses from the image; 0 as in the paper
    scenes: NonNegative = 0.0  # agreement with exact labels, for a generator that the studio taught
    render_batch: int = Field(default=8, ge=1)
    render_every: int = Field(default=3, ge=1)
    hidden: int = Field(default=384, ge=1)
    linear: bool = True  # a linear path beside the published MLP


class RigNetSettings(Stage):
    """Weights of the terms of RigNet, for the published networks and for ours."""

    renamed: ClassVar[dict[str, str]] = {**Stage.renamed, "picture": "preservation"}

    rec: NonNegative = 1.0
    photometric: NonNegative = 1.0
    landmark: NonNegative = 17.5
    parameter: NonNegative = 1.0  # agreement in parameters; the published networks do without
    change: NonNegative = 0.02  # how little of a change of w is tolerated
    scenes: NonNegative = 0.0  # agreement with exact pairs, for a generator that the studio taught
    preservation: NonNegative = 4.0  # "finish": unchanged pixels where the edit should not reach
    render_batch: int = Field(default=8, ge=1)
    hidden: int = Field(default=512, ge=1)  # "joint": the network's width
    consist: NonNegative = 1.0  # weights of the published terms L_edit and L_consist
    edit: NonNegative = 1.0


class RigPlan(Plan):
    """A whole run."""

    renamed: ClassVar[dict[str, str]] = {"evaluation": "judge", "keep": "localize_expressions"}

    name: str = "stylerig"
    seed: int = Field(default=1, ge=0)
    checkpoint_minutes: NonNegative = 1.0
    method: Literal["best", Method] = "best"  # what ships: one of them, or the best measured
    localize_expressions: bool = True  # outside the face an expression changes nothing
    precision: Precision = "float32"  # of the networks that see images
    landmarks: Stage = Stage(steps=1500, learning_rate=2e-3)
    judge: Stage = Stage(steps=1500, learning_rate=2e-3)
    pool: PoolSettings = PoolSettings()
    reconstruction: ReconstructionSettings = ReconstructionSettings(steps=2500, batch=128)
    paper: RigNetSettings = RigNetSettings(steps=350, batch=32, parameter=0.0)
    joint: RigNetSettings = RigNetSettings(steps=1200, batch=128)
    finish: RigNetSettings = RigNetSettings(steps=800, batch=6, learning_rate=3e-4)

    @model_validator(mode="after")
    def check_plan(self) -> Self:
        for name in REQUIRED_STAGES:
            if getattr(self, name).is_off:
                raise ValueError(f"{name} has neither steps nor minutes")
        return self

    @property
    def uses_scenes(self) -> bool:
        """Whether any stage learns from exact scenes of the studio."""
        return any(getattr(self, name).scenes and not getattr(self, name).is_off for name in SCENE_STAGES)

    def without_scenes(self) -> RigPlan:
        """The same for a generator whose z holds no scene."""
        return self.replace(**{name: getattr(self, name).replace(scenes=0.0) for name in SCENE_STAGES})


def load_plan(path: Path | None) -> RigPlan:
    """The plan in a TOML or JSON file; StyleRigError names what does not belong there."""
    return load_settings(RigPlan, path or DEFAULT)
