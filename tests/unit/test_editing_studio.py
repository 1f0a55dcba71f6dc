"""Sliders of the generators that the studio taught: one thing changes, the rig stays; the file that ships."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.editing.directions import Directions, load_directions, move
from models.editing.layers import style_layers
from models.editing.studio_attributes import rig_normals, studio_directions
from models.editing.studio_people import PERSON_CONTRASTS, SCENE_CONTRASTS, people_of
from models.editing.studio_scores import studio_scores
from models.errors import StyleRigError
from models.generators import Generator, load_generator
from models.generators.config import StyleGAN2Config
from models.generators.guided import GuidedConfig
from models.generators.person import PersonConfig
from models.generators.semantic_mapping.studio_v1 import scene_features
from models.synthetic.description import CHOICES

WEIGHTS = Path(__file__).parents[2] / "models" / "weights"
WANTED = {"age", "masculine", "beard", "glasses", "hair_length", "dark_hair", "grey", "light_skin", "make_up"}


@pytest.fixture(scope="module")
def shipped() -> Generator:
    return load_generator(WEIGHTS / "stylerig-generator.safetensors")


@pytest.fixture(scope="module")
def made(shipped) -> Directions:
    """By fewer people than the file that ships: the same means, nearly."""
    return studio_directions(shipped, count=400)


@pytest.fixture(scope="module")
def guided() -> Generator:
    """A small one with random weights that describes people as the studio does."""
    person = PersonConfig(numbers=24, choices=tuple(map(len, CHOICES.values())), amounts=119, identity=4, reflectance=3)
    config = GuidedConfig(resolution=64, z_dim=24, w_dim=32, mapping_layers=2, channels={4: 4, 8: 4, 16: 4, 32: 4, 64: 4}, person=person)
    return Generator.create(config, seed=3)


def test_what_a_scene_changes_is_one_attribute(shipped):
    people = people_of(shipped)
    z = people.draw(400, 5)
    for name, others in {"age": ("grey", "beard"), "beard": ("make_up", "yaw"), "hair_length": ("dark_hair", "yaw")}.items():
        low, high = (studio_scores(people.changed(z, values)) for values in (SCENE_CONTRASTS[name].low, SCENE_CONTRASTS[name].high))
        spread = studio_scores(z).column(name).std()
        assert (high.column(name) - low.column(name)).mean() > spread
        assert all(torch.allclose(high.column(other), low.column(other), atol=1e-5) for other in others), name
    dark, light = (people.changed(z, values) for values in (SCENE_CONTRASTS["light_skin"].low, SCENE_CONTRASTS["light_skin"].high))
    levels = [scene_features(numbers)["light"][:, :3].mean() for numbers in (dark, light)]
    assert float(levels[0] / levels[1]) == pytest.approx(1, abs=0.05)  # as bright a light on both


def test_described_people_are_scored_by_what_describes_them(guided, monkeypatch):
    people = people_of(guided)
    numbers = people.draw(50, 5)
    z = torch.zeros(50, guided.z_dim)
    names = people.scores(z).names
    assert set(names) >= {"age", "beard", "glasses", "make_up", "grey", "hair_length", "freckles"}
    for name in set(names) & set(PERSON_CONTRASTS):
        found = []
        for values in (PERSON_CONTRASTS[name].low, PERSON_CONTRASTS[name].high):
            monkeypatch.setattr(people.mapping, "features", lambda _z, values=values: people.changed(numbers, values))
            found.append(people.scores(z).column(name))
        assert (found[1] > found[0]).all(), name


def test_sliders_of_scenes_leave_what_the_rig_controls(shipped, made):
    names = made.header.names
    assert set(names) >= WANTED | {f"{group}_{number}" for group in ("coarse", "middle", "fine") for number in range(1, 7)}
    assert made.header.conditions == ("expression", "light", "rotation")
    people = people_of(shipped)
    z = people.draw(400, 0)
    normals = rig_normals(people.codes(z), people.rig(z))
    unit = normals / normals.norm(dim=1, keepdim=True)
    assert float((made.rows.double() @ unit.mT).abs().max()) < 1e-4
    assert all(low < 0 < high == 1 for low, high in made.header.ranges)


def test_sefas_directions_move_their_own_group_of_layers(shipped):
    found = load_directions(WEIGHTS / "stylerig-directions.safetensors", shipped)
    names = [layer.name for layer in style_layers(shipped.synthesis)]
    sides = {group: {int(names[layer][1:].split(".")[0]) for layer in found.header.row_layers[found.header.names.index(f"{group}_1")]}
             for group in ("coarse", "middle", "fine")}  # fmt: skip
    assert sides == {"coarse": {4, 8}, "middle": {16, 32}, "fine": {64, 128, 256}}


def test_the_file_that_ships_is_what_the_command_makes(shipped, made):
    stored = load_directions(WEIGHTS / "stylerig-directions.safetensors", shipped)
    assert stored.header.model_copy(update={"units": ()}) == made.header.model_copy(update={"units": ()})
    attributes = len(SCENE_CONTRASTS)
    assert ((stored.rows[:attributes] * made.rows[:attributes]).sum(dim=1) > 0.95).all()
    assert (WEIGHTS / "stylerig-directions.safetensors").stat().st_size < 300_000


def test_described_people_have_sliders_of_their_own(guided):
    found = studio_directions(guided, count=100)
    assert set(found.header.names) >= set(PERSON_CONTRASTS) and found.header.conditions == ()
    people = people_of(guided)
    numbers = people.draw(100, 0)
    bald, bearded = (people.changed(numbers, values) for values in (PERSON_CONTRASTS["beard"].low, PERSON_CONTRASTS["beard"].high))
    step = (people.codes(bearded) - people.codes(bald)).mean(dim=0)
    w = guided.w_avg[None, None].expand(1, guided.num_ws, -1)
    moved = move(guided, w, found, [float(name == "beard") for name in found.header.names])
    assert torch.allclose(moved[0, 0] - w[0, 0], step, atol=1e-4)


def test_generators_that_the_studio_did_not_teach_are_told(guided):
    plain = Generator.create(StyleGAN2Config(resolution=16, z_dim=12, w_dim=12, mapping_layers=2, channels={4: 4, 8: 4, 16: 4}), seed=2)
    with pytest.raises(StyleRigError, match="the studio did not teach it"):
        studio_directions(plain, count=100)
    person = PersonConfig(numbers=24, choices=(3, 2), amounts=4, identity=4, reflectance=3)
    config = GuidedConfig(resolution=16, z_dim=24, w_dim=32, mapping_layers=2, channels={4: 4, 8: 4, 16: 4}, person=person)
    with pytest.raises(StyleRigError, match="describes people by 9 numbers"):
        studio_directions(Generator.create(config, seed=3), count=100)
