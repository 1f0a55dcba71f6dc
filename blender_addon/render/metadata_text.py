"""Texts written into finished PNG, EXR and JPEG files. Standard library only."""

from __future__ import annotations

import glob
import io
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from .file_integrity import (
    EXR_START,
    JPEG_START,
    MARK,
    PNG_START,
    CutOff,
    UnknownLayout,
    exr_layout,
    is_cut_off,
    text_names,
)

PNG_HEADER_END = 33  # after its signature and IHDR
JPEG_MAX_COMMENT = 65533  # bytes of a comment
TEMPORARY_SUFFIX = ".stylerig"  # ends the name of a file that is to take another's place


def add_texts(path: Path, texts: dict[str, str]) -> None:
    """Write texts, MARK among them, into a whole picture, which stays as it is if it has them or cannot be replaced."""
    try:
        content = path.read_bytes()
        write, file = writer_of(content), io.BytesIO(content)
        if write is not None and MARK not in (text_names(file) or ()) and not is_cut_off(file):
            replace(path, write(content, texts))
    except (OSError, ValueError, struct.error, UnknownLayout, CutOff):
        pass  # whoever looks whether the frame is done finds it without


def writer_of(content: bytes) -> Callable[[bytes, dict[str, str]], bytes] | None:
    """What puts texts into a picture of this format."""
    writers = {PNG_START: with_png_texts, EXR_START: with_exr_texts, JPEG_START: with_jpeg_texts}
    return next((write for start, write in writers.items() if content.startswith(start)), None)


def replace(path: Path, content: bytes) -> None:
    """Give a file another content, whole or not at all, and keep its permissions. Raises OSError.

    What is written beside it has a name that nobody can foresee, and is new: no link is followed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    mode = stat.S_IMODE(path.stat().st_mode)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, mode)  # whatever the umask is
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def left_beside(path: Path) -> list[Path]:
    """What was to take the file's place, of a render that was killed just then, or that is at it."""
    return [Path(found) for found in glob.glob(f"{glob.escape(str(path.parent / f'.{path.name}'))}.*{TEMPORARY_SUFFIX}")]


def with_png_texts(content: bytes, texts: dict[str, str]) -> bytes:
    """A PNG with an iTXt chunk (PNG specification, 11.3.3.4) for each text behind its header."""
    chunks = []
    for name, text in texts.items():
        data = b"iTXt" + name.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8")
        chunks.append(struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)))
    return content[:PNG_HEADER_END] + b"".join(chunks) + content[PNG_HEADER_END:]


def with_jpeg_texts(content: bytes, texts: dict[str, str]) -> bytes:
    """A JPEG with a comment for each text that is not too long for one, as Blender writes them itself."""
    comments = (f"Blender:{name}:{text}".encode() for name, text in texts.items())
    segments = [b"\xff\xfe" + struct.pack(">H", len(one) + 2) + one for one in comments if len(one) <= JPEG_MAX_COMMENT]
    return content[:2] + b"".join(segments) + content[2:]


def with_exr_texts(content: bytes, texts: dict[str, str]) -> bytes:
    """An EXR with a string attribute for each text in its first header, all that follows moved back.

    Names that the header has already stay as they are. Raises UnknownLayout, CutOff.
    """
    layout = exr_layout(io.BytesIO(content))
    added = b""
    for name, text in texts.items():
        if name not in layout.names:
            value = text.encode("utf-8")
            added += name.encode("latin-1") + b"\0string\0" + struct.pack("<i", len(value)) + value
    moved = struct.pack(f"<{len(layout.offsets)}Q", *(offset + len(added) for offset in layout.offsets))
    end, table = layout.header_end - 1, layout.table
    return content[:end] + added + content[end:table] + moved + content[table + len(moved) :]
