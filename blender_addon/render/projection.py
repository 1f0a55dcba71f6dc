"""Projecting a portrait onto the UVs of its mesh. numpy only.

Points are in the world of the portrait's camera: right-handed, y up, centimetres; the camera
stands at (0, 0, distance) and looks along -z. Pictures have row 0 at the top, textures at the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..protocol import camera, harmonics
from ..protocol.camera import PortraitCamera

DEPTH_TOLERANCE = 0.08  # cm by which a point may lie behind the Depth pass and still be seen: below a lid's thickness
FACING_COSINES = (0.12, 0.45)  # cosine to the view at which a surface begins to count, and counts in full
FACING_POWER = 4  # of the cosine, by which views are blended: the one that a surface faces rules
OPAQUE_ALPHAS = (0.6, 0.98)  # the same for the portrait's alpha
RATIO_BOUNDS = (0.02, 8.0)  # bounds of portrait colour / albedo, so that dark albedo does not explode
MIN_ALBEDO = 0.02
MIN_IRRADIANCE, MAX_GAIN = 0.15, 4.0  # when light is compared between the sides of the head
SMOOTHING = 30  # rounds of averaging over the part that the camera does not see
MARGIN = 8  # texels by which islands grow, so that filtering takes in no empty ones


@dataclass(frozen=True)
class HeadMesh:
    """Triangles of a head in model space with its expression applied."""

    vertices: np.ndarray  # (V, 3) cm
    triangles: np.ndarray  # (T, 3) indices of vertices
    uv: np.ndarray  # (T, 3, 2) of the triangles' corners, 0 to 1, v up
    albedo: np.ndarray  # (V, 3) linear RGB
    twins: np.ndarray  # (V,) the vertex at the mirrored place, itself where there is none


@dataclass(frozen=True)
class Surface:
    """Points on the head, as the portrait's camera sees them."""

    points: np.ndarray  # (N, 3) world, cm
    normals: np.ndarray  # (N, 3) unit


def portrait_texture(
    mesh: HeadMesh, views: list[dict[str, np.ndarray]], light: np.ndarray | None, seen_by: PortraitCamera, size: int
) -> np.ndarray:
    """The portrait as a texture (size, size, 3), scene-linear, row 0 at the bottom.

    ``views``: one or several frames of the same head, "Combined" and "Depth" as the backend makes them, at scale 1
    without a shift, and "placement": yaw, pitch, roll (radians), x, y, z (cm) of the head in it, before ``seen_by``.
    They are blended by how far the surface faces each. ``light`` (9, 3) of the first one; None where there is none in the pictures.
    Where a camera sees the surface the texture is the portrait; where it sees the other side of the head, that, mirrored, in
    this side's light; elsewhere the albedo in the light of the nearest part that is seen, spread over the mesh and thus
    without seams, alike on both sides.
    """
    surfaces = [placed(mesh, np.ravel(view["placement"]).astype(float)) for view in views]
    colour, seen = sample_views(surfaces, views, seen_by)
    gain = np.ones_like(mesh.albedo) if light is None else gain_over_twins(light, surfaces[0].normals, mesh.twins)
    ratio = lit_ratio(mesh, *filled(colour, seen, gain * colour[mesh.twins], seen[mesh.twins]))
    triangle, weights = rasterise_uv(mesh.uv, size, priority=seen[mesh.triangles].mean(axis=1))
    inside = triangle >= 0
    corners = mesh.triangles[triangle[inside]]
    weights = weights[inside].astype(np.float32)
    own, other = (sample_views(texels(surfaces, of, weights), views, seen_by) for of in (corners, mesh.twins[corners]))
    hidden = 1 - mix(seen[:, None], corners, weights)[:, 0]  # of single texels, which a coarse Depth hides, the vertices around know better
    colour, seen = filled(*own, mix(gain, corners, weights) * other[0], hidden * other[1])
    unseen = mix(mesh.albedo, corners, weights) * mix(ratio, corners, weights)
    texture = np.zeros((size, size, 3), dtype=np.float32)
    texture[inside] = unseen + seen[:, None] * (colour - unseen)
    return grow(texture, inside, MARGIN)


def gain_over_twins(light: np.ndarray, normals: np.ndarray, twins: np.ndarray) -> np.ndarray:
    """How much more light (V, 3) reaches each vertex than its twin on the other side of the head."""
    received = np.maximum(harmonics.irradiance(light, normals), MIN_IRRADIANCE)
    return np.clip(received / received[twins], 1 / MAX_GAIN, MAX_GAIN)


