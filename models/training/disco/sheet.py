"""What each factor of a DiscoFaceGAN changes, to look at."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from models.face import FaceModel
from models.generators import Generator, latents_from_seed
from models.generators.disco import DiscoMapping, mix
from models.io.images import image_grid
from models.training.disco.losses import draw, masked
from models.training.generator.perceptual import over_grey

COLUMNS, SEEDS, PSI = 8, (1, 2), 0.7


@torch.no_grad()
def factor_sheet(generator: Generator, face: FaceModel, resolution: int, psi: float = PSI) -> np.ndarray:
    """People, the same with one factor of others, and what the face model draws of the first row: (H, W, 3) uint8."""
    mapping = cast(DiscoMapping, generator.mapping)
    device = mapping.w_avg.device
    z, other = (latents_from_seed(seed, COLUMNS, mapping.z_dim).to(device) for seed in SEEDS)
    mixed = {name: mix(mapping.config, z, other, (name,)) for name in ("expression", "light", "rotation", "identity")}
    rows = {"people": z} | {f"other {name}": each for name, each in mixed.items()}
    images = [shown(generator, each, psi, resolution) for each in rows.values()]
    drawn = draw(face, mapping.parameters_of(mapping.coefficients(z), face), resolution)
    images.append(masked(drawn.colour, drawn.mask))
    labels = [label if column == 0 else "" for label in (*rows, "face model") for column in range(COLUMNS)]
    return image_grid(torch.cat(images).cpu(), COLUMNS, labels=labels)


def shown(generator: Generator, z: Tensor, psi: float, resolution: int) -> Tensor:
    """Images (N, 3, R, R) 0–1 of z over grey."""
    return over_grey(generator.synthesis.raw(generator.mapping(z, truncation_psi=psi), "const", resolution))
