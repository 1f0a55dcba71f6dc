"""`python -m backend train generator`: teach a generator with rendered portraits."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

PLAN = Path(__file__).resolve().parent.parent / "models" / "training" / "studio.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures made by models.studio")
    parser.add_argument("--config", type=Path, default=PLAN, help="training plan, TOML or JSON (default: the shipped one)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights, sheets and checkpoints")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue the training in the output folder; 0 when done, 3 when stopped before."""
    # Threads that wait by spinning starve each other where other work shares the processor;
    # the library reads this once, when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from models.training.config import load_config
    from models.training.generator import GeneratorTraining

    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    config = load_config(arguments.config)
    training = GeneratorTraining(arguments.data, config, arguments.output, say=lambda line: print(line, flush=True))
    return 0 if training.run() else 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
