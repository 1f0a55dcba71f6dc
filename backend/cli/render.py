"""render: a rig file becomes a sequence of pictures, without Blender.

    python -m backend render shot.json --output DIR
    python -m backend render shot.json --output DIR --frames 1-48,60 --size 512 --format exr --resume

A rig file is JSON: {"portrait": a portrait or {"seed": 7}, "frames": [controls, …], "output": {"size",
"passes"}}. Frame n becomes frame_000n.png, or .exr with all passes. A picture holds a digest of all it
was made from, so ``--resume`` makes again what is missing, damaged or out of date, and nothing else; and
the rig file of its own frame, so that a picture of ours, Blender's too, can stand for a rig file.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.options import whole
from backend.cli.rendering import add_rendering_arguments, render
from backend.farm import frame_numbers
from backend.farm.jobs import RigFileJob
from backend.protocol.exposure import LONGEST_SHUTTER, MAX_SAMPLES, SHUTTER
from backend.protocol.frames import PASSES, SHOT_PASSES
from models.errors import StyleRigError
from models.io.regular_file import read_regular

if TYPE_CHECKING:
    from backend.server import schema

MAX_RIG_FILE = 64 << 20  # bytes; 20,000 frames with all that a frame can have


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rigfile", type=Path, help="JSON with portrait, frames and output; or a picture, to make it again")
    parser.add_argument("--frames", type=frame_numbers.frame_numbers, metavar="LIST", help="which, as in 1-48,60 (default: all)")
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every N-th of these")
    parser.add_argument(
        "--passes", nargs="*", choices=(*PASSES, *SHOT_PASSES), metavar="PASS",
        help=f"in place of the rig file's: {', '.join(PASSES)}; of a camera's picture also {' and '.join(SHOT_PASSES)}",
    )  # fmt: skip
    parser.add_argument("--format", choices=("png", "exr"), default="png", help="exr holds the passes too")
    parser.add_argument("--cryptomatte", action="store_true", help="exr holds Cryptomattes of the portrait and its parts too")
    parser.add_argument(
        "--motion-samples", type=whole(1, MAX_SAMPLES), metavar="N",
        help="motion blur: the mean of N portraits while the shutter is open (default: the rig file's, else 1: none)",
    )  # fmt: skip
    parser.add_argument("--shutter", type=frames_open, metavar="FRAMES", help=f"that it is open (default: the rig file's, else {SHUTTER})")
    parser.add_argument("--resume", action="store_true", help="leave frames that are there and up to date")
    add_rendering_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    rig_file = read_rig_file(arguments.rigfile)
    change_output(rig_file, arguments.size, arguments.passes, arguments.cryptomatte)
    change_motion(rig_file, arguments.motion_samples, arguments.shutter)
    numbers = frame_numbers.chosen(len(rig_file.frames), arguments.frames, arguments.step)
    job = RigFileJob(rig_file, arguments.output, arguments.format, numbers)
    return render(job, arguments, "frame", keep=arguments.resume)


def change_output(rig_file: schema.RigFile, size: int | None, passes: list[str] | None, cryptomatte: bool) -> None:
    """Put what the options say in place of what the file says."""
    if size is not None and rig_file.camera is not None:
        raise StyleRigError(
            "--size is for portraits in their own frame, and this rig file has a camera.", "Change its width and height.", code="bad_option"
        )
    asked = {"size": size, "passes": None if passes is None else list(dict.fromkeys(passes)), "cryptomatte": cryptomatte or None}
    rig_file.output = rig_file.output.model_copy(update={name: value for name, value in asked.items() if value is not None})


def change_motion(rig_file: schema.RigFile, samples: int | None, shutter: float | None) -> None:
    """The same of motion blur; a shutter without samples is for files that have some. Raises StyleRigError."""
    from backend.server import schema

    if shutter is not None and samples is None and rig_file.motion is None:
        raise StyleRigError("--shutter is for motion blur, and this rig file has none.", "Add --motion-samples 8.", code="bad_option")
    asked = {name: value for name, value in (("samples", samples), ("shutter", shutter)) if value is not None}
    if asked:
        rig_file.motion = (rig_file.motion or schema.Motion()).model_copy(update=asked)


def frames_open(text: str) -> float:
    """A type of option: a time in frames."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= LONGEST_SHUTTER:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of frames from 0 to {LONGEST_SHUTTER}")


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
