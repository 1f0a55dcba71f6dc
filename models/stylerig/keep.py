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
from models.face.alignment import place
from models.face.camera import PORTRAIT_CAMERA
from models.face.fragments import rasterize
from models.face.parameters import RigParameters
from models.stylerig.similarity import Similarity

SIZE = 128  # side of the mask; it is soft, so that it need not be larger
GROWN, SOFT = 7, 9  # pixels of the mask by which it is wider than the face, and over which it fades


@torch.no_grad()
def face_area(face: FaceModel, parameters: RigParameters, size: int) -> Tensor:
    """Where the face of each head is (N, 1, size, size), 0–1, by whole triangles: it will be softened."""
    mesh = face.proxy or face
    mask = mesh.masks.get("face", torch.ones_like(mesh.mean[:, 0]))
    in_face = mask[mesh.triangles].mean(dim=1)
    vertices = place(mesh.vertices(parameters.identity, parameters.expression), parameters)
    # Only the face's own triangles: nothing of the head lies before them.
    chosen = in_face > 0
    seen = rasterize(PORTRAIT_CAMERA.project(vertices), mesh.triangles[chosen], size).triangle
    values = torch.cat((in_face[chosen], in_face.new_zeros(1)))  # the last is what -1 points at
    return values[seen].unsqueeze(1)


def placed_area(face: FaceModel, parameters: RigParameters, similarity: Similarity) -> Tensor:
    """Where the face of a head (N = 1) is in the picture that ``similarity`` moves: (1, 1, SIZE, SIZE), 0–1."""
    return similarity.warp(face_area(face, parameters, SIZE))


def softened(area: Tensor, size: int) -> Tensor:
    """(N, 1, S, S) grown and faded to (N, 1, size, size)."""
    wide, soft = area.contiguous(), SOFT // 2
    for side, margin in (((GROWN, 1), (GROWN // 2, 0)), ((1, GROWN), (0, GROWN // 2))):  # by rows, then by columns
        wide = max_pool2d(wide, side, 1, margin)
    for side, margin in (((SOFT, 1), (soft, 0)), ((1, SOFT), (0, soft))):
        wide = avg_pool2d(wide, side, 1, margin, count_include_pad=False)
    return interpolate(wide, size=(size, size), mode="bilinear", align_corners=False).clamp(0, 1)
