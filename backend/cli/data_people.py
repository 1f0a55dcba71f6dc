"""data people: the set of ``python -m models.synthetic``, photographed by many processes or machines.

    python -m backend data people --people 6000 --output DATA --ray 10.0.0.1:6379 --workers 64

The pictures are the same, and what is there is kept: either command goes on where the other was ended.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.rendering import add_ray_arguments, make_folder, render
from backend.farm.jobs import Job
from models.synthetic.__main__ import ON_SHEET, add_set_arguments, missing_shots, taken

if TYPE_CHECKING:
    from backend.server.inference import RigLibrary
    from models.face import FaceModel
    from models.synthetic.message import Assets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_set_arguments(parser)
    add_ray_arguments(parser)
    parser.set_defaults(device="cpu")


def run(arguments: argparse.Namespace) -> int:
    from models.face import load_face_model
    from models.synthetic.dataset import HEAD, contact_sheet, write_index

    names = ("people", "size", "large_size", "seed", "output", "blender_python")
    options = argparse.Namespace(**{name: getattr(arguments, name) for name in names})
    options.large_size = options.large_size or 2 * options.size
    options.output = options.output.absolute()
    make_folder(options.output)
    write_index(options.output, options.size, options.large_size, options.seed, options.people, load_face_model(HEAD))
    status = render(PeopleJob(options), arguments, "set of one person", keep=True)
    contact_sheet(options.output, min(options.people, ON_SHEET))
    return status


class PeopleJob(Job):
    """Number n is all pictures of person n - 1 of a set."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.folder = options, options.output
        self.numbers = list(range(1, options.people + 1))

    def rig(self, library: RigLibrary) -> Studio:
        from models.face import load_face_model
        from models.synthetic.blender.process import blender_version
        from models.synthetic.dataset import HEAD

        return Studio(f"bpy {blender_version(self.options.blender_python)}", load_face_model(HEAD))

    def opened(self, rig: Studio) -> Callable[[int], PersonPictures]:
        return lambda number: PersonPictures(self.options, number - 1)


@dataclass
class Studio:
    """What stands in the place of a rig. ``name`` is the version of what renders."""

    name: str

    face: FaceModel

    @property
    def weights_hash(self) -> str:
        """Of the head: what people are made of besides the code."""
        return self.face.content_hash()

    @cached_property
    def assets(self) -> Assets:
        """Made by what draws, once."""
        from models.synthetic.message import prepare

        return prepare(self.face)


@dataclass(frozen=True)
class PersonPictures:
    """See ``farm.pictures.Picture``; a picture's file is written after its truth."""

    options: argparse.Namespace
    person: int

    @property
    def path(self) -> Path:
        """The last of the person's pictures."""
        from models.synthetic.dataset import picture_path
        from models.synthetic.shot import SHOTS

        return picture_path(self.options.output, self.person * SHOTS + SHOTS - 1)

    def is_there(self) -> bool:
        return not missing_shots(self.options.output, self.person)

    def draw(self, rig: Studio) -> None:
        """Take the pictures that are missing. Raises StyleRigError."""
        log = self.options.output / f"blender-{socket.gethostname()}-{os.getpid()}.log"
        for _ in taken(self.options, rig.assets, [self.person], log):
            pass
