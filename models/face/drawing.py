"""Our head's own topology: quads drawn in the flat chart of the face, and the parts around it.

A rectilinear grid covers the chart; around each eye and the mouth a rectangular block of it is
replaced by nested rings (an O-grid) that end on the measured lid and lip edges, so every face is a
quad and edge loops run round eyes and mouth. A second grid of the same size, sewn to the left,
right and top edge of the first, is the back of the head. Everything here is numpy and knows
positions in the chart only; ``head.py`` turns them into space.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Resolution:
    """How many cells the chart gets between the lines that bound eyes, nose and mouth."""

    u_half: tuple[int, ...]  # cells of 0–.12 (ear), .12–.30 (cheek), .30–.37, .37–.405 (eye), .405–.5 (nose)
    v: tuple[int, ...]  # neck–.35, .35–.52 (mouth), .52–.62 (nose), .62–.69, .69–.745 (eye), .745–top
    eye_rings: int
    lip_rings: tuple[int, int, int]  # block edge → outer lip line → inner lip line → end of the lip
    eyeball_segments: int
    tooth_cells: int  # cells along a tooth's edge


FULL = Resolution((9, 7, 7, 3, 8), (11, 12, 9, 5, 6, 12), 5, (3, 3, 2), 20, 2)
PROXY = Resolution((3, 3, 3, 1, 3), (4, 4, 3, 2, 2, 5), 2, (1, 1, 1), 8, 1)

U_BREAKS = (0.0, 0.12, 0.295, 0.37, 0.405, 0.5)
V_BREAKS = (0.003, 0.35, 0.52, 0.62, 0.69, 0.745, 0.996)


@dataclass
class Sheet:
    """Points (P, 2) of a flat sheet, its quads (Q, 4) counter-clockwise, and the rings that bound holes."""

    points: np.ndarray
    quads: np.ndarray
    grid: np.ndarray  # (rows, columns) vertex index, -1 where a block was cut out
    holes: dict[str, np.ndarray] = field(default_factory=dict)  # vertex indices of each hole's edge, in order


def grid_lines(resolution: Resolution) -> tuple[np.ndarray, np.ndarray]:
    """The chart's u and v lines; u is symmetric about 0.5."""
    half = subdivide(U_BREAKS, resolution.u_half)
    u = np.concatenate((half, 1 - half[-2::-1]))
    return u, subdivide(V_BREAKS, resolution.v)


def subdivide(breaks, counts) -> np.ndarray:
    """Positions that divide each interval between ``breaks`` into ``counts`` equal cells."""
    pieces = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(breaks[:-1], breaks[1:], counts, strict=True)]
    return np.concatenate([*pieces, [breaks[-1]]])


def grid_quads(index: np.ndarray) -> np.ndarray:
    """Counter-clockwise quads (Q, 4) of an index grid (rows upward, columns rightward)."""
    cells = (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1])
    return np.stack(cells, axis=-1).reshape(-1, 4)


