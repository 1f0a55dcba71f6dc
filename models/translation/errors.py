"""What can be wrong with looks, as errors that a user can understand."""

from __future__ import annotations

from pathlib import Path

from models.errors import StyleRigError


class ConfigError(StyleRigError):
    """A configuration that no network of a look can have; ``reason`` is the end of a sentence."""

    def __init__(self, reason: str):
        super().__init__(f"The look's configuration cannot be used: {reason}.", "Correct it.", code="bad_look")
        self.reason = reason


def bad_look(path: str | Path, reason: str, hint: str = "") -> StyleRigError:
    return StyleRigError(
        f"{path} is not a look that can be used: {reason}.",
        hint or "Choose another file, or copy or train it again.",
        code="bad_look",
    )


def bad_label(reason: str, hint: str) -> StyleRigError:
    return StyleRigError(f"The look's label cannot be used: {reason}.", hint, code="bad_label")


def bad_style(reason: str, hint: str) -> StyleRigError:
    return StyleRigError(f"The look's style cannot be used: {reason}.", hint, code="bad_style")


def bad_image(reason: str, hint: str) -> StyleRigError:
    return StyleRigError(f"The look cannot be put on this image: {reason}.", hint, code="bad_image")
