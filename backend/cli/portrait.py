"""portrait: photographs of a person become a portrait: a rig file that render draws, and Blender opens.

    python -m backend portrait photo.jpg --output person.json
    python -m backend portrait front.jpg left.jpg --effort fine --output person.json --sheet sheet.jpg
    python -m backend portrait group.jpg --face 2 --output person.json

Ended early (Ctrl-C), the same command goes on where it was. A person on a photograph must have agreed to it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.options import whole
from models.errors import StyleRigError
from models.io.atomic_write import write_atomic

if TYPE_CHECKING:
    from models.editing.inversion.invert import Progress
    from models.rigging import Portrait, Rig

CONSENT = "note: a photo of a person needs that person's consent. What is made of it is marked as synthetic."
MOST_FACES = 99
SHEETS = (".jpg", ".jpeg", ".png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, nargs="+", help="photos of one person; the portrait looks as on the first")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="rig file (.json) to write")
    parser.add_argument("--effort", choices=("fast", "fine"), default="fast", help="few steps, or many (default: fast)")
    parser.add_argument("--face", type=whole(0, MOST_FACES), metavar="N", action="append", default=[],
                        help="which face is meant on the first photo, from the left; again for the next photo; 0 where there is one")  # fmt: skip
    parser.add_argument("--model", metavar="NAME", help="one that ships, studio or stylerig, or of your own (default: the first)")
    parser.add_argument("--rig", type=Path, metavar="DIR", help="folder of a rig (default: those that ship)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="a picture of the photo and what the rig makes of it (.jpg, .png)")
    parser.add_argument("--preview", type=Path, metavar="FILE", help="a picture of how far it is, written anew each second (.jpg, .png)")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="only the CPU so far")


def run(arguments: argparse.Namespace) -> int:
    """Make the portrait and write it; the exit status is 0."""
    from models.editing.inversion.invert import Watch, invert
    from models.editing.inversion.photo import load_photo

    check_names(arguments)
    print(CONSENT, file=sys.stderr)
    photos = [load_photo(path) for path in arguments.photos]
    rig = open_rig(arguments)
    state = arguments.output.with_name(f"{arguments.output.name}.unfinished")
    faces = [face or None for face in arguments.face]
    portrait = invert(rig, photos, arguments.effort, faces, watch=Watch(Telling(arguments.preview), state=state))
    print(write_rig_file(rig, portrait, arguments.output))
    if arguments.sheet:
        from models.editing.inversion.sheet import draw_sheet
        from models.io.images import save_image

        print(save_image(arguments.sheet, draw_sheet(rig, portrait, photos)))
    return 0


def check_names(arguments: argparse.Namespace) -> None:
    """Raise StyleRigError for files that could not be written, before the long way there."""
    if arguments.output.suffix.lower() != ".json":
        raise StyleRigError(f"{arguments.output} names no rig file.", "Choose a name that ends in .json.", code="bad_option")
    for path in (arguments.sheet, arguments.preview):
        if path and path.suffix.lower() not in SHEETS:
            raise StyleRigError(f"{path} names no picture.", f"Choose a name that ends in {', '.join(SHEETS)}.", code="bad_option")


def open_rig(arguments: argparse.Namespace) -> Rig:
    from backend.server.inference import read_rig, rig_library

    return rig_library(arguments.rig_loader, load=read_rig, folder=arguments.rig).named(arguments.model)


class Telling:
    """Says how far it is on standard error, and writes what it looks like to ``preview``."""

    def __init__(self, preview: Path | None):
        self.preview, self.said = preview, ""

    def __call__(self, progress: Progress) -> None:
        from models.io.images import save_image

        words = f"{progress.stage}: {100 * progress.done:.0f} %"
        if words != self.said:
            self.said = words
            print(words, file=sys.stderr, flush=True)
        if self.preview and progress.preview is not None:
            save_image(self.preview, progress.preview)


def write_rig_file(rig: Rig, portrait: Portrait, path: Path) -> Path:
    """The portrait with one frame that shows it as on its photo."""
    from backend.server import schema, serialization

    message = schema.RigFile(portrait=serialization.portrait_to_schema(portrait, rig), frames=[schema.Controls()])
    return write_atomic(path, message.model_dump_json(indent=1).encode())
