"""sample: portraits of seeds, with a shared pose, expression or light, or interpolated from one to the next.

    python -m backend sample --seeds 1 2 3 --output DIR
    python -m backend sample --seeds 1 2 3 --share pose light --from-seed 7 --output DIR
    python -m backend sample --seeds 1 2 --interpolate 24 --output DIR
    python -m backend sample --seeds 1 2 --attributes age=0.8 glasses=1 --output DIR

Pictures are PNG with their matte: person_SEED.png, or frame_NNNN.png when interpolated.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.seeds import parse_seed

if TYPE_CHECKING:
    from models.editing.directions import Directions
    from models.rigging import Portrait, Rig

COMPONENTS = ("pose", "expression", "light")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=parse_seed, nargs="+", required=True, help="the portraits to render")
    parser.add_argument("--share", choices=COMPONENTS, nargs="+", default=[], help="components that all portraits share")
    parser.add_argument("--from-seed", type=parse_seed, metavar="SEED", help="whose components these are (default: the first seed's)")
    parser.add_argument("--interpolate", type=int, metavar="N", help="go through all seeds, in N frames from one to the next")
    parser.add_argument("--attributes", type=parse_amount, nargs="+", default=[], metavar="NAME=AMOUNT", help="edits of all portraits")
    parser.add_argument("--directions", type=Path, metavar="FILE", help="further attributes, made for this model")
    # The names of these options in earlier versions.
    parser.add_argument("--take", dest="share", choices=COMPONENTS, nargs="+", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--of", dest="from_seed", type=parse_seed, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--between", dest="interpolate", type=int, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--model", metavar="NAME", help="studio or stylerig (default: the first that ships)")
    parser.add_argument("--truncation", type=float, default=0.7)
    parser.add_argument("--size", type=int, help="pixels (default: the generator's)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(arguments: argparse.Namespace) -> int:
    from backend.files import images, recipe
    from backend.server import serialization as portraits
    from backend.server.inference import choose_device, render_frame, rig_library
    from models.rigging.applications import taken_from

    if arguments.interpolate is not None and (arguments.interpolate < 1 or len(arguments.seeds) < 2):
        raise StyleRigError("There is nothing to interpolate.", "Give two seeds or more, and --interpolate 1 or more.", code="bad_option")
    rig = rig_library(arguments.rig_loader, choose_device(arguments.device)).named(arguments.model)
    source = rig.new_portrait(arguments.seeds[0] if arguments.from_seed is None else arguments.from_seed, arguments.truncation)
    controls = replace(taken_from(source, arguments.share, rig.face), attributes=dict(arguments.attributes))
    directions = read_directions_of(arguments.directions, rig)
    for name, portrait in people(arguments, rig):
        portrait = replace(portrait, directions=directions)
        frame = render_frame(rig, portrait, controls, arguments.size, [])
        whole = portraits.portrait_to_schema(portrait, rig)
        origin = recipe.origin(recipe.one_frame(whole, recipe.controls_to_schema(controls), arguments.size, []))
        print(write_atomic(arguments.output / f"{name}.png", images.png_bytes(frame, origin)), flush=True)
    return 0


def people(arguments: argparse.Namespace, rig: Rig) -> Iterator[tuple[str, Portrait]]:
    """File names and portraits, one after another."""
    from models.rigging.applications import between

    portraits = [rig.new_portrait(seed, arguments.truncation) for seed in arguments.seeds]
    if arguments.interpolate is None:
        yield from ((f"person_{seed}", portrait) for seed, portrait in zip(arguments.seeds, portraits, strict=True))
        return
    steps = [(start, end, number / arguments.interpolate) for start, end in pairwise(portraits)
             for number in range(arguments.interpolate)]  # fmt: skip
    for number, (start, end, t) in enumerate([*steps, (portraits[-2], portraits[-1], 1.0)], 1):
        yield f"frame_{number:04}", between(rig, start, end, t)


def parse_amount(text: str) -> tuple[str, float]:
    """A name and its amount, from NAME=AMOUNT; raises ArgumentTypeError."""
    name, _, amount = text.rpartition("=")
    try:
        if name.strip():
            return name.strip(), float(amount)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not NAME=AMOUNT")


def read_directions_of(path: Path | None, rig: Rig) -> Directions | None:
    """The directions of a file for portraits of a rig. Raises StyleRigError where they do not fit."""
    from models.editing.directions import load_directions
    from models.editing.sliders import check_usable

    if path is None:
        return None
    found = load_directions(path, rig.generator)
    check_usable(found, path)
    return found
