"""Batched z-buffer: which triangle each pixel sees and where on it.

Visibility is decided without gradients, by enumerating the pixels in each triangle's bounding box.
Then the barycentrics of the pixels that see something are computed again from their triangles'
three corners, with gradients. All of it is tensor code, the same on CPU and CUDA.

Pixel coordinates: x right, y down from the frame's top left corner; pixel (row, column) has its
centre at (column + 0.5, row + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BACKGROUND_DEPTH = 1e10  # cm
CANDIDATES = 4_000_000  # pixels tested at once, about 90 bytes each
INSIDE = -1e-5  # tolerance of the barycentrics, so that rounding opens no gap between triangles


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
        rows = attributes.flatten(0, 1).index_select(0, self.corners.view(-1))
        return (rows.view(-1, 3, rows.shape[1]) * self.weights.unsqueeze(2)).sum(dim=1)


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


def signed_areas(points: Tensor) -> Tensor:
    """Twice the signed areas (…) of triangles (…, 3, 2+) in pixels; positive faces the camera."""
    x, y = points[..., 0], points[..., 1]
    first = (x[..., 1] - x[..., 0]) * (y[..., 2] - y[..., 0])
    return (x[..., 2] - x[..., 0]) * (y[..., 1] - y[..., 0]) - first


def visible_triangles(pixel_space: Tensor, triangles: Tensor, size: int, cull: bool) -> Tensor:
    """Nearest triangle (N, H, W) int64 at each pixel's centre, -1 for none."""
    frames = pixel_space.shape[0]
    points = pixel_space.index_select(1, triangles.view(-1)).view(-1, 3, 3)
    boxes, drawn = pixel_boxes(points, size, cull)
    points, boxes = points.index_select(0, drawn), boxes.index_select(0, drawn)
    planes = screen_planes(points, boxes)
    frame = drawn // triangles.shape[0]
    first_pixel = (frame * size + boxes[:, 1]) * size + boxes[:, 0]
    number = drawn - frame * triangles.shape[0]
    nearest = torch.full((frames * size * size,), -1, dtype=torch.int64, device=points.device)
    for part in chunks(boxes[:, 2] * boxes[:, 3]):
        keep_nearest(nearest, planes[part], boxes[part], first_pixel[part], number[part], size)
    seen = torch.where(nearest < 0, nearest, nearest & 0xFFFFFFFF)
    return seen.view(frames, size, size)


def pixel_boxes(points: Tensor, size: int, cull: bool) -> tuple[Tensor, Tensor]:
    """Boxes (T, 4) int64 of the pixel centres in triangles' bounds, and which (D,) to draw.

    A box is column, row, width, height.
    """
    low = (points[:, :, :2].amin(dim=1) - 0.5).ceil().clamp(0, size)
    high = (points[:, :, :2].amax(dim=1) - 0.5).floor().clamp(-1, size - 1)
    extent = high - low + 1
    area = signed_areas(points)
    faces = area > 1e-9 if cull else area.abs() > 1e-9
    drawn = faces & (extent > 0).all(dim=1) & (points[:, :, 2] > 1e-3).all(dim=1)
    boxes = torch.cat((low, extent), dim=1).nan_to_num(0.0).long()
    return boxes, drawn.nonzero().squeeze(1)


def screen_planes(points: Tensor, boxes: Tensor) -> Tensor:
    """(T, 12): three barycentrics and the inverse depth as planes over the screen.

    Columns 0–3 are the change per pixel right, 4–7 per pixel down, 8–11 the value at the centre of
    the box's first pixel.
    """
    corner = points[:, :, :2] - (boxes[:, None, :2].to(points) + 0.5)
    x, y = corner.unbind(2)
    following, last = (1, 2, 0), (2, 0, 1)
    right = y[:, following] - y[:, last]
    down = x[:, last] - x[:, following]
    start = x[:, following] * y[:, last] - y[:, following] * x[:, last]
    planes = torch.stack((right, down, start), dim=1) / start.sum(dim=1)[:, None, None]
    inverse_depth = (planes / points[:, None, :, 2]).sum(dim=2, keepdim=True)
    return torch.cat((planes, inverse_depth), dim=2).flatten(1)


def chunks(counts: Tensor) -> list[slice]:
    """Cut triangles of ``counts`` (T,) candidates into runs of about ``CANDIDATES``."""
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    if total <= CANDIDATES:
        return [slice(0, len(counts))] if total else []
    goals = torch.arange(CANDIDATES, total, CANDIDATES, device=ends.device)
    cuts = torch.searchsorted(ends, goals).tolist()
    bounds = [0, *cuts, len(counts)]
    return [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False) if b > a]


def keep_nearest(
    nearest: Tensor, planes: Tensor, boxes: Tensor, first_pixel: Tensor, number: Tensor, size: int
) -> None:
    """Merge triangles into ``nearest`` (N H W), keys of inverse depth and triangle number."""
    counts = boxes[:, 2] * boxes[:, 3]
    owner, place = enumerate_items(counts)
    width = boxes[:, 2].index_select(0, owner)
    down = torch.div(place, width, rounding_mode="floor")
    right = place - down * width
    plane = planes.index_select(0, owner)
    values = torch.addcmul(plane[:, 8:], plane[:, :4], right.to(plane).unsqueeze(1))
    values.addcmul_(plane[:, 4:8], down.to(plane).unsqueeze(1))
    first, second, third, inverse_depth = values.unbind(1)
    inside = torch.minimum(torch.minimum(first, second), third) >= INSIDE
    hit = inside.nonzero().squeeze(1)
    owner = owner.index_select(0, hit)
    pixel = first_pixel.index_select(0, owner) + (down * size + right).index_select(0, hit)
    key = ordered_key(inverse_depth.index_select(0, hit), number.index_select(0, owner))
    nearest.scatter_reduce_(0, pixel, key, "amax")


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
    place = pixels % (size * size)
    column, row = place % size, torch.div(place, size, rounding_mode="floor")
    x = points[..., 0] - (column + 0.5).to(points).unsqueeze(1)
    y = points[..., 1] - (row + 0.5).to(points).unsqueeze(1)
    following, last = (1, 2, 0), (2, 0, 1)
    areas = x[:, following] * y[:, last] - y[:, following] * x[:, last]
    shares = areas / points[..., 2]
    total = shares.sum(dim=1)
    return shares / total.unsqueeze(1), areas.sum(dim=1) / total
