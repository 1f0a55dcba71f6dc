"""FFHQ alignment: the square crop that eyes and mouth of the 68 landmarks determine.

Source: Karras et al., "A Style-Based Generator Architecture for GANs" (2019), the alignment recipe
published with the FFHQ data set, rewritten for NDC with y up. Crops and similarities are 2D:
a crop is its centre (N, 2) and its half axis x (N, 2), the vector from the centre to the middle of
its right side; its half axis y is x turned by +90° and points up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.face.camera import PORTRAIT_CAMERA, Camera, rotation_matrix
from models.face.model import FaceModel
from models.face.parameters import RigParameters

LEFT_EYE = slice(36, 42)  # left and right as in the picture
RIGHT_EYE = slice(42, 48)
MOUTH_CORNERS = (48, 54)


def quarter_turn(vector: Tensor) -> Tensor:
    """Turn (…, 2) by +90°, from x to y."""
    return torch.stack((-vector[..., 1], vector[..., 0]), dim=-1)


def ffhq_crop(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (N, 2) and half axis x (N, 2) of the FFHQ crop of landmarks (N, 68, 2), y up."""
    left_eye = landmarks[:, LEFT_EYE].mean(dim=1)
    right_eye = landmarks[:, RIGHT_EYE].mean(dim=1)
    mouth = landmarks[:, MOUTH_CORNERS].mean(dim=1)
    eyes = (left_eye + right_eye) / 2
    eye_to_eye, eye_to_mouth = right_eye - left_eye, mouth - eyes
    direction = eye_to_eye + quarter_turn(eye_to_mouth)
    size = torch.maximum(2.0 * eye_to_eye.norm(dim=-1), 1.8 * eye_to_mouth.norm(dim=-1))
    axis = direction * (size / direction.norm(dim=-1)).unsqueeze(-1)
    return eyes + 0.1 * eye_to_mouth, axis


def landmark_points(face: FaceModel, identity: Tensor, expression: Tensor) -> Tensor:
    """The 68 landmarks (N, 68, 3) in the model frame, without building all vertices."""
    rows = face.landmarks
    bases = torch.cat((face.identity[:, rows], face.expression[:, rows])).flatten(1)
    weights = torch.cat((identity, expression), dim=1)
    return face.mean[rows] + (weights @ bases).unflatten(1, (-1, 3))


def project_landmarks(face: FaceModel, parameters: RigParameters, camera: Camera = PORTRAIT_CAMERA) -> Tensor:
    """NDC x, y and depth (N, 68, 3) of the landmarks."""
    points = landmark_points(face, parameters.identity, parameters.expression)
    return camera.project(place(points, parameters))


def place(points: Tensor, parameters: RigParameters) -> Tensor:
    """Model points (N, V, 3) -> world points: R x + t."""
    turned = rotation_matrix(parameters.rotation) @ points.mT  # one coordinate after another in memory
    return (turned + parameters.translation.unsqueeze(2)).mT


def align(
    face: FaceModel,
    parameters: RigParameters,
    camera: Camera = PORTRAIT_CAMERA,
    iterations: int = 4,
) -> RigParameters:
    """Solve roll and translation so that the FFHQ crop of the landmarks is exactly the frame.

    Identity, expression, yaw and pitch are kept; the given roll and translation do not matter.
    Each iteration undoes the crop's similarity as if the eyes and mouth had no depth; what is left
    shrinks by the ratio of their depth to the camera's distance: after four float32 knows no better. Differentiable.
    """
    points = landmark_points(face, parameters.identity, parameters.expression)
    yaw, pitch = parameters.rotation[:, 0], parameters.rotation[:, 1]
    roll = torch.zeros_like(yaw)
    turned = points @ rotation_matrix(torch.stack((yaw, pitch, roll), dim=1)).mT
    standing = torch.cat((turned, torch.zeros_like(turned[:, :1])), dim=1)  # and the head's origin, last
    for _ in range(iterations):
        standing, turn = alignment_step(standing, camera)
        roll = roll + turn
    return parameters.replace(rotation=torch.stack((yaw, pitch, roll), dim=1), translation=standing[:, -1])


def alignment_step(points: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """One fixed-point step of ``align``: landmarks and other points (N, 68 + M, 3) in the world where it brings them.

    Also by how much it rolls them (N,) rad: about the view axis through the crop's middle, which it then carries to the axis.
    """
    projected = camera.project(points[:, :68])
    center, axis = ffhq_crop(projected[..., :2])
    depth = projected[:, 36:, 2].mean(dim=1, keepdim=True)
    size = axis.norm(dim=1, keepdim=True)
    x, y = (points[..., :2] - (center * (depth / camera.focal)).unsqueeze(1)).unbind(-1)
    cosine, sine = (axis / size).unsqueeze(-1).unbind(1)
    z = points[..., 2] + depth * (1 - size)
    return torch.stack((x * cosine + y * sine, y * cosine - x * sine, z), dim=-1), -torch.atan2(axis[:, 1], axis[:, 0])
