"""Our own head: the measured figures carried onto our own topology.

``figures.npz`` holds measurements of 791 points of the face in a flat chart, of 160 points of the
skull, and of eyeballs and teeth (taken from ICT-FaceKit's light-stage population, see NOTICE).
Thin-plate splines over the chart carry mean, identity and expression figures to any vertex drawn
in it (Bookstein 1989); the back of the head is interpolated over directions from the head's centre.
All carrying is linear in the figures, so one matrix serves the mean and every mode.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from models.face import topology
from models.face.head_contact import close_lids, close_lips, eyeball_spheres
from models.face.head_surface import (
    Rows,
    Surface,
    bending_rows,
    border_rows,
    levels,
    locate,
)
from models.face.model import FaceModel
from models.face.reflectance import albedo_modes
from models.face.topology import FULL, PROXY, Resolution

FIGURES = Path(__file__).with_name("figures.npz")
FACE_WEIGHT, SPLINE_WEIGHT, SKULL_WEIGHT = 200.0, 400.0, 30.0  # of a measured point's squared distance (cm²) against bending
BORDER_WEIGHT = 1.0
NAPE = (0.0, -11.6, -7.45)
ROUNDS = 2
SEAM_RINGS = 5
LANDMARK_WEIGHT = 3e4
OFF_SHEET = 0.008
SKULL_CENTRE = np.array([0.0, 1.5, 0.0])  # every ray from here meets the back of head and neck once
EYE_ANGLES = (0, 4, 8, 12, 16, 20, 23, 28, 40, 60, 90, 130, 180)  # ring angles: pupil to 8°, iris to 22°
EYE_ANGLES_PROXY = (0, 8, 22, 50, 110, 180)
CORNEA, CORNEA_ANGLE = 0.055, np.radians(27.0)  # how far the cornea stands out, over the radius
GAZE_DEGREES = {"In": 32.0, "Out": 32.0, "Up": 24.0, "Down": 28.0}  # at weight 1, as far as people look with ease


class Parts:
    """Collects the head's parts: figures (1 + K + E, P, 3), quads and their UV corners."""

    def __init__(self):
        self.figures, self.quads, self.uv, self.uv_quads, self.spans = [], [], [], [], {}
        self.vertex_count = self.uv_count = 0

    def add(self, name: str, figures: np.ndarray, quads: np.ndarray, uv: np.ndarray, uv_quads: np.ndarray) -> None:
        """Append a part whose quads index all vertices added so far plus its own (already offset)."""
        self.spans[name] = slice(self.vertex_count, self.vertex_count + figures.shape[1])
        self.figures.append(figures)
        self.quads.append(quads)
        self.uv.append(uv)
        self.uv_quads.append(uv_quads + self.uv_count)
        self.vertex_count += figures.shape[1]
        self.uv_count += len(uv)


@lru_cache(maxsize=1)
def our_head() -> FaceModel:
    """The project's head at full resolution, with its proxy; cached."""
    with np.load(FIGURES) as archive:
        figures = {key: archive[key] for key in archive.files}
    face = build_head(figures, FULL)
    face.proxy = build_head(figures, PROXY)
    return face


def build_head(figures: dict, resolution: Resolution) -> FaceModel:
    """Draw the topology and carry every figure onto it."""
    parts = Parts()
    sheet = topology.chart_sheet(resolution, figures)
    border = np.concatenate((sheet.grid[:, 0], sheet.grid[:, -1], sheet.grid[-1], sheet.grid[0]))
    landmarks = topology.snap(sheet.points, figures["landmark68_chart"].astype(float), border)
    add_skin(parts, sheet, figures, landmarks, resolution)
    for side in ("L", "R"):
        add_lid_rim(parts, sheet.rings[f"eye_{side}"][-1], figures, side)
    add_mouth_bag(parts, sheet.rings["mouth"][-1])
    for side in ("L", "R"):
        add_eyeball(parts, figures, side, resolution)
    add_teeth(parts, figures, resolution, landmarks)
    return assemble(parts, sheet, figures, landmarks)


