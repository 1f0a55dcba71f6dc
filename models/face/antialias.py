"""Anti-aliasing where a surface ends and the background, or a surface behind it, begins.

The idea of nvdiffrast's antialiasing (Laine et al., "Modular Primitives for High-Performance
Differentiable Rendering", 2020), with the mesh's true silhouette edges instead of those of the
triangles that pixels happen to see: where such an edge crosses the line between the centres of two
neighbours, of which one sees the surface that ends there and the other what lies behind it, the
surface's share moves by how far the crossing lies from halfway. For a straight edge the share summed
along the line is exact, and so is its derivative. Neighbours side by side and above each other both
count, by how steep the edge is. Before the background the share is coverage; before another surface,
as where the nose hides the cheek, it mixes the two colours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.face.fragments import (
    Fragments,
    channels,
    enumerate_items,
    float_bits,
)
from models.face.mesh_topology import Topology

SQUARENESS = 4  # how strongly an edge prefers the neighbours that it separates squarely
GAP = 0.01  # cm: how far behind an edge a surface must lie to be hidden by it


class Coverage(NamedTuple):
    """Soft coverage, for uncovered pixels that it reaches a neighbour to take from, and mixed pixels."""

    mask: Tensor  # (N, H, W) 0–1
    fringe: Tensor  # (Q,) int64 flat index of uncovered pixels
    donors: Tensor  # (Q,) int64 flat index of the covered neighbour
    mixed: Tensor  # (2, M) int64 flat index of neighbours: the nearer surface, the farther
    share: Tensor  # (M,) -0.5–0.5: how much of the farther pixel the nearer surface takes, or loses


class Crossings(NamedTuple):
    """Where silhouette edges cross lines between neighbouring pixels' centres."""

    ends: Tensor  # (2, C) int64 flat index into (N, V): the edge
    beside: Tensor  # (C,) bool: the neighbours lie side by side, else above each other
    line: Tensor  # (C,) int64 the neighbours' row, or column when above each other
    near: Tensor  # (C,) int64 flat index of the pixel that sees the surface which ends here
    far: Tensor  # (C,) int64 flat index of the other


def soft_coverage(pixel_space: Tensor, mesh: Topology, seen: Fragments) -> Coverage:
    """Coverage of ``seen`` from vertices (N, V, 3) in pixels; gradients reach the vertices."""
    filled = seen.triangle.view(-1) >= 0
    with torch.no_grad():
        crossings = find_crossings(pixel_space.detach(), mesh, seen)
        distance, _ = measure(pixel_space.detach(), crossings, seen)
        crossings = outermost(crossings, distance, len(filled))
        inner = filled.index_select(0, crossings.far)
    distance, weight = measure(pixel_space, crossings, seen)
    share = weight * (distance.clamp(0, 1) - 0.5)
    mixed = torch.stack((crossings.near, crossings.far))
    targets, sources, beyond = crossings.far[~inner], crossings.near[~inner], share[~inner]
    mask = filled.to(pixel_space).index_add_(0, targets, beyond.clamp(min=0))
    mask.index_add_(0, sources, beyond.clamp(max=0))
    reached = beyond.detach() > 0
    targets, sources = targets[reached], sources[reached]
    best = winners(targets, beyond.detach()[reached])
    mask = mask.clamp(0, 1).view_as(seen.triangle)
    return Coverage(mask, targets[best], sources[best], mixed[:, inner], share[inner])


def mix(values: Tensor, coverage: Coverage, seen: Fragments) -> Tensor:
    """Values (P, C) at the pixels of ``seen``, mixed where a surface ends before another one."""
    near, far = torch.searchsorted(seen.pixels, coverage.mixed)
    share, channels = coverage.share, values.T
    change = share * (channels.index_select(1, near) - channels.index_select(1, far))
    taken = torch.where(share > 0, far, near)
    return channels.index_add(1, taken, change).T


def find_crossings(pixel_space: Tensor, mesh: Topology, seen: Fragments) -> Crossings:
    """All crossings of silhouette edges between a pixel in front of them and one behind."""
    size = seen.triangle.shape[-1]
    ends, beside, line = crossed_lines(pixel_space, mesh, seen)
    along, across, depth = edge_axes(pixel_space, ends, beside)
    left = (position_on_line(along, across, line) - 0.5).floor()
    fits = (left >= 0) & (left < size - 1)
    left, line, beside, ends = left[fits].long(), line[fits], beside[fits], ends[:, fits]
    edge = 1 / position_on_line(along[:, fits], 1 / depth[:, fits], line)
    frame = torch.div(ends[0], pixel_space.shape[1], rounding_mode="floor")
    first = frame * size * size + torch.where(beside, line * size + left, left * size + line)
    second = first + torch.where(beside, 1, size)
    depths = seen.depth.detach().reshape(-1)
    swap = depths.index_select(0, first) > depths.index_select(0, second)
    near, far = torch.where(swap, second, first), torch.where(swap, first, second)
    ends_here = (seen.triangle.view(-1)[near] >= 0) & (depths.index_select(0, far) > edge + GAP)
    parts = (beside, line, near, far)
    return Crossings(ends[:, ends_here], *(part[ends_here] for part in parts))


