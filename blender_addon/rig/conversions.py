"""Units and frames between the model and Blender, in pairs named for their direction.

Model: right-handed, y up, the face looks along +z, x to the face's left, centimetres.
Blender: right-handed, z up, the face looks along -Y, x to the face's left, metres.
"""

from __future__ import annotations

import math

import numpy as np

from . import harmonics

CENTIMETRES_PER_METRE = 100.0
AXES = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))  # model -> Blender, a rotation
CAMERA_DISTANCE = 120.0  # cm; the portrait camera that every generator of the backend is aligned to
FRAME_WIDTH = 25.0  # cm that its picture shows across, on the plane through the head's pivot
MODEL_TO_BLENDER = np.eye(4)  # for points: cm to metres, too
MODEL_TO_BLENDER[:3, :3] = AXES / CENTIMETRES_PER_METRE


def directions_model_to_blender(directions: np.ndarray) -> np.ndarray:
    """(…, 3) directions."""
    return np.asarray(directions) @ AXES.T


def directions_blender_to_model(directions: np.ndarray) -> np.ndarray:
    """(…, 3) directions."""
    return np.asarray(directions) @ AXES


def points_model_to_blender(points: np.ndarray) -> np.ndarray:
    """(…, 3) points or offsets, cm to m."""
    return directions_model_to_blender(points) / CENTIMETRES_PER_METRE


def points_blender_to_model(points: np.ndarray) -> np.ndarray:
    """(…, 3) points or offsets, m to cm."""
    return directions_blender_to_model(points) * CENTIMETRES_PER_METRE


def matrix_model_to_blender(rotation: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) of column vectors, by a change of basis."""
    return AXES @ rotation @ AXES.T


def matrix_blender_to_model(rotation: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) of column vectors, by a change of basis."""
    return AXES.T @ rotation @ AXES


def rotation_to_matrix(rotation) -> np.ndarray:
    """(yaw, pitch, roll) in radians -> R = Rz(roll) Ry(yaw) Rx(pitch), (3, 3), model frame."""
    (sy, cy), (sp, cp), (sr, cr) = ((math.sin(angle), math.cos(angle)) for angle in rotation)
    return np.array((
        (cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp),
        (sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp),
        (-sy, cy * sp, cy * cp),
    ))  # fmt: skip


def rotation_from_matrix(matrix: np.ndarray) -> tuple[float, float, float]:
    """R (3, 3) in the model frame -> (yaw, pitch, roll) in radians; at yaw = ±90° roll is 0."""
    across = math.hypot(matrix[0, 0], matrix[1, 0])
    yaw = math.atan2(-matrix[2, 0], across)
    if across < 1e-6:
        return yaw, math.atan2(-matrix[1, 2], matrix[1, 1]), 0.0
    return yaw, math.atan2(matrix[2, 1], matrix[2, 2]), math.atan2(matrix[1, 0], matrix[0, 0])


def rotation_model_to_bone(rotation) -> tuple[float, float, float]:
    """(yaw, pitch, roll) -> Euler angles, order XYZ, of a pose bone whose rest axes are the model's.

    The head bone points up and has roll 0: its own x, y, z are then the model's x, y, z, and
    Blender's order XYZ (x first) is R = Rz Ry Rx.
    """
    yaw, pitch, roll = rotation
    return pitch, yaw, roll


def rotation_bone_to_model(euler) -> tuple[float, float, float]:
    """Euler angles, order XYZ, of a pose bone whose rest axes are the model's -> (yaw, pitch, roll)."""
    pitch, yaw, roll = euler
    return yaw, pitch, roll


def light_model_to_blender(light: np.ndarray) -> np.ndarray:
    """Spherical-harmonic coefficients (9, 3) of the same light in Blender's axes."""
    return harmonics.rotate(light, AXES)


def light_blender_to_model(light: np.ndarray) -> np.ndarray:
    """Spherical-harmonic coefficients (9, 3) of the same light in the model's axes."""
    return harmonics.rotate(light, AXES.T)


def offset_model_to_frame(offset) -> tuple[tuple[float, float], float]:
    """An offset of the head (3,) in cm -> its shift in frame widths (x right, y up) and its scale.

    The portrait camera stands ``CAMERA_DISTANCE`` in front of the pivot: nearer is larger, and a
    shift grows by the same factor. A head at or behind the camera is taken as just before it.
    """
    x, y, z = (float(value) for value in offset)
    scale = CAMERA_DISTANCE / max(CAMERA_DISTANCE - z, 1.0)
    return (x * scale / FRAME_WIDTH, y * scale / FRAME_WIDTH), scale


def offset_frame_to_model(shift, scale: float) -> np.ndarray:
    """A shift in frame widths and a scale -> the offset of the head (3,) in cm."""
    z = CAMERA_DISTANCE - CAMERA_DISTANCE / scale
    return np.array((shift[0] * FRAME_WIDTH / scale, shift[1] * FRAME_WIDTH / scale, z))
