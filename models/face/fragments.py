"""Batched z-buffer: which triangle each pixel sees and where on it.

Visibility is decided without gradients: every triangle is cut into rows, every row into the
pixels between its left and right end, and each pixel keeps the nearest. Then the barycentrics of
the pixels that see something are computed again from their triangles' three corners, with
gradients. All of it is tensor code, the same on CPU and CUDA.

Pixel coordinates: x right, y down from the frame's top left corner; pixel (row, column) has its
centre at (column + 0.5, row + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BACKGROUND_DEPTH = 1e10  # cm
CANDIDATES = 4_000_000  # bound on the pixels enumerated at once, about 90 bytes each
INSIDE = -1e-5  # tolerance of the barycentrics, so that rounding opens no gap between triangles
LOW_32_BITS = 0xFFFFFFFF


@dataclass(eq=False)
class Fragments:
    """The P pixels that see a triangle, out of N frames of H x W pixels."""

    triangle: Tensor  # (N, H, W) int64, -1 where nothing is seen
    pixels: Tensor  # (P,) int64 flat index into (N, H, W), ascending
    corners: Tensor  # (P, 3) int64 flat index into (N, V) vertices
    weights: Tensor  # (P, 3) perspective-correct barycentrics
    depths: Tensor  # (P,) cm along the view axis

    @property
    def barycentrics(self) -> Tensor:
        """(N, H, W, 3), zero where nothing is seen."""
        return self.scatter(self.weights)

    @property
    def depth(self) -> Tensor:
        """(N, H, W) cm along the view axis, ``BACKGROUND_DEPTH`` where nothing is seen."""
        return self.scatter(self.depths.unsqueeze(1), BACKGROUND_DEPTH).squeeze(-1)

    def scatter(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Values (P, C) of the pixels -> pictures (N, H, W, C)."""
        empty = values.new_full((self.triangle.numel(), values.shape[1]), fill)
        return empty.index_copy(0, self.pixels, values).view(*self.triangle.shape, -1)

    def gather(self, attributes: Tensor) -> Tensor:
        """Vertex attributes (N, V, C) at the pixels, (P, C)."""
        return WeightedRows.apply(attributes.flatten(0, 1), self.corners, self.weights)


