"""The settings of a training run, read from TOML; the defaults are those of the weights that ship."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import StyleRigError
from models.generators.generator import PRECISIONS
from models.io.regular_file import read_text
from models.rigging.rignet import METHODS

LARGEST_PLAN = 1 << 20  # bytes
SCENE_STAGES = ("reconstruction", "joint", "finish")
DEFAULT = Path(__file__).with_name("studio.toml")


@dataclass(frozen=True)
class Stage:
    """One network's training: it ends after ``steps``, or ``minutes`` if these come first; 0 is no limit.

    Ended by steps it can be repeated, to the bit on the same processor, ended by the clock it cannot. A
    stage with neither is left out, where the rig does without its network. ``batch`` counts over all
    processes.
    """

    minutes: float = 0.0
    steps: int = 0
    batch: int = 32
    rate: float = 1e-3  # learning rate
    optimizer: str = "adam"  # or "adadelta", the paper's

    @property
    def off(self) -> bool:
        return self.minutes <= 0 and self.steps <= 0


@dataclass(frozen=True)
class PoolSettings:
    """Samples of the generator that the later stages learn from."""

    samples: int = 6000
    minutes: float = 0.0  # stops earlier with fewer samples; 0 is no limit
    size: int = 64  # side of the pictures that are kept for the photometric terms


@dataclass(frozen=True)
class ReconstructionSettings(Stage):
    """Weights of the terms of the reconstruction network."""

    photometric: float = 1.0
    landmark: float = 17.5
    prior: float = 0.002
    teacher: float = 1.0  # agreement with what the landmark network reads from the picture; 0 as in the paper
    scenes: float = 0.0  # agreement with the exact truth, for a generator that the studio taught
    render_batch: int = 8
    render_every: int = 3
    hidden: int = 384
    linear: bool = True  # a linear path beside the published MLP


@dataclass(frozen=True)
class RigNetSettings(Stage):
    """Weights of the terms of RigNet, for the published networks and for ours."""

    rec: float = 1.0
    photometric: float = 1.0
    landmark: float = 17.5
    parameter: float = 1.0  # agreement in parameters; the published networks do without
    change: float = 0.02  # how little of a change of w is tolerated
    scenes: float = 0.0  # agreement with exact pairs, for a generator that the studio taught
    picture: float = 4.0  # "finish": unchanged pixels where the edit should not reach
    render_batch: int = 8
    hidden: int = 512  # "joint": the network's width
    consist: float = 1.0  # weights of the published terms L_edit and L_consist
    edit: float = 1.0


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run."""

    name: str = "studio"
    seed: int = 1
    method: str = "best"  # what ships: one of rignet.METHODS, or the best measured
    keep: bool = True  # outside the face an expression changes nothing
    precision: str = "float32"  # or "bf16", for the networks that see pictures
    landmarks: Stage = field(default_factory=lambda: Stage(steps=1500, rate=2e-3))
    evaluation: Stage = field(default_factory=lambda: Stage(steps=1500, rate=2e-3))
    pool: PoolSettings = field(default_factory=PoolSettings)
    reconstruction: ReconstructionSettings = field(default_factory=lambda: ReconstructionSettings(steps=2500, batch=128))
    paper: RigNetSettings = field(default_factory=lambda: RigNetSettings(steps=350, batch=32, parameter=0.0))
    joint: RigNetSettings = field(default_factory=lambda: RigNetSettings(steps=1200, batch=128))
    finish: RigNetSettings = field(default_factory=lambda: RigNetSettings(steps=800, batch=6, rate=3e-4))

    def check(self) -> None:
        """Raise StyleRigError for settings that do not go together."""
        if self.precision not in PRECISIONS:
            raise bad_settings(f"precision is one of {PRECISIONS}, not {self.precision!r}")
        if self.method not in ("best", *METHODS):
            raise bad_settings(f"method is best or one of {METHODS}, not {self.method!r}")
        for name in ("landmarks", "evaluation", "reconstruction", "joint"):
            if getattr(self, name).off:
                raise bad_settings(f"{name} has neither steps nor minutes")

    @property
    def uses_scenes(self) -> bool:
        """Whether any stage learns from exact scenes of the studio."""
        return any(getattr(self, name).scenes and not getattr(self, name).off for name in SCENE_STAGES)

    def without_scenes(self) -> TrainingConfig:
        """The same for a generator whose z holds no scene."""
        return dataclasses.replace(self, **{name: dataclasses.replace(getattr(self, name), scenes=0.0) for name in SCENE_STAGES})

    def shared(self, processes: int) -> TrainingConfig:
        """The settings of one of several processes: its share of every batch."""
        if processes == 1:
            return self
        stages = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        share = {name: dataclasses.replace(stage, batch=max(2, -(-stage.batch // processes)))
                 for name, stage in stages.items() if isinstance(stage, Stage)}  # fmt: skip
        return dataclasses.replace(self, **share)


def read_config(path: Path | None) -> TrainingConfig:
    """The settings in a TOML file; StyleRigError names what does not belong there."""
    path = path or DEFAULT
    try:
        values = tomllib.loads(read_text(path, LARGEST_PLAN))
    except tomllib.TOMLDecodeError as error:
        raise bad_config(path, str(error)) from error
    config = fill(TrainingConfig(), values, path)
    config.check()
    return config


def fill(settings, values: dict, path: Path):
    """``settings`` with ``values`` from a parsed table in their places."""
    changes = {}
    types = {item.name: item.type for item in dataclasses.fields(settings)}
    for name, value in values.items():
        if name not in types:
            raise bad_config(path, f"there is no setting called {name!r}")
        current = getattr(settings, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise bad_config(path, f"{name} is a table")
            changes[name] = fill(current, value, path)
        elif types[name] == "float" and type(value) in (int, float):
            changes[name] = float(value)
        elif type(value) is not type(current):
            raise bad_config(path, f"{name} is a {type(current).__name__}, not {value!r}")
        else:
            changes[name] = value
    return dataclasses.replace(settings, **changes)


def bad_config(path: Path, reason: str) -> StyleRigError:
    return StyleRigError(f"{path} cannot be used: {reason}.", f"Compare it with {DEFAULT.name}.", code="bad_config")


def bad_settings(reason: str) -> StyleRigError:
    return StyleRigError(f"These settings cannot be used: {reason}.", f"Compare them with {DEFAULT.name}.", code="bad_config")
