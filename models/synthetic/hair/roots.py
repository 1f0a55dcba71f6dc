"""Where hair may root: points spread over the skin of the mean head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.face.model import FaceModel, needed
from models.face.own_head.measurements import FIGURES
from models.face.own_head.parts import chart_from_uv, chart_quads

OFF_FACE = -9.0  # chart position of what the chart does not show
FACE_BEGINS = 0.215  # in uv: what lies below is not in the chart


@dataclass
class Roots:
    """Points on the head: triangles (R,), barycentrics (R, 3), place on the mean head (R, 3), chart (R, 2), random numbers (R, 4)."""

    triangles: np.ndarray
    weights: np.ndarray
    home: np.ndarray
    chart: np.ndarray
    chance: np.ndarray

    def take(self, keep: np.ndarray) -> Roots:
        """Some of them, by mask or by index."""
        return Roots(self.triangles[keep], self.weights[keep], self.home[keep], self.chart[keep], self.chance[keep])

    def place(self, corners: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and unit normals (R, 3) on one head (V, 3) of triangles ``corners`` (F, 3)."""
        index = corners[self.triangles]
        points = np.einsum("rcx,rc->rx", vertices[index], self.weights)
        return points, unit(np.einsum("rcx,rc->rx", normals[index], self.weights))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 3) scaled to length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def smoothstep(t: np.ndarray | float) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def scatter(face: FaceModel, may_grow: np.ndarray, count: int, seed: int) -> Roots:
    """``count`` points spread evenly by area over the skin's triangles of whose corners one is in ``may_grow`` (V,)."""
    rng = np.random.default_rng(seed)
    triangles, mean = face.triangles.numpy(), face.mean.numpy().astype(float)
    corners = mean[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    area = area * (face.masks["skin"].numpy()[triangles].min(axis=1) > 0.5) * may_grow[triangles].any(axis=1)
    pick = rng.choice(len(triangles), size=count, p=area / area.sum())
    weights = rng.dirichlet((1, 1, 1), size=count)
    uv = needed(face.uv, "UV layout").numpy()[needed(face.uv_triangles, "UV layout").numpy()[pick]]
    chart = np.einsum("rcx,rc->rx", chart_from_uv(uv.reshape(-1, 2)).reshape(uv.shape), weights)
    chart[uv[:, :, 1].min(axis=1) <= FACE_BEGINS] = OFF_FACE
    return Roots(pick, weights, np.einsum("rcx,rc->rx", corners[pick], weights), chart, rng.random((count, 4)))


def vertex_chart(face: FaceModel) -> np.ndarray:
    """Chart positions (V, 2) of the face's vertices, ``OFF_FACE`` elsewhere."""
    chart = np.full((len(face.mean), 2), OFF_FACE)
    positions, on_face = chart_quads(face)
    chart[needed(face.quads, "quads").numpy()[on_face]] = positions[on_face]
    return chart


def landmark_chart() -> np.ndarray:
    """The 68 landmarks in the chart (68, 2)."""
    with np.load(FIGURES, allow_pickle=False) as archive:
        return archive["landmark68_chart"].astype(float)


def nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Index (P,) of the target (T, 3) nearest to each point (P, 3)."""
    goal = torch.as_tensor(targets, dtype=torch.float32)
    length = 0.5 * (goal**2).sum(dim=1)
    parts = torch.as_tensor(points, dtype=torch.float32).split(2048)
    return torch.cat([torch.addmm(-length, part, goal.T).argmax(dim=1) for part in parts]).numpy()


def along(strands: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Points (R, P, 3) of strands (R, K, 3) at fractional indices (R, P)."""
    low = np.minimum(place.astype(int), strands.shape[1] - 2)
    share = (place - low)[..., None]
    at = np.arange(len(strands))[:, None]
    return strands[at, low] * (1 - share) + strands[at, low + 1] * share
