"""Opening a zip archive of others: its list of contents is of bounded size before it is read."""

from __future__ import annotations

import struct
import zipfile
from typing import Any, BinaryIO

MOST_LISTED = 2 << 20  # bytes of the list of contents; a member takes 46 and its name
# What zipfile raises for archives that are damaged or made to mislead.
BROKEN = (zipfile.BadZipFile, struct.error, ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError)


class Listing:
    """A file of which ``zipfile`` may read only so much at once while it looks for its contents."""

    def __init__(self, file: BinaryIO, size: int):
        self.file = file
        self.size = size
        self.opened = False

    def read(self, size: int = -1) -> bytes:
        left = self.size - self.file.tell()
        if not self.opened and (left if size < 0 else min(size, left)) > MOST_LISTED:
            raise zipfile.BadZipFile("its list of contents is too long")
        return self.file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def open_zip(file: BinaryIO) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """The archive in ``file`` and its members by name, of which the last of one name counts. Raises ``BROKEN``."""
    listing = Listing(file, file.seek(0, 2))
    archive = zipfile.ZipFile(listing)
    listing.opened = True
    return archive, {member.filename: member for member in archive.infolist()}
