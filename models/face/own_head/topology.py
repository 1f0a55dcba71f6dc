"""Our head's own topology: quads drawn in the flat chart of the face, and the parts around it.

A rectilinear grid covers the chart; around each eye, each nostril and the mouth a rectangular block
of it is replaced by nested rings (an O-grid), so every face is a quad and edge loops run round eyes,
nose and mouth. Eyes and mouth end on the measured lid and lip edges, the nostrils in a small grid. A
second grid of the same size, sewn to the left, right and top edge of the first, is the back of the
head. Everything here is numpy and knows positions in the chart only; ``head.py`` turns them into space.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Resolution:
    """How many cells the chart gets between the lines that bound eyes, nose and mouth."""

    u_half: tuple[int, ...]  # cells between U_BREAKS
    v: tuple[int, ...]  # cells between V_BREAKS
    lid_rings: tuple[int, int]  # block edge → lash line → end of the lid
    lip_rings: tuple[int, int, int]  # block edge → outer lip line → inner lip line → end of the lip
    nostril_rings: int
    back_columns: int  # vertices from the face's edge to the middle of the back of the head
    eyeball_segments: int
    tooth_cells: int  # cells along a tooth's edge


FULL = Resolution((12, 8, 7, 4, 2, 5, 2), (10, 14, 2, 4, 9, 7, 12), (6, 2), (5, 4, 2), 4, 19, 20, 2)
PROXY = Resolution((3, 3, 3, 2, 1, 2, 1), (5, 5, 1, 2, 3, 3, 4), (2, 1), (2, 1, 1), 1, 8, 8, 1)

U_BREAKS = (0.0, 0.12, 0.2875, 0.37, 0.4135, 0.4335, 0.4855, 0.5)  # ear, cheek, eye in three, nostril, septum
V_BREAKS = (0.025, 0.32, 0.52, 0.5415, 0.5735, 0.685, 0.752, 0.996)  # neck, mouth, lip, nostril, nose, eye, forehead
EYE_BLOCK = ((0.2875, 0.4135), (0.685, 0.752))
MOUTH_BLOCK = ((0.37, 0.63), (0.32, 0.52))
NOSTRIL_BLOCK = ((0.4335, 0.4855), (0.5415, 0.5735))
NECK_SIDE, NECK_TOP = 0.078, 0.456  # u of the face's edge below the ear lobe, and the lobe's v
NECK_MARGIN = 0.12  # how much further in the grid gives way there
LASH_POINTS = ((0.3875, 0.7203), (0.3190, 0.7140))  # beside the inner and the outer corner of the right eye
NOSTRIL_DEPTH = 0.13  # the innermost ring's size over the block's: there the nostril's cap begins


@dataclass
class Sheet:
    """Points (P, 2) of a flat sheet, its quads (Q, 4) counter-clockwise, and the rings that run round holes."""

    points: np.ndarray
    quads: np.ndarray
    grid: np.ndarray  # (rows, columns) vertex index, -1 where a block was cut out
    rings: dict[str, np.ndarray] = field(default_factory=dict)  # (R, n) vertices round each hole, its edge last


def grid_lines(resolution: Resolution) -> tuple[np.ndarray, np.ndarray]:
    """The chart's u and v lines; u is symmetric about 0.5."""
    half = subdivide(U_BREAKS, resolution.u_half)
    u = np.concatenate((half, 1 - half[-2::-1]))
    return u, subdivide(V_BREAKS, resolution.v)


