"""What the studio's truth says of a person, as yes or no: glasses, beard, hair and age."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from models.data.image_set import ImageSet
from models.errors import StyleRigError
from models.face import load_face_model
from models.synthetic.description import choices_of
from models.synthetic.hair import hair_look
from models.synthetic.hair.colour import WHITE
from models.synthetic.person import Person, latent_size, person_from_latent

YOUNG, OLD = 35, 55  # years: below the first, from the second
GREY = 0.5  # share of white hairs
DARK, FAIR = 0.15, 0.38  # sRGB-like brightness of the pigment: black below, blond above
LONG = 15.0  # cm of hair at the back
NOT = "no "  # before a name: who has it not


def hair_light(person: Person) -> np.ndarray:
    """Linear colour (3,) of all hairs together, white ones among them."""
    pigment = hair_look(person).pigment
    return pigment.colour + pigment.white * (WHITE - pigment.colour)


def hair_colour(person: Person) -> str:
    """black, brown, blond or grey."""
    pigment = hair_look(person).pigment
    if pigment.white > GREY:
        return "grey"
    brightness = float(np.sqrt(np.maximum(pigment.colour, 0)).mean())
    return "black" if brightness < DARK else "blond" if brightness > FAIR else "brown"


ATTRIBUTES: dict[str, Callable[[Person], bool]] = {
    "glasses": lambda person: choices_of(person)["glasses"] != "none",
    "beard": lambda person: choices_of(person)["beard"] in ("moustache", "goatee", "full"),
    "black hair": lambda person: hair_colour(person) == "black",
    "brown hair": lambda person: hair_colour(person) == "brown",
    "blond hair": lambda person: hair_colour(person) == "blond",
    "grey hair": lambda person: hair_colour(person) == "grey",
    "long hair": lambda person: hair_look(person).style.back >= LONG,
    "young": lambda person: person.age < YOUNG,
    "old": lambda person: person.age >= OLD,
    "masculine": lambda person: person.masculine > 0,
}


def attributes_of(pictures: ImageSet, names: Sequence[str]) -> np.ndarray:
    """Whether each picture (M) shows somebody with each of ``names`` (A), or without where "no " stands before one: (M, A) bool.

    ``pictures`` have the field latent. Raises StyleRigError for other names, and for a set of another studio.
    """
    if unknown := [name for name in names if name.removeprefix(NOT) not in ATTRIBUTES]:
        raise StyleRigError(
            f"The studio's truth does not say who has {unknown[0]!r}.",
            f"Ask for {', '.join(ATTRIBUTES)}, each also with {NOT!r} before it.",
            code="bad_attribute",
        )
    persons, place = people_of(pictures)
    known = np.array([[ATTRIBUTES[name.removeprefix(NOT)](person) != name.startswith(NOT) for name in names] for person in persons])
    return known.reshape(len(persons), len(names))[place]


def people_of(pictures: ImageSet) -> tuple[list[Person], np.ndarray]:
    """The people of a set that has the field latent, and which of them each picture (M,) shows. Raises StyleRigError for another studio's."""
    face, latents = load_face_model("head-2"), pictures.truth["latent"]
    if latents.shape[1] != latent_size(face):
        raise StyleRigError(
            f"The pictures in {pictures.source.folder} were made by another version of the studio: what their truth means is not known.",
            "Render a set with this version's models.synthetic, or sort the pictures into folders by what they show.",
            code="bad_training_data",
        )
    _, first, place = np.unique(latents, axis=0, return_index=True, return_inverse=True)
    return [person_from_latent(torch.from_numpy(latents[row]), face) for row in first], place.ravel()
