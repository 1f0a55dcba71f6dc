"""Hair dyed in another colour: pairs of images that differ in nothing else, made of the studio's pictures.

Hair gives back light in proportion to its colour, so multiplying its linear pixels by a gain for each channel shows it in another one, but
for its gloss (as clothes in ``guided_generator.dye``). Where gains darken the dyed image is what dyed hair would look like; so of a pair the
dyed one is the answer or, as often, the question: bright hair is learnt from pictures of bright hair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.data.image_set import ImageSet
from models.device_rng import DeviceRng
from models.synthetic.classes import CLASSES
from models.training.guided_generator.dye import dyed
from models.training.translation.attributes import hair_light, people_of

DYED = ("hair", "brows")
MOST = 3.0  # gain: brighter, and the image's eight bits show
LEAST = 0.02
DARKEST = 0.004
FOCUS = 20.0  # how much more than the rest of an image its hair counts


@dataclass(eq=False)
class DyedHair:
    """What dyes the hair of a set's pictures: each one's ``colours`` (M, 3), linear, and where the truth of each lies."""

    pictures: ImageSet
    colours: Tensor
    truths: dict[int, Path]

    @classmethod
    def of(cls, pictures: ImageSet) -> DyedHair:
        """Raises StyleRigError for a set that is not this studio's."""
        persons, place = people_of(pictures)
        colours = np.stack([hair_light(person) for person in persons])[place]
        truths = {entry.number: entry.truth for entry in pictures.source.entries() if entry.truth}
        return cls(pictures, torch.from_numpy(colours).float(), truths)

    def shares(self, rows: np.ndarray, size: int) -> Tensor:
        """How much of each pixel is hair: (N, 1, size, size)."""
        found = []
        for number in self.pictures.numbers[rows].tolist():
            with np.load(self.truths[number], allow_pickle=False) as truth:
                is_hair = np.isin(truth["classes"], [CLASSES.index(name) for name in DYED])
            found.append(F.adaptive_avg_pool2d(torch.from_numpy(is_hair).float()[None], size))
        return torch.stack(found)

    def pairs(self, rows: np.ndarray, others: np.ndarray, images: Tensor, rng: DeviceRng) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The images (N, 3, R, R) of ``rows``, their hair in the colour of the ``others``': questions and answers, what each pixel's error
        counts (N, 1, R, R), and which (N,) answers are the images themselves."""
        wanted, own = self.colours[others], self.colours[rows].clamp(min=DARKEST)
        gains = wanted / own
        share = self.shares(rows, images.shape[-1]).to(images)
        other = dye_hair(images, share, gains.clamp(LEAST, MOST).to(images))
        back = (rng.rand(len(images)) < 0.5) | (gains.amax(dim=1) > MOST).to(images.device)
        chosen = back[:, None, None, None]
        return torch.where(chosen, other, images), torch.where(chosen, images, other), 1 + FOCUS * share, back


def paired_error(made: Tensor, answers: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute difference of images (N, 3, R, R), in each pixel by its weight (N, 1, R, R)."""
    return ((made - answers).abs() * weights).mean()


def shades(colours: Tensor, domains: Sequence[np.ndarray]) -> Tensor:
    """How bright the hair ``colours`` (M, 3) are within their domain, whose rows are given, as a normally distributed number (M,)."""
    found = torch.zeros(len(colours))
    for rows in domains:
        rank = colours[rows].sum(dim=1).argsort().argsort()
        found[rows] = torch.special.ndtri((rank.float() + 0.5) / len(rows))
    return found


def dye_hair(images: Tensor, share: Tensor, gains: Tensor) -> Tensor:
    """Images (N, 3, R, R) in [-1, 1] whose hair, a ``share`` (N, 1, R, R) of each pixel, gives back ``gains`` (N, 3) as much light."""
    return dyed(images.clamp(-1, 1) * 0.5 + 0.5, share, gains) * 2 - 1
