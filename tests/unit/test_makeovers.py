"""Makeovers change what they say, in everybody, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.face import load_face_model
from models.synthetic.description import choices_of
from models.synthetic.hair import hair_look
from models.synthetic.hair.colour import white_share
from models.synthetic.makeovers import MAKEOVERS, PICTURES, grey_number, makeovers
from models.synthetic.person import age_of, latent_of, number_of_age, person_from_latent
from models.synthetic.series import Series
from models.training.translation.attributes import ATTRIBUTES, hair_colour


@pytest.fixture(scope="module")
def face():
    return load_face_model("head-2")


@pytest.fixture(scope="module")
def everybody(face):
    return [makeovers(latent_of(5, number, face), np.random.default_rng(number), face) for number in range(40)]


def test_every_attribute_is_as_frequent_as_it_is_not(everybody):
    persons = [person for who in everybody for _, person in who]
    assert len(persons) == 40 * PICTURES
    for name in ("glasses", "beard", "old", "young"):
        assert 0.4 < np.mean([ATTRIBUTES[name](person) for person in persons]) < 0.6, name
    colours = [hair_colour(person) for person in persons]
    assert all(colours.count(name) > 0.12 * len(colours) for name in ("black", "brown", "blond", "grey"))


def test_a_person_stays_the_same_but_for_these(everybody, face):
    for number, who in enumerate(everybody[:8]):
        base = person_from_latent(latent_of(5, number, face), face)
        for latent, person in who:
            assert np.array_equal(person.identity, base.identity) and person.masculine == base.masculine
            assert hair_look(person).name == hair_look(base).name and hair_look(person).balding == 0
            same = {name: value for name, value in choices_of(person).items() if name not in ("beard", "glasses")}
            assert same.items() <= choices_of(base).items()
            assert person_from_latent(latent, face).look == person.look


def test_numbers_are_those_of_the_age_and_of_the_white_hairs():
    for age in (20.0, 45.0, 75.0):
        assert age_of(number_of_age(age)) == pytest.approx(age, abs=1e-6)
        assert white_share({"grey": grey_number(age, 0.8)}, age) == pytest.approx(0.8)


def test_all_pictures_of_a_person_are_of_one_shot(face, monkeypatch):
    monkeypatch.setattr("models.synthetic.series.person_jobs", lambda assets, latent, person, shots, size: [(latent, person, *shots)])
    assets = type("Assets", (), {"face": face})
    jobs = list(MAKEOVERS.jobs(assets, 5, 3, 64))
    assert [number for _, _, (number, _) in jobs] == [12, 13, 14, 15] and len({id(shot) for _, _, (_, shot) in jobs}) == 1
    assert len({tuple(latent.tolist()) for latent, _, _ in jobs}) == PICTURES
    plain = Series("plain", MAKEOVERS.kinds, MAKEOVERS.shots, MAKEOVERS.head)
    [(latent, _, *shots)] = plain.jobs(assets, 5, 3, 64)
    assert len(shots) == PICTURES and torch.equal(latent, latent_of(5, 3, face))
