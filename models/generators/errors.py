"""What can be wrong with a generator's file, as errors that a user can understand."""

from __future__ import annotations

from pathlib import Path

from models.errors import StyleRigError
from models.io.pickles import PickleError


class ConfigError(StyleRigError):
    """A configuration that no generator can have; ``reason`` is the end of a sentence."""

    def __init__(self, reason: str):
        super().__init__(
            f"The generator's configuration cannot be used: {reason}.",
            "Train or convert the generator again, or correct its configuration.",
            code="bad_generator",
        )
        self.reason = reason


def bad_config(reason: str) -> ConfigError:
    return ConfigError(reason)


class CheckpointError(PickleError):
    """A checkpoint of a kind that cannot be used; ``hint`` says what to do about it."""

    def __init__(self, reason: str, hint: str):
        super().__init__(reason)
        self.hint = hint


def bad_file(path: str | Path, reason: str, hint: str = "") -> StyleRigError:
    return StyleRigError(
        f"{path} is not a generator that can be used: {reason}.",
        hint or "Choose another file, or copy or train it again.",
        code="bad_generator",
    )
