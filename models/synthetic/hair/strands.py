"""Hair, brows, lashes and beards as strands, grown from roots on the head in numpy.

All positions are in the model frame, centimetres. A strand is a row of points from root to tip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.head import FIGURES, chart_from_uv
from models.face.model import FaceModel
from models.face.reflectance import inside, regions

CENTRE = np.array([0.0, 4.5, -0.5])  # directions from here tell where on the head a point lies
AZIMUTHS, ELEVATIONS = 48, 24
STEPS, STEPS_SHORT = 12, 6  # segments of a strand of head hair
SHORT = 8.0  # cm
# Lowest elevation of the hairline (degrees) by azimuth from the front, seen from (0, 5, 0).
HAIRLINE_AZIMUTH = np.array([0, 25, 45, 62, 80, 100, 120, 180.0])
HAIRLINE_ELEVATION = np.array([37, 36, 31, 16, 2, -14, -32, -44.0])

# length cm (front, top, sides, back), lift off the scalp, comb (sideways, forward), stiffness 0–1, curl, density, receding (degrees)
STYLES = {
    "bald": (0.3, 0.3, 0.3, 0.3, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 4),
    "buzz": (0.5, 0.5, 0.4, 0.4, 0.9, 0.1, 0.3, 1.0, 0.0, 1.0, 1),
    "crop": (2.5, 2.8, 1.2, 1.2, 0.55, 0.3, 0.6, 0.9, 0.1, 1.0, 0),
    "side_part": (7.0, 6.5, 2.2, 2.0, 0.30, 1.0, 0.1, 0.6, 0.05, 1.0, 0),
    "quiff": (6.0, 5.0, 1.3, 1.3, 0.85, 0.2, -0.6, 0.85, 0.1, 1.0, 0),
    "slick_back": (11.0, 10.0, 6.0, 5.0, 0.10, 0.1, -1.2, 0.3, 0.0, 1.0, 2),
    "receding": (3.0, 3.0, 2.2, 2.2, 0.35, 0.4, -0.4, 0.7, 0.1, 0.75, 12),
    "bowl": (6.5, 11.0, 8.5, 7.0, 0.18, 0.2, 1.2, 0.4, 0.0, 1.0, 0),
    "messy": (6.0, 6.5, 5.0, 5.0, 0.65, 0.4, 0.5, 0.6, 0.45, 1.0, 0),
    "curly_short": (5.0, 6.0, 4.0, 4.0, 0.75, 0.2, 0.2, 0.7, 1.3, 1.0, 0),
    "afro": (8.0, 9.0, 8.0, 8.0, 1.6, 0.0, 0.0, 1.0, 1.9, 1.0, 0),
    "bob": (19.0, 20.0, 16.0, 13.0, 0.15, 1.0, -0.25, 0.25, 0.05, 1.0, 0),
    "long_straight": (36.0, 38.0, 34.0, 32.0, 0.12, 1.0, -0.3, 0.15, 0.0, 1.0, 0),
    "long_wavy": (34.0, 36.0, 32.0, 30.0, 0.22, 1.0, -0.3, 0.2, 0.55, 1.0, 0),
    "pulled_back": (17.0, 17.0, 13.0, 9.0, 0.05, 0.0, -1.6, 0.1, 0.0, 1.0, 0),
    "fringe": (7.0, 34.0, 32.0, 30.0, 0.15, 0.5, 0.5, 0.2, 0.0, 1.0, 0),
}  # fmt: skip
STYLE_NAMES = tuple(STYLES)
FIELDS = ("front", "top", "side", "back", "lift", "sideways", "forward", "stiff", "curl", "density", "recede")


@dataclass
class Roots:
    """Where strands may start: triangles (R,), barycentrics and place on the mean head (R, 3), random numbers (R, 3), margin (R,).

    The margin is degrees above the hairline on the scalp, and how deep in its region elsewhere.
    """

    triangles: np.ndarray
    weights: np.ndarray
    home: np.ndarray
    chance: np.ndarray
    margin: np.ndarray

    def take(self, keep: np.ndarray) -> Roots:
        """Some of them."""
        return Roots(self.triangles[keep], self.weights[keep], self.home[keep], self.chance[keep], self.margin[keep])

    def place(self, corners: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and unit normals (R, 3) on one head (V, 3) of triangles ``corners`` (F, 3)."""
        index = corners[self.triangles]
        points = np.einsum("rcx,rc->rx", vertices[index], self.weights)
        normal = np.einsum("rcx,rc->rx", normals[index], self.weights)
        return points, normal / np.linalg.norm(normal, axis=1, keepdims=True)


