"""What lies within the skin: lid rims, the mouth's inside, eyeballs, teeth; and where everything lies in the UV square."""

from __future__ import annotations

import numpy as np

from models.face.model import FaceModel, needed
from models.face.own_head import topology
from models.face.own_head.measurements import expression_names, gaze_turn
from models.face.own_head.topology import FULL, Resolution

EYE_ANGLES = (6, 10, 14, 18, 22, 26, 34, 46, 62, 90, 125, 158)  # degrees of the rings from the pole; the iris ends at 22
EYE_ANGLES_PROXY = (12, 22, 50, 100, 150)
CORNEA, CORNEA_ANGLE = 0.055, np.radians(27.0)  # how far the cornea stands out, over the radius
TEETH_BACK = 0.25  # cm behind where they were measured: behind the lips also for people whose lips lie further back
# Rings of the mouth's inside behind the lips: half width, half height, y, z (cm), and how far each follows the lips.
# It has to hold the teeth (x ±3.3, y −6…−0.6, z 5…10.8).
MOUTH_RINGS = ((2.9, 1.6, -3.3, 9.0, 0.9), (3.7, 2.9, -3.3, 7.0, 0.5), (3.6, 2.7, -3.4, 4.6, 0.2), (2.2, 1.5, -3.6, 3.4, 0.0))
CHART_CORNER, CHART_SIZE = np.array([0.01, 0.22]), 0.77  # the chart's square in the UV square
BACK_UV = ((0.01, 0.005), (0.77, 0.2))  # corner and size of the other islands
MOUTH_UV, THROAT_UV = ((0.80, 0.01), (0.19, 0.2)), ((0.80, 0.36), (0.19, 0.04))
RIM_UV = {"L": ((0.80, 0.57), (0.19, 0.03)), "R": ((0.80, 0.53), (0.19, 0.03))}
EYE_UV = {"L": np.array([0.89, 0.90]), "R": np.array([0.89, 0.70])}
EYE_BACK_UV = {"L": np.array([0.84, 0.47]), "R": np.array([0.94, 0.47])}
TEETH_UV = ((0.801, 0.23), (0.189, 0.12))


class Parts:
    """Collects the head's parts: figures (M, P, 3), quads and their UV corners."""

    def __init__(self) -> None:
        self.figures: list[np.ndarray] = []
        self.quads: list[np.ndarray] = []
        self.uv: list[np.ndarray] = []
        self.uv_quads: list[np.ndarray] = []
        self.spans: dict[str, slice] = {}  # part -> its vertices
        self.vertex_count = self.uv_count = 0

    def add(self, name: str, figures: np.ndarray, quads: np.ndarray, uv: np.ndarray, uv_quads: np.ndarray) -> None:
        """Append a part whose quads index all vertices added so far plus its own (already offset)."""
        self.spans[name] = slice(self.vertex_count, self.vertex_count + figures.shape[1])
        self.figures.append(figures)
        self.quads.append(quads)
        self.uv.append(uv)
        self.uv_quads.append(uv_quads + self.uv_count)
        self.vertex_count += figures.shape[1]
        self.uv_count += len(uv)


def face_uv(chart: np.ndarray) -> np.ndarray:
    """Where the chart lies in the UV square."""
    return CHART_CORNER + CHART_SIZE * chart


def chart_from_uv(uv: np.ndarray) -> np.ndarray:
    """The inverse of ``face_uv``."""
    return (uv - CHART_CORNER) / CHART_SIZE


def chart_quads(face: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Chart coordinates (Q, 4, 2) of all quads, and which (Q,) lie on the face's chart."""
    chart = chart_from_uv(needed(face.uv, "UV layout").numpy())[needed(face.uv_quads, "UV layout").numpy()]
    return chart, (chart[..., 1].min(axis=1) > -0.005) & (chart[..., 0].max(axis=1) < 1.005)


def rectangle_uv(rows: int, columns: int, place: tuple) -> tuple[np.ndarray, np.ndarray]:
    """A grid of corners filling a rectangle (corner, size) of the UV square, row 0 at its top: uv (T, 2), index (rows, columns)."""
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(1, 0, rows))
    uv = np.asarray(place[0]) + np.asarray(place[1]) * np.stack((u, v), axis=-1)
    return uv.reshape(-1, 2), np.arange(rows * columns).reshape(rows, columns)


def band_uv(rings: int, count: int, place: tuple) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle of the UV square for ``rings`` rings of ``count`` vertices: uv (T, 2), quads (Q, 4) like ``ring_quads``."""
    uv, index = rectangle_uv(rings, count + 1, place)
    index = index[:, ::-1]  # seen from outside the rings run to the left when the first lies on top
    quads = [np.stack((index[r, :-1], index[r, 1:], index[r + 1, 1:], index[r + 1, :-1]), -1) for r in range(rings - 1)]
    return uv, np.concatenate(quads)


def add_lid_rim(parts: Parts, edge: np.ndarray, ball: np.ndarray, side: str) -> None:
    """The lid's inside: one ring from the lid's edge back to within the eyeball; it moves with the edge.

    ``ball`` (4,) is the eyeball's centre and radius.
    """
    rim = parts.figures[0][:, edge].copy()
    offset = rim[0] - ball[:3]
    rim[0] = ball[:3] + offset / np.linalg.norm(offset, axis=1, keepdims=True) * ball[3] * 0.95 - [0, 0, 0.12]
    quads = topology.ring_quads(edge, parts.vertex_count + np.arange(len(edge)))
    parts.add(f"rim_{side}", rim, quads, *band_uv(2, len(edge), RIM_UV[side]))


def jaw_motion(face: np.ndarray, figures: dict, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How skull and jaw carry the teeth: displacements (M, 3) of the upper and of the lower row; row 0 is zero."""
    n_identity, names = len(figures["identity"]), expression_names(figures)
    chin = face[:, landmarks[8]]
    upper = face[:, landmarks[[31, 35, 48, 54]]].mean(axis=1)
    lower = 0.5 * (upper + chin)
    upper[0] = lower[0] = upper[1 + n_identity :] = lower[1 + n_identity :] = 0
    for name in ("jawForward", "jawLeft", "jawRight"):
        lower[1 + n_identity + names.index(name)] = chin[1 + n_identity + names.index(name)]
    lower[1 + n_identity + names.index("jawOpen")] = figures["teeth_jaw_open"][16:].mean(axis=0)
    return upper, lower


