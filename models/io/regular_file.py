"""Opening a file that somebody chose or sent: regular files of bounded size only.

A pipe or a device may never end, or do something when it is opened; a folder is no file.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path
from typing import BinaryIO

from models.errors import StyleRigError

KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}
MARKS = {  # byte order marks, the longer first
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
OPENING = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


class UnreadableFile(StyleRigError):
    """A path that is not a readable regular file of a bounded size; ``reason`` is the end of a sentence."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path} cannot be read: {reason}.", "Choose a file that you may read.", code="unreadable_file")
        self.reason = reason


def open_regular(path: str | Path, most_bytes: int) -> BinaryIO:
    """``path`` open for reading in binary; links are followed. Raises UnreadableFile, at once whatever the path is."""
    path = Path(path)
    try:
        check(path, os.stat(path), most_bytes)  # first, because opening a device may do something
        file = os.fdopen(os.open(path, OPENING), "rb")
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise UnreadableFile(path, getattr(error, "strerror", None) or str(error)) from error
    try:
        check(path, os.fstat(file.fileno()), most_bytes)
    except UnreadableFile:
        file.close()
        raise
    return file


def check(path: Path, found: os.stat_result, most_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFile(path, KINDS.get(stat.S_IFMT(found.st_mode), "it is not a regular file"))
    if found.st_size > most_bytes:
        raise UnreadableFile(path, f"it has {found.st_size} bytes, more than the {most_bytes} that such a file can have")


def read_regular(path: str | Path, most_bytes: int) -> bytes:
    """The bytes of a regular file of at most ``most_bytes``. Raises UnreadableFile."""
    path = Path(path)
    with open_regular(path, most_bytes) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1)
        except OSError as error:
            raise UnreadableFile(path, error.strerror or str(error)) from error
    if len(data) != size:  # it is being written, or is one of those that Linux's /proc makes up
        raise UnreadableFile(path, "it has another size than it says")
    return data


def read_text(path: str | Path, most_bytes: int) -> str:
    """The text of such a file, in UTF-8 or in what its byte order mark says, as editors save it. Raises UnreadableFile."""
    data = read_regular(path, most_bytes)
    encoding = next((encoding for mark, encoding in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableFile(Path(path), f"it is no text ({error})") from error
