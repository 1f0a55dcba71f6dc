"""Makeovers: four pictures of somebody in one shot, between which only hair's colour, glasses, beard and age differ.

Pairs of what a network that changes such things sees, and should answer. All of it is as frequent as it is not, whoever it is on.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import Tensor

from models.face import FaceModel
from models.synthetic.dataset import HEAD
from models.synthetic.hair import hair_look
from models.synthetic.person import NUMBERS, layout, number_of_age, person_from_latent
from models.synthetic.series import Series
from models.synthetic.shot import Shot, draw_shot
from models.synthetic.traits import Person

PICTURES = 4
# Numbers of ``hair.look`` and ``accessories`` by which people surely have what they are to have.
PIGMENT = {"black": 1.9, "brown": -0.6, "blond": -2.0, "grey": 0.0}  # "hair_dark" of a skin of middle tone, give or take
VARIED = 0.3
TONE = 0.45 / 0.95  # of "hair_dark" that a tone of 1 takes
BEARDED, SHAVED = 4.5, -6.0
GLASSES = 1.5
AGES = {True: (64.0, 76.0), False: (21.0, 31.0)}  # years, old and young
WHITE = (0.75, 1.0)  # share of white hairs of who is grey
STAYS = 12.0  # "style_…" of the haircut that somebody keeps at any age
# What is the same for all: what nothing in a picture tells, a network could only draw as the blurred mean of all.
SAME = {"balding": -4.0, "dye": -3.0, "moustache": 0.0, "beard_style": 1.0, "beard_length": 0.2, "beard_dense": 0.5, "beard_line": 0.0,
        "glasses_width": 0.0, "glasses_height": 0.0, "glasses_round": 0.0, "glasses_drop": -1.0, "glasses_cat": -1.0, "frame_thick": 1.2,
        "frame_dark": -1.0, "frame_red": 0.0, "lens_dark": -1.0}  # fmt: skip


def makeovers(latent: Tensor, random: np.random.Generator, face: FaceModel) -> list[tuple[Tensor, Person]]:
    """Who the person of a latent (P,) is made into, as ``PICTURES`` latents and persons; the head keeps its shape."""
    base = person_from_latent(latent, face)
    start = layout(face)["looks"].start
    kept = SAME | {f"style_{hair_look(base).name}": STAYS}
    found = []
    for _ in range(PICTURES):
        own = latent.clone()
        for name, value in (kept | changes(float(base.reflectance[0]), random)).items():
            own[start + NUMBERS.index(name)] = value
        found.append((own, dataclasses.replace(person_from_latent(own, face), identity=base.identity)))
    return found


def changes(tone: float, random: np.random.Generator) -> dict[str, float]:
    """Numbers of hair's colour, glasses, beard and age, for a skin of ``tone``."""
    colour = str(random.choice(list(PIGMENT)))
    age = random.uniform(*AGES[bool(random.random() < 0.5)])
    white = random.uniform(*WHITE)
    return {
        "age": number_of_age(age),
        "hair_dark": PIGMENT[colour] + VARIED * random.normal() + TONE * float(np.clip(tone, -2, 2)),
        "hair_red": 0.4 * random.normal(),
        "grey": grey_number(age, white) if colour == "grey" else -9.0,
        "glasses": GLASSES * random.choice([-1, 1]),
        "beard": float(random.choice([SHAVED, BEARDED])),
    }


def grey_number(age: float, share: float) -> float:
    """The inverse of ``hair.colour.white_share``."""
    return (36 + 42 * share ** (1 / 1.3) - age) / 9


def one_shot(person: Person, number: int, random: np.random.Generator, face: FaceModel) -> list[Shot]:
    return [draw_shot(random, person, face)] * PICTURES


MAKEOVERS = Series("makeovers", [f"picture {index + 1}" for index in range(PICTURES)], one_shot, HEAD, makeovers)