def add_mouth_bag(parts: Parts, edge: np.ndarray, motion: tuple[np.ndarray, np.ndarray], place: tuple = MOUTH_UV) -> None:
    """The inside of the mouth, from the lips' end round the teeth to the throat; its floor goes with the jaw."""
    count = len(edge)
    lips = parts.figures[0][:, edge].copy()
    lips[0] = 0
    angle = np.pi + 2 * np.pi * np.arange(count) / count  # rings start in the middle of their right-hand side
    floor = (1 - np.sin(angle)) / 2
    carried = motion[0][:, None] * (1 - floor[:, None]) + motion[1][:, None] * floor[:, None]
    rings: list[np.ndarray] = []
    quads, previous = [], edge
    for width, height, y, z, follow in MOUTH_RINGS:
        ring = lips * follow + carried * (1 - follow)
        ring[0] = np.stack((width * np.cos(angle), y + height * np.sin(angle), np.full(count, z)), axis=-1)
        index = parts.vertex_count + sum(part.shape[1] for part in rings) + np.arange(count)
        rings.append(ring)
        quads.append(topology.ring_quads(previous, index))
        previous = index
    quads.append(topology.zip_quads(previous))
    uv, uv_quads = band_uv(len(MOUTH_RINGS) + 1, count, place)
    throat, throat_index = rectangle_uv(2, count // 2, THROAT_UV)
    across = topology.zip_quads(np.concatenate((throat_index[1], throat_index[0, ::-1]))) + len(uv)
    parts.add(
        "mouth", np.concatenate(rings, axis=1), np.concatenate(quads), np.concatenate((uv, throat)), np.concatenate((uv_quads, across))
    )


def add_eyeball(parts: Parts, names: list[str], table: np.ndarray, side: str, resolution: Resolution) -> None:
    """A sphere with a cornea, which turns with the eyeLook expressions among ``names``.

    ``table`` (1 + K, 4) are its centre and radius: the mean's, then what each identity mode adds.
    """
    angles = EYE_ANGLES if resolution is FULL else EYE_ANGLES_PROXY
    points, quads, behind = topology.sphere(resolution.eyeball_segments, angles)
    angle = np.arccos(np.clip(points[:, 2], -1, 1))
    flat = points[:, :2] / np.maximum(np.sin(angle), 1e-9)[:, None]
    uv = EYE_UV[side] + 0.095 * (angle / np.pi)[:, None] * flat
    cap, cap_quads = np.unique(quads[behind], return_inverse=True)
    uv_quads = quads.copy()
    uv_quads[behind] = len(uv) + cap_quads.reshape(-1, 4)
    uv = np.concatenate((uv, EYE_BACK_UV[side] + 0.1 * points[cap, :2] * [-1, 1]))
    points = points * (1 + CORNEA * np.clip(1 - angle / CORNEA_ANGLE, 0, 1) ** 0.6)[:, None]
    spheres = table[:, None, :3] + table[:, None, 3:] * points[None]
    turned = np.stack([gaze_turn(name, side, points * table[0, 3]) for name in names])
    parts.add(f"eye_{side}", np.concatenate((spheres, turned)), quads + parts.vertex_count, uv, uv_quads)


def add_teeth(parts: Parts, figures: dict, resolution: Resolution, motion: tuple[np.ndarray, np.ndarray]) -> None:
    """32 rounded boxes; the lower row follows the jaw, both rows follow the mouth's place under identity."""
    shape, quads = topology.rounded_box(resolution.tooth_cells)
    low, high = figures["teeth_boxes"][:, 0].astype(float), figures["teeth_boxes"][:, 1].astype(float)
    moved = np.repeat(np.stack(motion, axis=1), 16, axis=1)
    moved[1 + len(figures["identity"]) + expression_names(figures).index("jawOpen")] = figures["teeth_jaw_open"]
    teeth = np.repeat(moved[:, :, None], len(shape), axis=2)
    teeth[0] = ((low + high) / 2 - [0, 0, TEETH_BACK])[:, None] + ((high - low) / 2)[:, None] * shape[None] * [0.98, 1, 1]
    every = np.concatenate([quads + i * len(shape) for i in range(32)])
    uv, uv_quads = teeth_uv(resolution.tooth_cells)
    parts.add("teeth", teeth.reshape(len(teeth), -1, 3), every + parts.vertex_count, uv, uv_quads)


def teeth_uv(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Islands of the 32 · 6 sides of the teeth, side by side: uv (T, 2), quads (Q, 4) in the order of ``rounded_box``."""
    columns, rows = 24, 8
    size = np.asarray(TEETH_UV[1]) / (columns, rows)
    uv, index = rectangle_uv(cells + 1, cells + 1, ((0, 0), 0.9 * size))
    side = np.arange(32 * 6)
    corner = np.asarray(TEETH_UV[0]) + np.stack((side % columns, side // columns), axis=-1) * size
    quads = topology.grid_quads(index[::-1])
    islands = (side * len(uv))[:, None, None] + np.concatenate([quads])[None]
    return (corner[:, None] + uv[None]).reshape(-1, 2), islands.reshape(-1, 4)
