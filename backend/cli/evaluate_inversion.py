"""evaluate inversion: portraits of photos of held-out people of the studio: colour, identity, identity after a turn."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from backend.cli.options import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="set of whole heads made by models.synthetic")
    parser.add_argument("--rig", type=Path, help="folder of a rig (default: those that ship)")
    parser.add_argument("--model", help="its name (default: the first)")
    parser.add_argument(
        "--judge", help="file of a network that judges, or module:function (docs/methods.md); default: the one that ships, which took part"
    )
    parser.add_argument("--people", type=whole(1, 1000), default=8, help="how many are photographed (default 8)")
    parser.add_argument("--effort", choices=("fast", "fine"), default="fine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="photo, portrait and poses, side by side (.jpg, .png)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write JSON and sheet, print the means."""
    from models.editing.inversion.finding import REGRESSOR
    from models.evaluation.inversion import measure_inversion, summary, took_part
    from models.evaluation.methods import open_judge
    from models.io.atomic_write import write_atomic
    from models.io.images import save_image
    from models.rigging import Rig

    rig = arguments.rig_loader("cpu") if arguments.rig_loader else Rig.load(arguments.rig, name=arguments.model)
    judge = open_judge(arguments.judge or str(REGRESSOR), rig)
    if took_part(judge):
        print(
            f"note: {judge.name} also read the photos' landmarks, to which portraits are fitted. Name another with --judge.",
            file=sys.stderr,
        )
    say = lambda words: print(words, flush=True)
    measured = measure_inversion(rig, judge, arguments.data, arguments.people, arguments.effort, say)
    results = summary(measured, judge)
    if arguments.json:
        write_atomic(arguments.json, (json.dumps(results, indent=1) + "\n").encode())
    if arguments.sheet:
        save_image(arguments.sheet, measured.sheet)
    print(json.dumps(results["mean"]))
    return 0
