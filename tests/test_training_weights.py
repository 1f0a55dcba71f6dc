"""Pairs weigh where people look, and the mapping may learn at its own rate."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from models.training import losses
from models.training.config import Stage
from tests.picture_sets import write_set
from tests.test_training_generator import TINY, training


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
    run = training(folder, tmp_path / "out", dataclasses.replace(TINY, stages=(stage,), mapping_rate=0.1))
    assert run.run()
    rates = {group["share"]: group["lr"] for group in run.networks.generator_optimizer.param_groups}
    assert rates[0.1] == pytest.approx(0.1 * rates[1.0])
    weight = run.teacher.focus
    assert weight.shape == (8, 1, 8, 8) and float(weight.mean()) == pytest.approx(1, rel=1e-5)
