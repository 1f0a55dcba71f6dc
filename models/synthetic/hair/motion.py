"""Strands, and how they follow a head from its rest to a picture's pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.face.model import FaceModel
from models.synthetic.hair.roots import unit
from models.synthetic.hair.solid import Solid


class Pose(Protocol):
    """Where a head, its neck and its shoulders stand, as ``models.synthetic.message.Pose`` says."""

    def neck(self, points: np.ndarray, share: np.ndarray | None = None) -> np.ndarray: ...

    def body(self, points: np.ndarray) -> np.ndarray: ...

    def to_body(self, points: np.ndarray) -> np.ndarray: ...


@dataclass
class Attachment:
    """Where strands stand: triangles (R,), barycentrics (R, 3), and their points (R, K, 3) in the frame of that place."""

    triangles: np.ndarray
    weights: np.ndarray
    local: np.ndarray


@dataclass
class Strands:
    """Strands of one kind in the head's frame: points (R, K, 3) cm from root to tip, radius (R, K) cm, linear colour (R, 3).

    They follow the skin where they are attached, else the skull; what hangs lies on the shoulders.
    """

    points: np.ndarray
    radius: np.ndarray
    colour: np.ndarray
    attachment: Attachment | None = None
    shoulders: Solid | None = None


def attach(
    points: np.ndarray, triangles: np.ndarray, weights: np.ndarray, corners: np.ndarray, head: np.ndarray, normals: np.ndarray
) -> Attachment:
    """Strands (R, K, 3) bound to triangles of the resting head (V, 3)."""
    root, frame = places(triangles, weights, corners, head, normals)
    return Attachment(triangles, weights, (points - root[:, None]) @ frame.transpose(0, 2, 1))


def places(
    triangles: np.ndarray, weights: np.ndarray, corners: np.ndarray, head: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (R, 3) in triangles of a head and frames (R, 3, 3) there: rows along an edge, across, out of the skin."""
    index = corners[triangles]
    root = np.einsum("rcx,rc->rx", head[index], weights)
    out = unit(np.einsum("rcx,rc->rx", normals[index], weights))
    edge = head[index[:, 1]] - head[index[:, 0]]
    edge = unit(edge - np.sum(edge * out, axis=1, keepdims=True) * out)
    return root, np.stack((edge, np.cross(out, edge), out), axis=1)


def moved(strands: Strands, head: np.ndarray, normals: np.ndarray, face: FaceModel, pose: Pose) -> np.ndarray:
    """World points (R, K, 3) of strands on the head (V, 3) of one shot, with its normals (V, 3)."""
    bound = strands.attachment
    if bound is not None:
        root, frame = places(bound.triangles, bound.weights, face.triangles.numpy(), head, normals)
        points = root[:, None] + bound.local @ frame
        share = np.einsum("rc,rc->r", face.groups["head"].numpy()[face.triangles.numpy()[bound.triangles]], bound.weights)
        return pose.neck(points, np.broadcast_to(share[:, None], points.shape[:2])).astype(np.float32)
    world = pose.neck(strands.points)
    if strands.shoulders is None or not len(world):
        return world.astype(np.float32)
    hangs = strands.points[..., 1].min(axis=1) < -7
    resting = pose.to_body(world[hangs])
    world[hangs] = pose.body(strands.shoulders.push_out(resting, np.zeros(resting.shape[:2])))
    return world.astype(np.float32)
