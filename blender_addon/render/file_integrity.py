"""Whether a picture on disk was written to its end, and which texts it holds. Standard library only.

Blender writes straight to the final name, so a render that is killed leaves half a file there. Cut off is
only what is proven to be: a layout that is not known here may be whole. Files are read piece by piece and
not mapped into memory: another program may shorten one meanwhile, which would end this one.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
EXR_START, JPEG_START = b"v/1\x01", b"\xff\xd8\xff"
EXR_TILED, EXR_DEEP, EXR_MULTIPART = 0x200, 0x800, 0x1000
EXR_LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256, 10: 256, 11: 32}  # by codec
EXR_NEEDED = {"dataWindow", "compression", "lineOrder"}
EXR_MAX_NAME = 255
MAX_CHUNK_BYTES = 1 << 20
JPEG_COMMENT, JPEG_PIXELS = 0xFE, 0xDA  # markers of segments
MARK = "StyleRigVersion"  # the text that every picture of ours has
TEXT_FORMATS = (".png", ".exr", ".jpg", ".jpeg")  # pictures that hold texts


class UnknownLayout(Exception):
    """Nothing can be said of this file."""


class CutOff(Exception):
    """The file ends, or holds zeros, where it promises something."""


@dataclass(frozen=True)
class ExrLayout:
    """Where things are in an OpenEXR file ("OpenEXR File Layout", openexr.com)."""

    names: frozenset[str]  # attributes of the first header
    header_end: int  # of the first header, after the zero that ends it
    table: int  # where the offsets of the chunks begin
    offsets: tuple[int, ...]
    multipart: bool


def is_complete(path: Path) -> bool:
    """Whether the file exists and is not provably cut off."""
    try:
        with open(path, "rb") as file:
            return not is_cut_off(file)
    except OSError:
        return False


def is_cut_off(file: BufferedIOBase) -> bool:
    """Whether a PNG or an EXR lacks what it promises, or nothing at all was written."""
    start = read_at(file, 0, 16)
    try:
        if start.startswith(PNG_START):
            return not png_ends(file)
        if start.startswith(EXR_START):
            return not exr_chunks_are_there(file, exr_layout(file))
        written = start.rstrip(b"\0")  # nothing at all, or room was made on disk and little put into it
        return any(known.startswith(written) for known in (PNG_START, EXR_START, JPEG_START))
    except UnknownLayout:
        return False
    except (CutOff, struct.error):
        return True


def is_marked(path: Path) -> bool | None:
    """Whether a picture says that StyleRig made it; None for a format that says nothing, or that is not known. Raises OSError.

    What only calls itself a PNG, an EXR or a JPEG does not say it.
    """
    with open(path, "rb") as file:
        try:
            names = text_names(file)
        except UnknownLayout:
            return None
    return None if names is None and path.suffix.lower() not in TEXT_FORMATS else MARK in (names or ())


def text_names(file: BufferedIOBase) -> set[str] | None:
    """Names of the texts in a picture; None for a format that is not known here. Raises UnknownLayout."""
    start = read_at(file, 0, 16)
    try:
        if start.startswith(PNG_START):
            return set(png_texts(file))
        if start.startswith(EXR_START):
            return set(exr_layout(file).names)
        return set(jpeg_texts(file)) if start.startswith(JPEG_START) else None
    except (CutOff, struct.error):
        return set()


def png_ends(file: BufferedIOBase) -> bool:
    """Whether the last chunk is there; something may have been put behind it."""
    length = file.seek(0, os.SEEK_END)
    return read_at(file, max(length - len(PNG_END), 0), len(PNG_END)) == PNG_END or b"IEND" in (kind for kind, _, _ in png_chunks(file))


def png_chunks(file: BufferedIOBase) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of the data of each whole chunk, up to the last that there is."""
    length, place = file.seek(0, os.SEEK_END), len(PNG_START)
    while place + 12 <= length:
        size, kind = struct.unpack(">I4s", read_at(file, place, 8))
        if not kind.isalpha() or place + 12 + size > length:
            return
        yield kind, place + 8, size
        place += 12 + size


def png_texts(file: BufferedIOBase) -> Iterator[str]:
    """Names of the texts that stand before the pixels."""
    for kind, place, size in png_chunks(file):
        if kind == b"IDAT":
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            yield read_at(file, place, min(size, 80)).partition(b"\0")[0].decode("latin-1")


