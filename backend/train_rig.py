"""``train rig``: reconstruction and RigNet for a generator, with the networks that measure pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.errors import StyleRigError

STAGES = ("all", "estimators", "landmarks", "judge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--generator", type=Path, help="generator to rig (not needed for the estimators)")
    parser.add_argument("--face-model", default="none", help="face model; none is the head that ships")
    parser.add_argument("--studio", type=Path, help="folder of rendered portraits with their truth")
    parser.add_argument("--landmarks", type=Path, help="landmark network trained before, instead of --studio")
    parser.add_argument("--output", type=Path, required=True, help="folder for states, weights and the results page")
    parser.add_argument("--config", type=Path, help="settings (default: those of the weights that ship)")
    parser.add_argument("--stage", choices=STAGES, default="all", help="train only the networks that read pictures")
    parser.add_argument("--threads", type=int, help="processor threads")


def run(arguments: argparse.Namespace) -> int:
    """Train, continuing what the output folder holds; the folder is then a whole rig."""
    import torch

    from models.face import load_face_model
    from models.stylerig.training import run as training
    from models.stylerig.training.config import read_config

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = read_config(arguments.config)
    face = load_face_model(arguments.face_model)
    report = lambda line: print(line, flush=True)
    for line in (face.licence, *face.notes):
        if line:
            report(f"{face.name}: {line}")
    if arguments.stage != "all":
        pictures = needed(arguments.studio, "--studio")
        stages = {"estimators": training.train_estimators, "landmarks": training.train_landmarks,
                  "judge": training.train_judge}  # fmt: skip
        stages[arguments.stage](config, face, pictures, arguments.output, report)
        return 0
    generator = needed(arguments.generator, "--generator")
    page = training.train_rig(generator, face, arguments.studio, arguments.output, config, report, arguments.landmarks)
    report(f"Results: {page}")
    return 0


def needed(path: Path | None, option: str) -> Path:
    if path is None:
        raise StyleRigError(f"{option} is missing.", f"Give {option} PATH.", code="missing_option")
    return path
