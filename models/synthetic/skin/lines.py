"""Lines, folds and furrows of a face: polylines in the chart, drawn with width and depth in cm into height maps.

Each is drawn on the right half and mirrored. Chart positions are those of the mean head; the landmarks they
hang on are named in comments.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from models.synthetic.skin.chart import FINE, blur, grid, noise

MIDDLE = 0.5  # of the chart: lines that start here go on in the other half
# Kind -> lines; a line is (points in the chart, half width in cm, depth 0–1, side: 1 where skin beyond it bulges).
LINES = {
    "forehead": (
        (((0.50, 0.842), (0.46, 0.847), (0.40, 0.853), (0.34, 0.851), (0.29, 0.842)), 0.080, 0.75, 0),
        (((0.50, 0.866), (0.45, 0.871), (0.38, 0.880), (0.31, 0.874), (0.25, 0.858)), 0.095, 1.0, 0),
        (((0.50, 0.892), (0.44, 0.898), (0.37, 0.906), (0.30, 0.900), (0.26, 0.890)), 0.100, 0.9, 0),
        (((0.50, 0.920), (0.44, 0.926), (0.38, 0.930), (0.33, 0.927)), 0.090, 0.55, 0),
        (((0.46, 0.858), (0.41, 0.866), (0.36, 0.867)), 0.050, 0.35, 0),
        (((0.43, 0.885), (0.37, 0.893), (0.32, 0.888)), 0.050, 0.35, 0),
    ),
    "frown": (  # between the brows (21, 22)
        (((0.477, 0.768), (0.472, 0.79), (0.470, 0.812), (0.473, 0.838)), 0.090, 1.0, 0),
        (((0.453, 0.780), (0.449, 0.802), (0.451, 0.826)), 0.070, 0.45, 0),
        (((0.50, 0.744), (0.486, 0.746), (0.474, 0.751)), 0.060, 0.4, 0),
    ),
    "crow": (  # from the eye's outer corner (36)
        (((0.300, 0.724), (0.285, 0.738), (0.268, 0.752), (0.250, 0.760)), 0.040, 0.8, 0),
        (((0.298, 0.720), (0.280, 0.726), (0.262, 0.731), (0.238, 0.730)), 0.045, 1.0, 0),
        (((0.299, 0.714), (0.282, 0.711), (0.264, 0.703), (0.243, 0.692)), 0.045, 0.9, 0),
        (((0.303, 0.707), (0.289, 0.695), (0.276, 0.680), (0.262, 0.660)), 0.040, 0.7, 0),
        (((0.276, 0.741), (0.262, 0.745), (0.246, 0.746)), 0.030, 0.5, 0),
        (((0.272, 0.718), (0.256, 0.715), (0.240, 0.710)), 0.030, 0.5, 0),
    ),
    "bags": (  # from the inner corner (39) below the lower lid
        (((0.408, 0.700), (0.395, 0.684), (0.372, 0.675), (0.345, 0.676), (0.318, 0.688)), 0.110, 1.0, 1),
        (((0.402, 0.703), (0.385, 0.694), (0.360, 0.689), (0.335, 0.692)), 0.040, 0.45, 0),
        (((0.412, 0.690), (0.398, 0.668), (0.372, 0.650), (0.345, 0.642)), 0.140, 0.5, 0),
    ),
    "smile": (  # from the nostril's wing (31) past the corner of the mouth (48)
        (((0.428, 0.560), (0.414, 0.540), (0.398, 0.512), (0.382, 0.480), (0.369, 0.450), (0.362, 0.425)), 0.160, 1.0, 1),
    ),
    "marionette": (
        (((0.383, 0.428), (0.376, 0.408), (0.369, 0.382), (0.367, 0.352), (0.370, 0.330)), 0.105, 1.0, 1),
        (((0.50, 0.325), (0.47, 0.328), (0.445, 0.337), (0.425, 0.350)), 0.110, 0.8, 0),
    ),
    "cheeks": (
        (((0.330, 0.560), (0.315, 0.530), (0.306, 0.495), (0.303, 0.455), (0.306, 0.42)), 0.070, 0.8, 0),
        (((0.290, 0.570), (0.274, 0.535), (0.266, 0.495), (0.265, 0.45)), 0.060, 0.5, 0),
        (((0.262, 0.600), (0.245, 0.555), (0.238, 0.51)), 0.060, 0.4, 0),
    ),
    "lip": tuple(
        (((0.5 - x, 0.513 - 0.35 * x), (0.5 - 1.06 * x - 0.004, 0.532 - 0.35 * x), (0.5 - 1.15 * x - 0.004, 0.550 - 0.4 * x)), 0.030, depth, 0)
        for x, depth in ((0.012, 0.7), (0.028, 0.9), (0.043, 0.7), (0.058, 1.0), (0.073, 0.7), (0.088, 0.9), (0.100, 0.6))
    )
    + tuple(
        (((0.5 - x, 0.352 + 0.25 * x), (0.5 - 1.06 * x, 0.338 + 0.25 * x)), 0.030, depth, 0)
        for x, depth in ((0.02, 0.5), (0.036, 0.6), (0.052, 0.5), (0.068, 0.6))
    ),
    "neck": (
        (((0.50, 0.185), (0.40, 0.190), (0.30, 0.196), (0.20, 0.205)), 0.120, 0.7, 0),
        (((0.50, 0.125), (0.40, 0.131), (0.28, 0.140), (0.17, 0.150)), 0.140, 1.0, 0),
        (((0.50, 0.065), (0.40, 0.072), (0.30, 0.082), (0.20, 0.095)), 0.130, 0.8, 0),
        (((0.462, 0.235), (0.456, 0.18), (0.452, 0.11), (0.455, 0.05)), 0.200, 0.6, 0),
    ),
    "lid": ((((0.400, 0.722), (0.388, 0.7295), (0.368, 0.7335), (0.345, 0.7335), (0.322, 0.728), (0.306, 0.722)), 0.035, 1.0, 1),),
}  # fmt: skip
REACH = 5.0  # half widths from a line within which it is drawn
SHOULDER, BULGE = 0.28, 0.7  # how far skin rises on both sides of a line, and beyond a fold, of its depth
WANDER = 0.22  # cm that a person's lines stray from their places
CALM = (0.358, 0.716), (0.075, 0.045)  # the right eye and how far about it lines keep their places: the chart is dense there
COURSE = 128  # side of the slow fields that lines stray by


def line_maps(places: np.ndarray) -> dict[str, np.ndarray]:
    """Heights (FINE, FINE) of each kind of line at full depth: −1 in its ground; ``places`` (FINE, FINE, 3) cm."""
    return {kind: blur(np.sum([drawn(places, *line) for line in lines], axis=0), 0.6) for kind, lines in LINES.items()}


def course_fields(places: np.ndarray) -> np.ndarray:
    """(3, COURSE, COURSE) slow random numbers over the skin, calm about the eyes, from places (FINE, FINE, 3) in cm."""
    step = FINE // COURSE
    u, v = np.moveaxis(grid(COURSE), -1, 0)
    (middle, height), (wide, high) = CALM
    free = 1 - 0.85 * np.exp(-(((np.minimum(u, 1 - u) - middle) / wide) ** 2) - ((v - height) / high) ** 2)
    return np.stack([free * noise(places[::step, ::step], 2.8, 31 + i) for i in range(3)]).astype(np.float32)


def own_course(heights: np.ndarray, fields: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Heights (FINE, FINE, C) of lines that run as one person's do: displaced, and fading here and there.

    ``pattern`` (3,) are the person's numbers, ``fields`` those of ``course_fields``.
    """
    weights = (pattern + 1e-6) / np.linalg.norm(pattern + 1e-6)
    own = lambda turn: cv2.resize(
        np.tensordot(np.roll(weights, turn).astype(np.float32), fields, axes=1), (FINE, FINE), interpolation=cv2.INTER_CUBIC
    )
    steps, shift = np.arange(FINE, dtype=np.float32), np.float32(WANDER / 30 * FINE)
    moved = cv2.remap(heights, steps[None] + shift * own(0), steps[:, None] + shift * own(1), cv2.INTER_LINEAR)
    return moved * np.clip(0.9 + 0.35 * own(2), 0.3, 1.25)[..., None]


