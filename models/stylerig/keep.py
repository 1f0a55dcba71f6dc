"""Keeping what the rig does not describe: outside the face, an expression changes nothing.

RigNet edits w, which holds the whole picture, so a smile also moves a few hairs. Here the same head
is drawn once more with the portrait's own expression, and the edited picture takes its place only
where the face is in either of the two. Both are pure functions of portrait and controls, so is the
result.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from models.face import FaceModel
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.stylerig.similarity import Similarity

SIZE = 128  # side of the mask; it is soft, so that it need not be larger
GROWN, SOFT = 7, 9  # pixels of the mask by which it is wider than the face, and over which it fades


@torch.no_grad()
def face_area(face: FaceModel, parameters: RigParameters, size: int) -> Tensor:
    """Where the face of each head is (N, 1, size, size), 0–1."""
    drawn = render(face.proxy or face, parameters, size, outputs=("face_mask",))
    return drawn["face_mask"].permute(0, 3, 1, 2)


def placed_area(face: FaceModel, parameters: RigParameters, similarity: Similarity) -> Tensor:
    """Where the face of a head (N = 1) is in the picture that ``similarity`` moves: (1, 1, SIZE, SIZE), 0–1."""
    return similarity.warp(face_area(face, parameters, SIZE))


def softened(area: Tensor, size: int) -> Tensor:
    """(N, 1, S, S) grown and faded to (N, 1, size, size)."""
    wide = max_pool2d(area, GROWN, 1, GROWN // 2)
    soft = avg_pool2d(wide, SOFT, 1, SOFT // 2, count_include_pad=False)
    return interpolate(soft, size=(size, size), mode="bilinear", align_corners=False).clamp(0, 1)
