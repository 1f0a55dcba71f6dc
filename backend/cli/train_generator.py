"""`python -m backend train generator`: train a generator on rendered portraits, or on a folder of images.

Several processes: ``torchrun --nproc-per-node N -m backend train generator ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.training import add_device_arguments, run_training, say

if TYPE_CHECKING:
    from models.training.core.distributed import World

PLAN = Path(__file__).resolve().parents[2] / "models" / "training" / "generator" / "studio.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="set made by models.synthetic, or a folder of images")
    parser.add_argument("--config", type=Path, default=PLAN, help="training plan, TOML or JSON (default: the shipped one)")
    parser.add_argument("--face-regressor", "--reader", type=Path, metavar="FILE",
                        help="landmarks.safetensors of `train rig --only landmarks`, for plans with a perceptual loss")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights, samples and checkpoints")
    add_device_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue the training in the output folder; 0 when done, 3 when stopped before."""

    def train(world: World) -> None:
        from models.perception.face_regressor import Estimator
        from models.training.generator.config import load_plan
        from models.training.generator.task import open_training, train_generator

        plan = load_plan(arguments.config)
        regressor = Estimator.load(arguments.face_regressor) if arguments.face_regressor else None
        train_generator(open_training(arguments.data, plan, arguments.output, say, world, regressor))

    return run_training(arguments, train)
