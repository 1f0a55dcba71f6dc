"""Who somebody is: a function of a vector of standard-normal numbers.

Because every number is N(0, 1) and nearly all of a person follows smoothly from them, a generator's z can
hold them, and drawing z draws people as the studio does.
"""

from __future__ import annotations

import math
import statistics

import torch
from torch import Tensor

from models.face.model import FaceModel
from models.face.own_head.people import plausible, spread
from models.synthetic import accessories, clothing, hair, skin
from models.synthetic.traits import Person

NUMBERS = ("age", "masculine", *hair.NUMBERS, *skin.NUMBERS, *clothing.NUMBERS, *accessories.NUMBERS)
YOUNGEST, OLDEST = 18.0, 80.0


def layout(face: FaceModel) -> dict[str, slice]:
    """Where each part of a person lies in the vector."""
    places, start = {}, 0
    for name, size in (("identity", len(face.identity)), ("reflectance", len(face.albedo)), ("looks", len(NUMBERS))):
        places[name] = slice(start, start + size)
        start += size
    return places


def latent_size(face: FaceModel) -> int:
    """How many numbers determine a person."""
    return layout(face)["looks"].stop


def latent_of(seed: int, number: int, face: FaceModel) -> Tensor:
    """The vector (P,) of person ``number`` of the set ``seed``."""
    return torch.randn(latent_size(face), generator=torch.Generator().manual_seed(seed * 10_000_019 + number))


def person_from_latent(latent: Tensor, face: FaceModel) -> Person:
    """The person of a standard-normal vector (P,)."""
    part = {name: latent[place].double().numpy() for name, place in layout(face).items()}
    look = dict(zip(NUMBERS, part["looks"].tolist(), strict=True))
    age, masculine = age_of(look["age"]), masculine_of(look["masculine"])
    weights = spread(face).double() * torch.from_numpy(part["identity"])
    for name, value in (("age", (age - 25) / 10), ("masculine", masculine)):
        if name in face.identity_names:
            weights[face.identity_names.index(name)] = value
    identity = plausible(face, weights[None].float())[0].double().numpy()
    return Person(identity, skin.reflectance(part["reflectance"], look, age, masculine), age, masculine, look)


def age_of(number: float) -> float:
    """Years: even between the youngest and the oldest, the young a little more often."""
    share = 0.5 * (1 + math.erf(number / math.sqrt(2)))
    return YOUNGEST + (OLDEST - YOUNGEST) * share**1.25


def number_of_age(years: float) -> float:
    """The standard-normal number of an age: the inverse of ``age_of``."""
    share = ((years - YOUNGEST) / (OLDEST - YOUNGEST)) ** (1 / 1.25)
    return statistics.NormalDist().inv_cdf(min(max(share, 1e-4), 1 - 1e-4))


def masculine_of(number: float) -> float:
    """−1 typical female … 1 typical male; most people near one of the two, some between."""
    return math.tanh(1.8 * number)
