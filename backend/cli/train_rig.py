"""``train rig``: reconstruction and RigNet for a generator, with the networks that measure pictures.

Several processes: ``torchrun --nproc-per-node N -m backend train rig ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.errors import StyleRigError

ESTIMATORS = ("estimators", "landmarks", "judge")
STAGES = ("all", *ESTIMATORS, "variations", "floors", "ablations")
PEOPLE, SIZE, SEED = 60, 256, 77  # of the variations; another seed than the studio's sets

STAGE_HELP = """only a part: the networks that read pictures; variations: photograph people with one thing changed
into --output; floors: measure the judge in --output on --variations; ablations: the published losses with and
without each term, on what a training has left in --output"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--generator", type=Path, help="generator to rig (not needed for the estimators)")
    parser.add_argument("--face-model", default="none", help="face model; none is the head that ships")
    parser.add_argument("--studio", type=Path, help="folder of rendered portraits with their truth")
    parser.add_argument("--landmarks", type=Path, help="landmark network trained before, instead of --studio")
    parser.add_argument("--output", type=Path, required=True, help="folder for states, weights and the results page")
    parser.add_argument("--config", type=Path, help="settings (default: those of the weights that ship)")
    parser.add_argument("--stage", choices=STAGES, default="all", help=STAGE_HELP)
    parser.add_argument("--variations", type=Path, help="folder of variations, for the judge's own error (--stage floors)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, help="processor threads")


def run(arguments: argparse.Namespace) -> int:
    """Train, continuing what the output folder holds; the folder is then a whole rig."""
    import torch

    from models.face import load_face_model
    from models.training.core.distributed import World
    from models.training.rig import pipeline
    from models.training.rig.config import read_config

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = read_config(arguments.config)
    face = load_face_model(arguments.face_model)
    world = World(arguments.device)
    try:
        return train(arguments, pipeline.Run.open(config, face, arguments.output, say, world))
    finally:
        world.close()


def say(line: str) -> None:
    print(line, flush=True)


def train(arguments: argparse.Namespace, run) -> int:
    """The stages that are asked for."""
    from models.evaluation.control.judge_calibration import add_floors, photograph_variations
    from models.training.rig import pipeline
    from models.training.rig.ablations import ablate

    for line in (run.face.licence, *run.face.notes):
        if line:
            run.report(f"{run.face.name}: {line}")
    if arguments.stage in ESTIMATORS:
        stages = {"estimators": pipeline.train_estimators, "landmarks": pipeline.train_landmarks, "judge": pipeline.train_judge}
        stages[arguments.stage](run, needed(arguments.studio, "--studio"))
        return 0
    if arguments.stage == "variations":
        photograph_variations(arguments.output, PEOPLE, SIZE, SEED)
        return 0
    if arguments.stage == "floors":
        judge, pictures = arguments.output / f"{run.config.name}-judge.safetensors", needed(arguments.variations, "--variations")
        run.report(f"{judge}: {add_floors(judge, pictures, run.face, run.world.device).floors}")
        return 0
    inputs = (needed(arguments.generator, "--generator"), arguments.studio, arguments.landmarks)
    page = ablate(run, *inputs) if arguments.stage == "ablations" else pipeline.train_rig(run, *inputs)
    run.report(f"Results: {page}")
    return 0


def needed(path: Path | None, option: str) -> Path:
    if path is None:
        raise StyleRigError(f"{option} is missing.", f"Give {option} PATH.", code="missing_option")
    return path