def landmark_chart() -> np.ndarray:
    """The 68 landmarks in the chart (68, 2)."""
    with np.load(FIGURES, allow_pickle=False) as archive:
        return archive["landmark68_chart"].astype(float)


@dataclass
class Candidates:
    """Points spread by area over the skin of the mean head: triangles (R,), barycentrics, points (R, 3), chart (R, 2)."""

    triangles: np.ndarray
    weights: np.ndarray
    points: np.ndarray
    chart: np.ndarray  # -9 off the face
    chance: np.ndarray

    def roots(self, count: int, accept, skip: int = 0) -> Roots:
        """The first ``count`` of them after ``skip`` where ``accept(points, chart)`` gives a margin > 0."""
        margin = accept(self.points, self.chart)
        keep = np.flatnonzero(margin > 0)[skip : skip + count]
        return Roots(self.triangles[keep], self.weights[keep], self.points[keep], self.chance[keep], margin[keep])


def scatter(face: FaceModel, count: int = 700_000, seed: int = 1) -> Candidates:
    """Where hair may root: enough points that the small brows have theirs."""
    rng = np.random.default_rng(seed)
    triangles, mean = face.triangles.numpy(), face.mean.numpy()
    corners = mean[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    area = area * (face.masks["skin"].numpy()[triangles].min(axis=1) > 0.5)
    pick = rng.choice(len(triangles), size=count, p=area / area.sum())
    weights = rng.dirichlet((1, 1, 1), size=count)
    points = np.einsum("rcx,rc->rx", corners[pick], weights)
    uv = face.uv.numpy()[face.uv_triangles.numpy()[pick]]
    chart = np.einsum("rcx,rc->rx", chart_from_uv(uv.reshape(-1, 2)).reshape(uv.shape), weights)
    chart[uv[:, :, 1].min(axis=1) <= 0.215] = -9
    return Candidates(pick, weights, points, chart, rng.random((count, 3)))


def scalp_margin(points: np.ndarray, chart: np.ndarray | None = None) -> np.ndarray:
    """Degrees above the widest hairline; ears are left out."""
    offset = points - [0, 5, 0]
    azimuth = np.degrees(np.abs(np.arctan2(offset[:, 0], offset[:, 2])))
    elevation = np.degrees(np.arctan2(offset[:, 1], np.hypot(offset[:, 0], offset[:, 2])))
    margin = elevation - np.interp(azimuth, HAIRLINE_AZIMUTH, HAIRLINE_ELEVATION)
    ear = (np.abs(points[:, 0]) > 7.0) & (points[:, 1] < 4.5) & (points[:, 2] > -3.5)
    return np.where(ear, -1, margin)


def region_margin(landmarks: np.ndarray, name: str):
    """An ``accept`` for a soft region of the chart (brow, beard)."""

    def accept(points, chart):
        mouth = inside(chart, landmarks[48:60])
        return np.where((chart[:, 0] > -1) & ~mouth, regions(chart, landmarks)[name] - 0.3, -1)

    return accept


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 3) scaled to length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


