"""People in a mirror: the maps are those of the mirrored scene, and of their description only the parting changes."""

from __future__ import annotations

import torch

from models.face import load_face_model
from models.face.camera import Camera
from models.face.harmonics import ambient_light, directional_light
from models.face.parameters import RigParameters
from models.generators import guide
from models.synthetic.description import amounts_of
from models.synthetic.person import NUMBERS, latent_of, layout, person_from_latent
from models.training.guided_generator.mirror import column_of_side, mirrored_features, mirrored_images, mirrored_maps
from models.training.guided_generator.palette import columns_of

FACE = load_face_model("head-2")
BOTH = torch.tensor([True, False])


def maps(yaw: float, roll: float, light_from: float) -> torch.Tensor:
    """Of the mean head, turned and lit so: (1, CHANNELS, 64, 64)."""
    parameters = RigParameters.neutral(FACE, 1).replace(
        rotation=torch.tensor([[yaw, 0.1, roll]]),
        light=(directional_light(torch.tensor([light_from, 0.4, 0.8]), torch.tensor([1.0, 0.8, 0.5])) + ambient_light(torch.ones(3)))[None],
    )
    camera = Camera(torch.full((1, 1), 120.0), torch.full((1, 1), 20.0))
    return guide.guide_maps(guide.GuideMesh.of(FACE), parameters, camera, torch.tensor([[yaw / 3, 0.0, roll / 3]]), 64)


def test_mirrored_maps_are_those_of_the_mirrored_scene():
    seen, other = maps(0.5, 0.2, 0.7), maps(-0.5, -0.2, -0.7)
    mirrored = mirrored_maps(seen, torch.tensor([True]))
    assert (seen - other).abs().mean() > 0.05
    for channel in range(guide.CHANNELS):
        assert (mirrored - other)[:, channel].abs().mean() < 0.02, channel
    assert torch.equal(mirrored_maps(seen, torch.tensor([False])), seen)
    assert mirrored.stride() == seen.stride(), "all channels of a pixel lie together"


def test_of_a_description_only_the_parting_changes():
    numbers = latent_of(5, 3, FACE)
    other = numbers.clone()
    for name in ("hair_part", "hairline_a"):  # what the parting is made of
        other[layout(FACE)["looks"].start + NUMBERS.index(name)] *= -1
    column, (names, before) = column_of_side(FACE), columns_of(FACE)
    part, mirrored = (amounts_of(person_from_latent(latent, FACE))["part"] for latent in (numbers, other))
    assert names[column - before] == "part" and part != 0 and abs(part + mirrored) < 1e-6
    features = torch.rand(2, before + len(names)) + 0.1
    shown = mirrored_features(features, BOTH, column)
    assert torch.equal(shown[1], features[1]) and (shown[0] != features[0]).nonzero().tolist() == [[column]]


def test_only_chosen_images_are_mirrored():
    images = torch.arange(16.0).view(2, 1, 2, 4)
    shown = mirrored_images(images, BOTH)
    assert torch.equal(shown[0], images[0].flip(2)) and torch.equal(shown[1], images[1])
