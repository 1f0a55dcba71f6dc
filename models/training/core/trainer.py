"""The loop of every training: stages, schedule, log, samples, checkpoints; in one process or several."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from models.device_rng import DeviceRng, step_seed
from models.errors import StyleRigError
from models.training.core.checkpoint import Stopped, StopRequest, load_checkpoint, remove_leftovers, save_checkpoint, tune_malloc
from models.training.core.config import NonNegative, Settings, Stage
from models.training.core.distributed import World
from models.training.core.log import ProgressBar, TrainingLog, clock

LOG_SECONDS = 10
StageType = TypeVar("StageType", bound=Stage)
TaskType = TypeVar("TaskType", bound="Task[Any]")


class Plan(Settings):
    """What every training's plan has."""

    seed: int = Field(default=0, ge=0)
    checkpoint_minutes: NonNegative = 3.0
    sample_minutes: NonNegative = 10.0


@dataclass
class Progress:
    """How far a training is: the stage by its number from 0, what was done in it, and in all."""

    stage_number: int = 0
    stage_steps: int = 0
    stage_images: int = 0
    stage_seconds: float = 0.0
    steps: int = 0
    images: int = 0
    seconds: float = 0.0

    def add(self, images: int, seconds: float) -> None:
        """Count a step."""
        self.steps, self.stage_steps = self.steps + 1, self.stage_steps + 1
        self.images, self.stage_images = self.images + images, self.stage_images + images
        self.seconds, self.stage_seconds = self.seconds + seconds, self.stage_seconds + seconds

    def begin_next_stage(self) -> None:
        self.stage_number += 1
        self.stage_steps, self.stage_images, self.stage_seconds = 0, 0, 0.0

    def fraction(self, stage: Stage) -> float:
        """How much of ``stage`` is done, 0–1."""
        done = ((self.stage_steps, stage.steps), (self.stage_images, stage.images), (self.stage_seconds, 60 * stage.minutes))
        return min(1.0, max((count / limit for count, limit in done if limit), default=0.0))


class Task(ABC, Generic[StageType]):
    """What a Trainer trains: networks, their optimizers, and the gradients of one step.

    ``modules`` and ``optimizers`` are saved by name. Gradients are clipped to ``max_gradient_norm`` (None: not at all).
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    max_gradient_norm: float | None = None

    def begin_stage(self, stage: StageType) -> None:
        """Prepare for steps of ``stage``; also called when a training continues within it."""
        for optimizer in self.optimizers.values():
            set_learning_rate(optimizer, stage.learning_rate)

    def batch(self, progress: Progress, rng: DeviceRng) -> Any:
        """What the next step learns from; all that depends on ``progress`` belongs here."""

    @abstractmethod
    def step(self, batch: Any, rng: DeviceRng) -> Mapping[str, Tensor | float]:
        """Add the gradients of ``batch`` to the parameters; returns the losses by name."""

    def after_step(self, progress: Progress, losses: dict[str, float]) -> dict[str, float]:
        """After the optimizers' step, with the losses' means over all processes; returns more figures for the log."""
        return {}

    def write_samples(self, progress: Progress) -> dict[str, float]:
        """Images for people to look at; returns figures on held-out data. Called in the main process only."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside modules and optimizers: plain values."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what ``state()`` returned."""


class LossTask(Task[Stage]):
    """A task of one module, whose losses' sum is minimised."""

    max_gradient_norm: float | None = 1.0

    @abstractmethod
    def losses(self, batch: Any, rng: DeviceRng) -> dict[str, Tensor]:
        """The weighted terms by name."""

    def step(self, batch: Any, rng: DeviceRng) -> Mapping[str, Tensor | float]:
        losses = self.losses(batch, rng)
        sum(losses.values(), torch.zeros(())).backward()
        return {name: loss.detach() for name, loss in losses.items()}


def set_learning_rate(optimizer: torch.optim.Optimizer, *rates: float) -> None:
    """What the schedule's factor multiplies: one rate for each group of parameters, or one for all."""
    rates = rates * len(optimizer.param_groups) if len(rates) == 1 else rates
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["initial_lr"] = rate


