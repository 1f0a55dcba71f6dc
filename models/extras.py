"""Packages that only some work needs: the lists in [project.optional-dependencies] of pyproject.toml."""

from __future__ import annotations

import contextlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from models.errors import StyleRigError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "cv2": "opencv-python",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "sklearn": "scikit-learn",
}  # module -> its package, where the names differ


@contextlib.contextmanager
def extra_needed() -> Iterator[None]:
    """Around an import: a package that is missing is a StyleRigError that says how it is installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_package(error) from error


def missing_package(error: ModuleNotFoundError) -> StyleRigError:
    """The error for a module that is not installed: its extra, and pip's command for that."""
    module = (error.name or "").partition(".")[0]
    package = PACKAGES.get(module, module)
    for extra, pins in extras().items():
        if package in {re.split("==", pin)[0] for pin in pins}:
            message = f"{package} is not installed in this Python; it belongs to the extra {extra!r}."
            return StyleRigError(message, f"Install it: {sys.executable} -m pip install {' '.join(pins)}", code="missing_package")
    return StyleRigError(
        f"No module named {error.name!r}: a package is missing from this Python ({sys.executable}).",
        "Make its environment again.",
        code="missing_package",
    )


def extras() -> dict[str, list[str]]:
    """Extra -> its pins. Empty where pyproject.toml does not lie beside the packages."""
    try:
        return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    except OSError:
        return {}
