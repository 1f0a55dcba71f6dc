"""Brows, lashes and beards: short hairs on the face that follow its expression."""

from __future__ import annotations

import numpy as np

from models.face.model import FaceModel
from models.face.own_head.measurements import FIGURES
from models.face.own_head.reflectance import signed_distance
from models.synthetic.hair.look import BeardLook, BrowLook
from models.synthetic.hair.roots import OFF_FACE, Roots, landmark_chart, scatter, smoothstep, unit, vertex_chart

BROW_ROOTS, BEARD_ROOTS, LASHES = 6500, 11000, 130
# A brow on the mean head, cm from the middle outward: its height, half its thickness, the length of its hairs.
BROW_X = np.array([1.1, 1.6, 2.4, 3.4, 4.5, 5.3, 6.0])
BROW_Y = np.array([5.75, 5.9, 6.15, 6.35, 6.3, 5.95, 5.45])
BROW_HALF = np.array([0.30, 0.42, 0.45, 0.40, 0.30, 0.20, 0.08])
BROW_HAIR = np.array([0.45, 0.6, 0.8, 0.8, 0.75, 0.6, 0.45])
BROW_TURN = np.array([75, 55, 32, 16, -4, -16, -24.0])  # degrees up from straight outward
# The cheek line: |x| and y where a full beard ends above, from the ear to the mouth's corner.
CHEEK_X, CHEEK_Y = np.array([0.0, 2.4, 3.2, 4.2, 5.4, 6.4, 7.2]), np.array([-1.35, -1.6, -2.3, -2.9, -2.2, -0.3, 3.2])
NECK_LINE = -9.0  # cm
LIP_EDGE = 0.011  # in the chart: how far from the lips hair begins


def brow_roots(face: FaceModel) -> Roots:
    """Roots about the brows, wider than any brow."""
    mean = face.mean.numpy().astype(float)
    x = np.abs(mean[:, 0])
    region = (x > 0.3) & (x < 7.2) & (np.abs(mean[:, 1] - np.interp(x, BROW_X, BROW_Y)) < 1.6) & (mean[:, 2] > 5)
    found = scatter(face, region, 3 * BROW_ROOTS, seed=2)
    near = np.abs(found.home[:, 1] - np.interp(np.abs(found.home[:, 0]), BROW_X, BROW_Y)) < 1.3
    return found.take(np.flatnonzero(near)[:BROW_ROOTS])


def beard_roots(face: FaceModel) -> Roots:
    """Roots where a beard may grow."""
    mean = face.mean.numpy().astype(float)
    region = (mean[:, 1] < 3.5) & (mean[:, 1] > -11.5) & (mean[:, 2] > 0.5)
    found = scatter(face, region, 4 * BEARD_ROOTS, seed=3)
    return found.take(np.flatnonzero(beard_cover(found, 0.0) > 0.02)[:BEARD_ROOTS])


def beard_cover(roots: Roots, line: float) -> np.ndarray:
    """Share 0–1 (R,) of hairs that a full beard has at its roots, cheek line raised by ``line`` cm; bare lips."""
    x, y, z = np.abs(roots.home[:, 0]), roots.home[:, 1], roots.home[:, 2]
    under_cheek = smoothstep((np.interp(x, CHEEK_X, CHEEK_Y) + line * smoothstep((x - 2.5) / 2) - y) / 0.9 + 0.3)
    over_neck = smoothstep((y - NECK_LINE - 0.12 * np.maximum(z - 5, 0)) / 1.2)
    before_ear = smoothstep((z - np.where(y > -2.5, 2.6, 2.0)) / 0.9)
    lips = signed_distance(roots.chart, landmark_chart()[48:60])
    off_lips = np.where(roots.chart[:, 0] > OFF_FACE, smoothstep((lips - 0.4 * LIP_EDGE) / LIP_EDGE), 1.0)
    under_lip = 1 - 0.85 * np.exp(-(((x - 1.7) / 0.9) ** 2) - ((y + 5.0) / 0.55) ** 2)
    philtrum = 1 - 0.6 * np.exp(-((x / 0.35) ** 2) - ((y + 1.8) / 0.8) ** 2)
    return under_cheek * over_neck * before_ear * off_lips * under_lip * philtrum


