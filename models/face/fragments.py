"""Batched z-buffer: which triangle each pixel sees and where on it.

Visibility is decided without gradients: every triangle is cut into rows, every row into the
pixels between its left and right end, and each pixel keeps the nearest (on a processor a compiled kernel does the same). Then the barycentrics of
the pixels that see something are computed again from their triangles' three corners, with
gradients. All of it is tensor code too, the same on CPU and CUDA.

Shapes read (P, C) and (N, H, W, C) as everywhere, but one channel lies after another in memory: there
gathering, summing and multiplying run at full speed, and ``movedim(-1, 0)`` costs nothing.

Pixel coordinates: x right, y down from the frame's top left corner; pixel (row, column) has its
centre at (column + 0.5, row + 0.5).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from models.face.mesh_topology import corner_points

BACKGROUND_DEPTH = 1e10  # cm
CANDIDATES = 4_000_000  # bound on the pixels enumerated at once, about 90 bytes each
SMALLEST = 1e-9  # twice the area of a triangle, in pixels
NEAREST = 1e-3  # cm in front of the camera
INSIDE = -1e-5  # tolerance of the barycentrics, so that rounding opens no gap between triangles


@dataclass(eq=False)
class Fragments:
    """The P pixels that see a triangle, out of N frames of H x W pixels."""

    triangle: Tensor  # (N, H, W) int64, -1 where nothing is seen
    pixels: Tensor  # (P,) int64 flat index into (N, H, W), ascending
    corners: Tensor  # (3, P) int64 flat index into (N, V) vertices
    weights: Tensor  # (3, P) perspective-correct barycentrics
    depths: Tensor  # (P,) cm along the view axis
    facing: Tensor  # (N, F) bool: triangles that turn their front to the camera

    @property
    def barycentrics(self) -> Tensor:
        """(N, H, W, 3), zero where nothing is seen."""
        return self.scatter(self.weights.T)

    @property
    def depth(self) -> Tensor:
        """(N, H, W) cm along the view axis, ``BACKGROUND_DEPTH`` where nothing is seen."""
        return self.scatter(self.depths.unsqueeze(1), BACKGROUND_DEPTH).squeeze(-1)

    def scatter(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Values (P, C) of the pixels -> pictures (N, H, W, C)."""
        empty = values.new_full((values.shape[1], self.triangle.numel()), fill)
        return self.picture(empty.index_copy_(1, self.pixels, values.T))

    def picture(self, channels: Tensor) -> Tensor:
        """Channels (C, N H W) as pictures (N, H, W, C)."""
        return channels.view(-1, *self.triangle.shape).movedim(0, -1)

    def gather(self, attributes: Tensor) -> Tensor:
        """Vertex attributes (N, V, C) at the pixels, (P, C)."""
        return WeightedSums.apply(channels(attributes), self.corners, self.weights).T


def channels(attributes: Tensor) -> Tensor:
    """Vertex attributes (N, V, C) as (C, N V), contiguous."""
    return attributes.movedim(-1, 0).reshape(attributes.shape[-1], -1)


