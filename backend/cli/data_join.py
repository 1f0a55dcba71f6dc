"""data join: one set of several that ``models.synthetic`` or ``data makeovers`` made, whose pictures may have other sizes.

    python -m backend data join DATA MAKEOVERS --output BOTH

Files are linked where the disk allows, else copied. Who is held out of a set is held out of theirs together.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="pictures that are there are kept")


def run(arguments: argparse.Namespace) -> int:
    """Join, and print how many pictures there are."""
    from backend.cli.rendering import make_folder
    from models.synthetic.join import join

    make_folder(arguments.output)
    print(f"{join(arguments.sets, arguments.output)} pictures in {arguments.output}")
    return 0