def subdivide(breaks: Sequence[float], counts: Sequence[int]) -> np.ndarray:
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
    """Move the grid's straight sides onto the chart's real outline (ears bulge, notches above and below).

    Below the ear the face ends at ``NECK_SIDE``: the chart's corner behind it would make the back's grid fold.
    """
    left = outline[outline[:, 0] < 0.3]
    order = np.argsort(left[:, 1])
    edge = np.minimum(np.interp(points[:, 1], left[order, 1], left[order, 0]), 0.8 * margin)
    edge = np.where(points[:, 1] < NECK_TOP, np.maximum(edge, NECK_SIDE), edge)
    below = np.clip((NECK_TOP - points[:, 1]) / 0.15, 0, 1)
    reach = margin + NECK_MARGIN * below * below * (3 - 2 * below)
    u, warped = points[:, 0], points.copy()
    right = u > 0.5
    distance = np.where(right, 1 - u, u)
    moved = np.where(distance < reach, edge + distance / reach * (reach - edge), distance)
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
    for a, b in itertools.pairwise(anchors):
        count = (b - a) % len(curve)
        pieces.append(curve[(a + np.arange(count + 1)) % len(curve)])
    return pieces


def arc_parameters(curve: np.ndarray) -> np.ndarray:
    """Arc length along an open curve, 0–1."""
    length = np.concatenate(([0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))))
    return length / length[-1]


def resample(curve_arcs: list[np.ndarray], parameters: list[np.ndarray], marks: np.ndarray) -> np.ndarray:
    """Points on each arc at the given 0–1 arc lengths, slid along it so that one meets each of ``marks`` (M, 2).

    The arc's end belongs to the next arc. Marks off the curve and at the arcs' ends do not count.
    """
    rows = []
    for arc, t in zip(curve_arcs, parameters, strict=True):
        s = arc_parameters(arc)
        distance = np.linalg.norm(arc[:, None] - marks[None], axis=-1).reshape(len(arc), len(marks))
        met = [(s[row], t[np.argmin(np.abs(t - s[row]))]) for row in distance.argmin(axis=0)]
        met = [pair for pair, near in zip(met, distance.min(axis=0), strict=True) if near < 2e-3 and 0.01 < pair[0] < 0.99 and pair[1] > 0]
        knots = np.array(sorted({(0.0, 0.0), (1.0, 1.0), *((b, a) for a, b in met)}))
        t = np.interp(t, knots[:, 0], knots[:, 1])
        rows.append(np.stack((np.interp(t, s, arc[:, 0]), np.interp(t, s, arc[:, 1])), axis=-1))
    return np.concatenate(rows)


def smooth_loop(points: np.ndarray, corners: tuple[int, int], samples: int = 24) -> np.ndarray:
    """A dense closed curve (n, 2) through the points (m, 2), smooth but at two corners (cubic by chord length)."""
    first, second = corners
    around = np.arange(len(points))
    halves = [np.roll(around, -first)[: second - first + 1], np.roll(around, -second)[: len(points) - second + first + 1]]
    pieces = []
    for half in halves:
        nodes = points[half]
        s = np.concatenate(([0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))))
        tangent = np.gradient(nodes, s, axis=0)
        k = np.repeat(np.arange(len(s) - 1), samples)
        r = np.tile(np.arange(samples) / samples, len(s) - 1)[:, None]
        h = (s[k + 1] - s[k])[:, None]
        hermite = (2 * r**3 - 3 * r**2 + 1) * nodes[k] + (r**3 - 2 * r**2 + r) * h * tangent[k]
        pieces.append(hermite + (3 * r**2 - 2 * r**3) * nodes[k + 1] + (r**3 - r**2) * h * tangent[k + 1])
    return np.concatenate(pieces)


