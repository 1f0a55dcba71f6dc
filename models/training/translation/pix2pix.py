"""Teaching pix2pix: pairs of input and output, or outputs whose inputs are made of them, black and white."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.device_rng import DeviceRng
from models.evaluation.looks.measures import psnr
from models.training.core.trainer import Progress
from models.training.translation.config import Pix2PixPlan
from models.training.translation.data import flipped, jittered, open_pairs
from models.training.translation.made import black_and_white, grey
from models.training.translation.task import COLUMNS, LOOK, LookTask, frozen
from models.translation import Look
from models.translation.image_pool import ImagePool
from models.translation.lab import coloured, colours_of, lightness_of
from models.translation.layers import initialise_normal
from models.translation.losses import patch_discriminator_loss, pix2pix_loss
from models.translation.patch_discriminator import make_discriminator
from models.translation.unet import UNetGenerator

BETAS = (0.5, 0.999)


@dataclass(eq=False)
class Batch:
    """What goes into the network (N, inputs, R, R), and what should come out (N, outputs, R, R)."""

    inputs: Tensor
    targets: Tensor


class Pix2PixTask(LookTask):
    """One folder: its images are to come out, and go in black and white. Two: those of the first go in, those of the second come out."""

    plan: Pix2PixPlan
    sheet_text = "Images that the training never saw: what goes in, what comes out, what should."

    def open_data(self) -> None:
        self.sources = open_pairs(self.data, self.plan.framing, self.plan.seed, self.world.is_main)
        self.pool = ImagePool(self.plan.pool, self.plan.seed)

    def create_networks(self) -> dict[str, nn.Module]:
        self.generator, self.discriminator = UNetGenerator(self.plan.generator), make_discriminator(self.plan.discriminator)
        return {"generator": initialise_normal(self.generator), "discriminator": initialise_normal(self.discriminator)}

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {name: torch.optim.Adam(module.parameters(), betas=BETAS, fused=True) for name, module in self.modules.items()}

    @property
    def epoch(self) -> int:
        return len(self.sources[0])

    def batch(self, progress: Progress, rng: DeviceRng) -> Batch:
        rows = self.sources[0].places(*self.start(progress))
        given, wanted = (images.to(self.world.device) for images in self.pair(self.sources[0].of(rows), self.sources[-1].of(rows)))
        both = jittered(torch.cat([given, wanted], dim=1), rng, self.plan.enlarge, self.plan.crop)
        given, wanted = (flipped(both, rng) if self.plan.flip else both).chunk(2, dim=1)
        return Batch(self.as_input(given), self.as_target(wanted))

    def pair(self, given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """RGB that goes in and that should come out, of the first and the last source."""
        return (given if len(self.sources) == 2 else self.black_and_white(wanted)), wanted

    def black_and_white(self, images: Tensor) -> Tensor:
        """Without colour: of the same lightness where the network colours in Lab, else as bright as grey is."""
        if self.plan.generator.colourises:
            lightness = lightness_of(images)
            return coloured(lightness, torch.zeros_like(lightness).expand(-1, 2, -1, -1))
        return black_and_white(images)

    def as_input(self, images: Tensor) -> Tensor:
        if self.plan.generator.colourises:
            return lightness_of(images)
        return grey(images) if self.plan.generator.inputs == 1 else images

    def as_target(self, images: Tensor) -> Tensor:
        if self.plan.generator.colourises:
            return colours_of(images)
        return grey(images) if self.plan.generator.outputs == 1 else images

    def learn(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        mode, pair = self.plan.gan_mode, lambda images: torch.cat([batch.inputs, images], dim=1)
        fake = self.generator(batch.inputs)
        scores = self.discriminator(pair(batch.targets)), self.discriminator(self.pool.query(pair(fake)))
        losses = self.descend("discriminator", patch_discriminator_loss(*scores, mode), "discriminator")
        with frozen(self.discriminator):
            parts = pix2pix_loss(self.discriminator(pair(fake)), fake, batch.targets, self.plan.l1_weight, mode)
            return losses | self.descend("generator", parts, "generator")

    def looks(self) -> dict[str, Look]:
        return {LOOK: self.look_of(self.plan.generator, self.generator)}

    def show(self) -> tuple[list[Tensor], dict[str, float]]:
        look = self.looks()[LOOK]
        rows = self.sources[0].example_rows(4 * COLUMNS)
        given, wanted = self.pair(*(source.of(rows) for source in (self.sources[0], self.sources[-1])))
        made = look(given)
        return [row[:: -(-len(rows) // COLUMNS)] for row in (given, made, wanted)], {"held_out_psnr": psnr(made, wanted)}

    def state(self) -> dict:
        return {"pool": self.pool.state()}

    def load_state(self, state: dict) -> None:
        self.pool.load_state(state["pool"])
