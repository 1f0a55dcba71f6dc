"""Training DiscoFaceGAN: first the factors' decoders, then the generator, alone and in pairs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from models.data.image_set import ImageSet, InfiniteShuffle
from models.device_rng import DeviceRng
from models.face import FaceModel, load_face_model
from models.face.parameters import RigParameters, part_sizes
from models.generators import Generator, save_generator
from models.generators.disco import DiscoMapping, mix, only
from models.io.images import save_image
from models.perception.face_regressor import Estimator
from models.training.core.distributed import World
from models.training.core.report import table, write_report
from models.training.core.trainer import Progress, Task, Trainer, set_learning_rate
from models.training.disco.config import DiscoPlan, Stage
from models.training.disco.factors import train_factors
from models.training.disco.losses import colour_loss, draw, expression_contrast, imitation, light_contrast
from models.training.disco.sheet import factor_sheet
from models.training.generator.discriminator import Discriminator
from models.training.generator.gan_step import discriminator_step, within_matte
from models.training.generator.networks import update_ema
from models.training.generator.task import check_no_judge, training_error

BETAS = (0.0, 0.99)
POPULATION = 10_000  # people whose mean w is w_avg
FILE = "disco-generator.safetensors"
REGRESSOR_HINT = (
    "Train it with train rig --only landmarks --face-model head-2 --studio DATA, and give its landmarks.safetensors with --face-regressor."
)
SHEET_TEXT = (
    "Rows: people at psi 0.7; the same with another expression, light and rotation, and as another person; the face model of the first row."
)


@dataclass(eq=False)
class Batch:
    """What a step learns from: real images (N, 4, R, R) in [-1, 1] for the imitative and the contrastive half."""

    real: Tensor
    real_beside_pairs: Tensor | None
    regularise_r1: bool


class DiscoTask(Task[Stage]):
    """The generator of ``plan``, taught from the images in the folder ``data`` and by the face model.

    Raises StyleRigError for data or a face regressor that do not fit.
    """

    def __init__(self, data: Path, plan: DiscoPlan, output: Path, world: World, regressor: Estimator | None, say: Callable[[str], None]):
        self.plan, self.output, self.world, self.stage = plan, output, world, plan.stages[0]
        self.face = load_face_model(plan.head).to(world.device)
        self.regressor = check_regressor(plan, self.face, regressor)
        self.data = ImageSet(data, max(stage.resolution for stage in plan.stages), (), progress=world.is_main)
        self.shuffle, self.taught_by = InfiniteShuffle(plan.seed), ""
        if self.regressor is not None:
            self.regressor.to(world.device)
        self.create_networks(say)
        self.modules = {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}
        taught = [value for value in self.generator.parameters() if value.requires_grad]
        self.optimizers = {
            "generator": torch.optim.Adam(taught, betas=BETAS, fused=True),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), betas=BETAS, fused=True),
        }

    def create_networks(self, say: Callable[[str], None]) -> None:
        """The decoders are trained first and stay as they are; blocks to come begin silent."""
        plan, config = self.plan, self.plan.generator(load_face_model(self.plan.head))
        decoders = train_factors(config, plan.heads, plan.factors, self.output, plan.seed, self.world, say)
        self.generator = Generator.create(config, plan.seed)
        self.mapping.decoders.load_state_dict(decoders.state_dict())
        self.mapping.decoders.requires_grad_(False)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(plan.seed + 1)
            self.discriminator = Discriminator(config.resolution, config.img_channels, dict(plan.discriminator_channels))
            for size in config.block_resolutions:
                if size > plan.stages[0].resolution:
                    getattr(self.generator.synthesis, f"b{size}").torgb.weight.zero_()
        self.generator.to(self.world.device)
        self.discriminator.to(self.world.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)

    @property
    def mapping(self) -> DiscoMapping:
        return cast(DiscoMapping, self.generator.mapping)

    def begin_stage(self, stage: Stage) -> None:
        self.stage = stage
        set_learning_rate(self.optimizers["generator"], stage.learning_rate)
        set_learning_rate(self.optimizers["discriminator"], stage.discriminator_learning_rate)

    @property
    def pairs(self) -> int:
        """How many pairs of each kind a step has."""
        return self.world.share(self.stage.batch) // 4 if self.stage.contrastive and self.plan.contrastive else 0

    # A step

    def batch(self, progress: Progress, rng: DeviceRng) -> Batch:
        rows, count = self.data.rows(held_out=False), self.world.share(self.stage.batch)
        start = progress.images + self.world.rank * count
        real = self.real(rows[self.shuffle.take(start, count, len(rows))], rng)
        beside = self.real(rows[rng.on("cpu").randint(0, len(rows), 4 * self.pairs).numpy()], rng) if self.pairs else None
        return Batch(real, beside, progress.steps % self.stage.r1_interval == 0)

    def real(self, rows: Any, rng: DeviceRng) -> Tensor:
        """Images of the set, half of them mirrored where the stage says so."""
        images = self.data.batch(rows, self.stage.resolution)[0].to(self.world.device)
        flipped = rng.rand(len(images), 1, 1, 1) < (0.5 if self.stage.flip else 0.0)
        return torch.where(flipped, images.flip(3), images)

    def step(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        z = rng.randn(len(batch.real), self.generator.z_dim)
        values = self.add_gradients(z, batch.real, batch.regularise_r1, self.imitative_terms)
        if batch.real_beside_pairs is not None:
            found = self.add_gradients(self.draw_pairs(rng), batch.real_beside_pairs, False, self.contrastive_terms)
            values |= {name: value for name, value in found.items() if name not in values}
        return values

    def add_gradients(
        self, z: Tensor, real: Tensor, regularise: bool, terms_of: Callable[[Tensor, RigParameters], dict[str, Tensor]]
    ) -> dict[str, float]:
        """Those of both networks for images of z: realism, and the weighted terms of what they shall show."""
        stage = self.stage
        with torch.no_grad():
            coefficients = self.mapping.coefficients(z)
            parameters = self.mapping.parameters_of(coefficients, self.face)
        w = self.mapping.from_coefficients(coefficients, self.mapping.split(z)["noise"])
        fake = within_matte(self.generator.synthesis.raw(w[:, None].expand(-1, self.generator.num_ws, -1), "const", stage.resolution))
        r1 = stage.r1_gamma / 2 * stage.r1_interval * regularise
        values, gradient = discriminator_step(self.discriminator, fake, real, 0, stage.adversarial_weight, 0.0, r1)
        terms = terms_of(fake, parameters)
        weighted = [getattr(stage, f"{name}_weight") * term for name, term in terms.items()]
        torch.stack([(fake * gradient).sum(), *weighted]).sum().backward()
        return values | {name: term.item() for name, term in terms.items()}

    def imitative_terms(self, images: Tensor, parameters: RigParameters) -> dict[str, Tensor]:
        """What makes images show the heads that were asked for."""
        drawn = draw(self.face, parameters, self.stage.resolution)
        if self.stage.is_early or self.regressor is None:
            return {"colour": colour_loss(images, drawn)}
        return imitation(images, drawn, self.regressor)

    def draw_pairs(self, rng: DeviceRng) -> Tensor:
        """z (4 M, z_dim): M people, the same with another expression, M others, the same in another light."""
        config, parts = self.mapping.config, []
        for factor in ("expression", "light"):
            z, other = rng.randn(self.pairs, config.z_dim), rng.randn(self.pairs, config.z_dim)
            parts += [z, mix(config, z, other, (factor,))]
        return torch.cat(parts)

    def contrastive_terms(self, images: Tensor, parameters: RigParameters) -> dict[str, Tensor]:
        """What the two of a pair must have in common, of what ``draw_pairs`` drew."""
        half = len(images) // 2
        if self.regressor is None:
            raise ValueError("a contrastive stage has a face regressor")  # check_regressor has seen to it
        return {
            "expression": expression_contrast(self.face, images[:half], parameters[:half]),
            "relight": light_contrast(images[half:], self.regressor),
        }

    def after_step(self, progress: Progress, losses: dict[str, float]) -> dict[str, float]:
        update_ema(self.average, self.generator, progress.images, self.stage.batch, self.plan.ema_images)
        return {}

    # What it shows

    def write_samples(self, progress: Progress) -> dict[str, float]:
        """A sheet, and the generator's file as it now stands."""
        last = progress.stage_number >= len(self.plan.stages)
        resolution = self.plan.stages[-1].resolution if last else self.stage.resolution
        self.refresh_w_avg()
        sheet = factor_sheet(self.average, self.face, resolution)
        save_image(self.output / "samples" / f"{progress.images:08d}.jpg", sheet)
        save_generator(self.average, self.output / FILE, self.summary(progress))
        return {}

    @torch.no_grad()
    def refresh_w_avg(self) -> None:
        """w_avg: the mean w of people who show nothing but who they are, their noise random, as published."""
        mapping = cast(DiscoMapping, self.average.mapping)
        z = torch.randn(POPULATION, mapping.z_dim, generator=torch.Generator().manual_seed(1)).to(mapping.w_avg.device)
        mapping.w_avg.copy_(mapping.single(only(mapping.config, z, ("identity", "noise"))).mean(dim=0))

    def summary(self, progress: Progress) -> dict[str, Any]:
        """What is worth knowing of the training."""
        return {
            "images seen": progress.images,
            "training images": len(self.data.rows(held_out=False)),
            "minutes": round(progress.seconds / 60, 1),
            "contrastive": self.plan.contrastive and any(stage.contrastive for stage in self.plan.stages),
            "taught by": self.taught_by,
            "device": self.world.device.type,
            "stages": "; ".join(
                f"{stage.resolution}{' in pairs' if stage.contrastive else ''}, {stage.images} images" for stage in self.plan.stages
            ),
        }


