"""Pairs of images that differ only in what a look changes: the studio's makeovers (``models.synthetic.makeovers``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.data.image_set import ImageSet
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.synthetic.makeovers import MAKEOVERS
from models.training.translation.attributes import attributes_of, hair_light, people_of
from models.training.translation.data import flipped
from models.training.translation.made import blurred

FOCUS = 6.0  # how much more than the rest counts what differs
CLEAR = 0.15  # difference of values in [-1, 1] that counts wholly
NEAR = 0.01  # of the image's side: standard deviation of the blur of where it differs
WORN = ("glasses", "beard", "old")  # what of a style besides hair's colour is known


@dataclass(eq=False)
class Makeovers:
    """Which ``people`` (M,) the pictures of a set show, each in one shot."""

    people: np.ndarray

    @classmethod
    def of(cls, pictures: ImageSet) -> Makeovers:
        """Raises StyleRigError for a set of another kind."""
        index = pictures.source.index or {}
        if index.get(MAKEOVERS.name) != list(MAKEOVERS.kinds):
            raise StyleRigError(
                f"The pictures in {pictures.source.folder} are no pairs, which paired_weight learns from.",
                "Name a set of the studio's makeovers.",
                code="no_makeovers",
            )
        return cls(pictures.source.people(pictures.numbers))

    def partners(self, rows: np.ndarray, rng: DeviceRng) -> np.ndarray:
        """For each of ``rows`` another picture of the same person; itself where there is none."""
        found = []
        for row in rows:
            others = np.flatnonzero(self.people == self.people[row])
            others = others[others != row] if len(others) > 1 else others
            found.append(others[int(rng.randint(0, len(others), 1))])
        return np.array(found)


def examples(questions: Tensor, answers: Tensor, flip: bool, rng: DeviceRng) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N, 3, R, R) and what they are to become, mirrored together or not, and what each pixel's error counts."""
    parts = torch.cat((questions, answers), dim=1)
    questions, answers = (flipped(parts, rng) if flip else parts).split(3, dim=1)
    return questions, answers, difference_weights(questions, answers)


def difference_weights(questions: Tensor, answers: Tensor) -> Tensor:
    """What each pixel's error counts (N, 1, R, R): more where images (N, 3, R, R) and what they are to become differ."""
    differs = (questions - answers).abs().amax(dim=1, keepdim=True)
    return 1 + FOCUS * (blurred(differs, NEAR * differs.shape[-1]) / CLEAR).clamp(max=1)


def paired_error(made: Tensor, answers: Tensor, weights: Tensor) -> Tensor:
    """Mean difference of images (N, 3, R, R), in each pixel by its weight (N, 1, R, R).

    The square brings forth what is thin and whose place is not sure yet, as glasses: its absolute value is least without them.
    """
    far = (made - answers).abs()
    return ((0.5 * far + 2 * far.square()) * weights).mean()


@dataclass(eq=False)
class Styles:
    """What is known of each picture's style (M, 1 + len(WORN)): how bright its hair is within its domain, and what of ``WORN`` it has."""

    known: Tensor
    people: np.ndarray
    domains: Sequence[np.ndarray]  # rows of the pictures of each

    @classmethod
    def of(cls, pictures: ImageSet, domains: Sequence[np.ndarray], people: np.ndarray) -> Styles:
        persons, place = people_of(pictures)
        brightness = np.array([hair_light(person).sum() for person in persons])[place]
        worn = torch.from_numpy(attributes_of(pictures, WORN)).float()
        return cls(torch.cat((shades(torch.from_numpy(brightness), domains)[:, None], worn * 2 - 1), dim=1), people, domains)

    def latents(self, rows: np.ndarray, latents: Tensor) -> Tensor:
        """Random latents (N, D) that stand for the styles of ``rows``: the first number is the shade, signs say what is worn."""
        known, found = self.known[rows].to(latents), latents.clone()
        count = known.shape[1]
        found[:, 0] = known[:, 0]
        found[:, 1:count] = latents[:, 1:count].abs() * known[:, 1:]
        return found

    def references(self, rows: np.ndarray, domains: Sequence[int], among: np.ndarray) -> np.ndarray:
        """For each of ``rows`` the picture ``among`` (M,) bool of somebody else in its domain whose style is the nearest."""
        found = []
        for row, domain in zip(rows, domains, strict=True):
            others = self.domains[domain][among[self.domains[domain]]]
            others = others[self.people[others] != self.people[row]]
            found.append(others[int((self.known[others] - self.known[row]).square().sum(dim=1).argmin())] if len(others) else row)
        return np.array(found)


def shades(brightness: Tensor, domains: Sequence[np.ndarray]) -> Tensor:
    """How bright pictures (M,) are within their domain, whose rows are given, as a normally distributed number (M,)."""
    found = torch.zeros(len(brightness))
    for rows in domains:
        rank = brightness[rows].argsort().argsort()
        found[rows] = torch.special.ndtri((rank.float() + 0.5) / max(len(rows), 1))
    return found
