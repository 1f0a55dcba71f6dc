"""How far two sets of pictures lie apart, as features (N, D) of their pictures.

Every figure is meant to stand beside its real-against-real floor: the same computed between two
halves of real pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK = 1024  # rows of a distance matrix at a time


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the two Gaussians (Heusel et al. 2017).

    Features (N, D) and (M, D). The trace of the root is the sum of the roots of the eigenvalues of
    C1^(1/2) C2 C1^(1/2), which is symmetric, so that no root of a general matrix is needed.
    """
    first, second = first.double(), second.double()
    difference = first.mean(0) - second.mean(0)
    covariances = torch.cov(first.t()), torch.cov(second.t())
    values, vectors = torch.linalg.eigh(covariances[0])
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.t()
    eigenvalues = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0)
    trace = covariances[0].trace() + covariances[1].trace() - 2 * eigenvalues.sqrt().sum()
    return float(difference.square().sum() + trace)


def kernel_distance(first: Tensor, second: Tensor, subsets: int = 50, size: int = 1000, seed: int = 0) -> float:
    """Unbiased squared MMD with the kernel (x·y / D + 1)^3, mean over subsets (Binkowski et al. 2018: KID)."""
    size = min(size, len(first), len(second))
    rng = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        x = first[torch.randperm(len(first), generator=rng)[:size]].double()
        y = second[torch.randperm(len(second), generator=rng)[:size]].double()
        within = sum((k.sum() - k.trace()) / (size * (size - 1)) for k in (polynomial(x, x), polynomial(y, y)))
        values.append(float(within - 2 * polynomial(x, y).mean()))
    return float(np.mean(values))


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.t() / x.shape[1] + 1) ** 3


def precision_recall(real: Tensor, generated: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Shares of generated pictures within the manifold of real ones, and the reverse.

    Kynkaanniemi et al. (2019): a set's manifold is the union of balls around its points that
    reach their ``neighbours``-th nearest neighbour in it. Both sets should be of one size.
    """
    return covered(generated, real, neighbours), covered(real, generated, neighbours)


def covered(points: Tensor, manifold: Tensor, neighbours: int) -> float:
    radii = torch.cat(
        [
            torch.cdist(part, manifold).kthvalue(neighbours + 1, dim=1).values  # the nearest is the point itself
            for part in manifold.split(BLOCK)
        ]
    )
    inside = [(torch.cdist(part, manifold) <= radii).any(dim=1) for part in points.split(BLOCK)]
    return float(torch.cat(inside).float().mean())


def nearest(points: Tensor, others: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances and rows of the ``count`` nearest of ``others`` (M, D) to each of ``points``: (N, count)."""
    found = [torch.cdist(part, others).topk(count, dim=1, largest=False) for part in points.split(BLOCK)]
    return torch.cat([item.values for item in found]), torch.cat([item.indices for item in found])
