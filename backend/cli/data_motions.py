"""``data motions``: render people in slow motions, to measure a rig's steadiness beside."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.seeds import parse_seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="pictures that are there are kept")
    parser.add_argument("--people", type=int, default=2, help="how many (default 2)")
    parser.add_argument("--size", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--seed", type=parse_seed, default=78, help="another than that of the training data (default 78)")


def run(arguments: argparse.Namespace) -> int:
    """Render, continuing what the folder holds."""
    from models.evaluation.control.steadiness import SERIES

    print(SERIES.photograph(arguments.output, arguments.people, arguments.size, arguments.seed), flush=True)
    return 0
