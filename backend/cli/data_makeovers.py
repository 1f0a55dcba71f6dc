"""``data makeovers``: render people in one shot each with other hair colours, glasses, beards and ages, for looks to learn from."""

from __future__ import annotations

import argparse

from backend.cli.data_variations import add_series_arguments, photograph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_series_arguments(parser, people=600, seed=79)


def run(arguments: argparse.Namespace) -> int:
    """Render, continuing what the folder holds."""
    from models.synthetic.makeovers import MAKEOVERS

    return photograph(MAKEOVERS, arguments)
