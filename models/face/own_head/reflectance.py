"""Linear albedo modes of skin, lips, brows, eyes: one weight each, N(0, 1) in the population.

Skin tone runs along melanin, which darkens blue most, and redness along haemoglobin, which absorbs
green and blue. The tone's ends are linear sRGB of very light and of dark skin; what they are as
individual typology angles, and which publications the ranges are held against, is in docs/face.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from models.face.own_head.topology import NOSTRIL_BLOCK, smooth_loop

LIGHT, DARK = np.array([0.72, 0.465, 0.345]), np.array([0.125, 0.060, 0.037])
MIDDLE = np.exp(0.62 * np.log(LIGHT) + 0.38 * np.log(DARK))  # the mean skin: between them in optical density
HAEMOGLOBIN = np.array([0.10, 0.62, 0.42])  # change of optical density in R, G, B per unit of blood
BLOOD = {"cheeks": 0.18, "nose": 0.22, "lips": 0.75, "under_eyes": 0.12}  # more of it in the mean face, where skin is thin
# Harmonics cast no shadows, so what lies inside the nostrils is painted dark.
NOSTRIL_REACH, NOSTRIL_SHADE = 0.74, 0.8
ENAMEL, GUMS = np.array([0.62, 0.57, 0.47]), np.array([0.30, 0.10, 0.09])
CROWN, GUM_LINE = 0.32, 0.2  # of a tooth's height: how much stands out of the gums, and over how much these begin
LIP_EDGE = 0.010  # width of the lips' edge in the chart
BLOTCH_WAVES = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2), (2, 2))  # low waves over the chart
MODE_NAMES = (
    "tone", "tone_warmth", "redness", "lips_red", "lips_dark", "cheeks", "nose_ears", "under_eyes",
    "brows", "beard", "iris_blue", "iris_light", "sclera", "lids", "forehead", "scalp",
    *(f"blotch_{i}" for i in range(2 * len(BLOTCH_WAVES))),
)  # fmt: skip


def bump(chart: np.ndarray, centre: Sequence[float] | np.ndarray, radius: ArrayLike) -> np.ndarray:
    """Gaussian spot in the chart, mirrored about its middle; radius is (u, v) or one number."""
    radius = np.broadcast_to(np.asarray(radius, float), 2)
    spots = 0.0
    for u in {centre[0], 1 - centre[0]}:
        spots = spots + np.exp(-0.5 * np.sum(((chart - [u, centre[1]]) / radius) ** 2, axis=1))
    return np.clip(spots, 0, 1)


def inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which points (P, 2) lie in a closed polygon (n, 2), by crossing number."""
    result = np.zeros(len(points), bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        slope = (b[0] - a[0]) / (b[1] - a[1] if b[1] != a[1] else 1e-12)
        result ^= crosses & (points[:, 0] < a[0] + slope * (points[:, 1] - a[1]))
    return result


def signed_distance(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Distance (P,) of points (P, 2) from a closed polygon's line, negative inside."""
    nearest = np.full(len(points), np.inf)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        side = b - a
        r = np.clip((points - a) @ side / max(side @ side, 1e-18), 0, 1)
        nearest = np.minimum(nearest, np.sum((a + r[:, None] * side - points) ** 2, axis=1))
    return np.sqrt(nearest) * np.where(inside(points, polygon), -1, 1)


def brow_mask(chart: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Both brows (P,): full and blunt by the nose, thinner outward."""
    brow = np.zeros(len(chart))
    right, left = landmarks[17:22], landmarks[22:27][::-1] * [-1, 1] + [1, 0]
    for line, u in ((right, chart[:, 0]), (left, 1 - chart[:, 0])):  # each from the temple to the nose
        along = (u - line[0, 0]) / (line[-1, 0] - line[0, 0])
        height = np.interp(u, line[:, 0], line[:, 1] + 0.003)
        thickness = np.interp(along, [0, 0.6, 1], [0.005, 0.010, 0.012])
        ends = smooth_step((along + 0.06) / 0.16) * smooth_step((1.06 - along) / 0.12)
        brow = np.maximum(brow, np.exp(-0.5 * ((chart[:, 1] - height) / thickness) ** 2) * ends)
    return brow


def smooth_step(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def regions(chart: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """Soft masks (P,) over chart positions (P, 2); ``landmarks`` (68, 2) are positions in the chart."""
    across = np.abs(chart[:, 0] - 0.5)
    lips, outline = np.zeros(len(chart)), smooth_loop(landmarks[48:60], (0, 6), samples=6)
    near = ((chart > outline.min(axis=0) - LIP_EDGE) & (chart < outline.max(axis=0) + LIP_EDGE)).all(axis=1)
    lips[near] = smooth_step(0.5 - signed_distance(chart[near], outline) / LIP_EDGE)
    lower_face = smooth_step((0.51 - chart[:, 1]) / 0.08) * smooth_step((chart[:, 1] - 0.18) / 0.07)
    beard = lower_face * smooth_step((0.39 - across) / 0.09)
    moustache = bump(chart, (0.47, 0.53), (0.05, 0.012))
    return {
        "brow": brow_mask(chart, landmarks),
        "lips": lips,
        "beard": np.maximum(beard, moustache) * (1 - lips),
        "cheeks": bump(chart, (0.30, 0.58), (0.07, 0.06)),
        "nose": np.maximum(bump(chart, (0.5, 0.60), (0.045, 0.045)), bump(chart, (0.05, 0.58), (0.06, 0.1))),
        "under_eyes": bump(chart, (0.36, 0.69), (0.035, 0.014)),
        "lids": bump(chart, (0.35, 0.735), (0.04, 0.018)),
        "forehead": bump(chart, (0.5, 0.88), (0.2, 0.07)),
        "scalp": smooth_step((chart[:, 1] - 0.93) / 0.065),
        "nostrils": smooth_step((NOSTRIL_REACH - nostril_distance(chart)) / 0.3),
    }


def nostril_distance(chart: np.ndarray) -> np.ndarray:
    """How far from the nearer nostril's middle (P,), 1 at the sides of the block that the topology gives it."""
    (left, right), (low, high) = NOSTRIL_BLOCK
    u = np.minimum(chart[:, 0], 1 - chart[:, 0])
    x, y = (u - (left + right) / 2) * 2 / (right - left), (chart[:, 1] - (low + high) / 2) * 2 / (high - low)
    return np.hypot(x, y)


def albedo_modes(
    mean: np.ndarray, chart: np.ndarray, spans: dict, landmarks: np.ndarray, eyes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean albedo (V, 3) and modes (B, V, 3), linear RGB, for the head's vertices.

    ``mean`` (V, 3) are the vertices, ``chart`` (V, 2) their chart positions (NaN off the face),
    ``spans`` the slice of each part, ``eyes`` (2, 3) the eyeballs' centres.
    """
    count, modes = len(mean), {name: np.zeros((len(mean), 3)) for name in MODE_NAMES}
    on_face = spans["face"]
    region = {name: np.zeros(count) for name in regions(chart[on_face][:1], landmarks)}
    for name, mask in regions(chart[on_face], landmarks).items():
        region[name][on_face] = mask
    region["scalp"][spans["back"]] = smooth_step((mean[spans["back"], 1] + 1.0) / 5.0)
    skin = np.zeros((count, 1))
    for part in ("face", "back", "rim_L", "rim_R"):
        skin[spans[part]] = 1
    blood = sum((amount * region[name] for name, amount in BLOOD.items()), np.zeros(count))
    albedo = skin * MIDDLE * np.exp(-blood[:, None] * HAEMOGLOBIN) * (1 - 0.5 * region["brow"][:, None])
    albedo *= 1 - NOSTRIL_SHADE * region["nostrils"][:, None]
    skin_modes(modes, region, skin * albedo / MIDDLE)
    blotches(modes, mean, skin)
    for centre, side in zip(eyes, ("L", "R"), strict=True):
        eye_colours(albedo, modes, mean - centre, spans[f"eye_{side}"])
    return albedo, np.stack([modes[name] for name in MODE_NAMES])


def paint_mouth(albedo: np.ndarray, mean: np.ndarray, spans: dict) -> None:
    """Colour teeth and the mouth's inside of the head's vertices (V, 3); ``albedo`` (V, 3) in place."""
    albedo[spans["teeth"]] = teeth_colours(mean[spans["teeth"]])
    albedo[spans["mouth"]] = (0.10, 0.02, 0.018)


def teeth_colours(points: np.ndarray) -> np.ndarray:
    """Linear RGB of the teeth's vertices (32 M, 3), upper row first: their boxes hold the roots too, which gums cover."""
    height = points.reshape(32, -1, 3)[..., 1]
    low, high = height.min(axis=1, keepdims=True), height.max(axis=1, keepdims=True)
    from_edge = (height - low) / (high - low)
    from_edge[16:] = 1 - from_edge[16:]
    gums = smooth_step((from_edge.reshape(-1, 1) - CROWN) / GUM_LINE)
    return ENAMEL + gums * (GUMS - ENAMEL)


def skin_modes(modes: dict, region: dict, pattern: np.ndarray) -> None:
    """Fill the modes that live on skin; each is scaled so that ±2 spans what people show.

    ``pattern`` (V, 3) is the mean skin over its base colour: tones keep lips, cheeks and brows in proportion.
    """
    spot = lambda name: region[name][:, None] * MIDDLE
    modes["tone"] += pattern * (MIDDLE - DARK) * 0.43  # −2.3 is dark skin, +3 very light skin
    modes["tone_warmth"] += pattern * MIDDLE * np.array([0.05, 0.0, -0.09])
    modes["redness"] += -pattern * MIDDLE * HAEMOGLOBIN * 0.08
    modes["lips_red"] += spot("lips") * np.array([0.05, -0.065, -0.035])
    modes["lips_dark"] += -spot("lips") * 0.12
    modes["cheeks"] += -spot("cheeks") * HAEMOGLOBIN * 0.14
    modes["nose_ears"] += -spot("nose") * HAEMOGLOBIN * 0.12
    modes["under_eyes"] += -spot("under_eyes") * np.array([0.13, 0.15, 0.09])
    modes["brows"] += -spot("brow") * 0.24
    modes["beard"] += -spot("beard") * np.array([0.20, 0.185, 0.155])
    modes["lids"] += -spot("lids") * np.array([0.1, 0.13, 0.11])
    modes["forehead"] += spot("forehead") * 0.08
    modes["scalp"] += -spot("scalp") * 0.2


def blotches(modes: dict, mean: np.ndarray, skin: np.ndarray) -> None:
    """Smooth unevenness of pigment and of blood, as low waves over the head."""
    x, y = mean[:, 0] / 9.0, (mean[:, 1] + 1.0) / 11.0
    for i, (a, b) in enumerate(BLOTCH_WAVES):
        wave = (np.cos(np.pi * a * (x + 1) / 2) * np.cos(np.pi * b * (y + 1) / 2))[:, None]
        modes[f"blotch_{2 * i}"] += skin * wave * MIDDLE * 0.018
        modes[f"blotch_{2 * i + 1}"] += -skin * wave * MIDDLE * HAEMOGLOBIN * 0.025


def eye_colours(albedo: np.ndarray, modes: dict, offsets: np.ndarray, span: slice) -> None:
    """Sclera, iris and pupil by the angle between ``offsets`` (V, 3) from the eyeball's centre and its axis."""
    points = offsets[span]
    angle = np.degrees(np.arccos(np.clip(points[:, 2] / np.linalg.norm(points, axis=1), -1, 1)))
    pupil, iris = angle < 8, angle < 22.5
    limbus = iris & (angle > 20)
    colour = np.full((len(points), 3), (0.62, 0.57, 0.54))
    colour[iris] = (0.075, 0.054, 0.030)
    colour[limbus] *= 0.5
    colour[pupil] = 0.006
    albedo[span] = colour
    ring = (iris & ~pupil)[:, None] * np.where(limbus, 0.4, 1.0)[:, None]
    modes["iris_blue"][span] = ring * np.array([0.012, 0.015, 0.034])
    modes["iris_light"][span] = ring * np.array([0.032, 0.025, 0.014])
    modes["sclera"][span] = (~iris)[:, None] * np.array([0.04, 0.03, 0.02])
