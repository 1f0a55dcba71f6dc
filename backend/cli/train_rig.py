"""``train rig``: reconstruction and RigNet for a generator, with the networks that measure images.

Several processes: ``torchrun --nproc-per-node N -m backend train rig ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.training import add_device_arguments, run_training, say
from models.errors import StyleRigError

if TYPE_CHECKING:
    from models.training.core.distributed import World
    from models.training.rig.run import Run

PARTS = ("estimators", "landmarks", "judge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--generator", type=Path, help="generator to rig (not needed for the face regressors)")
    parser.add_argument("--landmarks", type=Path, help="landmark network trained before, instead of --studio")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoints, weights and the results page")
    parser.add_argument("--only", choices=PARTS, help="only the face regressors, or one of them")
    parser.add_argument("--stage", dest="only", choices=PARTS, default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # of earlier versions
    add_rig_arguments(parser)


def add_rig_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command has that opens a rig's training."""
    parser.add_argument("--studio", type=Path, help="folder of rendered portraits with their labels")
    parser.add_argument("--face-model", default="none", help="face model; none is the head that ships")
    parser.add_argument("--config", type=Path, help="training plan, TOML or JSON (default: that of the weights that ship)")
    add_device_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, continuing what the output folder holds; the folder is then a whole rig. 3 when it was stopped before."""
    return run_training(arguments, lambda world: train_stage(arguments, open_run(arguments, arguments.output, world)))


def open_run(arguments: argparse.Namespace, output: Path, world: World) -> Run:
    """A training in the folder ``output``; says what the licence of the face model is."""
    from models.face import load_face_model
    from models.training.rig.config import load_plan
    from models.training.rig.run import Run

    run = Run.open(load_plan(arguments.config), load_face_model(arguments.face_model), output, say, world)
    for line in filter(None, (run.face.licence, *run.face.notes)):
        run.say(f"{run.face.name}: {line}")
    return run


def train_stage(arguments: argparse.Namespace, run: Run) -> None:
    """What is asked for."""
    from models.training.rig import pipeline

    if arguments.only is None:
        page = pipeline.train_rig(run, needed(arguments.generator, "--generator"), arguments.studio, arguments.landmarks)
        run.say(f"Results: {page}")
        return
    stages = {"estimators": pipeline.train_estimators, "landmarks": pipeline.train_landmarks, "judge": pipeline.train_judge}
    stages[arguments.only](run, needed(arguments.studio, "--studio"))


def needed(path: Path | None, option: str) -> Path:
    if path is None:
        raise StyleRigError(f"{option} is missing.", f"Give {option} PATH.", code="missing_option")
    return path
