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
from models.face.model import FaceModel
from models.face.reflectance import albedo_modes
from models.face.topology import FULL, PROXY, Resolution

FIGURES = Path(__file__).with_name("figures.npz")
SKULL_CENTRE = np.array([0.0, 1.5, 0.0])  # every ray from here meets the back of head and neck once
EYE_ANGLES = (0, 4, 8, 12, 16, 20, 23, 28, 40, 60, 90, 130, 180)  # ring angles: pupil to 8°, iris to 22°
EYE_ANGLES_PROXY = (0, 8, 22, 50, 110, 180)
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
    boundary = np.unique(np.concatenate((sheet.grid[:, 0], sheet.grid[:, -1], sheet.grid[-1], sheet.grid[0])))
    free = ~np.isin(np.arange(len(sheet.points)), boundary)
    landmarks = topology.snap_landmarks(sheet.points, figures["landmark68_chart"].astype(float), free)
    measured = np.concatenate((figures["mean"][None], figures["identity"], figures["expression"])).astype(float)
    face = spline_matrix(figures["chart"].astype(float), sheet.points) @ measured
    parts.add("face", face, sheet.quads, face_uv(sheet.points), sheet.quads)
    add_back(parts, sheet, figures)
    for side in ("L", "R"):
        add_lid_rim(parts, sheet.holes[f"eye_{side}"], figures, side)
    add_mouth_bag(parts, sheet.holes["mouth"])
    for side in ("L", "R"):
        add_eyeball(parts, figures, side, resolution)
    add_teeth(parts, figures, resolution, landmarks)
    return assemble(parts, sheet, figures, landmarks)


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


def add_back(parts: Parts, sheet, figures: dict) -> None:
    """The back of head and neck: a second grid sewn to the face's left, right and top edge."""
    face = parts.figures[0]
    rows, columns = sheet.grid.shape
    index = np.full((rows, columns), -1)
    index[:, 0], index[:, -1], index[-1] = sheet.grid[:, -1], sheet.grid[:, 0], sheet.grid[-1, ::-1]
    inner = index < 0
    index[inner] = parts.vertex_count + np.arange(inner.sum())
    directions = back_directions(face[0], sheet, rows, columns)

    skull = np.concatenate((figures["skull_mean"][None], figures["skull_identity"])).astype(float)
    skull = skull[:, (skull[0, :, 1] > -12.5) & (skull[0, :, 2] < 3.5)]  # below, the bust begins
    skull = np.concatenate((skull, np.zeros((len(figures["expression"]), *skull.shape[1:]))))
    mean = back_surface(directions, skull[0], grid_edge(face[0], sheet))
    carry, sources = back_carrier(mean, skull, grid_edge(face, sheet))
    mean = smooth_seam(mean + carry @ sources[0], grid_edge(face[0], sheet))
    carried = (carry @ sources[1:])[:, inner.ravel()]
    a, b = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    uv = np.stack((0.01 + 0.77 * a, 0.005 + 0.2 * b), axis=-1).reshape(-1, 2)
    uv_index = np.arange(rows * columns).reshape(rows, columns)
    parts.add("back", np.concatenate((mean[None, inner.ravel()], carried)), topology.grid_quads(index), uv, topology.grid_quads(uv_index))


def back_directions(mean: np.ndarray, sheet, rows: int, columns: int) -> np.ndarray:
    """Unit vectors (rows, columns, 3) of the back's grid: smooth between its edges, by relaxation on the sphere."""
    grid = np.zeros((rows, columns, 3))
    left, right = mean[sheet.grid[:, -1]], mean[sheet.grid[:, 0]]
    t = np.linspace(0, 1, columns)[None, :, None]
    around = left[:, None] * (1 - t) + right[:, None] * t
    around[..., 2] -= 11 * np.sin(np.pi * t[..., 0])
    grid[:] = unit(around - SKULL_CENTRE)
    top = unit(mean[sheet.grid[-1, ::-1]] - SKULL_CENTRE)
    grid[:, 0], grid[:, -1], grid[-1] = unit(left - SKULL_CENTRE), unit(right - SKULL_CENTRE), top
    bottom = grid[0].copy()
    for _ in range(2000):
        average = grid[:-2, 1:-1] + grid[2:, 1:-1] + grid[1:-1, :-2] + grid[1:-1, 2:]
        grid[1:-1, 1:-1] = unit(average)
        grid[0] = bottom
    return grid