def jpeg_texts(file: BufferedIOBase) -> Iterator[str]:
    """Names of the texts in comments "Blender:NAME:TEXT", as Blender writes them, before the pixels."""
    place = 2
    while True:
        start, marker, size = struct.unpack(">BBH", read_at(file, place, 4))
        if start != 0xFF or marker == JPEG_PIXELS:
            return
        if marker == JPEG_COMMENT:
            words = read_at(file, place + 4, min(size, 80)).split(b":", 2)
            if words[0] == b"Blender" and len(words) == 3:
                yield words[1].decode("latin-1")
        place += 2 + size


def exr_layout(file: BufferedIOBase) -> ExrLayout:
    """Of an image of scan lines, in one part or several. Raises UnknownLayout, CutOff, struct.error."""
    file.seek(4)
    (version,) = unpacked("<I", file)
    if version & (EXR_TILED | EXR_DEEP):
        raise UnknownLayout
    multipart = bool(version & EXR_MULTIPART)
    first = exr_header(file)
    header_end, parts = file.tell(), [first]
    while multipart and (header := exr_header(file)):  # an empty header ends them
        parts.append(header)
    table = file.tell()
    offsets = exr_offsets(file, sum(exr_chunk_count(part, file, table, multipart) for part in parts))
    return ExrLayout(frozenset(first), header_end, table, offsets, multipart)


def exr_header(file: BufferedIOBase) -> dict[str, bytes]:
    """The attributes of the header that begins here, by name."""
    attributes = {}
    while name := until_zero(file):
        until_zero(file)  # its type
        (size,) = unpacked("<i", file)
        if size < 0:
            raise UnknownLayout
        attributes[name] = read_whole(file, size)
    return attributes


def exr_chunk_count(header: dict[str, bytes], file: BufferedIOBase, table: int, multipart: bool) -> int:
    """How many chunks a part has.

    Of a codec that is not known, only the table itself says it: it ends where the first chunk begins.
    """
    if not header.keys() >= EXR_NEEDED:
        raise CutOff  # every header has these: where they should be there are zeros
    if "chunkCount" in header and header.get("type", b"scanlineimage") == b"scanlineimage":
        return struct.unpack("<i", header["chunkCount"])[0]
    if multipart:
        raise UnknownLayout
    _left, top, _right, bottom = struct.unpack("<4i", header["dataWindow"])
    lines = EXR_LINES_PER_CHUNK.get(header["compression"][0])
    if lines:
        return math.ceil((bottom - top + 1) / lines)
    (first,) = struct.unpack("<Q", read_at(file, table, 8))
    file.seek(table)
    if first == 0:
        raise CutOff  # the table is written last, over zeros
    count, rest = divmod(first - table, 8)
    if rest or not 0 < count <= bottom - top + 1 or header["lineOrder"] != b"\0" or 0 in exr_offsets(file, count):
        raise UnknownLayout
    file.seek(table)
    return count


def exr_offsets(file: BufferedIOBase, count: int) -> tuple[int, ...]:
    """Where the chunks begin."""
    if count <= 0:
        raise UnknownLayout
    table = read_whole(file, 8 * count)
    return struct.unpack(f"<{count}Q", table)


def exr_chunks_are_there(file: BufferedIOBase, layout: ExrLayout) -> bool:
    """Whether each chunk lies in the file: part number (of several parts), first line, size of the data, data."""
    length = file.seek(0, os.SEEK_END)
    head = 12 if layout.multipart else 8
    for offset in layout.offsets:
        if not layout.table < offset <= length - head:
            return False
        (size,) = struct.unpack("<i", read_at(file, offset + head - 4, 4))
        if not 0 < size <= length - head - offset:
            return False
    return True


def read_at(file: BufferedIOBase, place: int, size: int) -> bytes:
    """What stands at ``place``; less than ``size`` bytes at the end of the file."""
    file.seek(place)
    return file.read(size)


def read_whole(file: BufferedIOBase, size: int) -> bytes:
    """The next ``size`` bytes. Raises CutOff."""
    if size > MAX_CHUNK_BYTES:  # a size that was spoilt: no memory is asked for it
        place = file.tell()
        if size > file.seek(0, os.SEEK_END) - place:
            raise CutOff
        file.seek(place)
    content = file.read(size)
    if len(content) < size:
        raise CutOff
    return content


def unpacked(layout: str, file: BufferedIOBase) -> tuple:
    return struct.unpack(layout, read_whole(file, struct.calcsize(layout)))


def until_zero(file: BufferedIOBase) -> str:
    """The name that begins here."""
    place = file.tell()
    found, zero, _ = file.read(EXR_MAX_NAME + 1).partition(b"\0")
    if not zero:
        raise UnknownLayout if len(found) > EXR_MAX_NAME else CutOff
    file.seek(place + len(found) + 1)
    return found.decode("latin-1")
