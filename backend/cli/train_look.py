"""`python -m backend train look`: train a network of image-to-image translation on the studio's set, or on folders of pictures.

Several processes: ``torchrun --nproc-per-node N -m backend train look ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.training import add_device_arguments, run_training, say

if TYPE_CHECKING:
    from models.training.core.distributed import World

KINDS = ("pix2pix", "cyclegan", "cogan", "stargan", "starganv2")
PLANS = Path(__file__).resolve().parents[2] / "models" / "training" / "translation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--data", type=Path, required=True, nargs="+", metavar="DIR",
                        help="a set made by models.synthetic or a folder of pictures; or one for each domain, or inputs and outputs")  # fmt: skip
    parser.add_argument("--config", type=Path, help="training plan, TOML or JSON (default: the published settings of the kind)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the look, samples and checkpoints")
    add_device_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue the training in the output folder; 0 when done, 3 when stopped before."""

    def train(world: World) -> None:
        from models.training.translation.config import load_plan
        from models.training.translation.run import open_training
        from models.training.translation.task import train_look

        plan = load_plan(arguments.kind, arguments.config or PLANS / f"{arguments.kind}.toml")
        train_look(open_training(arguments.kind, arguments.data, plan, arguments.output, say, world))

    return run_training(arguments, train)
