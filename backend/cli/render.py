"""render: a rig file becomes a sequence of pictures, without Blender.

A rig file is JSON: {"portrait": a portrait or {"seed": 7}, "frames": [controls, …], "output": {"size",
"passes"}}. Frame n becomes frame_000n.png, or .exr with all passes. A picture holds a digest of all it
was made from, so ``--resume`` makes again what is missing, damaged or out of date, and nothing else; and
the rig file of its own frame, so that a picture of ours, Blender's too, can stand for a rig file.
"""

from __future__ import annotations

import argparse
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.progress import counted
from backend.files import recipe
from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.io.regular_file import read_regular

if TYPE_CHECKING:
    from backend.server import schema
    from backend.server.inference import RigLibrary
    from models.rigging import Portrait, Rig

MAX_RIG_FILE = 64 << 20  # bytes; 20,000 frames with all that a frame can have


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rigfile", type=Path, help="JSON with portrait, frames and output; or a picture, to make it again")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--format", choices=("png", "exr"), default="png", help="exr holds the passes too")
    parser.add_argument("--resume", action="store_true", help="leave frames that are there and up to date")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(arguments: argparse.Namespace) -> int:
    from backend.server import serialization
    from backend.server.inference import choose_device, rig_library
    from models.editing.sliders import check_attributes

    rig_file = read_rig_file(arguments.rigfile)
    make_folder(arguments.output)
    library = rig_library(arguments.rig_loader, choose_device(arguments.device))
    rig = rig_of(rig_file, library)
    for controls in rig_file.frames:
        serialization.check_expressions(controls.expression, rig.face)
    portrait = read_portrait(rig_file, rig)
    check_attributes(rig.directions_for(portrait), [name for controls in rig_file.frames for name in controls.attributes])
    sequence = Sequence(rig, portrait, rig_file, arguments.output, arguments.format)
    sequence.render(arguments.resume)
    return 0


def read_rig_file(path: Path) -> schema.RigFile:
    """A rig file, or that of a picture's one frame. Raises StyleRigError when it cannot be read or does not fit the schema."""
    from backend.server.schema import parse_rig_file

    if path.suffix.lower() not in (".png", ".exr"):
        return parse_rig_file(read_regular(path, MAX_RIG_FILE), str(path))
    rig_file = parse_rig_file(recipe_in(path), str(path))
    if len(rig_file.frames) != 1:
        raise StyleRigError(
            f"{path} says it was made from {len(rig_file.frames)} frames; a picture is one.",
            "Choose a picture that StyleRig made.",
            code="bad_rig_file",
        )
    return rig_file


def recipe_in(path: Path) -> bytes:
    """The rig file that a picture holds. Raises StyleRigError when it holds none."""
    from backend.files.images import recipe_of

    found = recipe_of(path)
    if found is None:
        raise StyleRigError(
            f"{path} does not say what it was made from.",
            "Choose a whole PNG or EXR that StyleRig made and no other program saved again.",
            code="no_recipe",
        )
    return found


def make_folder(folder: Path) -> None:
    """See that the folder can be written before any work is done. Raises StyleRigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / ".stylerig", b"").unlink(missing_ok=True)
    except OSError as error:
        raise StyleRigError(
            f"Cannot write to {folder}: {error.strerror}.", "Choose another folder with --output.", code="cannot_write"
        ) from error


def rig_of(rig_file: schema.RigFile, library: RigLibrary) -> Rig:
    """The rig that the file's portrait belongs to. Raises StyleRigError when it is not here."""
    from backend.server import schema

    asked = rig_file.portrait
    return library.of_weights(asked.weights_hash if isinstance(asked, schema.Portrait) else None, asked.model)


def read_portrait(rig_file: schema.RigFile, rig: Rig) -> Portrait:
    """The file's portrait, or a new one from its seed. Raises StyleRigError for one of other weights."""
    from backend.server import schema, serialization

    asked = rig_file.portrait
    if isinstance(asked, schema.Portrait):
        return serialization.portrait_from_schema(asked, rig)
    return rig.new_portrait(seed=asked.seed, truncation=asked.truncation)


class Sequence:
    """The frames of one rig file on their way to a folder."""

    def __init__(self, rig: Rig, portrait: Portrait, rig_file: schema.RigFile, folder: Path, kind: str):
        self.rig, self.portrait, self.rig_file = rig, portrait, rig_file
        self.folder, self.kind = folder, kind
        self.passes = rig_file.output.passes if kind == "exr" else []

    def render(self, resume: bool) -> None:
        """Make the frames, with a progress bar on stderr and a summary on stdout."""
        total, kept = len(self.rig_file.frames), 0
        started = time.monotonic()
        for index in counted(total, "frame"):
            if resume and self.is_there(index):
                kept += 1
                continue
            self.make(index)
        each = (time.monotonic() - started) / max(total - kept, 1)
        made = f"{total - kept} frames rendered" + (f", {kept} were there" if kept else "")
        print(f"{made}: {self.folder} ({each:.2f} s per frame)")

    def path(self, index: int) -> Path:
        return self.folder / f"frame_{index + 1:04}.{self.kind}"

    def is_there(self, index: int) -> bool:
        """Whether the frame is on disk, whole, and made from the same portrait, controls and output."""
        from backend.files.images import request_of

        return request_of(self.path(index)) == recipe.digest(self.recipe(index))

    @cached_property
    def whole_portrait(self) -> schema.Portrait:
        """The portrait by value, also when the file has only its seed."""
        from backend.server import serialization

        return serialization.portrait_to_schema(self.portrait, self.rig)

    def recipe(self, index: int) -> dict:
        """A rig file of this frame alone."""
        return recipe.one_frame(self.whole_portrait, self.rig_file.frames[index], self.rig_file.output.size, self.passes)

    def make(self, index: int) -> None:
        """Draw the frame and write it."""
        from backend.files import images
        from backend.server import serialization
        from backend.server.inference import render_frame

        controls = serialization.controls_from_schema(self.rig_file.frames[index], self.rig.face)
        frame = render_frame(self.rig, self.portrait, controls, self.rig_file.output.size, self.passes)
        origin = recipe.origin(self.recipe(index))
        if self.kind == "png":
            write_atomic(self.path(index), images.png_bytes(frame, origin))
        else:
            write_atomic(self.path(index), lambda temporary: images.write_exr(temporary, frame, self.passes, origin))
