"""``evaluate ablations``: the published losses with and without each term, on what a training of a rig has left."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--rig", type=Path, required=True, metavar="DIR", help="folder of the training; the results page goes there")
    parser.add_argument("--generator", type=Path, required=True, help="the generator that was rigged")
    parser.add_argument("--studio", type=Path, help="folder of rendered portraits with their labels")
    parser.add_argument("--landmarks", type=Path, help="landmark network, instead of --studio")
    parser.add_argument("--face-model", default="none", help="face model; none is the head that ships")
    parser.add_argument("--config", type=Path, help="settings of the training (default: those of the weights that ship)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Train each variant for a few hundred steps, measure them, write ablations.md."""
    from backend.cli import train_rig

    return train_rig.run(argparse.Namespace(**vars(arguments), stage="ablations", output=arguments.rig, variations=None))
