"""The texts in a picture's metadata, by name, without unpacking its pixels. Standard library only.

A picture may be anybody's: it is read piece by piece, and no more than ``MAX_TEXT`` bytes are held of it.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from models.io.regular_file import open_regular

MAX_FILE_SIZE = 1 << 30  # bytes; an EXR of 2048² with all passes has 0.4 of it
MAX_TEXT = 16 << 20  # bytes
PIECE = 1 << 20  # bytes
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
EXR_START = b"v/1\x01"
EXR_TILED, EXR_DEEP, EXR_MULTIPART = 0x200, 0x800, 0x1000
MAX_CHUNKS = 1 << 20


def texts_of(path: Path) -> dict[str, str]:
    """The texts of a whole PNG or EXR, names with a capital. Raises StyleRigError, ValueError, OSError or struct.error."""
    with open_regular(path, MAX_FILE_SIZE) as file:
        start = file.read(len(PNG_START))
        if start == PNG_START:
            return png_texts(file)
        if start.startswith(EXR_START):
            return exr_texts(file)
    raise ValueError("it is neither PNG nor EXR")


def png_texts(file: BinaryIO) -> dict[str, str]:
    """The texts of a PNG's chunks up to IEND (PNG specification, 5.3 and 11.3.3), the sum of each checked."""
    texts, kind, left = {}, b"", MAX_TEXT
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", file.read(8))
        wanted = kind in PNG_TEXTS and length <= left
        data, check = checked(file, length, kind, wanted)
        if struct.unpack(">I", file.read(4))[0] != check:
            raise ValueError("it is damaged")
        if wanted:
            left -= length
            name, text = png_text(kind, data)
            texts[name[:1].upper() + name[1:]] = text
    return texts


def checked(file: BinaryIO, length: int, kind: bytes, keep: bool) -> tuple[bytes, int]:
    """The data of a chunk, if it is to be kept, and its sum."""
    pieces, check = [], zlib.crc32(kind)
    while length:
        piece = file.read(min(length, PIECE))
        if not piece:
            raise ValueError("it is cut off")
        length -= len(piece)
        check = zlib.crc32(piece, check)
        if keep:
            pieces.append(piece)
    return b"".join(pieces), check


def png_text(kind: bytes, data: bytes) -> tuple[str, str]:
    """(name, text) of a chunk."""
    name, _, rest = data.partition(b"\0")
    encoding, packed = "latin-1", kind == b"zTXt"
    if kind == b"iTXt":
        encoding, packed = "utf-8", rest[:1] == b"\1"
    if kind != b"tEXt":
        rest = rest[1:]  # how it is packed: there is one way only
    if kind == b"iTXt":
        rest = rest[1:].split(b"\0", 2)[2]  # behind the language and the name in that language
    text = zlib.decompressobj().decompress(rest, MAX_TEXT) if packed else rest
    return name.decode("latin-1"), text.decode(encoding, "replace")


def exr_texts(file: BinaryIO) -> dict[str, str]:
    """The texts of an EXR's headers ("OpenEXR File Layout", openexr.com), provided that its chunks are there."""
    size = os.fstat(file.fileno()).st_size
    file.seek(4)
    head = file.read(min(size, MAX_TEXT))
    version, place = struct.unpack_from("<I", head)[0], 4
    texts: dict[str, str] = {}
    while True:
        found, after = exr_header(head, place)
        if after == place + 1:  # the empty header that ends those of a multi-part file
            place = after
            break
        texts, place = found | texts, after
        if not version & EXR_MULTIPART:
            break
    check_chunks(file, 4 + place, size, version)
    return texts


def exr_header(head: bytes, place: int) -> tuple[dict[str, str], int]:
    """The texts of the header at ``place``, and the place after it."""
    texts = {}
    while head[place : place + 1] != b"\0":
        name_end = head.index(b"\0", place)
        kind_end = head.index(b"\0", name_end + 1)
        start = kind_end + 5
        size = struct.unpack_from("<i", head, kind_end + 1)[0]
        if size < 0 or start + size > len(head):
            raise ValueError("it has no whole header")
        if head[name_end + 1 : kind_end] == b"string":
            name = head[place:name_end].decode("latin-1")
            texts[name[:1].upper() + name[1:]] = head[start : start + size].decode("utf-8", "replace")
        place = start + size
    return texts, place + 1


def check_chunks(file: BinaryIO, place: int, size: int, version: int) -> None:
    """ValueError unless all chunks of pixels are in the file: the table of their places is written last, over zeros.

    The first chunk follows the table, so that its place says how long the table is.
    """
    file.seek(place)
    first = struct.unpack("<Q", file.read(8))[0]
    count, rest = divmod(first - place, 8)
    if rest or not 1 <= count <= MAX_CHUNKS or first > size:
        raise ValueError("it has no table of chunks")
    file.seek(place)
    places = struct.unpack(f"<{count}Q", file.read(8 * count))
    end = max(places)
    if min(places) < first or end >= size:
        raise ValueError("it is not whole")
    if not version & (EXR_TILED | EXR_DEEP):
        start = end + (4 if version & EXR_MULTIPART else 0)  # behind the number of its part
        file.seek(start)
        _line, length = struct.unpack("<ii", file.read(8))
        if length < 0 or start + 8 + length > size:
            raise ValueError("it is cut off")
