"""Teaching CoGAN: a latent becomes an image in every domain, though no pairs are known."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from models.device_rng import DeviceRng
from models.training.core.trainer import Progress
from models.training.translation.config import CoGANPlan
from models.training.translation.data import flipped, open_domains
from models.training.translation.pix2pix import BETAS
from models.training.translation.task import COLUMNS, LOOK, LookTask, frozen
from models.translation import Look
from models.translation.cogan import CoGANDiscriminator, CoGANGenerator
from models.translation.layers import initialise_xavier
from models.translation.look import CoGANLook
from models.translation.losses import cogan_discriminator_loss, cogan_loss


class CoGANTask(LookTask):
    """A folder for each domain, or one for all."""

    plan: CoGANPlan
    sheet_text = "A row for each domain: in a column, what the same latent draws."

    def open_data(self) -> None:
        plan = self.plan
        self.domains = open_domains(self.data, plan.generator.domains, plan.framing, plan.seed, self.world.is_main)

    def create_networks(self) -> dict[str, nn.Module]:
        self.generator, self.discriminator = CoGANGenerator(self.plan.generator), CoGANDiscriminator(self.plan.generator)
        return {"generator": initialise_xavier(self.generator), "discriminator": initialise_xavier(self.discriminator)}

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        adam = lambda module: torch.optim.Adam(module.parameters(), betas=BETAS, weight_decay=self.plan.weight_decay, fused=True)
        return {name: adam(module) for name, module in self.modules.items()}

    @property
    def epoch(self) -> int:
        return max(map(len, self.domains))

    def batch(self, progress: Progress, rng: DeviceRng) -> Tensor:
        """Images (N, domains, 3, S, S), one of each domain beside each other, of nobody in common."""
        found = [images.of(images.places(*self.start(progress))).to(self.world.device) for images in self.domains]
        return torch.stack([flipped(images, rng) if self.plan.flip else images for images in found], dim=1)

    def learn(self, batch: Tensor, rng: DeviceRng) -> dict[str, float]:
        fake = self.generator(rng.rand(len(batch), self.plan.generator.latent_dim) * 2 - 1)
        parts = cogan_discriminator_loss(self.discriminator(batch), self.discriminator(fake.detach()))
        losses = self.descend("discriminator", parts, "discriminator")
        with frozen(self.discriminator):
            return losses | self.descend("generator", cogan_loss(self.discriminator(fake)), "generator")

    def looks(self) -> dict[str, Look]:
        return {LOOK: self.look_of(self.plan.generator, self.generator)}

    def show(self) -> tuple[list[Tensor], dict[str, float]]:
        look = cast(CoGANLook, self.looks()[LOOK])
        latents = torch.rand(COLUMNS, self.plan.generator.latent_dim, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return list(look.draw(latents).unbind(dim=1)), {}
