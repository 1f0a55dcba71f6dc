"""Motion of a portrait's pixels between frames: the Vector pass, as Blender's own engines write it.

Every pixel is a point of the head in the depth of HeadDepth and moves with the head bone, rigidly, and
against the camera. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..protocol import frames
from .compositing import Square

if TYPE_CHECKING:
    from .placement import View


@dataclass(frozen=True)
class Sighting:
    """Where a head is at some frame, and the camera that sees it."""

    head_to_world: np.ndarray  # (4, 4), cm to metres
    view: View


def vectors(depth: np.ndarray, square: Square, before: Sighting, now: Sighting, after: Sighting) -> np.ndarray:
    """Pixels of the picture (S, S, 4) for a frame with HeadDepth (S, S, 1) that fills ``square``; row 0 is at the bottom.

    From where a pixel is to where it was at the frame before (x, y), and from where it will be at the frame
    after to where it is (x, y), as Cycles has it. 0 where there is no head, or none before the camera.
    """
    rows, columns = np.nonzero(depth[..., 0] < frames.FAR)
    size = depth.shape[0]
    across, up = square.spread
    here = np.stack((square.x + (columns + 0.5) * across / size, square.y + (rows + 0.5) * up / size), axis=1)
    points = in_camera(here, depth[rows, columns, 0].astype(float), now.view)
    to_head = np.linalg.inv(now.view.world_to_camera @ now.head_to_world)
    moved = [seen(points, at.view, at.view.world_to_camera @ at.head_to_world @ to_head, here) for at in (before, after)]
    result = np.zeros((*depth.shape[:2], 4), dtype=np.float32)
    result[rows, columns] = np.concatenate((moved[0] - here, here - moved[1]), axis=1)
    return result


def in_camera(places: np.ndarray, depth: np.ndarray, view: View) -> np.ndarray:
    """Places in the picture (N, 2), pixels, at ``depth`` (N,) along the camera's axis -> points (N, 3) in its axes."""
    clip = (places / (0.5 * view.width, 0.5 * view.height) - 1) * (depth[:, None] if view.perspective else 1.0)
    matrix = view.projection
    across = (clip + depth[:, None] * matrix[:2, 2] - matrix[:2, 3]) / matrix.diagonal()[:2]
    return np.column_stack((across, -depth))


def seen(points: np.ndarray, view: View, motion: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Where ``view`` sees points (N, 3) that ``motion`` (4, 4) brings into its axes: (N, 2) pixels; ``otherwise`` behind it."""
    matrix = view.projection @ motion
    clip = points @ matrix[:, :3].T + matrix[:, 3]
    before = clip[:, 3:] > 1e-6
    places = (clip[:, :2] / np.where(before, clip[:, 3:], 1) + 1) * (0.5 * view.width, 0.5 * view.height)
    return np.where(before, places, otherwise)
