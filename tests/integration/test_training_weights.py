"""Pairs weigh where people look, and the mapping may learn at its own rate."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.device_rng import DeviceRng
from models.training.generator import losses
from models.training.generator.config import Stage
from models.training.generator.texture import texture_loss
from tests.helpers.picture_sets import write_set
from tests.integration.test_training_generator import TINY, training


def test_eyes_and_mouth_weigh_more():
    landmarks = torch.zeros(1, 68, 2)
    landmarks[:, 36:48] = torch.tensor((-0.5, 0.5))  # eyes: left in the picture, above the middle
    near = losses.feature_map(landmarks, 128)
    assert near.shape == (1, 1, 128, 128)
    assert float(near[0, 0, 32, 32]) > 0.9 and float(near[0, 0, 96, 96]) < 0.01
    assert float(near.max()) <= 1


def test_pairs_are_learned_with_more_weight_on_features(tmp_path):
    folder = write_set(tmp_path / "set", range(96))
    stage = Stage(resolution=8, batch=8, images=32, feature_focus=4.0)
    run = training(folder, tmp_path / "out", TINY.replace(stages=(stage,), mapping_rate=0.1))
    run.run()
    mapping, synthesis = (group["lr"] for group in run.task.networks.generator_optimizer.param_groups)
    assert mapping == pytest.approx(0.1 * synthesis)
    weight = run.task.batch(run.progress, DeviceRng(0)).focus
    assert weight.shape == (8, 1, 8, 8) and float(weight.mean()) == pytest.approx(1, rel=1e-5)


def test_texture_is_how_much_detail_there_is_not_where():
    random = torch.Generator().manual_seed(0)
    grain = torch.randn(2, 4, 64, 64, generator=random)
    blurred = F.interpolate(F.avg_pool2d(grain, 4), scale_factor=4, mode="bilinear", align_corners=False)
    assert float(texture_loss(grain, grain)) == 0
    elsewhere, lost = float(texture_loss(grain.flip(3), grain)), float(texture_loss(blurred, grain))
    assert elsewhere < 0.5 * lost
    across = torch.sin(torch.arange(64.0) * (3.1416 / 2)).expand(1, 4, 64, 64)
    moved, turned = across.roll(1, 3), across.mT
    assert float(texture_loss(moved, across)) < 0.1 * float(texture_loss(turned, across)), "directions are told apart"


def test_pairs_learn_texture_where_it_is_asked_for(tmp_path):
    folder = write_set(tmp_path / "set", range(96))
    stage = Stage(resolution=16, batch=8, images=16, texture_weight=0.2)
    run = training(folder, tmp_path / "out", TINY.replace(stages=(stage,)))
    run.run()
    assert any("texture" in line for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines())
