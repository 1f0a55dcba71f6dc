"""Training a guided generator: images of people, the rig's maps of each, and at the end a discriminator of patches."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.data.image_set import ImageSet, InfiniteShuffle
from models.device_rng import DeviceRng
from models.face import load_face_model
from models.face.camera import Camera
from models.face.parameters import RigParameters
from models.generators import Generator, guide, save_generator
from models.generators.cpu import usable_precision
from models.generators.guided import GuidedConfig, GuidedSynthesisNetwork
from models.generators.person import PersonConfig, PersonMapping, features_of_choices
from models.generators.roi import Box
from models.io.atomic_write import write_atomic
from models.io.images import image_grid, save_image
from models.synthetic.classes import CLASSES
from models.training.core.distributed import World
from models.training.core.report import table, write_report
from models.training.core.trainer import Progress, Task, Trainer, set_learning_rate
from models.training.generator import losses
from models.training.generator.discriminator import PatchDiscriminator
from models.training.generator.gan_step import discriminator_step, focus_weights, within_matte
from models.training.generator.networks import update_ema
from models.training.generator.perceptual import over_grey
from models.training.generator.samples import held_out_figures
from models.training.generator.texture import texture_loss
from models.training.guided_generator.config import GuidedPlan, Stage
from models.training.guided_generator.dye import Dye, dye_images
from models.training.guided_generator.growth import check_growth, take_weights
from models.training.guided_generator.mirror import (
    column_of_side,
    mirrored_features,
    mirrored_images,
    mirrored_landmarks,
    mirrored_maps,
)
from models.training.guided_generator.palette import Palette
from models.training.guided_generator.tint import tinted, tints
from models.training.people import draw_people, people, train_person_network

FIELDS = ("latent", "parameters", "landmarks", "camera", "body")
MATTES = {
    "skin": ("skin", "neck"),
    "hair": ("hair", "brows"),
    "eyes": ("eyes",),
    "mouth": ("mouth",),
    "clothes": ("clothes",),
    "glasses": ("glasses",),
}
OF_CLASS = torch.tensor(
    [[float(name in names) for names in MATTES.values()] for name in CLASSES]
)  # 1: what is of the class is of the matte
COLUMNS, MAX_VALIDATED = 8, 64  # held-out images: on a sheet, and measured
BETAS, PATCH_BETAS = (0.9, 0.99), (0.5, 0.99)
SHEET_TEXT = "Above, people that the training never saw; below, what the generator draws of their maps. The last sheet first."
R1_INTERVAL = 16  # steps
POPULATION = 8192  # people whose mean w is w_avg


class Networks(nn.Module):
    """Mapping and guided synthesis."""

    def __init__(self, config: GuidedConfig):
        super().__init__()
        self.config, self.mapping, self.synthesis = config, PersonMapping(config, config.person), GuidedSynthesisNetwork(config)

    def forward(self, features: Tensor, maps: Tensor, resolution: int) -> Tensor:
        """Premultiplied images and mattes (N, 4 + M, R, R) in [-1, 1] of people (N, F) whom ``maps`` pose."""
        return self.draw(self.mapping.from_features(features), maps, resolution)

    def draw(self, w: Tensor, maps: Tensor, resolution: int, box: Box | None = None, strands: bool = True) -> Tensor:
        """The same of people w (N, w_dim), or the pixels of a ``box`` of it."""
        return self.synthesis.raw(self.all_layers(w), resolution=resolution, guide=maps, box=box, strands=strands)

    def all_layers(self, w: Tensor) -> Tensor:
        """w (N, w_dim) for each layer."""
        return w[:, None].expand(-1, self.config.num_ws, -1)


@dataclass(eq=False)
class Batch:
    """What a step learns from."""

    real: Tensor  # (N, 4, R, R) in [-1, 1]
    features: Tensor  # (N, F) of the people
    maps: Tensor  # (N, G, R, R)
    landmarks: Tensor  # (N, 68, 2)
    mattes: Tensor | None  # (N, M, R, R) in [-1, 1]
    box: Box | None = None  # the part that is looked at; None: all
    regularise_r1: bool = False

    def seen(self, images: Tensor) -> Tensor:
        """The part (N, C, H, W) of images (N, C, R, R)."""
        return images if self.box is None else images[..., *self.box.place]


class GuidedTask(Task[Stage]):
    """The generator of ``plan``, taught from the whole heads in the folder ``data``; its first weights are those of ``begun``.

    What was learned of people and samples are written to ``output``.
    Raises StyleRigError for data without whole heads, and for a ``begun`` of other sizes than the plan's.
    """

    def __init__(
        self, data: Path, plan: GuidedPlan, output: Path, world: World, say: Callable[[str], None], begun: Generator | None = None
    ):
        self.plan, self.output, self.world, self.stage = plan, output, world, plan.stages[0]
        self.face = load_face_model(plan.head)
        self.mesh = guide.GuideMesh.of(self.face)
        size = min(max(stage.resolution for stage in plan.stages), max(plan.channels))
        self.data = ImageSet(data, size, FIELDS, progress=world.is_main, whole=True)
        self.truths = {entry.number: entry.truth for entry in self.data.source.entries() if entry.truth}
        self.described: dict[int, Tensor] = {}  # picture -> features of whom it shows
        self.dye = Dye.of(self.face) if plan.people else None
        self.palette = Palette.of(self.face) if plan.people else None
        self.side = column_of_side(self.face) if plan.people else None
        self.figures: dict[str, float] = {}
        self.shuffle = InfiniteShuffle(plan.seed)
        self.images_before, self.minutes_before = trained_before(output, begun)
        if begun:
            self.take_networks(begun)
        else:
            self.create_networks(say)
        self.prepare_networks(say)
        self.rates, self.groups = self.groups_by_rate()
        self.modules = {"networks": self.networks, "average": self.average, "discriminator": self.discriminator}
        self.optimizers = {
            "generator": torch.optim.Adam(self.groups, betas=BETAS, fused=True),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), betas=PATCH_BETAS, fused=True),
        }

    def create_networks(self, say: Callable[[str], None]) -> None:
        """Features of mean 0 and standard deviation 1; blocks to come begin silent; styles of the first w are near one."""
        plan, person = self.plan, None
        if plan.people:
            known = draw_people(plan.people, plan.head, self.output)
            person = train_person_network(known, plan.people_steps, self.output / "people", plan.seed, say)
        torch.manual_seed(plan.seed)
        config = person.config if person else PersonConfig(numbers=self.data.latent_dim)
        self.networks = Networks(plan.generator(config, tuple(MATTES)))
        if person and self.networks.mapping.person:
            self.networks.mapping.person.load_state_dict(person.state_dict())
            self.networks.mapping.person.requires_grad_(False)
            self.networks.mapping.set_population(self.features(self.data.rows(held_out=False)))
        with torch.no_grad():
            for size in self.networks.synthesis.block_resolutions:
                getattr(self.networks.synthesis, f"b{size}").torgb.weight.mul_(0.1 if size <= plan.stages[0].resolution else 0.0)
            if self.networks.synthesis.palette is not None:
                self.networks.synthesis.palette.weight.mul_(0.1)

    def take_networks(self, begun: Generator) -> None:
        """Go on with a generator that was taught before, what it knows of people included."""
        torch.manual_seed(self.plan.seed)
        person = begun.config.person if isinstance(begun.config, GuidedConfig) else PersonConfig()
        config = self.plan.generator(person, tuple(MATTES))
        check_growth(begun, config)
        self.networks = Networks(config)
        take_weights(self.networks.mapping, begun.mapping)
        take_weights(self.networks.synthesis, begun.synthesis)
        if self.networks.mapping.person:
            self.networks.mapping.person.requires_grad_(False)

    def prepare_networks(self, say: Callable[[str], None]) -> None:
        """Bring the networks to the device, with their running average and a discriminator that knows nothing yet."""
        self.precision, notice = usable_precision(self.plan.precision, self.world.device)
        if notice:
            say(notice)
        synthesis, dtype = self.networks.synthesis, torch.bfloat16 if self.precision == "bf16" else torch.float32
        synthesis.dtype = dtype
        if synthesis.planes is not None:
            synthesis.planes.synthesis.dtype = dtype
        self.networks.to(self.world.device)
        self.average = copy.deepcopy(self.networks).requires_grad_(False)
        self.discriminator = PatchDiscriminator(4).to(self.world.device)

    def groups_by_rate(self) -> tuple[list[float], list[dict]]:
        """Learning rates, relative to the stage's, and the parameters that have each."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, value in self.networks.named_parameters():
            if value.requires_grad:
                rate = self.plan.mapping_rate if name.startswith("mapping") else self.plan.guide_rate if name.endswith(".guide") else 1.0
                groups.setdefault(rate, []).append(value)
        rates = sorted(groups)
        return rates, [{"params": groups[rate]} for rate in rates]

    def begin_stage(self, stage: Stage) -> None:
        self.stage = stage
        set_learning_rate(self.optimizers["generator"], *(rate * stage.learning_rate for rate in self.rates))
        set_learning_rate(self.optimizers["discriminator"], stage.discriminator_learning_rate)

    # A step

    def batch(self, progress: Progress, rng: DeviceRng) -> Batch:
        rows, count = self.data.rows(held_out=False), self.world.share(self.stage.batch)
        rows = rows[self.shuffle.take(progress.images + self.world.rank * count, count, len(rows))]
        batch = self.batch_of(rows, self.stage.resolution, tints(count, self.stage.tinted, rng.on("cpu")))
        if self.plan.matte_weight:
            batch.mattes = self.mattes(rows, batch.real)
        if self.dye and batch.mattes is not None and self.stage.dyed:
            gains = self.dye.gains(batch.features, self.stage.dyed, rng)
            clothes = list(MATTES).index("clothes")
            batch.real = dye_images(batch.real, batch.mattes[:, clothes : clothes + 1], gains)
            batch.features = self.dye.describe(batch.features, gains)
        self.mirror(batch, rng)
        batch.box = window(self.stage, rng)
        batch.regularise_r1 = progress.steps % R1_INTERVAL == 0
        return batch

    def mirror(self, batch: Batch, rng: DeviceRng) -> None:
        """Show a share of the people in a mirror; not where z itself says who they are, for it does not say who is whose mirror image."""
        if self.side is None or not self.stage.mirrored:
            return
        chosen = rng.rand(len(batch.real)) < self.stage.mirrored
        batch.real, batch.maps = mirrored_images(batch.real, chosen), mirrored_maps(batch.maps, chosen)
        batch.features = mirrored_features(batch.features, chosen, self.side)
        batch.landmarks = mirrored_landmarks(batch.landmarks, chosen)
        if batch.mattes is not None:
            batch.mattes = mirrored_images(batch.mattes, chosen)

    def batch_of(self, rows: np.ndarray, size: int, gains: Tensor | None = None) -> Batch:
        """The images of ``rows`` without their mattes, in light that is ``gains`` (N, 3) times as strong."""
        truth = {name: torch.from_numpy(self.data.truth[name][rows]) for name in ("parameters", "camera", "body", "landmarks")}
        camera = Camera(truth["camera"][:, :1], truth["camera"][:, 1:])
        posed, real = RigParameters.from_vector(truth["parameters"], self.face), self.data.batch(rows, size)[0]
        if gains is not None:
            posed, real = posed.replace(light=posed.light * gains[:, None]), tinted(real, gains)
        with torch.no_grad():
            maps = guide.guide_maps(self.mesh, posed, camera, truth["body"], size)
        parts = (real, self.features(rows), maps, truth["landmarks"])
        real, features, maps, landmarks = (part.to(self.world.device) for part in parts)
        return Batch(real, features, maps, landmarks, mattes=None)

    def features(self, rows: np.ndarray) -> Tensor:
        """What describes the people on the images of ``rows`` (N, F), exactly."""
        latents = torch.from_numpy(self.data.truth["latent"][rows])
        if not self.plan.people:
            return latents
        numbers = self.data.numbers[rows].tolist()
        if new := [index for index, number in enumerate(numbers) if number not in self.described]:
            drawn = people(latents[new], self.face)
            found = features_of_choices(drawn.choices, drawn.amounts, self.networks.config.person.choices)
            self.described |= {numbers[index]: row for index, row in zip(new, found, strict=True)}
        return torch.stack([self.described[number] for number in numbers])

    def mattes(self, rows: np.ndarray, real: Tensor) -> Tensor:
        """(N, M, R, R) in [-1, 1]: how much of each pixel of the images ``real`` (N, 4, R, R) shows what ``MATTES`` names."""
        shares = []
        for number in self.data.numbers[rows].tolist():
            with np.load(self.truths[number], allow_pickle=False) as truth:
                classes = torch.from_numpy(truth["classes"])
            of = OF_CLASS[classes.flatten().long()].view(1, *classes.shape, len(MATTES)).permute(0, 3, 1, 2)
            shares.append(F.avg_pool2d(of, classes.shape[-1] // real.shape[-1]))
        return torch.minimum(torch.cat(shares).to(real), real[:, 3:] * 0.5 + 0.5) * 2 - 1

    def step(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        stage = self.stage
        w = self.networks.mapping.from_features(batch.features)
        drawn = self.networks.draw(w, batch.maps, stage.resolution, batch.box, strands=False)  # where a hair lies no pair can teach
        real = batch.seen(batch.real)
        images, mattes = clipped(drawn[:, :4], real), drawn[:, 4:]
        focus, near = map(batch.seen, focus_weights(1.0, batch.landmarks, stage.resolution, stage.feature_focus))
        loss = losses.pair_loss(images, real, focus, 1.0, stage.pair_skip, near)
        values = {"pair": loss.item()}
        if batch.mattes is not None:
            taught = batch.seen(batch.mattes)
            matte_loss = losses.pyramid_loss(clipped(mattes, taught) - taught, torch.ones_like(focus), 0.0, 0)
            loss, values = loss + self.plan.matte_weight * matte_loss, values | {"mattes": matte_loss.item()}
        if self.palette:
            colours = (self.networks.synthesis.colours(w) - self.palette.colours(batch.features)).abs().mean()
            loss, values = loss + self.plan.palette_weight * colours, values | {"colours": colours.item()}
        stranded = drawn.detach()
        if stage.texture_weight and self.networks.synthesis.strands is not None:
            box = batch.box or Box.whole(stage.resolution)
            stranded = self.networks.synthesis.with_strands(stranded, batch.maps, self.networks.all_layers(w.detach()), box)
            texture = texture_loss(clipped(stranded[:, :4], real), real)
            loss, values = loss + stage.texture_weight * texture, values | {"texture": texture.item()}
        if stage.adversarial_weight:  # of hair with its strands, else layers would be asked for them
            fake, weight = within_matte(images + (stranded - drawn).detach()[:, :4]), stage.adversarial_weight
            figures, gradient = discriminator_step(
                self.discriminator, fake, real, len(fake), weight, weight * stage.feature_weight,
                stage.r1_gamma / 2 * R1_INTERVAL * batch.regularise_r1,
            )  # fmt: skip
            loss, values = loss + (fake * gradient).sum(), values | figures
        loss.backward()
        return values

    def after_step(self, progress: Progress, losses: dict[str, float]) -> dict[str, float]:
        update_ema(self.average, self.networks, progress.images, self.stage.batch, self.plan.ema_images)
        return {}

    def write_samples(self, progress: Progress) -> dict[str, float]:
        """A sheet of held-out images above what is drawn of them, the error of colour and matte, and the generator's file."""
        save_generator(self.generator(), self.output / "studio-generator.safetensors", self.summary(progress))
        rows, real, drawn = self.data.rows(held_out=True)[:MAX_VALIDATED], [], []
        if not len(rows):
            return {}
        for start in range(0, len(rows), COLUMNS):
            batch = self.batch_of(rows[start : start + COLUMNS], self.stage.resolution)
            real.append(batch.real)
            drawn.append(self.average(batch.features, batch.maps, self.stage.resolution)[:, :4])
        sheet = image_grid(over_grey(torch.cat((real[0], drawn[0]))), len(real[0]))
        save_image(self.output / "samples" / f"{progress.images:08d}.jpg", sheet)
        self.figures = held_out_figures(torch.cat(drawn), torch.cat(real))
        return self.figures

    @torch.no_grad()
    def generator(self) -> Generator:
        """The running average of the weights, its w_avg taken from people drawn at random."""
        generator = Generator(self.networks.config)
        generator.mapping.load_state_dict(self.average.mapping.state_dict())
        generator.synthesis.load_state_dict(self.average.synthesis.state_dict())
        z = torch.randn(POPULATION, generator.z_dim, generator=torch.Generator().manual_seed(0))
        generator.w_avg.copy_(generator.mapping.single(z).mean(dim=0))
        return generator

    def summary(self, progress: Progress) -> dict[str, Any]:
        """What is worth knowing of the training."""
        return {
            "images seen": int(self.images_before) + progress.images,
            "training images": len(self.data.rows(held_out=False)),
            "people": len(set(self.data.source.people(self.data.numbers).tolist())),
            "minutes": round(self.minutes_before + progress.seconds / 60, 1),
            "of these before this training": f"{self.images_before:.0f} images, {self.minutes_before:.0f} minutes",
            **{f"{name} (mean error, 0 to 1)": round(value, 5) for name, value in self.figures.items()},
            "device": self.world.device.type,
            "precision": self.precision,
            "stages": "; ".join(f"{stage.resolution}, {stage.images} images" for stage in self.plan.stages),
        }


def trained_before(output: Path, begun: Generator | None) -> tuple[float, float]:
    """Images and minutes of the training that one in ``output`` began with, noted there: it may be gone on with by its folder alone."""
    note = output / "begun_with.json"
    if begun is not None:
        known = [begun.metadata.get(name) for name in ("images seen", "minutes")]
        numbers = [float(value) if isinstance(value, int | float) else 0.0 for value in known]
        write_atomic(note, json.dumps(numbers).encode())
    return tuple(json.loads(note.read_text())) if note.is_file() else (0.0, 0.0)


def clipped(images: Tensor, targets: Tensor) -> Tensor:
    """Images without what lies beyond targets of -1 and 1: it is clipped when they are shown, so there is nothing to be learned."""
    return torch.where(targets <= -1, images.clamp(min=-1), torch.where(targets >= 1, images.clamp(max=1), images))


def window(stage: Stage, rng: DeviceRng) -> Box | None:
    """Where on its images a step of the stage looks; None: everywhere."""
    if not stage.window or stage.window >= stage.resolution:
        return None
    top, left = (2 * int(rng.rand(1) * ((stage.resolution - stage.window) // 2 + 1)) for _ in range(2))
    return Box(top, top + stage.window, left, left + stage.window)


def open_training(
    data: Path,
    plan: GuidedPlan,
    output: Path,
    say: Callable[[str], None] = print,
    world: World | None = None,
    begun: Generator | None = None,
) -> Trainer[GuidedTask]:
    """A training in the folder ``output``, continued if that holds a checkpoint; stages may have changed since."""
    world = world or World("cpu")
    say = say if world.is_main else lambda line: None
    task = GuidedTask(data, plan, output, world, say, begun)
    key = plan.model_dump(mode="json", exclude={"stages", "precision", "checkpoint_minutes", "sample_minutes"})
    return Trainer("guided generator", task, plan, plan.stages, output, key, world, say)


def train_guided(trainer: Trainer[GuidedTask]) -> Path:
    """Train to the end and write ``results.md``; raises Stopped when the process is asked to stop."""
    trainer.run()
    task, page = trainer.task, trainer.task.output / "results.md"
    if task.world.is_main:
        sheets = [f"![{int(path.stem)} images](samples/{path.name})" for path in sorted((task.output / "samples").glob("*.jpg"))]
        text = [*table(("", ""), task.summary(trainer.progress).items()), "", SHEET_TEXT, "", *reversed(sheets)]
        write_report(page, "Guided generator training", text, {"generator": trainer.log})
        trainer.say(f"Wrote {task.output / 'studio-generator.safetensors'}, see {page}")
    return page
