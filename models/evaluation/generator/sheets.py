"""Sheets and the interpolation that people judge a generator by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.colour import GREEN
from models.evaluation.generator.samples import BATCH, codes, draw, over, random_z
from models.generators import Generator
from models.io.images import image_grid, save_image, to_uint8
from models.io.movie import write_movie

SHEET_SIZE = 192  # pixels of a picture on a sheet, at most
KEYS, STEPS, RATE = 8, 24, 24  # an interpolation's people, frames from one to the next, frames a second


def samples(generator: Generator, count: int, psi: float, seed: int) -> Tensor:
    """Unselected pictures (count, 4, R, R) of the seeds' z."""
    parts = random_z(generator, count, seed).split(BATCH)
    return torch.cat([draw(generator, codes(generator, part, psi)) for part in parts])


def plate(size: int) -> Tensor:
    """A background with structure (3, R, R) 0..1: a bright window and bars before dusk, out of focus."""
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    window = torch.exp(-((((x - 0.78) / 0.16) ** 2 + ((y - 0.3) / 0.24) ** 2) ** 2))
    bars = 0.5 + 0.5 * torch.sin(2 * math.pi * 3.5 * x)
    dusk = torch.stack((0.22 + 0.20 * y, 0.26 + 0.10 * y, 0.38 - 0.12 * y))
    light = torch.tensor((1.0, 0.93, 0.78))[:, None, None]
    return (dusk * (0.75 + 0.25 * bars) * (1 - window) + light * window).clamp(0, 1)


def sample_grid(images: Tensor, columns: int) -> np.ndarray:
    """(N, 3, R, R) 0..1 -> (rows * R', columns * R', 3) uint8, R' at most SHEET_SIZE."""
    if images.shape[-1] > SHEET_SIZE:
        images = interpolate(images, (SHEET_SIZE, SHEET_SIZE), mode="bilinear", antialias=True)
    return image_grid(images, columns)


def write_sheets(generator: Generator, folder: Path, seed: int = 0) -> list[Path]:
    """64 samples at psi 0.7 and 24 at psi 1.0 over grey, 16 of the former over a plate and over green."""
    first, second = samples(generator, 64, 0.7, seed), samples(generator, 24, 1.0, seed + 1)
    green = torch.tensor(GREEN)[:, None, None]
    sheets = {
        "samples-psi-0.7.jpg": sample_grid(over(first, 0.5), 8),
        "samples-psi-1.0.jpg": sample_grid(over(second, 0.5), 8),
        "over-plate.jpg": sample_grid(over(first[:16], plate(generator.resolution)), 4),
        "over-green.jpg": sample_grid(over(first[:16], green), 4),
    }
    return [save_image(folder / name, picture) for name, picture in sheets.items()]


def neighbours_sheet(drawn: Tensor, real: Tensor) -> np.ndarray:
    """Each row: a sample, then its nearest training pictures. (N, 4, R, R), (N, K, 4, R, R) -> (H, W, 3) uint8."""
    columns = 1 + real.shape[1]
    return sample_grid(over(torch.cat((drawn[:, None], real), dim=1).flatten(0, 1), 0.5), columns)


@torch.no_grad()
def interpolation(generator: Generator, psi: float = 0.7, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames (R, R, 3) uint8 of a loop through KEYS people, straight from w to w with a smooth pace."""
    w = codes(generator, random_z(generator, KEYS, seed), psi)
    backdrop = plate(generator.resolution)
    for key in range(KEYS):
        for step in range(STEPS):
            t = step / STEPS
            between = w[key].lerp(w[(key + 1) % KEYS], t * t * (3 - 2 * t))
            yield to_uint8(over(draw(generator, between[None]), backdrop)[0])


def write_interpolation(generator: Generator, path: Path, seed: int = 0) -> Path:
    """The interpolation as an MP4."""
    return write_movie(path, interpolation(generator, seed=seed), (generator.resolution, generator.resolution), RATE)
