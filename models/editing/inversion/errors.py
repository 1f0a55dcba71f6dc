"""What a person can put right about a photograph."""

from __future__ import annotations

from models.errors import StyleRigError


def bad_photo(name: str, reason: str, hint: str) -> StyleRigError:
    """A file that is no photograph that can be used; ``reason`` is the end of a sentence."""
    return StyleRigError(f"{name} cannot be used: {reason}.", hint, code="bad_photo")


def no_face(name: str) -> StyleRigError:
    return StyleRigError(
        f"There is no face to be found in {name}.",
        "Choose a photo that shows both eyes and the mouth, or cut it to head and shoulders.",
        code="no_face",
    )


def several_faces(name: str, count: int) -> StyleRigError:
    return StyleRigError(
        f"{name} shows {count} faces.",
        f"Say which is meant: 1 to {count}, from left to right.",
        code="several_faces",
    )


def unknown_face(name: str, asked: int, count: int) -> StyleRigError:
    return StyleRigError(f"{name} has no face {asked}: it shows {count}.", f"Choose 1 to {count}, from left to right.", code="no_face")


def cancelled() -> StyleRigError:
    return StyleRigError("The portrait was cancelled.", "Start it again: it goes on where it was.", code="cancelled")