class WeightedSums(torch.autograd.Function):
    """Sums of three weighted columns: out[:, p] = sum_k weights[k, p] * table[:, corners[k, p]].

    What plain indexing would do, without keeping a copy of every column for the backward pass.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, table: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
        """Table (C, M), corners (3, P) int64, weights (3, P) -> (C, P)."""
        ctx.save_for_backward(table, corners, weights)
        total = table.index_select(1, corners[0]).mul_(weights[0])
        for corner, weight in zip(corners[1:], weights[1:], strict=True):
            total.addcmul_(table.index_select(1, corner), weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        """Gradients of the table and the weights, as far as they are needed."""
        table, corners, weights = ctx.saved_tensors
        of_table = of_weights = None
        if ctx.needs_input_grad[0]:
            of_table = torch.zeros_like(table)
            for corner, weight in zip(corners, weights, strict=True):
                of_table.index_add_(1, corner, gradient * weight)
        if ctx.needs_input_grad[2]:
            columns = [table.index_select(1, corner).mul_(gradient) for corner in corners]
            of_weights = torch.stack([column.sum(dim=0) for column in columns])
        return of_table, None, of_weights


def rasterize(ndc: Tensor, triangles: Tensor, size: int, cull: bool = True) -> Fragments:
    """See triangles (F, 3) of vertices (N, V, 3) = NDC x, y, depth in cm in a ``size``² frame.

    With ``cull``, triangles that turn their back (clockwise in the picture) are not seen. Neither
    are those that reach behind the camera. Gradients reach ``ndc`` through weights and depths.
    """
    pixel_space = to_pixels(ndc, size)
    with torch.no_grad():
        triangle, facing, corners = see(pixel_space.detach(), triangles, size, cull)
        counts = (triangle >= 0).sum(dim=2)
        pixels = (triangle.view(-1) >= 0).nonzero().squeeze(1)
        seen = corners.index_select(1, triangle.view(-1).index_select(0, pixels))
        first_vertex = torch.arange(len(ndc), device=ndc.device) * ndc.shape[1]
        seen += torch.repeat_interleave(first_vertex, counts.sum(dim=1))
    weights, depths = perspective_barycentrics(pixel_space, seen, pixels, counts)
    return Fragments(triangle, pixels, seen, weights, depths, facing)


@torch.no_grad()
def seen_triangles(ndc: Tensor, triangles: Tensor, size: int) -> Tensor:
    """Which triangle each pixel sees, (N, size, size) int64, -1 for none: what ``rasterize`` finds first."""
    return see(to_pixels(ndc, size), triangles, size, cull=True)[0]


def see(pixel_space: Tensor, triangles: Tensor, size: int, cull: bool) -> tuple[Tensor, Tensor, Tensor]:
    """``triangle`` and ``facing`` of Fragments, and the triangles' corners (3, F)."""
    corners = triangles.T.contiguous()
    points = corner_points(pixel_space, corners)
    facing = triangle_areas(*points[:2]) > SMALLEST
    return visible_triangles(points, facing if cull else None, size), facing, corners


def interpolate(fragments: Fragments, attributes: Tensor) -> Tensor:
    """Vertex attributes (N, V, C) -> pictures (N, H, W, C), zero where nothing is seen."""
    return fragments.scatter(fragments.gather(attributes))


def to_pixels(ndc: Tensor, size: int) -> Tensor:
    """NDC x, y, depth (N, V, 3) -> pixel x, y (down), depth."""
    half = size / 2
    x, y, depth = ndc.unbind(-1)
    return torch.stack((half + half * x, half - half * y, depth)).movedim(0, -1)


def triangle_areas(x: Tensor, y: Tensor) -> Tensor:
    """Twice the signed areas (…) of corners (3, …) in pixels; positive faces the camera."""
    return (x[2] - x[0]) * (y[1] - y[0]) - (x[1] - x[0]) * (y[2] - y[0])


def visible_triangles(points: Tensor, facing: Tensor | None, size: int) -> Tensor:
    """Nearest triangle (N, H, W) int64 at each pixel's centre, -1 for none.

    Corners' x, y and depth (3, 3, N, F); with ``facing`` (N, F) only those triangles are drawn.
    """
    drawn = triangle_areas(*points[:2]).abs() > SMALLEST if facing is None else facing
    drawn = drawn & (points[2].amin(dim=0) > NEAREST)
    compiled = kernels_for(points)
    if compiled is None:
        return visible_by_tensors(points, drawn, size)
    nearest = points.new_full((points.shape[2], size, size), -1, dtype=torch.int64)
    inverse_depth = points.new_zeros(nearest.shape)
    compiled.nearest_triangles(points.numpy(), drawn.numpy(), np.float32(INSIDE), nearest.numpy(), inverse_depth.numpy())
    return nearest


def kernels_for(*values: Tensor) -> ModuleType | None:
    """The compiled kernels, where all ``values`` are of the kind that they take."""
    return kernels() if all(value.dtype == torch.float32 and value.device.type == "cpu" for value in values) else None


@lru_cache(maxsize=1)
def kernels() -> ModuleType | None:
    """``raster_kernels``, or None where numba cannot compile."""
    try:
        from models.face import raster_kernels

        return raster_kernels
    except Exception:  # numba and LLVM fail in many ways, by many switches
        return None


