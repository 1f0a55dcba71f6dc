"""The portrait's camera and head rotations, in the model's frame.

Right-handed, y up, the face looks along +z, x to the face's left, centimetres. The camera stands at
(0, 0, distance), looks along -z, and sees a square: the FFHQ crop, or with some models the whole head.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PortraitCamera:
    """A pinhole at (0, 0, distance) cm, whose square picture is ``frame_width`` cm wide on the plane z = 0."""

    distance: float
    frame_width: float

    @property
    def focal(self) -> float:
        """In half frames: NDC x = focal * x / depth."""
        return 2 * self.distance / self.frame_width

    def project(self, place: np.ndarray) -> complex:
        """Where the camera sees a point (3,) of its world: NDC x + iy."""
        return complex(*place[:2]) * (self.focal / self.depth_of(place))

    def depth_of(self, place: np.ndarray) -> float:
        """cm of a point (3,) from the camera, along its axis."""
        return self.distance - float(place[2])


FFHQ = PortraitCamera(120.0, 25.0)  # of every generator of aligned crops


def camera_of(portrait: Mapping[str, Any]) -> PortraitCamera:
    """The camera that a portrait (JSON) is seen by, unless a frame asks for another distance."""
    frame = portrait.get("frame")
    return PortraitCamera(FFHQ.distance, 2 * float(frame["half_width"])) if frame else FFHQ


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
