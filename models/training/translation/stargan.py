"""Teaching StarGAN: one network changes any of many attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.device_rng import DeviceRng
from models.evaluation.looks.measures import changed, error
from models.training.core.trainer import Progress
from models.training.translation.config import StarGANPlan
from models.training.translation.data import flipped, open_labelled
from models.training.translation.pairs import Makeovers, difference_weights, examples, paired_error
from models.training.translation.pix2pix import BETAS
from models.training.translation.task import COLUMNS, LOOK, LookTask, frozen
from models.translation import Look
from models.translation.layers import initialise_he, silence
from models.translation.losses import Parts, classification_loss, gradient_penalty, stargan_discriminator_loss, stargan_loss
from models.translation.stargan import StarGANDiscriminator, StarGANGenerator

MEASURED = 32  # pairs
Pairs = tuple[Tensor, Tensor, Tensor, Tensor] | None


@dataclass(eq=False)
class Batch:
    """Images (N, 3, R, R) and labels (N, label_size) of each set; ``generator_learns`` in this step too; ``warms_up``: each by itself.

    ``pairs``: images, what they are with other labels, what their pixels count, and these labels.
    """

    sets: list[tuple[Tensor, Tensor]]
    generator_learns: bool
    warms_up: bool
    pairs: Pairs = None


class StarGANTask(LookTask):
    """A folder for each set of labels; one set is the usual case."""

    plan: StarGANPlan
    sheet_text = "Images that the training never saw, and below each label changed in them, in the order of the labels."

    def open_data(self) -> None:
        plan = self.plan
        self.sets = open_labelled(self.data, plan.generator.label_sets, plan.framing, plan.seed, self.world.is_main)
        self.makeovers = Makeovers.of(self.sets[0].images.pictures) if plan.paired_weight else None
        starts = [sum(map(len, plan.generator.label_sets[:index])) for index in range(len(self.sets))]
        self.columns = [slice(start, start + len(names)) for start, names in zip(starts, plan.generator.label_sets, strict=True)]

    def create_networks(self) -> dict[str, nn.Module]:
        self.generator, self.discriminator = StarGANGenerator(self.plan.generator), StarGANDiscriminator(self.plan.generator)
        if self.plan.generator.norm == "none":
            initialise_he(self.generator)  # torch's first weights are too small where no norm makes up for it
        if self.plan.generator.residual:
            silence(self.generator.main[-2])
        return {"generator": self.generator, "discriminator": self.discriminator}

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {name: torch.optim.Adam(module.parameters(), betas=BETAS, fused=True) for name, module in self.modules.items()}

    @property
    def epoch(self) -> int:
        return max(len(known.images) for known in self.sets)

    def vector(self, index: int, labels: Tensor) -> Tensor:
        """What the network takes (N, label_size) of the labels (N, C) of a set: the others' are 0, and the mask says which set."""
        config = self.plan.generator
        whole = labels.new_zeros(len(labels), config.label_size)
        whole[:, self.columns[index]] = labels
        if len(self.sets) > 1:
            whole[:, len(config.labels) + index] = 1
        return whole

    def batch(self, progress: Progress, rng: DeviceRng) -> Batch:
        taken = [known.take(*self.start(progress)) for known in self.sets]
        device = self.world.device
        sets = [(images.to(device), self.vector(index, labels).to(device)) for index, (images, labels) in enumerate(taken)]
        if self.plan.flip:
            sets = [(flipped(images, rng), labels) for images, labels in sets]
        turn, warms_up = (progress.steps + 1) % self.plan.critic_steps, progress.steps < self.plan.warm_up_steps
        pairs = self.pairs(*self.start(progress), rng) if self.makeovers and (turn == 0 or warms_up) else None
        return Batch(sets, generator_learns=turn == 0, warms_up=warms_up, pairs=pairs)

    def pairs(self, start: int, count: int, rng: DeviceRng) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Questions, answers (N, 3, R, R), weights and the answers' labels, of the people of the batch."""
        known = self.sets[0]
        rows = known.images.places(start, count)
        others = cast(Makeovers, self.makeovers).partners(rows, rng)
        question, answer = (known.images.of(each).to(self.world.device) for each in (rows, others))
        return *examples(question, answer, self.plan.flip, rng), self.vector(0, known.labels[others]).to(self.world.device)

    def learn(self, batch: Batch, rng: DeviceRng) -> dict[str, float]:
        losses: dict[str, float] = {}
        for index, (images, labels) in enumerate(batch.sets):
            wanted = labels[rng.randperm(len(labels))]
            who = f"set{index + 1}_" if len(self.sets) > 1 else ""
            if batch.warms_up:
                losses |= self.warm_up(who, index, images, labels, wanted, batch.pairs)
                continue
            losses |= self.discriminator_step(f"{who}discriminator", index, images, labels, wanted, rng)
            if batch.generator_learns:
                losses |= self.generator_step(f"{who}generator", index, images, labels, wanted, batch.pairs)
        return losses

    def warm_up(self, who: str, index: int, images: Tensor, labels: Tensor, wanted: Tensor, pairs: Pairs) -> dict[str, float]:
        """The discriminator learns to see labels, the generator from pairs or to leave images as they are, whatever is wanted."""
        losses: dict[str, float] = {}
        if self.plan.classification_weight:
            seen = self.plan.classification_weight * self.classification(index, self.discriminator(images)[1], labels)
            losses = self.descend(f"{who}discriminator", {"classification": seen}, "discriminator")
        same = self.plan.reconstruction_weight * (self.generator(images, wanted) - images).abs().mean() if pairs is None else None
        parts = self.paired(pairs) if same is None else {"reconstruction": same}
        return losses | self.descend(f"{who}generator", parts, "generator")

    def paired(self, pairs: Pairs) -> Parts:
        """How far the generator's answers are from those that are known."""
        if pairs is None:
            return {}
        questions, answers, weights, labels = pairs
        return {"paired": self.plan.paired_weight * paired_error(self.generator(questions, labels), answers, weights)}

    def discriminator_step(self, who: str, index: int, images: Tensor, labels: Tensor, wanted: Tensor, rng: DeviceRng) -> dict[str, float]:
        with torch.no_grad():
            fake = self.generator(images, wanted)
        scores, logits = self.discriminator(images)
        penalty = gradient_penalty(lambda between: self.discriminator(between)[0], images, fake, rng.rand(len(images), 1, 1, 1))
        parts = stargan_discriminator_loss(
            scores, self.discriminator(fake)[0], self.classification(index, logits, labels), penalty,
            self.plan.classification_weight, self.plan.gradient_penalty_weight,
        )  # fmt: skip
        return self.descend(who, parts, "discriminator")

    def generator_step(self, who: str, index: int, images: Tensor, labels: Tensor, wanted: Tensor, pairs: Pairs) -> dict[str, float]:
        fake = self.generator(images, wanted)
        with frozen(self.discriminator):
            scores, logits = self.discriminator(fake)
            parts = stargan_loss(
                scores, self.classification(index, logits, wanted), self.generator(fake, labels), images,
                self.plan.classification_weight, self.plan.reconstruction_weight,
            )  # fmt: skip
            return self.descend(who, parts | self.paired(pairs), "generator")

    def classification(self, index: int, logits: Tensor, labels: Tensor) -> Tensor:
        return classification_loss(logits, labels, self.sets[index].exclusive, self.columns[index])

    def looks(self) -> dict[str, Look]:
        return {LOOK: self.look_of(self.plan.generator, self.generator)}

    def show(self) -> tuple[list[Tensor], dict[str, float]]:
        """Of the first set. ``own_accuracy`` is by the discriminator that taught the generator, so it is no measure for others."""
        known, names, look = self.sets[0], self.plan.generator.label_sets[0], self.looks()[LOOK]
        rows = known.images.example_rows(COLUMNS)
        images, labels = known.images.of(rows), known.labels[rows]
        wanted = [changed(labels, names, index, known.exclusive) for index in range(len(names))]
        made = [look(images, self.vector(0, label)) for label in wanted]
        right = [
            self.answers(image)[:, index] == label[:, index].bool() for index, (image, label) in enumerate(zip(made, wanted, strict=True))
        ]
        there_and_back = look(made[0], self.vector(0, labels))
        figures = {"held_out_reconstruction": error(there_and_back, images), "own_accuracy": float(torch.stack(right).float().mean())}
        return [images, *made], figures | self.held_out_pairs(look)

    def held_out_pairs(self, look: Look) -> dict[str, float]:
        """How far answers are from those of makeovers that the training never saw, beside how far the questions are."""
        known = self.sets[0]
        if self.makeovers is None:
            return {}
        rows = known.images.example_rows(MEASURED)
        others = self.makeovers.partners(rows, DeviceRng(0))
        questions, answers = known.images.of(rows), known.images.of(others)
        weights, made = difference_weights(questions, answers), look(questions, self.vector(0, known.labels[others]))
        return {
            "held_out_pairs": float(paired_error(made, answers, weights)),
            "held_out_pairs_unchanged": float(paired_error(questions, answers, weights)),
        }

    def answers(self, images: Tensor) -> Tensor:
        """Which labels of the first set the discriminator sees (N, C)."""
        logits = self.discriminator(images.to(self.world.device))[1].cpu()[:, self.columns[0]]
        return logits == logits.amax(dim=1, keepdim=True) if self.sets[0].exclusive else logits > 0