def grid_edge(values: np.ndarray, sheet) -> np.ndarray:
    """Values (…, rows, columns, 3) on the back's grid, known on its three sewn edges and NaN elsewhere."""
    rows, columns = sheet.grid.shape
    known = np.full((*values.shape[:-2], rows, columns, 3), np.nan)
    known[..., :, 0, :] = values[..., sheet.grid[:, -1], :]
    known[..., :, -1, :] = values[..., sheet.grid[:, 0], :]
    known[..., -1, :, :] = values[..., sheet.grid[-1, ::-1], :]
    return known


def back_surface(directions: np.ndarray, skull: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """First guess (rows·columns, 3): a smooth radius through the skull's points that meets the sewn edges."""
    offsets = skull - SKULL_CENTRE
    smooth = direction_matrix(unit(offsets), directions.reshape(-1, 3)) @ np.linalg.norm(offsets, axis=1)
    guess = SKULL_CENTRE + directions * np.clip(smooth, 5.0, 16.0).reshape(directions.shape[:2])[..., None]
    correction = np.where(np.isnan(edge), 0, edge - guess)
    fixed = ~np.isnan(edge[..., :1])
    for _ in range(300):  # the edges' correction fades inward like heat that leaks away
        padded = np.pad(correction, ((1, 1), (1, 1), (0, 0)), mode="edge")
        average = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
        correction = np.where(fixed, correction, average / 4 * 0.985)
    return (guess + correction).reshape(-1, 3)


def smooth_seam(mean: np.ndarray, edge: np.ndarray, reach: int = 5, rounds: int = 60) -> np.ndarray:
    """The back's mean (rows·columns, 3) with the sewn edges set exactly and the cells beside them relaxed.

    Where two edges meet in a smooth outline the grid's corner is flat and would crease.
    """
    rows, columns = edge.shape[:2]
    surface = np.where(np.isnan(edge), mean.reshape(edge.shape), edge)
    row, column = np.mgrid[0:rows, 0:columns]
    distance = np.minimum(np.minimum(column, columns - 1 - column), rows - 1 - row)
    share = np.clip(1 - (distance - 1) / reach, 0, 1)[..., None] * np.isnan(edge[..., :1])
    for _ in range(rounds):
        padded = np.pad(surface, ((1, 1), (1, 1), (0, 0)), mode="edge")
        average = (padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]) / 4
        surface = surface + 0.6 * share * (average - surface)
    return surface.reshape(-1, 3)


def back_carrier(mean: np.ndarray, skull: np.ndarray, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix from figures at skull points and sewn edges to the whole grid, and those figures.

    Row 0 of the figures is what the mean still lacks at each of them; the rest are the modes' displacements.
    """
    rows, columns = edge.shape[1:3]
    a, b = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    grid = np.stack((a, b), axis=-1).reshape(-1, 2)
    nearest = np.argmin(np.linalg.norm(skull[0][:, None] - mean[None], axis=-1), axis=1)
    nearest, first = np.unique(nearest, return_index=True)
    known = np.flatnonzero(~np.isnan(edge[0, ..., 0]).ravel())
    known = np.setdiff1d(known, nearest)[::2]
    at_skull, at_edge = skull[:, first].copy(), edge.reshape(len(edge), -1, 3)[:, known].copy()
    at_skull[0] -= mean[nearest]
    at_edge[0] -= mean[known]
    matrix = spline_matrix(np.concatenate((grid[nearest], grid[known])), grid, smoothing=1e-3)
    return matrix, np.concatenate((at_skull, at_edge), axis=1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 3) scaled to length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def add_lid_rim(parts: Parts, hole: np.ndarray, figures: dict, side: str) -> None:
    """The lid's thickness: one ring from the lid edge back to just inside the eyeball; it moves with the edge."""
    edge = parts.figures[0][:, hole]
    ball = figures["eyeball_left" if side == "L" else "eyeball_right"][0].astype(float)
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
    table = figures["eyeball_left" if side == "L" else "eyeball_right"].astype(float)
    spheres = table[:, None, :3] + table[:, None, 3:] * points[None]
    names = [str(name) for name in figures["expression_names"]]
    turned = np.stack([gaze_turn(name, side, points * table[0, 3]) for name in names])
    theta = np.arccos(np.clip(points[:, 2], -1, 1)) / np.pi
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
    eyes = np.stack((figures["eyeball_left"], figures["eyeball_right"]), axis=1)[..., :3]
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
