"""The shoulders under a head: a smooth bust of rings from the neck down, in the body's frame (cm, y up)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

SEGMENTS, RINGS = 64, 16  # round the body, from the neck down
# From the neck down: y, half width, half depth, z of the middle, how much lower the ring lies in front.
BUST = np.array([(-8.5, 4.6, 4.7, -1.7, 0.5), (-10.4, 5.5, 5.4, -1.7, 0.9), (-11.6, 6.5, 6.0, -1.7, 1.3), (-12.5, 8.2, 6.6, -1.8, 1.6),
                 (-13.4, 10.8, 7.3, -1.9, 1.7), (-14.6, 13.9, 8.1, -2.0, 1.6), (-16.2, 16.6, 8.9, -2.1, 1.3), (-18.5, 18.7, 9.7, -2.0, 0.9),
                 (-22.0, 20.0, 10.5, -1.8, 0.5), (-28.0, 20.4, 11.2, -1.5, 0.2), (-38.0, 20.0, 11.6, -1.2, 0.0)])  # fmt: skip


def ring_strip(rings: int, count: int, first: int = 0) -> np.ndarray:
    """Quads (Q, 4) between ``rings`` closed rings of ``count`` vertices."""
    index = first + np.arange(rings * count).reshape(rings, count)
    right = np.roll(index, -1, axis=1)
    return np.stack((index[:-1], index[1:], right[1:], right[:-1]), axis=-1).reshape(-1, 4)


def bust_surface(t: np.ndarray, angle: np.ndarray, broad: float = 1.0, neck: float = 1.0, outward: np.ndarray | float = 0.0) -> np.ndarray:
    """Points (…, 3) of the bust: ``t`` 0 … 1 from the neck down, ``angle`` from the front to the body's left.

    ``broad`` and ``neck`` are the widths of shoulders and neck relative to the mean's; ``outward`` moves points off
    the skin, cm.
    """
    place = np.asarray(t) * (len(BUST) - 1)
    row = lambda column: np.interp(place, np.arange(len(BUST)), BUST[:, column])
    narrow = np.interp(place, (0, 2, 5), (neck, neck, 1.0))
    wide = np.interp(place, (2, 5), (1.0, broad))
    squarer = np.interp(place, (1, 5), (2.0, 2.5))  # shoulders are no ellipse
    sine, cosine = np.sin(angle), np.cos(angle)
    reach = (np.abs(sine) ** squarer + np.abs(cosine) ** squarer) ** (-1 / squarer)
    x = (row(1) * narrow * wide + outward) * sine * reach
    z = (row(2) * narrow + outward) * cosine * reach + row(3)
    y = row(0) - row(4) * cosine + 0.5 * np.asarray(outward)
    return np.stack((x, y, z), axis=-1)


def ring_grid(start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``t`` and ``angle`` (RINGS, SEGMENTS) of rings from ``start`` (SEGMENTS,) down to the end, closer at the top."""
    angle = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    down = np.linspace(0, 1, RINGS)[:, None] ** 1.5
    return start + (1 - start) * down, np.broadcast_to(angle, (RINGS, SEGMENTS))


@lru_cache(maxsize=1)
def shoulders() -> tuple[Tensor, Tensor]:
    """The mean bust: vertices (S, 3) float32 and triangles (F, 3)."""
    points = bust_surface(*ring_grid(np.zeros(SEGMENTS))).reshape(-1, 3)
    quads = ring_strip(RINGS, SEGMENTS)
    return torch.from_numpy(points).float(), torch.from_numpy(np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]])))
