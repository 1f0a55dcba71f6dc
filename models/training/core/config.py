"""Training plans: tables of settings, read from a TOML or JSON file and checked by name, type and range."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import StyleRigError
from models.io.regular_file import read_text
from models.training.core.schedule import warmup_cosine

MAX_BYTES = 1 << 20  # of a plan
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A table of settings. Names that it does not have, and values of another type, are errors.

    ``renamed`` maps names that plans of earlier versions have to those of today.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)
    renamed: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def check_names(cls, values: Any) -> Any:
        if isinstance(values, cls):
            return values
        if not isinstance(values, dict):
            raise ValueError("it is not a table of names and values")
        values = {cls.renamed.get(name, name): value for name, value in values.items()}
        if unknown := sorted(str(name) for name in values if name not in cls.model_fields):
            raise ValueError(f"there is no setting {', '.join(unknown)}; there are {', '.join(cls.model_fields)}")
        return values

    def replace(self, **changes: Any) -> Self:
        """The same with ``changes``, checked again."""
        return type(self).model_validate(dict(self) | changes)


class Stage(Settings):
    """A part of a training at one batch size and schedule.

    It ends after ``steps``, ``images`` or ``minutes`` of work, whichever comes first; 0 is no limit. Ended by the
    clock it cannot be repeated to the bit. ``batch`` counts over all processes. The learning rate rises over
    ``warmup_images`` and then falls along half a cosine to its fraction ``final_rate``.
    """

    batch: int = Field(default=32, ge=1)
    steps: int = Field(default=0, ge=0)
    images: int = Field(default=0, ge=0)
    minutes: NonNegative = 0.0
    learning_rate: Positive = 1e-3
    final_rate: Fraction = 0.0
    warmup_images: int = Field(default=0, ge=0)

    @property
    def is_off(self) -> bool:
        """Whether it has no limit, and so is left out."""
        return not (self.steps or self.images or self.minutes)

    def learning_rate_factor(self, fraction: float, images: int) -> float:
        """The schedule: ``fraction`` of the stage is done before a step, ``images`` after it."""
        return warmup_cosine(fraction, images / max(self.warmup_images, 1), self.final_rate)

    @property
    def cost(self) -> float:
        """How long one image takes, relative to other stages of the same plan."""
        return 1.0


SettingsType = TypeVar("SettingsType", bound=Settings)


def load_settings(kind: type[SettingsType], path: str | Path) -> SettingsType:
    """Read a plan; raises StyleRigError that names the file, the setting and what is allowed there."""
    path = Path(path)
    try:
        text = read_text(path, MAX_BYTES)
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise bad_plan(str(path), f"it is not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from error
    return parse_settings(kind, values, str(path))


def parse_settings(kind: type[SettingsType], values: Any, source: str = "The training plan") -> SettingsType:
    """Settings from a parsed table; raises StyleRigError as ``load_settings``."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise bad_plan(source, "; ".join(describe(each) for each in error.errors())) from error


def describe(error: Any) -> str:
    """One fault: where it is, what is allowed there, and what stands there. Stages are counted from 1."""
    place = ".".join(f"#{part + 1}" if isinstance(part, int) else str(part) for part in error["loc"])
    reason = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    value = error["input"]
    shown = "" if isinstance(value, (dict, list, Settings)) else f", not {value!r}"
    return f"{place}: {reason.rstrip('.')}{shown}" if place else f"{reason.rstrip('.')}{shown}"


def bad_plan(source: str, reason: str) -> StyleRigError:
    return StyleRigError(
        f"{source} cannot be used: {reason}.",
        "Correct it; the plans in models/training (studio.toml) are examples.",
        code="bad_config",
    )
