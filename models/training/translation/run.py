"""The training of a look of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from models.training.core.distributed import World
from models.training.core.trainer import Trainer
from models.training.translation.cogan import CoGANTask
from models.training.translation.config import LookPlan
from models.training.translation.cyclegan import CycleGANTask
from models.training.translation.pix2pix import Pix2PixTask
from models.training.translation.stargan import StarGANTask
from models.training.translation.starganv2 import StarGANv2Task
from models.training.translation.task import LookTask, open_look_training

TASKS: dict[str, type[LookTask]] = {
    "pix2pix": Pix2PixTask,
    "cyclegan": CycleGANTask,
    "cogan": CoGANTask,
    "stargan": StarGANTask,
    "starganv2": StarGANv2Task,
}


def open_training(
    kind: str, data: Sequence[Path], plan: LookPlan, output: Path, say: Callable[[str], None] = print, world: World | None = None
) -> Trainer:
    """A training in the folder ``output``, continued if that holds a checkpoint. ``plan`` is of the same ``kind``."""
    return open_look_training(TASKS[kind](data, plan, output, world or World("cpu")), say)
