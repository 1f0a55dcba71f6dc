"""Files with flipped bits, as bad disks and downloads make them. Imported by tests."""

from __future__ import annotations

import random
from pathlib import Path

from models.errors import StyleRigError
from models.generators import load_generator


def refused_flips(path: Path, data: bytes, count: int) -> int:
    """How many of ``count`` files of ``data`` with one bit flipped are refused, each error naming the file."""
    draw, refused = random.Random(5), 0
    for _ in range(count):
        flipped = bytearray(data)
        place = draw.randrange(len(flipped) * 8)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            load_generator(path)
        except StyleRigError as error:
            assert str(path) in error.message
            refused += 1
    return refused
