"""`python -m backend train generator`: teach a generator with rendered portraits.

Several processes: ``torchrun --nproc-per-node N -m backend train generator ...``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

PLAN = Path(__file__).resolve().parents[2] / "models" / "training" / "generator" / "studio.toml"
STOPPED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="set made by models.synthetic, or a folder of pictures")
    parser.add_argument("--config", type=Path, default=PLAN, help="training plan, TOML or JSON (default: the shipped one)")
    parser.add_argument("--reader", type=Path, help="landmarks.safetensors of `train rig --stage landmarks`, where the plan asks for it")
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights, sheets and checkpoints")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue the training in the output folder; 0 when done, 3 when stopped before."""
    # Threads that wait by spinning starve each other where other work shares the processor;
    # the library reads this once, when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from models.perception.face_regressor import Estimator
    from models.training.core.distributed import World
    from models.training.generator.config import load_config
    from models.training.generator.run import GeneratorTraining

    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    config = load_config(arguments.config)
    reader = Estimator.load(arguments.reader) if arguments.reader else None
    world = World(arguments.device)
    try:
        say = lambda line: print(line, flush=True)
        done = GeneratorTraining(arguments.data, config, arguments.output, say, world, reader).run()
    finally:
        world.close()
    return 0 if done else STOPPED
