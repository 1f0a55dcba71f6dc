"""``data variations``: render people with one thing changed at a time, to measure the judge's noise on."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.seeds import parse_seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="pictures that are there are kept")
    parser.add_argument("--people", type=int, default=60, help="how many (default 60)")
    parser.add_argument("--size", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--seed", type=parse_seed, default=77, help="another than that of the training data (default 77)")


def run(arguments: argparse.Namespace) -> int:
    """Render, continuing what the folder holds."""
    from models.evaluation.control.judge_calibration import VARIATIONS

    print(VARIATIONS.photograph(arguments.output, arguments.people, arguments.size, arguments.seed), flush=True)
    return 0
