"""`python -m backend evaluate steadiness`: whether portraits' detail goes where their skin goes, beside renderings of the same motions."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from backend.cli.progress import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rig", type=Path, metavar="DIR", help="folder of a rig (default: the one that ships)")
    parser.add_argument("--model", metavar="NAME", help="of several in that folder")
    parser.add_argument("--motions", type=Path, required=True, metavar="DIR", help="pictures made by `data motions`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write JSON, print a line for each motion."""
    from backend.server.inference import load_rig, rig_library
    from models.devices import choose_device
    from models.evaluation.control.steadiness import MOTIONS, Renderings, measure_motion
    from models.io.atomic_write import write_atomic

    rigs = arguments.rig and arguments.rig.absolute()
    rig = rig_library(arguments.rig_loader, choose_device(arguments.device), load_rig, rigs).named(arguments.model)
    renderings = Renderings.open(arguments.motions)
    results = {MOTIONS[index]: measure_motion(rig, renderings, MOTIONS[index]) for index in counted(len(MOTIONS), "motion")}
    if arguments.json:
        write_atomic(arguments.json, (json.dumps(results, indent=1) + "\n").encode())
    for motion, figures in results.items():
        print(f"{motion:6} portraits {json.dumps(figures['portraits'])}  renderings {json.dumps(figures['renderings'])}")
    return 0
