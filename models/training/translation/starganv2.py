"""Teaching StarGAN v2: many styles of many domains, from latents and from references."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from models.device_rng import DeviceRng
from models.evaluation.looks.measures import error
from models.training.core.trainer import Progress, set_learning_rate
from models.training.translation.config import Stage, StarGANv2Plan
from models.training.translation.data import cropped, flipped, open_domains
from models.training.translation.pairs import Makeovers, Styles, examples, paired_error
from models.training.translation.task import COLUMNS, LOOK, LookTask, frozen
from models.translation import Look
from models.translation.layers import initialise_he, silence
from models.translation.look import StarGANv2Look
from models.translation.losses import r1_penalty, starganv2_discriminator_loss, starganv2_loss
from models.translation.schedules import diversity_weight
from models.translation.starganv2 import StarGANv2, StarGANv2Discriminator

SECOND_BETA = 0.99


@dataclass(eq=False)
class Batch:
    """Images (N, 3, S, S) and their domains (N,); two references and two latents for each, of the wanted domains (N,).

    ``warms_up``: the generator learns without the others. ``pairs`` where the plan has some."""

    images: Tensor
    domains: Tensor
    wanted: Tensor
    references: tuple[Tensor, Tensor]
    latents: tuple[Tensor, Tensor]
    diversity_weight: float
    warms_up: bool
    pairs: Pairs | None = None


@dataclass(eq=False)
class Pairs:
    """Images and what they are in the style of ``references`` (N, 3, S, S) of the domains (N,); latents that stand for it; what each
    pixel's error counts."""

    questions: Tensor
    answers: Tensor
    weights: Tensor
    references: Tensor
    latents: Tensor
    domains: Tensor


