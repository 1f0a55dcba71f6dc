"""`python -m backend train guided`: train a generator that renderings of the rig steer.

Several processes: ``torchrun --nproc-per-node N -m backend train guided ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.training import add_device_arguments, run_training, say

if TYPE_CHECKING:
    from models.training.core.distributed import World

PLAN = Path(__file__).resolve().parents[2] / "models" / "training" / "guided_generator" / "studio.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="set made by models.synthetic")
    parser.add_argument("--config", type=Path, default=PLAN, help="training plan, TOML or JSON (default: the shipped one)")
    parser.add_argument(
        "--begin-with",
        type=Path,
        metavar="FILE",
        help="a guided generator whose weights are the first ones: what ships, with more pictures",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights, samples and checkpoints")
    add_device_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue the training in the output folder; 0 when done, 3 when stopped before."""

    def train(world: World) -> None:
        from models.generators import load_generator
        from models.training.guided_generator.config import load_plan
        from models.training.guided_generator.task import open_training, train_guided

        begun = load_generator(arguments.begin_with) if arguments.begin_with else None
        train_guided(open_training(arguments.data, load_plan(arguments.config), arguments.output, say, world, begun))

    return run_training(arguments, train)
