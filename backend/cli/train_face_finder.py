"""`python -m backend train face-finder`: the network that finds faces in photographs."""

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
    parser.add_argument("--data", type=Path, required=True, help="set of whole heads made by models.synthetic")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write; its checkpoints lie beside it")
    parser.add_argument("--images", type=int, default=600_000, help="squares to look at (default 600000)")
    parser.add_argument("--seed", type=parse_seed, default=0)
    add_device_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train and write the file; says what is measured on people held out."""

    def train(world: World) -> None:
        from models.training.face_finder import train_face_finder

        figures = train_face_finder(arguments.data, arguments.output, arguments.images, arguments.seed, world, say)
        say(f"Wrote {arguments.output}: {json.dumps(figures)}")

    return run_training(arguments, train)