def lid_edges(face: FaceModel) -> dict[str, np.ndarray]:
    """Vertices along each eye's lid edge, in order, from the measured loops of the chart."""
    chart = vertex_chart(face)
    result = {}
    with np.load(FIGURES, allow_pickle=False) as archive:
        loops = {"L": archive["loop_left_eye"].astype(float), "R": archive["loop_right_eye"].astype(float)}
    for side, loop in loops.items():
        t = np.linspace(0, 1, 8, endpoint=False)[None, :, None]
        dense = (loop[:, None] * (1 - t) + np.roll(loop, -1, axis=0)[:, None] * t).reshape(-1, 2)
        found = np.argmin(np.linalg.norm(dense[:, None] - chart[None], axis=-1), axis=1)
        result[side] = found[np.sort(np.unique(found, return_index=True)[1])]
    return result


def lines(points: np.ndarray, direction: np.ndarray, length: np.ndarray, bend: np.ndarray, count: int) -> np.ndarray:
    """Hairs (R, count, 3) from points (R, 3) that bend by ``bend`` (R, 3) cm at their tips."""
    t = np.linspace(0, 1, count)[None, :, None]
    return points[:, None] + direction[:, None] * length[:, None, None] * t + bend[:, None] * t**2


def on_skin(vectors: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Unit vectors (R, 3) along the skin."""
    return unit(vectors - np.sum(vectors * normal, axis=1, keepdims=True) * normal)


def grow_brows(roots: Roots, corners: np.ndarray, head: np.ndarray, normals: np.ndarray, look: BrowLook) -> tuple[Roots, np.ndarray]:
    """The brows' roots and hairs (R, 4, 3)."""
    x = np.abs(roots.home[:, 0])
    t = (x - BROW_X[0]) / (BROW_X[-1] - BROW_X[0]) / look.long
    place = BROW_X[0] + np.clip(t, 0, 1) * (BROW_X[-1] - BROW_X[0])
    middle = np.interp(place, BROW_X, BROW_Y) + look.arch * np.exp(-(((t - 0.6) / 0.3) ** 2)) + look.tilt * (t - 0.4)
    half = look.thick * np.interp(place, BROW_X, BROW_HALF)
    off = (roots.home[:, 1] - middle) / half
    ends = smoothstep((t + 0.05) / 0.12) * smoothstep((1.02 - t) / 0.15)
    full = smoothstep((1.35 - np.abs(off)) / 0.7) * ends * np.where(t < 0.25, 0.75, 1.0)
    keep = roots.chance[:, 0] < 0.75 * look.dense * full
    roots, off, place = roots.take(keep), off[keep], place[keep]
    points, normal = roots.place(corners, head, normals)
    turn = np.radians(np.interp(place, BROW_X, BROW_TURN) - 20 * np.clip(off, -1.2, 1.2) + 28 * (roots.chance[:, 1] - 0.5))
    outward = np.stack((np.sign(roots.home[:, 0]) * np.cos(turn), np.sin(turn), 0 * turn), axis=1)
    length = look.thick**0.4 * np.interp(place, BROW_X, BROW_HAIR) * (0.65 + 0.5 * roots.chance[:, 2])
    direction = unit(on_skin(outward, normal) + 0.28 * normal)
    return roots, lines(points, direction, length, (-0.25 * normal - [0, 0.12, 0]) * length[:, None], 4)


def beard_lengths(roots: Roots, look: BeardLook) -> np.ndarray:
    """Length (R,) cm by where a hair stands."""
    x, y = np.abs(roots.home[:, 0]), roots.home[:, 1]
    lip = smoothstep((y + 3.4) / 0.5) * smoothstep((3.3 - x) / 0.5)
    chin = smoothstep((3.6 - x) / 1.2) * smoothstep((-3.4 - y) / 0.8)
    length = look.cheek * (1 - chin) + look.chin * chin
    length = length * (1 - 0.6 * smoothstep((-8.3 - y) / 1.5))  # short on the neck
    length = np.where(look.cheek > 0.5, np.minimum(length, 0.5 + 0.8 * np.maximum(1.5 - y, 0)), length)  # short by the ear
    return length * (1 - lip) + look.lip * lip


def grow_beard(roots: Roots, corners: np.ndarray, head: np.ndarray, normals: np.ndarray, look: BeardLook) -> tuple[Roots, np.ndarray]:
    """A beard's roots and hairs (R, K, 3); none where it is shaved."""
    length = beard_lengths(roots, look)
    patches = 0.5 + 0.5 * np.sin(1.9 * roots.home[:, 0] + 4 * look.line) * np.sin(2.3 * roots.home[:, 1] + 1)
    dense = look.dense * (1 - (1 - look.dense) * patches)
    keep = (length > 0.05) & (roots.chance[:, 0] < dense * beard_cover(roots, look.line) * smoothstep(length / 0.12))
    roots, length = roots.take(keep), length[keep] * (0.7 + 0.45 * roots.chance[keep, 1])
    points, normal = roots.place(corners, head, normals)
    side, lip = np.sign(points[:, 0]), smoothstep((roots.home[:, 1] + 3.3) / 0.6) * smoothstep((3.3 - np.abs(roots.home[:, 0])) / 0.5)
    grain = np.stack((side * (0.9 * lip + 0.12 * (1 - lip)), -1 + 0.2 * lip, 0.35 * (1 - lip)), axis=1) + 0.5 * (roots.chance[:, :3] - 0.5)
    rise = np.clip(0.75 - 0.16 * length, 0.3, 0.75)[:, None]
    direction = unit(on_skin(grain, normal) + rise * normal)
    long = smoothstep((length - 1.0) / 3.0)[:, None]
    bend = length[:, None] * (np.array([0, -0.28, -0.02]) + 0.16 * (roots.chance[:, 1:4] - 0.5))
    bend = bend + long * np.stack((-0.45 * points[:, 0], -0.25 * length, 0.1 * length), axis=1)
    count = 4 if look.chin < 0.5 else 8
    hairs = wavy(lines(points, direction, length, bend, count), roots.chance, length)
    return roots, hairs


def wavy(hairs: np.ndarray, chance: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Beard hairs are never straight; those that stand together wave together."""
    t = np.linspace(0, 1, hairs.shape[1])[None, :]
    tuft = hairs[:, 0] * 1.7
    walk = length[:, None] * t
    phase = lambda axis: 2.4 * walk + 2.2 * np.sin(tuft[:, [axis]]) + 1.5 * chance[:, [axis]]
    reach = 0.10 * np.minimum(walk, 1.5)
    return hairs + reach[..., None] * np.stack([np.sin(phase(axis)) - np.sin(phase(axis)[:, :1]) for axis in (1, 0, 2)], axis=-1)


def grow_lashes(
    edge: np.ndarray, inner: int, outer: int, head: np.ndarray, normals: np.ndarray, longer: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lashes of one eye: the vertices (R,) that they stand by and hairs (R, 5, 3); ``edge`` is the lid's, in order."""
    rng = np.random.default_rng(seed)
    loop, after = edge, np.roll(edge, -1)
    pick = rng.choice(len(loop), size=2 * LASHES)
    share = rng.random((len(pick), 1))
    points = head[loop[pick]] * (1 - share) + head[after[pick]] * share
    width = head[outer] - head[inner]
    across = unit(width)
    t = (points - head[inner]) @ across / np.linalg.norm(width)
    upper = (points - head[inner])[:, 1] > t * width[1]
    keep = (t > 0.1) & (t < 1.0) & (upper | (rng.random(len(t)) < 0.4))
    pick, points, t, upper = pick[keep], points[keep], t[keep], upper[keep]
    length = (
        longer
        * np.where(upper, 0.72, 0.38)
        * (0.45 + 0.55 * np.sin(np.pi * np.clip(0.15 + 0.7 * t, 0, 1)))
        * (0.7 + 0.4 * rng.random(len(t)))
    )
    tuft = 0.25 * np.sin(40 * t + seed)
    fan = across * (0.95 * (t - 0.42) + tuft + 0.15 * rng.normal(size=len(t)))[:, None]
    height = np.where(upper, -0.05, -0.55)[:, None] * np.array([0, 1.0, 0])
    direction = unit(np.array([0, 0, 1.0]) + 0.3 * normals[loop[pick]] + fan + height)
    bend = np.where(upper, 0.62, -0.05)[:, None] * np.array([0, 1.0, -0.25]) * length[:, None]
    return loop[pick], lines(points, direction, length, bend, 5)
