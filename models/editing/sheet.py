"""A sheet of pictures that shows what directions do: one row for each, from its one end to the other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.editing.codes import Progress, no_progress
from models.editing.directions import Directions, move
from models.generators import Generator, latents_from_seed, load_engine
from models.generators.guided import GuidedSynthesisNetwork
from models.io.images import image_grid

LARGEST_TILE = 256  # pixels


@torch.no_grad()
def draw_sheet(
    generator: Generator,
    directions: Directions,
    seed: int = 0,
    steps: int = 7,
    truncation: float = 0.7,
    progress: Progress = no_progress,
    tile: int = LARGEST_TILE,
) -> np.ndarray:
    """Each direction by ``steps`` amounts over its range, on the person of ``seed``: a labelled grid (H, W, 3) uint8.

    Pictures have at most ``tile`` pixels a side.
    """
    guided = isinstance(generator.synthesis, GuidedSynthesisNetwork)  # the engines do not know its mattes
    draw = generator.synthesis if guided else load_engine(generator, device=generator.w_avg.device).synthesis
    w = generator.mapping(latents_from_seed(seed, 1, generator.z_dim).to(generator.w_avg.device), truncation_psi=truncation)
    still = tile_of(draw(w), tile)
    tiles, labels = [], []
    for number, (name, (low, high)) in enumerate(zip(directions.header.names, directions.header.ranges, strict=True)):
        for amount in np.linspace(low, high, steps):
            amounts = torch.eye(len(directions))[number] * float(amount)
            tiles.append(tile_of(draw(move(generator, w, directions, amounts)), tile) if amount else still)
            labels.append(f"{name}: {amount:.3g}")
            progress(len(tiles), len(directions) * steps)
    return image_grid(tiles, steps, gap=2, labels=labels)


def tile_of(picture: Tensor, largest: int) -> Tensor:
    """A picture (1, 3, R, R) in [-1, 1] as a tile (3, S, S) 0–1 of at most ``largest`` pixels."""
    unit = (picture.float().cpu() + 1) / 2
    return (interpolate(unit, size=largest, mode="area") if unit.shape[-1] > largest else unit)[0].clamp(0, 1)
