"""Skin, eyes and teeth of the photo studio's people: what the rig shows, and what the maps add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.face import load_face_model
from models.face.own_head.parts import chart_quads
from models.face.own_head.reflectance import MODE_NAMES
from models.synthetic import eyes, skin
from models.synthetic.dataset import HEAD
from models.synthetic.person import latent_of, person_from_latent
from models.synthetic.skin import makeup, tone
from models.synthetic.skin.age import creases, folds
from models.synthetic.skin.tone import CLASS_BOUNDS


@pytest.fixture(scope="module")
def face():
    return load_face_model(HEAD)


@pytest.fixture(scope="module")
def maps(face):
    return skin.prepare_maps(face)


def person_of(face, number: int, age: float | None = None, **look):
    """A person of a fixed set, some of whose numbers are given."""
    person = person_from_latent(latent_of(5, number, face), face)
    return replace(person, age=age or person.age, look={**person.look, **look})


def test_the_same_person_has_the_same_skin_and_another_a_different_one(face, maps):
    first, again, other = (skin.paint(maps, person_of(face, number)) for number in (0, 0, 1))
    assert all(map(np.array_equal, first, again))
    assert np.abs(first[0] - other[0]).mean() > 0.01 and np.abs(first[1] - other[1]).max() > 0.02


def test_everything_painted_is_finite_and_a_colour(face, maps):
    for number in range(3):
        person = person_of(face, number, age=(18.0, 47.0, 80.0)[number])
        (detail, relief), eye = skin.paint(maps, person), eyes.eye_picture(maps.eye, person)
        colours = skin.vertex_colours(face, person)
        assert all(np.isfinite(array).all() for array in (detail, relief, eye, colours))
        assert detail.shape == relief.shape == (skin.TEXTURE, skin.TEXTURE, 4) and detail.min() > 0
        assert detail[..., 3].min() > 0.15 and detail[..., 3].max() < 0.8
        assert np.abs(relief).max() < 0.3 and colours.min() > 0 and colours.max() < 1


def test_every_class_of_skin_is_as_frequent_as_the_others():
    numbers = np.random.default_rng(0).normal(size=1500)
    weights = [tone.tone_weight(number) for number in numbers]
    angles = tone.typology_angle(np.stack([reflected(weight) for weight in weights]))
    counts, _ = np.histogram(angles, [-90, *CLASS_BOUNDS[1:-1], 90])
    assert (counts > 0.12 * len(numbers)).all() and (counts < 0.21 * len(numbers)).all()


def reflected(weight: float) -> np.ndarray:
    """Plain skin of a tone, undertone as it comes with that tone."""
    weights = np.zeros(len(MODE_NAMES))
    weights[MODE_NAMES.index("tone")], weights[MODE_NAMES.index("tone_warmth")] = weight, tone.paleness(weight)
    return tone.base_colour(weights)


def test_the_picture_shows_the_colours_that_the_rig_shows(face, maps):
    chart, on_face = chart_quads(face)
    vertices = face.quads.numpy()[on_face].ravel()
    column, row = (np.clip(chart[on_face].reshape(-1, 2), 0, 0.999) * skin.TEXTURE).astype(int).T
    central = face.masks["face"].numpy()[vertices] > 0.9
    for number in range(6):
        person = person_of(face, number, make_up=-3.0)
        shown = skin.vertex_colours(face, person)[vertices] * skin.paint(maps, person)[0][row, column, :3]
        model = face.albedo_for(torch.as_tensor(person.reflectance, dtype=torch.float32)[None])[0].numpy()[vertices]
        for place in ("plain", "lips", "beard"):
            here = central & in_region(maps, row, column, place)
            assert shown[here].mean(axis=0) == pytest.approx(model[here].mean(axis=0), rel=0.12), (number, place)


def in_region(maps, row, column, name: str) -> np.ndarray:
    """Which texels lie well within a region; "plain": in none of those that the maps draw otherwise."""
    inside = lambda region: maps.region[region][row // 2, column // 2] > 0.6
    return ~inside("brow") & ~inside("scalp") & ~inside("nostrils") & ~inside("lids") if name == "plain" else inside(name)


def test_lines_grow_deeper_with_age(face, maps):
    young, middle, old = (folds(person_of(face, 2, age)) for age in (20.0, 50.0, 78.0))
    assert all(young[kind] <= middle[kind] <= old[kind] for kind in young)
    heights = [skin.line_heights(maps, person_of(face, 2, age))[..., 0] for age in (20.0, 50.0, 78.0)]
    slopes = [float(np.abs(np.diff(height, axis=0)).mean()) for height in heights]
    assert slopes[0] < 0.6 * slopes[1] < 0.6 * slopes[2]


def test_two_people_have_their_lines_in_places_of_their_own(face, maps):
    first, second = (
        skin.line_heights(maps, person_of(face, 2, 75.0, pattern_a=a, pattern_b=-a, pattern_c=0.5))[..., 0] for a in (1.0, -1.0)
    )
    forehead = np.s_[860:940, 300:720]  # rows from below
    alike = np.corrcoef(first[forehead].ravel(), second[forehead].ravel())[0, 1]
    assert alike < 0.8 and 0.5 < first[forehead].std() / second[forehead].std() < 2


def test_an_expression_folds_the_side_that_makes_it(face):
    weights = face.expression_weights({"mouthSmile_L": 1.0, "browInnerUp_L": 0.5, "browInnerUp_R": 0.5})[0].numpy()
    folded = creases(face, weights, age=40.0)
    x = face.mean[:, 0].numpy()
    assert folded[x > 2, 2].min() > 0.5 and folded[x < -2, 2].max() == 0  # the smile
    assert folded[:, 0].min() > 0 and folded[:, 1].max() == 0


def test_make_up_is_more_frequent_on_feminine_faces_and_bound_to_none():
    numbers = np.random.default_rng(1).normal(size=(400, len(makeup.NUMBERS)))
    worn = lambda masculine: np.mean(
        [max(makeup.amounts(dict(zip(makeup.NUMBERS, row, strict=True)), masculine).values()) > 0.1 for row in numbers]
    )
    assert 0.4 < worn(-1.0) < 0.9 and 0.01 < worn(1.0) < 0.2


def test_lipstick_colours_the_rigs_lips_too(face):
    bare, red = (person_look(face, make_up=value) for value in (-3.0, 3.0))
    weight = lambda person: tone.weight(person.reflectance, "lips_red")
    assert weight(red) > weight(bare) + 0.5


def person_look(face, **look):
    """Person 3 as a woman in bright red lipstick, with ``look`` changed."""
    person = person_of(face, 3)
    look = {**person.look, "lipstick": 2.0, "lipstick_hue": -0.8, "lipstick_depth": 0.0, **look}
    return replace(person, look=look, reflectance=skin.reflectance(np.zeros(len(MODE_NAMES)), look, 30.0, -1.0))


def test_irises_come_in_all_colours_and_agree_with_the_rig():
    random = np.random.default_rng(2)
    fair = [painted_iris(*random.normal(size=2), tone=2.5) for _ in range(300)]
    dark = [painted_iris(*random.normal(size=2), tone=-1.5) for _ in range(300)]
    blue = lambda irises: np.mean([colour[2] > colour[0] for colour, _ in irises])
    brown = lambda irises: np.mean([colour[0] > 2 * colour[2] for colour, _ in irises])
    assert 0.2 < blue(fair) < 0.6 and blue(dark) == 0 and brown(dark) > 0.97 and brown(fair) > 0.15
    ratio = np.array([(colour[2] / colour[0], mode[2] / mode[0]) for colour, mode in fair])
    assert np.corrcoef(np.log(ratio.T))[0, 1] > 0.8


def painted_iris(blue: float, light: float, tone: float) -> tuple[np.ndarray, np.ndarray]:
    """The outer iris's painted colour, and the face model's."""
    weights = np.zeros(len(MODE_NAMES))
    for name, value in eyes.weights(blue, light, tone).items():
        weights[MODE_NAMES.index(name)] = value
    at = lambda name: weights[MODE_NAMES.index(name)]
    model = (
        np.array([0.075, 0.054, 0.030])
        + at("iris_blue") * np.array([0.012, 0.015, 0.034])
        + at("iris_light") * np.array([0.032, 0.025, 0.014])
    )
    return eyes.iris_colours(weights)[0], np.maximum(model, 0.22 * np.array([0.075, 0.054, 0.030]))


def test_lids_shade_the_eyeballs_and_inner_corners_are_pink(face):
    head, lids = face.mean.numpy(), eyes.lid_edges(face)
    tint = eyes.lid_tint(face, head, lids)
    on_eyes = face.masks["eyes"].numpy() > 0.5
    assert tint[~on_eyes].min() == 1 and 0 < tint.min() < 0.6 and tint.max() == 1
    front = on_eyes & (head[:, 2] > head[on_eyes, 2].max() - 0.4)
    assert tint[front & (head[:, 1] > 3.75)].mean() < tint[front & (head[:, 1] < 3.5)].mean()
    for edge in lids.values():
        inner = head[edge[np.abs(head[edge, 0]).argmin()]]
        by_corner = on_eyes & (np.linalg.norm(head - inner, axis=1) < 0.3)
        assert by_corner.any() and (tint[by_corner, 1] < 0.85 * tint[by_corner, 0]).any()


def test_teeth_yellow_with_age(face):
    teeth = face.masks["teeth"].numpy() > 0.5
    young, old = (skin.vertex_colours(face, person_of(face, 4, age, teeth=0.0))[teeth].mean(axis=0) for age in (20.0, 78.0))
    assert old[2] / old[0] < 0.95 * young[2] / young[0]
