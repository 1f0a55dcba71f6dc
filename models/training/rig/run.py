"""What all stages of one rig's training share."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import nn

from models.face import FaceModel
from models.generators.cpu import usable_precision
from models.training.core.distributed import World
from models.training.core.trainer import LossTask, Trainer
from models.training.rig.config import RigPlan, Stage

ADAM_BETAS = (0.9, 0.98)


@dataclass
class Run:
    """A training in the folder ``output``; each of its stages has a folder of its own there."""

    plan: RigPlan
    face: FaceModel
    output: Path
    say: Callable[[str], None]
    world: World
    precision: str  # of the networks that see images: the plan's where this machine has it

    @classmethod
    def open(cls, plan: RigPlan, face: FaceModel, output: Path, say: Callable[[str], None], world: World | None = None) -> Run:
        """On the world's device; in several processes only the first one speaks."""
        world = world or World("cpu")
        output.mkdir(parents=True, exist_ok=True)
        say = say if world.is_main else lambda line: None
        precision, notice = usable_precision(plan.precision, world.device)
        if notice:
            say(notice)
        return cls(plan, face.to(world.device), output, say, world, precision)

    def trainer(self, name: str, task: LossTask, stage: Stage, key: str, seed: int | None = None) -> Trainer[LossTask]:
        """The training of one network; it starts again when its ``key`` has changed."""
        plan = self.plan if seed is None else self.plan.replace(seed=seed)
        return Trainer(name, task, plan, [stage], self.output / name, key, self.world, self.say, restart=True)

    def autocast(self) -> contextlib.AbstractContextManager:
        """Within: networks compute in bfloat16 where that is the precision."""
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()


class RigTask(LossTask):
    """A task of one network of the rig."""

    def __init__(self, run: Run, network: nn.Module, stage: Stage):
        self.run, self.network, self.stage = run, network, stage
        self.modules = {"network": network}
        self.optimizers = {"network": make_optimizer(network, stage)}
        self.count = run.world.share(stage.batch)  # this process's share of a batch


def make_optimizer(network: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """Adam, or AdaDelta as published."""
    parameters = [value for value in network.parameters() if value.requires_grad]
    if stage.optimizer == "adadelta":
        return torch.optim.Adadelta(parameters, lr=stage.learning_rate)
    return torch.optim.Adam(parameters, lr=stage.learning_rate, betas=ADAM_BETAS)


def key_of(*parts: Any) -> str:
    """A short name for settings and inputs; another name means that a checkpoint does not belong to them."""
    values = [part.model_dump() if isinstance(part, BaseModel) else part for part in parts]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
