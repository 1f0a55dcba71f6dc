"""A mapping that begins with what a scene's numbers mean, and the one of the generator that ships, which must never change."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from models.errors import StyleRigError
from models.face import load_face_model
from models.generators import Generator, GeneratorConfig, latents_from_seed, load_generator, save_generator
from models.generators.semantic_mapping.mapping import features_of, joined
from models.generators.semantic_mapping.studio_v1 import (
    EXPRESSIONS,
    LATENT_SIZE,
    WEIGHT,
    scene_features,
    scene_from_latent,
)

SCENES = 4096
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden" / "studio_v1.npz"  # w (16, 512) and (16, 3, 32, 32) images of seeds 0 … 15
WEIGHTS = ROOT / "models" / "weights"


@pytest.fixture(scope="module")
def config():
    meanings = joined(features_of(torch.zeros(1, 512))).shape[1]
    return GeneratorConfig(resolution=8, mapping_layers=2, mapping_lr_multiplier=1.0, meanings=meanings, channels={4: 16, 8: 16})


@pytest.fixture(scope="module")
def generator(config):
    generator = Generator.create(config, 0)
    generator.mapping.begin(1)
    generator.mapping.centre_styles(generator.synthesis)
    return generator.eval().requires_grad_(False)


def draw(seed: int) -> torch.Tensor:
    return torch.randn(SCENES, 512, generator=torch.Generator().manual_seed(seed))


def explained(generator, name: str) -> float:
    """R² of the rig's parameters ``name``, read linearly from w."""

    def both(seed):
        z = draw(seed)
        values = getattr(scene_from_latent(z[:, :LATENT_SIZE]).parameters, name).flatten(1)
        w = generator.mapping.single(z)
        return torch.cat((w, torch.ones(len(w), 1)), dim=1).double(), values.double()

    (w, values), (others, expected) = both(2), both(3)
    square = w.mT @ w + 1e-4 * len(w) * torch.eye(w.shape[1], dtype=w.dtype)
    found = others @ torch.linalg.solve(square, w.mT @ values)
    varies = expected.std(0) > 1e-3
    return float(1 - (found - expected)[:, varies].square().sum() / (expected - expected.mean(0))[:, varies].square().sum())


@pytest.mark.parametrize("name", ["identity", "reflectance", "expression", "light"])
def test_the_rigs_parameters_are_linear_in_w(generator, name):
    assert explained(generator, name) > 0.85  # of z itself 0.40 of expressions, 0.31 of light


def test_w_begins_with_spread_one_and_plain_styles(generator):
    w = generator.mapping.single(draw(4))
    assert float(w.std(0).mean()) == pytest.approx(1, abs=0.05)
    affine = generator.synthesis.b8.conv0.affine
    assert (affine(generator.w_avg[None]) - 1).abs().max().item() < 1e-3


def test_free_numbers_of_z_do_nothing_and_each_row_stands_for_itself(generator):
    z = draw(5)[:8]
    other = z.clone()
    other[:, LATENT_SIZE:] = 0
    w = generator.mapping.single(z)
    assert torch.equal(w, generator.mapping.single(other))
    assert torch.allclose(generator.mapping.single(z[3:4]), w[3:4], atol=1e-5)


def test_features_hold_the_rigs_exact_parameters():
    z = draw(6)[:16, :LATENT_SIZE]
    parameters = scene_from_latent(z).parameters
    features = scene_features(z)
    assert set(features) == set(WEIGHT)
    assert torch.equal(features["expression"], parameters.expression) and torch.equal(features["light"], parameters.light.flatten(1))
    assert torch.equal(features["rotation"], parameters.rotation[:, :2])


def test_a_file_keeps_the_mapping(generator, tmp_path):
    path = save_generator(generator, tmp_path / "generator.safetensors", {})
    loaded = load_generator(path)
    z = draw(7)[:64]
    assert torch.equal(loaded.mapping.mean, generator.mapping.mean)
    assert (loaded.mapping.single(z) - generator.mapping.single(z)).abs().max().item() < 0.02  # float16 weights


def test_scenes_of_another_version_are_refused(config):
    other = Generator.create(dataclasses.replace(config, meanings=config.meanings - 1), 0)
    with pytest.raises(StyleRigError, match="features of a scene"):
        other.mapping(draw(8)[:1])


def test_expressions_are_those_of_the_head_that_ships():
    assert tuple(load_face_model(None).expression_names) == EXPRESSIONS


def test_seeds_of_the_generator_that_ships_are_the_same_faces_for_ever():
    with np.load(GOLDEN, allow_pickle=False) as golden:
        expected, images = torch.from_numpy(golden["w"]), torch.from_numpy(golden["images"])
    generator = load_generator(WEIGHTS / "stylerig-generator.safetensors")
    z = torch.cat([latents_from_seed(seed, 1, generator.z_dim) for seed in range(len(expected))])
    with torch.no_grad():
        w = generator.mapping(z)
        drawn = torch.cat([generator.synthesis(row[None]) for row in w])
    assert (w[:, 0] - expected).abs().max().item() < 1e-4 * expected.std().item()
    small = (avg_pool2d(drawn.clamp(-1, 1), 8) + 1) * 127.5
    assert (small - images).abs().max().item() < 2  # of 255


def test_scenes_are_smooth_functions_of_normal_numbers():
    latent = torch.randn(64, LATENT_SIZE, generator=torch.Generator().manual_seed(1))
    scene = scene_from_latent(latent)
    assert scene.parameters.expression.min() >= 0 and scene.parameters.expression.max() <= 1
    assert (scene.parameters.rotation[:, 0].rad2deg().std() - 18).abs() < 6
    nudged = scene_from_latent(latent + 1e-3)
    assert (nudged.parameters.vector() - scene.parameters.vector()).abs().max() < 0.1
