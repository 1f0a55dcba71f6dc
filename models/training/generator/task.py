"""A generator learns pairs of latents and images, and then to look real to a discriminator, with the pairs kept.

The studio's latents determine an image completely, so the generator's z is [the scene's numbers, free noise].
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.data.image_set import ImageSet, InfiniteShuffle
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.generators import save_generator
from models.generators.bias_act import gathered_passes, modulate_forward, plain_passes
from models.io.atomic_write import write_atomic
from models.io.images import encode_image, save_image
from models.perception.face_regressor import Estimator
from models.training.core.distributed import World
from models.training.core.report import table, write_report
from models.training.core.trainer import Progress, Task, Trainer
from models.training.generator import losses
from models.training.generator.augment import Adaptive, draw
from models.training.generator.config import GeneratorPlan, Stage
from models.training.generator.gan_step import discriminator_step, focus_weights, within_matte
from models.training.generator.networks import Networks, update_ema
from models.training.generator.perceptual import perceptual_loss
from models.training.generator.samples import COLUMNS, SHEET_TEXT, held_out_figures, sample_sheet
from models.training.generator.texture import texture_loss

PATH_SHRINK = 2  # path lengths are measured on half of a batch
PATH_DECAY = 0.01  # of the running mean of path lengths
MAX_VALIDATED = 64  # held-out images


@dataclass(eq=False)
class Batch:
    """Images and what their losses weigh."""

    real: Tensor  # (N, 4, R, R) in [-1, 1]
    latents: Tensor  # (N, S)
    focus: Tensor  # (N, 1, R, R): what each place weighs, mean 1
    near: Tensor | None  # how much of that is for eyes, brows and mouth
    ramp: float  # 0–1: the discriminator starts from nothing, its word gains weight slowly
    regularise_r1: bool
    regularise_path: bool


class GeneratorTask(Task[Stage]):
    """The generator of ``plan``, taught from the images in the folder ``data``.

    Samples and ``generator.safetensors``, the running average of the weights, are written to ``output``.
    ``regressor`` is the face regressor of stages with a ``perceptual_weight``.
    Raises StyleRigError for data that do not fit the plan.
    """

    def __init__(
        self, data: str | Path, plan: GeneratorPlan, output: Path, world: World, say: Callable[[str], None], regressor: Estimator | None
    ):
        check_regressor(plan, regressor)
        self.plan, self.output, self.world, self.say = plan, output, world, say
        self.data = ImageSet(data, plan.generator.resolution, ("latent", "landmarks"), progress=world.is_main)
        check_data(self.data, plan)
        self.networks = Networks(plan, self.data.latent_dim, world.device)
        if self.networks.notice:
            say(self.networks.notice)
        self.regressor = regressor.to(world.device) if regressor else None
        nets = self.networks
        self.modules = {"generator": nets.generator, "average": nets.average, "discriminator": nets.discriminator}
        self.optimizers = {"generator": nets.generator_optimizer, "discriminator": nets.discriminator_optimizer}
        self.shuffle, self.adaptive, self.path_mean = InfiniteShuffle(plan.seed), Adaptive(), 0.0
        self.middles: dict[tuple[int, float], Tensor] = {}  # what the focus begins with
        self.figures: dict[str, float] = {}
        self.scanned = time.monotonic()

    def begin_stage(self, stage: Stage) -> None:
        self.stage = stage
        self.networks.set_learning_rates(self.plan, stage)

    # A step

    def batch(self, progress: Progress, rng: DeviceRng) -> Batch:
        stage, rows = self.stage, self.data.rows(held_out=False)
        count = self.world.share(stage.batch)
        rows = rows[self.shuffle.take(progress.images + self.world.rank * count, count, len(rows))]
        real, latents = (part.to(self.world.device) for part in self.data.batch(rows, stage.resolution))
        landmarks = self.data.landmarks(rows) if stage.feature_focus > 0 else None
        adversarial = stage.kind == "adversarial"
        return Batch(
            real, latents, *self.focus(landmarks, count),
            ramp=min(1.0, progress.stage_images / max(stage.adversarial_ramp, 1)),
            regularise_r1=adversarial and progress.steps % stage.r1_interval == 0,
            regularise_path=adversarial and stage.path_weight > 0 and progress.steps % stage.path_interval == 0,
        )  # fmt: skip

    def focus(self, landmarks: Tensor | None, count: int) -> tuple[Tensor, Tensor | None]:
        """The weights of ``Batch``."""
        key = (self.stage.resolution, self.stage.focus)
        if key not in self.middles:
            self.middles[key] = losses.focus_map(*key).to(self.world.device)
        if landmarks is None:
            return self.middles[key].expand(count, -1, -1, -1), None
        return focus_weights(self.middles[key], landmarks.to(self.world.device), self.stage.resolution, self.stage.feature_focus)

    def step(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        return self.pair_step(batch, rng) if self.stage.kind == "pairs" else self.adversarial_step(batch, rng)

    def pair_step(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        generator = self.networks.generator
        w = generator.mapping(self.complete(batch.latents, rng))
        loss, values = self.pair_loss(generator.synthesis.raw(w, "const", self.stage.resolution), batch, rng)
        loss.backward()
        return values

    def pair_loss(self, images: Tensor, batch: Batch, rng: DeviceRng) -> tuple[Tensor, dict[str, float]]:
        """Difference of images (M, 4, R, R) to the first of ``batch``, and its parts."""
        stage, count = self.stage, len(images)
        real, focus = batch.real[:count], batch.focus[:count]
        near = None if batch.near is None else batch.near[:count]
        loss = losses.pair_loss(images, real, focus, stage.gradient_weight, stage.pair_skip, near)
        values = {"pair": loss.item()}
        if stage.texture_weight > 0:
            texture = texture_loss(images, real)
            values["texture"] = texture.item()
            loss = loss + stage.texture_weight * texture
        if stage.perceptual_weight > 0 and self.regressor is not None:
            perceptual = perceptual_loss(self.regressor, images, real, rng.generator)
            values["perceptual"] = perceptual.item()
            loss = loss + stage.perceptual_weight * perceptual
        return loss, values

    def complete(self, latents: Tensor, rng: DeviceRng) -> Tensor:
        """Latents (N, S) and new noise: z (N, z_dim)."""
        return torch.cat((latents, rng.randn(len(latents), self.networks.generator.z_dim - latents.shape[1])), dim=1)

    def random_w(self, count: int, rng: DeviceRng) -> Tensor:
        """w+ (count, num_ws, w_dim) of random z, part of them with styles mixed at a random layer."""
        generator = self.networks.generator
        first, second = (rng.randn(count, generator.z_dim) for _ in range(2))
        first, second = generator.mapping(first), generator.mapping(second)
        layers = torch.arange(generator.num_ws, device=first.device)[None]
        cut = rng.randint(1, generator.num_ws, count, 1)
        mixed = rng.rand(count, 1) < self.stage.mixing
        return torch.where(((layers >= cut) & mixed)[..., None], second, first)

    def adversarial_step(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        """Gradients of both networks: pairs of the first images, random z for the others."""
        stage, generator, count = self.stage, self.networks.generator, len(batch.real)
        pairs = count - round(count * stage.free)
        w = [generator.mapping(self.complete(batch.latents[:pairs], rng))] if pairs else []
        if pairs < count:
            w.append(self.random_w(count - pairs, rng))
        fake = within_matte(generator.synthesis.raw(torch.cat(w), "const", stage.resolution))
        augment = draw(count, self.adaptive.p, stage.resolution, rng.generator, stage.flip)
        values, gradient = discriminator_step(
            self.networks.discriminator, fake, batch.real, pairs, batch.ramp * stage.adversarial_weight,
            batch.ramp * stage.feature_weight, stage.r1_gamma / 2 * stage.r1_interval * batch.regularise_r1, augment,
        )  # fmt: skip
        loss = (fake * gradient).sum()  # carries the discriminator's gradient on to the generator
        if pairs:
            pair_loss, parts = self.pair_loss(fake[:pairs], batch, rng)
            loss, values = loss + stage.pair_weight * pair_loss, values | parts
        loss.backward()
        if batch.regularise_path:
            values["path"] = self.path_step(max(1, count // PATH_SHRINK), rng)
        return values

    def path_step(self, count: int, rng: DeviceRng) -> float:
        """Add the gradient of path-length regularisation; returns the mean length."""
        with plain_passes():
            w = self.random_w(count, rng)
            lengths = losses.path_lengths(self.networks.generator.synthesis.raw(w, "const", self.stage.resolution), w, rng.generator)
            (mean,) = self.world.mean([lengths.mean().item()])
            self.path_mean += (mean - self.path_mean) * (PATH_DECAY if self.path_mean else 1.0)
            penalty = (lengths - self.path_mean).square().mean()
            (penalty * self.stage.path_weight * self.stage.path_interval).backward()
        return mean

    def after_step(self, progress: Progress, losses: dict[str, float]) -> dict[str, float]:
        """The running average, ADA's probability by what the discriminator says of real images, new images."""
        update_ema(self.networks.average, self.networks.generator, progress.images, self.stage.batch, self.plan.ema_images)
        self.rescan()
        if self.stage.ada_target == 0 or "real_sign" not in losses:
            return {}
        self.adaptive.update(losses["real_sign"], self.stage.batch, self.stage.ada_target, self.stage.ada_images)
        return {"augmented": self.adaptive.p}

    def rescan(self) -> None:
        """Take in images that were rendered since the last look."""
        now = time.monotonic()
        if now - self.scanned <= self.plan.rescan_minutes * 60:
            return
        self.scanned = now
        added, problems = self.data.rescan()
        for path, reason in problems[:1]:
            self.say(f"New images wait, because {len(problems)} of them cannot be used: {path}: {reason}")
        if added:
            self.say(f"{added} new images.")

    def state(self) -> dict[str, Any]:
        return {"adaptive": self.adaptive.state(), "path_mean": self.path_mean}

    def load_state(self, state: dict[str, Any]) -> None:
        self.adaptive.load(state["adaptive"])
        self.path_mean = float(state["path_mean"])

    # What it shows

    def write_samples(self, progress: Progress) -> dict[str, float]:
        """A sheet, the error on held-out images, and the generator's file as it now stands."""
        resolution = self.stage.resolution if progress.stage_number < len(self.plan.stages) else self.plan.generator.resolution
        average = self.networks.average
        self.networks.refresh_w_avg()
        rows = self.data.rows(held_out=True)[:MAX_VALIDATED]
        real, latents = (part.to(self.world.device) for part in self.data.batch(rows, resolution))
        z = self.complete(latents, DeviceRng(99, self.world.device)) if self.data.paired else None
        if z is not None:
            images = [average.synthesis.raw(average.mapping(part), "const", resolution) for part in z.split(16)]
            self.figures = held_out_figures(torch.cat(images), real)
        sheet = sample_sheet(average, real[:COLUMNS], None if z is None else z[:COLUMNS], resolution)
        save_image(self.output / "samples" / f"{progress.images:08d}.jpg", sheet)
        write_atomic(self.output / "samples.png", encode_image(sheet))
        metadata = {"scene_latents": self.data.latent_dim, **self.summary(progress)}
        save_generator(average, self.output / "generator.safetensors", metadata)
        return self.figures

    def summary(self, progress: Progress) -> dict[str, Any]:
        """What is worth knowing of the training."""
        return {
            "images seen": progress.images,
            "training images": len(self.data.rows(held_out=False)),
            "minutes": round(progress.seconds / 60, 1),
            **{f"{name} (mean error, 0 to 1)": round(value, 5) for name, value in self.figures.items()},
            "precision": self.networks.generator.precision,
            "device": self.world.device.type,
            "processes": self.world.size,
            "weights": sum(value.numel() for value in self.networks.generator.parameters()),
            "stages": "; ".join(f"{stage.kind} {stage.resolution}" for stage in self.plan.stages),
        }