def crossed_lines(pixel_space: Tensor, mesh: Topology, seen: Fragments) -> tuple[Tensor, Tensor, Tensor]:
    """Every silhouette edge with every line of pixels' centres that it crosses: ends, beside, line."""
    size = seen.triangle.shape[-1]
    ends = silhouette_edges(mesh, seen.facing, pixel_space.shape[1])
    beside = torch.arange(2, device=ends.device).repeat_interleave(ends.shape[1]) == 0
    ends = ends.repeat(1, 2)
    along = edge_axes(pixel_space, ends, beside)[0]
    low = (along.amin(dim=0) - 0.5).ceil().clamp(0, size)
    high = ((along.amax(dim=0) - 0.5).ceil() - 1).clamp(-1, size - 1)
    owner, place = enumerate_items((high - low + 1).clamp(min=0).nan_to_num(0.0).long())
    line = low.long().index_select(0, owner) + place
    return ends.index_select(1, owner), beside.index_select(0, owner), line


def silhouette_edges(mesh: Topology, facing: Tensor, vertices: int) -> Tensor:
    """(2, S) flat index into (N, V): edges with one side towards the camera and the other not.

    ``facing`` (N, F): triangles towards the camera. ``vertices`` is V.
    """
    # Nothing faces the camera beyond an open edge. As floats, because those are gathered faster.
    padded = torch.nn.functional.pad(facing.float(), (0, 1))
    first, second = padded.index_select(1, mesh.sides.view(-1)).unflatten(1, (2, -1)).unbind(1)
    frame, edge = (first != second).nonzero(as_tuple=True)
    return mesh.edges.index_select(1, edge) + frame * vertices


def edge_axes(pixel_space: Tensor, ends: Tensor, beside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of edges' two ends (2, C) each: pixels across the line of neighbours, pixels along it, depth."""
    points = channels(pixel_space).index_select(1, ends.view(-1))
    x, y, depth = points.unflatten(1, (2, -1))
    return torch.where(beside, y, x), torch.where(beside, x, y), depth


def position_on_line(along: Tensor, across: Tensor, line: Tensor) -> Tensor:
    """Values (2, C) at edges' ends, linear in the picture, where they cross the centres of ``line`` (C,)."""
    length = along[1] - along[0]
    share = (line + 0.5 - along[0]) / torch.where(length == 0, 1.0, length)
    return across[0] + share * (across[1] - across[0])


def measure(pixel_space: Tensor, crossings: Crossings, seen: Fragments) -> tuple[Tensor, Tensor]:
    """Distance of crossings from the near pixel's centre to the far one's, and their weight, both (C,).

    The weights of an edge's two kinds of neighbours add up to 1 and favour the kind that it
    separates more squarely; they carry no gradient.
    """
    size = seen.triangle.shape[-1]
    along, across, _ = edge_axes(pixel_space, crossings.ends, crossings.beside)
    position = position_on_line(along, across, crossings.line)
    place = crossings.near % (size * size)
    centre = torch.where(crossings.beside, place % size, place // size) + 0.5
    outward = torch.where(crossings.far > crossings.near, 1.0, -1.0)
    squarely = (along[1] - along[0]).detach().abs().pow(SQUARENESS)
    other = (across[1] - across[0]).detach().abs().pow(SQUARENESS)
    return (position - centre) * outward, squarely / (squarely + other)


def outermost(crossings: Crossings, distance: Tensor, pixels: int) -> Crossings:
    """One crossing for each pair of pixels: the farthest out, where the surface really ends."""
    pair = torch.minimum(crossings.near, crossings.far) + crossings.beside * pixels
    best = winners(pair, distance)
    return Crossings(*(part.index_select(-1, best) for part in crossings))


def winners(group: Tensor, value: Tensor) -> Tensor:
    """Indices of the largest ``value`` (M,) >= 0 of each ``group`` (M,) < 2^31, one for each."""
    keys, order = ((group << 32) | float_bits(value)).sort(stable=True)
    following = torch.nn.functional.pad(keys[1:], (0, 1), value=-1)
    return order[keys >> 32 != following >> 32]
