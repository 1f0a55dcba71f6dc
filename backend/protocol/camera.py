"""The portrait's camera and head rotations, in the model's frame.

Right-handed, y up, the face looks along +z, x to the face's left, centimetres. The camera stands at
(0, 0, DISTANCE), looks along -z, and sees a square.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

DISTANCE = 120.0  # cm from the head's pivot; every generator of the backend is aligned to this camera
FRAME_WIDTH = 25.0  # cm that its picture shows across, on the plane through the pivot
FOCAL = 2 * DISTANCE / FRAME_WIDTH  # in half frames: NDC x = FOCAL * x / depth


def rotation_to_matrix(rotation: Iterable[float]) -> np.ndarray:
    """(yaw, pitch, roll) in radians -> R = Rz(roll) Ry(yaw) Rx(pitch), (3, 3)."""
    (sy, cy), (sp, cp), (sr, cr) = ((math.sin(angle), math.cos(angle)) for angle in rotation)
    return np.array((
        (cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp),
        (sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp),
        (-sy, cy * sp, cy * cp),
    ))  # fmt: skip


def rotation_from_matrix(matrix: np.ndarray) -> tuple[float, float, float]:
    """R (3, 3) -> (yaw, pitch, roll) in radians; at yaw = ±90° roll is 0."""
    across = math.hypot(matrix[0, 0], matrix[1, 0])
    yaw = math.atan2(-matrix[2, 0], across)
    if across < 1e-6:
        return yaw, math.atan2(-matrix[1, 2], matrix[1, 1]), 0.0
    return yaw, math.atan2(matrix[2, 1], matrix[2, 2]), math.atan2(matrix[1, 0], matrix[0, 0])


def project(place: np.ndarray) -> complex:
    """Where the camera sees a point (3,) of its world: NDC x + iy."""
    return complex(*place[:2]) * (FOCAL / depth_of(place))


def depth_of(place: np.ndarray) -> float:
    """cm of a point (3,) from the camera, along its axis."""
    return DISTANCE - float(place[2])
