"""Writing files so that they appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from models.errors import StyleRigError

TEMPORARY = ".stylerig-"  # how the names of files begin that are being written


def write_atomic(path: str | Path, content: bytes | Callable[[Path], object]) -> Path:
    """Write beside ``path``, then rename: a reader never sees half a file.

    ``content`` is the bytes, or a function that writes the file whose path it is given
    (the temporary name keeps the suffix, because encoders choose the format by it).
    A link at ``path`` is replaced, not followed. Raises StyleRigError if the folder cannot be
    written or the disk is full; nothing is left behind then.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content)
    except OSError as error:
        raise StyleRigError(
            f"Cannot write {path}: {error.strerror or error}.",
            "Choose a folder that you may write to and that has space left.",
            code="cannot_write",
        ) from error
    return path


def replace(path: Path, content: bytes | Callable[[Path], object]) -> None:
    temporary = path.with_name(temporary_name(path.suffix))
    file = temporary.open("xb")  # a new file: never one, or a link, that someone put there
    try:
        with file:
            if not callable(content):
                file.write(content)
        if callable(content):
            content(temporary)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_name(suffix: str) -> str:
    """A hidden name that nobody can foresee, short however long the file's own is."""
    return f"{TEMPORARY}{secrets.token_hex(8)}{suffix}"


def remove_temporaries(folder: Path, *suffixes: str) -> None:
    """Delete what a killed process had begun to write into a ``folder`` that only this one writes to."""
    for suffix in suffixes:
        for path in folder.glob(f"{TEMPORARY}*{suffix}"):
            path.unlink(missing_ok=True)
