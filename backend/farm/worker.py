"""What draws a job's pictures, one after another: in this process, or as one of many on a farm."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend import __version__
from backend.farm.jobs import Job
from backend.farm.pictures import Picture
from models.errors import StyleRigError

if TYPE_CHECKING:
    from backend.server.inference import RigLibrary

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What a worker draws with. Workers that are not equal in this would not draw the same."""

    version: str  # StyleRig's
    model: str
    weights_hash: str
    torch: str
    numpy: str

    def differences(self, other: Identity) -> list[str]:
        """What is not as in ``other``: "torch 2.12.0 instead of 2.13.0"."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return [f"{name} {mine[:12]} instead of {its[:12]}" for name, mine, its in pairs if mine != its]


@dataclass(frozen=True)
class Drawn:
    """A picture that is there now."""

    number: int
    path: str
    sha256: str  # of the file
    seconds: float
    worker: str
    kept: bool  # it was there before


@dataclass(frozen=True)
class Failed:
    """A picture that could not be drawn, and why."""

    number: int
    message: str
    hint: str
    code: str
    worker: str


class Worker:
    """Holds the rig, and draws pictures of one job.

    ``keep``: a picture that is there and up to date is not drawn again.
    """

    def __init__(self, job: Job, library: RigLibrary, keep: bool):
        import numpy
        import torch

        self.rig, self.keep = job.rig(library), keep
        self.picture = job.opened(self.rig)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.identity = Identity(__version__, self.rig.name, self.rig.weights_hash, torch.__version__, numpy.__version__)

    def draw(self, number: int) -> Drawn | Failed:
        """Draw a picture, unless it is there. Whatever goes wrong is an answer, not an exception: others are drawn all the same."""
        started = time.monotonic()
        try:
            if self.keep and (there := self.there(number)):
                return there
            picture = self.picture(number)
            picture.draw(self.rig)
            return self.drawn(number, picture, started, kept=False)
        except StyleRigError as error:
            return Failed(number, error.message, error.hint, error.code, self.name)
        except Exception as error:
            LOG.exception("Picture %d", number)
            reason = f"{type(error).__name__}: {error}"
            return Failed(number, f"Something went wrong inside StyleRig: {reason}", "Report this with the log.", "fault", self.name)

    def there(self, number: int) -> Drawn | None:
        """A picture that is there, whole and up to date; else None."""
        started, picture = time.monotonic(), self.picture(number)
        return self.drawn(number, picture, started, kept=True) if picture.is_there() else None

    def drawn(self, number: int, picture: Picture, started: float, kept: bool) -> Drawn:
        content = picture.path.read_bytes() if kept else stored(picture.path)
        return Drawn(number, str(picture.path), hashlib.sha256(content).hexdigest(), time.monotonic() - started, self.name, kept)


def stored(path: Path) -> bytes:
    """The bytes of a file, which are on the disk when this returns: a machine that goes out afterwards does not lose what was told."""
    with path.open("r+b") as file:  # Windows stores only what may be written to
        os.fsync(file.fileno())
        return file.read()
