"""The skin of our head: face sheet and back of the head as one smooth surface through all measured points.

Thin-plate splines over the chart (Bookstein 1989) say where the face's vertices lie to half a millimetre;
the surface of least bending that stays near them and passes the measured points (``head_surface``)
joins them to the back. All carrying is linear in the figures: mean and modes go the same way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.face.own_head import topology
from models.face.own_head.contact import close_lids, close_lips
from models.face.own_head.measurements import face_figures, skull_figures
from models.face.own_head.surface import Rows, Surface, bending_rows, border_rows, levels, locate
from models.face.own_head.topology import Resolution, Sheet

# What a squared distance of 1 cm² counts against the surface's bending: at a measured point of the face, at a
# vertex where the splines have it, at a point of the skull, at the neck's end, at a landmark. The mesh cannot bend at every point.
FACE_WEIGHT, SPLINE_WEIGHT, SKULL_WEIGHT, NECK_WEIGHT, LANDMARK_WEIGHT = 200.0, 400.0, 30.0, 3.0, 3e4
BORDER_WEIGHT = 1.0  # of a border's second difference
SEAM_RINGS = 5  # edge loops beside the seam over which splines and measured points let go
SEAM_SHARE = 0.1  # of a measured point's weight that is left at the seam
OFF_SHEET = 0.008  # chart positions further outside the sheet than this belong to the back
NECK_SPAN = (0.29, 0.17)  # middle and half length of the v where such positions lie beside the sheet, not below it
ROUNDS = 2  # of finding the skull points' places on the surface
SKULL_CENTRE = np.array([0.0, 1.5, 0.0])  # every ray from here meets the back of head and neck once
NAPE = np.array([0.0, -11.6, -7.45])  # where the neck ends behind


def skin_figures(sheet: Sheet, back: np.ndarray, figures: dict, landmarks: np.ndarray, resolution: Resolution) -> np.ndarray:
    """Figures (M, V, 3) of the face's vertices and, after them, the back's.

    ``back`` is the back's grid of vertex indices, ``landmarks`` (68,) vertices that keep their measured place.
    """
    chart, values = face_figures(figures)
    places = locate(chart, sheet.points, sheet.quads)
    outside = np.linalg.norm(np.einsum("pk,pkd->pd", places[1], sheet.points[places[0]]) - chart, axis=1)
    within, beside = outside < OFF_SHEET, (outside >= OFF_SHEET) & (np.abs(chart[:, 1] - NECK_SPAN[0]) < NECK_SPAN[1])
    shape = carry(plane_kernel, chart, values, sheet.points, 1e-7)
    firm = spline_weight(sheet)
    firm[landmarks] = LANDMARK_WEIGHT
    behind = np.concatenate((skull_figures(figures), values[:, beside]), axis=1)
    skin = fit_skin(shape, firm, sheet, back, (*(part[within] for part in places), values[:, within]), behind)
    close_lips(skin, sheet, figures, resolution)
    close_lids(skin, sheet, figures, landmarks, resolution)
    return skin


Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # points (A, d) and (B, d) -> (A, B)


def plane_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Thin-plate kernel r² log r between points of the plane, (A, B)."""
    squared = np.maximum(np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T, 1e-15)
    return 0.5 * squared * np.log(squared)


