"""Camera, head rotation, rig parameters and FFHQ alignment."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.face import alignment
from models.face.camera import (
    PORTRAIT_CAMERA,
    Camera,
    rotation_from_matrix,
    rotation_matrix,
)
from models.face.parameters import RigParameters, concatenate
from tests.helpers.synthetic_face import synthetic_face


def random_parameters(face, count: int) -> RigParameters:
    random = torch.Generator().manual_seed(3)
    neutral = RigParameters.neutral(face, count)
    return neutral.replace(
        identity=torch.randn(neutral.identity.shape, generator=random),
        expression=torch.rand(neutral.expression.shape, generator=random),
        rotation=torch.randn(count, 3, generator=random) * torch.tensor((0.5, 0.3, 0.5)),
        translation=torch.randn(count, 3, generator=random) * 4,
    )


def published_crop(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The recipe as it was published with FFHQ, pixels with y down: centre and half axis x."""
    eye_left = landmarks[36:42].mean(axis=0)
    eye_right = landmarks[42:48].mean(axis=0)
    eye_average = (eye_left + eye_right) * 0.5
    eye_to_eye = eye_right - eye_left
    eye_to_mouth = (landmarks[48] + landmarks[54]) * 0.5 - eye_average
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    return eye_average + eye_to_mouth * 0.1, x


def test_projection_of_known_points() -> None:
    points = torch.tensor([[[12.5, -12.5, 0.0], [0.0, 0.0, 60.0], [12.5, 0.0, 60.0]]])
    expected = torch.tensor([[[1.0, -1.0, 120.0], [0.0, 0.0, 60.0], [2.0, 0.0, 60.0]]])
    projected = PORTRAIT_CAMERA.project(points)
    assert torch.allclose(projected, expected)
    assert torch.allclose(PORTRAIT_CAMERA.unproject(projected), points)


def test_camera_gradients() -> None:
    points = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    distance = torch.tensor(90.0, dtype=torch.float64, requires_grad=True)
    half_width = torch.tensor(((10.0,), (12.0,)), dtype=torch.float64, requires_grad=True)

    def project(distance, half_width):
        return Camera(distance, half_width).project(points)

    assert torch.autograd.gradcheck(project, (distance, half_width))


@pytest.mark.parametrize(
    ("rotation", "point", "expected"),
    [
        ((math.pi / 2, 0, 0), (0, 0, 1), (1, 0, 0)),  # yaw: the face turns to its left
        ((0, math.pi / 2, 0), (0, 0, 1), (0, -1, 0)),  # pitch: it looks down
        ((0, 0, math.pi / 2), (0, 1, 0), (-1, 0, 0)),  # roll: its top goes to its right
    ],
)
def test_rotation_signs(rotation, point, expected) -> None:
    matrix = rotation_matrix(torch.tensor([rotation], dtype=torch.float32))
    turned = matrix[0] @ torch.tensor(point, dtype=torch.float32)
    assert torch.allclose(turned, torch.tensor(expected, dtype=torch.float32), atol=1e-6)


def test_rotation_order_is_roll_yaw_pitch() -> None:
    yaw, pitch, roll = (rotation_matrix(row[None])[0] for row in torch.eye(3) * 0.4)
    together = rotation_matrix(torch.full((1, 3), 0.4))[0]
    assert torch.allclose(together, roll @ yaw @ pitch, atol=1e-6)


def test_rotation_round_trip() -> None:
    random = torch.Generator().manual_seed(1)
    rotation = (torch.rand(50, 3, generator=random) - 0.5) * torch.tensor((3.0, 6.0, 6.0))
    matrix = rotation_matrix(rotation)
    assert torch.allclose(matrix.mT @ matrix, torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(rotation_from_matrix(matrix), rotation, atol=1e-4)


def test_crop_equals_the_published_recipe() -> None:
    generator = np.random.default_rng(0)
    upright = np.stack((generator.uniform(-1, 1, 68), generator.uniform(-1, 1, 68)), axis=1)
    upright[36:42] += (-4, 5)
    upright[42:48] += (4, 5)
    upright[48:68] += (0, -6)
    for angle in (0.0, 0.6, -2.5):
        turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        points = upright @ turn.T
        center, axis = alignment.ffhq_crop(torch.from_numpy(points[None]))
        expected_center, expected_axis = published_crop(points * (1, -1))
        assert np.allclose(center[0].numpy() * (1, -1), expected_center)
        assert np.allclose(axis[0].numpy() * (1, -1), expected_axis)


def test_align_makes_the_crop_the_frame() -> None:
    face = synthetic_face()
    parameters = random_parameters(face, 40)
    aligned = alignment.align(face, parameters)
    landmarks = alignment.project_landmarks(face, aligned)
    center, axis = alignment.ffhq_crop(landmarks[..., :2])
    assert center.abs().max() < 1e-4
    assert (axis - torch.tensor((1.0, 0.0))).abs().max() < 1e-4
    assert torch.equal(aligned.rotation[:, :2], parameters.rotation[:, :2])
    assert torch.equal(aligned.identity, parameters.identity)


def test_align_ignores_where_the_head_was() -> None:
    face = synthetic_face()
    parameters = random_parameters(face, 5)
    elsewhere = parameters.replace(
        translation=parameters.translation + 2,
        rotation=parameters.rotation + torch.tensor((0.0, 0.0, 1.0)),
    )
    first, second = alignment.align(face, parameters), alignment.align(face, elsewhere)
    assert torch.equal(first.vector(), second.vector())


def test_align_is_differentiable() -> None:
    face = synthetic_face()
    face.mean, face.identity = face.mean.double(), face.identity.double()
    face.expression = face.expression.double()
    start = random_parameters(face, 1).vector().double()
    size = face.identity.shape[0]

    def solve(identity):
        parameters = RigParameters.from_vector(start, face).replace(identity=identity)
        aligned = alignment.align(face, parameters, iterations=12)
        return torch.cat((aligned.rotation, aligned.translation), dim=1)

    assert torch.autograd.gradcheck(solve, start[:, :size].clone().requires_grad_())


def test_landmark_points_are_the_vertices() -> None:
    face = synthetic_face()
    parameters = random_parameters(face, 3)
    vertices = face.vertices(parameters.identity, parameters.expression)
    points = alignment.landmark_points(face, parameters.identity, parameters.expression)
    assert torch.allclose(points, vertices[:, face.landmarks], atol=1e-5)


def test_parameters_round_trip_through_a_vector() -> None:
    face = synthetic_face(identity=3, expression=2, reflectance=4)
    parameters = random_parameters(face, 2).replace(light=torch.rand(2, 9, 3))
    vector = parameters.vector()
    assert vector.shape == (2, 3 + 4 + 2 + 27 + 3 + 3)
    back = RigParameters.from_vector(vector, face)
    for name, part in parameters.parts().items():
        assert torch.equal(getattr(back, name), part)
        assert torch.equal(vector[:, RigParameters.slices(face)[name]], part.flatten(1))


def test_parameters_refuse_a_vector_of_another_face() -> None:
    with pytest.raises(ValueError, match=r"\(N, 50\), not \(1, 46\)"):
        RigParameters.from_vector(torch.zeros(1, 46), synthetic_face())


def test_parameters_select_and_concatenate() -> None:
    face = synthetic_face()
    parameters = random_parameters(face, 4)
    joined = concatenate([parameters[:1], parameters[1:]])
    assert len(parameters[:1]) == 1
    assert torch.equal(joined.vector(), parameters.vector())
