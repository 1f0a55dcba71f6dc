"""Codes of many people at once, as boundaries are trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from models.editing.scores import Scores
from models.editing.studio_people import people_of
from models.generators import Generator, latents_from_seed
from models.generators.stylegan2 import normalize_2nd_moment

BATCH = 2048
Progress = Callable[[int, int], None]  # done, of how many; may raise to stop


def no_progress(done: int, total: int) -> None:
    """Say nothing."""


@torch.no_grad()
def code_of(generator: Generator, z: Tensor, space: str) -> Tensor:
    """z (N, z_dim) -> codes (N, D) in ``space``: "z", scaled to mean square 1, or "w", not truncated and of label 0."""
    if space == "z":
        return normalize_2nd_moment(z)
    return generator.mapping(z.to(generator.w_avg.device))[:, 0].cpu()


def codes_of_seeds(generator: Generator, seeds: Sequence[int], space: str = "w", progress: Progress = no_progress) -> Tensor:
    """The codes (N, D) of the people that the seeds name everywhere else."""
    parts = []
    for start in range(0, len(seeds), BATCH):
        part = seeds[start : start + BATCH]
        parts.append(code_of(generator, torch.cat([latents_from_seed(seed, 1, generator.z_dim) for seed in part]), space))
        progress(start + len(part), len(seeds))
    return torch.cat(parts)


def studio_codes(
    generator: Generator, count: int, seed: int = 0, space: str = "w", progress: Progress = no_progress
) -> tuple[Tensor, Scores]:
    """Codes (N, D) of ``count`` random people and their exact scores.

    Raises StyleRigError for a generator that the studio did not teach.
    """
    people = people_of(generator)
    codes, values = [], []
    names: tuple[str, ...] = ()
    for done, z in drawn(generator, count, seed):
        scores = people.scores(z)
        codes.append(code_of(generator, z, space))
        values.append(scores.values)
        names = scores.names
        progress(done, count)
    return torch.cat(codes), Scores(names, torch.cat(values))


def drawn(generator: Generator, count: int, seed: int) -> Iterator[tuple[int, Tensor]]:
    """z in batches (N, z_dim), each with how many there are by then."""
    random = torch.Generator().manual_seed(seed)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        yield start + size, torch.randn(size, generator.z_dim, generator=random)