def filled(colour: np.ndarray, seen: np.ndarray, other: np.ndarray, other_seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (N, 3) and how much it is known (N,), from the other side of the head as far as that is seen better."""
    more = np.maximum(other_seen - seen, 0)
    total = seen + more
    return (seen[:, None] * colour + more[:, None] * other) / np.maximum(total, 1e-9)[:, None], total


def texels(surfaces: list[Surface], corners: np.ndarray, weights: np.ndarray) -> list[Surface]:
    """Points of triangles, given as vertices (N, 3) and barycentrics (N, 3), as each view sees them."""
    return [Surface(mix(one.points, corners, weights), unit(mix(one.normals, corners, weights))) for one in surfaces]


def placed(mesh: HeadMesh, placement: ArrayLike) -> Surface:
    """The mesh's vertices where the head stands in the world, with smooth normals."""
    angles, place = np.split(np.asarray(placement), [3])
    points = mesh.vertices @ camera.rotation_to_matrix(angles).T + place
    a, b, c = (points[mesh.triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)  # twice the area long: large triangles count for more
    normals = np.zeros_like(points)
    for corner in range(3):
        for axis in range(3):
            sums = np.bincount(mesh.triangles[:, corner], faces[:, axis], minlength=len(points))
            normals[:, axis] += sums
    return Surface(points.astype(np.float32), unit(normals).astype(np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def mix(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values (V, C) at points of triangles, given as vertices (N, 3) and barycentrics (N, 3)."""
    return np.einsum("nk,nkc->nc", weights, values[corners])


def sample_views(surfaces: list[Surface], views: list[dict[str, np.ndarray]], seen_by: PortraitCamera) -> tuple[np.ndarray, np.ndarray]:
    """As ``sample_portrait`` of several views: each counts by how much it sees a point, and how far that faces it."""
    samples = [sample_portrait(surface, view, seen_by) for surface, view in zip(surfaces, views, strict=True)]
    weights = [seen * facing_of(surface, seen_by) ** FACING_POWER for (_, seen), surface in zip(samples, surfaces, strict=True)]
    total = np.maximum(sum(weights), 1e-9)[:, None]
    colour = sum(weight[:, None] * one for weight, (one, _) in zip(weights, samples, strict=True)) / total
    return colour, np.max([seen for _, seen in samples], axis=0)


def facing_of(surface: Surface, seen_by: PortraitCamera) -> np.ndarray:
    """Cosine (N,) between each point's normal and the way to the camera; 0 for what is turned away."""
    to_camera = unit(np.array((0.0, 0.0, seen_by.distance), np.float32) - surface.points)
    return np.maximum((surface.normals * to_camera).sum(axis=1), 0)


def sample_portrait(surface: Surface, frame: dict[str, np.ndarray], seen_by: PortraitCamera) -> tuple[np.ndarray, np.ndarray]:
    """Linear colour (N, 3) of the portrait at these points, and how much each is seen (N,), 0 to 1."""
    depth = seen_by.distance - surface.points[:, 2]
    half_width = depth / seen_by.focal
    place = 0.5 + surface.points[:, :2] / half_width[:, None] * np.array((0.5, -0.5), np.float32)  # from the upper left
    rgba = bilinear(frame["Combined"], place)
    alpha = rgba[:, 3]
    colour = rgba[:, :3] / np.maximum(alpha, 1e-4)[:, None]
    nearest = frame["Depth"][..., 0]
    rows, columns = pixels_at(nearest.shape, place)
    facing = facing_of(surface, seen_by)
    pixel = 2 * half_width / nearest.shape[1]  # cm; the surface may fall away by this much times its slope
    slope = np.sqrt(np.maximum(1 - facing**2, 0)) / np.maximum(facing, FACING_COSINES[0])
    in_front = depth <= nearest[rows, columns] + DEPTH_TOLERANCE + pixel * slope
    covered = nearest[rows, columns] < 1e9
    in_frame = ((place > 0) & (place < 1)).all(axis=1)
    seen = smooth_step(facing, *FACING_COSINES) * smooth_step(alpha, *OPAQUE_ALPHAS)
    return colour, seen * (in_front & covered & in_frame)


def pixels_at(shape: tuple[int, int], place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the pixel that holds each place (N, 2), 0 to 1 from the upper left."""
    rows = np.clip((place[:, 1] * shape[0]).astype(int), 0, shape[0] - 1)
    columns = np.clip((place[:, 0] * shape[1]).astype(int), 0, shape[1] - 1)
    return rows, columns


def bilinear(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) at places (N, 2), 0 to 1 from the upper left corner -> (N, C)."""
    height, width = picture.shape[:2]
    x = np.clip(place[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(place[:, 1] * height - 0.5, 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = picture[top, left] * (1 - across) + picture[top, left + 1] * across
    lower = picture[top + 1, left] * (1 - across) + picture[top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def smooth_step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def lit_ratio(mesh: HeadMesh, colour: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Portrait colour over albedo at each vertex (V, 3); spread over the surface where it is not seen."""
    ratio = np.clip(colour / np.maximum(mesh.albedo, MIN_ALBEDO), *RATIO_BOUNDS)
    known = seen > 0.5
    if not known.any():
        return np.ones_like(ratio)
    mean = ratio[known].mean(axis=0)
    edges = np.concatenate([mesh.triangles[:, (0, 1)], mesh.triangles[:, (1, 2)], mesh.triangles[:, (2, 0)]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    reached = known.copy()
    while True:
        spread, count = average_over(edges, ratio, reached)
        new = ~reached & (count > 0)
        if not new.any():
            break
        ratio[new] = spread[new]
        reached |= new
    ratio[~reached] = mean
    ratio = np.where(known[:, None], ratio, (ratio + ratio[mesh.twins]) / 2)
    for _ in range(SMOOTHING):
        spread, count = average_over(edges, ratio, np.ones_like(known))
        change = ~known & (count > 0)
        ratio[change] = spread[change]
    return ratio


def average_over(edges: np.ndarray, values: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At each vertex the mean (V, C) of its usable neighbours' values, and how many (V,) there are."""
    here, there = edges[usable[edges[:, 1]]].T
    count = np.bincount(here, minlength=len(values))
    sums = [np.bincount(here, values[there, channel], minlength=len(values)) for channel in range(values.shape[1])]
    return np.stack(sums, axis=-1) / np.maximum(count, 1)[:, None], count


def rasterise_uv(uv: np.ndarray, size: int, priority: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which triangle (S, S) covers the centre of each texel, -1 for none, and barycentrics (S, S, 3).

    ``uv``: (T, 3, 2), v up; row 0 of the texture is at the bottom. Where triangles overlap, as the
    front and the back of an eyeball do, the one of higher ``priority`` (T,) gets the texel.
    """
    corners = uv * size - 0.5  # in texels, whole numbers at their centres
    low = np.clip(np.ceil(corners.min(axis=1)), 0, size).astype(int)
    high = np.clip(np.floor(corners.max(axis=1)), -1, size - 1).astype(int)
    extent = np.maximum(high - low + 1, 0)
    counts = extent[:, 0] * extent[:, 1]
    triangle = np.repeat(np.arange(len(uv)), counts)
    nth = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    x = low[triangle, 0] + nth % np.maximum(extent[triangle, 0], 1)
    y = low[triangle, 1] + nth // np.maximum(extent[triangle, 0], 1)
    weights = barycentrics(corners[triangle], x, y)
    inside = np.flatnonzero((weights >= -1e-6).all(axis=1))
    inside = inside[np.argsort(priority[triangle[inside]], kind="stable")]  # the last one written stays
    found, where = np.full((size, size), -1), np.zeros((size, size, 3))
    found[y[inside], x[inside]] = triangle[inside]
    where[y[inside], x[inside]] = weights[inside]
    return found, where


def barycentrics(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Barycentric coordinates (N, 3) of points in triangles (N, 3, 2); -1 in triangles without area."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    flat = np.abs(area) < 1e-12
    area = np.where(flat, 1.0, area)
    beta = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y - a[:, 1])) / area
    gamma = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])) / area
    weights = np.stack((1 - beta - gamma, beta, gamma), axis=-1)
    weights[flat] = -1
    return weights


def grow(texture: np.ndarray, inside: np.ndarray, steps: int) -> np.ndarray:
    """Continue the islands of a texture (S, S, C) by ``steps`` texels into what is not ``inside``."""
    texture, inside = np.pad(texture, ((1, 1), (1, 1), (0, 0))), np.pad(inside, 1)
    rim = np.ones_like(inside)
    rim[1:-1, 1:-1] = False
    for _ in range(steps):
        touched = np.zeros_like(inside)
        touched[1:-1, 1:-1] = inside[:-2, 1:-1] | inside[2:, 1:-1] | inside[1:-1, :-2] | inside[1:-1, 2:]
        y, x = np.nonzero(touched & ~inside & ~rim)
        around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        counts = np.sum([inside[place].astype(np.float32) for place in around], axis=0)
        texture[y, x] = np.sum([texture[place] * inside[place][:, None] for place in around], axis=0) / counts[:, None]
        inside[y, x] = True
    return texture[1:-1, 1:-1]
