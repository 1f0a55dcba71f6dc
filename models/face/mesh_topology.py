"""Edges of a triangle mesh and the triangles at either side."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from models.face.model import FaceModel

NO_AREA = 1e-6  # cm²: triangles smaller than half this lose their say in the normals


@dataclass(frozen=True, eq=False)
class Topology:
    """The E edges of F triangles."""

    edges: Tensor  # (2, E) int64 vertices
    sides: Tensor  # (2, E) int64 triangles at the edge; F where there is none


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
    other = torch.where(counts > 1, owner[order[second]], count)
    sides = torch.stack((owner[order[first]], other))
    return Topology(torch.stack((unique // width, unique % width)), sides)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals (N, V, 3) of vertices (N, V, 3): of the triangles (F, 3) around, weighted by their angles.

    Unlike areas, angles do not depend on how a surface is cut into triangles (Thürmer and Wüthrich,
    "Computing Vertex Normals from Polygonal Facets", 1998); Blender does the same.
    """
    corner = corner_points(vertices, triangles.T.contiguous()).unbind(1)
    sides = [corner[(place + 1) % 3] - corner[place] for place in range(3)]
    normals = cross(sides[0], sides[1])
    areas = normals.square().sum(dim=0).clamp(min=NO_AREA**2).sqrt()
    total = vertices.new_zeros(3, *vertices.shape[:2])
    for place in range(3):
        angle = torch.atan2(areas, -(sides[place] * sides[place - 1]).sum(dim=0))
        total.index_add_(2, triangles[:, place], normals * (angle / areas))
    return unit(total.movedim(0, -1))


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of vectors (3, …); six times as fast as torch.linalg.cross where the coordinates lie apart."""
    return torch.stack([a[i] * b[j] - a[j] * b[i] for i, j in ((1, 2), (2, 0), (0, 1))])


def corner_points(points: Tensor, corners: Tensor) -> Tensor:
    """Points (N, V, 3) at the corners (3, F) of triangles -> (3 coordinates, 3 corners, N, F)."""
    frames, count = points.shape[:2]
    rows = points.movedim(-1, 0).reshape(3 * frames, count)  # index_select is fast in two dimensions only
    return rows.index_select(1, corners.view(-1)).view(3, frames, 3, -1).transpose(1, 2)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (…, 3) at length 1; those without length stay zero.

    ``torch.nn.functional.normalize`` takes fifty times as long where the coordinates lie apart in memory.
    """
    return vectors / vectors.square().sum(dim=-1, keepdim=True).clamp(min=1e-24).sqrt()
