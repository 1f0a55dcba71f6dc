"""Real spherical harmonics to order 2: basis, rotation, the main direction of a light. numpy only.

Order (l, m) = (0,0) (1,-1) (1,0) (1,1) (2,-2) … (2,2), orthonormal, arrays (9, 3) in linear RGB.
Constants: Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", 2001.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .colour import LUMINANCE

COUNT = 9
CONSTANT = 0.28209479177387814  # sqrt(1 / 4π)
LINEAR = 0.4886025119029199  # sqrt(3 / 4π)
QUADRATIC = 1.0925484305920792  # sqrt(15 / 4π)
ZONAL = 0.31539156525252005  # sqrt(5 / 16π)
SECTORAL = 0.5462742152960396  # sqrt(15 / 16π)
CONVOLUTION = np.repeat((np.pi, 2 * np.pi / 3, np.pi / 4), (1, 3, 5))  # radiance to irradiance, per coefficient


def basis(directions: np.ndarray) -> np.ndarray:
    """Unit directions (…, 3) -> the nine basis functions (…, 9)."""
    directions = np.asarray(directions, dtype=float)
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    functions = np.empty((*x.shape, COUNT))  # filled one by one: np.stack takes longer than all the products of a few directions
    rows = (
        CONSTANT, LINEAR * y, LINEAR * z, LINEAR * x,
        QUADRATIC * x * y, QUADRATIC * y * z, ZONAL * (3 * z * z - 1), QUADRATIC * x * z, SECTORAL * (x * x - y * y),
    )  # fmt: skip
    for index, row in enumerate(rows):
        functions[..., index] = row
    return functions


def from_directions(directions: np.ndarray, irradiance: np.ndarray) -> np.ndarray:
    """Far lights in unit directions (N, 3) that give ``irradiance`` (N, 3) on what faces them -> light (9, 3)."""
    return basis(np.reshape(directions, (-1, 3))).T @ np.reshape(irradiance, (-1, 3))


def ambient(radiance: ArrayLike) -> np.ndarray:
    """The same ``radiance`` (3,) from everywhere -> light (9, 3)."""
    light = np.zeros((COUNT, 3))
    light[0] = np.asarray(radiance, dtype=float) / CONSTANT
    return light


def irradiance(light: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """What a surface turned to ``normals`` (…, 3) receives of a light (9, 3): (…, 3), not below zero."""
    return np.maximum(basis(normals) @ (CONVOLUTION[:, None] * light), 0.0)


def sample_directions(count: int = 32) -> np.ndarray:
    """Unit directions (count, 3) spread evenly over the sphere (golden spiral)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack((radius * np.cos(angle), radius * np.sin(angle), height), axis=-1)


SAMPLES = sample_directions()
FROM_SAMPLES = np.linalg.pinv(basis(SAMPLES))  # (9, count): values at SAMPLES -> coefficients


def rotate(light: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Light (9, 3) turned by the rotation (3, 3): what came from d comes from rotation @ d.

    Exact: each order is closed under rotation, so sampling and fitting lose nothing.
    """
    return FROM_SAMPLES @ basis(SAMPLES @ rotation) @ np.asarray(light, dtype=float)


def main_direction(light: np.ndarray) -> np.ndarray | None:
    """The unit direction (3,) that most light comes from, or None where it comes from all sides alike."""
    brightness = np.asarray(light, dtype=float) @ LUMINANCE
    direction = brightness[[3, 1, 2]]  # the linear coefficients for x, y, z
    length = np.linalg.norm(direction)
    if length < 1e-6 * max(1e-6, abs(brightness[0])):
        return None
    return direction / length


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes the unit direction ``start`` to ``end``.

    Opposite directions leave the axis open: then it is the one nearest to "up" (y), so that a
    light goes round the head, not over it.
    """
    (a, b, c), (d, e, f) = np.asarray(start, dtype=float).tolist(), np.asarray(end, dtype=float).tolist()
    cosine = a * d + b * e + c * f
    if cosine < -1 + 1e-9:
        axis = np.array((0.0, 1.0, 0.0)) - start * start[1]
        if np.linalg.norm(axis) < 1e-3:
            axis = np.array((1.0, 0.0, 0.0)) - start * start[0]
        axis = axis / np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    x, y, z = b * f - c * e, c * d - a * f, a * e - b * d  # the axis, as long as the angle's sine
    cross = np.array(((0, -z, y), (z, 0, -x), (-y, x, 0)))
    return np.eye(3) + cross + cross @ cross / (1 + cosine)
