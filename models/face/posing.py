"""Head, neck and shoulders in a pose: the skull turns, the shoulders stand, the neck goes from one to the other.

The shares are the face model's vertex groups "head" and "neck", as Blender's armature uses them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.face.camera import rotation_matrix

NECK_PIVOT = (0.0, -6.0, -1.0)  # cm in the head's frame: where the shoulders' frame and the head's meet
NECK_LOW, NECK_HIGH = -14.5, -8.5  # between these heights points turn from the shoulders to the head


def share_of_head(height: Tensor) -> Tensor:
    """How far points at a ``height`` (y in the head's resting frame, cm) follow the skull, 0–1: the group "head"."""
    t = ((height - NECK_LOW) / (NECK_HIGH - NECK_LOW)).clamp(0, 1)
    return t * t * (3 - 2 * t)


class Pose:
    """N heads of rotation and translation (N, 3) over shoulders of rotation ``body`` (N, 3); angles as in RigParameters."""

    def __init__(self, rotation: Tensor, translation: Tensor, body: Tensor):
        self.turn, self.offset = rotation_matrix(rotation), translation
        self.body_turn = rotation_matrix(body)
        pivot = rotation.new_tensor(NECK_PIVOT)
        self.body_offset = self.turn @ pivot + translation - self.body_turn @ pivot

    def head(self, points: Tensor) -> Tensor:
        """Points (N, P, 3) that follow the skull, to the world."""
        return points @ self.turn.mT + self.offset[:, None]

    def body(self, points: Tensor) -> Tensor:
        """Points (N, P, 3) that follow the shoulders, to the world."""
        return points @ self.body_turn.mT + self.body_offset[:, None]

    def both(self, points: Tensor, share: Tensor) -> Tensor:
        """Points (N, P, 3) that follow the skull by ``share`` (N or 1, P) and the shoulders by the rest."""
        return torch.lerp(self.body(points), self.head(points), share.unsqueeze(-1))
