"""The rig is fitted to landmarks and colours that it made itself: what went in comes out."""

from __future__ import annotations

import math

import pytest
import torch

from models.editing.inversion.fit import SIDE, CropFrame, HeadFrame, carried, fit_colours, fit_shape, similarity
from models.face import load_face_model
from models.face.harmonics import soft_key
from models.face.parameters import RigParameters
from models.face.rasterizer import render

FRAMES = {"crop": (CropFrame, None), "head": (HeadFrame, "head-2")}


@pytest.fixture(scope="module", params=list(FRAMES))
def frame(request):
    kind, head = FRAMES[request.param]
    return kind(load_face_model(head))


def people(frame, count: int, yaws: list[float]) -> RigParameters:
    """One person in several poses."""
    rng = torch.Generator().manual_seed(4)
    heads = RigParameters.neutral(frame.face, count)
    identity = 0.7 * torch.randn(1, len(frame.face.identity), generator=rng)
    rotation = torch.zeros(count, 3)
    rotation[:, 0] = torch.tensor(yaws)
    expression = torch.zeros_like(heads.expression)
    expression[0, frame.face.expression_names.index("jawOpen")] = 0.6
    return frame.standing(heads.replace(identity=identity.expand(count, -1), rotation=rotation, expression=expression))


def test_pose_and_expression_of_a_person_are_found(frame):
    heads = people(frame, 2, [0.3, -0.2])
    squares = torch.tensor([[200.0, -150.0, 90.0, 12.0], [80.0, -90.0, 40.0, -3.0]])
    fit = fit_shape(frame, carried(frame.landmarks(heads), squares))
    assert fit.error.max() < 0.01
    assert (fit.parameters.rotation[:, 0] - heads.rotation[:, 0]).abs().max() < math.radians(4)
    jaw = fit.parameters.expression[:, frame.face.expression_names.index("jawOpen")]
    assert jaw[0] > 0.35 and jaw[1] < 0.15
    assert torch.equal(fit.parameters.identity[0], fit.parameters.identity[1]), "one person"
    assert (fit.squares[:, 2:].norm(dim=1) / squares[:, 2:].norm(dim=1) - 1).abs().max() < 0.05


def test_a_similarity_is_solved_exactly():
    points, square = torch.randn(1, 68, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([[5.0, -7.0, 3.0, 1.0]])
    assert torch.allclose(similarity(points, carried(points, square), torch.ones(68)), square, atol=1e-4)


def test_light_and_reflectance_explain_the_colours_of_a_face_and_of_nothing_else(frame):
    heads = people(frame, 1, [0.2])
    reflectance = 0.8 * torch.randn(1, len(frame.face.albedo), generator=torch.Generator().manual_seed(2))
    lit = heads.replace(reflectance=reflectance, light=(1.3 * soft_key())[None])
    picture = render(frame.face, lit, SIDE, frame.camera(lit), ("colour",), frame.body(lit))["colour"].movedim(-1, 1)
    known = torch.ones(1, 1, SIDE, SIDE)
    found, explained = fit_colours(frame, heads, picture, known)
    assert explained > 0.8
    again = render(frame.face, found, SIDE, frame.camera(found), ("colour", "mask"), frame.body(found))
    off = ((again["colour"].movedim(-1, 1) - picture).abs() * again["mask"].movedim(-1, 1)).sum() / again["mask"].sum() / 3
    assert off < 0.03
    flat = torch.full((1, 3, SIDE, SIDE), 0.4) + 0.1 * torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    assert fit_colours(frame, heads, flat, known)[1] < explained - 0.5
    assert fit_colours(frame, heads, flat, 0 * known)[1] == 0, "nothing is seen of it"
