"""The photo studio: pictures follow from their numbers, and their truth fits them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.face import load_face_model
from models.studio.painter import landmarks_of, paint, prepare
from models.studio.scene import latent_size, scene_from_latent


@pytest.fixture(scope="module")
def assets():
    return prepare(load_face_model(None))


@pytest.fixture(scope="module")
def latents(assets) -> torch.Tensor:
    return torch.randn(3, latent_size(assets.face), generator=torch.Generator().manual_seed(2))


def test_the_same_numbers_give_the_same_picture(assets, latents):
    first, second = (paint(scene_from_latent(latents, assets.face), assets, 64) for _ in range(2))
    assert first.shape == (3, 64, 64, 4) and first.dtype == torch.uint8
    assert torch.equal(first, second)
    assert (first[0].int() - first[1].int()).abs().float().mean() > 5


def test_pictures_are_premultiplied_heads_before_nothing(assets, latents):
    pictures = paint(scene_from_latent(latents, assets.face), assets, 64).int()
    alpha = pictures[..., 3]
    assert (pictures[..., :3].amax(dim=-1) <= alpha + 1).all()
    assert (alpha[:, 24:40, 24:40] == 255).all() and 0.2 < (alpha > 127).float().mean() < 0.95


def test_landmarks_are_aligned_and_lie_on_the_head(assets, latents):
    scene = scene_from_latent(latents, assets.face)
    alpha = paint(scene, assets, 64)[..., 3].numpy()
    landmarks = landmarks_of(scene, assets.face).numpy()
    eyes = landmarks[:, 36:48].mean(axis=1)
    assert np.abs(eyes[:, 1] - eyes[:, 1].mean()).max() < 0.1  # aligned crops: eyes at one height
    columns, rows = ((landmarks[..., 0] + 1) * 32).astype(int), ((1 - landmarks[..., 1]) * 32).astype(int)
    inner = slice(17, 68)
    for i in range(len(latents)):
        assert alpha[i, rows[i, inner], columns[i, inner]].mean() > 240
