"""A sculptor's few moves on the mean skin, each a smooth displacement of all its vertices (V, 3), cm.

Centres are places on the mean head, in the face's left half or on its middle; every move is made on both
sides. ``mirror`` says how the right side goes: 1 as in a mirror, −1 the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.face.own_head.reflectance import smooth_step


@dataclass
class Skin:
    """The mean skin under the sculptor's hands."""

    points: np.ndarray  # (V, 3)
    normals: np.ndarray  # (V, 3) of length 1
    ears: np.ndarray  # (V,) 0–1: how much a vertex belongs to an ear

    def spot(self, centre: ArrayLike, radius: ArrayLike) -> np.ndarray:
        """Gaussian weight (V,) round a place and its mirror image; ``radius`` is one number or one for each axis."""
        return sum((self.bell(side, radius) for side in both_sides(centre)), np.zeros(len(self.points)))

    def bell(self, centre: np.ndarray, radius: ArrayLike) -> np.ndarray:
        """Gaussian weight (V,) round one place."""
        return np.exp(-0.5 * np.sum(((self.points - centre) / np.asarray(radius, float)) ** 2, axis=1))

    def move(self, centre: ArrayLike, radius: ArrayLike, shift: ArrayLike, mirror: int = 1) -> np.ndarray:
        """Carry a place and what lies round it along ``shift``."""
        total = np.zeros(self.points.shape)
        for sign, side in zip((1, -1), both_sides(centre), strict=False):
            total += self.bell(side, radius)[:, None] * mirrored(shift, sign, mirror)
        return total

    def swell(self, centre: ArrayLike, radius: ArrayLike, amount: float) -> np.ndarray:
        """Lift the skin along its normals; negative: hollow it."""
        return amount * self.spot(centre, radius)[:, None] * self.normals

    def stretch(self, centre: ArrayLike, radius: ArrayLike, factors: ArrayLike, mirror: int = 1) -> np.ndarray:
        """Scale what lies round a place, away from it, by 1 + ``factors`` along x, y and z."""
        total = np.zeros(self.points.shape)
        for sign, side in zip((1, mirror), both_sides(centre), strict=False):
            total += sign * self.bell(side, radius)[:, None] * (self.points - side) * np.asarray(factors)
        return total

    def turn(self, centre: ArrayLike, radius: ArrayLike, angle: float) -> np.ndarray:
        """Turn what lies round a place about the view axis: the left side's outer end goes up by ``angle`` radians."""
        total = np.zeros(self.points.shape)
        for sign, side in zip((1, -1), both_sides(centre), strict=False):
            x, y, _ = (self.points - side).T
            total += sign * angle * self.bell(side, radius)[:, None] * np.stack((-y, x, np.zeros(len(x))), axis=1)
        return total

    def crease(self, line: ArrayLike, width: float, depth: float) -> np.ndarray:
        """A groove along a line of places, fading out at its ends; a negative ``depth`` makes a ridge."""
        groove = sum((self.along(side, width) for side in both_sides(line)), np.zeros(len(self.points)))
        return -depth * groove[:, None] * self.normals

    def along(self, line: np.ndarray, width: float) -> np.ndarray:
        """Weight (V,) of a strip round an open line (n, 3), thinner toward its ends."""
        length = np.concatenate(([0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))))
        distance, place = np.full(len(self.points), np.inf), np.zeros(len(self.points))
        for k in range(len(line) - 1):
            side = line[k + 1] - line[k]
            share = np.clip((self.points - line[k]) @ side / (side @ side), 0, 1)
            away = np.linalg.norm(self.points - line[k] - share[:, None] * side, axis=1)
            nearer = away < distance
            distance, place = np.where(nearer, away, distance), np.where(nearer, length[k] + share * (length[k + 1] - length[k]), place)
        ends = np.minimum(place, length[-1] - place) / length[-1]
        return np.exp(-0.5 * (distance / width) ** 2) * smooth_step(ends / 0.25)

    def above(self, height: float, over: float) -> np.ndarray:
        """Weight (V, 1): 0 below ``height``, 1 from ``over`` cm above it."""
        return smooth_step((self.points[:, 1] - height) / over)[:, None]


def both_sides(centre: ArrayLike) -> list[np.ndarray]:
    """A place (3,) or line (n, 3) and its mirror image; only itself on the middle."""
    centre = np.asarray(centre, float)
    return [centre, centre * [-1, 1, 1]] if np.any(centre[..., 0]) else [centre]


def mirrored(shift: ArrayLike, sign: int, mirror: int) -> np.ndarray:
    """A shift (3,) as the side ``sign`` (1 left, −1 right) sees it."""
    shift = np.asarray(shift, float)
    return shift if sign == 1 else mirror * shift * [-1, 1, 1]
