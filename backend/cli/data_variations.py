"""``data variations``: render people with one thing changed at a time, to measure the judge's noise on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from models.seeds import parse_seed

if TYPE_CHECKING:
    from models.synthetic.series import Series


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_series_arguments(parser, people=60, seed=77)


def add_series_arguments(parser: argparse.ArgumentParser, people: int, seed: int) -> None:
    """Options of a command that renders a series; its own ``people`` and ``seed`` where none are given."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="pictures that are there are kept")
    parser.add_argument("--people", type=int, default=people, help="how many (default %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--seed", type=parse_seed, default=seed, help="another than that of the training data (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Render, continuing what the folder holds."""
    from models.evaluation.control.judge_calibration import VARIATIONS

    return photograph(VARIATIONS, arguments)


def photograph(series: Series, arguments: argparse.Namespace) -> int:
    """Render a series as asked, and print where it is."""
    print(series.photograph(arguments.output, arguments.people, arguments.size, arguments.seed), flush=True)
    return 0
