"""The alpha of a picture, drawn from its geometry: Cycles does not denoise its own, which is grainy along hair."""

from __future__ import annotations

import cv2
import numpy as np

RASTER = 1024  # pixels a side at which outlines are drawn
SHIFT = 3  # fractional bits of positions
MESHES = ("head", "bust", "shirt", "jacket", "collar", "glasses", "earrings")
HAIR = ("scalp", "beard", "brows", "lashes")
FILTER = 0.45  # standard deviation in pixels of what the renderer's pixel filter adds to a pixel's square


def matte(stage: dict, person: dict, shot: dict) -> np.ndarray:
    """Alpha (H, W) float32, 0–1, of a shot from the three messages that the renderer was sent."""
    size = int(person["size"])
    side = size * max(1, RASTER // size)
    canvas = np.zeros((side, side), np.uint8)
    for name in MESHES:
        if bool(person.get(f"has_{name}", True)):
            quads = stage[f"{name}_quads"][stage["glasses_material"] == 0] if name == "glasses" else stage[f"{name}_quads"]
            fill(canvas, shot, shot[name], quads)
    for kind in HAIR:
        if len(shot[f"{kind}_points"]):
            draw(canvas, shot, shot[f"{kind}_points"], person[f"{kind}_radius"])
    share = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cv2.GaussianBlur(share, (0, 0), FILTER)


def project(shot: dict, points: np.ndarray, side: int) -> np.ndarray:
    """Places (…, 2) of world points (…, 3) on a canvas, in fixed point with ``SHIFT`` fractional bits."""
    scale = shot["distance"] / (shot["distance"] - points[..., 2]) * side / (2 * shot["half_width"])
    x, y = side / 2 + points[..., 0] * scale - 0.5, side / 2 - points[..., 1] * scale - 0.5
    return np.rint(np.clip(np.stack((x, y), axis=-1), -side, 2 * side) * (1 << SHIFT)).astype(np.int32)


def fill(canvas: np.ndarray, shot: dict, vertices: np.ndarray, quads: np.ndarray) -> None:
    """Draw a mesh (V, 3) of quads (Q, 4)."""
    places = project(shot, vertices, len(canvas))
    used = vertices[quads].any(axis=(1, 2))
    for quad in places[quads[used]]:
        cv2.fillConvexPoly(canvas, quad, 255, lineType=cv2.LINE_8, shift=SHIFT)


def draw(canvas: np.ndarray, shot: dict, points: np.ndarray, radius: np.ndarray) -> None:
    """Draw strands (R, K, 3) of radius (R, K) cm; of those thinner than a pixel as many as fill the same area."""
    points, radius = smooth(points), np.repeat(radius, 2, axis=1)[:, 1:]
    places = project(shot, points, len(canvas))
    wide = 2 * radius * len(canvas) / (2 * shot["half_width"])
    last = points.shape[1] - 1
    lot = (np.arange(len(points)) * 0.618034) % 1  # evenly spread whatever the order
    for start, end in ((0, last // 2), (last // 2, last)):
        width = wide[:, start : end + 1].mean(axis=1)
        for thick in range(1, int(np.ceil(width.max())) + 1):
            drawn = np.floor(width + lot) == thick
            cv2.polylines(canvas, list(places[drawn, start : end + 1]), False, 255, thick, cv2.LINE_8, SHIFT)


def smooth(points: np.ndarray) -> np.ndarray:
    """Strands (R, K, 3) with a point more between each two (R, 2 K − 1, 3), on the Catmull-Rom spline that the renderer draws."""
    ends = np.concatenate((2 * points[:, :1] - points[:, 1:2], points, 2 * points[:, -1:] - points[:, -2:-1]), axis=1)
    between = (9 * (ends[:, 1:-2] + ends[:, 2:-1]) - ends[:, :-3] - ends[:, 3:]) / 16
    result = np.repeat(points, 2, axis=1)[:, 1:]
    result[:, 1::2] = between
    return result
