"""What the trainings of all looks have in common: networks that learn in turns, files, samples, and the page at the end."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.device_rng import DeviceRng
from models.generators.cpu import usable_precision
from models.io.images import image_grid, save_image
from models.training.core.distributed import World
from models.training.core.report import table, write_report
from models.training.core.trainer import Progress, Task, Trainer
from models.training.translation.config import LookPlan, Stage
from models.translation import Look, make_look, save_look
from models.translation.config import LookConfig
from models.translation.losses import Parts

COLUMNS = 8  # images on a row of a sheet
LOOK = "look.safetensors"
# Settings that there were not at first: trainings without them go on.
LATER = ("whole", "crop", "warm_up_steps", "paired_weight", "momentum")
LATER_OF_NETWORKS = ("conditional", "residual")


class NoNumber(Exception):
    """Some of ``losses`` are no numbers."""

    def __init__(self, losses: dict[str, float]):
        super().__init__()
        self.losses = losses


class LookTask(Task):
    """A look of ``plan``, taught from the images in the folders ``data``; its files and samples are written to ``output``.

    Unlike other tasks its networks learn one after the other within a step, each from what the one before has become, as
    the published code does: see ``descend``. Raises StyleRigError for data that do not fit the plan.
    """

    plan: LookPlan
    sheet_text: str  # what the rows of a sheet are

    def __init__(self, data: Sequence[Path], plan: LookPlan, output: Path, world: World):
        self.plan, self.data, self.output, self.world, self.stage = plan, data, output, world, plan.stages[0]
        self.figures: dict[str, float] = {}
        self.latest: dict[str, float] = {}  # losses: some are of every few steps only
        self.open_data()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.modules = {name: module.to(world.device) for name, module in self.create_networks().items()}
        self.optimizers = self.create_optimizers()
        self.precision, self.notice = usable_precision(plan.precision, world.device)

    @abstractmethod
    def open_data(self) -> None:
        """Read the images."""

    @abstractmethod
    def create_networks(self) -> dict[str, nn.Module]:
        """The networks by name, with their first weights."""

    @abstractmethod
    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers by name."""

    @property
    @abstractmethod
    def epoch(self) -> int:
        """How many images are one epoch."""

    @abstractmethod
    def learn(self, batch: Any, rng: DeviceRng) -> dict[str, float]:
        """Let each network take a step; the losses by name."""

    @abstractmethod
    def looks(self) -> dict[str, Look]:
        """Name of a file -> the look in it."""

    @abstractmethod
    def show(self) -> tuple[list[Tensor], dict[str, float]]:
        """Rows of a sheet, each (N, 3, R, R) in [-1, 1] with the same N, and figures on held-out images."""

    def begin_stage(self, stage: Stage) -> None:
        super().begin_stage(stage)
        self.stage = stage

    def start(self, progress: Progress) -> tuple[int, int]:
        """Which images this process takes next: the number of the first, and how many."""
        count = self.world.share(self.stage.batch)
        return progress.images + self.world.rank * count, count

    def step(self, batch: Any, rng: DeviceRng) -> Mapping[str, Tensor | float]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.randint(0, 2**31 - 1, 1)))  # what dropout draws belongs to the step
            try:
                # Without a cache: networks learn several times within a step.
                with torch.autocast(self.world.device.type, torch.bfloat16, self.precision == "bf16", cache_enabled=False):
                    self.latest |= self.learn(batch, rng)
            except NoNumber as stop:
                return stop.losses
        return dict(self.latest)

    def descend(self, who: str, parts: Parts, *optimizers: str) -> dict[str, float]:
        """Take a step of the ``optimizers`` down the sum of ``parts``; returns these by name, behind ``who``.

        Where a part is no number none is taken, here and later in ``learn``, and the training ends.
        """
        torch.stack(list(parts.values())).sum().backward()
        chosen = [self.optimizers[name] for name in optimizers]
        self.world.average_gradients(value for optimizer in chosen for group in optimizer.param_groups for value in group["params"])
        losses = {f"{who}_{name}": float(part.detach()) for name, part in parts.items()}
        if self.world.reduce_max([not all(map(math.isfinite, losses.values()))])[0]:
            raise NoNumber(losses)
        for optimizer in chosen:
            optimizer.step()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        return losses

    def look_of(self, config: LookConfig, network: nn.Module) -> Look:
        """A copy of a network as a look."""
        return make_look(config, copy.deepcopy(network))

    def write_samples(self, progress: Progress) -> dict[str, float]:
        """The looks' files, and a sheet of held-out images."""
        for name, look in self.looks().items():
            save_look(look, self.output / name, self.metadata(progress))
        rows, self.figures = self.show()
        sheet = image_grid(torch.cat([row.cpu() for row in rows]) * 0.5 + 0.5, len(rows[0]))
        save_image(self.output / "samples" / f"{progress.images:08d}.jpg", sheet)
        return self.figures

    def metadata(self, progress: Progress) -> dict[str, Any]:
        """What stands in the header of a look's file."""
        return {
            "source": "train look",
            "kind": f"{self.title}, trained here",
            "licence": "That of the pictures it was trained on.",
            "data": [folder.name for folder in self.data],
            "size": self.plan.size,
            "images": progress.images,
            "steps": progress.steps,
        }

    @property
    def title(self) -> str:
        """What is trained."""
        return type(self).__name__.removesuffix("Task")

    def summary(self, progress: Progress) -> dict[str, Any]:
        """What is worth knowing of the training."""
        return {
            "images seen": progress.images,
            "steps": progress.steps,
            "an epoch": f"{self.epoch} images",
            "size": f"{self.plan.size} px",
            "minutes": round(progress.seconds / 60, 1),
            **{name.replace("_", " "): round(value, 4) for name, value in self.figures.items()},
            "device": self.world.device.type,
            "precision": self.precision,
            "schedule": "; ".join(stage.schedule for stage in self.plan.stages),
        }


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within: these do not learn, but what comes before them does."""
    for module in modules:
        module.requires_grad_(False)
    try:
        yield
    finally:
        for module in modules:
            module.requires_grad_(True)


def open_look_training(task: LookTask, say: Callable[[str], None] = print) -> Trainer:
    """A training in the task's folder, continued if that holds a checkpoint; stages may have changed since."""
    plan, world = task.plan, task.world
    new = {name for name in LATER if not getattr(plan, name, False)}
    passing = {"stages", "precision", "checkpoint_minutes", "sample_minutes"} | new
    key = {"kind": task.title, **plan.model_dump(mode="json", exclude=passing)}
    of_network = key["generator"]
    for name in [name for name in LATER_OF_NETWORKS if not of_network.get(name, True)]:
        del of_network[name]
    if of_network["kind"].startswith("stargan") and of_network["norm"] == "instance":
        del of_network["norm"]
    stages = [stage.counted(task.epoch) for stage in plan.stages]
    if task.notice and world.is_main:
        say(task.notice)
    return Trainer(task.title, task, plan, stages, task.output, key, world, say if world.is_main else lambda line: None)


def train_look(trainer: Trainer) -> Path:
    """Train to the end and write ``results.md``; raises Stopped when the process is asked to stop."""
    trainer.run()
    task = cast(LookTask, trainer.task)
    page = task.output / "results.md"
    if task.world.is_main:
        sheets = [f"![{int(path.stem)} images](samples/{path.name})" for path in sorted((task.output / "samples").glob("*.jpg"))]
        text = [
            *table(("", ""), task.summary(trainer.progress).items()),
            "",
            f"{task.sheet_text} The last sheet first.",
            "",
            *reversed(sheets),
        ]
        write_report(page, f"{task.title} training", text, {"look": trainer.log})
        trainer.say(f"Wrote {', '.join(str(task.output / name) for name in task.looks())}, see {page}")
    return page
