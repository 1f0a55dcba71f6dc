"""Units and frames between the model and Blender, in pairs named for their direction.

Model: right-handed, y up, the face looks along +z, x to the face's left, centimetres.
Blender: right-handed, z up, the face looks along -Y, x to the face's left, metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from . import camera, harmonics

Angle = TypeVar("Angle", float, np.ndarray)  # one, or those of several frames
CENTIMETRES_PER_METRE = 100.0
AXES = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))  # model -> Blender, a rotation
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


def rotation_model_to_bone(rotation: Iterable[Angle]) -> tuple[Angle, Angle, Angle]:
    """(yaw, pitch, roll) -> Euler angles, order XYZ, of a pose bone whose rest axes are the model's.

    The head bone points up and has roll 0: its own x, y, z are then the model's x, y, z, and
    Blender's order XYZ (x first) is R = Rz Ry Rx.
    """
    yaw, pitch, roll = rotation
    return pitch, yaw, roll


def rotation_bone_to_model(euler: Iterable[float]) -> tuple[float, float, float]:
    """Euler angles, order XYZ, of a pose bone whose rest axes are the model's -> (yaw, pitch, roll)."""
    pitch, yaw, roll = euler
    return yaw, pitch, roll


def light_model_to_blender(light: np.ndarray) -> np.ndarray:
    """Spherical-harmonic coefficients (9, 3) of the same light in Blender's axes."""
    return harmonics.rotate(light, AXES)


def light_blender_to_model(light: np.ndarray) -> np.ndarray:
    """Spherical-harmonic coefficients (9, 3) of the same light in the model's axes."""
    return harmonics.rotate(light, AXES.T)


def offset_model_to_frame(offset: Iterable[float], seen_by: camera.PortraitCamera = camera.FFHQ) -> tuple[tuple[float, float], float]:
    """An offset of the head (3,) in cm -> its shift in frame widths (x right, y up) and its scale.

    The portrait's camera stands before the pivot: nearer is larger, and a shift grows by the same factor. A head
    at or behind the camera is taken as just before it.
    """
    x, y, z = (float(value) for value in offset)
    scale = seen_by.distance / max(seen_by.distance - z, 1.0)
    return (x * scale / seen_by.frame_width, y * scale / seen_by.frame_width), scale
