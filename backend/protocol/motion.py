"""Motion of a portrait's pixels between frames: the Vector pass, as Blender's own engines write it.

Every pixel is a point of the head in the depth of HeadDepth and moves with the head bone, rigidly, and
against the camera. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import frames
from .compositing import Square


@dataclass(frozen=True)
class Sighting:
    """How a camera sees a head at some frame."""

    to_camera: np.ndarray  # (4, 4) from the head's model space, cm, to the camera's axes, metres
    projection: np.ndarray  # (4, 4) as OpenGL has it
    size: tuple[int, int]  # pixels of the picture

    def pixels(self, clip: np.ndarray) -> np.ndarray:
        """Clip coordinates (N, 2) divided by depth -> pixels from the lower left corner."""
        return (clip + 1) * (0.5 * self.size[0], 0.5 * self.size[1])


def vectors(depth: np.ndarray, square: Square, before: Sighting, now: Sighting, after: Sighting) -> np.ndarray:
    """Pixels of the picture (S, S, 4) for a frame with HeadDepth (S, S, 1) that fills ``square``; row 0 is at the bottom.

    From where a pixel is to where it was at the frame before (x, y), and from where it will be at the frame
    after to where it is (x, y), as Cycles has it. 0 where there is no head, or none before the camera.
    """
    rows, columns = np.nonzero(depth[..., 0] < frames.FAR)
    size = depth.shape[0]
    across, up = square.spread
    here = np.stack((square.x + (columns + 0.5) * across / size, square.y + (rows + 0.5) * up / size), axis=1)
    points = in_camera(here, depth[rows, columns, 0].astype(float), now)
    to_head = np.linalg.inv(now.to_camera)
    moved = [seen(points, at, at.to_camera @ to_head, here) for at in (before, after)]
    result = np.zeros((*depth.shape[:2], 4), dtype=np.float32)
    result[rows, columns] = np.concatenate((moved[0] - here, here - moved[1]), axis=1)
    return result


def in_camera(places: np.ndarray, depth: np.ndarray, at: Sighting) -> np.ndarray:
    """Places in the picture (N, 2), pixels, at ``depth`` (N,) along the camera's axis -> points (N, 3) in its axes."""
    matrix = at.projection
    perspective = matrix[3, 3] == 0
    clip = (places / (0.5 * at.size[0], 0.5 * at.size[1]) - 1) * (depth[:, None] if perspective else 1.0)
    across = (clip + depth[:, None] * matrix[:2, 2] - matrix[:2, 3]) / matrix.diagonal()[:2]
    return np.column_stack((across, -depth))


def seen(points: np.ndarray, at: Sighting, motion: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Where a camera sees points (N, 3) that ``motion`` (4, 4) brings into its axes: (N, 2) pixels; ``otherwise`` behind it."""
    matrix = at.projection @ motion
    clip = points @ matrix[:, :3].T + matrix[:, 3]
    before = clip[:, 3:] > 1e-6
    return np.where(before, at.pixels(clip[:, :2] / np.where(before, clip[:, 3:], 1)), otherwise)
