"""Teeth and gums of edition 2.

A row of teeth stands on an arch drawn through the measured teeth; crowns and gums are swept along it. Directions
of the arch: along it, outward (toward lips and cheeks), and up along a crown, from the gums to the tooth's edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.own_head import topology
from models.face.own_head.jaw import Jaw
from models.face.own_head.parts import TEETH_BACK, Parts, band_uv, rectangle_uv
from models.face.own_head.reflectance import smooth_step
from models.face.own_head.skin import unit
from models.face.own_head.topology import FULL, Resolution

# Widths along the arch of the seven teeth of a quarter, from the middle, cm, and the heights of their crowns.
WIDTHS = {"upper": (0.86, 0.68, 0.77, 0.70, 0.68, 1.02, 0.96), "lower": (0.55, 0.60, 0.69, 0.70, 0.71, 1.08, 1.02)}
HEIGHTS = {"upper": (1.02, 0.90, 1.00, 0.84, 0.78, 0.74, 0.70), "lower": (0.88, 0.90, 1.00, 0.86, 0.80, 0.74, 0.70)}
# Rings of a crown from within the gums to its edge: height, then half width and half depth of front and of back teeth,
# and how far front teeth lean outward there; all in parts of the crown's height or width, depths and lean in cm.
RINGS = ((-0.25, 0.34, 0.36, 0.30, 0.42, -0.02), (0.10, 0.40, 0.42, 0.30, 0.47, 0.02), (0.20, 0.43, 0.44, 0.295, 0.48, 0.03),
         (0.48, 0.475, 0.48, 0.25, 0.50, 0.03), (0.80, 0.495, 0.485, 0.15, 0.47, -0.01), (0.97, 0.47, 0.43, 0.085, 0.36, -0.05))  # fmt: skip
RINGS_PROXY = (0, 2, 5)
FRONT = 3  # teeth of a quarter that bite off: two incisors and the canine
CANINE = 1.25  # how much thicker than an incisor it is
SLOPE = {0: 0.06, 1: 0.12, 2: 0.22}  # how much lower a front tooth's edge is at its sides, of its height
# Natural irregularity of each tooth: its turn (radians), how far it stands out and how high (cm).
UNEVEN = (0.05, 0.018, 0.02)
# Named modes of the teeth at value 1: as uneven again in another way, and how far neighbours stand apart, cm.
TEETH_MODES = {"teeth_uneven": 1.6, "teeth_gaps": 0.035}
# Rows of the gums from the lips' side over the ridge to the tongue's: outward in half depths plus cm, height in cm,
# and how much less far out they lie between two teeth, where these curve away.
GUM_ROWS = ((0.9, 0.0, -0.85, 0), (1.0, 0.10, -0.40, 0), (1.0, 0.06, -0.08, 0.15), (0.92, 0.02, 0.02, 0.3), (0.0, 0.0, 0.0, 0),
            (-0.92, -0.02, 0.02, 0.3), (-1.0, -0.06, -0.1, 0.15), (-1.0, -0.14, -0.55, 0), (-1.0, -0.16, -1.2, 0))  # fmt: skip
PAPILLA = 0.3  # cm that the gums stand higher between two teeth
GUM_ROWS_PROXY = (0, 2, 4, 6, 8)
GUM_CELLS, GUM_CELLS_PROXY = 6, 2  # along each tooth
TEETH_UV = ((0.801, 0.23), (0.189, 0.12))
GUMS_UV = {"upper": ((0.80, 0.08), (0.19, 0.04)), "lower": ((0.80, 0.13), (0.19, 0.04))}


@dataclass
class Arch:
    """One row's arch: places (n, 3) along it at equal steps, arc length (n,) from its middle, outward unit vectors (n, 3)."""

    places: np.ndarray
    length: np.ndarray
    outward: np.ndarray
    crown: float  # y of the crowns' direction: −1 in the upper row, 1 in the lower

    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places, outward and along-the-arch unit vectors (…, 3) at arc lengths ``s``, positive to the face's left."""
        take = lambda table: np.stack([np.interp(s, self.length, column) for column in table.T], axis=-1)
        outward = unit(take(self.outward))
        return take(self.places), outward, np.stack((outward[..., 2], 0 * outward[..., 0], -outward[..., 0]), axis=-1)


