"""``data motions``: render people in slow motions, to measure a rig's steadiness beside."""

from __future__ import annotations

import argparse

from backend.cli.data_variations import add_series_arguments, photograph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_series_arguments(parser, people=2, seed=78)


def run(arguments: argparse.Namespace) -> int:
    """Render, continuing what the folder holds."""
    from models.evaluation.control.steadiness import SERIES

    return photograph(SERIES, arguments)