def open_training(
    data: str | Path,
    plan: GeneratorPlan,
    output: str | Path,
    say: Callable[[str], None] = print,
    world: World | None = None,
    regressor: Estimator | None = None,
) -> Trainer[GeneratorTask]:
    """A training in the folder ``output``, continued if that holds a checkpoint.

    Under torchrun only the first process writes. Raises StyleRigError for data, a plan or a checkpoint that do not fit.
    """
    world, output = world or World("cpu"), Path(output)
    say = say if world.is_main else lambda line: None
    task = GeneratorTask(data, plan, output, world, say, regressor)
    return Trainer("generator", task, plan, plan.stages, output, plan.shape() | {"latents": task.data.latent_dim}, world, say)


def train_generator(trainer: Trainer[GeneratorTask]) -> Path:
    """Train to the end and write ``results.md``; raises Stopped when the process is asked to stop."""
    task = trainer.task
    with gathered_passes(task.plan.compile and can_compile(task.world.device, task.say)):
        trainer.run()
    page = task.output / "results.md"
    if task.world.is_main:
        sheets = [f"![{int(path.stem)} images](samples/{path.name})" for path in sorted((task.output / "samples").glob("*.jpg"))]
        facts = table(("", ""), task.summary(trainer.progress).items())
        text = [*facts, "", SHEET_TEXT, "", "![samples](samples.png)", "", "## On the way", "", *sheets]
        write_report(page, "Generator training", text, {"generator": trainer.log})
        task.say(f"Wrote {task.output / 'generator.safetensors'}, see {page}")
    return page


