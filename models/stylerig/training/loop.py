"""A training loop that is bounded in time, can be continued, and stops at the first value that is no number."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from models.errors import StyleRigError
from models.files import write_atomic
from models.stylerig.training.config import Stage

SAVE_SECONDS = 30
REPORT_SECONDS = 10
WARM_UP = 100  # steps
LARGEST_GRADIENT = 1.0
Report = Callable[[str], None]


class Loop:
    """Trains ``module`` by a step function for one stage.

    ``folder`` receives ``NAME.state`` (weights, optimiser, step and time spent) and ``NAME.jsonl``
    (a line every few seconds). ``key`` says what the state depends on: a state with another key is
    not continued. Step n draws from a generator seeded by (seed, n), so that a run that was
    stopped draws what it would have drawn.
    """

    def __init__(self, name: str, folder: Path, module: nn.Module, stage: Stage, seed: int, key: str, report: Report):
        self.name, self.folder, self.module, self.stage = name, folder, module, stage
        self.seed, self.key, self.report = seed, key, report
        self.parameters = [value for value in module.parameters() if value.requires_grad]
        self.optimizer = make_optimizer(self.parameters, stage)
        self.step, self.spent, self.done = 0, 0.0, False
        self.path, self.log = folder / f"{name}.state", folder / f"{name}.jsonl"
        self.read()
        if self.step == 0:
            write_atomic(self.log, b"")  # also shows now, not after the first minutes, whether one may write here

    def read(self) -> None:
        """Continue from the state in the folder, if there is one with the same key."""
        if not self.path.is_file():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        if state["key"] != self.key:
            self.report(f"{self.name}: starts again, because its settings or its inputs have changed")
            return
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent, self.done = state["step"], state["spent"], state["done"]

    def write(self) -> None:
        state = {
            "key": self.key,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
            "done": self.done,
        }
        write_atomic(self.path, lambda path: torch.save(state, path))

    @property
    def fraction(self) -> float:
        """How much of the stage is behind, 0–1."""
        return min(1.0, max(self.step / self.stage.steps, self.spent / (60 * self.stage.minutes + 1e-9)))

    def run(self, step: Callable[[int, torch.Generator], dict[str, Tensor]]) -> None:
        """Call ``step(n, random)`` for terms whose sum is minimised, until time or steps are used up."""
        if self.done:
            self.report(f"{self.name}: was finished before")
            return
        last = reported = saved = time.monotonic()
        while self.fraction < 1:
            random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
            terms = step(self.step, random)
            self.update(terms)
            self.step += 1
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if now - reported > REPORT_SECONDS or self.step == 1:
                self.progress(terms)
                reported = now
            if now - saved > SAVE_SECONDS:
                self.write()
                saved = now
        self.done = True
        self.write()
        self.report(f"{self.name}: done, {self.step} steps in {self.spent / 60:.1f} min")

    def update(self, terms: dict[str, Tensor]) -> None:
        """One step of the optimiser; values that are no numbers end the run with the state before them."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate * schedule(self.step, self.fraction, self.stage.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(terms.values())
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, LARGEST_GRADIENT)
        if not math.isfinite(float(total.detach()) + float(norm)):
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
        values = {name: float(term.detach()) for name, term in terms.items()}
        left = 60 * self.stage.minutes - self.spent
        if self.fraction > 0:
            left = min(left, self.spent * (1 - self.fraction) / self.fraction)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        clock = f"{int(left) // 60}:{int(left) % 60:02d} left"
        self.report(f"{self.name}: {100 * self.fraction:3.0f} %  {clock}  step {self.step}  {shown}")
        line = json.dumps({"stage": self.name, "step": self.step, "seconds": round(self.spent, 2), **values})
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(line + "\n")


def make_optimizer(parameters: list[nn.Parameter], stage: Stage) -> torch.optim.Optimizer:
    """Adam, or AdaDelta as published."""
    if stage.optimizer == "adadelta":
        return torch.optim.Adadelta(parameters, lr=stage.rate)
    if stage.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=stage.rate, betas=(0.9, 0.98))
    raise StyleRigError(
        f"There is no optimiser called {stage.optimizer!r}.", 'Use "adam" or "adadelta".', code="bad_config"
    )


def schedule(step: int, fraction: float, optimizer: str) -> float:
    """Factor of the learning rate: short warm-up, then a cosine to zero; AdaDelta stays as it is."""
    if optimizer == "adadelta":
        return 1.0
    return min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * fraction))
