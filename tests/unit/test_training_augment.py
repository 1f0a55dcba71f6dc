"""Augmentations keep the matte's meaning, and their probability follows the discriminator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.training.generator import augment
from models.training.generator.augment import Adaptive, Augmentation, draw
from tests.helpers.picture_sets import LATENTS, ellipse


def pictures(count: int, size: int = 32) -> torch.Tensor:
    drawn = [ellipse(np.random.default_rng(n).standard_normal(LATENTS), size) for n in range(count)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_probability_zero_changes_nothing_and_one_changes_all():
    before = pictures(8)
    assert draw(8, 0.0, 32, rng())(before) is before
    after = draw(8, 1.0, 32, rng())(before)
    assert ((after - before).abs().flatten(1).max(dim=1).values > 0.1).all()


def test_an_identity_leaves_the_picture():
    before = pictures(2)
    places = torch.eye(3)[:2].repeat(2, 1, 1)
    colours = torch.eye(4)[:3].repeat(2, 1, 1)
    assert torch.allclose(Augmentation(places, colours)(before), before, atol=1e-4)


def test_whole_shifts_move_pixels_exactly():
    before = pictures(1)
    places = augment.translation(torch.tensor([[2 / 32 * 3, 0.0]]))[:, :2]
    after = Augmentation(places, None)(before)
    assert torch.allclose(after[..., :-3], before[..., 3:], atol=1e-4)


def test_colours_change_as_if_straight_and_the_matte_not_at_all():
    before = pictures(4)
    colours = augment.draw_colours(4, 1.0, rng(1))
    after = Augmentation(None, colours)(before)
    assert torch.equal(after[:, 3:], (before * 0.5 + 0.5)[:, 3:] * 2 - 1)
    unit = before * 0.5 + 0.5
    straight = unit[:, :3] / unit[:, 3:].clamp(min=1e-6)
    moved = torch.einsum("nij,njhw->nihw", colours[:, :, :3], straight) + colours[:, :, 3, None, None]
    assert torch.allclose(after[:, :3] * 0.5 + 0.5, moved * unit[:, 3:], atol=1e-4)


def test_greys_stay_grey_under_hue_and_saturation():
    turn = augment.hue_rotation(torch.tensor([1.0, -2.0]))
    assert torch.allclose(turn @ torch.ones(3), torch.ones(2, 3), atol=1e-6)
    assert torch.allclose(turn @ turn.mT, torch.eye(3).expand(2, 3, 3), atol=1e-6)


def test_only_flips_mirror():
    places = augment.draw_places(400, 1.0, 32, rng(2), flip=False)
    assert (torch.linalg.det(places[:, :, :2]) > 0).all()
    mirrored = torch.linalg.det(augment.draw_places(400, 1.0, 32, rng(2), flip=True)[:, :, :2]) < 0
    assert 150 < mirrored.sum() < 250


def test_the_probability_rises_where_real_pictures_are_too_sure_and_falls_else():
    adaptive = Adaptive()
    for _ in range(8):
        adaptive.update(1.0, 16, target=0.6, ramp=1000)
    assert adaptive.p == pytest.approx(8 * 16 / 1000)
    restored = Adaptive()
    restored.load(adaptive.state())
    for _ in range(40):
        restored.update(0.0, 16, target=0.6, ramp=1000)
    assert restored.p == 0.0


def test_gradients_pass_through():
    leaf = pictures(2).requires_grad_()
    draw(2, 1.0, 32, rng())(leaf).sum().backward()
    assert float(leaf.grad.abs().sum()) > 0
