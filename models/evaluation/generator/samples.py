"""Pictures drawn from a generator in the form that all metrics take."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from models.generators import Generator, latents_from_seed

BATCH = 16


@torch.no_grad()
def draw(generator: Generator, w: Tensor) -> Tensor:
    """w (N, num_ws, w_dim) -> premultiplied RGBA (N, 4, R, R) in [-1, 1], on the processor."""
    colour, alpha = generator.foreground(w)
    return torch.cat((colour, alpha), dim=1).cpu() * 2 - 1


@torch.no_grad()
def codes(generator: Generator, z: Tensor, psi: float = 1.0) -> Tensor:
    """z (N, z_dim) -> w (N, num_ws, w_dim); labels are all zero."""
    return generator.mapping(z.to(generator.w_avg.device), truncation_psi=psi)


def batches(generator: Generator, z: Tensor, psi: float = 1.0, title: str = "") -> Iterator[Tensor]:
    """Pictures of z in batches, with progress on stderr under ``title``."""
    from tqdm import tqdm

    with tqdm(total=len(z), desc=title, unit="picture", file=sys.stderr, disable=None if title else True) as bar:
        for part in z.split(BATCH):
            yield draw(generator, codes(generator, part, psi))
            bar.update(len(part))


def random_z(generator: Generator, count: int, seed: int) -> Tensor:
    return latents_from_seed(seed, count, generator.z_dim)


def over(pictures: Tensor, plate: Tensor | float) -> Tensor:
    """Premultiplied (N, 4, R, R) in [-1, 1] over a plate (3, R, R) or a grey 0..1: (N, 3, R, R) 0..1."""
    unit = (pictures * 0.5 + 0.5).clamp(0, 1)
    return (unit[:, :3] + (1 - unit[:, 3:]) * plate).clamp(0, 1)