class Skull:
    """How far the head reaches in each direction from ``CENTRE``: keeps strands outside it."""

    def __init__(self, vertices: np.ndarray):
        row, column, distance = self.cells(vertices)
        reach = np.zeros((ELEVATIONS, AZIMUTHS))
        np.maximum.at(reach, (row.astype(int), column.astype(int) % AZIMUTHS), distance)
        for _ in range(12):  # empty cells take their neighbours' reach
            around = np.maximum(np.maximum(np.roll(reach, 1, 1), np.roll(reach, -1, 1)), np.pad(reach, ((1, 1), (0, 0)))[2:])
            reach = np.where(reach > 0, reach, 0.98 * around)
        padded = np.pad(reach, ((1, 1), (0, 0)), mode="edge")
        self.reach = 0.5 * reach + 0.25 * (padded[2:] + padded[:-2])

    @staticmethod
    def cells(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column (fractional) and distance (P,) of points."""
        offset = points - CENTRE
        distance = np.linalg.norm(offset, axis=-1)
        elevation = np.arcsin(np.clip(offset[..., 1] / np.maximum(distance, 1e-9), -1, 1))
        row = np.clip((elevation / np.pi + 0.5) * ELEVATIONS, 0, ELEVATIONS - 1e-6)
        return row, (np.arctan2(offset[..., 0], offset[..., 2]) / (2 * np.pi) + 0.5) * AZIMUTHS, distance

    def push_out(self, points: np.ndarray, layer: np.ndarray) -> np.ndarray:
        """Points (R, 3) moved along their direction to at least the head's reach plus ``layer`` (R,) cm."""
        row, column, distance = self.cells(points)
        low, left = np.clip(np.floor(row - 0.5).astype(int), 0, ELEVATIONS - 2), np.floor(column - 0.5).astype(int)
        a, b = np.clip(row - 0.5 - low, 0, 1), column - 0.5 - left
        at = lambda r, c: self.reach[r, c % AZIMUTHS]
        reach = (1 - a) * ((1 - b) * at(low, left) + b * at(low, left + 1)) + a * ((1 - b) * at(low + 1, left) + b * at(low + 1, left + 1))
        factor = np.maximum((reach + layer) / np.maximum(distance, 1e-6), 1.0)
        return CENTRE + (points - CENTRE) * factor[:, None]


def style_shares(look: dict) -> np.ndarray:
    """How much of each style (16, …) is in a haircut: mostly the one of the highest score; of those that tie, a mixture."""
    scores = np.stack([look[f"style_{name}"] for name in STYLE_NAMES])
    share = np.exp(7.0 * (scores - scores.max(axis=0)))
    return share / share.sum(axis=0)


def blended_style(look: dict) -> dict:
    """The haircut by its fields, of one person (numbers) or of many (arrays)."""
    mixed = np.array([STYLES[name] for name in STYLE_NAMES]).T @ style_shares(look)
    style = dict(zip(FIELDS, mixed, strict=True))
    stretch = np.clip(np.exp(0.22 * look["hair_length"]), 0.6, 1.6)
    for name in ("front", "top", "side", "back"):
        style[name] = style[name] * stretch
    style["lift"] = style["lift"] * np.exp(0.25 * look["hair_volume"])
    style["curl"] = style["curl"] * np.exp(0.3 * look["hair_curl"]) + 0.05
    style["recede"] = style["recede"] + np.maximum(0.0, 1.0 + 2.5 * look["hairline"])
    return style


def scalp_strands(roots: Roots, corners, vertices, normals, skull: Skull, down: np.ndarray, look: dict) -> tuple[np.ndarray, np.ndarray]:
    """Head hair of one person: strands (R, K, 3) and a random number each (R, 3).

    ``down`` (3,) is gravity in the head's frame.
    """
    style = blended_style(look)
    mean_height = roots.margin  # receding hairlines withdraw at the temples and the front only
    points, normal = roots.place(corners, vertices, normals)
    front = np.clip((points[:, 2] - 0.5) / 3.0, 0, 1)
    grow = (mean_height > style["recede"] * front) & (roots.chance[:, 0] < style["density"])
    roots, points, normal, front = roots.take(grow), points[grow], normal[grow], front[grow]
    chance = roots.chance
    high = np.clip((points[:, 1] - 6.5) / 4.0, 0, 1)
    behind = np.clip((-points[:, 2] - 1.0) / 4.0, 0, 1)
    length = style["side"] * (1 - behind) + style["back"] * behind
    length = (1 - high) * length + high * (style["front"] * front + style["top"] * (1 - front))
    length = length * (0.8 + 0.35 * chance[:, 1]) * np.clip((roots.margin - style["recede"] * front) / 5.0 + 0.35, 0.35, 1)
    direction = comb(points, normal, front, high, style, look)
    layer = 0.05 + np.minimum(0.06 * length + 0.1, 1.4) * chance[:, 2] * (0.35 + style["lift"])
    strands = grow_strands(points, direction, length, layer, style, skull, down, chance)
    return strands, chance


def comb(points, normal, front, high, style, look) -> np.ndarray:
    """Unit directions (R, 3) in which strands leave the scalp."""
    part = 2.6 * np.tanh(look["hair_part"])
    away = np.tanh((points[:, 0] - part * (0.4 + 0.6 * high)) / 0.9)
    field = np.zeros_like(points)
    field[:, 0] = style["sideways"] * away * high + 0.25 * np.sign(points[:, 0]) * (1 - high)
    fringe = style["forward"] > 0.3
    field[:, 2] = style["forward"] * (np.where(front > 0.25, 1.0, 0.1 * np.sign(points[:, 2])) if fringe else 1.0)
    field[:, 1] -= (1 - high) * (0.9 if style["forward"] > -1.0 else 0.1)
    field -= np.sum(field * normal, axis=1, keepdims=True) * normal
    return unit(unit(field) * min(1.0, 1.6 - 0.6 * style["lift"]) + style["lift"] * normal)


def grow_strands(points, direction, length, layer, style, skull: Skull, down, chance) -> np.ndarray:
    """Strands (R, K, 3): bent by gravity, curled, kept outside the head and off the face."""
    steps = STEPS_SHORT if style["top"] < SHORT else STEPS
    step = (length / steps)[:, None]
    weight = 0.5 * (1 - style["stiff"]) ** 1.5
    tied = max(0.0, -style["forward"] - 1.1) * 2  # hair pulled back gathers behind the crown
    strand, p, d = [points], points, direction
    for i in range(steps):
        d = d + weight * np.minimum(step, 1.5) * down
        if tied:
            d = d + tied * 0.5 * unit(np.array([0.0, 3.0, -10.5]) - p)
        d = unit(d)
        p = skull.push_out(p + d * step, layer * min(1.0, (i + 1) / 3))
        p = beside_face(p, style)
        d = unit(0.5 * d + 0.5 * unit(p - strand[-1]))
        strand.append(p)
    strands = np.stack(strand, axis=1)
    return strands + curls(length, chance, style["curl"], strands)


def beside_face(p: np.ndarray, style: dict) -> np.ndarray:
    """Move points (R, 3) that hang before the face to its sides; a fringe may hang to the brows."""
    lowest = 5.2 if style["forward"] > 0.3 else 8.5
    before = (p[:, 2] > 2.0) & (p[:, 1] < lowest)
    side = np.where(p[:, 0] >= 0, 1.0, -1.0)
    wide = 7.0 + 0.25 * np.clip(-p[:, 1], 0, 6) * 0.4
    x = np.where(before & (p[:, 0] * side < wide), side * wide, p[:, 0])
    return np.stack((x, p[:, 1], np.where(before, np.minimum(p[:, 2], 5.5), p[:, 2])), axis=1)


def curls(length, chance, amount: float, strands: np.ndarray) -> np.ndarray:
    """Offsets (R, K, 3): each strand winds round its way; neighbours wind alike, in locks."""
    t = np.linspace(0, 1, strands.shape[1])[None, :]
    lock = np.floor(strands[:, 0] / 1.3).astype(int) @ np.array([73, 179, 283]) % 97 / 97.0
    turns = np.minimum(length / 5.0, 6.0)[:, None] * (0.8 + 0.4 * lock[:, None])
    phase = 2 * np.pi * (lock[:, None] + 0.12 * chance[:, :1]) + 2 * np.pi * turns * t
    radius = np.minimum(0.55 * amount, 0.9) * np.minimum(t * length[:, None] / 2.5, 1.0) * (0.7 + 0.6 * chance[:, 1:2])
    wander = 0.18 * np.minimum(t * length[:, None] / 4.0, 1.5) * (chance[:, 2:3] - 0.5)
    return np.stack((radius * np.cos(phase) + wander, 0.4 * radius * np.sin(0.7 * phase), radius * np.sin(phase) - wander), axis=-1)


def with_children(strands: np.ndarray, count: int, spread: float, seed: int) -> np.ndarray:
    """Each strand and ``count`` − 1 companions beside it, (count · R, K, 3)."""
    rng = np.random.default_rng(seed)
    offsets = rng.normal(size=(count, len(strands), 1, 3)) * spread
    offsets[0] = 0
    taper = (1.0 - 0.45 * np.linspace(0, 1, strands.shape[1]))[:, None]
    return (strands[None] + offsets * taper).reshape(-1, *strands.shape[1:])


def fibre_lines(points: np.ndarray, direction: np.ndarray, length: np.ndarray, bend: np.ndarray, steps: int) -> np.ndarray:
    """Short strands (R, steps + 1, 3) that bend by ``bend`` (R, 3) cm at their tips."""
    t = np.linspace(0, 1, steps + 1)[None, :, None]
    return points[:, None] + direction[:, None] * length[:, None, None] * t + bend[:, None] * t**2


def beard_strands(roots: Roots, corners, vertices, normals, look: dict) -> np.ndarray:
    """Beard and moustache (R, 6, 3) of one person; most have none."""
    cheek, lip = beard_amounts(look)
    points, normal = roots.place(corners, vertices, normals)
    upper = (roots.home[:, 1] > -3.1) & (np.abs(roots.home[:, 0]) < 2.7)  # between nose and lip
    density = np.where(upper, lip, cheek) * np.clip(roots.margin / 0.25, 0.25, 1)
    keep = roots.chance[:, 0] < density
    points, normal, chance, upper = points[keep], normal[keep], roots.chance[keep], upper[keep]
    long = 0.35 + 1.3 * float(np.clip(np.exp(0.9 * look["beard_length"]) - 0.4, 0.0, 3.0))
    length = np.where(upper, min(long, 0.9), long) * (0.5 + 0.7 * chance[:, 1])
    sideways = 0.5 * np.sign(points[:, :1]) * np.clip(np.abs(points[:, :1]), 0, 1) * np.where(upper[:, None], 1.6, 0.3)
    d = unit(0.55 * normal + np.concatenate((sideways, np.full((len(points), 1), -0.9), np.zeros((len(points), 1))), axis=1))
    bend = (chance - 0.5) * (0.35 * length)[:, None] + np.array([0.0, -0.25, 0.0]) * length[:, None]
    return fibre_lines(points, d, length, bend, 5)


def make_up(look: dict) -> np.ndarray:
    """How much make-up a person, or each of many, wears, 0–1."""
    return np.clip(0.9 * (look["make_up"] - 0.1), 0, 1)


def beard_amounts(look: dict) -> tuple[np.ndarray, np.ndarray]:
    """How dense the beard is on cheeks and chin, and above the lip, 0–1; of one person or of many."""
    cheek = np.clip((look["beard"] - 0.75) * 1.6, 0, 1) * (1 - make_up(look))
    moustache = np.clip((look["moustache"] - 0.9) * 1.6, 0, 1) * (1 - make_up(look))
    return cheek, np.maximum(cheek, moustache)


def brow_strands(roots: Roots, corners, vertices, normals, look: dict) -> np.ndarray:
    """Eyebrows (R, 4, 3): short strands along the brow, outward and a little up at its root."""
    amount = float(np.clip(0.5 + 0.2 * look["brow_thick"], 0.15, 1))
    keep = (roots.margin > 0.55 * (1 - amount)) & (roots.chance[:, 0] < 0.3 + 0.6 * amount)
    points, normal = roots.place(corners, vertices, normals)
    points, normal, chance = points[keep], normal[keep], roots.chance[keep]
    outward = np.sign(points[:, :1]) * np.array([[1.0, 0.0, 0.0]])
    rise = np.clip(1.1 - 0.28 * np.abs(points[:, :1]), -0.25, 1.0) * np.array([[0.0, 1.0, 0.0]])
    along = outward + rise + 0.25 * (chance - 0.5)
    along = unit(along - np.sum(along * normal, axis=1, keepdims=True) * normal)
    return fibre_lines(points + 0.01 * normal, unit(along + 0.22 * normal), 0.55 * (0.6 + 0.6 * chance[:, 1]), -0.08 * normal, 3)


def lash_strands(loop: np.ndarray, inner: np.ndarray, outer: np.ndarray, normals: np.ndarray, look: dict, seed: int) -> np.ndarray:
    """Lashes (R, 5, 3) of one eye: ``loop`` (n, 3) its lid edge in order, corners ``inner``, ``outer`` (3,), normals (n, 3)."""
    rng = np.random.default_rng(seed)
    after = np.roll(loop, -1, axis=0)
    across = unit(outer - inner)
    along = (loop - inner) @ across / np.linalg.norm(outer - inner)
    above = (loop - inner)[:, 1] - along * (outer - inner)[1] > 0
    pick = rng.choice(len(loop), size=190)
    share = rng.random((len(pick), 1))
    points = loop[pick] * (1 - share) + after[pick] * share
    t, upper, normal = along[pick], above[pick], normals[pick]
    keep = (t > 0.08) & (t < 1.0) & (upper | (rng.random(len(pick)) < 0.5))
    points, t, upper, normal = points[keep], t[keep], upper[keep], normal[keep]
    length = np.where(upper, 0.62, 0.32) * (0.55 + 0.45 * t) * (0.8 + 0.3 * rng.random(len(t)))
    length = length * float(np.clip(1 + 0.15 * look["lashes"] + 0.3 * make_up(look), 0.6, 1.6))
    fan = across * ((t - 0.4) * 0.9)[:, None]
    d = unit(0.75 * np.array([0, 0, 1.0]) + 0.35 * normal + fan + np.where(upper, -0.12, -0.35)[:, None] * np.array([0, 1.0, 0]))
    bend = np.where(upper, 0.5, -0.15)[:, None] * np.array([0, 1.0, 0]) * length[:, None]
    return fibre_lines(points, d, length, bend, 4)


def hair_colour(look: dict) -> np.ndarray:
    """Linear colour (…, 3) of hair from melanin and red pigment; of one person or of many."""
    melanin = 4.3 + 2.3 * np.tanh(look["hair_dark"] * 0.7 + 0.3)
    red = np.maximum(0.0, np.tanh(look["hair_red"] - 0.8))
    absorbed = np.stack((0.66 - 0.17 * red, 0.88 + 0.0 * red, 1.12 + 0.25 * red), axis=-1)
    return 0.42 * np.exp(-melanin[..., None] * absorbed)


def greyness(look: dict) -> np.ndarray:
    """The share of strands that are grey, 0–1; of one person or of many."""
    return np.clip(0.35 * (look["grey"] + 0.8 * look["age"]) - 0.35, 0, 1)


def strand_colours(colour: np.ndarray, grey: float, chance: np.ndarray) -> np.ndarray:
    """Colours (R, 3): each strand a little different, a share of them grey."""
    varied = colour * (0.75 + 0.5 * chance[:, :1])
    white = np.clip((grey - chance[:, 1:2]) * 4, 0, 1)
    return varied * (1 - white) + white * np.array([0.42, 0.41, 0.39]) * (0.8 + 0.4 * chance[:, 2:3])
