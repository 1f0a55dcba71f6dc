"""Where on the mean head each texel of the face's chart lies, and noise that is even over its skin.

The chart stretches lips and shrinks lids; patterns are therefore made of the places in space, cm.
"""

from __future__ import annotations

import cv2
import numpy as np

from models.face.model import FaceModel, needed
from models.face.own_head.measurements import FIGURES
from models.face.own_head.parts import chart_quads

FINE, COARSE = 1024, 512  # sides of the maps that hold lines and pores, and of those that hold regions
SAMPLES = 12  # a side, of each quad that is drawn into the chart
VOLUME = 64  # side of the block of random numbers that noise is cut from


def landmark_chart() -> np.ndarray:
    """Chart coordinates (68, 2) of the landmarks."""
    with np.load(FIGURES, allow_pickle=False) as archive:
        return archive["landmark68_chart"].astype(float)


def grid(size: int) -> np.ndarray:
    """Chart coordinates (size, size, 2) of a map's texels; row 0 lies at v = 0."""
    steps = (np.arange(size) + 0.5) / size
    return np.stack(np.meshgrid(steps, steps), axis=-1)


def places(face: FaceModel, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Points (size, size, 3) of the mean head in cm by texel, and how surely (size, size) it is on the chart, 0–1."""
    chart, on_face = chart_quads(face)
    corners = np.concatenate((chart[on_face], face.mean.numpy()[needed(face.quads, "quads").numpy()[on_face]]), axis=-1)
    t = (np.arange(SAMPLES) + 0.5) / SAMPLES
    a, b = (part.reshape(-1, 1) for part in np.meshgrid(t, t))
    weights = np.concatenate(((1 - a) * (1 - b), a * (1 - b), a * b, (1 - a) * b), axis=1)
    points = np.einsum("sk,qkx->qsx", weights, corners).reshape(-1, 5)
    column, row = np.clip((points[:, :2] * size).astype(int), 0, size - 1).T
    total = lambda values: np.bincount(row * size + column, values, size * size).reshape(size, size)
    count = total(np.ones(len(points)))
    sums = np.stack([total(points[:, axis]) for axis in (2, 3, 4)], axis=-1)
    return filled(sums, count), blur((count > 0).astype(np.float32), 1.0)


def filled(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
    """sums / count (H, W, C), and where nothing was counted the mean of what is near."""
    sums, count = sums.astype(np.float32), count.astype(np.float32)
    result, known = sums / np.maximum(count, 1)[..., None], count > 0
    for radius in (2, 8, 32, 96):
        near = cv2.GaussianBlur(np.where(known, 1, 0).astype(np.float32), (0, 0), radius)
        values = cv2.GaussianBlur(result * known[..., None], (0, 0), radius)
        fresh = ~known & (near > 1e-3)
        result[fresh] = values[fresh] / near[fresh][:, None]
        known = known | fresh
    return result


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A map (H, W[, C]) at another size, smooth."""
    return cv2.resize(image.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def blur(image: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur of one channel, radius in texels."""
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), radius)


def noise(points: np.ndarray, wave: float, seed: int) -> np.ndarray:
    """Smooth random numbers (…) of zero mean and unit deviation at points (…, 3), ``wave`` cm from crest to crest."""
    volume = smooth_volume(seed)
    at = points.reshape(-1, 3).astype(np.float32) * np.float32(3.2 / wave) + 1000
    low = np.floor(at).astype(np.int32)
    share = (at - low).astype(np.float32)
    low %= VOLUME
    high = (low + 1) % VOLUME
    plane = lambda z, part: (
        (volume[z, low[:, 1], low[:, 0]] * (1 - part[:, 0]) + volume[z, low[:, 1], high[:, 0]] * part[:, 0]) * (1 - part[:, 1])
        + (volume[z, high[:, 1], low[:, 0]] * (1 - part[:, 0]) + volume[z, high[:, 1], high[:, 0]] * part[:, 0]) * part[:, 1]
    )
    values = plane(low[:, 2], share) * (1 - share[:, 2]) + plane(high[:, 2], share) * share[:, 2]
    return (values / values.std()).reshape(points.shape[:-1]).astype(np.float32)


def smooth_volume(seed: int) -> np.ndarray:
    """A block (VOLUME, VOLUME, VOLUME) of random numbers, blurred and seamless."""
    volume = np.random.default_rng(seed).normal(size=(VOLUME,) * 3).astype(np.float32)
    for axis in range(3):
        volume = volume + 0.75 * (np.roll(volume, 1, axis) + np.roll(volume, -1, axis))
    return volume / volume.std()
