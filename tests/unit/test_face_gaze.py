"""Eyes that turn together."""

from __future__ import annotations

import torch

from models.face import load_face_model
from models.face.gaze import is_gaze, moves_with, set_expression, turn_eyes

NAMES = load_face_model(None).expression_names


def named(weights: torch.Tensor) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(NAMES, weights[0], strict=True) if value}


def test_an_expression_is_set_alone():
    weights = torch.zeros(1, len(NAMES))
    assert named(set_expression(weights, "mouthSmile_L", 0.5, NAMES)) == {"mouthSmile_L": 0.5}
    assert not weights.any()


def test_both_eyes_look_the_same_way_and_no_longer_the_other():
    right = set_expression(torch.zeros(1, len(NAMES)), "eyeLookOut_R", 0.4, NAMES)
    assert named(right) == {"eyeLookOut_R": 0.4, "eyeLookIn_L": 0.4}
    assert named(set_expression(right, "eyeLookOut_L", 0.7, NAMES)) == {"eyeLookOut_L": 0.7, "eyeLookIn_R": 0.7}
    assert named(set_expression(right, "eyeLookDown_R", 1.0, NAMES)) == {
        "eyeLookOut_R": 0.4, "eyeLookIn_L": 0.4, "eyeLookDown_L": 1.0, "eyeLookDown_R": 1.0
    }  # fmt: skip


def test_eyes_turn_by_a_signed_amount():
    left_and_up = turn_eyes(turn_eyes(torch.zeros(2, len(NAMES)), 0, torch.tensor([0.3, -0.3]), NAMES), 1, torch.tensor([0.2, 0.0]), NAMES)
    assert named(left_and_up) == {"eyeLookOut_L": 0.3, "eyeLookIn_R": 0.3, "eyeLookUp_L": 0.2, "eyeLookUp_R": 0.2}
    assert named(left_and_up[1:]) == {"eyeLookIn_L": 0.3, "eyeLookOut_R": 0.3}


def test_what_moves_with_an_expression():
    assert moves_with("jawOpen") == {"jawOpen"}
    assert moves_with("eyeLookUp_R") == {"eyeLookUp_L", "eyeLookUp_R", "eyeLookDown_L", "eyeLookDown_R"}
    assert sum(is_gaze(name) for name in NAMES) == 8
