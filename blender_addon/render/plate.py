"""The grain of a plate, measured where the plate is flat, and its softness, measured at its edges. numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BLOCK = 32  # pixels; what is measured at once
FLATTEST = 0.1  # share of the blocks that are believed to show nothing but grain,
ALIKE = 1.3  # and those that have at most so many times their noise: grain alone differs by less
DARK, BRIGHT = 0.01, 0.9  # linear; outside, values are cut off and say too little
NO_GRAIN = 0.05  # correlation of neighbors below which pixels are independent
MAX_SIZE = 8.0  # pixels
REBLUR = 1.5  # pixels: the Gaussian's deviation by which edges are blurred again
EDGE, LEAST_EDGE = 4, 0.02  # times the grain, and linear values a pixel, that the slope of an edge has at least
FEW = 20  # edges that say too little
SHARPEST = 0.25  # share of the edges that are believed to be in focus
OF_PIXELS = 2 / math.pi  # pixels²: variance of the Gaussian that makes an edge as steep as a sharp one is between pixels, 1/2


Region = tuple[float, float, float, float]  # x, y, width, height of a part of a picture, as shares of it, from the bottom left
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


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


def part_of(pixels: np.ndarray, region: Region) -> np.ndarray:
    """The region of a picture (H, W, C), row 0 at the bottom, cut off at its borders."""
    height, width = pixels.shape[:2]
    x, y, across, up = region
    rows, columns = (slice(round(low * side), round((low + share) * side)) for low, share, side in ((y, up, height), (x, across, width)))
    return pixels[rows, columns]


def softness_of(pixels: np.ndarray, grain: Grain) -> float | None:
    """Deviation in pixels of the Gaussian that makes a linear picture (H, W, 3) as soft as its sharpest edges; None without edges.

    Of an edge that is blurred again, the slope falls by a factor that says how soft it was (Zhuo and Sim, "Defocus Map Estimation
    from a Single Image", 2011). What pixels blur by themselves is taken off.
    """
    grey = pixels.mean(axis=-1)
    noise = float(np.mean(grain.strength)) * np.sqrt(max(float(grey.mean()), 0.0))
    least = max(EDGE * noise, LEAST_EDGE)
    ratios = np.concatenate([slope_ratios(one, least) for one in (grey, grey.T)])
    if len(ratios) < FEW:
        return None
    ratio = float(np.quantile(ratios, 1 - SHARPEST))
    variance = REBLUR**2 / max(ratio**2 - 1, 1e-6) - OF_PIXELS
    return min(float(np.sqrt(max(variance, 0.0))), MAX_SIZE)


def slope_ratios(grey: np.ndarray, least: float) -> np.ndarray:
    """Slopes of upright edges of a picture (H, W) over those of the edges blurred again, (N,); of edges steeper than ``least``."""
    reach = int(4 * REBLUR)
    if min(grey.shape) <= 2 * reach + 2:
        return np.empty(0)
    slope = (grey[:, 2:] - grey[:, :-2]) / 2
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / REBLUR) ** 2)
    kernel /= kernel.sum()
    count = slope.shape[1] - 2 * reach
    again = sum(weight * slope[:, place : place + count] for place, weight in enumerate(kernel))
    here = np.abs(slope[:, reach : reach + count])
    before, after = np.abs(slope[:, reach - 1 : reach - 1 + count]), np.abs(slope[:, reach + 1 : reach + 1 + count])
    peak = (here > least) & (here >= before) & (here >= after)
    return here[peak] / np.maximum(np.abs(again)[peak], 1e-9)
