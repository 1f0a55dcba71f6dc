"""Latent codes: z of a seed, and w whose layers come from two people."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def latents_from_seed(seed: int, n: int = 1, z_dim: int = 512) -> Tensor:
    """z ~ N(0, 1) of shape (n, z_dim) from a CPU generator: the same face for a seed everywhere."""
    return torch.randn(n, z_dim, generator=torch.Generator("cpu").manual_seed(int(seed)))


def mix_styles(w: Tensor, other: Tensor, layers: Sequence[int]) -> Tensor:
    """w (N, num_ws, w_dim) with the given layers, coarse ones first, from ``other`` (N or 1, num_ws, w_dim)."""
    chosen = torch.zeros(w.shape[1], dtype=torch.bool, device=w.device)
    chosen[list(layers)] = True
    return torch.where(chosen[:, None], other, w)
