"""Linear separability (Karras et al. 2019, section 4.2) on attributes of the studio's people."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

READABLE = 0.8  # balanced accuracy on held-out pictures from which a latent counts as an attribute
MOST = 40  # attributes, as in the paper
RIDGE = 1e-3
LEAST = 20  # pictures on each side of an attribute's threshold


def attributes_of(index: dict[str, Any], truth: Tensor, read: Tensor) -> dict[str, tuple[int, float]]:
    """Name -> (latent, threshold) of what the features can tell apart, best first.

    Candidates are the latents, split at their mean 0 and named by the layout, and the set's own ``attributes``
    (name -> [latent, threshold]) where its index has them. ``truth`` and ``read`` (M, S) are the
    latents of held-out pictures and what is read off them.
    """
    candidates = {name_of(latent, index["layout"]): (latent, 0.0) for latent in range(truth.shape[1])}
    given = index.get("attributes")
    if isinstance(given, dict):
        candidates |= {name: (int(place[0]), float(place[1])) for name, place in given.items()}
    scores = {name: balanced_accuracy(truth[:, latent] > threshold, read[:, latent] > threshold)
              for name, (latent, threshold) in candidates.items()}  # fmt: skip
    best = sorted(candidates, key=lambda name: -scores[name])[:MOST]
    return {name: candidates[name] for name in best if scores[name] >= READABLE}


def balanced_accuracy(truth: Tensor, answer: Tensor) -> float:
    """Mean of the shares of each side that are answered rightly; 0 where a side is empty."""
    if bool(truth.all()) or not bool(truth.any()):
        return 0.0
    return float((answer[truth].float().mean() + (~answer[~truth]).float().mean()) / 2)


def name_of(latent: int, layout: dict[str, list[int]]) -> str:
    for part, (start, stop) in layout.items():
        if start <= latent < stop:
            return f"{part} {latent - start}"
    return f"latent {latent}"


def separability(codes: Tensor, read: Tensor, attributes: dict[str, tuple[int, float]], std: Tensor) -> tuple[float, dict[str, float]]:
    """2 ^ sum of H(Y|X) over the attributes, and each H in bits.

    ``codes`` (N, D) are separated by a linear SVM; ``read`` (N, S) are the latents read off the
    pictures: their side of the threshold is Y, and the half furthest from it (in units of ``std``
    (S,)) is kept, as the paper keeps what its classifiers are sure of. Attributes of which almost
    all pictures lie on one side are left out.
    """
    entropies = {}
    for name, (latent, threshold) in attributes.items():
        distance = (read[:, latent] - threshold) / std[latent]
        kept = distance.abs() >= distance.abs().median()
        sides = distance[kept] > 0
        if min(int(sides.sum()), int((~sides).sum())) < LEAST:
            continue
        entropies[name] = conditional_entropy(linear_side(codes[kept], sides), sides)
    return 2.0 ** sum(entropies.values()), entropies


def linear_side(codes: Tensor, sides: Tensor) -> Tensor:
    """Which side of the best plane each code lies on: a linear SVM with squared hinge loss."""
    x = (codes - codes.mean(0)) / codes.std(0).clamp(min=1e-6)
    x = torch.cat((x, torch.ones(len(x), 1)), dim=1).double()
    y = torch.where(sides, 1.0, -1.0).double()
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (1 - y * (x @ weights)).clamp(min=0).square().mean() + RIDGE * weights[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (x @ weights).detach() > 0


def conditional_entropy(given: Tensor, of: Tensor) -> float:
    """H(of | given) in bits, of two boolean vectors."""
    total = 0.0
    for side in (True, False):
        chosen = of[given == side]
        if len(chosen):
            p = torch.stack((chosen.float().mean(), 1 - chosen.float().mean())).clamp(min=1e-12)
            total += len(chosen) / len(of) * float(-(p * p.log2()).sum())
    return total
