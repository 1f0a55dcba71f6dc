"""`python -m backend evaluate sheets`: pictures that a person judges a rig by, and a film."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.progress import counted
from models.seeds import parse_seed

if TYPE_CHECKING:
    from models.evaluation.control.sheets import Cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rig", type=Path, metavar="DIR", help="folder of a rig (default: the one that ships)")
    parser.add_argument("--model", metavar="NAME", help="of several in that folder")
    parser.add_argument("--size", type=int, default=160, help="pixels of a picture on a sheet (default 160)")
    parser.add_argument("--film", type=parse_seed, metavar="SEED", help="also a film of this person, who turns and speaks")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(arguments: argparse.Namespace) -> int:
    """Write the sheets and print where they are."""
    from models.devices import choose_device
    from models.evaluation.control.sheets import RATE, SECONDS, film, write_sheets
    from models.io.movie import write_movie
    from models.rigging import Rig

    rig = Rig.load(arguments.rig, choose_device(arguments.device), name=arguments.model)
    for path in write_sheets(rig, arguments.output, arguments.size, one_by_one):
        print(path)
    if arguments.film is not None:
        side = rig.generator.resolution
        frames = film(rig, arguments.film, side, counted(RATE * SECONDS, "frame"))
        print(write_movie(arguments.output / "film.mp4", frames, (side, side), RATE))
    return 0


def one_by_one(cells: list[Cell], name: str) -> Iterator[Cell]:
    """The cells with a bar that counts them."""
    return (cells[index] for index in counted(len(cells), name))