def arch(figures: dict, row: str) -> Arch:
    """The arch through the middles of the measured teeth's edges, smoothed by a polynomial even in x."""
    boxes = figures["teeth_boxes"][slice(0, 16) if row == "upper" else slice(16, 32)].astype(float)
    low, high = boxes[:8, 0], boxes[:8, 1]
    middle = (low + high) / 2 - [0, 0, TEETH_BACK]
    edge = (low if row == "upper" else high)[:, 1]
    x = np.linspace(-2.75, 2.75, 400)
    even = lambda values, points, powers: (
        np.linalg.lstsq(np.stack([middle[:, 0] ** p for p in powers], 1), values, rcond=None)[0] @ np.stack([points**p for p in powers])
    )
    z = even(middle[:, 2], x, (0, 2, 4, 6))
    y = even(edge, x, (0, 2))
    places = np.stack((x, y, z), axis=1)
    steps = np.linalg.norm(np.diff(places[:, [0, 2]], axis=0), axis=1)
    length = np.concatenate(([0], np.cumsum(steps)))
    tangent = np.gradient(places[:, [0, 2]], axis=0)
    outward = unit(np.stack((-tangent[:, 1], 0 * x, tangent[:, 0]), axis=1))
    return Arch(places, length - length[-1] / 2, outward, -1.0 if row == "upper" else 1.0)


def quarter_centres(row: str) -> np.ndarray:
    """Arc lengths (7,) of a quarter's teeth from the middle."""
    width = np.array(WIDTHS[row])
    return np.cumsum(width) - width / 2


def unevenness(seed: int) -> dict[str, np.ndarray]:
    """Turn, shift outward and along the crown (3, 14) of each row's teeth."""
    rng = np.random.default_rng(seed)
    return {row: np.array(UNEVEN)[:, None] * rng.standard_normal((3, 14)) for row in WIDTHS}