def ring_quads(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Quads between two rings of equal length that run counter-clockwise, seen from outside."""
    return np.stack((outer, np.roll(outer, -1), np.roll(inner, -1), inner), axis=-1)


def warp_to_outline(points: np.ndarray, outline: np.ndarray, margin: float = 0.12) -> np.ndarray:
    """Move the grid's straight sides onto the chart's real outline (ears bulge, notches above and below)."""
    left = outline[outline[:, 0] < 0.3]
    order = np.argsort(left[:, 1])
    edge = np.minimum(np.interp(points[:, 1], left[order, 1], left[order, 0]), 0.8 * margin)
    u, warped = points[:, 0], points.copy()
    right = u > 0.5
    distance = np.where(right, 1 - u, u)
    moved = np.where(distance < margin, edge + distance / margin * (margin - edge), distance)
    warped[:, 0] = np.where(right, 1 - moved, moved)
    return warped


def arcs(curve: np.ndarray, centre_u: float) -> list[np.ndarray]:
    """Split a closed curve into its four arcs left → bottom → right → top → left (counter-clockwise)."""
    area = np.sum(curve[:, 0] * np.roll(curve[:, 1], -1) - np.roll(curve[:, 0], -1) * curve[:, 1])
    curve = curve if area > 0 else curve[::-1]
    middle = (curve[:, 1].max() + curve[:, 1].min()) / 2
    side = 1e-3 * np.abs(curve[:, 1] - middle)
    near_middle = np.abs(curve[:, 0] - centre_u)
    left = np.argmin(curve[:, 0] + side)
    right = np.argmin(-curve[:, 0] + side)
    bottom = np.argmin(near_middle + 10 * (curve[:, 1] > middle))
    top = np.argmin(near_middle + 10 * (curve[:, 1] < middle))
    anchors = [left, bottom, right, top, left]
    pieces = []
    for a, b in zip(anchors[:-1], anchors[1:], strict=True):
        count = (b - a) % len(curve)
        pieces.append(curve[(a + np.arange(count + 1)) % len(curve)])
    return pieces


def arc_parameters(curve: np.ndarray) -> np.ndarray:
    """Arc length along an open curve, 0–1."""
    length = np.concatenate(([0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))))
    return length / length[-1]


def resample(curve_arcs: list[np.ndarray], parameters: list[np.ndarray]) -> np.ndarray:
    """Points on each arc at the given 0–1 arc lengths (the arc's end belongs to the next arc)."""
    rows = []
    for arc, t in zip(curve_arcs, parameters, strict=True):
        s = arc_parameters(arc)
        rows.append(np.stack((np.interp(t, s, arc[:, 0]), np.interp(t, s, arc[:, 1])), axis=-1))
    return np.concatenate(rows)


def block_perimeter(index: np.ndarray) -> np.ndarray:
    """Vertex indices round a block of the grid, counter-clockwise, from the middle of its left side."""
    rows = index.shape[0]
    left, right = index[::-1, 0], index[:, -1]
    loop = np.concatenate((left[:-1], index[0, :-1], right[:-1], index[-1, :0:-1]))
    return np.roll(loop, -((rows - 1) // 2))


def chart_sheet(resolution: Resolution, figures: dict) -> Sheet:
    """The face: grid, outline and the O-grids round eyes and mouth."""
    u, v = grid_lines(resolution)
    grid = np.arange(len(u) * len(v)).reshape(len(v), len(u))
    points = np.stack(np.broadcast_arrays(u[None, :], v[:, None]), axis=-1).reshape(-1, 2)
    points = warp_to_outline(points, figures["loop_outer"].astype(float))
    keep_quads = np.ones((len(v) - 1, len(u) - 1), bool)
    landmarks = figures["landmark68_chart"].astype(float)
    lips = (landmarks[48:60], landmarks[60:68])
    plan = {
        "eye_R": ((0.295, 0.405), (0.69, 0.745), [figures["loop_right_eye"]], [resolution.eye_rings]),
        "eye_L": ((0.595, 0.705), (0.69, 0.745), [figures["loop_left_eye"]], [resolution.eye_rings]),
        "mouth": ((0.37, 0.63), (0.35, 0.52), [*lips, figures["loop_mouth"]], list(resolution.lip_rings)),
    }
    extra_points, extra_quads, holes, used = [], [], {}, len(points)
    for name, (u_range, v_range, curves, counts) in plan.items():
        columns = [int(np.argmin(np.abs(u - value))) for value in u_range]
        rows = [int(np.argmin(np.abs(v - value))) for value in v_range]
        block = grid[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1].copy()
        keep_quads[rows[0] : rows[1], columns[0] : columns[1]] = False
        perimeter = block_perimeter(block)
        ring_points, ring_loops, quads = nested_rings(points[perimeter], perimeter, curves, counts, used)
        used += len(ring_points)
        extra_points.append(ring_points)
        extra_quads.append(quads)
        holes[name] = ring_loops
        grid[rows[0] + 1 : rows[1], columns[0] + 1 : columns[1]] = -1
    full = np.arange(len(u) * len(v)).reshape(len(v), len(u))
    quads = np.concatenate([grid_quads(full)[keep_quads.ravel()], *extra_quads])
    return compact(Sheet(np.concatenate([points, *extra_points]), quads, grid, holes))


def nested_rings(edge: np.ndarray, edge_index: np.ndarray, curves, counts, first_index: int):
    """Rings from a block's perimeter inward through ``curves``; returns points, the last ring's indices, quads."""
    centre_u = float(np.mean([edge[:, 0].min(), edge[:, 0].max()]))
    edge_arcs = arcs(edge, centre_u)
    parameters = [arc_parameters(arc)[:-1] for arc in edge_arcs]
    start = len(edge) - int(np.argmin(np.linalg.norm(edge - edge_arcs[0][0], axis=1)))
    points, quads, previous, outer = [], [], edge_index, edge
    for curve, count in zip(curves, counts, strict=True):
        target = np.roll(resample(arcs(np.asarray(curve, float), centre_u), parameters), -start, axis=0)
        for step in range(1, count + 1):
            ring = first_index + sum(map(len, points)) + np.arange(len(edge))
            points.append(outer + (target - outer) * (step / count))
            quads.append(ring_quads(previous, ring))
            previous = ring
        outer = target
    return np.concatenate(points), previous, np.concatenate(quads)


def compact(sheet: Sheet) -> Sheet:
    """Drop the vertices inside the cut-out blocks."""
    used = np.unique(sheet.quads)
    new = np.full(len(sheet.points), -1)
    new[used] = np.arange(len(used))
    grid = np.where(sheet.grid >= 0, new[sheet.grid], -1)
    return Sheet(sheet.points[used], new[sheet.quads], grid, {k: new[v] for k, v in sheet.holes.items()})


def snap_landmarks(points: np.ndarray, landmarks: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Move the nearest free vertex onto each landmark (in place); returns their indices (68,)."""
    taken = ~free.copy()
    chosen = np.zeros(len(landmarks), int)
    for i, landmark in enumerate(landmarks):
        distance = np.linalg.norm(points - landmark, axis=1) + 10 * taken
        chosen[i] = int(np.argmin(distance))
        taken[chosen[i]] = True
        points[chosen[i]] = landmark
    return chosen


def sphere(segments: int, angles_degrees) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere with its first pole at +z: rings at the given angles from that pole; (P, 3), quads (Q, 4).

    The poles are rings of coincident vertices, which keeps every face a quad.
    """
    theta = np.radians(np.asarray(angles_degrees, float))[:, None]
    phi = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None, :]
    parts = (np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) * np.ones_like(phi))
    index = np.arange(theta.size * segments).reshape(theta.size, segments)
    quads = [ring_quads(index[row + 1], index[row]) for row in range(theta.size - 1)]
    return np.stack(parts, axis=-1).reshape(-1, 3), np.concatenate(quads)


def rounded_box(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """A cube [-1, 1]³ of ``cells``² quads a side with softened edges; points (P, 3), quads (Q, 4) facing out."""
    steps = np.linspace(-1, 1, cells + 1)
    corners, quads, lookup = [], [], {}

    def vertex(point):
        key = tuple(np.round(point, 6))
        if key not in lookup:
            lookup[key] = len(corners)
            corners.append(point)
        return lookup[key]

    for axis in range(3):
        for sign in (-1.0, 1.0):
            others = [(axis + 1) % 3, (axis + 2) % 3]
            index = np.zeros((cells + 1, cells + 1), int)
            for a, value_a in enumerate(steps):
                for b, value_b in enumerate(steps):
                    point = np.zeros(3)
                    point[axis], point[others[0]], point[others[1]] = sign, value_a, value_b
                    index[b, a] = vertex(point)
            face = grid_quads(index)
            quads.append(face if sign > 0 else face[:, ::-1])
    points = np.array(corners)
    edges = (np.abs(points) > 0.99).sum(axis=1) - 1
    return points * (1 - 0.13 * np.maximum(edges, 0))[:, None], np.concatenate(quads)
