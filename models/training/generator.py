"""Teaching a generator by pairs of latents and pictures, then finishing it adversarially.

The studio's latents determine a picture completely, so the generator's z is
[the scene's numbers, free noise] and its weights are found by regression; the adversarial
stage keeps the pairs and adds sharpness and the behaviour between them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from models.errors import StyleRigError
from models.files import write_atomic
from models.generators import Generator
from models.generators.generator import has_fast_bf16
from models.generators.pointwise import gathered_passes, plain_passes
from models.training import losses
from models.training.config import Stage, TrainingConfig
from models.training.data import Order, PictureSet
from models.training.discriminator import Discriminator
from models.training.report import Log, results_page, sample_sheet
from models.training.state import StopRequest, keep_memory, load_checkpoint, save_checkpoint

AVERAGED_CODES = 4096


class GeneratorTraining:
    """A training in the folder ``output``, continued if that holds a checkpoint.

    Leaves there: ``generator.safetensors`` (the running average, fresh at every sheet),
    ``checkpoint.pt``, ``log.jsonl``, ``sheet-*.png`` and ``results.html``.
    """

    def __init__(self, data: str | Path, config: TrainingConfig, output: str | Path,
                 say: Callable[[str], None] = print):
        config.check()
        self.config, self.output, self.say = config, Path(output), say
        self.data = PictureSet(data, config.generator.resolution)
        self.check_data()
        self.log = Log(self.output / "log.jsonl")
        self.rng = torch.Generator().manual_seed(config.seed)
        self.order = Order(config.seed)
        self.build_networks()
        self.stage_number = self.stage_images = self.images = self.steps = 0
        self.stage_seconds = self.seconds = 0.0
        self.validation = math.nan
        if self.checkpoint_path.is_file():
            self.restore(load_checkpoint(self.checkpoint_path))

    @property
    def checkpoint_path(self) -> Path:
        return self.output / "checkpoint.pt"

    def check_data(self) -> None:
        needed = self.config.generator
        if self.data.latent_dim > needed.z_dim:
            raise training_error(f"the scenes have {self.data.latent_dim} latents, more than z ({needed.z_dim})")
        if not self.data.paired:
            raise training_error("the pictures have no latents to teach pairs with")

    def build_networks(self) -> None:
        config = self.config
        self.generator = Generator.create(config.generator, config.seed)
        with torch.no_grad():
            # Noise must not matter: it begins unseen. The picture begins almost plain, not as
            # six random ones above each other, and blocks to come begin silent.
            self.generator.mapping.fc0.weight[:, self.data.latent_dim : config.generator.z_dim] = 0
            for size in config.generator.block_resolutions:
                later = size > config.stages[0].resolution
                getattr(self.generator.synthesis, f"b{size}").torgb.weight.mul_(0.0 if later else 0.1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + 1)
            self.discriminator = Discriminator(
                config.generator.resolution, config.generator.img_channels, config.discriminator_channels
            )
        if config.precision == "bf16" or config.precision == "auto" and has_fast_bf16():
            self.generator.set_precision("bf16")
            self.discriminator.dtype = torch.bfloat16
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), betas=(0.9, 0.99), fused=True)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), betas=(0.0, 0.99), fused=True)

    # The loop

    def run(self) -> bool:
        """Train until the last stage is done (True) or a stop is asked for (False)."""
        keep_memory()
        self.output.mkdir(parents=True, exist_ok=True)
        self.start_clocks()
        with StopRequest() as stop, gathered_passes(self.config.compile and has_compiler()):
            while self.stage_number < len(self.config.stages):
                if not self.run_stage(self.config.stages[self.stage_number], stop):
                    self.checkpoint()
                    self.say("Stopped; the same command continues.")
                    return False
                self.stage_number += 1
                self.stage_images, self.stage_seconds = 0, 0.0
        self.finish()
        return True

    def start_clocks(self) -> None:
        self.told = self.saved = self.shown = self.scanned = time.monotonic()

    def run_stage(self, stage: Stage, stop: StopRequest) -> bool:
        focus = losses.focus_map(stage.resolution, stage.focus)
        step = self.adversarial_step if stage.kind == "adversarial" else self.pair_step
        for group in self.generator_optimizer.param_groups:
            group["betas"] = (stage.beta1, 0.99)
        while (progress := self.progress(stage)) < 1.0:
            if stop.asked:
                return False
            begun = time.monotonic()
            self.set_rates(stage, progress)
            values = step(stage, focus)
            self.check_values(values)
            self.update_average()
            self.steps += 1
            self.images += stage.batch
            self.stage_images += stage.batch
            self.seconds += time.monotonic() - begun
            self.stage_seconds += time.monotonic() - begun
            self.habits(stage, values)
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
        for optimizer, rate in ((self.generator_optimizer, stage.learning_rate),
                                (self.discriminator_optimizer, stage.discriminator_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * rise * fall

    # Steps

    def draw_pairs(self, stage: Stage) -> tuple[Tensor, Tensor]:
        """Pictures (N, 4, R, R) and z (N, z_dim) whose free part is new noise."""
        rows = self.data.rows(held_out=False)
        target, latents = self.data.batch(rows[self.order.take(self.images, stage.batch, len(rows))], stage.resolution)
        return target, self.complete(latents, self.rng)

    def complete(self, latents: Tensor, rng: torch.Generator) -> Tensor:
        z_dim = self.config.generator.z_dim
        free = torch.randn(len(latents), z_dim - latents.shape[1], generator=rng)
        return torch.cat((latents, free), dim=1)

    def pair_step(self, stage: Stage, focus: Tensor) -> dict[str, float]:
        target, z = self.draw_pairs(stage)
        picture = self.generator.synthesis.raw(self.generator.mapping(z), "const", stage.resolution)
        loss = losses.pair_loss(picture, target, focus, stage.gradient_weight)
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.generator_optimizer.step()
        return {"pair": loss.item()}

    def free_codes(self, count: int, mixing: float) -> Tensor:
        """w+ (count, num_ws, w_dim) of random z, part of them mixed at a random layer."""
        first, second = (torch.randn(count, self.generator.z_dim, generator=self.rng) for _ in range(2))
        first, second = self.generator.mapping(first), self.generator.mapping(second)
        layers = torch.arange(self.generator.num_ws)[None]
        cut = torch.randint(1, self.generator.num_ws, (count, 1), generator=self.rng)
        mixed = torch.rand(count, 1, generator=self.rng) < mixing
        return torch.where(((layers >= cut) & mixed)[..., None], second, first)

    def adversarial_step(self, stage: Stage, focus: Tensor) -> dict[str, float]:
        target, z = self.draw_pairs(stage)
        codes = self.generator.mapping(z)
        free = round(stage.batch * stage.free)
        if free:
            codes = torch.cat((codes, self.free_codes(free, stage.mixing)))
        fake = self.generator.synthesis.raw(codes)
        values = self.teach_generator(stage, focus, fake, target)
        values.update(self.teach_discriminator(stage, fake.detach(), target))
        return values

    def teach_generator(self, stage: Stage, focus: Tensor, fake: Tensor, target: Tensor) -> dict[str, float]:
        # The discriminator starts from nothing: its word gains weight slowly.
        ramp = min(1.0, self.stage_images / max(stage.adversarial_ramp, 1))
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            real_features = self.discriminator(target)[1]
        logits, features = self.discriminator(fake)
        pair = losses.pair_loss(fake[: len(target)], target, focus, stage.gradient_weight)
        realism = losses.generator_loss(logits)
        likeness = losses.feature_loss([f[: len(target)] for f in features], real_features)
        loss = stage.pair_weight * pair
        loss = loss + ramp * (stage.adversarial_weight * realism + stage.feature_weight * likeness)
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.generator_optimizer.step()
        self.discriminator.requires_grad_(True)
        return {"pair": pair.item(), "generator": realism.item(), "features": likeness.item()}

    def teach_discriminator(self, stage: Stage, fake: Tensor, target: Tensor) -> dict[str, float]:
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss = losses.discriminator_loss(self.discriminator(target)[0], self.discriminator(fake)[0])
        loss.backward()
        values = {"discriminator": loss.item()}
        if self.steps % stage.r1_interval == 0:
            with plain_passes():
                penalty = losses.r1_penalty(self.discriminator, target)
                (penalty * (stage.r1_gamma / 2 * stage.r1_interval)).backward()
            values["r1"] = penalty.item()
        self.discriminator_optimizer.step()
        return values

    def check_values(self, values: dict[str, float]) -> None:
        if not all(math.isfinite(value) for value in values.values()):
            raise training_error(
                f"the loss is no longer a number after {self.images} pictures",
                "The last checkpoint is kept: lower the learning rate and run the same command again.",
            )

    @torch.no_grad()
    def update_average(self) -> None:
        batch = self.config.stages[self.stage_number].batch
        half_life = min(self.config.ema_images, 0.05 * (self.images + batch))
        keep = 0.5 ** (batch / max(half_life, 1e-6))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - keep)

    # Habits: progress, sheets, checkpoints, new data

    def habits(self, stage: Stage, values: dict[str, float]) -> None:
        now, config = time.monotonic(), self.config
        if now - self.told > 10 or self.stage_images == stage.batch:
            self.told = now
            self.tell(stage, values)
        if now - self.scanned > config.rescan_minutes * 60:
            self.scanned = now
            self.data.rescan()
        if now - self.shown > config.sheet_minutes * 60:
            self.shown = time.monotonic()
            self.show(stage.resolution)
        if now - self.saved > config.checkpoint_minutes * 60:
            self.saved = time.monotonic()
            self.checkpoint()

    def tell(self, stage: Stage, values: dict[str, float]) -> None:
        left = self.seconds_left(stage)
        rate = self.stage_images / max(self.stage_seconds, 1e-6)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.say(
            f"stage {self.stage_number + 1}/{len(self.config.stages)} {stage.kind} {stage.resolution}  "
            f"{self.images} pictures (of {len(self.data)})  {rate:.1f}/s  {numbers}  {left / 60:.1f} min left"
        )
        self.log.write(stage=self.stage_number, images=self.images, seconds=round(self.seconds, 1),
                       data=len(self.data), rate=round(rate, 2), losses=values)

    def seconds_left(self, stage: Stage) -> float:
        """What the clock-bound stages will take; a stage by pictures is estimated from its pace."""
        progress = self.progress(stage)
        here = self.stage_seconds * (1 / progress - 1) if progress > 0 else stage.minutes * 60
        return here + sum(later.minutes * 60 for later in self.config.stages[self.stage_number + 1 :])

    @torch.no_grad()
    def show(self, resolution: int) -> None:
        """A sheet, the likeness to held-out pictures, and the generator file as it now stands."""
        self.refresh_average()
        rng = torch.Generator().manual_seed(99)
        held = self.data.rows(held_out=True)
        target, latents = self.data.batch(held, resolution)
        z = self.complete(latents, rng)
        raw = torch.cat([
            self.average.synthesis.raw(self.average.mapping(part), "const", resolution) for part in z.split(16)
        ])
        self.validation = (raw - target).abs().mean().item() / 2
        self.log.write(images=self.images, losses={f"held_out_{resolution}": self.validation})
        self.say(f"held-out pictures: mean error {self.validation:.4f} of the range")
        sheet = sample_sheet(self.average, target[:8], z[:8], resolution)
        write_atomic(self.output / f"sheet-{self.images:07d}.png", sheet)
        write_atomic(self.output / "sheet.png", sheet)
        self.export()

    def refresh_average(self) -> None:
        """w_avg: the mean w over z ~ N(0, 1), which truncation pulls towards."""
        z = torch.randn(AVERAGED_CODES, self.generator.z_dim, generator=torch.Generator().manual_seed(0))
        self.average.mapping.w_avg.copy_(self.average.mapping.single(z).mean(0))

    def facts(self) -> dict[str, object]:
        return {
            "pictures seen": self.images,
            "training pictures": len(self.data.rows(held_out=False)),
            "minutes": round(self.seconds / 60, 1),
            "held-out mean error (0 to 1)": round(self.validation, 5),
            "precision": self.generator.precision,
            "weights": sum(p.numel() for p in self.generator.parameters()),
            "stages": "; ".join(f"{s.kind} {s.resolution}" for s in self.config.stages),
        }

    def export(self) -> None:
        metadata = {"scene_latents": self.data.latent_dim, **self.facts()}
        self.average.save(self.output / "generator.safetensors", metadata)

    def finish(self) -> None:
        self.stage_number = len(self.config.stages)
        self.show(self.config.generator.resolution)
        self.checkpoint()
        page = results_page(self.output, "Generator training", self.facts(), self.log, "sheet.png")
        self.say(f"Done: {self.output / 'generator.safetensors'}, see {page}")

    def checkpoint(self) -> None:
        save_checkpoint(self.checkpoint_path, {
            "config": self.shape(),
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "rng": self.rng.get_state(),
            "counters": {name: getattr(self, name) for name in COUNTERS},
        })

    def shape(self) -> dict[str, object]:
        """What a checkpoint must agree in; stages may be changed between two runs."""
        return {
            "generator": dataclasses.asdict(self.config.generator),
            "discriminator": dict(self.config.discriminator_channels),
            "latents": self.data.latent_dim,
        }

    def restore(self, state: dict) -> None:
        if state.get("config") != self.shape():
            raise training_error(
                f"{self.checkpoint_path} belongs to another generator", "Choose another output folder.")
        self.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.rng.set_state(state["rng"])
        for name in COUNTERS:
            setattr(self, name, state["counters"][name])
        self.say(f"Continuing after {self.images} pictures.")


COUNTERS = ("stage_number", "stage_images", "stage_seconds", "images", "steps", "seconds", "validation")


def has_compiler() -> bool:
    """Whether torch.compile can work here: it needs a C++ compiler."""
    from torch._inductor import cpp_builder

    with contextlib.suppress(Exception):
        return bool(cpp_builder.get_cpp_compiler())
    return False


def training_error(reason: str, hint: str = "Choose other data or correct the plan.") -> StyleRigError:
    return StyleRigError(f"The training cannot go on: {reason}.", hint, code="training")
