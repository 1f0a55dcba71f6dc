"""The grain of a plate, measured where the plate is flat. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 32  # pixels; what is measured at once
FLATTEST = 0.1  # share of the blocks that are believed to show nothing but grain,
ALIKE = 1.3  # and those that have at most so many times their noise: grain alone differs by less
DARK, BRIGHT = 0.01, 0.9  # linear; outside, values are cut off and say too little
NO_GRAIN = 0.05  # correlation of neighbors below which pixels are independent
MAX_SIZE = 8.0  # pixels


@dataclass(frozen=True)
class Grain:
    """Noise whose standard deviation is ``strength`` (3,) times the root of a linear value, as a sensor's photons have it.

    ``size``: pixels across a grain, twice the standard deviation of the Gaussian that smooths it; 0 for single pixels.
    """

    strength: tuple[float, float, float]
    size: float


def grain_of(pixels: np.ndarray) -> Grain:
    """The grain of a linear picture (H, W, 3), of its flattest blocks; none where it is too small or nowhere of use."""
    found = blocks_of(pixels)
    mean = found.mean(axis=(1, 2))
    usable = ((mean > DARK) & (mean < BRIGHT)).all(axis=-1)
    if not usable.any():
        return Grain((0.0, 0.0, 0.0), 0.0)
    residual, mean = without_slope(found[usable]), mean[usable]
    strength = residual.std(axis=(1, 2)) / np.sqrt(mean)
    total = strength.sum(axis=-1)
    flat = total <= ALIKE * np.quantile(total, FLATTEST)
    red, green, blue = np.median(strength[flat], axis=0).tolist()
    return Grain((red, green, blue), grain_size(residual[flat]))


def blocks_of(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> whole blocks (N, BLOCK, BLOCK, 3)."""
    rows, columns = pixels.shape[0] // BLOCK, pixels.shape[1] // BLOCK
    cut = pixels[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3)
    return cut.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK, 3)


def without_slope(blocks: np.ndarray) -> np.ndarray:
    """Blocks (N, B, B, 3) less the quadratic surface that fits each best."""
    y, x = np.mgrid[-1 : 1 : BLOCK * 1j, -1 : 1 : BLOCK * 1j].reshape(2, -1)
    surfaces, _ = np.linalg.qr(np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=1))
    flat = blocks.reshape(len(blocks), -1, 3)
    return (flat - surfaces @ (surfaces.T @ flat)).reshape(blocks.shape)


def grain_size(residual: np.ndarray) -> float:
    """Pixels across a grain of noise (N, B, B, 3), by how alike neighbors are: Gaussians of deviation s give exp(-1 / 4 s²)."""
    power = float((residual * residual).mean())
    if power == 0:
        return 0.0
    beside = (residual[:, :, 1:] * residual[:, :, :-1]).mean() + (residual[:, 1:] * residual[:, :-1]).mean()
    alike = float(beside) / (2 * power)
    return 0.0 if alike < NO_GRAIN else min(2 * np.sqrt(-1 / (4 * np.log(min(alike, 0.999)))), MAX_SIZE)
