"""A training loop that can be continued, runs in several processes, and stops at the first value that is no number."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.training.core.checkpoint import load_checkpoint, save_checkpoint
from models.training.core.distributed import World
from models.training.core.random import Draws
from models.training.rig.config import Stage

SAVE_SECONDS = 30
REPORT_SECONDS = 10
WARM_UP = 100  # steps
LARGEST_GRADIENT = 1.0
Report = Callable[[str], None]


class Loop:
    """Trains ``module`` by a step function for one stage.

    ``folder`` receives ``NAME.state`` (weights, optimiser, step and time spent) and ``NAME.jsonl``
    (a line every few seconds). ``key`` says what the state depends on: a state with another key is
    not continued. Step n draws from a generator seeded by (seed, n, process), so that a run that was
    stopped draws what it would have drawn. A stage that ends by steps (``minutes`` 0) then has the
    same result as one that ran through (on a GPU up to rounding, because sums are taken there in any
    order); the rate of one that ends by minutes follows the clock. A state goes on on any device.

    In several processes each draws its own share of the batch, and the gradients are averaged.
    """

    def __init__(
        self, name: str, folder: Path, module: nn.Module, stage: Stage, seed: int, key: str, report: Report, world: World | None = None
    ):
        self.name, self.folder, self.module, self.stage = name, folder, module, stage
        self.seed, self.key, self.report, self.world = seed, key, report, world or World("cpu")
        self.parameters = [value for value in module.parameters() if value.requires_grad]
        self.optimizer = make_optimizer(self.parameters, stage)
        self.step, self.spent, self.done = 0, 0.0, False
        self.path, self.log = folder / f"{name}.state", folder / f"{name}.jsonl"
        self.read()
        if self.world.leads:
            # Also shows now, not after the first minutes, whether one may write here.
            write_atomic(self.log, "".join(self.lines_before(self.step)).encode())
        wait_for_all(self.world)

    def read(self) -> None:
        """Continue from the state in the folder, if there is one with the same key."""
        if not self.path.is_file():
            return
        state = load_checkpoint(self.path)
        if state.get("key") != self.key:
            self.report(f"{self.name}: starts again, because its settings or its inputs have changed")
            return
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent, self.done = state["step"], state["spent"], state["done"]

    def lines_before(self, step: int) -> list[str]:
        """The log up to a step: what was written after the state that is continued is written again."""
        if step == 0 or not self.log.is_file():
            return []
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line + "\n" for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]

    def write(self) -> None:
        if not self.world.leads:
            return
        state = {
            "key": self.key,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
            "done": self.done,
        }
        save_checkpoint(self.path, state)

    @property
    def fraction(self) -> float:
        """How much of the stage is behind, 0–1."""
        by_steps = self.step / self.stage.steps if self.stage.steps else 0.0
        by_time = self.spent / (60 * self.stage.minutes) if self.stage.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def run(self, step: Callable[[int, Draws], dict[str, Tensor]]) -> None:
        """Call ``step(n, random)`` for terms whose sum is minimised, until steps or time are used up."""
        if self.done:
            self.report(f"{self.name}: was finished before")
            return
        last = reported = saved = time.monotonic()
        while self.fraction < 1:
            random = Draws((self.seed * 1_000_003 + self.step) * 64 + self.world.rank, self.world.device)
            terms = step(self.step, random)
            self.update(terms)
            self.step += 1
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if self.stage.minutes:  # all processes shall end at the same step
                self.spent = self.world.largest([self.spent])[0]
            if now - reported > REPORT_SECONDS or self.step == 1:
                self.progress(terms)
                reported = now
            if now - saved > SAVE_SECONDS:
                self.write()
                saved = now
        self.done = True
        self.write()
        wait_for_all(self.world)
        self.report(f"{self.name}: done, {self.step} steps in {self.spent / 60:.1f} min")

    def update(self, terms: dict[str, Tensor]) -> None:
        """One step of the optimiser; values that are no numbers end the run with the state before them."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate * schedule(self.step, self.fraction, self.stage.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(terms.values())
        total.backward()
        self.world.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, LARGEST_GRADIENT)
        good = math.isfinite(float(total.detach()) + float(norm))
        if not all_good(good, self.world):
            self.write()
            wrong = [name for name, term in terms.items() if not torch.isfinite(term).all()] or ["the gradient"]
            raise StyleRigError(
                f"Training {self.name} met values that are no numbers in {', '.join(wrong)} at step {self.step}.",
                f"The last good state is {self.path}; lower the rate of this stage and run the command again.",
                code="diverged",
            )
        self.optimizer.step()

    def progress(self, terms: dict[str, Tensor]) -> None:
        """A line for the person and one for the log."""
        if not self.world.leads:
            return
        values = {name: float(term.detach()) for name, term in terms.items()}
        left = self.spent * (1 - self.fraction) / self.fraction if self.fraction > 0 else 0.0
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        clock = f"{int(left) // 60}:{int(left) % 60:02d} left"
        self.report(f"{self.name}: {100 * self.fraction:3.0f} %  {clock}  step {self.step}  {shown}")
        line = json.dumps({"stage": self.name, "step": self.step, "seconds": round(self.spent, 2), **values})
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(line + "\n")


def mixed(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Within: networks compute in bfloat16 where ``precision`` is "bf16"."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def wait_for_all(world: World) -> None:
    """Return when every process has come this far."""
    world.largest([0.0])


def all_good(good: bool, world: World) -> bool:
    """Whether no process met a value that is no number."""
    return world.largest([0.0 if good else 1.0])[0] == 0.0


def make_optimizer(parameters: list[nn.Parameter], stage: Stage) -> torch.optim.Optimizer:
    """Adam, or AdaDelta as published."""
    if stage.optimizer == "adadelta":
        return torch.optim.Adadelta(parameters, lr=stage.rate)
    if stage.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=stage.rate, betas=(0.9, 0.98))
    raise StyleRigError(f"There is no optimiser called {stage.optimizer!r}.", 'Use "adam" or "adadelta".', code="bad_config")


def schedule(step: int, fraction: float, optimizer: str) -> float:
    """Factor of the learning rate: short warm-up, then a cosine to zero; AdaDelta stays as it is."""
    if optimizer == "adadelta":
        return 1.0
    return min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * fraction))
