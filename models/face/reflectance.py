"""Linear albedo modes of skin, lips, brows, eyes: one weight each, N(0, 1) in the population.

Skin tone runs along melanin, which darkens blue most, and redness along haemoglobin, which absorbs
green and blue. The ends of the tone range are linear sRGB of measured skin: about
(0.72, 0.465, 0.345) for the lightest and (0.125, 0.060, 0.037) for the darkest.
"""

from __future__ import annotations

import numpy as np

LIGHT, DARK = np.array([0.72, 0.465, 0.345]), np.array([0.125, 0.060, 0.037])
HAEMOGLOBIN = np.array([0.10, 0.62, 0.42])  # relative absorption in R, G, B
BLOTCH_WAVES = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2), (2, 2))  # low waves over the chart
MODE_NAMES = (
    "tone", "tone_warmth", "redness", "lips_red", "lips_dark", "cheeks", "nose_ears", "under_eyes",
    "brows", "beard", "iris_blue", "iris_light", "sclera", "lids", "forehead", "scalp",
    *(f"blotch_{i}" for i in range(2 * len(BLOTCH_WAVES))),
)  # fmt: skip


def bump(chart: np.ndarray, centre, radius) -> np.ndarray:
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


def regions(chart: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """Soft masks (P,) over chart positions (P, 2)."""
    brow = 0.0
    for indices in (range(17, 22), range(22, 27)):
        line = landmarks[list(indices)] + [0, 0.004]
        t = np.interp(chart[:, 0], line[:, 0], line[:, 1])
        ends = np.clip((chart[:, 0] - line[0, 0] + 0.01) / 0.02, 0, 1) * np.clip((line[-1, 0] - chart[:, 0] + 0.01) / 0.02, 0, 1)
        brow = np.maximum(brow, np.exp(-0.5 * ((chart[:, 1] - t) / 0.011) ** 2) * ends)
    lips = inside(chart, landmarks[48:60]) | inside(chart * [-1, 1] + [1, 0], landmarks[48:60])  # vertices on the line: both sides
    lips = lips.astype(float)
    lower_face = np.clip((0.50 - chart[:, 1]) / 0.06, 0, 1) * np.clip((chart[:, 1] - 0.19) / 0.05, 0, 1)
    beard = lower_face * np.clip((0.37 - np.abs(chart[:, 0] - 0.5)) / 0.05, 0, 1) * (1 - lips)
    return {
        "brow": brow,
        "lips": lips,
        "beard": np.maximum(beard, bump(chart, (0.47, 0.53), (0.05, 0.012)) * (1 - lips)),
        "cheeks": bump(chart, (0.30, 0.58), (0.07, 0.06)),
        "nose": np.maximum(bump(chart, (0.5, 0.60), (0.045, 0.045)), bump(chart, (0.05, 0.58), (0.06, 0.1))),
        "under_eyes": bump(chart, (0.36, 0.69), (0.035, 0.014)),
        "lids": bump(chart, (0.35, 0.735), (0.04, 0.018)),
        "forehead": bump(chart, (0.5, 0.88), (0.2, 0.07)),
        "scalp": np.clip((chart[:, 1] - 0.955) / 0.03, 0, 1),
    }


def albedo_modes(mean: np.ndarray, chart: np.ndarray, spans: dict, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean albedo (V, 3) and modes (B, V, 3), linear RGB, for the head's vertices.

    ``mean`` (V, 3) are the vertices, ``chart`` (V, 2) their chart positions (NaN off the face),
    ``spans`` the slice of each part.
    """
    count, modes = len(mean), {name: np.zeros((len(mean), 3)) for name in MODE_NAMES}
    on_face = spans["face"]
    region = {name: np.zeros(count) for name in regions(chart[on_face], landmarks)}
    for name, mask in regions(chart[on_face], landmarks).items():
        region[name][on_face] = mask
    region["scalp"][spans["back"]] = np.clip((mean[spans["back"], 1] - 0.0) / 2.0, 0, 1)
    skin = np.zeros((count, 1))
    for part in ("face", "back", "rim_L", "rim_R"):
        skin[spans[part]] = 1
    middle = np.exp(0.62 * np.log(LIGHT) + 0.38 * np.log(DARK))
    albedo = skin * middle
    skin_modes(modes, region, skin, middle)
    albedo = albedo * (1 - 0.5 * region["brow"][:, None]) * np.exp(-0.35 * region["lips"][:, None] * HAEMOGLOBIN * 1.6)
    blotches(modes, mean, skin, middle)
    for side in ("L", "R"):
        eye_colours(albedo, modes, mean, spans[f"eye_{side}"])
    albedo[spans["teeth"]] = (0.62, 0.57, 0.47)
    albedo[spans["mouth"]] = (0.10, 0.02, 0.018)
    return albedo, np.stack([modes[name] for name in MODE_NAMES])


def skin_modes(modes: dict, region: dict, skin: np.ndarray, middle: np.ndarray) -> None:
    """Fill the modes that live on skin; each is scaled so that ±2 spans what people show."""
    spot = lambda name: region[name][:, None]
    modes["tone"] += skin * (LIGHT - DARK) * 0.25
    modes["tone_warmth"] += skin * middle * np.array([0.06, 0.0, -0.12])
    modes["redness"] += -skin * middle * HAEMOGLOBIN * 0.11
    modes["lips_red"] += spot("lips") * middle * np.array([0.10, -0.14, -0.08])
    modes["lips_dark"] += -spot("lips") * middle * 0.16
    modes["cheeks"] += -spot("cheeks") * middle * HAEMOGLOBIN * 0.14
    modes["nose_ears"] += -spot("nose") * middle * HAEMOGLOBIN * 0.12
    modes["under_eyes"] += -spot("under_eyes") * middle * np.array([0.18, 0.2, 0.12])
    modes["brows"] += -spot("brow") * middle * 0.32
    modes["beard"] += -spot("beard") * middle * np.array([0.26, 0.24, 0.2])
    modes["lids"] += -spot("lids") * middle * np.array([0.12, 0.16, 0.13])
    modes["forehead"] += spot("forehead") * middle * 0.08
    modes["scalp"] += -spot("scalp") * middle * 0.4


def blotches(modes: dict, mean: np.ndarray, skin: np.ndarray, middle: np.ndarray) -> None:
    """Smooth unevenness of pigment and of blood, as low waves over the head."""
    x, y = mean[:, 0] / 9.0, (mean[:, 1] + 1.0) / 11.0
    for i, (a, b) in enumerate(BLOTCH_WAVES):
        wave = (np.cos(np.pi * a * (x + 1) / 2) * np.cos(np.pi * b * (y + 1) / 2))[:, None]
        modes[f"blotch_{2 * i}"] += skin * wave * middle * 0.018
        modes[f"blotch_{2 * i + 1}"] += -skin * wave * middle * HAEMOGLOBIN * 0.025


def eye_colours(albedo: np.ndarray, modes: dict, mean: np.ndarray, span: slice) -> None:
    """Sclera, iris and pupil by the angle from the eyeball's front pole."""
    points = mean[span]
    centre = points.mean(axis=0) * [1, 1, 0] + [0, 0, (points[:, 2].max() + points[:, 2].min()) / 2]
    radius = (points[:, 2].max() - points[:, 2].min()) / 2
    angle = np.degrees(np.arccos(np.clip((points[:, 2] - centre[2]) / radius, -1, 1)))
    pupil, iris = angle < 9, angle < 22.5
    colour = np.full((len(points), 3), (0.62, 0.57, 0.54))
    colour[iris] = (0.085, 0.045, 0.022)
    colour[pupil] = 0.006
    albedo[span] = colour
    ring = (iris & ~pupil)[:, None].astype(float)
    modes["iris_blue"][span] = ring * np.array([-0.02, 0.022, 0.075])
    modes["iris_light"][span] = ring * np.array([0.045, 0.038, 0.022])
    modes["sclera"][span] = (~iris)[:, None] * np.array([0.04, 0.03, 0.02])
