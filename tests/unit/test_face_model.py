"""Our head: topology, landmarks, what closes and turns; more of it in test_face_head.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.face import load_face_model
from models.face.model import needed

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "models" / "face" / "own_head" / "measurements.npz"


@pytest.fixture(scope="module")
def face():
    return load_face_model(None)


def weights(face, **values) -> torch.Tensor:
    delta = torch.zeros(1, len(face.expression_names))
    for name, value in values.items():
        delta[0, face.expression_names.index(name)] = value
    return delta


def posed(face, **values) -> torch.Tensor:
    return face.vertices(torch.zeros(1, face.identity.shape[0]), weights(face, **values))[0]


def test_sizes_and_names(face):
    assert len(face.mean) <= 12_000 and 1_200 <= len(face.proxy.mean) <= 2_200
    assert face.identity.shape[0] == face.proxy.identity.shape[0] == 80
    assert len(face.expression_names) == face.expression.shape[0] == 57
    assert face.albedo.shape == face.proxy.albedo.shape[:1] + face.mean.shape
    for tensor in (face.mean, face.identity, face.expression, face.albedo_mean, face.albedo):
        assert torch.isfinite(tensor).all()
    assert (face.albedo_mean > 0).all() and (face.albedo_mean < 1).all()


def test_quads_are_valid_and_edges_shared_by_at_most_two(face):
    quads = face.quads
    assert quads.min() >= 0 and quads.max() < len(face.mean)
    assert all(len(set(row)) == 4 for row in quads.tolist())
    edges = torch.stack((quads, quads.roll(-1, 1)), dim=-1).reshape(-1, 2).sort(dim=1).values
    _, counts = edges.unique(dim=0, return_counts=True)
    assert counts.max() <= 2
    directed = torch.stack((quads, quads.roll(-1, 1)), dim=-1).reshape(-1, 2)
    assert len(directed.unique(dim=0)) == len(directed), "two neighbours wind the same way along an edge"
    assert face.uv_quads.shape == quads.shape and face.uv_quads.max() < len(face.uv)
    assert face.uv.min() >= 0 and face.uv.max() <= 1


def test_landmarks_sit_where_they_were_measured(face):
    with np.load(FIGURES) as figures:
        chart, mean, wanted = figures["chart"], figures["mean"], figures["landmark68_chart"]
    nearest = np.linalg.norm(chart[:, None] - wanted[None], axis=-1).argmin(axis=0)
    for mesh in (face, face.proxy):
        assert len(set(mesh.landmarks.tolist())) == 68
        distance = np.linalg.norm(mesh.mean[mesh.landmarks].numpy() - mean[nearest], axis=1)
        assert np.median(distance) < 0.05 and distance.max() < 0.45  # cm; two lip corners have no measured point


def test_lids_close_and_jaw_opens(face):
    upper, lower = face.landmarks[[37, 38]], face.landmarks[[41, 40]]
    gap = lambda points: float((points[upper, 1] - points[lower, 1]).mean())
    assert gap(posed(face)) > 0.6
    assert gap(posed(face, eyeBlink_L=1, eyeBlink_R=1)) < 0.25
    lips = face.landmarks[[62, 66]]
    mouth = lambda points: float(points[lips[0], 1] - points[lips[1], 1])
    assert mouth(posed(face, jawOpen=1)) - mouth(posed(face)) > 2.0
    teeth = face.masks["teeth"] > 0.5
    moved = (posed(face, jawOpen=1) - posed(face))[teeth, 1]
    assert moved.min() < -2 and (moved == 0).any()


def test_eyes_turn_with_the_gaze(face):
    left = face.groups["eye_L"] > 0.5
    front = left.nonzero()[face.mean[left][:, 2].argmax()]
    turned = (posed(face, eyeLookOut_L=1) - posed(face))[front][0]
    assert turned[0] > 0.5 and abs(turned[1]) < 0.05
    other = face.groups["eye_R"] > 0.5
    assert (posed(face, eyeLookOut_L=1) - posed(face))[other].abs().max() == 0


def test_identity_changes_nothing_at_zero_and_stays_plausible(face):
    assert torch.equal(posed(face), face.mean)
    generator = torch.Generator().manual_seed(0)
    people = face.vertices(torch.randn(20, 80, generator=generator), torch.zeros(20, 57))
    width = people[:, :, 0].amax(1) - people[:, :, 0].amin(1)
    assert width.min() > 14 and width.max() < 24  # head breadth with ears, cm


def test_unknown_face_model_says_what_to_do():
    with pytest.raises(StyleRigError) as caught:
        load_face_model("no-such-file.mat")
    assert "no-such-file.mat" in caught.value.message and caught.value.hint


def test_a_part_that_a_model_lacks_is_named():
    face = load_face_model(None)
    assert needed(face.quads, "quads") is face.quads
    with pytest.raises(StyleRigError, match="has no UV layout"):
        needed(None, "UV layout")
