"""Finding the similarity between two pictures by their pixels alone.

Enhanced correlation (Evangelidis and Psarakis, "Parametric Image Alignment Using Enhanced Correlation
Coefficient Maximization", PAMI 2008) as OpenCV has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.errors import StyleRigError

ITERATIONS, PRECISION, BLUR = 200, 1e-7, 5


@dataclass(frozen=True)
class Motion:
    """after = centre + scale · turn(angle) · (before − centre) + shift, about the picture's centre.

    Angle in degrees, +x to +y, y up; shift (x, y) in widths of the picture.
    """

    angle: float
    scale: float
    shift: tuple[float, float]


def find_motion(before: np.ndarray, after: np.ndarray, start: Motion) -> Motion:
    """The motion that takes ``before`` to ``after``, pictures (H, W) 0–1 of the same size, sought from ``start``.

    Raises StyleRigError when the pictures do not correspond.
    """
    import cv2

    size = before.shape[0]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, PRECISION)
    first, second = before.astype(np.float32), after.astype(np.float32)
    matrix = to_matrix(start, size).astype(np.float32)
    try:
        _, found = cv2.findTransformECC(first, second, matrix, cv2.MOTION_AFFINE, criteria, np.ones_like(first, np.uint8), BLUR)
    except cv2.error as error:
        raise StyleRigError("Two pictures of a moved head do not correspond.", "Evaluate other portraits.", code="no_motion") from error
    return from_matrix(np.asarray(found, float), size)


def to_matrix(motion: Motion, size: int) -> np.ndarray:
    """(2, 3) from pixels of before to pixels of after, y down."""
    angle, centre = math.radians(motion.angle), (size - 1) / 2
    c, s = motion.scale * math.cos(angle), motion.scale * math.sin(angle)
    linear = np.array([[c, s], [-s, c]])
    shift = size * np.array([motion.shift[0], -motion.shift[1]])
    return np.column_stack((linear, centre + shift - linear @ (centre, centre)))


def from_matrix(matrix: np.ndarray, size: int) -> Motion:
    """The motion of a (2, 3) matrix; what is no similarity in it is averaged away."""
    linear, centre = matrix[:, :2], np.full(2, (size - 1) / 2)
    c, s = (linear[0, 0] + linear[1, 1]) / 2, (linear[0, 1] - linear[1, 0]) / 2
    shift = (linear @ centre + matrix[:, 2] - centre) / size
    return Motion(math.degrees(math.atan2(s, c)), math.hypot(c, s), (float(shift[0]), -float(shift[1])))
