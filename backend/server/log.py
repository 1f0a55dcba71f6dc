"""What a process that runs for long says: to standard error, or to a file of bounded size."""

from __future__ import annotations

import contextlib
import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_LOG = 1 << 20  # bytes; as much again lies beside it, in FILE.1
STDERR = 2  # file descriptor


class LogFile(RotatingFileHandler):
    """A log that is renamed to FILE.1 and begun anew when it is full. Standard error goes to it too, libraries' own words as well."""

    def __init__(self, path: Path):
        self.nowhere = os.open(os.devnull, os.O_WRONLY)
        super().__init__(path, maxBytes=MAX_LOG, backupCount=1, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.dup2(stream.fileno(), STDERR)
        return stream

    def doRollover(self) -> None:
        os.dup2(self.nowhere, STDERR)  # Windows renames no file that is open
        super().doRollover()


def start_logging(path: Path | None) -> None:
    """Warnings and errors go to ``path``; to standard error where there is none, or none can be written."""
    handler: logging.Handler = logging.StreamHandler()
    with contextlib.suppress(OSError):
        handler = LogFile(path) if path else handler
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(asctime)s %(levelname)s %(message)s")
    logging.captureWarnings(True)
