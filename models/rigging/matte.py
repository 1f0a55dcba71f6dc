"""A matte for generators that have none, as those trained on photographs: head and hair by the mesh."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.face.rasterizer import render

DRAWN = 128  # pixels; the matte is softer than these
GROWN = 0.08  # of the frame's width: hair that stands off the skull
SOFTNESS = 0.035  # of the frame's width: half the width of each of the averages that soften the rim
AVERAGES = 3  # boxes, together nearly a Gaussian


@torch.no_grad()
def grown_matte(face: FaceModel, parameters: RigParameters, size: int) -> Tensor:
    """Soft matte (N, 1, size, size), 0–1, of heads in the aligned frame: the silhouette of the mesh, grown and softened.

    Full where the mesh is. A guess: hair that stands off further is cut, background close to the
    head stays.
    """
    silhouette = render(face, parameters, DRAWN, outputs=("mask",))["mask"].permute(0, 3, 1, 2)
    reach, soft = round(GROWN * DRAWN), round(SOFTNESS * DRAWN)
    matte = max_pool2d(silhouette, 2 * reach + 1, stride=1, padding=reach)
    for _ in range(AVERAGES):  # the neck goes on below the frame: its border is continued
        matte = avg_pool2d(pad(matte, (soft,) * 4, mode="replicate"), 2 * soft + 1, stride=1)
    matte = torch.maximum(matte, silhouette).clamp(0, 1)
    return interpolate(matte, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