def can_compile(device: torch.device, say: Callable[[str], None]) -> bool:
    """Whether torch.compile works here: it needs a C++ compiler or Triton, and a folder that can be written."""
    try:
        torch.compile(modulate_forward, dynamic=False)(*torch.ones(2, 4, 4, 4, device=device))
    except Exception as error:  # each of these fails in its own way
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        say(f"torch.compile does not work here: {reason}. The training is slower without it.")
        return False
    return True


def check_data(data: ImageSet, plan: GeneratorPlan) -> None:
    """Raise StyleRigError for a set that cannot teach what the plan asks for."""
    if data.latent_dim > plan.generator.z_dim:
        raise training_error(f"the scenes have {data.latent_dim} latents, more than z ({plan.generator.z_dim})")
    needs_pairs = [number for number, stage in enumerate(plan.stages, 1) if stage.kind == "pairs" or stage.free < 1]
    if data.source.shows_whole_heads and (plan.generator.meanings or needs_pairs):
        raise training_error(
            "the latents of this set say who somebody is, not how the image was taken, so that no pairs can be taught",
            "Use a plan with meanings = 0 and adversarial stages with free = 1 only, as models/training/generator/free.toml.",
        )
    if needs_pairs and not data.paired:
        raise training_error(
            f"stage {needs_pairs[0]} teaches pairs, but the images have no latents",
            "Use a set rendered by models.synthetic, or a plan with adversarial stages and free = 1.",
        )


def check_regressor(plan: GeneratorPlan, regressor: Estimator | None) -> None:
    """Raise StyleRigError where a face regressor is missing, or is the one that judges rigs."""
    hint = "Give the landmark network of a rig training (landmarks.safetensors)."
    if regressor is None and any(stage.perceptual_weight > 0 for stage in plan.stages):
        reason = "its plan has a perceptual loss (perceptual_weight), which needs a face regressor"
        raise training_error(reason, hint, code="no_face_regressor")
    if regressor is not None:
        check_no_judge(regressor)


def check_no_judge(regressor: Estimator) -> None:
    """Raise StyleRigError for the network that judges rigs: it takes no part in any training."""
    if regressor.header.get("half") == "evaluation":
        reason = "the face regressor is the network that judges rigs, which takes no part in any training"
        hint = "Give the landmark network of a rig training (landmarks.safetensors)."
        raise training_error(reason, hint, code="no_face_regressor")


def training_error(reason: str, hint: str = "Choose other data or correct the plan.", code: str = "training") -> StyleRigError:
    return StyleRigError(f"The training cannot go on: {reason}.", hint, code=code)
