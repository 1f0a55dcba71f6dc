"""A folder with a virtual environment: what state it is in, its marker, its lock. Standard library only.

An environment is finished when its marker is there, which is written last. One without it is
half made: making goes on where it stopped, or begins anew where that cannot be.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import UserError
from .child_process import WINDOWS
from .requirements import Requirements

MARKER = "stylerig-environment.json"
OLD_MARKER = "stylerig-setup.json"  # what build.py wrote before it shared this installer
GIGABYTE = 1 << 30


def executable(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``."""
    return folder / ("Scripts/python.exe" if WINDOWS else "bin/python")


def read_marker(folder: Path) -> dict[str, str]:
    """What is written of a finished environment; {} for one that is absent or half made."""
    for name in (MARKER, OLD_MARKER):
        try:
            marker = json.loads((folder / name).read_text(encoding="utf-8"))
            return marker if executable(folder).is_file() and isinstance(marker, dict) else {}
        except (OSError, ValueError):
            continue
    return {}


def write_marker(folder: Path, marker: dict[str, str]) -> None:
    """Say that the environment is finished."""
    beside = folder / f"{MARKER}.new"
    beside.write_text(json.dumps(marker), encoding="utf-8")
    os.replace(beside, folder / MARKER)


def remove_marker(folder: Path) -> None:
    """From here on the environment is half made."""
    for name in (MARKER, OLD_MARKER):
        (folder / name).unlink(missing_ok=True)


def state(folder: Path, requirements: Requirements) -> str:
    """ "absent", "half made", "outdated" (made for other pins) or "ready"."""
    if not folder.is_dir():
        return "absent"
    marker = read_marker(folder)
    if not marker:
        return "half made"
    try:
        return "ready" if marker.get("pins") == requirements.fingerprint() else "outdated"
    except UserError:
        return "ready"  # nothing to compare it with


def remove(folder: Path) -> None:
    """Remove the environment, whole or half made. Raises UserError."""
    if not folder.exists():
        return
    try:
        remove_marker(folder)  # first, so that what is left of a failure is no environment
        shutil.rmtree(folder)
    except OSError as error:
        raise UserError(
            "cannot_remove",
            "The environment in {folder} cannot be removed: {error}.",
            "Stop the backend and close programs that use the folder, then try again.",
            folder=folder,
            error=error.strerror or error,
        ) from error


def check_space(folder: Path, gigabytes: float) -> None:
    """Raises UserError where the disk of a new environment in ``folder`` has less free."""
    if folder.is_dir():
        return  # much of it is there: the disk itself will tell
    free = free_gigabytes(folder.parent)
    if free < gigabytes:
        raise UserError(
            "disk_full",
            "The environment needs {needed} GB, {free} GB are free at {folder}.",
            "Free some space and try again.",
            needed=f"{gigabytes:g}",
            free=f"{free:.1f}",
            folder=folder.parent,
        )


def free_gigabytes(folder: Path) -> float:
    """Free space of the disk of ``folder``."""
    return shutil.disk_usage(folder).free / GIGABYTE


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock file, which the system lets go of when this process ends however it ends. Raises UserError where another holds it."""
    with open(path, "a+b") as stream:
        try:
            lock(stream)
        except OSError as error:
            raise UserError(
                "in_use", "Another program is making the environment.", "Wait until it has finished; this one will use it too."
            ) from error
        yield


def lock(stream: IO[bytes]) -> None:
    """Lock an open file, without waiting. OSError when another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def pip_version(folder: Path) -> tuple[int, ...]:
    """The version of the environment's pip from its folder's name; (0,) without one."""
    places = [*folder.glob("lib/python*/site-packages/pip-*.dist-info"), *folder.glob("Lib/site-packages/pip-*.dist-info")]
    versions = [tuple(int(n) for n in re.findall(r"\d+", place.name)) for place in places]
    return max(versions, default=(0,))
