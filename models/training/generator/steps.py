"""One step of teaching: by pairs of latents and pictures, or against a discriminator with the pairs kept.

The studio's latents determine a picture completely, so the generator's z is
[the scene's numbers, free noise]. Random numbers of a step depend only on the seed, the pictures
seen before and the process, so that a checkpoint needs no state of theirs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.data.image_set import Order, PictureSet
from models.generators.bias_act import plain_passes
from models.perception.face_regressor import Estimator
from models.training.core.distributed import World
from models.training.generator import losses
from models.training.generator.augment import Adaptive, Augmentation, draw
from models.training.generator.config import Stage
from models.training.generator.networks import Networks
from models.training.generator.perceptual import reading_loss
from models.training.generator.texture import texture_loss

PATH_SHRINK = 2  # path lengths are measured on half of a batch
PATH_DECAY = 0.01  # of the running mean of path lengths


class Teacher:
    """Takes steps with ``networks`` on ``data``; ``step`` returns the losses by name.

    ``reader`` is needed for stages with a ``reading_weight``.
    """

    def __init__(self, networks: Networks, data: PictureSet, world: World, seed: int, reader: Estimator | None = None):
        self.networks, self.data, self.world, self.seed, self.reader = networks, data, world, seed, reader
        self.order = Order(seed)
        self.adaptive = Adaptive()
        self.path_mean = 0.0
        self.middles: dict[tuple[int, float], Tensor] = {}  # what focus_map begins with

    def step(self, stage: Stage, images: int, stage_images: int, steps: int) -> dict[str, float]:
        """``images`` and ``steps`` were done before in all, ``stage_images`` in this stage."""
        self.rng = torch.Generator().manual_seed(mix(self.seed, images, self.world.rank))
        rows = self.data.rows(held_out=False)
        local = stage.batch // self.world.size
        taken = self.order.take(images + self.world.rank * local, local, len(rows))
        target, latents = self.data.batch(rows[taken], stage.resolution)
        target, latents = target.to(self.world.device), latents.to(self.world.device)
        self.focus, self.near = self.focus_maps(stage, rows[taken])
        if stage.kind == "pairs":
            return self.pair_step(stage, target, latents)
        # The discriminator starts from nothing: its word gains weight slowly.
        ramp = min(1.0, stage_images / max(stage.adversarial_ramp, 1))
        values = self.adversarial_step(stage, target, latents, ramp, steps)
        if stage.path_weight > 0 and steps % stage.path_interval == 0:
            values["path"] = self.path_step(stage, local)
        self.update("generator")
        self.update("discriminator")
        return values

    def update(self, name: str) -> None:
        optimizer = getattr(self.networks, f"{name}_optimizer")
        self.world.average_gradients(getattr(self.networks, name).parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def complete(self, latents: Tensor, rng: torch.Generator) -> Tensor:
        """Latents (N, S) and new noise: z (N, z_dim)."""
        free = torch.randn(len(latents), self.networks.generator.z_dim - latents.shape[1], generator=rng)
        return torch.cat((latents, free.to(latents)), dim=1)

    def focus_maps(self, stage: Stage, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """What each place of the pictures weighs (N, 1, R, R), mean 1, and how much of that is for eyes, brows and mouth."""
        key = (stage.resolution, stage.focus)
        if key not in self.middles:
            self.middles[key] = losses.focus_map(*key).to(self.world.device)
        landmarks = self.data.landmarks(rows) if stage.feature_focus > 0 else None
        if landmarks is None:
            return self.middles[key].expand(len(rows), -1, -1, -1), None
        near = stage.feature_focus * losses.feature_map(landmarks.to(self.world.device), stage.resolution)
        weight = self.middles[key] + near
        return weight / weight.mean(), near / weight.mean()

    def pair_loss(self, stage: Stage, picture: Tensor, target: Tensor, values: dict[str, float]) -> Tensor:
        """Unlikeness to the pair; its parts go to ``values``."""
        focus, near = (None if part is None else part[: len(picture)] for part in (self.focus, self.near))
        loss = losses.pair_loss(picture, target, focus, stage.gradient_weight, stage.pair_skip, near)
        values["pair"] = loss.item()
        if stage.texture_weight > 0:
            texture = texture_loss(picture, target)
            values["texture"] = texture.item()
            loss = loss + stage.texture_weight * texture
        if stage.reading_weight > 0:
            reading = reading_loss(self.reader, picture, target, self.rng)
            values["reading"] = reading.item()
            loss = loss + stage.reading_weight * reading
        return loss

    def pair_step(self, stage: Stage, target: Tensor, latents: Tensor) -> dict[str, float]:
        generator = self.networks.generator
        codes = generator.mapping(self.complete(latents, self.rng))
        picture = generator.synthesis.raw(codes, "const", stage.resolution)
        values: dict[str, float] = {}
        self.pair_loss(stage, picture, target, values).backward()
        self.update("generator")
        return values

    def free_codes(self, count: int, mixing: float) -> Tensor:
        """w+ (count, num_ws, w_dim) of random z, part of them mixed at a random layer."""
        generator, device = self.networks.generator, self.world.device
        first, second = (torch.randn(count, generator.z_dim, generator=self.rng).to(device) for _ in range(2))
        first, second = generator.mapping(first), generator.mapping(second)
        layers = torch.arange(generator.num_ws)[None]
        cut = torch.randint(1, generator.num_ws, (count, 1), generator=self.rng)
        mixed = torch.rand(count, 1, generator=self.rng) < mixing
        return torch.where(((layers >= cut) & mixed)[..., None].to(device), second, first)

    def adversarial_step(self, stage: Stage, target: Tensor, latents: Tensor, ramp: float, steps: int) -> dict[str, float]:
        """Gradients of both networks: pairs of the first pictures, random z for the others."""
        generator = self.networks.generator
        pairs = len(target) - round(len(target) * stage.free)
        codes = [generator.mapping(self.complete(latents[:pairs], self.rng))] if pairs else []
        if pairs < len(target):
            codes.append(self.free_codes(len(target) - pairs, stage.mixing))
        fake = within_matte(generator.synthesis.raw(torch.cat(codes), "const", stage.resolution))
        augmentation = draw(len(target), self.adaptive.p, stage.resolution, self.rng, stage.flip)
        values, gradient = self.judge(stage, fake, target, pairs, ramp, augmentation, steps)
        loss = (fake * gradient).sum()  # carries what the discriminator says on to the generator
        if pairs:
            loss = loss + stage.pair_weight * self.pair_loss(stage, fake[:pairs], target[:pairs], values)
        loss.backward()
        return values

    def judge(
        self, stage: Stage, fake: Tensor, target: Tensor, pairs: int, ramp: float, augmentation: Augmentation, steps: int
    ) -> tuple[dict[str, float], Tensor]:
        """Gradients of the discriminator; returns figures and the gradient of realism at ``fake``.

        One pass through the discriminator serves both networks, which are updated together.
        """
        discriminator = self.networks.discriminator
        fake = fake.detach().requires_grad_()
        seen = augmentation(target)
        real_logits, real_features = discriminator(seen)
        fake_logits, fake_features = discriminator(augmentation(fake))
        realism = losses.generator_loss(fake_logits)
        wish = stage.adversarial_weight * realism
        values = {"generator": realism.item()}
        if pairs and stage.feature_weight > 0:
            likeness = losses.feature_loss([f[:pairs] for f in fake_features], [f[:pairs].detach() for f in real_features])
            wish = wish + stage.feature_weight * likeness
            values["features"] = likeness.item()
        (gradient,) = torch.autograd.grad(wish * ramp, fake, retain_graph=True)
        loss = losses.discriminator_loss(real_logits, fake_logits)
        loss.backward(inputs=list(discriminator.parameters()))
        values |= {"discriminator": loss.item(), "real_sign": real_logits[0].sign().mean().item()}
        if steps % stage.r1_interval == 0:
            penalty = losses.r1_penalty(discriminator, seen)
            (penalty * (stage.r1_gamma / 2 * stage.r1_interval)).backward()
            values["r1"] = penalty.item()
        return values, gradient

    def path_step(self, stage: Stage, batch: int) -> float:
        """Add the gradient of path-length regularisation; returns the mean length."""
        generator = self.networks.generator
        with plain_passes():
            codes = self.free_codes(max(1, batch // PATH_SHRINK), stage.mixing)
            lengths = losses.path_lengths(generator.synthesis.raw(codes, "const", stage.resolution), codes, self.rng)
            (mean,) = self.world.mean([lengths.mean().item()])
            self.path_mean += (mean - self.path_mean) * (PATH_DECAY if self.path_mean else 1.0)
            penalty = (lengths - self.path_mean).square().mean()
            (penalty * stage.path_weight * stage.path_interval).backward()
        return mean

    def adapt(self, stage: Stage, values: dict[str, float]) -> None:
        """Move ADA's probability by what the discriminator said of real pictures."""
        if stage.ada_target > 0 and "real_sign" in values:
            self.adaptive.update(values["real_sign"], stage.batch, stage.ada_target, stage.ada_images)
            values["augmented"] = self.adaptive.p

    def state(self) -> dict:
        return {"adaptive": self.adaptive.state(), "path_mean": self.path_mean}

    def load(self, state: dict) -> None:
        self.adaptive.load(state["adaptive"])
        self.path_mean = float(state["path_mean"])


def within_matte(raw: Tensor) -> Tensor:
    """Pictures (N, 4, R, R) in [-1, 1] with colour limited to the matte, as they are shown."""
    return torch.cat((torch.minimum(raw[:, :3], raw[:, 3:]), raw[:, 3:]), dim=1)


def mix(*numbers: int) -> int:
    """A seed from several numbers (the multiplier of Knuth's MMIX generator)."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return seed
