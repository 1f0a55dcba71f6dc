"""`python -m backend train disco`: train a DiscoFaceGAN, whose z says who, expression, light and rotation apart.

Several processes: ``torchrun --nproc-per-node N -m backend train disco ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.train_rig import needed
from backend.cli.training import add_device_arguments, run_training, say

if TYPE_CHECKING:
    from models.training.core.distributed import World

PLAN = Path(__file__).resolve().parents[2] / "models" / "training" / "disco" / "studio.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="set made by models.synthetic, or a folder of images (not needed for the factors)")
    parser.add_argument("--config", type=Path, default=PLAN, help="training plan, TOML or JSON (default: the shipped one)")
    parser.add_argument("--face-regressor", type=Path, metavar="FILE",
                        help="landmarks.safetensors of `train rig --only landmarks`, by which faces are imitated")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights, samples and checkpoints")
    parser.add_argument("--only", choices=("factors",), help="only the decoders of the four factors, which need no images")
    add_device_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue the training in the output folder; 0 when done, 3 when stopped before."""

    def train(world: World) -> None:
        from models.training.disco.config import load_plan

        plan = load_plan(arguments.config)
        if arguments.only:
            from models.face import load_face_model
            from models.training.disco.factors import train_factors

            train_factors(plan.generator(load_face_model(plan.head)), plan.heads, plan.factors, arguments.output, plan.seed, world, say)
            return
        from models.perception.face_regressor import Estimator
        from models.rigging.rig import hash_files
        from models.training.disco.task import open_training, train_disco

        path = arguments.face_regressor
        regressor, taught_by = (Estimator.load(path), hash_files([path])) if path else (None, "")
        train_disco(open_training(needed(arguments.data, "--data"), plan, arguments.output, say, world, regressor, taught_by))

    return run_training(arguments, train)