def sphere_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cubic kernel r³ between unit vectors, (A, B)."""
    return np.linalg.norm(a[:, None] - b[None], axis=-1) ** 3


def carry(kernel: Kernel, sources: np.ndarray, values: np.ndarray, targets: np.ndarray, smoothing: float) -> np.ndarray:
    """Radial-basis interpolation with an affine part: values (M, S, c) at sources (S, d) → (M, T, c) at targets (T, d)."""
    n, d = sources.shape
    affine = np.concatenate((np.ones((n, 1)), sources), axis=1)
    system = np.zeros((n + d + 1, n + d + 1))
    system[:n, :n] = kernel(sources, sources) + smoothing * np.eye(n)
    system[:n, n:], system[n:, :n] = affine, affine.T
    wanted = np.zeros((n + d + 1, values.shape[0] * values.shape[2]))
    wanted[:n] = values.transpose(1, 0, 2).reshape(n, -1)
    evaluation = np.concatenate((kernel(targets, sources), np.ones((len(targets), 1)), targets), axis=1)
    carried = evaluation @ np.linalg.solve(system, wanted)
    return carried.reshape(len(targets), values.shape[0], -1).transpose(1, 0, 2)


def spline_weight(sheet: Sheet) -> np.ndarray:
    """How firmly each vertex of the face (F,) stays where the splines have it: less toward the seam with the back."""
    edge = np.concatenate((sheet.grid[:, 0], sheet.grid[:, -1], sheet.grid[-1]))
    depth = levels(sheet.quads, edge, len(sheet.points))
    return SPLINE_WEIGHT * np.clip((depth + 0.3) / SEAM_RINGS, 0, 1) ** 2


def fit_skin(face: np.ndarray, firm: np.ndarray, sheet: Sheet, back: np.ndarray, measured: tuple, skull: np.ndarray) -> np.ndarray:
    """The skin's figures (M, V, 3): the smoothest surface near the face's own, through all measured points.

    ``face`` (M, F, 3) are the face sheet's figures by splines and ``firm`` (F,) their weights, ``measured``
    the face's points as places on the sheet (vertices and weights (P, 3)) and their figures, ``skull`` (M, S, 3)
    the figures of points on the back.
    """
    back_quads = topology.grid_quads(back)
    quads = np.concatenate((sheet.quads, back_quads))
    guess = back_guess(face[0], back, skull[0])
    bottom = np.concatenate((back[0], back[-1, -2::-1]))
    blocks = levels(quads, np.concatenate((sheet.grid[0], bottom)), len(guess)) // 2
    edge = guess[bottom[1:-1]]
    nearest = np.argmin(np.linalg.norm(edge[:, None] - skull[0][None], axis=-1), axis=1)
    edge = np.concatenate((edge[None], skull[1:, nearest]))
    in_face, at_points = measured[:2], measured[2]
    wanted = np.concatenate((face, edge, at_points, skull), axis=1)
    sure = FACE_WEIGHT * np.clip(np.sum(firm[in_face[0]] * in_face[1], axis=1) / SPLINE_WEIGHT, SEAM_SHARE, 1)
    counts = (edge.shape[1], skull.shape[1])
    weight = np.concatenate((firm, np.full(counts[0], NECK_WEIGHT), sure, np.full(counts[1], SKULL_WEIGHT)))
    known = [at_vertices(np.concatenate((np.arange(face.shape[1]), bottom[1:-1]))), in_face]
    for _ in range(ROUNDS):
        index, value = (np.concatenate(parts) for parts in zip(*known, locate(skull[0], guess, back_quads), strict=True))
        smoothness = [bending_rows(guess, quads), border_rows(quads, BORDER_WEIGHT)]
        surface = Surface(smoothness, Rows(index, value, weight), blocks)
        guess = surface.carry(wanted[0])
    carried = surface.carry(wanted.transpose(1, 0, 2).reshape(wanted.shape[1], -1))
    return carried.reshape(len(guess), len(wanted), 3).transpose(1, 0, 2)


def at_vertices(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 3) and weights (n, 3), as ``locate`` gives them, that are vertices themselves."""
    return np.repeat(index[:, None], 3, axis=1), np.tile([1.0, 0.0, 0.0], (len(index), 1))


def back_guess(face: np.ndarray, back: np.ndarray, skull: np.ndarray) -> np.ndarray:
    """First guess of the skin (V, 3): the face as it is, the back with a smooth radius through the skull's points.

    Directions from the head's centre are spread by relaxation on the sphere, then lengths are interpolated over them.
    """
    rows, columns = back.shape
    fixed, known = np.zeros((rows, columns, 3)), np.zeros((rows, columns, 1), bool)
    edge = neck_edge(2 * columns - 1, face[back[0, 0]])
    fixed[:, 0], fixed[0], fixed[-1] = face[back[:, 0]], edge[:columns], edge[: columns - 2 : -1]
    known[:, 0] = known[0] = known[-1] = True
    t = np.linspace(0, 1, columns)[None, :, None]
    spread = np.where(known, fixed, fixed[:, :1] * (1 - t) + t * np.array([0, 2.0, -9.0]))
    directions = relax(unit(spread - SKULL_CENTRE), known, 1500, unit)
    offsets = skull - SKULL_CENTRE
    length = np.linalg.norm(offsets, axis=1)[None, :, None]
    radius = carry(sphere_kernel, unit(offsets), length, directions.reshape(-1, 3), 2e-2)[0]
    surface = SKULL_CENTRE + directions * np.clip(radius, 5.0, 16.0).reshape(rows, columns, 1)
    surface = surface + relax(np.where(known, fixed - surface, 0), known, 400, lambda values: 0.985 * values)
    guess = np.zeros((back.max() + 1, 3))
    guess[back] = surface
    guess[: len(face)] = face
    return guess


def neck_edge(count: int, corner: np.ndarray) -> np.ndarray:
    """Where the back of the neck ends (count, 3): an arc from the face's left lower ``corner`` (3,) round the nape."""
    t = np.linspace(0, np.pi, count)
    side, depth = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** 0.9, np.sin(t) ** 0.7
    return np.concatenate((corner[0] * side[:, None], corner[1:] + (NAPE[1:] - corner[1:]) * depth[:, None]), axis=1)


def relax(grid: np.ndarray, known: np.ndarray, rounds: int, after: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Repeated means of neighbours where not ``known``; the last column is sewn to itself, first row to last."""
    for _ in range(rounds):
        beyond = np.concatenate((grid, grid[::-1, -2:-1]), axis=1)
        average = (beyond[2:, 1:-1] + beyond[:-2, 1:-1] + beyond[1:-1, 2:] + beyond[1:-1, :-2]) / 4
        grid[1:-1, 1:] = np.where(known[1:-1, 1:], grid[1:-1, 1:], after(average))
    return grid


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 3) scaled to length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
