"""Teaching CycleGAN: from one domain to another and back, without pairs."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from models.device_rng import DeviceRng
from models.evaluation.looks.measures import error
from models.training.core.trainer import Progress
from models.training.translation.config import CycleGANPlan
from models.training.translation.data import bad_count, flipped, jittered, open_domains
from models.training.translation.pix2pix import BETAS
from models.training.translation.task import COLUMNS, LOOK, LookTask, frozen
from models.translation import Look
from models.translation.image_pool import ImagePool
from models.translation.layers import initialise_normal
from models.translation.losses import cyclegan_loss, patch_discriminator_loss
from models.translation.patch_discriminator import make_discriminator
from models.translation.resnet import ResNetGenerator

BACK = "look-back.safetensors"


class CycleGANTask(LookTask):
    """Two folders, or two domains of one: those of the first become those of the second, and back."""

    plan: CycleGANPlan
    sheet_text = "Images that the training never saw: of the first domain, there, and back again; of the second, there, and back again."

    def open_data(self) -> None:
        plan = self.plan
        if len(self.data) > 2 or (len(self.data) == 1 and len(plan.domains) != 2):
            raise bad_count(self.data, "two, or one and two names as domains in the plan")
        self.domains = open_domains(self.data, plan.domains, plan.framing, plan.seed, self.world.is_main)
        self.pools = [ImagePool(plan.pool, plan.seed + index) for index in range(2)]

    def create_networks(self) -> dict[str, nn.Module]:
        plan = self.plan
        self.to_b, self.to_a = ResNetGenerator(plan.generator), ResNetGenerator(plan.generator)
        self.judge_b, self.judge_a = make_discriminator(plan.discriminator), make_discriminator(plan.discriminator)
        networks = {"to_b": self.to_b, "to_a": self.to_a, "judge_b": self.judge_b, "judge_a": self.judge_a}
        return {name: initialise_normal(network) for name, network in networks.items()}

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        both = lambda one, other: torch.optim.Adam(itertools.chain(one.parameters(), other.parameters()), betas=BETAS, fused=True)
        return {"generators": both(self.to_b, self.to_a), "discriminators": both(self.judge_b, self.judge_a)}

    @property
    def epoch(self) -> int:
        return max(map(len, self.domains))

    def batch(self, progress: Progress, rng: DeviceRng) -> list[Tensor]:
        """Images of A and of B, (N, 3, R, R) each."""
        found = [images.of(images.places(*self.start(progress))).to(self.world.device) for images in self.domains]
        found = [jittered(images, rng, self.plan.enlarge, self.plan.crop) for images in found]
        return [flipped(images, rng) if self.plan.flip else images for images in found]

    def learn(self, batch: list[Tensor], rng: DeviceRng) -> dict[str, float]:
        (a, b), mode = batch, self.plan.gan_mode
        fake_b, fake_a = self.to_b(a), self.to_a(b)
        with frozen(self.judge_b, self.judge_a):
            parts = cyclegan_loss(
                (a, b), (self.to_a(fake_b), self.to_b(fake_a)), (self.to_a(a), self.to_b(b)) if self.plan.identity_weight else None,
                (self.judge_b(fake_b), self.judge_a(fake_a)), self.plan.cycle_weights, self.plan.identity_weight, mode,
            )  # fmt: skip
            losses = self.descend("generator", parts, "generators")
        judged = ("b", self.judge_b, b, self.pools[0].query(fake_b)), ("a", self.judge_a, a, self.pools[1].query(fake_a))
        parts = {
            f"{side}_{name}": part
            for side, judge, real, fake in judged
            for name, part in patch_discriminator_loss(judge(real), judge(fake), mode).items()
        }
        return losses | self.descend("discriminator", parts, "discriminators")

    def looks(self) -> dict[str, Look]:
        return {name: self.look_of(self.plan.generator, network) for name, network in ((LOOK, self.to_b), (BACK, self.to_a))}

    def show(self) -> tuple[list[Tensor], dict[str, float]]:
        there, back = self.looks().values()
        count = min(COLUMNS, *(len(images.held_out) or len(images) for images in self.domains))
        a, b = (images.examples(count) for images in self.domains)
        row_a, row_b = [a, there(a), back(there(a))], [b, back(b), there(back(b))]
        return row_a + row_b, {"held_out_cycle_a": error(row_a[2], a), "held_out_cycle_b": error(row_b[2], b)}

    def state(self) -> dict:
        return {"pools": [pool.state() for pool in self.pools]}

    def load_state(self, state: dict) -> None:
        for pool, kept in zip(self.pools, state["pools"], strict=True):
            pool.load_state(kept)
