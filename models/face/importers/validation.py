"""Checks on what a face model's file holds: each says which file and which entry is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from models.errors import StyleRigError
from models.io.regular_file import UnreadableFile, open_regular, read_regular

MAX_FILE = 1 << 30  # bytes; the largest of these models (BFM 2009) takes 240 MB
MAX_MODES = 2000
MAX_VERTICES = 250_000  # the largest of these models has 58,000
MAX_NUMBERS = 200 << 20  # of all modes together, in float32 800 MiB


class FaceModelError(StyleRigError):
    """A face model's file is damaged, incomplete, or not what it says."""

    def __init__(self, file: Path, what: str, hint: str = "Download the face model again, or choose another file."):
        super().__init__(f"{file}: {what}", hint, code="bad_face_model")


def read_whole(file: Path, limit: int = MAX_FILE) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes."""
    try:
        return read_regular(file, limit)
    except UnreadableFile as error:
        raise FaceModelError(file, f"cannot be read: {error.reason}.", "Check the path and its rights.") from error


def open_whole(file: Path, limit: int = MAX_FILE) -> BinaryIO:
    """A regular file of at most ``limit`` bytes, open for reading."""
    try:
        return open_regular(file, limit)
    except UnreadableFile as error:
        raise FaceModelError(file, f"cannot be read: {error.reason}.", "Check the path and its rights.") from error


def numbers(file: Path, entry: str, values: object, shape: tuple[int | None, ...], kind: str = "floating") -> np.ndarray:
    """``values`` as a finite float32 (or int64) array of ``shape``; None in the shape stands for any length ≥ 1."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise FaceModelError(file, f"the entry {entry} is not an array of numbers.")
    fits = array.ndim == len(shape) and all(
        size > 0 and (wanted is None or size == wanted) for size, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = " × ".join("any" if size is None else str(size) for size in shape)
        found = " × ".join(map(str, array.shape)) or "a single number"
        raise FaceModelError(file, f"the entry {entry} is {found}, not {wanted}.")
    if not np.isfinite(array).all():
        place = ", ".join(str(int(axis[0])) for axis in np.nonzero(~np.isfinite(array)))
        raise FaceModelError(file, f"the entry {entry} holds a value that is not a number at [{place}].")
    if kind == "integer":
        if array.dtype.kind == "f" and (array != np.rint(array)).any():
            raise FaceModelError(file, f"the entry {entry} holds fractions where indices belong.")
        return array.astype(np.int64)
    with np.errstate(over="ignore"):
        single = np.array(array, dtype=np.float32, order="C")  # a copy: what files are read into may be read-only
    if not np.isfinite(single).all():
        raise FaceModelError(file, f"the entry {entry} holds values that are too large.")
    return single


def indices(file: Path, entry: str, values: object, shape: tuple[int | None, ...], count: int, first: int = 0) -> np.ndarray:
    """Indices as int64 counted from 0, each within ``count``; ``first`` is what the file counts from."""
    array = numbers(file, entry, values, shape, "integer") - first
    wrong = (array < 0) | (array >= count)
    if wrong.any():
        place = ", ".join(str(int(axis[0])) for axis in np.nonzero(wrong))
        value = int(array[wrong][0]) + first
        raise FaceModelError(file, f"the entry {entry} points at {value} at [{place}]; there are {count}.")
    return array


def names(file: Path, entry: str, values: object, count: int) -> list[str]:
    """``count`` different, non-empty names of at most 80 characters."""
    found = [str(value) for value in np.asarray(values).ravel()[: MAX_MODES + 1]]
    if len(found) != count:
        raise FaceModelError(file, f"the entry {entry} names {len(found)} modes, but there are {count}.")
    for name in found:
        if not name or len(name) > 80 or not name.isprintable():
            raise FaceModelError(file, f"the entry {entry} holds an unusable name: {name[:80]!r}.")
    if len(set(found)) != count:
        twice = next(name for name in found if found.count(name) > 1)
        raise FaceModelError(file, f"the entry {entry} holds the name {twice} twice.")
    return found


def numbered(prefix: str, count: int) -> list[str]:
    """prefix001, prefix002, …"""
    return [f"{prefix}{i + 1:03d}" for i in range(count)]
