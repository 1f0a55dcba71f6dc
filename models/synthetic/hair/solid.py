"""What hair must stay outside of: distance from a head and from shoulders, looked up in a grid of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.model import FaceModel
from models.synthetic.hair.roots import nearest, unit

CELL = 1.0  # cm
LOW, HIGH = np.array([-18.0, -21.0, -16.0]), np.array([18.0, 21.0, 18.0])  # the grid's ends
SHAPE = tuple(np.ceil((HIGH - LOW) / CELL).astype(int) + 1)


def cell_corners(highest: float = HIGH[1]) -> np.ndarray:
    """Positions (X, Y, Z, 3) of the grid's nodes up to a height."""
    rows = int(np.ceil((highest - LOW[1]) / CELL)) + 1
    return LOW + CELL * np.stack(np.meshgrid(*(np.arange(n) for n in (SHAPE[0], rows, SHAPE[2])), indexing="ij"), axis=-1)


@dataclass
class HeadCells:
    """For each node of the grid (X, Y, Z) the vertex of the mean head that is nearest."""

    vertex: np.ndarray


def prepare_cells(face: FaceModel) -> HeadCells:
    """Found once; people differ from the mean head by less than their vertices' neighbourhoods."""
    outside = np.flatnonzero((face.masks["skin"] + face.masks["eyes"] > 0.5).numpy())[::2]
    corners = cell_corners()
    return HeadCells(outside[nearest(corners.reshape(-1, 3), face.mean.numpy()[outside])].reshape(corners.shape[:3]))


@dataclass
class Solid:
    """Distance (X, Y, Z) cm from a surface, negative inside, and the way out (X, Y, Z, 3), at the grid's nodes."""

    distance: np.ndarray
    way_out: np.ndarray

    def merged(self, other: Solid) -> Solid:
        """Whichever is nearer; ``other`` may end at a lower height."""
        distance, way_out = self.distance.copy(), self.way_out.copy()
        below = (slice(None), slice(0, other.distance.shape[1]))
        nearer = other.distance < distance[below]
        distance[below][nearer] = other.distance[nearer]
        way_out[below][nearer] = other.way_out[nearer]
        return Solid(distance, way_out)

    def push_out(self, points: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Points (…, 3) moved outward to at least ``least`` (…) cm from the surface."""
        distance, way_out = self.look_up(points)
        return points + np.maximum(least - distance, 0)[..., None] * way_out

    def look_up(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance (…) and way out (…, 3) between the grid's nodes, trilinear."""
        field = np.concatenate((self.distance[..., None], self.way_out), axis=-1).astype(np.float32)
        at = np.clip((points - LOW) / CELL, 0, np.array(field.shape[:3]) - 1.001).astype(np.float32)
        low = at.astype(np.int32)
        share = at - low
        flat, strides = field.reshape(-1, 4), (field.shape[1] * field.shape[2], field.shape[2], 1)
        base = low[..., 0] * strides[0] + low[..., 1] * strides[1] + low[..., 2]
        result = np.zeros((*base.shape, 4), np.float32)
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod([share[..., axis] if up else 1 - share[..., axis] for axis, up in enumerate(corner)], axis=0)
            result = result + weight[..., None] * flat[base + int(np.dot(corner, strides))]
        return result[..., 0], result[..., 1:]


def head_solid(cells: HeadCells, head: np.ndarray, normals: np.ndarray) -> Solid:
    """The solid of a head (V, 3) with its normals."""
    offset = cell_corners() - head[cells.vertex]
    return Solid(np.einsum("xyzc,xyzc->xyz", offset, normals[cells.vertex]), normals[cells.vertex])


def shoulder_solid(vertices: np.ndarray, quads: np.ndarray, cloth: float) -> Solid:
    """The solid of a bust (V, 3) of quads (Q, 4) under ``cloth`` cm of clothes; its way out leads before it or behind it."""
    middle = vertices[quads].mean(axis=1)
    normal = unit(np.cross(vertices[quads[:, 2]] - vertices[quads[:, 0]], vertices[quads[:, 3]] - vertices[quads[:, 1]]))
    outward = np.sign(np.sum(normal[:, [0, 2]] * (middle - vertices.mean(axis=0))[:, [0, 2]]))
    normal = normal * outward
    corners = cell_corners(vertices[:, 1].max() + 2.0)
    closest = nearest(corners.reshape(-1, 3), middle).reshape(corners.shape[:3])
    level = np.clip(1.5 * normal[:, 1:2] - 0.3, 0, 1)  # on top of a shoulder
    aside = unit(normal * (1 - level) + normal * level * [0.3, 0.6, 1.6])
    aside = aside / np.maximum(np.sum(aside * normal, axis=1, keepdims=True), 0.4)
    distance = np.einsum("xyzc,xyzc->xyz", corners - middle[closest], normal[closest]) - cloth
    above = corners[..., 1] - vertices[:, 1].max()  # the neck is open there
    return Solid(np.maximum(distance, above), aside[closest])
