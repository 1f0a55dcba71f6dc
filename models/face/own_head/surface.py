"""The smoothest surface through measured points, as one linear map from measurements to vertices.

Of all surfaces of a mesh the one is taken that bends least (the squared Laplacian, integrated over a
reference shape: Botsch and Kobbelt 2004, "An intuitive framework for real-time freeform modeling")
while it passes the measured points. The map is linear in the measurements, so that one factorisation
carries the mean and every mode; the mesh is welded, so that no seam can show.
"""

from __future__ import annotations

import numpy as np
import torch

MIN_COTANGENT, MAX_COTANGENT = 0.02, 8.0  # keep slivers from stiffening the whole surface


class Rows:
    """Rows of a sparse least-squares problem, each with at most ``width`` entries."""

    def __init__(self, index: np.ndarray, value: np.ndarray, weight: np.ndarray):
        self.index, self.value, self.weight = index, value, weight  # (R, width) int, (R, width), (R,)


def cotangent_edges(points: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directed edges (E, 2), their cotangent weights (E,) and vertex areas (V,) of a quad mesh (V, 3).

    Each quad counts as the mean of its two splits into triangles, which keeps mirrored meshes mirrored.
    """
    splits = ((0, 1, 2), (0, 2, 3), (0, 1, 3), (1, 2, 3))
    triangles = np.concatenate([quads[:, split] for split in splits])
    edges, weights = [], []
    for k in range(3):
        a, b, c = (triangles[:, (k + n) % 3] for n in range(3))
        left, right = points[a] - points[c], points[b] - points[c]
        area = np.linalg.norm(np.cross(left, right), axis=1)
        cotangent = np.sum(left * right, axis=1) / np.maximum(area, 1e-9)
        edges += [np.stack((a, b), axis=1), np.stack((b, a), axis=1)]
        weights += [cotangent / 4, cotangent / 4]
    sides = points[triangles[:, 1:]] - points[triangles[:, :1]]
    thirds = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 12
    areas = np.bincount(triangles.ravel(), np.repeat(thirds, 3), len(points))
    key = np.concatenate(edges) @ [len(points), 1]
    unique, place = np.unique(key, return_inverse=True)
    total = np.bincount(place, np.concatenate(weights))
    pairs = np.stack((unique // len(points), unique % len(points)), axis=1)
    return pairs, np.clip(total, MIN_COTANGENT, MAX_COTANGENT), areas


def bending_rows(points: np.ndarray, quads: np.ndarray) -> Rows:
    """Rows whose squared sum is the bending of displacements over the shape ``points``; free at its borders."""
    pairs, weight, areas = cotangent_edges(points, quads)
    areas = np.maximum(areas, 0.1 * np.median(areas))
    degree = np.bincount(pairs[:, 0], minlength=len(points))
    start = np.cumsum(degree) - degree
    slot = np.arange(len(pairs)) - start[pairs[:, 0]] + 1
    index = np.repeat(np.arange(len(points))[:, None], degree.max() + 1, axis=1)
    value = np.zeros(index.shape)
    index[pairs[:, 0], slot], value[pairs[:, 0], slot] = pairs[:, 1], weight
    value[:, 0] = -value.sum(axis=1)
    inner = np.setdiff1d(np.arange(len(points)), border_edges(quads))
    return Rows(index[inner], value[inner], 1 / areas[inner])


def border_edges(quads: np.ndarray) -> np.ndarray:
    """Directed edges (B, 2) that only one quad has."""
    directed = np.stack((quads, np.roll(quads, -1, axis=1)), axis=-1).reshape(-1, 2)
    _, place, count = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True, return_counts=True)
    return directed[count[place.ravel()] == 1]


def border_rows(quads: np.ndarray, weight: float) -> Rows:
    """Rows whose squared sum is the second difference along the mesh's borders, which keeps them smooth lines."""
    edges = border_edges(quads)
    after = dict(edges.tolist())
    chains = np.array([(a, b, after[b]) for a, b in edges.tolist() if b in after])
    return Rows(chains, np.broadcast_to([1.0, -2.0, 1.0], chains.shape), np.full(len(chains), weight))


def levels(quads: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
    """How many quads lie between each vertex and the vertices ``first``, (V,); neighbours differ by at most one."""
    level = np.full(count, np.iinfo(np.int64).max // 2)
    level[first] = 0
    while True:
        reached = np.minimum.reduceat(level[quads], [0], axis=1) + 1
        new = level.copy()
        np.minimum.at(new, quads, np.broadcast_to(reached, quads.shape))
        if np.array_equal(new, level):
            return level
        level = new


class Surface:
    """Vertices as a linear function of the values at ``targets``: the factorised normal equations.

    ``blocks`` numbers the vertices' blocks so that no row spans more than two neighbouring ones: the
    matrix is then block tridiagonal and its Cholesky factor too.
    """

    def __init__(self, smoothness: list[Rows], targets: Rows, blocks: np.ndarray):
        order = np.argsort(blocks, kind="stable")
        self.targets, self.order = targets, order
        sizes = np.bincount(blocks)
        self.bounds = np.concatenate(([0], np.cumsum(sizes)))
        rank = np.empty(len(order), int)
        rank[order] = np.arange(len(order))
        self.rank = rank
        self.factorise(*self.assemble([*smoothness, targets], blocks[order]))

    def assemble(self, rows: list[Rows], blocks: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Diagonal blocks and the blocks below them of the rows' normal matrix."""
        sizes = np.diff(self.bounds)
        diagonal = [np.zeros((n, n)) for n in sizes]
        below = [np.zeros((n, m)) for n, m in zip(sizes[1:], sizes[:-1], strict=True)]
        for part in rows:
            index = self.rank[part.index]
            shape = (*index.shape, index.shape[1])
            a, b = np.broadcast_to(index[:, :, None], shape).ravel(), np.broadcast_to(index[:, None, :], shape).ravel()
            value = (part.value[:, :, None] * part.value[:, None, :] * part.weight[:, None, None]).ravel()
            keep = (value != 0) & (blocks[a] >= blocks[b])
            a, b, value = a[keep], b[keep], value[keep]
            row, column = a - self.bounds[blocks[a]], b - self.bounds[blocks[b]]
            order = np.argsort(blocks[a], kind="stable")
            a, b, row, column, value = a[order], b[order], row[order], column[order], value[order]
            edges = np.searchsorted(blocks[a], np.arange(len(sizes) + 1))
            for k in range(len(sizes)):
                span = slice(edges[k], edges[k + 1])
                own = blocks[b[span]] == k
                for matrix, chosen in ((diagonal[k], own), (below[k - 1] if k else None, ~own)):
                    if matrix is not None and chosen.any():
                        flat = row[span][chosen] * matrix.shape[1] + column[span][chosen]
                        matrix += np.bincount(flat, value[span][chosen], matrix.size).reshape(matrix.shape)
        return diagonal, below

    def factorise(self, diagonal: list[np.ndarray], below: list[np.ndarray]) -> None:
        """Block Cholesky: the diagonal factors and the blocks below, float64 tensors."""
        self.factors: list[torch.Tensor] = []
        self.below: list[torch.Tensor] = []
        for k, block in enumerate(map(torch.from_numpy, diagonal)):
            if k:
                lower = torch.linalg.solve_triangular(self.factors[-1], torch.from_numpy(below[k - 1]).T, upper=False).T
                self.below.append(lower)
                block = block - lower @ lower.T
            self.factors.append(torch.linalg.cholesky(block))

    def carry(self, values: np.ndarray) -> np.ndarray:
        """Vertices (V, C) from values at the targets (R, C)."""
        right = np.zeros((len(self.order), values.shape[1]))
        targets = self.targets
        for k in range(targets.index.shape[1]):
            np.add.at(right, self.rank[targets.index[:, k]], (targets.value[:, k] * targets.weight)[:, None] * values)
        parts = [torch.from_numpy(part) for part in np.split(right, self.bounds[1:-1])]
        for k, factor in enumerate(self.factors):
            if k:
                parts[k] = parts[k] - self.below[k - 1] @ parts[k - 1]
            parts[k] = torch.linalg.solve_triangular(factor, parts[k], upper=False)
        for k in range(len(parts) - 1, -1, -1):
            if k < len(parts) - 1:
                parts[k] = parts[k] - self.below[k].T @ parts[k + 1]
            parts[k] = torch.linalg.solve_triangular(self.factors[k].T, parts[k], upper=True)
        return torch.cat(parts).numpy()[self.rank]


def locate(points: np.ndarray, vertices: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest places on a quad mesh: vertex indices (P, 3) and weights (P, 3).

    ``points`` and ``vertices`` have two coordinates (a chart) or three.
    """
    triangles = np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]))
    middles = vertices[triangles].mean(axis=1)
    near = np.concatenate([candidates(part, middles) for part in np.array_split(points, len(points) // 256 + 1)])
    corners = vertices[triangles[near]]
    weights = closest_weights(points[:, None], corners)
    distance = np.sum((np.einsum("ptk,ptkd->ptd", weights, corners) - points[:, None]) ** 2, axis=-1)
    best = distance.argmin(axis=1)
    each = np.arange(len(points))
    return triangles[near[each, best]], weights[each, best]


def candidates(points: np.ndarray, middles: np.ndarray, count: int = 24) -> np.ndarray:
    """The triangles (P, count) whose middles lie nearest to each point."""
    squared = np.sum(middles**2, axis=1) - 2 * points @ middles.T
    return np.argpartition(squared, count, axis=1)[:, :count]


def closest_weights(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric weights (…, 3) of the place on each triangle (…, 3, d) that is closest to a point (…, d)."""
    sides = corners[..., 1:, :] - corners[..., :1, :]
    a, b, offset = sides[..., 0, :], sides[..., 1, :], points - corners[..., 0, :]
    dot = lambda p, q: np.sum(p * q, axis=-1)
    area = np.maximum(dot(a, a) * dot(b, b) - dot(a, b) ** 2, 1e-18)
    s = (dot(b, b) * dot(offset, a) - dot(a, b) * dot(offset, b)) / area
    t = (dot(a, a) * dot(offset, b) - dot(a, b) * dot(offset, a)) / area
    best = np.stack((1 - s - t, s, t), axis=-1)
    distance = np.where((best >= 0).all(axis=-1), 0.0, np.inf)  # inside, the foot of the perpendicular is the place
    for k in range(3):
        start, side = corners[..., k, :], corners[..., (k + 1) % 3, :] - corners[..., k, :]
        r = np.clip(dot(points - start, side) / np.maximum(dot(side, side), 1e-18), 0, 1)
        beyond = np.sum((start + r[..., None] * side - points) ** 2, axis=-1)
        on_edge = np.zeros(best.shape)
        on_edge[..., k], on_edge[..., (k + 1) % 3] = 1 - r, r
        nearer = beyond < distance
        best, distance = np.where(nearer[..., None], on_edge, best), np.where(nearer, beyond, distance)
    return best
