"""Likeness of texture: how much detail there is, of which size and direction, not where each strand lies.

L1 blurs what cannot be foreseen to the pixel, such as hair. The energies of oriented filters, averaged over
small places, can be foreseen: the first order of a scattering transform (Bruna and Mallat 2013, "Invariant
Scattering Convolution Networks"), here as a loss between a picture and its pair.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models.face.harmonics import LUMINANCE

DIRECTIONS, LEVELS = 4, 3
KERNEL, WAVELENGTH, WIDTH = 7, 4.0, 1.6  # pixels of each level: side, period and standard deviation of a filter
STRIDE, PLACE = 2, 8  # pixels of each level between measured points, and over which energies are averaged
LEAST = 0.01  # energy below which detail is as good as none


@lru_cache(maxsize=4)
def filters(device: torch.device) -> Tensor:
    """Gabor pairs (2 D, 1, K, K), even ones first, without a mean: flat places have no energy."""
    axis = torch.arange(KERNEL, dtype=torch.float32) - KERNEL // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    envelope = torch.exp(-(x**2 + y**2) / (2 * WIDTH**2))
    kernels = []
    for wave in (torch.cos, torch.sin):
        for angle in (math.pi * step / DIRECTIONS for step in range(DIRECTIONS)):
            kernel = wave((x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / WAVELENGTH)) * envelope
            kernel = kernel - envelope * (kernel.sum() / envelope.sum())
            kernels.append(kernel / kernel.square().sum().sqrt())
    return torch.stack(kernels).unsqueeze(1).to(device)


def energies(pictures: Tensor) -> list[Tensor]:
    """Local energies (4 N, D, P, P) of pictures (N, 4, R, R), from fine to coarse.

    Of luminance, of red and blue without it, where real pictures have little, and of the matte.
    """
    luminance = (pictures[:, :3] * pictures.new_tensor(LUMINANCE).view(1, 3, 1, 1)).sum(dim=1)
    planes = torch.stack((luminance, pictures[:, 0] - luminance, pictures[:, 2] - luminance, pictures[:, 3]), dim=1)
    planes = planes.flatten(0, 1).unsqueeze(1).float()
    found = []
    for _ in range(LEVELS):
        if planes.shape[-1] < 2 * PLACE:
            break
        even, odd = F.conv2d(F.pad(planes, (KERNEL // 2,) * 4, mode="replicate"), filters(planes.device), stride=STRIDE).chunk(2, dim=1)
        energy = (even.square() + odd.square() + 1e-6).sqrt()
        found.append(F.avg_pool2d(energy, PLACE // STRIDE, PLACE // STRIDE // 2))
        planes = F.avg_pool2d(planes, 2)
    return found


def texture_loss(picture: Tensor, target: Tensor) -> Tensor:
    """Mean difference of the logarithms of energies: what counts is the factor, on skin as at an outline. A scalar."""
    pairs = zip(energies(picture), energies(target), strict=True)
    return torch.stack([((a + LEAST).log() - (b + LEAST).log()).abs().mean() for a, b in pairs]).mean()