def paint(maps: Tensor, first: int, attributes: Tensor, ndc: Tensor, triangles: Tensor, samples: int = 1) -> None:
    """Write vertex attributes (N, V, C) into the channels of ``maps`` (N, H, H, T), from ``first`` on, where pixels see triangles.

    As ``rasterize`` and ``Fragments.gather``, for many channels at once and without gradients; ``ndc`` and ``triangles`` as in ``rasterize``.
    Each pixel gets the mean of ``samples``² points in it; those that see nothing count as 0.
    """
    size, count = maps.shape[1] * samples, attributes.shape[2]
    compiled = kernels_for(attributes, maps, ndc)
    if compiled is not None:
        nearest, planes = seen_triangles(ndc, triangles, size), to_pixels(ndc, size).movedim(-1, 0).contiguous()
        arrays = (array.detach().numpy() for array in (planes, triangles, nearest, attributes.contiguous(), maps))
        compiled.paint(*arrays, first, samples)
        return
    fragments = rasterize(ndc, triangles, size)
    table, weights = attributes.flatten(0, 1), fragments.weights.unsqueeze(-1)
    seen = table.index_select(0, fragments.corners[0]).mul_(weights[0])  # all numbers of a vertex are read in one go
    for corner, weight in zip(fragments.corners[1:], weights[1:], strict=True):
        seen.addcmul_(table.index_select(0, corner), weight)
    pixels = torch.div(fragments.pixels, samples * size, rounding_mode="floor") * maps.shape[2] + fragments.pixels % size // samples
    place = maps.flatten(0, 2)[:, first : first + count]
    place.index_fill_(0, pixels, 0.0).index_add_(0, pixels, seen, alpha=1 / samples**2)


def visible_by_tensors(points: Tensor, drawn: Tensor, size: int) -> Tensor:
    """``visible_triangles`` on any device, of the triangles ``drawn`` (N, F)."""
    frames, count = points.shape[2:]
    nearest = points.new_full((frames * size * size,), -1, dtype=torch.int64)
    chosen = drawn.view(-1).nonzero().squeeze(1)
    x, y, depth = points.reshape(9, -1).index_select(1, chosen).view(3, 3, -1)
    frame = torch.div(chosen, count, rounding_mode="floor")
    column, row, width, height = pixel_boxes(x, y, size)
    first_pixel, number = (frame * size + row) * size + column, chosen - frame * count
    edges = screen_edges(x - (column + 0.5), y - (row + 0.5))
    for part in chunks(width * height):
        right, down, start = (plane[:, part] for plane in edges)
        spans = row_spans((right, down, start), depth[:, part], width[part], height[part])
        keep_nearest(nearest, spans, first_pixel[part], number[part], size)
    # Without the depth in the upper half; -1 stays -1.
    return ((nearest << 32) >> 32).view(frames, size, size)


