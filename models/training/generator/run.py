"""Teaching a generator by pairs of latents and pictures, then finishing it adversarially.

This is the loop: stages, clocks, sheets, checkpoints. What a step does stands in ``steps.py``.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from models.data.image_set import PictureSet
from models.errors import StyleRigError
from models.generators import save_generator
from models.generators.bias_act import gathered_passes, modulate_forward
from models.io.atomic_write import write_atomic
from models.perception.face_regressor import Estimator
from models.training.core.checkpoint import StopRequest, keep_memory, load_checkpoint, remove_leftovers, save_checkpoint
from models.training.core.distributed import World
from models.training.generator.config import Stage, TrainingConfig
from models.training.generator.networks import Networks
from models.training.generator.report import COLUMNS, Log, encode, results_page, sample_sheet
from models.training.generator.steps import Teacher

COUNTERS = ("stage_number", "stage_images", "stage_seconds", "images", "steps", "seconds")
VALIDATED = 64  # held-out pictures that each sheet is measured on
TELL_SECONDS = 10


class GeneratorTraining:
    """A training in the folder ``output``, continued if that holds a checkpoint.

    Leaves there: ``generator.safetensors`` (the running average, fresh at every sheet),
    ``checkpoint.pt``, ``log.jsonl``, ``sheet.png``, ``sheets/`` and ``results.html``. Under torchrun
    only the first process writes. ``reader`` is what stages with a ``reading_weight`` read faces with.
    Raises StyleRigError for data, a plan or a checkpoint that do not fit.
    """

    def __init__(
        self,
        data: str | Path,
        config: TrainingConfig,
        output: str | Path,
        say: Callable[[str], None] = print,
        world: World | None = None,
        reader: Estimator | None = None,
    ):
        config.check()
        check_reader(config, reader)
        self.config, self.output = config, Path(output)
        self.world = world or World("cpu")
        self.say = say if self.world.leads else lambda line: None
        self.data = PictureSet(data, config.generator.resolution, ("latent", "landmarks"), progress=self.world.leads)
        self.check_data()
        self.log = Log(self.output / "log.jsonl")
        self.networks = Networks(config, self.data.latent_dim, self.world.device)
        if self.networks.notice:
            self.say(self.networks.notice)
        reader = reader.to(self.world.device) if reader else None
        self.teacher = Teacher(self.networks, self.data, self.world, config.seed, reader)
        self.stage_number = self.stage_images = self.images = self.steps = 0
        self.stage_seconds = self.seconds = 0.0
        self.validation: dict[str, float] = {}
        if self.world.leads:
            remove_leftovers(self.output)
        if self.checkpoint_path.is_file():
            self.restore(load_checkpoint(self.checkpoint_path))

    @property
    def checkpoint_path(self) -> Path:
        return self.output / "checkpoint.pt"

    def check_data(self) -> None:
        z_dim = self.config.generator.z_dim
        if self.data.latent_dim > z_dim:
            raise training_error(f"the scenes have {self.data.latent_dim} latents, more than z ({z_dim})")
        if self.data.source.shows_whole_heads and (
            self.config.generator.meanings or any(stage.kind == "pairs" or stage.free < 1 for stage in self.config.stages)
        ):
            raise training_error(
                "the latents of this set say who somebody is, not how the picture was taken, so that no pairs can be taught",
                "Use a plan with meanings = 0 and adversarial stages with free = 1 only, as models/training/generator/free.toml.",
            )
        for number, stage in enumerate(self.config.stages, 1):
            if not self.data.paired and (stage.kind == "pairs" or stage.free < 1):
                raise training_error(
                    f"stage {number} teaches pairs, but the pictures have no latents",
                    "Use a set rendered by models.synthetic, or a plan with adversarial stages and free = 1.",
                )
            if stage.batch % self.world.size:
                raise training_error(f"stage {number} has a batch of {stage.batch} for {self.world.size} processes")

    # The loop

    def run(self) -> bool:
        """Train until the last stage is done (True) or a stop is asked for (False)."""
        keep_memory()
        self.told = self.saved = self.shown = self.scanned = time.monotonic()
        with StopRequest() as stop, gathered_passes(self.config.compile and self.can_compile()):
            while self.stage_number < len(self.config.stages):
                if not self.run_stage(self.config.stages[self.stage_number], stop):
                    self.checkpoint()
                    self.say("Stopped; the same command continues.")
                    return False
                self.stage_number += 1
                self.stage_images, self.stage_seconds = 0, 0.0
        self.finish()
        return True

    def can_compile(self) -> bool:
        """Whether torch.compile works here: it needs a C++ compiler or Triton, and a folder that can be written."""
        try:
            torch.compile(modulate_forward, dynamic=False)(*torch.ones(2, 4, 4, 4, device=self.world.device))
        except Exception as error:  # each of these fails in its own way
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            self.say(f"torch.compile does not work here: {reason}. The training is slower without it.")
            return False
        return True

    def run_stage(self, stage: Stage, stop: StopRequest) -> bool:
        for optimizer in (self.networks.generator_optimizer, self.networks.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["betas"] = (stage.beta1, 0.99)
        while (progress := self.progress(stage)) < 1.0:
            begun = time.monotonic()
            self.set_rates(stage, progress)
            values = self.teacher.step(stage, self.images, self.stage_images, self.steps)
            values = dict(zip(values, self.world.mean(values.values()), strict=True))
            self.check_values(stage, values)
            self.teacher.adapt(stage, values)
            self.networks.update_average(self.images, stage.batch, self.config.ema_images)
            self.steps += 1
            self.images += stage.batch
            self.stage_images += stage.batch
            spent, stopping = self.world.largest([time.monotonic() - begun, stop.asked])
            self.seconds += spent
            self.stage_seconds += spent
            if self.world.leads:
                self.habits(stage, values)
            self.look_for_pictures()
            if stopping:
                return False
        return True

    def progress(self, stage: Stage) -> float:
        parts = [0.0]
        if stage.minutes > 0:
            parts.append(self.stage_seconds / (stage.minutes * 60))
        if stage.images > 0:
            parts.append(self.stage_images / stage.images)
        return max(parts)

    def set_rates(self, stage: Stage, progress: float) -> None:
        """A short linear rise, then half a cosine down to ``final_rate``."""
        rise = min(1.0, (self.stage_images + stage.batch) / max(stage.warmup_images, 1))
        fall = stage.final_rate + (1 - stage.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
        for optimizer, rate in (
            (self.networks.generator_optimizer, stage.learning_rate),
            (self.networks.discriminator_optimizer, stage.discriminator_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * rise * fall * group.get("share", 1.0)

    def check_values(self, stage: Stage, values: dict[str, float]) -> None:
        """Stop before anything is written from networks that are lost."""
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise training_error(
                f"the loss {', '.join(broken)} is no longer a number after {self.images} pictures, in stage "
                f"{self.stage_number + 1} ({stage.kind} {stage.resolution})",
                self.advice(),
            )

    def advice(self) -> str:
        kept = f"{self.checkpoint_path} is kept" if self.checkpoint_path.is_file() else "There is no checkpoint yet"
        return f"{kept}: lower the learning rate of this stage and run the same command again."

    # Habits: progress, sheets, checkpoints, new data

    def habits(self, stage: Stage, values: dict[str, float]) -> None:
        now, config = time.monotonic(), self.config
        if now - self.told > TELL_SECONDS or self.stage_images == stage.batch:
            self.told = now
            self.tell(stage, values)
        if now - self.shown > config.sheet_minutes * 60:
            self.show(stage.resolution)
            self.shown = time.monotonic()
        if now - self.saved > config.checkpoint_minutes * 60:
            self.checkpoint()
            self.saved = time.monotonic()

    def look_for_pictures(self) -> None:
        now = time.monotonic()
        if now - self.scanned > self.config.rescan_minutes * 60:
            self.scanned = now
            taken, problems = self.data.rescan()
            for path, reason in problems[:1]:
                self.say(f"New pictures wait, because {len(problems)} of them cannot be used: {path}: {reason}")
            if taken:
                self.say(f"{taken} new pictures.")

    def tell(self, stage: Stage, values: dict[str, float]) -> None:
        left = self.seconds_left(stage)
        rate = self.stage_images / max(self.stage_seconds, 1e-6)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.say(
            f"stage {self.stage_number + 1}/{len(self.config.stages)} {stage.kind} {stage.resolution}  "
            f"{self.images} pictures (of {len(self.data)})  {rate:.1f}/s  {numbers}  {left / 60:.1f} min left"
        )
        self.log.write(
            stage=self.stage_number,
            images=self.images,
            seconds=round(self.seconds, 1),
            data=len(self.data),
            rate=round(rate, 2),
            losses=values,
        )

    def seconds_left(self, stage: Stage) -> float:
        """By the clock where a stage has one, else by the pace of this one, as if steps cost like pixels."""
        progress = self.progress(stage)
        here = self.stage_seconds * (1 / progress - 1) if progress > 0 else stage.minutes * 60
        pace = self.stage_seconds / max(self.stage_images, 1) / stage.resolution
        for later in self.config.stages[self.stage_number + 1 :]:
            by_pictures = later.images * pace * later.resolution
            limits = [limit for limit in (later.minutes * 60, by_pictures) if limit > 0]
            here += min(limits, default=0.0)
        return here

    @torch.no_grad()
    def show(self, resolution: int) -> None:
        """A sheet, the likeness to held-out pictures, and the generator file as it now stands."""
        self.check_weights()
        self.networks.refresh_w_avg()
        rows = self.data.rows(held_out=True)[:VALIDATED]
        target, latents = (part.to(self.world.device) for part in self.data.batch(rows, resolution))
        z = self.teacher.complete(latents, torch.Generator().manual_seed(99)) if self.data.paired else None
        if z is not None:
            self.validate(target, z, resolution)
        sheet = sample_sheet(self.networks.average, target[:COLUMNS], None if z is None else z[:COLUMNS], resolution)
        write_atomic(self.output / "sheets" / f"{self.images:08d}.jpg", encode(sheet, "JPEG"))
        write_atomic(self.output / "sheet.png", encode(sheet))
        self.export()

    def validate(self, target: Tensor, z: Tensor, resolution: int) -> None:
        """Mean absolute error of colour and matte, 0..1, of the average on held-out pictures."""
        average = self.networks.average
        raw = torch.cat([average.synthesis.raw(average.mapping(part), "const", resolution) for part in z.split(16)])
        error = (raw.clamp(-1, 1) - target).abs().mean(dim=(0, 2, 3)) / 2
        self.validation = {"held_out_colour": error[:3].mean().item(), "held_out_matte": error[3].item()}
        self.log.write(images=self.images, losses=self.validation)
        self.say("  ".join(f"{name} {value:.4f}" for name, value in self.validation.items()))

    def check_weights(self) -> None:
        if not self.networks.are_finite():
            raise training_error(f"the weights are no longer numbers after {self.images} pictures", self.advice())

    def facts(self) -> dict[str, object]:
        return {
            "pictures seen": self.images,
            "training pictures": len(self.data.rows(held_out=False)),
            "minutes": round(self.seconds / 60, 1),
            **{f"{name} (mean error, 0 to 1)": round(value, 5) for name, value in self.validation.items()},
            "precision": self.networks.generator.precision,
            "device": self.world.device.type,
            "processes": self.world.size,
            "weights": sum(p.numel() for p in self.networks.generator.parameters()),
            "stages": "; ".join(f"{s.kind} {s.resolution}" for s in self.config.stages),
        }

    def export(self) -> None:
        metadata = {"scene_latents": self.data.latent_dim, **self.facts()}
        save_generator(self.networks.average, self.output / "generator.safetensors", metadata)

    def finish(self) -> None:
        self.stage_number = len(self.config.stages)
        if not self.world.leads:
            return
        self.show(self.config.generator.resolution)
        self.checkpoint()
        page = results_page(self.output, "Generator training", self.facts(), self.log)
        self.say(f"Done: {self.output / 'generator.safetensors'}, see {page}")

    def checkpoint(self) -> None:
        if not self.world.leads:
            return
        self.check_weights()
        save_checkpoint(
            self.checkpoint_path,
            {
                "config": self.shape(),
                "networks": self.networks.state(),
                "teacher": self.teacher.state(),
                "counters": {name: getattr(self, name) for name in COUNTERS},
            },
        )

    def shape(self) -> dict[str, object]:
        """What a checkpoint must agree in; stages may be changed between two runs."""
        return {
            "generator": dataclasses.asdict(self.config.generator),
            "discriminator": self.config.discriminator,
            "discriminator_channels": dict(self.config.discriminator_channels),
            "latents": self.data.latent_dim,
        }

    def restore(self, state: dict) -> None:
        if state.get("config") != self.shape():
            raise training_error(f"{self.checkpoint_path} belongs to another generator", "Choose another output folder.")
        try:
            self.networks.load(state["networks"])
            self.teacher.load(state["teacher"])
            for name in COUNTERS:
                setattr(self, name, state["counters"][name])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise training_error(f"{self.checkpoint_path} was written by another version", "Choose another output folder.") from error
        if self.world.leads:
            self.log.forget_after(self.images)
        self.say(f"Continuing after {self.images} pictures.")


def check_reader(config: TrainingConfig, reader: Estimator | None) -> None:
    if reader is None and any(stage.reading_weight > 0 for stage in config.stages):
        raise training_error(
            "its plan compares what can be read from faces (reading_weight), and nothing reads them",
            "Give a reader: the landmark network of a rig training (landmarks.safetensors).",
        )
    if reader is not None and reader.header.get("half") == "evaluation":
        raise training_error(
            "the reader is the network that judges rigs, which takes no part in any training",
            "Give the landmark network of a rig training instead (landmarks.safetensors).",
        )


def training_error(reason: str, hint: str = "Choose other data or correct the plan.") -> StyleRigError:
    return StyleRigError(f"The training cannot go on: {reason}.", hint, code="training")