def mirrored_figures(figures: dict) -> tuple[np.ndarray, np.ndarray]:
    """Chart positions (P, 2) and figures (1 + K + E, P, 3) of the face's measured points and of their mirror images.

    The population's mean is symmetric, each identity mode symmetric or its own negative in the mirror,
    and each expression has a mirror partner: so every point tells of two.
    """
    chart = figures["chart"].astype(float)
    values = np.concatenate((figures["mean"][None], figures["identity"], figures["expression"])).astype(float)
    image = mirror_modes(values, figures, pairs_of(chart, values[1 : 1 + len(figures["identity"])]))
    both = np.concatenate((chart, chart * [-1, 1] + [1, 0]))
    _, first = np.unique(np.round(both, 4), axis=0, return_index=True)
    first.sort()
    return both[first], np.concatenate((values, image), axis=1)[:, first]


def spline_matrix(sources: np.ndarray, targets: np.ndarray, smoothing: float = 1e-7) -> np.ndarray:
    """Thin-plate interpolation in the plane as a matrix (targets, sources): kernel r² log r plus affine."""

    def kernel(a, b):
        squared = np.sum((a[:, None] - b[None]) ** 2, axis=-1)
        return 0.5 * squared * np.log(np.maximum(squared, 1e-20))

    return interpolation_matrix(kernel, sources, targets, smoothing)


