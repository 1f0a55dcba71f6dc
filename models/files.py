"""Writing files so that they appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from models.errors import StyleRigError


def write_atomic(path: str | Path, content: bytes | Callable[[Path], None]) -> Path:
    """Write beside ``path``, then rename: a reader never sees half a file.

    ``content`` is the bytes, or a function that writes the file whose path it is given
    (the temporary name keeps the suffix, because encoders choose the format by it).
    Raises StyleRigError if the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise StyleRigError(
            f"Cannot write {path}: {error.strerror or error}.",
            "Choose a folder that you may write to and that has space left.",
            code="cannot_write",
        ) from error
    finally:
        with suppress(OSError):  # its folder may not exist, or be a file
            temporary.unlink(missing_ok=True)
    return path
