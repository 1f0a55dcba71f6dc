"""Files with flipped bits, as bad disks and downloads make them, and archives that mislead. Imported by tests."""

from __future__ import annotations

import io
import random
import zipfile
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


def zip_with_a_long_list(member: str, content: bytes, times: int = 100_000) -> bytes:
    """A zip archive whose list of contents names its one member again and again."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, content)
    whole = stream.getvalue()
    start = whole.index(b"PK\1\2")
    listed = whole[start:-22] * times
    end = whole[-22:-10] + len(listed).to_bytes(4, "little") + start.to_bytes(4, "little") + b"\0\0"
    return whole[:start] + listed + end
