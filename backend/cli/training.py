"""What the commands that train have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

STOPPED = 3


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run_training(arguments: argparse.Namespace, train: Callable[[Any], None]) -> int:
    """Call ``train(world)`` in this process of the training; 0 when it is done, 3 when it was stopped and can be continued."""
    # Threads that wait by spinning starve each other where other work shares the CPU;
    # the library reads this once, when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from models.training.core.checkpoint import Stopped
    from models.training.core.distributed import World

    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    world = World(arguments.device)
    try:
        train(world)
    except Stopped:
        return STOPPED
    finally:
        world.close()
    return 0


def say(line: str) -> None:
    print(line, flush=True)