def direction_matrix(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Interpolation over unit vectors as a matrix (targets, sources): kernel r³ plus affine."""

    def kernel(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=-1) ** 3

    return interpolation_matrix(kernel, sources, targets, smoothing=2e-2)


def interpolation_matrix(kernel, sources, targets, smoothing: float) -> np.ndarray:
    """Radial-basis interpolation with an affine part, as one linear map from values at the sources."""
    n, d = sources.shape
    affine = np.concatenate((np.ones((n, 1)), sources), axis=1)
    system = np.zeros((n + d + 1, n + d + 1))
    system[:n, :n] = kernel(sources, sources) + smoothing * np.eye(n)
    system[:n, n:], system[n:, :n] = affine, affine.T
    evaluation = np.concatenate((kernel(targets, sources), np.ones((len(targets), 1)), targets), axis=1)
    return np.linalg.solve(system, evaluation.T).T[:, :n]


def mirror_modes(values: np.ndarray, figures: dict, signs: np.ndarray) -> np.ndarray:
    """Figures (1 + K + E, P, 3) as they are at the mirrored points."""
    names = [str(name) for name in figures["expression_names"]]
    partner = [1 + len(signs) + names.index(mirrored_name(name)) for name in names]
    order = [*range(1 + len(signs)), *partner]
    sign = np.concatenate(([1.0], signs, np.ones(len(names))))
    return values[order] * sign[:, None, None] * [-1, 1, 1]


def mirrored_name(name: str) -> str:
    """The expression that the mirror shows: left for right."""
    for a, b in (("_L", "_R"), ("_R", "_L"), ("Left", "Right"), ("Right", "Left")):
        if name.endswith(a):
            return name[: -len(a)] + b
    return name


def pairs_of(chart: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Which identity modes (K, P, 3) are symmetric (1) and which their own negative in the mirror (−1).

    On the middle line of the face a symmetric mode does not move sideways, the others move only so.
    """
    middle = np.abs(chart[:, 0] - 0.5) < 1e-4
    sideways = np.abs(identity[:, middle, 0]).sum(axis=1)
    return np.where(sideways > 0.5 * np.abs(identity[:, middle]).sum(axis=(1, 2)), -1.0, 1.0)


def add_skin(parts: Parts, sheet, figures: dict, landmarks: np.ndarray, resolution: Resolution) -> None:
    """The face and, sewn to its left, right and top edge, the back of head and neck, as one smooth surface."""
    chart, values = mirrored_figures(figures)
    face_count = len(sheet.points)
    back = topology.back_grid(sheet.grid, resolution.back_columns, face_count)
    within = off_sheet(chart, sheet) < OFF_SHEET
    shape = spline_matrix(chart, sheet.points) @ values.transpose(1, 0, 2).reshape(len(chart), -1)
    shape = shape.reshape(face_count, len(values), 3).transpose(1, 0, 2)
    behind = np.concatenate((skull_figures(figures), values[:, ~within]), axis=1)
    firm = spline_weight(sheet)
    firm[landmarks] = LANDMARK_WEIGHT
    skin = fit_skin(shape, firm, sheet, back, (chart[within], values[:, within]), behind)
    close_lips(skin, sheet, figures, resolution)
    close_lids(skin, sheet, figures, resolution)
    rows = np.arange(back.size).reshape(back.shape)
    across, along = np.meshgrid(np.linspace(0, 1, back.shape[1]), np.linspace(1, 0, back.shape[0]))
    uv = np.stack((0.01 + 0.77 * along, 0.005 + 0.2 * across), axis=-1).reshape(-1, 2)
    parts.add("face", skin[:, :face_count], sheet.quads, face_uv(sheet.points), sheet.quads)
    parts.add("back", skin[:, face_count:], topology.grid_quads(back), uv, topology.grid_quads(rows))


def off_sheet(chart: np.ndarray, sheet) -> np.ndarray:
    """How far each chart position (P,) lies outside the sheet or in one of its holes."""
    index, weight = locate(chart, sheet.points, sheet.quads)
    return np.linalg.norm(np.einsum("pk,pkd->pd", weight, sheet.points[index]) - chart, axis=1)


def skull_figures(figures: dict) -> np.ndarray:
    """Figures (1 + K + E, P, 3) of the back of head and neck and their mirror images; expressions leave it still."""
    skull = np.concatenate((figures["skull_mean"][None], figures["skull_identity"])).astype(float)
    skull = np.concatenate((skull, np.zeros((len(figures["expression"]), *skull.shape[1:]))))
    signs = pairs_of(figures["chart"].astype(float), figures["identity"].astype(float))
    both = np.concatenate((skull, mirror_modes(skull, figures, signs)), axis=1)
    at = both[0]
    neck = (at[:, 1] > -12.6) & (at[:, 2] < 3.5) & ((at[:, 1] > -10.5) | (np.abs(at[:, 0]) < 6.2))  # below, the bust begins
    return both[:, neck]


def neck_edge(count: int, corner: np.ndarray) -> np.ndarray:
    """Where the back of the neck ends (count, 3): an arc from the face's left lower ``corner`` (3,) round the nape."""
    t = np.linspace(0, np.pi, count)
    side, depth = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** 0.9, np.sin(t) ** 0.7
    return np.stack((corner[0] * side, corner[1] + (NAPE[1] - corner[1]) * depth, corner[2] + (NAPE[2] - corner[2]) * depth), axis=-1)


def fit_skin(face: np.ndarray, firm: np.ndarray, sheet, back: np.ndarray, measured: tuple, skull: np.ndarray) -> np.ndarray:
    """The skin's figures (1 + K + E, V, 3): the smoothest surface near the face's own, through all measured points.

    ``face`` (1 + K + E, F, 3) are the face sheet's figures by splines and ``firm`` (F,) their weights,
    ``measured`` the face's points in the chart and their figures, ``back`` the back's grid of vertex indices, ``skull`` the figures of points on it.
    """
    back_quads = topology.grid_quads(back)
    quads = np.concatenate((sheet.quads, back_quads))
    guess = back_guess(face[0], back, skull[0])
    bottom = np.concatenate((back[0], back[-1, -2::-1]))
    blocks = levels(quads, np.concatenate((sheet.grid[0], bottom)), len(guess)) // 2
    edge = guess[bottom[1:-1]]
    nearest = np.argmin(np.linalg.norm(edge[:, None] - skull[0][None], axis=-1), axis=1)
    edge = np.concatenate((edge[None], skull[1:, nearest]))
    wanted = np.concatenate((face, edge, measured[1], skull), axis=1)
    weight = [firm, *(np.full(n, w) for n, w in ((edge.shape[1], SKULL_WEIGHT), (len(measured[0]), FACE_WEIGHT), (skull.shape[1], SKULL_WEIGHT)))]
    alone = at_vertices(np.concatenate((np.arange(face.shape[1]), bottom[1:-1])))
    in_face = locate(measured[0], sheet.points, sheet.quads)
    for _ in range(ROUNDS):
        index, value = (np.concatenate(parts) for parts in zip(alone, in_face, locate(skull[0], guess, back_quads), strict=True))
        smoothness = [bending_rows(guess, quads), border_rows(quads, BORDER_WEIGHT)]
        surface = Surface(smoothness, Rows(index, value, np.concatenate(weight)), blocks)
        guess = surface.carry(wanted[0])
    carried = surface.carry(wanted.transpose(1, 0, 2).reshape(wanted.shape[1], -1))
    return carried.reshape(len(guess), len(wanted), 3).transpose(1, 0, 2)


def at_vertices(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 3) and weights (n, 3), as ``locate`` gives them, that are vertices themselves."""
    return np.repeat(index[:, None], 3, axis=1), np.tile([1.0, 0.0, 0.0], (len(index), 1))


def spline_weight(sheet) -> np.ndarray:
    """How firmly each vertex of the face (F,) stays where the splines have it: less toward the seam with the back."""
    edge = np.concatenate((sheet.grid[:, 0], sheet.grid[:, -1], sheet.grid[-1]))
    depth = levels(sheet.quads, edge, len(sheet.points))
    return SPLINE_WEIGHT * np.clip((depth + 0.3) / SEAM_RINGS, 0, 1) ** 2


def back_guess(face: np.ndarray, back: np.ndarray, skull: np.ndarray) -> np.ndarray:
    """First guess of the skin (V, 3): the face as it is, the back with a smooth radius through the skull's points.

    Directions from the head's centre are spread by relaxation on the sphere, then lengths are interpolated over them.
    """
    rows, columns = back.shape
    grid = np.zeros((rows, columns, 3))
    grid[:, 0] = face[back[:, 0]]
    edge = neck_edge(2 * columns - 1, grid[0, 0])
    grid[0], grid[-1] = edge[:columns], edge[: columns - 2 : -1]
    known = np.zeros((rows, columns, 1), bool)
    known[:, 0] = known[0] = known[-1] = True
    fixed = grid.copy()
    t = np.linspace(0, 1, columns)[None, :, None]
    grid = np.where(known, grid, grid[:, :1] * [1, 1, 1] * (1 - t) + t * np.array([0, 2.0, -9.0]))
    directions = relax(unit(grid - SKULL_CENTRE), known, 3000, unit)
    offsets = skull - SKULL_CENTRE
    radius = direction_matrix(unit(offsets), directions.reshape(-1, 3)) @ np.linalg.norm(offsets, axis=1)
    surface = SKULL_CENTRE + directions * np.clip(radius, 5.0, 16.0).reshape(rows, columns, 1)
    surface = surface + relax(np.where(known, fixed - surface, 0), known, 400, lambda values: 0.985 * values)
    guess = np.zeros((back.max() + 1, 3))
    guess[back] = surface
    guess[: len(face)] = face
    return guess


def relax(grid: np.ndarray, known: np.ndarray, rounds: int, after) -> np.ndarray:
    """Repeated means of neighbours where not ``known``; the last column is sewn to itself, first row to last."""
    for _ in range(rounds):
        beyond = np.concatenate((grid, grid[::-1, -2:-1]), axis=1)
        average = (beyond[2:, 1:-1] + beyond[:-2, 1:-1] + beyond[1:-1, 2:] + beyond[1:-1, :-2]) / 4
        grid[1:-1, 1:] = np.where(known[1:-1, 1:], grid[1:-1, 1:], after(average))
    return grid


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 3) scaled to length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def add_lid_rim(parts: Parts, hole: np.ndarray, figures: dict, side: str) -> None:
    """The lid's thickness: one ring from the lid edge back to just inside the eyeball; it moves with the edge."""
    edge = parts.figures[0][:, hole]
    ball = eyeball_spheres(figures, side)[0]
    offset = edge[0] - ball[:3]
    inside = ball[:3] + offset / np.linalg.norm(offset, axis=1, keepdims=True) * ball[3] * 0.95
    rim = edge.copy()
    rim[0] = inside - [0, 0, 0.12]
    ring = parts.vertex_count + np.arange(len(hole))
    quads = topology.ring_quads(hole, ring)
    centre = (0.89, 0.57) if side == "L" else (0.89, 0.53)
    uv, uv_quads = band_uv(len(hole), 2, (0.80, centre[1]), (0.19, 0.03))
    parts.add(f"rim_{side}", rim, quads, uv, uv_quads)


def add_mouth_bag(parts: Parts, hole: np.ndarray) -> None:
    """The inside of the mouth: rings from the lips' end round the teeth to the throat, half following the lips."""
    edge = parts.figures[0][:, hole]
    angle = np.arctan2(edge[0, :, 1] - edge[0, :, 1].mean(), edge[0, :, 0] * 0.4)
    rings, quads, previous = [], [], hole
    # (half width, half height, y, z) of each ring, cm: it has to hold the teeth (x ±3.3, y −6…−0.6, z 5…10.8)
    plan = ((2.9, 1.6, -3.3, 9.0), (3.7, 2.9, -3.3, 7.0), (3.6, 2.9, -3.4, 4.6), (0.02, 0.02, -3.6, 3.6))
    for follow, (width, height, y, z) in zip((0.9, 0.7, 0.4, 0.2), plan, strict=True):
        ring = edge * follow
        ring[0] = np.stack((width * np.cos(angle), y + height * np.sin(angle), np.full(len(hole), z)), axis=-1)
        index = parts.vertex_count + sum(r.shape[1] for r in rings) + np.arange(len(hole))
        rings.append(ring)
        quads.append(topology.ring_quads(previous, index))
        previous = index
    uv, uv_quads = band_uv(len(hole), len(plan) + 1, (0.80, 0.01), (0.19, 0.2))
    parts.add("mouth", np.concatenate(rings, axis=1), np.concatenate(quads), uv, uv_quads)


def band_uv(count: int, rings: int, corner, size) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle of the UV square for ``rings`` rings of ``count`` vertices: uv (T, 2), corner indices (Q, 4)."""
    u, v = np.meshgrid(np.linspace(0, 1, count + 1), np.linspace(1, 0, rings))
    uv = np.stack((corner[0] + size[0] * u, corner[1] + size[1] * v), axis=-1).reshape(-1, 2)
    index = np.arange(rings * (count + 1)).reshape(rings, count + 1)
    quads = [np.stack((index[r, :-1], index[r, 1:], index[r + 1, 1:], index[r + 1, :-1]), -1) for r in range(rings - 1)]
    return uv, np.concatenate(quads)


def add_eyeball(parts: Parts, figures: dict, side: str, resolution: Resolution) -> None:
    """A sphere whose centre and radius follow identity and which turns with the eyeLook expressions."""
    angles = EYE_ANGLES if resolution is FULL else EYE_ANGLES_PROXY
    points, quads = topology.sphere(resolution.eyeball_segments, angles)
    table = eyeball_spheres(figures, side)
    bulge = 1 + CORNEA * np.clip(1 - np.arccos(np.clip(points[:, 2:], -1, 1)) / CORNEA_ANGLE, 0, 1) ** 0.6
    points = points * bulge
    spheres = table[:, None, :3] + table[:, None, 3:] * points[None]
    names = [str(name) for name in figures["expression_names"]]
    turned = np.stack([gaze_turn(name, side, points * table[0, 3]) for name in names])
    theta = np.arccos(np.clip(points[:, 2] / np.linalg.norm(points, axis=1), -1, 1)) / np.pi
    centre = np.array((0.89, 0.90 if side == "L" else 0.70))
    flat = points[:, :2] / np.maximum(np.linalg.norm(points[:, :2], axis=1, keepdims=True), 1e-9)
    uv = centre + 0.095 * theta[:, None] * flat
    parts.add(f"eye_{side}", np.concatenate((spheres, turned)), quads + parts.vertex_count, uv, quads)


def gaze_turn(name: str, side: str, offsets: np.ndarray) -> np.ndarray:
    """Displacement (P, 3) of an eyeball's points under one expression: non-zero only for its own eyeLook."""
    if not (name.startswith("eyeLook") and name.endswith(f"_{side}")):
        return np.zeros_like(offsets)
    way = name[len("eyeLook") : -2]
    angle = np.radians(GAZE_DEGREES[way])
    toward_left = (way == "Out") == (side == "L")
    yaw = (angle if toward_left else -angle) if way in ("In", "Out") else 0.0
    pitch = {"Up": -angle, "Down": angle}.get(way, 0.0)
    cy, sy, cx, sx = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return offsets @ turn.T - offsets


def add_teeth(parts: Parts, figures: dict, resolution: Resolution, landmarks: np.ndarray) -> None:
    """32 rounded boxes; the lower row follows the jaw, both rows follow the mouth's place under identity."""
    shape, quads = topology.rounded_box(resolution.tooth_cells)
    low, high = figures["teeth_boxes"][:, 0].astype(float), figures["teeth_boxes"][:, 1].astype(float)
    centres, halves = (low + high) / 2, (high - low) / 2
    centres[:, 2] -= 0.25  # behind the lips also for people whose lips lie further back
    mean = centres[:, None] + halves[:, None] * shape[None] * [0.98, 1, 1]
    face, n_identity = parts.figures[0], len(figures["identity"])
    upper = face[:, landmarks[[31, 35, 48, 54]]].mean(axis=1)
    chin = face[:, landmarks[8]]
    lower = 0.5 * (upper + chin)
    motion = np.zeros((face.shape[0], 32, 3))
    motion[1 : 1 + n_identity, :16] = upper[1 : 1 + n_identity, None]
    motion[1 : 1 + n_identity, 16:] = lower[1 : 1 + n_identity, None]
    names = [str(name) for name in figures["expression_names"]]
    for name in ("jawForward", "jawLeft", "jawRight"):
        motion[1 + n_identity + names.index(name), 16:] = chin[1 + n_identity + names.index(name)]
    motion[1 + n_identity + names.index("jawOpen")] = figures["teeth_jaw_open"]
    all_figures = np.repeat(motion[:, :, None], len(shape), axis=2)
    all_figures[0] += mean
    all_figures = all_figures.reshape(len(all_figures), -1, 3)
    all_quads = np.concatenate([quads + i * len(shape) for i in range(32)])
    cell = np.stack((np.arange(32) % 16, np.arange(32) // 16), axis=-1) * [0.0118, 0.05] + [0.801, 0.24]
    uv = (cell[:, None] + (shape[None, :, :2] * 0.45 + 0.5) * [0.0118, 0.05]).reshape(-1, 2)
    parts.add("teeth", all_figures, all_quads + parts.vertex_count, uv, all_quads)


def face_uv(chart: np.ndarray) -> np.ndarray:
    """Where the chart lies in the UV square."""
    return np.stack((0.01 + 0.77 * chart[:, 0], 0.22 + 0.77 * chart[:, 1]), axis=-1)


def chart_from_uv(uv: np.ndarray) -> np.ndarray:
    """The inverse of ``face_uv``."""
    return np.stack(((uv[:, 0] - 0.01) / 0.77, (uv[:, 1] - 0.22) / 0.77), axis=-1)


def assemble(parts: Parts, sheet, figures: dict, landmarks: np.ndarray) -> FaceModel:
    """Everything as one FaceModel of float32 tensors."""
    everything = np.concatenate(parts.figures, axis=1)
    n_identity = len(figures["identity"])
    quads, uv_quads = np.concatenate(parts.quads), np.concatenate(parts.uv_quads)
    chart = np.full((parts.vertex_count, 2), np.nan)
    chart[parts.spans["face"]] = sheet.points
    albedo_mean, albedo = albedo_modes(everything[0], chart, parts.spans, figures["landmark68_chart"].astype(float))
    eyes = np.stack([eyeball_spheres(figures, side) for side in ("L", "R")], axis=1)[..., :3]
    as_float = lambda array: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return FaceModel(
        mean=as_float(everything[0]),
        identity=as_float(everything[1 : 1 + n_identity]),
        expression=as_float(everything[1 + n_identity :]),
        expression_names=[str(name) for name in figures["expression_names"]],
        albedo_mean=as_float(albedo_mean),
        albedo=as_float(albedo),
        triangles=torch.from_numpy(split(quads)),
        landmarks=torch.from_numpy(landmarks),
        quads=torch.from_numpy(quads),
        uv=as_float(np.concatenate(parts.uv)),
        uv_triangles=torch.from_numpy(split(uv_quads)),
        uv_quads=torch.from_numpy(uv_quads),
        masks={name: as_float(mask) for name, mask in masks(parts, chart).items()},
        groups={name: as_float(group) for name, group in groups(parts, everything[0]).items()},
        eye_centers=as_float(eyes[0]),
        identity_eye_centers=as_float(eyes[1:]),
        name="studio head",
    )


def split(quads: np.ndarray) -> np.ndarray:
    """Each quad (Q, 4) as two triangles (2Q, 3)."""
    return np.ascontiguousarray(np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]])))


