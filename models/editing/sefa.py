"""SeFa: directions in closed form from the weights that take w.

Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (CVPR 2021). A direction n changes what the
chosen layers take from w by A n; the directions that change it most are the eigenvectors of AᵀA. As in
https://github.com/genforce/sefa each output channel counts the same; unlike there the eigenvectors come sorted, with
a sign that is fixed, and without the last toRGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.editing.directions import Directions, Header, generator_hash
from models.editing.layers import style_layers
from models.errors import StyleRigError
from models.generators import Generator

COUNT = 10
REACH = 3.0  # how far a direction goes each way


def find_directions(generator: Generator, layers: Sequence[int], count: int = COUNT, reach: float = REACH) -> Directions:
    """The ``count`` directions of w that change the styles of ``layers`` most, the strongest first.

    Raises StyleRigError for a count that is not 1 to w_dim.
    """
    if not 1 <= count <= generator.w_dim:
        raise StyleRigError(
            f"{count} directions cannot be found: this generator's w has {generator.w_dim}.",
            f"Ask for 1 to {generator.w_dim}.",
            code="bad_count",
        )
    rows, eigenvalues = factorize(stacked_weights(generator.synthesis, layers), count)
    header = Header(
        kind="sefa",
        generator=generator_hash(generator),
        layers=tuple(layers),
        names=tuple(f"SeFa {number}" for number in range(count)),
        ranges=((-reach, reach),) * count,
    )
    return Directions(header, rows, eigenvalues)


def stacked_weights(synthesis: nn.Module, layers: Sequence[int]) -> Tensor:
    """The weights (K, w_dim) of all output channels of the chosen layers' styles."""
    known = style_layers(synthesis)
    return torch.cat([known[layer].weight.detach().cpu() for layer in layers])


def factorize(weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """weight (K, D) -> the strongest eigenvectors (count, D) of its rows, each scaled to length 1, and eigenvalues (count,).

    Eigenvalues descend. The largest component of each vector is positive.
    """
    unit = normalize(weight.double(), dim=1)
    eigenvalues, vectors = torch.linalg.eigh(unit.mT @ unit)
    rows = vectors.mT.flip(0)[:count]
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return (rows * largest.sign()).float(), eigenvalues.flip(0)[:count].clamp(min=0).float()