def pixel_boxes(x: Tensor, y: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First column and row, width and height (T,) int64 of the pixels in triangles' bounds."""
    boxes = []
    for axis in (x, y):
        low = (axis.amin(dim=0) - 0.5).ceil().clamp(0, size).long()
        high = (axis.amax(dim=0) - 0.5).floor().clamp(-1, size - 1).long()
        boxes.append((low, (high - low + 1).clamp(min=0)))
    (column, width), (row, height) = boxes
    return column, row, width, height


def screen_edges(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Barycentrics as planes over the screen: change right and down, value at the origin, (3, T).

    ``x`` and ``y`` (3, T) are corners relative to the centre of the box's first pixel.
    """
    following, last = (1, 2, 0), (2, 0, 1)
    right = y[following, :] - y[last, :]
    down = x[last, :] - x[following, :]
    start = x[following, :] * y[last, :] - y[following, :] * x[last, :]
    area = start.sum(dim=0)
    return right / area, down / area, start / area


@dataclass(eq=False)
class Spans:
    """Rows of triangles: pixels first, first + 1, … relative to the triangle's first pixel."""

    owner: Tensor  # (R,) int64 triangle
    row: Tensor  # (R,) int64 down from the box's first row
    first: Tensor  # (R,) int64 right from the box's first column
    count: Tensor  # (R,) int64
    inverse_depth: Tensor  # (R,) at the first pixel
    step: Tensor  # (R,) change of the inverse depth from pixel to pixel


def row_spans(planes: tuple[Tensor, Tensor, Tensor], depth: Tensor, width: Tensor, height: Tensor) -> Spans:
    """Which pixels of each row of each triangle's box lie inside it.

    An edge bounds a row on the left where its barycentric grows to the right, else on the right.
    """
    right, down, start = planes
    owner, row = enumerate_items(height)
    at_row = row.to(depth)
    slope = torch.where(right == 0, 0.0, -down / right)
    limit = torch.where(right == 0, -torch.inf, (INSIDE - start) / right)
    ends = torch.addcmul(limit.index_select(1, owner), slope.index_select(1, owner), at_row)
    on_left = right.index_select(1, owner) >= 0
    low = torch.where(on_left, ends, 0.0).amax(dim=0)
    last = (width - 1).to(depth).index_select(0, owner)
    high = torch.where(on_left, last, ends).amin(dim=0)
    low = low.ceil()
    count = (high.floor() - low + 1).clamp(min=0).long()
    sums = torch.stack([(plane / depth).sum(dim=0) for plane in planes])
    step, below, origin = sums.index_select(1, owner)
    inverse_depth = origin + below * at_row + step * low
    return Spans(owner, row, low.long(), count, inverse_depth, step)


def chunks(counts: Tensor) -> list[slice]:
    """Cut triangles of at most ``counts`` (T,) pixels into runs of about ``CANDIDATES``."""
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    if total <= CANDIDATES:
        return [slice(0, len(counts))] if total else []
    goals = torch.arange(CANDIDATES, total, CANDIDATES, device=ends.device)
    cuts = torch.searchsorted(ends, goals).tolist()
    bounds = [0, *cuts, len(counts)]
    return [slice(a, b) for a, b in itertools.pairwise(bounds) if b > a]


def keep_nearest(nearest: Tensor, spans: Spans, first_pixel: Tensor, number: Tensor, size: int) -> None:
    """Merge spans into ``nearest`` (N H W): inverse depth in the upper half, triangle in the lower."""
    start = first_pixel.index_select(0, spans.owner) + spans.row * size + spans.first
    owner = number.index_select(0, spans.owner)
    span, place = enumerate_items(spans.count)
    step = spans.step.index_select(0, span)
    inverse_depth = torch.addcmul(spans.inverse_depth.index_select(0, span), step, place.to(step))
    key = (float_bits(inverse_depth) << 32) | owner.index_select(0, span)
    nearest.scatter_reduce_(0, start.index_select(0, span) + place, key, "amax")


def enumerate_items(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For owners with ``counts`` (T,) items each: every item's owner and its place, both (M,)."""
    owner = torch.repeat_interleave(counts)
    start = counts.cumsum(0) - counts
    place = torch.arange(len(owner), device=counts.device) - start.index_select(0, owner)
    return owner, place


def float_bits(value: Tensor) -> Tensor:
    """int64 below 2^31 in the order of ``value`` in float32; what is below zero counts as zero."""
    return value.float().clamp(min=0).view(torch.int32).long()


def perspective_barycentrics(pixel_space: Tensor, corners: Tensor, pixels: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentrics (3, P) and depths (P,) at pixels' centres on the triangles they see.

    ``counts`` (N, H): how many of the pixels lie in each row. In the picture the barycentrics over
    depth are linear, not they themselves.
    """
    frames, size = counts.shape
    rows = torch.arange(frames * size, device=pixels.device)
    column = pixels - torch.repeat_interleave(rows * size, counts.view(-1))
    centre_y = torch.repeat_interleave((rows % size).to(pixel_space) + 0.5, counts.view(-1))
    points = channels(pixel_space).index_select(1, corners.view(-1)).view(3, 3, -1)
    x, y = points[0] - (column.to(points) + 0.5), points[1] - centre_y
    areas = torch.stack([x[i] * y[j] - y[i] * x[j] for i, j in ((1, 2), (2, 0), (0, 1))])
    shares = areas / points[2]
    total = shares.sum(dim=0)
    return shares / total, areas.sum(dim=0) / total
