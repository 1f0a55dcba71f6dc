"""Clothes in another colour: the image and the description change alike, all else stays."""

from __future__ import annotations

import pytest
import torch

from models.colour import linear_to_srgb
from models.device_rng import DeviceRng
from models.face import load_face_model
from models.synthetic.description import CHOICES, amounts_of
from models.synthetic.person import latent_of, person_from_latent
from models.training.guided_generator.dye import BRIGHTEST, LEAST, MOST, Dye, dye_images
from models.training.guided_generator.palette import Palette
from models.training.people import people

COUNT = 16


@pytest.fixture(scope="module")
def described():
    """What describes ``COUNT`` people of the studio, and where their clothes' colours stand in it."""
    face = load_face_model("head-2")
    drawn = people(torch.stack([latent_of(5, number, face) for number in range(COUNT)]), face)
    choices = torch.zeros(COUNT, sum(map(len, CHOICES.values())))
    return torch.cat((choices, drawn.amounts), dim=1), Dye.of(face), list(amounts_of(person_from_latent(latent_of(5, 0, face), face)))


def test_only_the_colours_of_clothes_are_described_anew(described):
    features, dye, names = described
    gains = dye.gains(features, 1.0, DeviceRng(1))
    dyed = dye.describe(features, gains)
    changed = {names[column - len(features[0]) + len(names)] for column in (dyed != features).any(dim=0).nonzero()[:, 0].tolist()}
    assert changed == {f"{name}_{channel}" for name in ("shirt", "second", "jacket_colour") for channel in "rgb"}
    assert torch.allclose(dyed[:, dye.columns] ** 2, features[:, dye.columns] ** 2 * gains[:, None], atol=1e-6)


def test_gains_keep_cloth_believable_and_leave_a_share_as_it_is(described):
    features, dye, _ = described
    gains = dye.gains(features, 0.5, DeviceRng(2))
    undyed = (gains == 1).all(dim=1)
    assert 0.2 < undyed.float().mean() < 0.8 and (dye.gains(features, 0.0, DeviceRng(2)) == 1).all()
    assert gains.min() >= LEAST and gains.max() <= MOST
    assert (features[:, dye.columns] ** 2 * gains[:, None]).max() <= BRIGHTEST + 1e-4


def test_linear_light_of_the_cloth_is_multiplied_and_nothing_else_changes():
    linear = torch.tensor([0.1, 0.2, 0.3])[None, :, None, None].expand(1, 3, 2, 2)
    images = torch.cat((linear_to_srgb(linear), torch.ones(1, 1, 2, 2)), dim=1) * 2 - 1
    matte = torch.tensor([[1.0, 0.5], [0.0, 0.0]])[None, None] * 2 - 1
    dyed = dye_images(images, matte, torch.tensor([[2.0, 0.5, 1.0]]))
    of = lambda share: linear_to_srgb(torch.tensor([0.1, 0.2, 0.3]) * (1 + share * torch.tensor([1.0, -0.5, 0.0])))
    assert torch.allclose(dyed[0, :3, 0, 0] * 0.5 + 0.5, of(1.0), atol=1e-4)
    assert torch.allclose(dyed[0, :3, 0, 1] * 0.5 + 0.5, of(0.5), atol=1e-4)
    assert torch.equal(dyed[0, :, 1], images[0, :, 1]) and torch.equal(dyed[:, 3], images[:, 3])


def test_a_dyed_image_stays_premultiplied():
    images = torch.tensor([0.4, 0.4, 0.4, 0.5])[None, :, None, None] * 2 - 1
    dyed = dye_images(images, torch.zeros(1, 1, 1, 1), torch.full((1, 3), 3.0))
    assert (dyed[:, :3] <= dyed[:, 3:]).all()


def test_the_palette_is_that_of_clothes_and_hair(described):
    features, dye, names = described
    palette = Palette.of(load_face_model("head-2"))
    jackets = palette.wears_jacket
    worn = features.clone()
    worn[:8, jackets] = 1.0
    shirt, jacket, hair = palette.colours(worn).unbind(1)
    assert torch.equal(shirt, features[:, dye.columns[0]])
    assert torch.equal(jacket[:8], features[:8, dye.columns[2]]) and torch.equal(jacket[8:], shirt[8:])
    white = features[:, len(features[0]) - len(names) + names.index("white")]
    assert (hair[white > 0.95] > 0.7).all() and (hair[white < 0.05] < 0.7).all() and (white < 0.05).any()
    assert [name for name, choices in CHOICES.items() if choices == ("none", "jacket")] == ["jacket"]
