"""``evaluate judge-noise``: what the judge reads where nothing has changed; kept in the judge's own file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--judge", type=Path, required=True, metavar="FILE", help="the network that judges; its file gets the figures")
    parser.add_argument("--variations", type=Path, required=True, metavar="DIR", help="pictures made by `data variations`")
    parser.add_argument("--face-model", default="none", help="face model; none is the head that ships")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where (default: a GPU if there is one)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write, print the figures."""
    from models.devices import choose_device
    from models.evaluation.control.judge_calibration import add_floors
    from models.face import load_face_model

    judge = add_floors(arguments.judge, arguments.variations, load_face_model(arguments.face_model), choose_device(arguments.device))
    print(f"{arguments.judge}: {json.dumps(judge.floors)}", flush=True)
    return 0