def block_perimeter(index: np.ndarray) -> np.ndarray:
    """Vertex indices round a block of the grid, counter-clockwise, from the middle of its left side."""
    rows = index.shape[0]
    left, right = index[::-1, 0], index[:, -1]
    loop = np.concatenate((left[:-1], index[0, :-1], right[:-1], index[-1, :0:-1]))
    return np.roll(loop, -((rows - 1) // 2))


def lash_line(marks: np.ndarray) -> np.ndarray:
    """The right eye's lash line (n, 2) through its six landmarks, kept outside the lid's inner edge between them."""
    return smooth_loop(np.insert(marks, [3, 6], LASH_POINTS, axis=0), (0, 4))


def ring_plan(resolution: Resolution, figures: dict) -> dict[str, tuple]:
    """Name -> (block of the chart, curves inward, steps to each curve) of each O-grid that ends in a hole."""
    marks = figures["landmark68_chart"].astype(float)
    lashes = {"R": lash_line(marks[36:42]), "L": lash_line(marks[42:48][[3, 2, 1, 0, 5, 4]] * [-1, 1] + [1, 0]) * [-1, 1] + [1, 0]}
    mirrored = tuple(1 - u for u in EYE_BLOCK[0][::-1])
    lips = [smooth_loop(marks[48:60], (0, 6)), smooth_loop(marks[60:68], (0, 4)), figures["loop_mouth"]]
    return {
        "eye_R": (EYE_BLOCK, [lashes["R"], figures["loop_right_eye"]], resolution.lid_rings),
        "eye_L": ((mirrored, EYE_BLOCK[1]), [lashes["L"], figures["loop_left_eye"]], resolution.lid_rings),
        "mouth": (MOUTH_BLOCK, lips, resolution.lip_rings),
    }


def chart_sheet(resolution: Resolution, figures: dict) -> Sheet:
    """The face: grid, outline and the O-grids round eyes, mouth and nostrils."""
    u, v = grid_lines(resolution)
    marks = figures["landmark68_chart"].astype(float)
    grid = np.arange(len(u) * len(v)).reshape(len(v), len(u))
    points = np.stack(np.broadcast_arrays(u[None, :], v[:, None]), axis=-1).reshape(-1, 2)
    block_of = lambda block: (
        slice(*(int(np.argmin(np.abs(v - value))) + step for value, step in zip(block[1], (0, 1), strict=True))),
        slice(*(int(np.argmin(np.abs(u - value))) + step for value, step in zip(block[0], (0, 1), strict=True))),
    )
    plan = ring_plan(resolution, figures)
    inner = [grid[block_of(block)][1:-1, 1:-1].ravel() for block, *_ in plan.values()]
    points = warp_to_outline(points, figures["loop_outer"].astype(float))
    points = warp_to_marks(points, marks[:36], np.concatenate((*inner, grid[[0, -1]].ravel(), grid[:, [0, -1]].ravel())))
    keep_quads = np.ones((len(v) - 1, len(u) - 1), bool)
    pieces, quads, rings = [points], [], {}
    for name, (block, curves, counts) in plan.items():
        rows, columns = block_of(block)
        keep_quads[rows.start : rows.stop - 1, columns.start : columns.stop - 1] = False
        perimeter = block_perimeter(grid[rows, columns])
        used = sum(map(len, pieces))
        ring_points, rings[name], ring = nested_rings(points[perimeter], perimeter, curves, counts, used, marks)
        pieces.append(ring_points)
        quads.append(ring)
    mirrored = (tuple(1 - value for value in NOSTRIL_BLOCK[0][::-1]), NOSTRIL_BLOCK[1])
    for block in (NOSTRIL_BLOCK, mirrored):
        rows, columns = block_of(block)
        keep_quads[rows.start : rows.stop - 1, columns.start : columns.stop - 1] = False
        index = grid[rows, columns]
        nostril, cap = nostril_rings(points, index, resolution.nostril_rings, sum(map(len, pieces)))
        pieces.append(nostril)
        quads += cap
    full = np.arange(len(u) * len(v)).reshape(len(v), len(u))
    return compact(Sheet(np.concatenate(pieces), np.concatenate([grid_quads(full)[keep_quads.ravel()], *quads]), grid, rings))


def warp_to_marks(points: np.ndarray, marks: np.ndarray, fixed: np.ndarray, radius: float = 0.018) -> np.ndarray:
    """Move the nearest free point onto each mark and its neighbours along with it, as smoothly as Gaussians go."""
    free = np.setdiff1d(np.arange(len(points)), fixed)
    chosen = free[np.linalg.norm(points[free][:, None] - marks[None], axis=-1).argmin(axis=0)]
    chosen, first = np.unique(chosen, return_index=True)
    kernel = lambda a, b: np.exp(-0.5 * np.sum((a[:, None] - b[None]) ** 2, axis=-1) / radius**2)
    nodes = points[chosen]
    weights = np.linalg.solve(kernel(nodes, nodes) + 1e-6 * np.eye(len(nodes)), marks[first] - nodes)
    warped = points.copy()
    warped[free] += kernel(points[free], nodes) @ weights
    return warped


def nested_rings(
    edge: np.ndarray, edge_index: np.ndarray, curves: Sequence[np.ndarray], counts: Sequence[int], first_index: int, marks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rings from a block's perimeter inward through ``curves``; returns points, the rings' indices (R, n), quads.

    Steps grow shorter toward the first curve, where the surface bends most; each ring but the first has
    a vertex at every one of ``marks`` that lies on its curve.
    """
    centre_u = float(np.mean([edge[:, 0].min(), edge[:, 0].max()]))
    edge_arcs = arcs(edge, centre_u)
    parameters = [arc_parameters(arc)[:-1] for arc in edge_arcs]
    start = len(edge) - int(np.argmin(np.linalg.norm(edge - edge_arcs[0][0], axis=1)))
    points: list[np.ndarray] = []
    quads, previous, outer = [], edge_index, edge
    for number, (curve, count) in enumerate(zip(curves, counts, strict=True)):
        target = np.roll(resample(arcs(np.asarray(curve, float), centre_u), parameters, marks), -start, axis=0)
        for step in range(1, count + 1):
            share = 1 - (1 - step / count) ** 1.35 if number == 0 else step / count
            ring = first_index + sum(map(len, points)) + np.arange(len(edge))
            points.append(outer + (target - outer) * share)
            quads.append(ring_quads(previous, ring))
            previous = ring
        outer = target
    rings = first_index + np.arange(sum(map(len, points))).reshape(-1, len(edge))
    return np.concatenate(points), rings, np.concatenate(quads)


def nostril_rings(points: np.ndarray, index: np.ndarray, count: int, first_index: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rings from a block's perimeter toward its centre and the block itself, small, as a cap; points and quads.

    The measured nostril is drawn into a small spot of the chart, so rings shrink by one factor.
    """
    perimeter = block_perimeter(index)
    centre = points[perimeter].mean(axis=0)
    rings: list[np.ndarray] = []
    quads, previous = [], perimeter
    for step in range(1, count):
        ring = first_index + sum(map(len, rings)) + np.arange(len(perimeter))
        rings.append(centre + (points[perimeter] - centre) * NOSTRIL_DEPTH ** (step / count))
        quads.append(ring_quads(previous, ring))
        previous = ring
    cap = first_index + sum(map(len, rings)) + np.arange(index.size).reshape(index.shape)
    rings.append(centre + (points[index].reshape(-1, 2) - centre) * NOSTRIL_DEPTH)
    quads += [ring_quads(previous, block_perimeter(cap)), grid_quads(cap)]
    return np.concatenate(rings), quads


def compact(sheet: Sheet) -> Sheet:
    """Drop the vertices inside the cut-out blocks."""
    used = np.unique(sheet.quads)
    new = np.full(len(sheet.points), -1)
    new[used] = np.arange(len(used))
    grid = np.where(sheet.grid >= 0, new[sheet.grid], -1)
    return Sheet(sheet.points[used], new[sheet.quads], grid, {name: new[rings] for name, rings in sheet.rings.items()})


def snap(points: np.ndarray, marks: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Move the nearest vertex onto each of ``marks`` (M, 2), in place, no vertex twice; returns their indices (M,)."""
    distance = np.linalg.norm(points[None] - marks[:, None], axis=-1)
    distance[:, fixed] = np.inf
    chosen = np.zeros(len(marks), int)
    for i in np.argsort(distance.min(axis=1), kind="stable"):
        chosen[i] = int(np.argmin(distance[i]))
        distance[:, chosen[i]] = np.inf
    points[chosen] = marks
    return chosen


def back_grid(grid: np.ndarray, columns: int, first_index: int) -> np.ndarray:
    """Vertex indices (n, columns) of the back of the head, for the face's ``grid``.

    Its first column is the face's edge from the left lower corner over the top to the right lower corner;
    its last column is sewn to itself along the middle of the back.
    """
    edge = np.concatenate((grid[:-1, -1], grid[-1, ::-1], grid[-2::-1, 0]))
    if len(edge) % 2 == 0:
        raise ValueError("the face's edge must have a vertex in its middle")
    half = len(edge) // 2
    index = np.empty((len(edge), columns), int)
    index[:, 0] = edge
    inner = len(edge) * (columns - 2)
    index[:, 1:-1] = first_index + np.arange(inner).reshape(len(edge), -1)
    middle = first_index + inner + np.arange(half + 1)
    index[:, -1] = np.concatenate((middle, middle[-2::-1]))
    return index


def nearest_vertices(points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The vertex (M,) nearest to each mark; no vertex twice."""
    distance = np.linalg.norm(points[None] - marks[:, None], axis=-1)
    chosen = np.zeros(len(marks), int)
    for i in np.argsort(distance.min(axis=1), kind="stable"):
        chosen[i] = int(np.argmin(distance[i]))
        distance[:, chosen[i]] = np.inf
    return chosen


def zip_quads(ring: np.ndarray) -> np.ndarray:
    """Quads (n / 2 − 1, 4) that close a ring of n vertices, n even, from one side to the other like a zip."""
    half = len(ring) // 2
    there, back = ring[:half], ring[: half - 1 : -1]
    return np.stack((there[:-1], there[1:], back[1:], back[:-1]), axis=-1)


def sphere(segments: int, angles_degrees: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit sphere with its first pole at +z: rings at the given angles from that pole, a small grid at each pole.

    Points (P, 3), quads (Q, 4) facing out, and which quads (Q,) are the cap behind. ``segments`` is a multiple of 4.
    """
    side = segments // 4
    loop = block_perimeter(np.arange((side + 1) ** 2).reshape(side + 1, side + 1))
    steps = np.linspace(-1, 1, side + 1)
    square = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    around = np.arctan2(square[loop, 1], square[loop, 0])
    theta = np.radians(np.asarray(angles_degrees, float))
    ring = lambda angle: np.stack(
        (np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.full(segments, np.cos(angle))), axis=-1
    )
    points = [ring(angle) for angle in theta]
    index = np.arange(len(theta) * segments).reshape(len(theta), segments)
    quads = [ring_quads(index[row + 1], index[row]) for row in range(len(theta) - 1)]
    inner = np.setdiff1d(np.arange(len(square)), loop)
    for angle, edge in ((theta[0], index[0]), (theta[-1], index[-1])):
        lookup = np.empty(len(square), int)
        lookup[loop], lookup[inner] = edge, sum(map(len, points)) + np.arange(len(inner))
        reach = np.sin(angle) * disc(square[inner])
        points.append(np.column_stack((reach, np.sign(np.cos(angle)) * np.sqrt(1 - np.sum(reach**2, axis=1)))))
        cap = lookup[grid_quads(np.arange(len(square)).reshape(side + 1, side + 1))]
        quads.append(cap if np.cos(angle) > 0 else cap[:, ::-1])
    faces = np.concatenate(quads)
    return np.concatenate(points), faces, np.arange(len(faces)) >= len(faces) - side * side


def disc(square: np.ndarray) -> np.ndarray:
    """Points of the square [-1, 1]² as points of the unit disc (n, 2): concentric squares become circles."""
    reach = np.abs(square).max(axis=1, keepdims=True)
    return square / np.maximum(np.linalg.norm(square, axis=1, keepdims=True), 1e-9) * reach


def rounded_box(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """A cube [-1, 1]³ of ``cells``² quads a side with softened edges; points (P, 3), quads (Q, 4) facing out."""
    steps = np.linspace(-1, 1, cells + 1)
    corners: list[np.ndarray] = []
    quads, lookup = [], {}

    def vertex(point: np.ndarray) -> int:
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
