"""Perspective camera of the portrait and head rotations.

World frame: right-handed, y up, z towards the camera, centimetres. The camera stands on the z axis
and looks along -z. NDC: x right, y up, [-1, 1] across the square frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """A pinhole at (0, 0, distance) looking along -z at a square frame.

    ``half_width`` is half the width of what the frame shows on the plane z = 0. Both are in cm and
    may be tensors of shape () or (N, 1), then gradients reach them.
    """

    distance: float | Tensor
    half_width: float | Tensor

    @property
    def focal(self) -> float | Tensor:
        """Focal length in half frame widths: ndc_x = focal * x / depth."""
        return self.distance / self.half_width

    def project(self, points: Tensor) -> Tensor:
        """World points (N, V, 3) cm -> (N, V, 3): NDC x, NDC y, depth along the view axis in cm.

        Points at or behind the camera have depth <= 0 and no meaningful x, y.
        """
        depth = self.distance - points[..., 2]
        scale = self.focal / depth
        return torch.stack((points[..., 0] * scale, points[..., 1] * scale, depth)).movedim(0, -1)

    def unproject(self, ndc: Tensor) -> Tensor:
        """The inverse of ``project``: NDC x, y and depth (N, V, 3) -> world points (N, V, 3) cm."""
        depth = ndc[..., 2]
        scale = depth / self.focal
        z = self.distance - depth
        return torch.stack((ndc[..., 0] * scale, ndc[..., 1] * scale, z), dim=-1)


class Projection(Protocol):
    """What sees a scene, as ``Camera`` does."""

    def project(self, points: Tensor) -> Tensor: ...


PORTRAIT_CAMERA = Camera(distance=120.0, half_width=12.5)


def rotation_matrix(rotation: Tensor) -> Tensor:
    """R = Rz(roll) Ry(yaw) Rx(pitch), (N, 3, 3), from (yaw, pitch, roll) in radians, (N, 3).

    Positive yaw turns the face to its left (+x), positive pitch looks down, positive roll tips the
    top of the head to the face's right (-x).
    """
    yaw, pitch, roll = rotation.unbind(-1)
    sy, cy = yaw.sin(), yaw.cos()
    sp, cp = pitch.sin(), pitch.cos()
    sr, cr = roll.sin(), roll.cos()
    rows = (
        (cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp),
        (sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp),
        (-sy, cy * sp, cy * cp),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def rotation_from_matrix(matrix: Tensor) -> Tensor:
    """(yaw, pitch, roll) radians (N, 3) of rotations (N, 3, 3); yaw lies in [-pi/2, pi/2].

    At yaw = ±90° pitch and roll turn about one axis, and only their sum or difference counts.
    """
    level = torch.hypot(matrix[..., 0, 0], matrix[..., 1, 0])
    yaw = torch.atan2(-matrix[..., 2, 0], level)
    pitch = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    roll = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack((yaw, pitch, roll), dim=-1)
