"""The whole-head frame: all hair, neck and the tops of the shoulders, at every pose.

It hangs on the head bone and on the size of the neutral face alone, so that neither a turned head nor an
open jaw moves or zooms it. The FFHQ crop within it follows from the landmarks (see ``alignment``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.face.alignment import landmark_points
from models.face.camera import rotation_matrix
from models.face.model import FaceModel

ANCHOR = (0.0, 1.0, 1.0)  # cm in the head's frame: the point that stands in the middle of the picture
WIDER = 1.5  # than the FFHQ crop of the neutral face seen from in front


def half_width(face: FaceModel, identity: Tensor) -> Tensor:
    """Half the frame's width (N,) in cm where the anchor lies, for identity weights (N, K)."""
    neutral = identity.new_zeros(len(identity), len(face.expression))
    points = landmark_points(face, identity, neutral)[..., :2]
    left, right = points[:, 36:42].mean(dim=1), points[:, 42:48].mean(dim=1)
    mouth = points[:, [48, 54]].mean(dim=1)
    eye_to_eye, eye_to_mouth = (right - left).norm(dim=1), (mouth - (left + right) / 2).norm(dim=1)
    return WIDER * torch.maximum(2.0 * eye_to_eye, 1.8 * eye_to_mouth)


def translation(rotation: Tensor) -> Tensor:
    """Where heads of rotation (N, 3) stand (N, 3), cm, so that the anchor lies in the origin."""
    return -(rotation_matrix(rotation) @ rotation.new_tensor(ANCHOR))
