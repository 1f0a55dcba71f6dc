"""What ships follows its controls, as the pictures themselves show: read by the judge, not from the request."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from models.evaluation.control import load_judge
from models.face.alignment import project_landmarks
from models.face.parameters import RigParameters
from models.rigging import Controls, Rig
from models.rigging.folders import WEIGHTS
from models.rigging.rig import hash_files, weight_files

SEEDS = range(900, 906)
YAWS = (-25.0, 0.0, 25.0)
NOSE_TIP, EYES = 30, slice(36, 48)


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.load(name="stylerig")


@pytest.fixture(scope="module")
def judge(rig):
    return load_judge(None, None, rig)


@pytest.fixture(scope="module")
def portraits(rig):
    return [rig.new_portrait(seed=seed) for seed in SEEDS]


def picture(rig, portrait, **controls) -> torch.Tensor:
    """One frame as the judge sees it, (1, 3, H, W) sRGB 0–1."""
    frame = rig.frame(portrait, Controls(**controls), passes=("Portrait",))
    return torch.from_numpy(np.ascontiguousarray(frame["Portrait"])).permute(2, 0, 1)[None]


def test_a_turned_head_is_turned_in_the_picture(rig, judge, portraits):
    seen = np.zeros((len(portraits), len(YAWS)))
    nose = np.zeros_like(seen)
    for i, portrait in enumerate(portraits):
        pitch = float(portrait.parameters.rotation[0, 1])
        for j, yaw in enumerate(YAWS):
            shown = picture(rig, portrait, rotation=(math.radians(yaw), pitch, 0.0))
            landmarks, _ = judge(shown)
            seen[i, j] = math.degrees(float(RigParameters.from_vector(judge(shown)[1], rig.face).rotation[0, 0]))
            nose[i, j] = float(landmarks[0, NOSE_TIP, 0] - landmarks[0, EYES, 0].mean())
    assert np.abs(np.median(seen, axis=0) - YAWS).max() < 5, seen.round(1)
    assert (np.diff(seen, axis=1) > 15).all(), seen.round(1)
    assert (nose[:, 0] < 0).all() and (nose[:, 2] > 0).all(), "the nose does not point where the head was turned"


def test_an_open_jaw_opens_the_mouth(rig, judge, portraits):
    opened = []
    for portrait in portraits:
        gap = []
        for value in (0.0, 1.0):
            landmarks, _ = judge(picture(rig, portrait, expression={"jawOpen": value}))
            gap.append(float(landmarks[0, 62, 1] - landmarks[0, 66, 1]))
        opened.append(gap[1] - gap[0])
    assert np.median(opened) > 0.03, opened  # of half a frame; the jaw of the mesh opens it by 0.2


def test_light_from_the_side_brightens_that_side(rig, portraits):
    side = 1.2 * torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 0, 0])[:, None] * torch.ones(3)
    difference = []
    for portrait in portraits:
        rotation = (0.0, 0.0, 0.0)
        own = portrait.parameters.light[0]
        pictures = [picture(rig, portrait, rotation=rotation, light=tuple(map(tuple, (own + sign * side).tolist()))) for sign in (1, -1)]
        half = pictures[0].shape[-1] // 2
        left_minus_right = [float(p[..., half:].mean() - p[..., :half].mean()) for p in pictures]
        difference.append(left_minus_right[0] - left_minus_right[1])
    assert np.median(difference) > 0.02, difference


def test_portraits_from_before_heads_counted_still_belong_to_the_rig(rig):
    """They hold the hash of the three files alone, and were made with the head that was built at each start."""
    assert rig.networks.localize_expressions, "stored as keep"
    assert rig.weights_hash == hash_files(list(weight_files(WEIGHTS, "stylerig").values()))
    moved = dataclasses.replace(rig.face, expression=rig.face.expression * 1.001)
    assert Rig.load(face=moved, name="stylerig").weights_hash != rig.weights_hash


def test_own_controls_give_the_portrait_itself(rig, portraits):
    plain = rig.frame(portraits[0], Controls(), passes=("Portrait",))["Portrait"]
    parameters = portraits[0].parameters
    names = dict(zip(rig.face.expression_names, parameters.expression[0].tolist(), strict=True))
    light = tuple(map(tuple, parameters.light[0].tolist()))
    same = rig.frame(portraits[0], Controls(expression=names, light=light), passes=("Portrait",))["Portrait"]
    assert np.abs(plain - same).max() < 2e-3


def test_a_blink_leaves_the_mouth_as_it_is(rig, portraits):
    for portrait in portraits:
        still = picture(rig, portrait)[0]
        rows = (1 - project_landmarks(rig.face, portrait.parameters)[0, :, 1]) / 2 * still.shape[1]  # of the picture, from its top
        blink = picture(rig, portrait, expression={"eyeBlink_L": 1, "eyeBlink_R": 1})[0]
        below = int(rows[48:].min())
        assert (blink - still)[:, below:].abs().max() < 1e-3 and (blink - still).abs().max() > 0.1