class StarGANv2Task(LookTask):
    """A folder for each domain, or one for all. The look is the running average of the networks."""

    plan: StarGANv2Plan
    sheet_text = "Images that the training never saw; below, for each domain, the same with one latent's style, then with the style of one image of it."

    def open_data(self) -> None:
        plan = self.plan
        self.domains = open_domains(self.data, plan.generator.domains, plan.framing, plan.seed, self.world.is_main)
        self.makeovers = Makeovers.of(self.domains[0].pictures) if plan.paired_weight else None
        if self.makeovers:
            self.open_styles(self.makeovers)

    def open_styles(self, makeovers: Makeovers) -> None:
        """What is known of the styles of pictures that makeovers show."""
        pictures = self.domains[0].pictures
        self.known_styles = Styles.of(pictures, [images.rows for images in self.domains], makeovers.people)
        self.domain_of, self.learnt = np.zeros(len(pictures), int), np.zeros(len(pictures), bool)
        for domain, images in enumerate(self.domains):
            self.domain_of[images.rows], self.learnt[images.training] = domain, True

    def create_networks(self) -> dict[str, nn.Module]:
        self.networks, self.discriminator = StarGANv2(self.plan.generator), StarGANv2Discriminator(self.plan.generator)
        initialise_he(self.networks)
        initialise_he(self.discriminator)
        if self.plan.generator.residual:
            silence(self.networks.generator.to_rgb[-1])
        if self.plan.generator.norm == "none":
            for norm in self.networks.generator.style_norms:
                silence(norm.fc)  # scales that multiply from layer to layer begin at 1
        self.average = copy.deepcopy(self.networks).requires_grad_(False)
        return {"networks": self.networks, "average": self.average, "discriminator": self.discriminator}

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        nets = self.networks
        learning = {"generator": nets.generator, "mapping": nets.mapping_network, "style_encoder": nets.style_encoder,
                    "discriminator": self.discriminator}  # fmt: skip
        betas = self.plan.momentum, SECOND_BETA
        adam = lambda module: torch.optim.Adam(module.parameters(), betas=betas, weight_decay=self.plan.weight_decay, fused=True)
        return {name: adam(module) for name, module in learning.items()}

    @property
    def epoch(self) -> int:
        return sum(map(len, self.domains))

    def begin_stage(self, stage: Stage) -> None:
        super().begin_stage(stage)
        set_learning_rate(self.optimizers["mapping"], stage.learning_rate * self.plan.mapping_rate)

    def batch(self, progress: Progress, rng: DeviceRng) -> Batch:
        """Every domain as often as the others, however many images it has."""
        plan, count = self.plan, self.world.share(self.stage.batch)
        domains, wanted = (rng.randint(0, len(self.domains), count) for _ in range(2))
        latents = rng.randn(2, count, plan.generator.latent_dim)
        weight = diversity_weight(progress.steps, plan.diversity_weight, plan.diversity_steps)
        references = self.draw(wanted, rng), self.draw(wanted, rng)
        warms_up = progress.steps < plan.warm_up_steps
        pairs = self.pairs(domains, rng) if self.makeovers else None
        return Batch(self.draw(domains, rng), domains, wanted, references, (latents[0], latents[1]), weight, warms_up, pairs)

    def pairs(self, domains: Tensor, rng: DeviceRng) -> Pairs:
        """Of an image of each of ``domains`` (N,) another of the same person, and an image of somebody else in that one's style."""
        images, styles = self.domains[0], self.known_styles
        rows = self.rows(domains, rng)
        others = cast(Makeovers, self.makeovers).partners(rows, rng)
        wanted = self.domain_of[others].tolist()
        references = images.of(styles.references(others, wanted, self.learnt)).to(self.world.device)
        question, answer = (images.of(each).to(self.world.device) for each in (rows, others))
        questions, answers, weights = examples(question, answer, self.plan.flip, rng)
        latents = styles.latents(others, rng.randn(len(rows), self.plan.generator.latent_dim))
        return Pairs(questions, answers, weights, references, latents, torch.tensor(wanted, device=self.world.device))

    def rows(self, domains: Tensor, rng: DeviceRng) -> np.ndarray:
        """A row of each of ``domains`` (N,)."""
        chosen = [self.domains[domain].training for domain in domains.tolist()]
        return np.array([rows[int(rng.randint(0, len(rows), 1))] for rows in chosen])

    def draw(self, domains: Tensor, rng: DeviceRng) -> Tensor:
        """An image of each of ``domains`` (N,)."""
        chosen = [self.domains[domain] for domain in domains.tolist()]
        found = [images.of(images.training[[int(rng.randint(0, len(images), 1))]]) for images in chosen]
        images = cropped(torch.cat(found).to(self.world.device), rng, self.plan.crop)
        return flipped(images, rng) if self.plan.flip else images

    def learn(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        losses = self.paired(batch.pairs) if batch.pairs is not None else self.warm_up(batch) if batch.warms_up else {}
        if batch.warms_up:
            return losses
        for way in ("latent", "reference"):
            with torch.no_grad():
                fake = self.networks.generator(batch.images, self.styles(way, batch)[0])
            losses |= self.descend(f"discriminator_{way}", self.discriminator_parts(batch, fake), "discriminator")
        for way, learners in (("latent", ("generator", "mapping", "style_encoder")), ("reference", ("generator",))):
            with frozen(self.discriminator):
                losses |= self.descend(f"generator_{way}", self.generator_parts(way, batch), *learners)
        return losses

    def paired(self, pairs: Pairs) -> dict[str, float]:
        """Learn what makeovers change, by references and by latents."""
        networks, weight = self.networks, self.plan.paired_weight
        styles = networks.style_encoder(pairs.references, pairs.domains), networks.mapping_network(pairs.latents, pairs.domains)
        made = [networks.generator(pairs.questions, style) for style in styles]
        far = [weight * paired_error(image, pairs.answers, pairs.weights) for image in made]
        parts = {"paired_reference": far[0], "paired_latent": far[1]}
        return self.descend("generator", parts, "generator", "mapping", "style_encoder")

    def warm_up(self, batch: Batch) -> dict[str, float]:
        """Generator and style encoder learn to leave images as they are, whatever the style."""
        same = self.networks.generator(batch.images, self.styles("reference", batch)[0])
        error = self.plan.cycle_weight * (same - batch.images).abs().mean()
        return self.descend("generator", {"reconstruction": error}, "generator", "style_encoder")

    def styles(self, way: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two styles (N, style_dim) in the wanted domains, of latents or of references."""
        by_latent = way == "latent"
        network = self.networks.mapping_network if by_latent else self.networks.style_encoder
        one, other = batch.latents if by_latent else batch.references
        return network(one, batch.wanted), network(other, batch.wanted)

    def discriminator_parts(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        real = batch.images.detach().requires_grad_(True)
        logits = self.discriminator(real, batch.domains)
        fake_logits = self.discriminator(fake, batch.wanted)
        return starganv2_discriminator_loss(logits, fake_logits, r1_penalty(logits, real), self.plan.r1_weight)

    def generator_parts(self, way: str, batch: Batch) -> dict[str, Tensor]:
        networks, plan = self.networks, self.plan
        style, other_style = self.styles(way, batch)
        fake = networks.generator(batch.images, style)
        with torch.no_grad():
            other = networks.generator(batch.images, other_style)
        back = networks.generator(fake, networks.style_encoder(batch.images, batch.domains))
        return starganv2_loss(
            self.discriminator(fake, batch.wanted), fake, other, networks.style_encoder(fake, batch.wanted), style, back, batch.images,
            batch.diversity_weight, plan.style_weight, plan.cycle_weight,
        )  # fmt: skip

    def after_step(self, progress: Progress, losses: dict[str, float]) -> dict[str, float]:
        torch._foreach_lerp_(list(self.average.parameters()), list(self.networks.parameters()), 1 - self.plan.ema)
        return {}

    def looks(self) -> dict[str, Look]:
        return {LOOK: self.look_of(self.plan.generator, self.average)}

    def show(self) -> tuple[list[Tensor], dict[str, float]]:
        """``diversity`` is how much two latents' styles differ in the images; the cycle goes through the last domain and back."""
        look = cast(StarGANv2Look, self.looks()[LOOK])
        images = self.domains[0].examples(COLUMNS)
        latents = torch.randn(2, self.plan.generator.latent_dim, generator=torch.Generator().manual_seed(0))
        by_latent = [look(images, style=look.style(latents[:1], domain)) for domain in range(len(self.domains))]
        by_reference = [look(images, style=look.style_of(known.examples(1), domain)) for domain, known in enumerate(self.domains)]
        other = look(images, style=look.style(latents[1:], len(self.domains) - 1))
        back = look(by_latent[-1], style=look.style_of(images, 0))
        return [images, *by_latent, *by_reference], {"diversity": error(by_latent[-1], other), "held_out_cycle": error(back, images)}
