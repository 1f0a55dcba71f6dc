"""Teaching a guided generator: pictures of people, the rig's maps of each, and at the end a judge of patches.

What a step shows depends on the seed and on how many pictures were seen; a run that was stopped goes on from its
checkpoint. Leaves in the output folder ``checkpoint.pt`` (with the running average of the weights), ``log.jsonl`` and
``sheets/``.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from models.data.image_set import Order, PictureSet
from models.errors import StyleRigError
from models.face import load_face_model
from models.face.camera import Camera
from models.face.parameters import RigParameters
from models.generators import guide
from models.generators.guided import GuidedConfig, GuidedSynthesisNetwork
from models.generators.person import PersonConfig, PersonMapping, PersonNetwork, features_of_choices
from models.io.atomic_write import write_atomic
from models.synthetic.classes import CLASSES
from models.training.core.checkpoint import StopRequest, keep_memory, load_checkpoint, save_checkpoint
from models.training.generator import losses
from models.training.generator.discriminator import PatchDiscriminator
from models.training.generator.steps import within_matte
from models.training.people import draw_people, people, teach

FIELDS = ("latent", "parameters", "landmarks", "camera", "body")
MATTES = {
    "skin": ("skin", "neck"),
    "hair": ("hair", "brows"),
    "eyes": ("eyes",),
    "mouth": ("mouth",),
    "clothes": ("clothes",),
    "glasses": ("glasses",),
}
SHOWN = 8  # held-out pictures on a sheet
VALIDATED = 64
BETAS, PATCH_BETAS = (0.9, 0.99), (0.5, 0.99)
Positive = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """Settings in which a name that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(Strict):
    """So many pictures at one resolution; ``patches`` is the weight of realism (0: pairs alone)."""

    resolution: int = Field(ge=16, le=1024)
    batch: int = Field(ge=1, le=256)
    images: int = Field(ge=1)
    learning_rate: Positive
    final_rate: float = Field(default=0.2, ge=0, le=1)
    warmup_images: int = Field(default=400, ge=0)
    feature_focus: float = Field(default=4.0, ge=0)
    pair_skip: int = Field(default=0, ge=0, le=4)
    patches: float = Field(default=0.0, ge=0)
    feature_weight: float = Field(default=0.3, ge=0)
    patch_rate: Positive = 0.001
    r1_gamma: float = Field(default=1.0, ge=0)


class Plan(Strict):
    """A whole training."""

    seed: int = 1
    head: str = "head-2"
    channels: dict[int, int]
    mapping_layers: int = Field(default=2, ge=1, le=8)
    mapping_rate: Positive = 0.2  # of the mapping's learning rate, relative to the stage's
    guide_rate: Positive = 0.25
    people: int = Field(default=60_000, ge=0)  # how many the network that describes people learns from; 0: z itself says who
    people_steps: int = Field(default=6000, ge=1)
    matte_weight: float = Field(default=0.15, ge=0)
    ema_images: Positive = 2000.0
    checkpoint_minutes: Positive = 5.0
    sheet_minutes: Positive = 15.0
    stages: list[Stage] = Field(min_length=1)

    def generator(self, person: PersonConfig) -> GuidedConfig:
        """What is taught, of people who are made of ``person``."""
        return GuidedConfig(resolution=max(self.channels), channels=self.channels, mapping_layers=self.mapping_layers, mattes=tuple(MATTES), head=self.head,
                            mapping_lr_multiplier=1.0, guide_channels=guide.CHANNELS, person=person)  # fmt: skip


class Networks(torch.nn.Module):
    """Mapping and guided synthesis."""

    def __init__(self, config: GuidedConfig):
        super().__init__()
        self.config, self.mapping, self.synthesis = config, PersonMapping(config), GuidedSynthesisNetwork(config)

    def forward(self, features: Tensor, maps: Tensor, resolution: int) -> Tensor:
        """Premultiplied pictures and mattes (N, 4 + M, R, R) in [-1, 1] of people (N, F) whom ``maps`` pose."""
        w = self.mapping.from_features(features)
        return self.synthesis.raw(w[:, None].expand(-1, self.config.num_ws, -1), resolution=resolution, guide=maps)


