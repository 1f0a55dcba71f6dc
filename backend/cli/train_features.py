"""`python -m backend train features`: the network whose features the project's metrics use."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.training import add_device_arguments, run_training, say
from models.seeds import parse_seed

if TYPE_CHECKING:
    from models.training.core.distributed import World


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="set of images made by models.synthetic")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write; its checkpoints lie beside it")
    parser.add_argument("--images", type=int, default=60_000, help="images to look at (default 60000)")
    parser.add_argument("--seed", type=parse_seed, default=0)
    add_device_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train on the set's labels and write the file; says what is read on held-out images."""

    def train(world: World) -> None:
        from models.training.features import train_features_file

        header = train_features_file(arguments.data, arguments.output, arguments.images, arguments.seed, world, say).header
        if world.is_main:
            say(f"R² on {header['held_out']} held-out images: {json.dumps(header['mean_r2'])}")
            say(f"Wrote {arguments.output}")

    return run_training(arguments, train)
