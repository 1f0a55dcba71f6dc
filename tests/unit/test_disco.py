"""DiscoFaceGAN's parts: z by factor, the decoders' VAEs, and what a face model says of two pictures of one head."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

from models.colour import BACKDROP
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.face import load_face_model
from models.face.alignment import align
from models.face.parameters import RigParameters, concatenate
from models.generators import Generator, load_generator, save_generator, torch_threads
from models.generators.disco import FACTORS, DiscoConfig, DiscoMapping, mix, only
from models.training.core.config import Stage
from models.training.core.distributed import World
from models.training.core.trainer import Progress
from models.training.disco import losses
from models.training.disco.factors import FactorsTask, visible
from models.training.disco.flow import correspondence
from models.training.disco.population import head

NUMBERS = {"identity": 6, "expression": 4, "light": 3, "rotation": 3}
HIDDEN = dict.fromkeys(NUMBERS, 8)
CONFIG = DiscoConfig(resolution=128, channels={2**k: 4 for k in range(2, 8)}, mapping_layers=2, z_dim=21, numbers=NUMBERS, hidden=HIDDEN)


@pytest.fixture(scope="module")
def face():
    return load_face_model("head-2")


@pytest.fixture(scope="module")
def mapping() -> DiscoMapping:
    torch.manual_seed(0)
    mapping = DiscoMapping(CONFIG)
    mapping.w_avg.normal_()
    return mapping


def test_each_factor_of_z_says_its_own_coefficients(mapping):
    z, other = torch.randn(2, 3, 21)
    for name in FACTORS:
        mixed = mapping.coefficients(mix(CONFIG, z, other, (name,)))
        changed = (mixed != mapping.coefficients(z)).any(dim=0).split(list(CONFIG.coefficients.values()))
        assert {each: bool(part.any()) for each, part in zip(FACTORS, changed, strict=True)} == {each: each == name for each in FACTORS}
    noisy = mix(CONFIG, z, other, ("noise",))
    assert torch.equal(mapping.coefficients(noisy), mapping.coefficients(z)) and not torch.equal(mapping.single(noisy), mapping.single(z))


def test_truncation_moves_who_it_is_and_nothing_else(mapping):
    z, other = torch.randn(2, 3, 21)
    posed = mix(CONFIG, z, other, ("expression", "light", "rotation", "noise"))
    shifts = [mapping(each, truncation_psi=0.6) - mapping(each) for each in (z, posed)]
    assert torch.allclose(*shifts, atol=1e-5) and shifts[0][:, :8].abs().mean() > 0.01
    assert not shifts[0][:, 8:].any()  # the fine layers stay, as published
    plain = only(CONFIG, z, ("identity",))
    assert torch.allclose(mapping(plain, truncation_psi=0.0)[:, 0], mapping.w_avg.expand(3, -1), atol=1e-5)


def test_coefficients_are_heads_and_back(mapping, face):
    for decoder in mapping.decoders.values():
        decoder.mean.fill_(0.4)
        decoder.std.fill_(0.2)
    coefficients = torch.rand(2, sum(CONFIG.coefficients.values()))
    heads = mapping.parameters_of(coefficients, face)
    places = dict(zip(FACTORS, coefficients.split(list(CONFIG.coefficients.values()), dim=1), strict=True))
    assert torch.allclose(heads.expression, 0.4 + 0.2 * places["expression"]) and heads.light.shape == (2, 9, 3)
    found = mapping.coefficients_of(heads).split(list(CONFIG.coefficients.values()), dim=1)
    for name, values in zip(FACTORS, found, strict=True):
        same = slice(0, 2) if name == "rotation" else slice(None)  # roll follows from the alignment
        assert torch.allclose(values[:, same], places[name][:, same], atol=1e-4)


def test_the_file_holds_all_and_a_wrong_configuration_is_refused(tmp_path):
    generator = Generator.create(CONFIG, seed=1)
    loaded = load_generator(save_generator(generator, tmp_path / "disco.safetensors", {"minutes": 3}))
    assert loaded.config == CONFIG and loaded.metadata == {"minutes": 3}
    z = torch.randn(2, 21)
    assert (loaded(z) - generator(z)).abs().max() < 0.02
    assert sum(value.numel() for value in generator.state_dict().values()) <= CONFIG.size
    values = CONFIG.to_json()
    for wrong in ({"z_dim": 3}, {"parts": {"identity": 3}}, {"numbers": NUMBERS | {"light": 0}}, {"hidden": "wide"}, {"head": "../x"}):
        with pytest.raises(StyleRigError):
            DiscoConfig.from_json(values | wrong)


def heads_of(face, count: int) -> RigParameters:
    """Heads whose shape and expression follow from few numbers."""
    random = torch.Generator().manual_seed(3)
    few = torch.randn(count, 3, generator=random)
    spread = lambda size: torch.tanh(few @ torch.randn(3, size, generator=random))
    neutral = RigParameters.neutral(face, count)
    return neutral.replace(identity=spread(130), reflectance=spread(32), expression=spread(58).abs(), rotation=0.3 * spread(3),
                           light=neutral.light * (1 + 0.3 * spread(1)[:, :, None]))  # fmt: skip


def test_the_vaes_learn_what_there_is_to_learn(face):
    config = dataclasses.replace(CONFIG, hidden=dict.fromkeys(NUMBERS, 32))
    with torch_threads(1):
        task = FactorsTask(heads_of(face, 400), face, config, Stage(batch=64, learning_rate=4e-3), World("cpu"), seed=0)
        before = sum(task.losses(torch.arange(64), DeviceRng(1)).values())
        rng = DeviceRng(0)
        for _ in range(200):
            task.step(task.batch(Progress(), rng), rng)
            for optimizer in task.optimizers.values():
                optimizer.step()
                optimizer.zero_grad()
        after = sum(task.losses(torch.arange(64), DeviceRng(1)).values())
        figures = {name: task.figures(name) for name in FACTORS}
    assert after < 0.7 * before
    assert figures["light"]["explained"] > 0.9 and figures["identity"]["explained"] > 0.6
    assert 0.5 < figures["light"]["spread"] < 1.3


def test_an_error_counts_by_what_it_moves(face):
    weights = visible("identity", torch.ones(162), face)
    shape = face.identity.square().sum(dim=(1, 2))
    assert torch.equal(weights[:130].argsort(), shape.argsort())
    assert weights[:130].square().mean() == pytest.approx(1) and weights[130:].square().mean() == pytest.approx(1)
    assert torch.equal(visible("light", torch.ones(27), face), torch.ones(27))


def test_a_head_of_the_population_is_the_studios(face):
    drawn = concatenate([head(number, face) for number in range(4)])
    assert torch.equal(drawn.vector()[1], head(1, face).vector()[0])
    assert (drawn.expression >= 0).all() and drawn.light[:, 0].mean() > 0.5 and drawn.rotation.std() > 0


def posed(face, **expression: float) -> RigParameters:
    neutral = RigParameters.neutral(face)
    for name, value in expression.items():
        neutral.expression[0, face.expression_names.index(name)] = value
    neutral.light[:, 3] = 1.0
    return align(face, neutral)


def test_the_same_picture_lies_where_it_is(face):
    same = posed(face)
    grid, valid = correspondence(face.proxy, same, same, 64)
    axis = (torch.arange(64) + 0.5) / 32 - 1
    assert torch.allclose(grid[0, :, :, 0], axis.expand(64, 64), atol=2e-3)
    assert torch.allclose(grid[0, :, :, 1], axis[:, None].expand(64, 64), atol=2e-3)
    assert valid.mean() > 0.97


def test_a_picture_warped_by_the_mesh_lies_on_the_other(face):
    before, after = posed(face), posed(face, jawOpen=1.0)
    first, second = (losses.draw(face, each, 128) for each in (before, after))
    grid, valid = correspondence(face.proxy, before, after, 128)
    warped = F.grid_sample(first.colour, grid, align_corners=False)
    where = valid * second.mask
    error = lambda picture: float(((picture - second.colour).abs().mean(dim=1, keepdim=True) * where).sum() / where.sum())
    assert error(warped) < 0.5 * error(first.colour)
    appears = 1 - valid[:, 0, :, 40:88]
    assert 0.01 < (appears * second.mask[:, 0, :, 40:88]).mean() < 0.3  # the mouth's inside comes into view


class Blind:
    """A regressor that reads what it was told."""

    sizes: ClassVar = {"identity": 130, "reflectance": 32, "expression": 58, "light": 27, "rotation": 3, "translation": 3}

    def __init__(self, landmarks, parameters):
        self.landmarks, self.parameters = landmarks, parameters

    def predict(self, images):
        embedding = images.mean(dim=(2, 3)) - BACKDROP
        return losses.Prediction(self.landmarks[: len(images)], self.parameters[: len(images)], embedding)


def as_images(drawn: losses.Drawn) -> torch.Tensor:
    return torch.cat((drawn.colour * drawn.mask, drawn.mask), dim=1) * 2 - 1


def test_what_shows_the_face_model_imitates_it(face):
    heads = concatenate([posed(face), posed(face, jawOpen=0.5)])
    drawn = losses.draw(face, heads, 64)
    terms = losses.imitation(as_images(drawn), drawn, Blind(drawn.landmarks, heads.vector()))
    assert terms["identity"] == pytest.approx(0.3)  # the least
    assert terms["landmark"] == 0 and terms["light"] == pytest.approx(0, abs=1e-6) and terms["skin"] < 0.02
    assert losses.colour_loss(as_images(drawn), drawn) < 0.03
    away = Blind(drawn.landmarks + 0.2, heads.replace(light=heads.light + math.pi).vector())
    terms = losses.imitation(-as_images(drawn), drawn, away)
    assert terms["landmark"] == pytest.approx(0.01) and terms["light"] == pytest.approx(1.0, abs=1e-5)
    assert terms["skin"] > 0.3 and losses.colour_loss(-as_images(drawn), drawn) > 0.3


def test_pairs_that_are_the_same_have_no_contrast(face):
    before, after = posed(face), posed(face, jawOpen=1.0)
    heads = concatenate([before, after])
    drawn = losses.draw(face, heads, 64)
    still = losses.expression_contrast(face, as_images(losses.draw(face, concatenate([before, before]), 64)), concatenate([before, before]))
    moved = losses.expression_contrast(face, as_images(drawn), heads)
    unmoved = losses.expression_contrast(face, as_images(drawn)[[0, 0]], heads)
    assert still < 2e-3 and moved < 0.8 * unmoved
    images, regressor = as_images(drawn)[[0, 0]], Blind(drawn.landmarks[[0, 0]], heads.vector())
    assert losses.light_contrast(images, regressor) == pytest.approx(0, abs=1e-5)
    assert losses.light_contrast(as_images(drawn), Blind(drawn.landmarks, heads.vector())) > 0.1
