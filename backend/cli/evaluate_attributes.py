"""evaluate attributes: what a model's sliders change in pictures: their own attribute, the others, and the rig."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rig", type=Path, help="folder of a rig (default: those that ship)")
    parser.add_argument("--model", help="its name (default: the first there; of those that ship the one with a judge, stylerig)")
    parser.add_argument("--judge", type=Path, help="network that judges (default: the one beside the rig)")
    parser.add_argument("--portraits", type=int, default=8, help="how many people are judged")
    parser.add_argument("--truncation", type=float, default=0.7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write JSON, print a table."""
    from models.devices import choose_device
    from models.evaluation.attributes import measure_sliders, table
    from models.evaluation.control import load_judge
    from models.io.atomic_write import write_atomic
    from models.rigging import Rig
    from models.rigging.rig import JUDGED

    rig = Rig.load(arguments.rig, choose_device(arguments.device), name=arguments.model or (None if arguments.rig else JUDGED))
    judge = load_judge(arguments.rig, arguments.judge, rig)
    found = measure_sliders(rig, judge, arguments.portraits, arguments.truncation, lambda words: print(words, flush=True))
    if arguments.json:
        figures = {name: dataclasses.asdict(one) for name, one in found.items()}
        write_atomic(arguments.json, (json.dumps(figures, indent=1) + "\n").encode())
    print(f"\n{table(found)}")
    return 0