class GuidedTraining:
    """A training in the folder ``output``, continued if that holds a checkpoint."""

    def __init__(self, data: Path, plan: Plan, output: Path, say: Callable[[str], None] = print):
        self.plan, self.output, self.say = plan, output, say
        self.face = load_face_model(plan.head)
        self.mesh = guide.GuideMesh.of(self.face)
        self.data = PictureSet(data, min(max(stage.resolution for stage in plan.stages), max(plan.channels)), FIELDS, whole=True)
        torch.manual_seed(plan.seed)
        self.entries = {entry.number: entry for entry in self.data.source.entries()}
        person = self.person_network()
        self.networks = Networks(plan.generator(person.config if person else PersonConfig(numbers=self.data.latent_dim)))
        self.described: dict[int, Tensor] = {}
        if person:
            self.networks.mapping.person.load_state_dict(person.state_dict())
            self.networks.mapping.person.requires_grad_(False)
        self.begin()
        self.average = copy.deepcopy(self.networks).requires_grad_(False)
        self.patches = PatchDiscriminator(4)
        self.optimizer = torch.optim.Adam(self.groups(), betas=BETAS)
        self.patch_optimizer = torch.optim.Adam(self.patches.parameters(), betas=PATCH_BETAS)
        self.order = Order(plan.seed)
        self.stage_number = self.stage_images = self.images = 0
        self.seconds = 0.0
        if (output / "checkpoint.pt").is_file():
            self.restore(load_checkpoint(output / "checkpoint.pt"))

    def person_network(self) -> PersonNetwork | None:
        """The network that describes people, taught at the first start."""
        if not self.plan.people:
            return None
        path = self.output / "person.pt"
        drawn = draw_people(self.plan.people, self.plan.head, self.output)
        network = PersonNetwork(drawn.config())
        if path.is_file():
            network.load_state_dict(torch.load(path, weights_only=True))
            return network
        network = teach(drawn, self.plan.people_steps, self.plan.seed, self.say)
        write_atomic(path, lambda temporary: torch.save(network.state_dict(), temporary))
        return network

    def features(self, rows: np.ndarray) -> Tensor:
        """What describes the people on pictures of these rows (N, F), exactly."""
        latents = torch.from_numpy(self.data.truth["latent"][rows])
        if not self.plan.people:
            return latents
        numbers = self.data.source.people(self.data.numbers[rows]).tolist()
        if new := [index for index, number in enumerate(numbers) if number not in self.described]:
            drawn = people(latents[new], self.face)
            sizes = self.networks.config.person.choices
            found = features_of_choices(drawn.choices, drawn.amounts, sizes)
            self.described |= {numbers[index]: row for index, row in zip(new, found, strict=True)}
        return torch.stack([self.described[number] for number in numbers])

    def begin(self) -> None:
        """Features of mean 0 and spread 1; blocks to come begin silent; styles of the first w are near one."""
        if self.plan.people:
            self.networks.mapping.set_population(self.features(self.data.rows(held_out=False)))
        with torch.no_grad():
            for size in self.networks.synthesis.block_resolutions:
                getattr(self.networks.synthesis, f"b{size}").torgb.weight.mul_(0.1 if size <= self.plan.stages[0].resolution else 0.0)

    def groups(self) -> list[dict]:
        """The weights by how fast they learn."""
        named = [(name, value) for name, value in self.networks.named_parameters() if value.requires_grad]
        share = lambda name: (
            self.plan.mapping_rate if name.startswith("mapping") else self.plan.guide_rate if name.endswith(".guide") else 1.0
        )
        shares = sorted({share(name) for name, _ in named})
        return [{"params": [value for name, value in named if share(name) == each], "share": each} for each in shares]

    def run(self) -> bool:
        """Train until the last stage is done (True) or a stop is asked for (False)."""
        keep_memory()
        self.saved = self.shown = self.told = time.monotonic()
        with StopRequest() as stop:
            while self.stage_number < len(self.plan.stages):
                stage = self.plan.stages[self.stage_number]
                while self.stage_images < stage.images:
                    self.take_step(stage)
                    if stop.asked:
                        self.checkpoint()
                        self.say("Stopped; the same command continues.")
                        return False
                self.stage_number, self.stage_images = self.stage_number + 1, 0
        self.show(self.plan.stages[-1])
        self.checkpoint()
        return True

    def take_step(self, stage: Stage) -> None:
        """One batch, and what is due after it."""
        began = time.monotonic()
        self.set_rates(stage)
        values = self.step(stage)
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise StyleRigError(f"The loss {', '.join(broken)} is no longer a number after {self.images} pictures.",
                                "Lower the learning rate of this stage and run the same command again.", code="bad_training")  # fmt: skip
        self.images += stage.batch
        self.stage_images += stage.batch
        keep = 0.5 ** (stage.batch / max(min(self.plan.ema_images, 0.05 * self.images), 1e-6))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.networks.parameters()), 1 - keep)
        now = time.monotonic()
        self.seconds += now - began
        self.habits(stage, values, now)

    def set_rates(self, stage: Stage) -> None:
        """A short linear rise, then half a cosine down to ``final_rate``."""
        rise = min(1.0, (self.stage_images + stage.batch) / max(stage.warmup_images, 1))
        fall = stage.final_rate + (1 - stage.final_rate) * 0.5 * (1 + math.cos(math.pi * self.stage_images / stage.images))
        for group in self.optimizer.param_groups:
            group["lr"] = stage.learning_rate * rise * fall * group["share"]
        for group in self.patch_optimizer.param_groups:
            group["lr"] = stage.patch_rate * rise * fall

    def step(self, stage: Stage) -> dict[str, float]:
        """Losses by name, after both networks learned from one batch."""
        rows = self.data.rows(held_out=False)
        rows = rows[self.order.take(self.images, stage.batch, len(rows))]
        target, features, maps = self.batch(rows, stage.resolution)
        drawn = self.networks(features, maps, stage.resolution)
        picture, mattes = drawn[:, :4], drawn[:, 4:]
        focus, near = self.focus(rows, stage)
        loss = losses.pair_loss(picture, target, focus, 1.0, stage.pair_skip, near)
        values = {"pair": loss.item()}
        if self.plan.matte_weight:
            apart = losses.pyramid_loss(mattes - self.mattes(rows, target), torch.ones_like(focus), 0.0, 0)
            loss, values = loss + self.plan.matte_weight * apart, values | {"mattes": apart.item()}
        if stage.patches:
            realism, figures = self.judge(stage, picture, target)
            loss, values = loss + realism, values | figures
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return values

    def judge(self, stage: Stage, picture: Tensor, target: Tensor) -> tuple[Tensor, dict[str, float]]:
        """What patches that look unreal cost the generator; the discriminator learns from the same pass."""
        shown = within_matte(picture)
        real, real_features = self.patches(target)
        fake, _ = self.patches(shown.detach())
        verdict = losses.discriminator_loss(real, fake)
        verdict.backward()
        if stage.r1_gamma and (self.images // stage.batch) % 16 == 0:
            (losses.r1_penalty(self.patches, target) * stage.r1_gamma * 8).backward()
        self.patch_optimizer.step()
        self.patches.requires_grad_(False)
        logits, features = self.patches(shown)
        realism = losses.generator_loss(logits)
        likeness = losses.feature_loss(features, [part.detach() for part in real_features])
        self.patches.requires_grad_(True)
        self.patch_optimizer.zero_grad(set_to_none=True)
        figures = {"patches": verdict.item(), "realism": realism.item(), "features": likeness.item()}
        return stage.patches * (realism + stage.feature_weight * likeness), figures

    def mattes(self, rows: np.ndarray, target: Tensor) -> Tensor:
        """(N, M, R, R) in [-1, 1]: how much of each pixel of pictures ``target`` (N, 4, R, R) shows what ``MATTES`` names."""
        size = target.shape[-1]
        shares = []
        for number in self.data.numbers[rows].tolist():
            with np.load(self.entries[number].truth, allow_pickle=False) as truth:
                classes = torch.from_numpy(truth["classes"])
            of = torch.stack([torch.isin(classes, torch.tensor([CLASSES.index(name) for name in names])) for names in MATTES.values()])
            shares.append(F.avg_pool2d(of.float()[None], classes.shape[-1] // size))
        return torch.minimum(torch.cat(shares), target[:, 3:] * 0.5 + 0.5) * 2 - 1

    def batch(self, rows: np.ndarray, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (N, 4, R, R) in [-1, 1], people (N, F), guide maps (N, G, R, R)."""
        target, _ = self.data.batch(rows, size)
        truth = {name: torch.from_numpy(self.data.truth[name][rows]) for name in ("parameters", "camera", "body")}
        camera = Camera(truth["camera"][:, :1], truth["camera"][:, 1:])
        with torch.no_grad():
            maps = guide.guide_maps(self.mesh, RigParameters.from_vector(truth["parameters"], self.face), camera, truth["body"], size)
        return target, self.features(rows), maps

    def focus(self, rows: np.ndarray, stage: Stage) -> tuple[Tensor, Tensor]:
        """What each place of the pictures weighs (N, 1, R, R), mean 1, and how much of that is for eyes, brows and mouth."""
        near = stage.feature_focus * losses.feature_map(self.data.landmarks(rows), stage.resolution)
        weight = 1.0 + near
        return weight / weight.mean(), near / weight.mean()

    def habits(self, stage: Stage, values: dict[str, float], now: float) -> None:
        """Progress, sheets and checkpoints as they are due."""
        if now - self.told > 20 or self.stage_images == stage.batch:
            self.told = now
            rate = self.images / max(self.seconds, 1e-6)
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            self.say(
                f"stage {self.stage_number + 1}/{len(self.plan.stages)} {stage.resolution}  {self.stage_images}/{stage.images}  {rate:.1f}/s  {numbers}"
            )
            self.note(images=self.images, seconds=round(self.seconds), **values)
        if now - self.shown > self.plan.sheet_minutes * 60:
            self.show(stage)
            self.shown = time.monotonic()
        if now - self.saved > self.plan.checkpoint_minutes * 60:
            self.checkpoint()
            self.saved = time.monotonic()

    def note(self, **values: float) -> None:
        """A line of the log."""
        self.output.mkdir(parents=True, exist_ok=True)
        with open(self.output / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")

    @torch.no_grad()
    def show(self, stage: Stage) -> None:
        """Held-out people: the error of colour and matte, and a sheet of truth above what is drawn."""
        rows = self.data.rows(held_out=True)[:VALIDATED]
        if not len(rows):
            return
        error, tiles = [], []
        for part in np.array_split(rows, max(1, len(rows) // SHOWN)):
            target, features, maps = self.batch(part, stage.resolution)
            drawn = self.average(features, maps, stage.resolution)[:, :4].clamp(-1, 1)
            error.append((drawn - target).abs().mean(dim=(0, 2, 3)) / 2)
            if not tiles:
                tiles = [over_grey(target), over_grey(drawn)]
        mean = torch.stack(error).mean(dim=0)
        self.note(images=self.images, colour=float(mean[:3].mean()), matte=float(mean[3]))
        self.say(f"held out: colour {mean[:3].mean():.4f}  matte {mean[3]:.4f}")
        done, data = cv2.imencode(".jpg", np.concatenate(tiles, axis=0), [cv2.IMWRITE_JPEG_QUALITY, 90])
        assert done
        write_atomic(self.output / "sheets" / f"{self.images:08d}.jpg", data.tobytes())

    def checkpoint(self) -> None:
        """Everything that the same command needs to go on."""
        save_checkpoint(self.output / "checkpoint.pt", {
            "plan": self.plan.model_dump_json(exclude={"stages"}),
            "networks": self.networks.state_dict(), "average": self.average.state_dict(), "patches": self.patches.state_dict(),
            "optimizer": self.optimizer.state_dict(), "patch_optimizer": self.patch_optimizer.state_dict(),
            "counters": {name: getattr(self, name) for name in ("stage_number", "stage_images", "images", "seconds")},
        })  # fmt: skip

    def restore(self, state: dict) -> None:
        """Go on from a checkpoint; stages may have changed since, the networks may not."""
        if state.get("plan") != self.plan.model_dump_json(exclude={"stages"}):
            raise StyleRigError(
                f"{self.output} holds the training of another plan.", "Choose another output folder.", code="other_training"
            )
        for name in ("networks", "average", "patches", "optimizer", "patch_optimizer"):
            getattr(self, name).load_state_dict(state[name])
        for name, value in state["counters"].items():
            setattr(self, name, value)


def over_grey(pictures: Tensor) -> np.ndarray:
    """Premultiplied (N, 4, R, R) in [-1, 1] side by side over grey, BGR uint8."""
    unit = pictures.clamp(-1, 1) * 0.5 + 0.5
    shown = (unit[:, :3] + (1 - unit[:, 3:]) * 0.36).clamp(0, 1)
    return np.rint(torch.cat(tuple(shown), dim=2).permute(1, 2, 0).numpy()[..., ::-1] * 255).astype(np.uint8)
