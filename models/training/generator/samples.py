"""Images that show how far a generator's training is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.generators import Generator, latents_from_seed
from models.io.images import image_grid
from models.training.generator.perceptual import over_grey

COLUMNS = 8  # of a sheet
SHEET_TEXT = "Held-out images, the same by the generator (where latents determine them), samples at psi 0.7, 0.7 and 1.0."


@torch.no_grad()
def sample_sheet(generator: Generator, real: Tensor, z: Tensor | None, resolution: int) -> np.ndarray:
    """A row of held-out images over the same by the generator (where ``z`` determines them), then
    samples at psi 0.7 (two rows) and 1.0: (H, W, 3) uint8."""
    device = generator.w_avg.device
    draw = lambda w: over_grey(generator.synthesis.raw(w, "const", resolution)).cpu()
    rows = [over_grey(real).cpu()]
    if z is not None:
        rows.append(draw(generator.mapping(z)))
    for psi, seed in ((0.7, 1), (0.7, 2), (1.0, 3)):
        latents = latents_from_seed(seed, COLUMNS, generator.z_dim).to(device)
        rows.append(draw(generator.mapping(latents, truncation_psi=psi)))
    return image_grid(torch.cat(rows), COLUMNS)


def held_out_figures(images: Tensor, real: Tensor) -> dict[str, float]:
    """Mean absolute error of colour and matte, 0–1, of images (N, 4, R, R) in [-1, 1]."""
    error = (images.clamp(-1, 1) - real).abs().mean(dim=(0, 2, 3)) / 2
    return {"held_out_colour": error[:3].mean().item(), "held_out_matte": error[3].item()}
