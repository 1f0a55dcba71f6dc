"""``evaluate ablations``: the published losses with and without each term, on what a training of a rig has left."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.train_rig import add_rig_arguments, open_run
from backend.cli.training import run_training

if TYPE_CHECKING:
    from models.training.core.distributed import World


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--rig", type=Path, required=True, metavar="DIR", help="folder of the training; the results page goes there")
    parser.add_argument("--generator", type=Path, required=True, help="the generator that was rigged")
    parser.add_argument("--landmarks", type=Path, help="landmark network, instead of --studio")
    add_rig_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train each variant for a few hundred steps, measure them, write ablations.md; 3 when it was stopped before."""

    def train(world: World) -> None:
        from models.training.rig.ablations import ablate

        run = open_run(arguments, arguments.rig, world)
        run.say(f"Results: {ablate(run, arguments.generator, arguments.studio, arguments.landmarks)}")

    return run_training(arguments, train)
