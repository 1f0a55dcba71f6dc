"""A coarse stand-in for an imported model, so that drawing it often, as in training, is affordable.

The stand-in's vertices are some of the model's own, hence its modes, masks and landmarks are rows of the
model's. They are spread by farthest points (Gonzalez 1985) over places and normals, so that they lie
closer where the surface bends. Every other vertex belongs to the nearest of them along the mesh's edges;
where three of these regions meet, there is a triangle (the dual of a geodesic Voronoi diagram, as in
Peyré and Cohen, "Geodesic Remeshing Using Front Propagation", 2006). Regions end where the mesh ends:
lips, lids and separate parts do not grow together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from models.face.fragments import float_bits
from models.face.mesh_topology import find_topology, vertex_normals
from models.face.model import FaceModel

VERTICES = 2000
WORTH_IT = 1.5  # a model with fewer than this times VERTICES is coarse enough itself
BEND = 2.0  # cm: how far apart two points count whose normals differ by one radian
DENSITY = {"face": 1.6, "eyes": 1.0, "teeth": 0.7, "mouth": 0.5}  # spacing is divided by this, by mask
FINE, FINE_REACH = 2.5, 0.7  # and by this within so many cm of the landmarks of lids and lips
EXACT = "donot_use_mm_for_euclid_dist"  # otherwise a point lies up to 0.1 mm from itself
MOST_ROUNDS = 200  # from a seed to what is nearest to it there are some 20 edges; what lies further has none
BORDER = 0.25  # of the vertices at most lie on the mesh's open edges


def add_proxy(model: FaceModel) -> FaceModel:
    """``model`` with a proxy of about ``VERTICES`` vertices, unless it is as coarse itself."""
    used = torch.unique(model.triangles)
    if len(used) < WORTH_IT * VERTICES:
        return model
    mesh = find_topology(model.triangles)
    seeds = spread_seeds(model, used, mesh.edges[:, mesh.sides[1] == len(model.triangles)])
    region = nearest_seeds(model.mean, mesh.edges, seeds)
    triangles = meeting_regions(region[model.triangles], len(seeds))
    rows: dict[str, Any] = {
        name: getattr(model, name)[..., seeds, :] for name in ("mean", "identity", "expression", "albedo_mean", "albedo")
    }
    place = torch.full((len(model.mean),), -1).index_copy(0, seeds, torch.arange(len(seeds)))
    rows |= {name: {key: value[seeds] for key, value in getattr(model, name).items()} for name in ("masks", "groups")}
    rows |= dict.fromkeys(("quads", "uv", "uv_triangles", "uv_quads", "proxy"))
    proxy = replace(model, **rows, triangles=triangles, landmarks=place[model.landmarks])
    return replace(model, proxy=proxy)


def spread_seeds(model: FaceModel, used: Tensor, border: Tensor) -> Tensor:
    """About ``VERTICES`` of the ``used`` vertices: all landmarks, some of the ``border``, the rest all over."""
    normals = vertex_normals(model.mean[None], model.triangles)[0]
    density = torch.ones(len(model.mean))
    for name, value in DENSITY.items():
        density = torch.where(model.masks[name] > 0.5, value, density)
    fine = torch.cdist(model.mean, model.mean[model.landmarks[36:]]).amin(dim=1) < FINE_REACH
    density = torch.where(fine & (normals[:, 2] > 0), FINE, density)
    points = torch.cat((model.mean, BEND * normals), dim=1)
    seeds = torch.unique(model.landmarks)
    ends = torch.unique(border)
    if len(ends):
        seeds = farthest(points, density, ends, seeds, len(seeds) + min(len(ends), int(BORDER * VERTICES)))
    return farthest(points, density, used, seeds, VERTICES)


def farthest(points: Tensor, density: Tensor, candidates: Tensor, chosen: Tensor, count: int) -> Tensor:
    """``chosen`` and further ``candidates``, each the farthest from all before it, ``count`` in all."""
    places, weight = points[candidates], density[candidates]
    distance = torch.full((len(candidates),), torch.inf)
    for part in points[chosen].split(64):
        distance = torch.minimum(distance, torch.cdist(places, part, compute_mode=EXACT).amin(dim=1))
    found = chosen.tolist()
    while len(found) < count:
        best = int((distance * weight).argmax())
        if distance[best] == 0:
            break
        found.append(int(candidates[best]))
        distance = torch.minimum(distance, (places - places[best]).square().sum(dim=1).sqrt())
    return torch.tensor(found)


def nearest_seeds(points: Tensor, edges: Tensor, seeds: Tensor) -> Tensor:
    """For each of V points the number of the seed nearest along the edges (2, E), -1 where none leads to it."""
    length = (points[edges[0]] - points[edges[1]]).norm(dim=1).repeat(2)
    start, end = torch.cat((edges, edges.flip(0)), dim=1)
    distance = torch.full((len(points),), torch.inf)
    distance[seeds] = 0
    region = torch.full((len(points),), -1)
    region[seeds] = torch.arange(len(seeds))
    for _ in range(MOST_ROUNDS):  # Bellman and Ford: every round carries distances on by one edge
        through = distance[start] + length
        shorter = through < distance[end]
        if not shorter.any():
            break
        start_here, end_here, through = start[shorter], end[shorter], through[shorter]
        best = torch.full((len(points),), torch.iinfo(torch.int64).max)
        key = (float_bits(through) << 32) | torch.arange(len(through))
        best.scatter_reduce_(0, end_here, key, "amin")
        winner = best[best < torch.iinfo(torch.int64).max] & 0xFFFFFFFF
        distance[end_here[winner]] = through[winner]
        region[end_here[winner]] = region[start_here[winner]]
    return region


def meeting_regions(corners: Tensor, count: int) -> Tensor:
    """Triangles (M, 3) between the regions of those in ``corners`` (F, 3) that lie in three, each once."""
    apart = (corners != corners.roll(1, dims=1)).all(dim=1) & (corners >= 0).all(dim=1)
    corners = corners[apart]
    ordered = corners.sort(dim=1).values
    key = (ordered[:, 0] * count + ordered[:, 1]) * count + ordered[:, 2]
    _, inverse = torch.unique(key, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(corners)).scatter_reduce(0, inverse, torch.arange(len(corners)), "amin")
    return corners[first]
