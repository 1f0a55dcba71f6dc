"""The mapping of a generator that the studio taught begins with what a scene's numbers mean."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from models.errors import StyleRigError
from models.face import load_face_model
from models.generators import Generator, GeneratorConfig, load_generator
from models.generators.scene_mapping import joined, meanings_of
from models.studio.meaning import WEIGHT, scene_meaning
from models.studio.scene import latent_size, scene_from_latent

SCENES = 4096


@pytest.fixture(scope="module")
def face():
    return load_face_model(None)


@pytest.fixture(scope="module")
def config():
    meanings = joined(meanings_of(torch.zeros(1, 512))).shape[1]
    return GeneratorConfig(resolution=8, mapping_layers=2, mapping_lr_multiplier=1.0, meanings=meanings, channels={4: 16, 8: 16})


@pytest.fixture(scope="module")
def generator(config):
    generator = Generator.create(config, 0)
    generator.mapping.begin(1)
    generator.mapping.centre_styles(generator.synthesis)
    return generator.eval().requires_grad_(False)


def draw(seed: int) -> torch.Tensor:
    return torch.randn(SCENES, 512, generator=torch.Generator().manual_seed(seed))


def explained(generator, face, name: str) -> float:
    """R² of the rig's parameters ``name``, read linearly from w."""

    def both(seed):
        z = draw(seed)
        values = getattr(scene_from_latent(z[:, : latent_size(face)], face).parameters, name).flatten(1)
        w = generator.mapping.single(z)
        return torch.cat((w, torch.ones(len(w), 1)), dim=1).double(), values.double()

    (w, values), (others, expected) = both(2), both(3)
    square = w.mT @ w + 1e-4 * len(w) * torch.eye(w.shape[1], dtype=w.dtype)
    found = others @ torch.linalg.solve(square, w.mT @ values)
    varies = expected.std(0) > 1e-3
    return float(1 - (found - expected)[:, varies].square().sum() / (expected - expected.mean(0))[:, varies].square().sum())


@pytest.mark.parametrize("name", ["identity", "reflectance", "expression", "light"])
def test_the_rigs_parameters_are_linear_in_w(generator, face, name):
    assert explained(generator, face, name) > 0.85  # of z itself 0.40 of expressions, 0.31 of light


def test_w_begins_with_spread_one_and_plain_styles(generator):
    w = generator.mapping.single(draw(4))
    assert float(w.std(0).mean()) == pytest.approx(1, abs=0.05)
    affine = generator.synthesis.b8.conv0.affine
    assert (affine(generator.w_avg[None]) - 1).abs().max().item() < 1e-3


def test_free_numbers_of_z_do_nothing_and_each_row_stands_for_itself(generator, face):
    z = draw(5)[:8]
    other = z.clone()
    other[:, latent_size(face) :] = 0
    w = generator.mapping.single(z)
    assert torch.equal(w, generator.mapping.single(other))
    assert torch.allclose(generator.mapping.single(z[3:4]), w[3:4], atol=1e-5)


def test_meanings_hold_the_rigs_exact_parameters(face):
    z = draw(6)[:16, : latent_size(face)]
    parameters = scene_from_latent(z, face).parameters
    meaning = scene_meaning(z, face)
    assert set(meaning) == set(WEIGHT)
    assert torch.equal(meaning["expression"], parameters.expression) and torch.equal(meaning["light"], parameters.light.flatten(1))
    assert torch.equal(meaning["rotation"], parameters.rotation[:, :2])


def test_a_file_keeps_the_mapping(generator, tmp_path):
    path = generator.save(tmp_path / "generator.safetensors", {})
    loaded = load_generator(path)
    z = draw(7)[:64]
    assert torch.equal(loaded.mapping.mean, generator.mapping.mean)
    assert (loaded.mapping.single(z) - generator.mapping.single(z)).abs().max().item() < 0.02  # float16 weights


def test_scenes_of_another_version_are_refused(config):
    other = Generator.create(dataclasses.replace(config, meanings=config.meanings - 1), 0)
    with pytest.raises(StyleRigError, match="taught scenes of"):
        other.mapping(draw(8)[:1])
