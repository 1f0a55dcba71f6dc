"""FFHQ alignment: the square crop that eyes and mouth of the 68 landmarks determine (Karras et al. 2019).

Places in a picture are complex numbers, x + iy, y up: a product turns and scales. Plain numbers take a
tenth of the time that numpy needs for arrays so small, and this is computed for every head of every frame.
"""

from __future__ import annotations

import cmath
from collections.abc import Sequence

import numpy as np

from . import camera
from .camera import FFHQ

LANDMARKS = 68
LEFT_EYE, RIGHT_EYE = range(36, 42), range(42, 48)  # left and right as in the picture
MOUTH_CORNERS = (48, 54)
FROM_EYES = slice(36, 68)  # eyes and mouth: their mean depth is the crop's
CROP_POINTS = [*LEFT_EYE, *RIGHT_EYE, *MOUTH_CORNERS]  # the landmarks that a crop is made of
# Their weights in the crop's centre: a tenth of the way from the eyes to the mouth.
CENTRE = np.repeat((0.9 / (len(CROP_POINTS) - 2), 0.1 / 2), (len(CROP_POINTS) - 2, 2))
ROUNDS = 6  # of the alignment; what is left shrinks by the ratio of the face's depth to the camera's distance


def ffhq_crop(points: Sequence[complex]) -> tuple[complex, complex]:
    """Centre and half axis x of the FFHQ crop that the 14 CROP_POINTS determine."""
    left, right, mouth = sum(points[:6]) / 6, sum(points[6:12]) / 6, sum(points[12:]) / 2
    eyes = (left + right) / 2
    to_right, to_mouth = right - left, mouth - eyes
    direction = to_right + 1j * to_mouth  # both point to the picture's right
    size = max(2.0 * abs(to_right), 1.8 * abs(to_mouth))
    return eyes + 0.1 * to_mouth, direction * (size / max(abs(direction), 1e-12))


def align(points: np.ndarray, yaw: float, pitch: float) -> tuple[float, np.ndarray]:
    """Roll (radians) and place (3,) cm at which the portrait's camera sees landmarks (68, 3) as the FFHQ crop.

    Roll and shift keep what lies across the view axis apart from depth: the first are complex numbers,
    the second changes for all points alike.
    """
    turned = points @ camera.rotation_to_matrix((yaw, pitch, 0.0)).T
    mean_depth = FFHQ.distance - float(turned[FROM_EYES, 2].mean())
    rows = turned[CROP_POINTS].tolist()
    across, depths = [complex(x, y) for x, y, _ in rows], [FFHQ.distance - z for _, _, z in rows]
    roll, place, away = 0.0, 0j, 0.0
    for _ in range(ROUNDS):
        centre, axis = ffhq_crop([point * (FFHQ.focal / depth) for point, depth in zip(across, depths, strict=True)])
        middle, turn, farther = centre * (mean_depth / FFHQ.focal), cmath.phase(axis), mean_depth * (abs(axis) - 1)
        undo = cmath.rect(1, -turn)
        across, place = [(point - middle) * undo for point in across], (place - middle) * undo
        depths, mean_depth = [depth + farther for depth in depths], mean_depth + farther
        roll, away = roll - turn, away + farther
    return roll, np.array((place.real, place.imag, -away))


def crop_centre(points: np.ndarray) -> np.ndarray:
    """The point (3,) between landmarks (68, 3) that the crop is centred at."""
    return CENTRE @ points[CROP_POINTS]