def drawn(places: np.ndarray, points: Sequence[tuple[float, float]], width: float, depth: float, side: int) -> np.ndarray:
    """One line (FINE, FINE), mirrored."""
    path = smooth_path(np.array(points))
    margin = 0.012 + REACH * width / 18
    low, high = ((path.min(axis=0) - margin) * FINE).astype(int).clip(0), ((path.max(axis=0) + margin) * FINE).astype(int).clip(0, FINE)
    window = slice(low[1], high[1]), slice(low[0], high[0])
    line = looked_up(places, path)
    distance, along, beyond = nearest(places[window], line, grid(FINE)[window], path)
    profile = groove(distance / width, beyond if side else None)
    ends = np.clip(along / 0.22, 0, 1) if points[0][0] < MIDDLE - 1e-9 else 1.0
    height = np.zeros((FINE, FINE), np.float32)
    height[window] = depth * profile * ends * np.clip((1 - along) / 0.25, 0, 1)
    height[:, FINE // 2 :] = 0
    return height + height[:, ::-1]


def looked_up(places: np.ndarray, path: np.ndarray) -> np.ndarray:
    """The map's values (n, 3) at chart positions (n, 2)."""
    column, row = (path * FINE - 0.5).astype(np.float32).T
    return cv2.remap(places, column[:, None], row[:, None], cv2.INTER_LINEAR)[:, 0]


def smooth_path(points: np.ndarray, count: int = 64) -> np.ndarray:
    """The points (n, 2) joined by a smooth curve (count, 2)."""
    t, dense = np.linspace(0, 1, len(points)), np.linspace(0, 1, count)
    straight = np.stack([np.interp(dense, t, points[:, axis]) for axis in (0, 1)], axis=1)
    kernel = np.hanning(9) / np.hanning(9).sum()
    padded = np.concatenate((2 * straight[:1] - straight[4:0:-1], straight, 2 * straight[-1:] - straight[-2:-6:-1]))
    return np.stack([np.convolve(padded[:, axis], kernel, "valid") for axis in (0, 1)], axis=1)


def nearest(places: np.ndarray, line: np.ndarray, chart: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By texel (H, W): cm to the line (n, 3), share of the way along it, and whether the texel lies outward of it (−1 … 1)."""
    flat = places.reshape(-1, 3).astype(np.float32)
    squares = (flat**2).sum(1)[:, None] - 2 * flat @ line.T.astype(np.float32) + (line**2).sum(1).astype(np.float32)
    index = squares.argmin(axis=1)
    distance = np.sqrt(np.maximum(squares[np.arange(len(flat)), index], 0))
    tangent = np.gradient(path, axis=0)[index]
    offset = chart.reshape(-1, 2) - path[index]
    way = np.gradient(line, axis=0)[index].astype(np.float32)
    step = np.linalg.norm(way, axis=1)
    passed = ((flat - line[index]) * way).sum(1) / np.maximum(step, 1e-6)  # cm along the line past its nearest point
    distance = np.sqrt(np.maximum(distance**2 - np.minimum(np.abs(passed), 0.6 * step) ** 2, 0))
    cross = tangent[:, 0] * offset[:, 1] - tangent[:, 1] * offset[:, 0]
    shape = places.shape[:2]
    return distance.reshape(shape), (index / (len(path) - 1)).reshape(shape), np.sign(cross).reshape(shape)


def groove(distance: np.ndarray, beyond: np.ndarray | None) -> np.ndarray:
    """The section of a line: −1 in its middle, a little raised beside it; a fold bulges on the side where ``beyond`` is below 0."""
    ground = -np.exp(-0.5 * np.abs(distance) ** 1.7)
    shoulder = np.exp(-0.5 * ((distance - 2.4) / 1.0) ** 2)
    if beyond is None:
        return ground + SHOULDER * shoulder
    return ground + BULGE * np.where(beyond < 0, shoulder, 0.0)