def crowns(curve: Arch, row: str, resolution: Resolution, uneven: np.ndarray, gap: float = 0) -> np.ndarray:
    """The teeth of a row (14, n, 3) from the face's right to its left, rings of ``segments`` points each, ``gap`` cm apart."""
    order = [*range(6, -1, -1), *range(7)]
    centres = np.repeat((-1, 1), 14 // 2) * quarter_centres(row)[order]
    return np.stack(
        [crown(curve, row, number, s, resolution, moved, gap) for number, s, moved in zip(order, centres, uneven.T, strict=True)]
    )


def segments(resolution: Resolution) -> int:
    """Points round a crown."""
    return 12 if resolution is FULL else 6


def crown(curve: Arch, row: str, number: int, s: float, resolution: Resolution, uneven: np.ndarray, gap: float) -> np.ndarray:
    """One tooth (n, 3) at arc length ``s``."""
    width, height = WIDTHS[row][number] - gap, HEIGHTS[row][number]
    front = number < FRONT
    theta = 2 * np.pi * np.arange(segments(resolution)) / segments(resolution)
    place, outward, along = curve.at(np.array(s))
    thick = CANINE if number == FRONT - 1 else 1
    turn, out, high = uneven
    outward, along = np.cos(turn) * outward + np.sin(turn) * along, np.cos(turn) * along - np.sin(turn) * outward
    up = np.array([0, curve.crown, 0])
    rings = []
    for level, wide_front, wide_back, deep_front, deep_back, lean in RINGS if resolution is FULL else [RINGS[i] for i in RINGS_PROXY]:
        square = 1 - 0.3 * np.clip(level, 0, 0.8) / 0.8  # round at its neck, squarer toward the edge
        cosine, sine = (np.sign(f) * np.abs(f) ** square for f in (np.cos(theta), np.sin(theta)))
        wide, deep = (wide_front, deep_front) if front else (wide_back, deep_back)
        across, depth = width * wide * cosine, thick * deep * sine + out + (lean if front else 0)
        drop = SLOPE.get(number, 0) * (2 * across / width) ** 2 * max(level, 0)
        along_crown = (level - 1 - drop) * height + high
        rings.append(place + across[:, None] * along + depth[:, None] * outward + along_crown[:, None] * up)
    return np.concatenate(rings)


def tooth_quads(resolution: Resolution, count: int, mirrored: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quads (Q, 4) of one tooth, its UV (T, 2) in a unit square and UV quads; ``mirrored`` rows turn the other way."""
    n = segments(resolution)
    index = np.arange(count * n).reshape(count, n)
    quads = [topology.ring_quads(index[r], index[r + 1]) for r in range(count - 1)]
    quads.append(topology.zip_quads(index[-1]))
    uv, uv_quads = band_uv(count, n, ((0.02, 0.02), (0.9, 0.6)))
    cap, cap_index = rectangle_uv(2, n // 2, ((0.02, 0.7), (0.9, 0.2)))
    cap_quads = topology.zip_quads(np.concatenate((cap_index[1], cap_index[0, ::-1]))) + len(uv)
    faces, corners = np.concatenate(quads), np.concatenate((uv_quads, cap_quads))
    uv = np.concatenate((uv, cap))
    return (faces[:, ::-1], uv * [-1, 1] + [1, 0], corners[:, ::-1]) if mirrored else (faces, uv, corners)


def add_teeth(parts: Parts, figures: dict, jaw: Jaw, mode_rows: dict[str, int], resolution: Resolution) -> None:
    """28 teeth, upper row first, each row from the face's right to its left; ``mode_rows`` are the figures' rows of ``TEETH_MODES``."""
    columns, rows = 7, 4
    size = np.asarray(TEETH_UV[1]) / (columns, rows)
    base, other = unevenness(7), unevenness(8)
    teeth, quads, uvs, uv_quads = [], [], [], []
    for number, row in enumerate(WIDTHS):
        curve = arch(figures, row)
        draw = lambda uneven, gap=0.0, curve=curve, row=row: crowns(curve, row, resolution, uneven, gap)
        points = draw(base[row])
        change = {
            "teeth_uneven": draw(base[row] + TEETH_MODES["teeth_uneven"] * other[row]),
            "teeth_gaps": draw(base[row], TEETH_MODES["teeth_gaps"]),
        }
        faces, uv, corners = tooth_quads(resolution, points.shape[1] // segments(resolution), mirrored=row == "lower")
        for i, tooth in enumerate(points):
            place = 14 * number + i
            moved = jaw.carried(tooth, row)
            for name, changed in change.items():
                moved[mode_rows[name]] += changed[i] - tooth
            teeth.append(moved)
            quads.append(faces + place * len(tooth))
            uvs.append(np.asarray(TEETH_UV[0]) + (uv + (place % columns, place // columns)) * size)
            uv_quads.append(corners + place * len(uv))
    parts.add(
        "teeth", np.concatenate(teeth, axis=1), np.concatenate(quads) + parts.vertex_count, np.concatenate(uvs), np.concatenate(uv_quads)
    )


def add_gums(parts: Parts, figures: dict, jaw: Jaw, resolution: Resolution) -> None:
    """The gums of both rows: a strip over each arch, higher between the teeth."""
    for row in WIDTHS:
        curve = arch(figures, row)
        grid = gum_grid(curve, row, resolution)
        shape = grid.shape[:2]
        uv, index = rectangle_uv(shape[0], shape[1], GUMS_UV[row])
        own = np.arange(grid[..., 0].size).reshape(shape)
        faces, corners = topology.grid_quads(own) + parts.vertex_count, topology.grid_quads(index[::-1])
        if row == "upper":
            faces, corners = faces[:, ::-1], topology.grid_quads(index)[:, ::-1]
        parts.add(f"gums_{row}", jaw.carried(grid.reshape(-1, 3), row), faces, uv, corners)


def gum_grid(curve: Arch, row: str, resolution: Resolution) -> np.ndarray:
    """Places (rows, columns, 3) of a gum."""
    per_tooth = GUM_CELLS if resolution is FULL else GUM_CELLS_PROXY
    width, height = np.array(WIDTHS[row]), np.array(HEIGHTS[row])
    ends = np.concatenate(([0], np.cumsum(width)))
    half = np.interp(np.arange(7 * per_tooth + 1) / per_tooth, np.arange(8), ends)
    s = np.concatenate((-half[:0:-1], half))
    tooth = np.clip(np.searchsorted(ends, np.abs(s), side="right") - 1, 0, 6)
    beside = 2 * (np.abs(s) - ends[tooth]) / width[tooth] - 1
    between = 1 - np.sqrt(np.clip(1 - beside**2, 0, 1))  # 1 between two teeth, 0 in a tooth's middle, an arc from one to the other
    deep = np.interp(np.abs(s), ends[:-1] + width / 2, [RINGS[1][3], RINGS[1][3], CANINE * RINGS[1][3]] + [RINGS[1][4]] * (7 - FRONT))
    tall = np.interp(np.abs(s), ends[:-1] + width / 2, height)
    place, outward, _ = curve.at(s)
    up = np.array([0, curve.crown, 0])
    curving, rows = smooth_step(np.abs(beside) / 0.75), []
    for share, more, level, pinch in GUM_ROWS if resolution is FULL else [GUM_ROWS[i] for i in GUM_ROWS_PROXY]:
        scallop = PAPILLA * between * (level > -0.2)
        rows.append(place + (share * deep * (1 - pinch * curving) + more)[:, None] * outward + (level + scallop - tall)[:, None] * up)
    return np.stack(rows)
