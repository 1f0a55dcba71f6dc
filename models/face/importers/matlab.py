"""A small strict reader of MATLAB files, version 5 (what MATLAB saves with -v6 and -v7).

Only numeric arrays are read; cells, structures, strings and objects are passed over. Format:
MathWorks, "MAT-File Format", the Level 5 chapter.
"""

from __future__ import annotations

import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np

from models.face.importers.validation import FaceModelError, read_whole

HEADER = 128
MAX_ARRAY = 300 << 20  # bytes of one array once unpacked; the largest (BFM 2009, in doubles) takes 256 MB
MAX_TOTAL = 700 << 20  # bytes of all arrays that are wanted
MAX_VARIABLES = 1000
MATRIX, COMPRESSED = 14, 15
NUMERIC_CLASSES = range(6, 16)  # double, single, and the integers
COMPLEX = 0x0800
STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
PEEK = 1024  # bytes that surely hold an array's flags, dimensions and name


def read_matlab(file: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """The numeric arrays of ``file`` whose names are in ``wanted``, in the type in which they are stored."""
    data = memoryview(read_whole(file))
    order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]))
    if not bytes(data[:10]) == b"MATLAB 5.0" or order is None:
        raise FaceModelError(file, "is not a MATLAB file of version 5.", "Save it in MATLAB with -v7.")
    arrays: dict[str, np.ndarray] = {}
    position = HEADER
    try:
        for _ in range(MAX_VARIABLES):
            if position >= len(data):
                return arrays
            kind, size = struct.unpack_from(order + "II", data, position)
            body = data[position + 8 : position + 8 + size]
            if len(body) < size:
                raise ValueError("it ends in the middle of an array")
            position += 8 + size
            left = min(MAX_ARRAY, MAX_TOTAL - sum(values.nbytes for values in arrays.values()))
            read_variable(kind, body, order, wanted, arrays, left)
    except (ValueError, struct.error, zlib.error, KeyError) as error:
        raise FaceModelError(file, f"is damaged at byte {position}: {error}.") from error
    raise FaceModelError(file, f"holds more than {MAX_VARIABLES} variables.")


def read_variable(kind: int, body: memoryview, order: str, wanted: set[str], arrays: dict[str, np.ndarray], left: int) -> None:
    """Put one variable into ``arrays`` if it is wanted; it may take ``left`` bytes once unpacked."""
    head = body
    if kind == COMPRESSED:
        packed = memoryview(zlib.decompressobj().decompress(body, PEEK))
        kind, size = struct.unpack_from(order + "II", packed)
        head = packed[8:]
    if kind != MATRIX:
        return
    numeric, shape, name, position = matrix_header(head, order)
    if not numeric or name not in wanted:
        return
    if name in arrays:
        raise ValueError(f"the array {name} is there twice")
    if head is not body:
        if size > left + PEEK:
            raise ValueError(f"the array {name} of {size >> 20} MiB is too large")
        unpacked = zlib.decompressobj().decompress(body, size + 8)
        if len(unpacked) != size + 8:
            raise ValueError("a compressed array is shorter than it says")
        body = memoryview(unpacked)[8:]
    storage, raw, _ = element(body, position, order)
    values = np.frombuffer(raw, np.dtype(order + STORAGE[storage]))
    if values.size != prod(shape):
        raise ValueError(f"the array {name} holds {values.size} values, not {prod(shape)}")
    arrays[name] = values.reshape(shape, order="F")


def matrix_header(body: memoryview, order: str) -> tuple[bool, tuple[int, ...], str, int]:
    """Whether an array is real and numeric, its shape, its name, and where its values begin."""
    _, flags, position = element(body, 0, order)
    (flag,) = struct.unpack_from(order + "I", flags)
    _, sizes, position = element(body, position, order)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    _, name, position = element(body, position, order)
    if any(size < 0 for size in shape):
        raise ValueError("an array has a negative size")
    return flag & 0xFF in NUMERIC_CLASSES and not flag & COMPLEX, shape, bytes(name).decode("ascii"), position


def element(body: memoryview, position: int, order: str) -> tuple[int, memoryview, int]:
    """Type, bytes and end of the data element at ``position``; small ones keep their bytes in the tag."""
    kind, size = struct.unpack_from(order + "II", body, position)
    start = position + 8
    if kind >> 16:
        kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        if size > 4:
            raise ValueError("a small element is too long")
    raw = body[start : start + size]
    if len(raw) < size:
        raise ValueError("an element reaches past its array")
    return kind, raw, position + 8 if start == position + 4 else start + -(-size // 8) * 8