class Trainer(Generic[TaskType]):
    """Trains ``task`` through ``stages``, in ``folder``, and continues there where it was stopped.

    Writes ``checkpoint.pt`` every few minutes, when it is asked to stop and at the end, and ``log.jsonl``. ``key`` says
    what a checkpoint depends on; one with another key is refused, or with ``restart`` left alone. Step n draws from
    a generator seeded by (seed, n, process), so that a training that was stopped draws what it would have drawn: unless a
    stage ends by the clock, it ends in the same weights as one that ran through (on a GPU up to rounding, because
    sums are taken there in any order). A checkpoint continues on any device.

    Of several processes each takes its share of every batch, and gradients are averaged; the first one writes.
    """

    def __init__(
        self,
        name: str,
        task: TaskType,
        plan: Plan,
        stages: Sequence[Stage],
        folder: Path,
        key: Any,
        world: World | None = None,
        say: Callable[[str], None] = print,
        restart: bool = False,
    ):
        self.name, self.task, self.plan, self.stages, self.folder = name, task, plan, stages, folder
        self.key, self.restart = json.dumps(key, sort_keys=True), restart
        self.world = world or World("cpu")
        self.say = say if self.world.is_main else lambda line: None
        self.progress, self.log = Progress(), TrainingLog(folder / "log.jsonl")
        self.checkpoint_path = folder / "checkpoint.pt"
        if self.checkpoint_path.is_file():
            self.restore()
        self.world.barrier()  # all have read it before the first one writes
        if self.world.is_main:
            remove_leftovers(folder)
            self.log.forget_after(self.progress.steps)

    @property
    def finished(self) -> bool:
        return self.progress.stage_number >= len(self.stages)

    def run(self) -> None:
        """Train until the last stage is done. Raises Stopped, with the state saved, when the process is asked to stop."""
        if self.finished:
            self.say(f"{self.name}: was finished before")
            return
        tune_malloc()
        self.last = dict.fromkeys(("logged", "sampled", "saved"), time.monotonic())
        with StopRequest() as stop, closing(ProgressBar(self.name, self.say)) as self.bar:
            while not self.finished:
                self.run_stage(self.stages[self.progress.stage_number], stop)
                self.progress.begin_next_stage()
        self.write_samples()
        self.save()
        self.world.barrier()
        self.say(f"{self.name}: done, {self.progress.steps} steps in {self.progress.seconds / 60:.1f} min")

    def run_stage(self, stage: Stage, stop: StopRequest) -> None:
        self.task.begin_stage(stage)
        while self.progress.fraction(stage) < 1:
            losses = self.take_step(stage)
            self.write_what_is_due(losses)
            if self.world.reduce_max([stop.requested])[0]:
                self.save()
                self.say(f"{self.name}: stopped; the same command continues.")
                raise Stopped

    def take_step(self, stage: Stage) -> dict[str, float]:
        """One step of the optimizers; returns the losses, means over all processes."""
        started = time.monotonic()
        self.set_learning_rates(stage)
        rng = DeviceRng(step_seed(self.plan.seed, self.progress.steps, self.world.rank), self.world.device)
        found = self.task.step(self.task.batch(self.progress, rng), rng)
        losses = dict(zip(found, self.world.mean(float(loss) for loss in found.values()), strict=True))
        self.update(losses)
        (seconds,) = self.world.reduce_max([time.monotonic() - started])
        self.progress.add(self.world.share(stage.batch) * self.world.size, seconds)
        return losses | self.task.after_step(self.progress, losses)

    def set_learning_rates(self, stage: Stage) -> None:
        factor = stage.learning_rate_factor(self.progress.fraction(stage), self.progress.stage_images + stage.batch)
        for optimizer in self.task.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def update(self, losses: dict[str, float]) -> None:
        """Average and clip the gradients and step; raises StyleRigError, before that, for values that are no numbers."""
        optimizers = self.task.optimizers.values()
        groups = [[value for group in optimizer.param_groups for value in group["params"]] for optimizer in optimizers]
        for parameters in groups:
            self.world.average_gradients(parameters)
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if self.task.max_gradient_norm is not None:
            norms = [torch.nn.utils.clip_grad_norm_(parameters, self.task.max_gradient_norm) for parameters in groups]
            wrong = wrong or ["the gradient" for norm in norms if not math.isfinite(norm)]
        if wrong:
            raise self.diverged(", ".join(wrong))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def diverged(self, what: str) -> StyleRigError:
        """Saves the state before the step, if its weights are still numbers."""
        if self.weights_are_finite():
            self.save()
        kept = f"{self.checkpoint_path} is kept" if self.checkpoint_path.is_file() else "There is no checkpoint yet"
        return StyleRigError(
            f"The training {self.name} cannot go on: {what} is no longer a number at step {self.progress.steps} "
            f"({self.progress.images} images), in stage {self.progress.stage_number + 1}.",
            f"{kept}: lower learning_rate in this stage of the plan and run the same command again.",
            code="diverged",
        )

    def weights_are_finite(self) -> bool:
        """Whether parameters and running statistics are numbers."""
        return all(bool(torch.isfinite(value).all()) for module in self.task.modules.values() for value in module.state_dict().values())

    def write_what_is_due(self, losses: dict[str, float]) -> None:
        if not self.world.is_main:
            return
        if self.is_due("logged", LOG_SECONDS) or self.progress.stage_steps == 1:
            self.write_log(losses)
        if self.is_due("sampled", 60 * self.plan.sample_minutes):
            self.write_samples()
        if self.is_due("saved", 60 * self.plan.checkpoint_minutes):
            self.save()

    def is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        due = now - self.last[what] >= seconds
        if due:
            self.last[what] = now
        return due

    def write_log(self, losses: dict[str, float]) -> None:
        """A line for the log and one for the person."""
        progress, left = self.progress, self.seconds_left()
        speed = progress.stage_images / max(progress.stage_seconds, 1e-6)
        self.write_figures(losses, seconds=round(progress.seconds, 2), images_per_second=round(speed, 2))
        stage = f"stage {progress.stage_number + 1}/{len(self.stages)}  " if len(self.stages) > 1 else ""
        text = f"{stage}step {progress.steps}  {speed:.1f} images/s  {clock(left)} left  {figures_text(losses)}"
        self.bar.show(progress.seconds / max(progress.seconds + left, 1e-6), text)

    def write_figures(self, figures: dict[str, float], **more: Any) -> None:
        self.log.write(stage=self.progress.stage_number + 1, step=self.progress.steps, images=self.progress.images, **more, losses=figures)

    def seconds_left(self) -> float:
        """By the clock where a stage has one, else by the pace of this one, as if an image took what the stage says."""
        stage, progress = self.stages[self.progress.stage_number], self.progress
        fraction = progress.fraction(stage)
        here = progress.stage_seconds * (1 / fraction - 1) if fraction > 0 else 60 * stage.minutes
        pace = progress.stage_seconds / max(progress.stage_images, 1) / stage.cost
        return here + sum(expected_seconds(later, pace) for later in self.stages[progress.stage_number + 1 :])

    def write_samples(self) -> None:
        """What the task has to show, in the main process; raises StyleRigError for weights that are no numbers."""
        if not self.world.is_main:
            return
        if not self.weights_are_finite():
            raise self.diverged("a weight")
        with torch.no_grad():
            figures = self.task.write_samples(self.progress)
        if figures:
            self.write_figures(figures)
            self.say(f"{self.name}: {figures_text(figures)}")

    def save(self) -> None:
        """Write the checkpoint, in the main process; raises StyleRigError for weights that are no numbers, or a full disk."""
        if not self.world.is_main:
            return
        if not self.weights_are_finite():
            raise self.diverged("a weight")
        save_checkpoint(self.checkpoint_path, {
            "key": self.key,
            "progress": asdict(self.progress),
            "modules": {name: module.state_dict() for name, module in self.task.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.task.optimizers.items()},
            "task": self.task.state(),
        })  # fmt: skip

    def restore(self) -> None:
        """Continue from the checkpoint, if it has the same key."""
        state = load_checkpoint(self.checkpoint_path)
        if state.get("key") != self.key and self.restart:
            self.say(f"{self.name}: starts again, because its settings or its inputs have changed")
            return
        if "key" in state and state["key"] != self.key:
            raise self.cannot_continue("belongs to another training: its networks or its data differ")
        try:
            for kind in ("modules", "optimizers"):
                for name, value in getattr(self.task, kind).items():
                    value.load_state_dict(state[kind][name])
            self.task.load_state(state["task"])
            self.progress = Progress(**state["progress"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise self.cannot_continue("was written by another version") from error
        if not self.finished:
            self.say(f"{self.name}: continues after {self.progress.images} images")

    def cannot_continue(self, reason: str) -> StyleRigError:
        return StyleRigError(f"The checkpoint {self.checkpoint_path} {reason}.", "Choose another output folder.", code="other_training")


def expected_seconds(stage: Stage, pace: float) -> float:
    """How long a stage will take, where an image of cost 1 takes ``pace`` seconds."""
    limits = (60 * stage.minutes, stage.images * pace * stage.cost, stage.steps * stage.batch * pace * stage.cost)
    return min((limit for limit in limits if limit > 0), default=0.0)


def figures_text(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
