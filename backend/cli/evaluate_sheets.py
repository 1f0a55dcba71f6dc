"""`python -m backend evaluate sheets`: pictures that a person judges a rig by, and a film."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.progress import counted
from backend.cli.rendering import add_ray_arguments, check_ray_options, render
from backend.cli.sheets_on_ray import SheetsJob
from models.seeds import parse_seed

if TYPE_CHECKING:
    import numpy as np

    from models.evaluation.control.sheets import Order, Sheet
    from models.rigging import Rig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rig", type=Path, metavar="DIR", help="folder of a rig (default: the one that ships)")
    parser.add_argument("--model", metavar="NAME", help="of several in that folder")
    parser.add_argument("--size", type=int, default=160, help="pixels of a picture on a sheet (default 160)")
    parser.add_argument("--film", type=parse_seed, metavar="SEED", help="also a film of this person, who turns and speaks")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add_ray_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the sheets and print where they are."""
    from backend.server.inference import load_rig, read_rig, rig_library
    from models.devices import choose_device
    from models.evaluation.control import sheets

    check_ray_options(arguments)
    rigs, far = arguments.rig and arguments.rig.absolute(), arguments.ray is not None
    device, load = ("cpu", read_rig) if far else (choose_device(arguments.device), load_rig)
    rig = rig_library(arguments.rig_loader, device, load, rigs).named(arguments.model)
    order = sheets.Order(arguments.size, sheets.PEOPLE, sheets.ROWS, arguments.film, sheets.SECONDS)
    ordered = sheets.ordered(rig, order)
    if far:
        return run_on_ray(arguments, order, ordered, rigs)
    for sheet in ordered:
        print(sheet.write(arguments.output, drawn(rig, sheet)))
    return 0


def drawn(rig: Rig, sheet: Sheet) -> Iterator[np.ndarray]:
    """The pictures of a sheet, with a bar that counts them."""
    from models.evaluation.control.sheets import picture

    return (picture(rig, sheet.cells[index], sheet.size) for index in counted(len(sheet.cells), f"{Path(sheet.file).stem} picture"))


def run_on_ray(arguments: argparse.Namespace, order: Order, ordered: list[Sheet], rigs: Path | None) -> int:
    numbers = list(range(1, sum(len(sheet.cells) for sheet in ordered) + 1))
    job = SheetsJob(arguments.output / "pictures", numbers, arguments.model, order)
    status = render(job, arguments, "picture", keep=True, rigs=rigs)
    for path in [] if status else job.put_together(ordered, arguments.output):
        if not arguments.json_log:
            print(path)
    return status
