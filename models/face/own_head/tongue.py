"""The tongue of edition 2: at rest behind the lower teeth, out between the lips."""

from __future__ import annotations

import numpy as np

from models.face.own_head import topology
from models.face.own_head.jaw import Jaw
from models.face.own_head.parts import Parts, band_uv, rectangle_uv
from models.face.own_head.reflectance import smooth_step
from models.face.own_head.skin import unit
from models.face.own_head.topology import FULL, Resolution

TONGUE_UV, TIP_UV = ((0.80, 0.18), (0.13, 0.04)), ((0.94, 0.18), (0.05, 0.04))
# The tongue's cross-sections from root to tip, at rest and out: y, z, half width, half thickness, cm.
TONGUE = np.array([
    ((-5.0, 3.5, 1.2, 0.9), (-4.8, 4.0, 1.2, 0.9)), ((-4.5, 4.3, 1.55, 1.1), (-4.3, 5.4, 1.55, 1.0)),
    ((-4.2, 5.3, 1.72, 1.06), (-3.85, 6.9, 1.6, 0.76)), ((-4.1, 6.3, 1.70, 0.92), (-3.55, 8.4, 1.45, 0.52)),
    ((-4.1, 7.2, 1.56, 0.72), (-3.42, 9.8, 1.32, 0.34)), ((-4.15, 7.9, 1.38, 0.54), (-3.42, 10.9, 1.3, 0.33)),
    ((-4.2, 8.45, 1.18, 0.42), (-3.56, 11.8, 1.34, 0.40)), ((-4.23, 8.85, 1.0, 0.34), (-3.95, 12.55, 1.28, 0.40)),
    ((-4.24, 9.1, 0.9, 0.28), (-4.5, 13.05, 1.16, 0.36)), ((-4.24, 9.28, 0.84, 0.24), (-5.15, 13.3, 1.04, 0.32)),
])  # fmt: skip
TIP = 0.72  # of its length: there the tip begins to round off
GROOVE = 0.09  # cm deep along the middle of its back
LIPS_APART, LIPS_APART_WIDTH = 0.3, 1.5  # cm that each lip gives way to the tongue between them, and half the width of that opening


def add_tongue(parts: Parts, jaw: Jaw, out_row: int, resolution: Resolution) -> None:
    """The tongue: at rest behind the lower teeth, under tongueOut between and before the lips."""
    rest, out = tongue_shapes(resolution)
    rings, count = rest.shape[:2]
    own = parts.vertex_count + np.arange(rings * count).reshape(rings, count)
    quads = [topology.ring_quads(own[r], own[r + 1]) for r in range(rings - 1)] + [topology.zip_quads(own[-1])]
    uv, uv_quads = band_uv(rings, count, TONGUE_UV)
    tip, tip_index = rectangle_uv(2, count // 2, TIP_UV)
    across = topology.zip_quads(np.concatenate((tip_index[1], tip_index[0, ::-1]))) + len(uv)
    points = rest.reshape(-1, 3)
    figures = jaw.carried(points, "lower", smooth_step((points[:, 2] - 2.5) / 4.5))
    figures[out_row] = (out - rest).reshape(-1, 3)
    parts.add("tongue", figures, np.concatenate(quads), np.concatenate((uv, tip)), np.concatenate((uv_quads, across)))


def tongue_shapes(resolution: Resolution) -> tuple[np.ndarray, np.ndarray]:
    """Rings (r, n, 3) of the tongue at rest and out."""
    sections, count = (22, 16) if resolution is FULL else (8, 8)
    along = 1 - (1 - np.linspace(0, 0.998, sections)) ** 1.6  # closer toward the tip
    theta = 2 * np.pi * np.arange(count) / count
    cosine, sine = (np.sign(f) * np.abs(f) ** 0.85 for f in (np.cos(theta), np.sin(theta)))
    tip = np.sqrt(1 - np.clip((along - TIP) / (1 - TIP), 0, 1) ** 2)[:, None]
    rest, out = (tongue_rings(TONGUE[:, pose], along, tip, cosine, sine) for pose in (0, 1))
    return rest, out


def tongue_rings(sections: np.ndarray, along: np.ndarray, tip: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Rings (r, n, 3) across a line through ``sections`` (s, 4), at the shares ``along`` (r,) of it; ``tip`` (r, 1) narrows them."""
    y, z, wide, thick = (smooth_line(column, along)[:, None] for column in sections.T)
    wide, thick = wide * tip, thick * np.sqrt(tip)
    slope = np.stack(
        [
            smooth_line(column, np.clip(along + 0.01, 0, 1)) - smooth_line(column, np.clip(along - 0.01, 0, 1))
            for column in sections[:, :2].T
        ]
    )
    back = unit(np.stack((slope[1], -slope[0]), axis=1))  # y and z of the direction that the tongue's back faces
    rise = thick * sine - GROOVE * np.exp(-((wide * cosine / 0.3) ** 2)) * np.clip(sine, 0, 1) * np.clip(thick / 0.5, 0, 1) * tip
    return np.stack((wide * cosine, y + rise * back[:, :1], z + rise * back[:, 1:]), axis=-1)


def smooth_line(values: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Cubic interpolation at shares 0–1 (r,) of values (s,) at equal steps."""
    place = along * (len(values) - 1)
    k = np.minimum(place.astype(int), len(values) - 2)
    r, slope = place - k, np.gradient(values)
    return (
        (2 * r**3 - 3 * r**2 + 1) * values[k]
        + (r**3 - 2 * r**2 + r) * slope[k]
        + (3 * r**2 - 2 * r**3) * values[k + 1]
        + (r**3 - r**2) * slope[k + 1]
    )