def masks(parts: Parts, chart: np.ndarray) -> dict[str, np.ndarray]:
    """Vertex masks 0–1; "face" is the front of the face from the jaw line to the hairline, with its eyes and teeth."""
    result = {name: np.zeros(parts.vertex_count) for name in ("face", "skin", "eyes", "teeth", "mouth")}
    u, v = np.nan_to_num(chart, nan=-1).T
    across = np.clip((0.42 - np.abs(u - 0.5)) / 0.06, 0, 1)
    along = np.clip((v - 0.27) / 0.04, 0, 1) * np.clip((0.955 - v) / 0.05, 0, 1)
    result["face"] = np.where(u >= 0, across * along, 0)
    for part, name in (("face", "skin"), ("back", "skin"), ("eye_L", "eyes"), ("eye_R", "eyes"), ("teeth", "teeth"), ("mouth", "mouth")):
        result[name][parts.spans[part]] = 1
    for part in ("eye_L", "eye_R", "teeth", "mouth", "rim_L", "rim_R"):
        result["face"][parts.spans[part]] = 1
    return result


def groups(parts: Parts, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Vertex groups: how far each vertex follows the head bone, and each eye's own bone."""
    height = np.clip((mean[:, 1] + 14.5) / 6.0, 0, 1)  # all of it above the chin, which lies at −8
    head = height * height * (3 - 2 * height)
    result = {"head": head, "neck": 1 - head}
    for side in ("L", "R"):
        eye = np.zeros(parts.vertex_count)
        eye[parts.spans[f"eye_{side}"]] = 1
        result[f"eye_{side}"] = eye
    return result
