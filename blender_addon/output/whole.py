"""Whether a picture on disk was written to its end. Standard library only.

Blender writes straight to the final name, so a render that is killed leaves half a file there.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
EXR_START = 20000630
EXR_MULTIPART = 0x1000
EXR_LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}


def is_whole(path: Path) -> bool:
    """Whether the file exists and is complete; formats other than PNG and EXR need only be not empty."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if path.suffix.lower() == ".png":
                return content[: len(PNG_START)] == PNG_START and content[-len(PNG_END) :] == PNG_END
            return path.suffix.lower() != ".exr" or exr_is_whole(content)
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return False


def exr_is_whole(content: mmap.mmap) -> bool:
    """Whether every chunk that an OpenEXR scan-line file promises is in it.

    The table of chunk offsets is written last, over zeros ("OpenEXR File Layout", openexr.com).
    """
    try:
        magic, version = struct.unpack_from("<iI", content, 0)
        if magic != EXR_START:
            return False
        multipart = bool(version & EXR_MULTIPART)
        counts, place = exr_chunk_counts(content, multipart)
        offsets = struct.unpack_from(f"<{sum(counts)}Q", content, place)
        return bool(offsets) and all(exr_chunk_end(content, offset, multipart) <= len(content) for offset in offsets)
    except (struct.error, KeyError, ValueError):
        return False


def exr_chunk_end(content: mmap.mmap, offset: int, multipart: bool) -> int:
    """Where the chunk at ``offset`` ends. Raises ValueError if there is none.

    A chunk: part number (in multi-part files), first line, size of the data, data.
    """
    start = offset + (4 if multipart else 0)
    _line, size = struct.unpack_from("<ii", content, start)
    if offset == 0 or size <= 0:
        raise ValueError("the chunk was never written")
    return start + 8 + size


def exr_chunk_counts(content: mmap.mmap, multipart: bool) -> tuple[list[int], int]:
    """The number of chunks of each part, and where the table of their offsets begins."""
    counts, place = [], 8
    while True:
        attributes, place = exr_header(content, place)
        if not attributes:  # the empty header that ends the headers of a multi-part file
            return counts, place
        if "chunkCount" in attributes:
            counts.append(struct.unpack("<i", attributes["chunkCount"])[0])
        else:
            _left, top, _right, bottom = struct.unpack("<4i", attributes["dataWindow"])
            lines = EXR_LINES_PER_CHUNK[attributes["compression"][0]]
            counts.append(math.ceil((bottom - top + 1) / lines))
        if not multipart:
            return counts, place


def exr_header(content: mmap.mmap, place: int) -> tuple[dict[str, bytes], int]:
    """The attributes of the header at ``place``, by name, and the place after it."""
    attributes = {}
    while content[place : place + 1] != b"\0":
        name_end = content.find(b"\0", place)
        type_end = content.find(b"\0", name_end + 1)
        if min(name_end, type_end) < 0:
            raise ValueError("the header has no end")
        size = struct.unpack_from("<i", content, type_end + 1)[0]
        if size < 0:
            raise ValueError("an attribute of negative size")
        start = type_end + 5
        attributes[content[place:name_end].decode("latin-1")] = content[start : start + size]
        place = start + size
    return attributes, place + 1
