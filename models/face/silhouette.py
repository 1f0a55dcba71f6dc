"""Anti-aliased coverage where the mesh ends and the background begins.

The idea of nvdiffrast's antialiasing (Laine et al., "Modular Primitives for High-Performance
Differentiable Rendering", 2020), with the mesh's true silhouette edges instead of those of the
triangles that pixels happen to see: where such an edge crosses the line between the centres of a
covered and an uncovered neighbour, coverage moves by how far the crossing lies from halfway. For a
straight edge the coverage summed along the line is exact, and so is its derivative. Neighbours side
by side and above each other both count, by how steep the edge is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.face.edges import Topology
from models.face.fragments import (
    Fragments,
    channels,
    enumerate_items,
    float_bits,
)

SQUARENESS = 4  # how strongly an edge prefers the neighbours that it separates squarely


class Coverage(NamedTuple):
    """Soft coverage, and for uncovered pixels that it reaches a covered neighbour to take from."""

    mask: Tensor  # (N, H, W) 0–1
    fringe: Tensor  # (Q,) int64 flat index of uncovered pixels
    donors: Tensor  # (Q,) int64 flat index of the covered neighbour


class Crossings(NamedTuple):
    """Where silhouette edges cross lines between neighbouring pixels' centres."""

    ends: Tensor  # (2, C) int64 flat index into (N, V): the edge
    beside: Tensor  # (C,) bool: the neighbours lie side by side, else above each other
    line: Tensor  # (C,) int64 the neighbours' row, or column when above each other
    covered: Tensor  # (C,) int64 flat index of the covered pixel
    uncovered: Tensor  # (C,) int64 flat index of the other


def soft_coverage(pixel_space: Tensor, mesh: Topology, seen: Fragments) -> Coverage:
    """Coverage of ``seen`` from vertices (N, V, 3) in pixels; gradients reach the vertices."""
    with torch.no_grad():
        crossings = find_crossings(pixel_space.detach(), mesh, seen)
        distance, _ = measure(pixel_space.detach(), crossings, seen)
        crossings = outermost(crossings, distance, seen.triangle.numel())
    distance, weight = measure(pixel_space, crossings, seen)
    beyond = weight * (distance.clamp(0, 1) - 0.5)
    gained, lost = beyond.clamp(min=0), beyond.clamp(max=0)
    mask = (seen.triangle >= 0).to(pixel_space).view(-1)
    mask.index_add_(0, crossings.uncovered, gained).index_add_(0, crossings.covered, lost)
    reached = gained.detach() > 0
    targets, sources = crossings.uncovered[reached], crossings.covered[reached]
    best = winners(targets, gained.detach()[reached])
    return Coverage(mask.clamp(0, 1).view_as(seen.triangle), targets[best], sources[best])


def find_crossings(pixel_space: Tensor, mesh: Topology, seen: Fragments) -> Crossings:
    """All crossings of silhouette edges between a covered and an uncovered pixel."""
    size = seen.triangle.shape[-1]
    ends = silhouette_edges(mesh, seen.facing, pixel_space.shape[1])
    beside = torch.arange(2, device=ends.device).repeat_interleave(ends.shape[1]) == 0
    ends = ends.repeat(1, 2)
    along, across = edge_axes(pixel_space, ends, beside)
    low = (along.amin(dim=0) - 0.5).ceil().clamp(0, size)
    high = ((along.amax(dim=0) - 0.5).ceil() - 1).clamp(-1, size - 1)
    owner, place = enumerate_items((high - low + 1).clamp(min=0).nan_to_num(0.0).long())
    line = low.long().index_select(0, owner) + place
    along, across = along.index_select(1, owner), across.index_select(1, owner)
    left = (position_on_line(along, across, line) - 0.5).floor()
    fits = (left >= 0) & (left < size - 1)
    owner, line, left = owner[fits], line[fits], left[fits].long()
    beside, ends = beside.index_select(0, owner), ends.index_select(1, owner)
    frame = torch.div(ends[0], pixel_space.shape[1], rounding_mode="floor")
    first = frame * size * size + torch.where(beside, line * size + left, left * size + line)
    second = first + torch.where(beside, 1, size)
    first_filled, second_filled = (seen.triangle.view(-1)[pixel] >= 0 for pixel in (first, second))
    covered = torch.where(first_filled, first, second)
    uncovered = torch.where(first_filled, second, first)
    border = first_filled != second_filled
    return Crossings(ends[:, border], beside[border], line[border], covered[border], uncovered[border])


def silhouette_edges(mesh: Topology, facing: Tensor, vertices: int) -> Tensor:
    """(2, S) flat index into (N, V): edges with one side towards the camera and the other not.

    ``facing`` (N, F): triangles towards the camera. ``vertices`` is V.
    """
    padded = torch.nn.functional.pad(facing, (0, 1))  # nothing faces the camera beyond an open edge
    first, second = padded.index_select(1, mesh.sides.view(-1)).unflatten(1, (2, -1)).unbind(1)
    frame, edge = (first != second).nonzero(as_tuple=True)
    return mesh.edges.index_select(1, edge) + frame * vertices


def edge_axes(pixel_space: Tensor, ends: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel coordinates (2, C) of edges' two ends: across the line of neighbours, and along it."""
    points = channels(pixel_space[..., :2]).index_select(1, ends.view(-1))
    x, y = points.unflatten(1, (2, -1))
    return torch.where(beside, y, x), torch.where(beside, x, y)


def position_on_line(along: Tensor, across: Tensor, line: Tensor) -> Tensor:
    """Where edges (2, C) cross the line through pixel centres ``line`` (C,), pixels across it."""
    length = along[1] - along[0]
    share = (line + 0.5 - along[0]) / torch.where(length == 0, 1.0, length)
    return across[0] + share * (across[1] - across[0])


def measure(pixel_space: Tensor, crossings: Crossings, seen: Fragments) -> tuple[Tensor, Tensor]:
    """Distance of crossings from the covered centre to the uncovered, and their weight, both (C,).

    The weights of an edge's two kinds of neighbours add up to 1 and favour the kind that it
    separates more squarely; they carry no gradient.
    """
    size = seen.triangle.shape[-1]
    along, across = edge_axes(pixel_space, crossings.ends, crossings.beside)
    position = position_on_line(along, across, crossings.line)
    place = crossings.covered % (size * size)
    centre = torch.where(crossings.beside, place % size, place // size) + 0.5
    outward = torch.where(crossings.uncovered > crossings.covered, 1.0, -1.0)
    squarely = (along[1] - along[0]).detach().abs().pow(SQUARENESS)
    other = (across[1] - across[0]).detach().abs().pow(SQUARENESS)
    return (position - centre) * outward, squarely / (squarely + other)


def outermost(crossings: Crossings, distance: Tensor, pixels: int) -> Crossings:
    """One crossing for each pair of pixels: the farthest out, where coverage really ends."""
    pair = torch.minimum(crossings.covered, crossings.uncovered) + crossings.beside * pixels
    best = winners(pair, distance)
    return Crossings(*(part.index_select(-1, best) for part in crossings))


def winners(group: Tensor, value: Tensor) -> Tensor:
    """Indices of the largest ``value`` (M,) >= 0 of each ``group`` (M,) < 2^31, one for each."""
    keys, order = ((group << 32) | float_bits(value)).sort(stable=True)
    following = torch.nn.functional.pad(keys[1:], (0, 1), value=-1)
    return order[keys >> 32 != following >> 32]
