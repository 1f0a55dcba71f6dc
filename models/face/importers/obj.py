"""Fast reading of Wavefront OBJ meshes with numpy."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from models.face.importers.validation import FaceModelError, read_whole

MAX_OBJ = 64 << 20  # bytes
MAX_LINES = 500_000  # of one kind
LARGEST = 1e30  # of any coordinate; what float32 holds with room to spare


def read_vertices(file: Path, data: bytes | None = None) -> np.ndarray:
    """Vertices (V, 3) float32 of an OBJ file, finite."""
    return read_rows(file, read_whole(file, MAX_OBJ) if data is None else data, "v", 3)


def read_rows(file: Path, data: bytes, keyword: str, columns: int) -> np.ndarray:
    """All lines ``keyword a b c`` as float32 (N, columns), finite."""
    line = keyword.encode() + b" "
    if data.count(b"\n" + line) > MAX_LINES:
        raise FaceModelError(file, f"has more than {MAX_LINES} lines '{keyword}'.")
    end = data.find(b"\n", data.rfind(b"\n" + line) + 1)  # no need to search the polygons, which come last
    lines = re.compile(rb"^" + line + rb"([^\r\n]*)", re.MULTILINE).findall(data, 0, end if end >= 0 else len(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy's way to say that a number is malformed
        try:
            values = np.fromstring(b" ".join(lines), sep=" ", dtype=np.float64)
        except (ValueError, DeprecationWarning) as error:
            raise FaceModelError(file, f"a line '{keyword}' holds something that is not a number.") from error
    if not lines or values.size != columns * len(lines):
        raise FaceModelError(file, f"has {len(lines)} lines '{keyword}' but {values.size} numbers in them.")
    rows = values.reshape(-1, columns)
    wrong = ~(np.abs(rows) < LARGEST).all(axis=1)
    if wrong.any():
        raise FaceModelError(file, f"line '{keyword}' number {int(wrong.argmax()) + 1} holds a value that is not a number.")
    return rows.astype(np.float32)


def read_faces(file: Path, data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Polygons (Q, 4) of vertices and of texture coordinates (None without), from 0; −1 ends a triangle."""
    if data.count(b"\nf") > MAX_LINES:
        raise FaceModelError(file, f"has more than {MAX_LINES} polygons.")
    lines = re.findall(rb"^f[ \t]+([^\r\n]*)", data, re.MULTILINE)
    corners, texture = np.full((len(lines), 4), -1), np.full((len(lines), 4), -1)
    for row, line in enumerate(lines):
        parts = [corner.split(b"/") for corner in line.split()]
        try:
            if len(parts) not in (3, 4):
                raise ValueError
            corners[row, : len(parts)] = [int(part[0]) - 1 for part in parts]
            if len(parts[0]) > 1 and parts[0][1]:
                texture[row, : len(parts)] = [int(part[1]) - 1 for part in parts]
        except (ValueError, IndexError, OverflowError) as error:
            message = f"polygon {row + 1} is not a triangle or a quad of positive indices."
            raise FaceModelError(file, message) from error
    if not lines:
        raise FaceModelError(file, "has no polygons.")
    return corners, texture if (texture[:, 0] >= 0).all() else None