class WeightedRows(torch.autograd.Function):
    """Sums of three weighted rows: out[p] = sum_k weights[p, k] * table[corners[p, k]].

    What plain indexing would do, without its copies of every row and its slow backward pass.
    """

    @staticmethod
    def forward(ctx, table: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
        """Table (M, C), corners (P, 3) int64, weights (P, 3) -> (P, C)."""
        ctx.save_for_backward(table, corners, weights)
        if not len(corners):
            return table.new_zeros(0, table.shape[1])
        return torch.nn.functional.embedding_bag(
            corners, table, mode="sum", per_sample_weights=weights
        )

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        """Gradients of the table and the weights, as far as they are needed."""
        table, corners, weights = ctx.saved_tensors
        of_table = of_weights = None
        if ctx.needs_input_grad[0]:
            of_table = torch.zeros_like(table)
            for place in range(3):
                share = gradient * weights[:, place : place + 1]
                of_table.index_add_(0, corners[:, place], share)
        if ctx.needs_input_grad[2]:
            parts = [(table.index_select(0, corner) * gradient).sum(1) for corner in corners.T]
            of_weights = torch.stack(parts, dim=1)
        return of_table, None, of_weights


def rasterize(ndc: Tensor, triangles: Tensor, size: int, cull: bool = True) -> Fragments:
    """See triangles (F, 3) of vertices (N, V, 3) = NDC x, y, depth in cm in a ``size``² frame.

    With ``cull``, triangles that turn their back (clockwise in the picture) are not seen. Neither
    are those that reach behind the camera. Gradients reach ``ndc`` through weights and depths.
    """
    pixel_space = to_pixels(ndc, size)
    with torch.no_grad():
        triangle = visible_triangles(pixel_space.detach(), triangles, size, cull)
        pixels = (triangle.view(-1) >= 0).nonzero().squeeze(1)
        seen = triangle.view(-1).index_select(0, pixels)
        frame = pixels // (size * size)
        corners = triangles.index_select(0, seen) + (frame * ndc.shape[1]).unsqueeze(1)
    weights, depths = perspective_barycentrics(pixel_space, corners, pixels, size)
    return Fragments(triangle, pixels, corners, weights, depths)


def interpolate(fragments: Fragments, attributes: Tensor) -> Tensor:
    """Vertex attributes (N, V, C) -> pictures (N, H, W, C), zero where nothing is seen."""
    return fragments.scatter(fragments.gather(attributes))


def to_pixels(ndc: Tensor, size: int) -> Tensor:
    """NDC x, y, depth (N, V, 3) -> pixel x, y (down), depth."""
    half = size / 2
    scale = ndc.new_tensor((half, -half, 1.0))
    return ndc * scale + ndc.new_tensor((half, half, 0.0))


def visible_triangles(pixel_space: Tensor, triangles: Tensor, size: int, cull: bool) -> Tensor:
    """Nearest triangle (N, H, W) int64 at each pixel's centre, -1 for none."""
    frames = pixel_space.shape[0]
    nearest = pixel_space.new_full((frames * size * size,), -1, dtype=torch.int64)
    x, y, depth, frame, number = triangles_in_view(pixel_space, triangles, size, cull)
    column, row, width, height = pixel_boxes(x, y, size)
    first_pixel = (frame * size + row) * size + column
    edges = screen_edges(x - (column + 0.5), y - (row + 0.5))
    for part in chunks(width * height):
        planes = tuple(plane[:, part] for plane in edges)
        spans = row_spans(planes, depth[:, part], width[part], height[part])
        keep_nearest(nearest, spans, first_pixel[part], number[part], size)
    seen = torch.where(nearest < 0, nearest, nearest & LOW_32_BITS)
    return seen.view(frames, size, size)


def triangle_areas(x: Tensor, y: Tensor) -> Tensor:
    """Twice the signed areas (…) of corners (3, …) in pixels; positive faces the camera."""
    return (x[2] - x[0]) * (y[1] - y[0]) - (x[1] - x[0]) * (y[2] - y[0])


def corner_values(values: Tensor, triangles: Tensor) -> Tensor:
    """Values (N, V) at the corners of triangles (F, 3) -> (3, F, N), contiguous."""
    rows = values.T.contiguous().index_select(0, triangles.T.reshape(-1))
    return rows.view(3, len(triangles), -1)


def triangles_in_view(
    pixel_space: Tensor, triangles: Tensor, size: int, cull: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Corners' x, y, depth (3, T), frame (T,) and number (T,) of the triangles worth drawing."""
    values = [corner_values(part, triangles) for part in pixel_space.unbind(2)]
    x, y, depth = values
    area = triangle_areas(x, y)
    drawn = (area > 1e-9 if cull else area.abs() > 1e-9) & (depth.amin(dim=0) > 1e-3)
    for axis in (x, y):
        low, high = (axis.amin(dim=0) - 0.5).ceil(), (axis.amax(dim=0) - 0.5).floor()
        drawn &= (low <= high) & (low < size) & (high >= 0)
    chosen = drawn.view(-1).nonzero().squeeze(1)
    number = torch.div(chosen, drawn.shape[1], rounding_mode="floor")
    parts = [torch.stack([row.index_select(0, chosen) for row in v.flatten(1)]) for v in values]
    return *parts, chosen - number * drawn.shape[1], number


def pixel_boxes(x: Tensor, y: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First column and row, width and height (T,) int64 of the pixels in triangles' bounds."""
    boxes = []
    for axis in (x, y):
        low = (axis.amin(dim=0) - 0.5).ceil().clamp(min=0).long()
        high = (axis.amax(dim=0) - 0.5).floor().clamp(max=size - 1).long()
        boxes.append((low, high - low + 1))
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


def row_spans(
    planes: tuple[Tensor, Tensor, Tensor], depth: Tensor, width: Tensor, height: Tensor
) -> Spans:
    """Which pixels of each row of each triangle's box lie inside it.

    An edge bounds a row on the left where its barycentric grows to the right, else on the right.
    """
    right, down, start = planes
    owner, row = enumerate_items(height)
    at_row = row.to(depth)
    low = torch.zeros_like(at_row)
    high = (width - 1).to(depth).index_select(0, owner)
    for edge in range(3):
        grows = right[edge]
        slope = torch.where(grows == 0, 0.0, -down[edge] / grows)
        limit = torch.where(grows == 0, -torch.inf, (INSIDE - start[edge]) / grows)
        end = torch.addcmul(limit.index_select(0, owner), slope.index_select(0, owner), at_row)
        on_left = (grows >= 0).index_select(0, owner)
        low = torch.where(on_left, torch.maximum(low, end), low)
        high = torch.where(on_left, high, torch.minimum(high, end))
    low = low.ceil()
    count = (high.floor() - low + 1).clamp(min=0).long()
    parts = [(plane / depth).sum(dim=0) for plane in planes]
    step, below, origin = (part.index_select(0, owner) for part in parts)
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
    return [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False) if b > a]


def keep_nearest(
    nearest: Tensor, spans: Spans, first_pixel: Tensor, number: Tensor, size: int
) -> None:
    """Merge spans into ``nearest`` (N H W), keys of inverse depth and triangle number."""
    start = first_pixel.index_select(0, spans.owner) + spans.row * size + spans.first
    span, place = enumerate_items(spans.count)
    pixel = start.index_select(0, span) + place
    step = spans.step.index_select(0, span)
    inverse_depth = torch.addcmul(
        spans.inverse_depth.index_select(0, span), step, place.to(step)
    )
    owner = number.index_select(0, spans.owner).index_select(0, span)
    nearest.scatter_reduce_(0, pixel, ordered_key(inverse_depth, owner), "amax")


def enumerate_items(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For owners with ``counts`` (T,) items each: every item's owner and its place, both (M,)."""
    owners = torch.arange(len(counts), device=counts.device)
    owner = torch.repeat_interleave(owners, counts)
    start = counts.cumsum(0) - counts
    place = torch.arange(len(owner), device=counts.device) - start.index_select(0, owner)
    return owner, place


def ordered_key(value: Tensor, number: Tensor) -> Tensor:
    """int64 keys that order by ``value`` >= 0, float32, then by ``number`` < 2^32.

    The bits of non-negative floats order as integers do.
    """
    bits = value.clamp(min=0).float().contiguous().view(torch.int32).long()
    return (bits << 32) | number


def perspective_barycentrics(
    pixel_space: Tensor, corners: Tensor, pixels: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Barycentrics (P, 3) and depths (P,) at pixels' centres on the triangles they see.

    In the picture the barycentrics over depth are linear, not they themselves.
    """
    points = pixel_space.flatten(0, 1).index_select(0, corners.view(-1)).view(-1, 3, 3)
    # One pixel after another in memory for each coordinate of each corner.
    (x0, x1, x2), (y0, y1, y2), depth = points.permute(2, 1, 0).contiguous()
    place = pixels % (size * size)
    row = torch.div(place, size, rounding_mode="floor")
    x = (place - row * size).to(points) + 0.5
    y = row.to(points) + 0.5
    x0, x1, x2, y0, y1, y2 = x0 - x, x1 - x, x2 - x, y0 - y, y1 - y, y2 - y
    areas = torch.stack((x1 * y2 - y1 * x2, x2 * y0 - y2 * x0, x0 * y1 - y0 * x1))
    shares = areas / depth
    total = shares.sum(dim=0)
    return (shares / total).T.contiguous(), areas.sum(dim=0) / total
