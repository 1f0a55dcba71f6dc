"""What ``evaluate look`` measures: which images, which classifier, which figures, by the kind of look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.errors import StyleRigError
from models.evaluation.looks import measures
from models.evaluation.looks.classifier import STEPS, Judged, train_classifier
from models.training.translation.attributes import attributes_of
from models.training.translation.data import Images, open_domains, open_images, open_labelled
from models.training.translation.framing import Framing
from models.training.translation.made import black_and_white
from models.translation.look import CoGANLook, Look, StarGANv2Look, UNetLook

OTHERS = ("black hair", "blond hair", "grey hair", "long hair", "beard", "young", "masculine")  # that both images of a pair should agree in
FEWEST = 2


@dataclass
class LookEvaluation:
    """The measure of looks on a set of the studio's; ``most`` held-out images of each kind, ``steps`` of the classifier's training.

    ``whole`` as in ``LookPlan``.
    """

    folder: Path
    size: int = 256
    whole: bool = False
    most: int = 64
    steps: int = STEPS

    @property
    def framing(self) -> Framing:
        return Framing(self.size, self.whole)

    def measure(self, look: Look, back: Look | None = None, domains: tuple[str, ...] = ()) -> dict[str, float]:
        """The figures of a look of any kind. Raises StyleRigError for data or names that do not fit it."""
        if isinstance(look, UNetLook):
            return self.of_colours(look)
        if isinstance(look, CoGANLook):
            return self.of_pairs(look)
        if isinstance(look, StarGANv2Look):
            return self.of_styles(look)
        return self.of_attributes(look) if look.labels else self.of_cycle(look, back, domains)

    def of_colours(self, look: Look) -> dict[str, float]:
        wanted = self.held_out(open_images(self.folder, self.framing, 0, False))
        return measures.of_pairs(look, black_and_white(wanted), wanted)

    def of_cycle(self, look: Look, back: Look | None, domains: tuple[str, ...]) -> dict[str, float]:
        if len(domains) != 2:
            raise StyleRigError("The look's two domains are missing.", "Give them: --domains photo drawing.", code="bad_option")
        kinds = open_domains([self.folder], domains, self.framing, 0, False)
        judged = self.judge_of(kinds)
        return measures.of_cycle(look, back, self.held_out(kinds[0]), 1, judged.network) | accuracies(judged, domains)

    def of_attributes(self, look: Look) -> dict[str, float]:
        [known] = open_labelled([self.folder], [look.labels], self.framing, 0, False)
        images = known.images
        judged = train_classifier(images.of, known.labels, images.training, self.rows(images), self.steps)
        rows = self.rows(images)
        found = measures.of_attributes(look, images.of(rows), known.labels[rows], look.labels, judged.network)
        return found | accuracies(judged, look.labels)

    def of_styles(self, look: StarGANv2Look) -> dict[str, float]:
        kinds = open_domains([self.folder], look.domains, self.framing, 0, False)
        judged = self.judge_of(kinds)
        real = [images.of(images.training[np.linspace(0, len(images) - 1, min(256, len(images))).astype(int)]) for images in kinds]
        given = [self.held_out(images) for images in kinds]
        return measures.of_styles(look, given, real, judged.network) | accuracies(judged, look.domains)

    def of_pairs(self, look: CoGANLook) -> dict[str, float]:
        images = open_images(self.folder, Framing(look.config.image_size, self.whole), 0, False)
        labels = torch.from_numpy(attributes_of(images.pictures, OTHERS)).float()
        judged = train_classifier(images.of, labels, images.training, self.rows(images), self.steps)
        return measures.of_latent_pairs(look, judged.network, 4 * self.most) | accuracies(judged, OTHERS)

    def judge_of(self, kinds: list[Images]) -> Judged:
        """A classifier of domains: yes to one of them each."""
        pictures = kinds[0].pictures
        labels, owner = torch.zeros(len(pictures), len(kinds)), np.zeros(len(pictures), int)
        for index, images in enumerate(kinds):
            labels[images.rows, index], owner[images.rows] = 1.0, index

        def images_of(rows: np.ndarray) -> Tensor:
            return torch.cat([kinds[owner[row]].of(np.array([row])) for row in rows])

        training = np.concatenate([images.training for images in kinds])
        return train_classifier(images_of, labels, training, np.concatenate([self.rows(images) for images in kinds]), self.steps)

    def rows(self, images: Images) -> np.ndarray:
        """The held-out ones. Raises StyleRigError for hardly any."""
        rows = images.example_rows(self.most)
        if len(images.held_out) < FEWEST:
            raise StyleRigError(
                f"Of {images.name!r} {len(images.held_out)} pictures are held out, too few to measure by.",
                "Render more people: every 32nd is held out.",
                code="bad_training_data",
            )
        return rows

    def held_out(self, images: Images) -> Tensor:
        return images.of(self.rows(images))


def accuracies(judged: Judged, names: tuple[str, ...]) -> dict[str, float]:
    """How often the classifier itself is right about held-out photographs: no look can be measured finer."""
    return {f"judge_{name}": value for name, value in zip(names, judged.accuracy, strict=True)}
