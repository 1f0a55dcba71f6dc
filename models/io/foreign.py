"""Telling what a file is that is not what was asked for: by its first bytes, so that an error can say it."""

from __future__ import annotations

import re
from typing import NamedTuple

START = 512  # bytes that are needed
AGAIN = "Download it again, and compare the size with what the page says."


class Foreign(NamedTuple):
    """What a file is, as the end of a sentence that begins with "it is", and what to do about it."""

    what: str
    hint: str


UNPACK = Foreign("a packed archive, not the file in it", "Unpack it and choose the file inside.")
PICTURE = Foreign("a picture", "")
FILM = Foreign("a film", "")
ONNX = Foreign("an ONNX model, which is a fixed computation", "Use the checkpoint that it was exported from.")
STARTS: dict[bytes, Foreign] = {
    b"\x1f\x8b": UNPACK, b"BZh": UNPACK, b"\xfd7zXZ\0": UNPACK, b"7z\xbc\xaf'\x1c": UNPACK, b"Rar!\x1a\x07": UNPACK,
    b"\x28\xb5\x2f\xfd": UNPACK,
    b"PK\x05\x06": Foreign("an empty zip archive", AGAIN),
    b"\x89HDF\r\n\x1a\n": Foreign("an HDF5 file, as Keras and MATLAB write them", ""),
    b"MATLAB": Foreign("a MATLAB file", ""),
    b"\x93NUMPY": Foreign("a single numpy array", ""),
    b"\x89PNG": PICTURE, b"\xff\xd8\xff": PICTURE, b"GIF8": PICTURE, b"\x76\x2f\x31\x01": PICTURE, b"II*\0": PICTURE,
    b"RIFF": PICTURE,
    b"BLENDER": Foreign("a Blender file", ""),
    b"GGUF": Foreign("a GGUF file of a language model", ""),
    b"%PDF": Foreign("a PDF document", ""),
    b"\x7fELF": Foreign("a program", ""), b"MZ": Foreign("a program", ""),
    b"\x00\x05\x16\x07": Foreign("what macOS keeps beside a file", "Choose the file without ._ before its name."),
    b"\x08\x03\x12": ONNX, b"\x08\x04\x12": ONNX, b"\x08\x05\x12": ONNX, b"\x08\x06\x12": ONNX, b"\x08\x07\x12": ONNX,
    b"\x08\x08\x12": ONNX, b"\x08\x09\x12": ONNX, b"\x08\x0a\x12": ONNX,
}  # fmt: skip


def what_it_is(start: bytes) -> Foreign | None:
    """What a file is that begins with ``start`` (``START`` bytes); None where that is not known."""
    if not start:
        return Foreign("empty", AGAIN)
    for known, foreign in STARTS.items():
        if start.startswith(known):
            return foreign
    if start[257:262] == b"ustar":
        return UNPACK
    if start[4:8] == b"ftyp":
        return FILM
    return what_text(start)


def what_text(start: bytes) -> Foreign | None:
    """Web pages, pointers and other texts that come where weights should."""
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = start.decode(encoding, "replace").lstrip()
    if text.startswith("version https://git-lfs"):
        size = re.search(r"^size (\d{1,18})$", text, re.MULTILINE)
        stands_for = f" for a file of {int(size[1]):,} bytes" if size else ""
        hint = "Run `git lfs pull` where it was cloned, or download the file itself from the project's page."
        return Foreign(f"a Git LFS pointer{stands_for}, not the file", hint)
    if re.match(r"<(!doctype|html|head|body|!--|\?xml|error|script|svg)", text, re.IGNORECASE):
        hint = f"Sites send a page where a download must be confirmed, is over its quota or is gone. {AGAIN}"
        return Foreign(f"a web page{title(text)}, not the file", hint)
    if not text or any(not letter.isprintable() and letter not in "\r\n\t\f" for letter in text[:-4]):
        return None
    return Foreign("a JSON text" if text[0] in "{[" else "a text", AGAIN)


def title(page: str) -> str:
    """The page's title in brackets, if it has one."""
    found = re.search(r"<title[^>]*>([^<]{1,60})", page, re.IGNORECASE)
    words = "".join(letter for letter in " ".join(found[1].split()) if letter.isprintable()) if found else ""
    return f' ("{words}")' if words else ""
