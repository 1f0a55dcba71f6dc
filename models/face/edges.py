"""Edges of a triangle mesh and the triangles at either side."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from models.face.model import FaceModel


@dataclass(frozen=True, eq=False)
class Topology:
    """The E edges of F triangles."""

    edges: Tensor  # (E, 2) int64 vertices
    sides: Tensor  # (E, 2) int64 triangles at the edge; F where there is none


_KNOWN: WeakKeyDictionary[FaceModel, Topology] = WeakKeyDictionary()


def topology_of(face: FaceModel) -> Topology:
    """The topology of a face model, found once for each."""
    if face not in _KNOWN:
        _KNOWN[face] = find_topology(face.triangles)
    return _KNOWN[face]


def find_topology(triangles: Tensor) -> Topology:
    """Edges and their sides for triangles (F, 3).

    Where more than two triangles meet, only the first two are sides of the edge.
    """
    count = triangles.shape[0]
    pairs = torch.cat((triangles[:, (0, 1)], triangles[:, (1, 2)], triangles[:, (2, 0)]))
    pairs = pairs.sort(dim=1).values
    owner = torch.arange(count, device=triangles.device).repeat(3)
    width = triangles.max() + 1
    key, order = (pairs[:, 0] * width + pairs[:, 1]).sort(stable=True)
    unique, counts = torch.unique_consecutive(key, return_counts=True)
    first = counts.cumsum(0) - counts
    second = (first + 1).clamp(max=len(key) - 1)
    sides = torch.stack((owner[order[first]], owner[order[second]]), dim=1)
    sides[:, 1] = torch.where(counts > 1, sides[:, 1], count)
    return Topology(torch.stack((unique // width, unique % width), dim=1), sides)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals (N, V, 3) of vertices (N, V, 3), weighted by the area of triangles (F, 3)."""
    frames = vertices.shape[0]
    # All frames of a vertex side by side: rows are gathered and added in one piece.
    rows = vertices.transpose(0, 1).flatten(1)
    corner = rows.index_select(0, triangles.mT.reshape(-1)).view(3, -1, frames, 3)
    faces = torch.linalg.cross(corner[1] - corner[0], corner[2] - corner[0]).flatten(1)
    total = torch.zeros_like(rows)
    for place in range(3):
        total = total.index_add(0, triangles[:, place], faces)
    normals = total.view(-1, frames, 3).transpose(0, 1)
    return torch.nn.functional.normalize(normals, dim=2, eps=1e-12)