def check_regressor(plan: DiscoPlan, face: FaceModel, regressor: Estimator | None) -> Estimator | None:
    """The regressor; raises StyleRigError where one is missing, judges rigs, or reads another head."""
    if regressor is None:
        if all(stage.is_early for stage in plan.stages):
            return None
        raise training_error("its imitative losses need a face regressor", REGRESSOR_HINT, code="no_face_regressor")
    check_no_judge(regressor)
    if regressor.sizes != part_sizes(face):
        raise training_error(f"the face regressor reads another head than {plan.head}", REGRESSOR_HINT, code="no_face_regressor")
    return regressor


def open_training(
    data: Path,
    plan: DiscoPlan,
    output: Path,
    say: Callable[[str], None] = print,
    world: World | None = None,
    regressor: Estimator | None = None,
    taught_by: str = "",
) -> Trainer[DiscoTask]:
    """A training in the folder ``output``, continued if that holds a checkpoint; stages may have changed since.

    ``taught_by`` is the hash of the regressor's file, which is noted in the generator's: such a network must not judge it.
    """
    world = world or World("cpu")
    say = say if world.is_main else lambda line: None
    task = DiscoTask(data, plan, output, world, regressor, say)
    task.taught_by = taught_by
    key = plan.model_dump(mode="json", exclude={"stages", "checkpoint_minutes", "sample_minutes"})
    return Trainer("disco", task, plan, plan.stages, output, key, world, say)


def train_disco(trainer: Trainer[DiscoTask]) -> Path:
    """Train to the end and write ``results.md``; raises Stopped when the process is asked to stop."""
    trainer.run()
    task, page = trainer.task, trainer.task.output / "results.md"
    if task.world.is_main:
        sheets = [f"![{int(path.stem)} images](samples/{path.name})" for path in sorted((task.output / "samples").glob("*.jpg"))]
        text = [*table(("", ""), task.summary(trainer.progress).items()), "", SHEET_TEXT, "", *reversed(sheets), "",
                "## Factors", "", "![factors](factors.jpg)"]  # fmt: skip
        write_report(page, "DiscoFaceGAN training", text, {"disco": trainer.log})
        trainer.say(f"Wrote {task.output / FILE}, see {page}")
    return page
