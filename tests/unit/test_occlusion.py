"""How much of an even light reaches a mesh: known shapes, our head, and what is kept between pictures."""

from __future__ import annotations

import pytest
import torch

from models.face import load_face_model, occlusion
from models.face.rasterizer import render
from tests.helpers.synthetic_face import synthetic_face
from tests.unit.test_rasterizer import lit_parameters


@pytest.fixture(scope="module")
def head():
    return load_face_model(None)


def opened(face, **expression: float) -> torch.Tensor:
    """Occlusion (V,) of the mean head with an expression."""
    weights = face.expression_weights(expression)
    return occlusion.vertex_occlusion(face, weights.new_zeros(1, len(face.identity)), weights)[0]


def sphere_and_roof(height: float) -> torch.Tensor:
    """Occlusion of a small sphere's top, under a disc that is seen from there within 45° of straight up (0: no roof)."""
    rings, around = 24, 48
    polar = torch.linspace(0, torch.pi, rings + 1)[:, None].expand(-1, around)
    turn = torch.linspace(0, 2 * torch.pi, around + 1)[:-1].expand(rings + 1, -1)
    ball = 2 * torch.stack((polar.sin() * turn.cos(), polar.cos(), polar.sin() * turn.sin()), dim=-1).reshape(-1, 3)
    low, high = (torch.arange(rings)[:, None] + row for row in (0, 1))
    left, right = torch.arange(around), (torch.arange(around) + 1) % around
    corners = [row * around + column for row, column in ((low, left), (low, right), (high, left), (high, right))]
    triangles = torch.cat([torch.stack([corners[i] for i in order], dim=-1).reshape(-1, 3) for order in ((0, 1, 2), (1, 3, 2))])
    edge = torch.linspace(0, 2 * torch.pi, 65)[:-1]
    disc = torch.stack((height * edge.cos(), torch.full_like(edge, 2 + height), height * edge.sin()), dim=-1)
    roof = torch.cat((ball.new_tensor([[0.0, 2.0 + height, 0.0]]), disc))
    fan = len(ball) + torch.stack((torch.zeros(64, dtype=torch.int64), 1 + torch.arange(64), 1 + (torch.arange(64) + 1) % 64), dim=-1)
    blockers, all_triangles = (torch.cat((ball, roof)), torch.cat((triangles, fan))) if height else (ball, triangles)
    return occlusion.openness(ball, triangles, blockers, all_triangles)


def test_a_ball_is_open_all_around() -> None:
    assert sphere_and_roof(0).min() > 0.97


def test_a_roof_takes_the_light_that_comes_through_it() -> None:
    """Of the cosine-weighted light, sin²(45°) comes from within 45° of the normal; under the ball nothing changes."""
    covered = sphere_and_roof(6.0)
    assert covered[0] == pytest.approx(0.5, abs=0.08)
    assert covered[-1] > 0.97


def test_mouth_and_nostrils_are_closed_off_and_the_forehead_is_open(head) -> None:
    found = opened(head)
    assert found.min() >= 0 and found.max() <= 1
    assert found[head.landmarks[:27]].mean() > 0.8  # outline of the face and brows
    inside = head.masks["teeth"] > 0.5
    assert found[inside].mean() < 0.1


def test_a_smile_lets_light_to_the_teeth(head) -> None:
    teeth = head.masks["teeth"] > 0.5
    shown = opened(head, mouthSmile_L=1.0, mouthSmile_R=1.0, jawOpen=0.3, mouthUpperUp_L=1.0, mouthUpperUp_R=1.0)
    assert (shown - opened(head))[teeth].max() > 0.2


def test_the_coarse_maps_are_near_fine_ones_of_the_whole_mesh(head, monkeypatch) -> None:
    quick = opened(head, jawOpen=0.5)
    weights = head.expression_weights({"jawOpen": 0.5})
    points = head.vertices(weights.new_zeros(1, len(head.identity)), weights)[0]
    monkeypatch.setattr(occlusion, "DIRECTIONS", 96)
    monkeypatch.setattr(occlusion, "SIZE", 128)
    error = (quick - occlusion.openness(points, head.triangles, points, head.triangles)).abs()
    assert error.mean() < 0.025 and error.quantile(0.95) < 0.08


def test_turning_and_lighting_a_head_asks_for_nothing_new(monkeypatch) -> None:
    face = synthetic_face(400)
    parameters = lit_parameters(face)
    calls, find = [], occlusion.found
    monkeypatch.setattr(occlusion, "found", lambda *given: calls.append(given) or find(*given))
    first = render(face, parameters, 24, outputs=("occlusion",))["occlusion"]
    turned = parameters.replace(rotation=parameters.rotation + 0.2, light=2 * parameters.light)
    render(face, turned, 24, outputs=("occlusion",))
    assert len(calls) == 1
    render(face, parameters.replace(expression=1 - parameters.expression), 24, outputs=("occlusion",))
    assert len(calls) == 2
    assert torch.equal(render(face, parameters, 24, outputs=("occlusion",))["occlusion"], first)  # whatever was drawn between


def test_what_was_kept_in_inference_mode_spoils_no_gradients() -> None:
    face = synthetic_face(400)
    parameters = lit_parameters(face)
    with torch.inference_mode():
        render(face, parameters, 24, outputs=("occlusion",))
    moved = parameters.translation.clone().requires_grad_()
    render(face, parameters.replace(translation=moved), 24, outputs=("occlusion",))["occlusion"].sum().backward()
    assert moved.grad is not None and moved.grad.isfinite().all()


def test_a_batch_is_as_its_heads_alone_and_open_beyond_them() -> None:
    face = synthetic_face(400)
    parameters = lit_parameters(face, 2)
    together = render(face, parameters, 24, outputs=("occlusion", "mask"))
    for row in range(2):
        alone = render(face, parameters[row : row + 1], 24, outputs=("occlusion",))["occlusion"][0]
        assert torch.allclose(alone, together["occlusion"][row], atol=1e-5)
    assert (together["occlusion"][together["mask"] == 0] == 1).all()
