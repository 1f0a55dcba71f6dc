"""Builds edition 1 of our head, the one that the shipped weights know: measured figures carried onto our own topology.

``measurements`` reads what was measured, ``topology`` draws the quads, ``skin`` carries the figures onto the skin, ``parts``
adds eyes, teeth and the mouth's inside; here they become one FaceModel. Nobody else builds it: ``storage`` loads the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from models.face.model import FaceModel
from models.face.own_head import topology
from models.face.own_head.contact import seated_spheres
from models.face.own_head.measurements import expression_names, read_figures
from models.face.own_head.parts import (
    BACK_UV,
    Parts,
    add_eyeball,
    add_lid_rim,
    add_mouth_bag,
    add_teeth,
    face_uv,
    jaw_motion,
    rectangle_uv,
)
from models.face.own_head.reflectance import MODE_NAMES, albedo_modes, paint_mouth
from models.face.own_head.skin import skin_figures
from models.face.own_head.storage import ALBEDO_FLOOR, split
from models.face.own_head.topology import FULL, PROXY, Resolution, Sheet


def build() -> FaceModel:
    """Edition 1 at full resolution, with its proxy; about two seconds of one core. StyleRigError when its figures are damaged."""
    return with_proxy(build_mesh)


def with_proxy(build_mesh: Callable[[dict, Resolution], FaceModel]) -> FaceModel:
    """What ``build_mesh`` makes of the measurements at full resolution, and as its proxy at the lower one."""
    figures = read_figures()
    face = build_mesh(figures, FULL)
    face.proxy = build_mesh(figures, PROXY)
    return face


def build_skin(figures: dict, resolution: Resolution) -> tuple[Parts, Sheet, np.ndarray]:
    """The parts begun with the skin, the sheet that it is drawn on, and the landmarks' vertices (68,)."""
    parts = Parts()
    sheet = topology.chart_sheet(resolution, figures)
    border = np.concatenate((sheet.grid[:, 0], sheet.grid[:, -1], sheet.grid[-1], sheet.grid[0]))
    landmarks = topology.snap(sheet.points, figures["landmark68_chart"].astype(float), border)
    add_skin(parts, sheet, figures, landmarks, resolution)
    return parts, sheet, landmarks


def build_mesh(figures: dict, resolution: Resolution) -> FaceModel:
    """Draw the topology and carry every figure onto it."""
    parts, sheet, landmarks = build_skin(figures, resolution)
    balls = {side: seated_spheres(parts.figures[0], sheet, figures, side) for side in ("L", "R")}
    for side, ball in balls.items():
        add_lid_rim(parts, sheet.rings[f"eye_{side}"][-1], ball[0], side)
    motion = jaw_motion(parts.figures[0], figures, landmarks)
    add_mouth_bag(parts, sheet.rings["mouth"][-1], motion)
    for side, ball in balls.items():
        add_eyeball(parts, expression_names(figures), ball, side, resolution)
    add_teeth(parts, figures, resolution, motion)
    return assemble(parts, sheet, figures, landmarks, np.stack(list(balls.values()), axis=1)[..., :3])


def add_skin(parts: Parts, sheet: Sheet, figures: dict, landmarks: np.ndarray, resolution: Resolution) -> None:
    """The face and, sewn to its left, right and top edge, the back of head and neck."""
    count = len(sheet.points)
    back = topology.back_grid(sheet.grid, resolution.back_columns, count)
    skin = skin_figures(sheet, back, figures, landmarks, resolution)
    rows, columns = back.T.shape
    uv, index = rectangle_uv(rows, columns, BACK_UV)
    parts.add("face", skin[:, :count], sheet.quads, face_uv(sheet.points), sheet.quads)
    parts.add("back", skin[:, count:], topology.grid_quads(back), uv, topology.grid_quads(index.T))


def assemble(
    parts: Parts,
    sheet: Sheet,
    figures: dict,
    landmarks: np.ndarray,
    eyes: np.ndarray,
    paint: Callable[[np.ndarray, np.ndarray, dict[str, slice]], None] = paint_mouth,
) -> FaceModel:
    """Everything as one FaceModel of float32 tensors; ``eyes`` (1 + K, 2, 3) are the eyeballs' centres.

    ``paint`` colours what lies within the mouth.
    """
    everything = np.concatenate(parts.figures, axis=1)
    n_identity = len(figures["identity"])
    quads, uv_quads = np.concatenate(parts.quads), np.concatenate(parts.uv_quads)
    chart = np.full((parts.vertex_count, 2), np.nan)
    chart[parts.spans["face"]] = sheet.points
    albedo_mean, albedo = albedo_modes(everything[0], chart, parts.spans, figures["landmark68_chart"].astype(float), eyes[0])
    paint(albedo_mean, everything[0], parts.spans)
    jaw = everything[1 + n_identity + expression_names(figures).index("jawOpen")]
    identity, expression = everything[1 : 1 + n_identity], everything[1 + n_identity :]
    as_float = lambda array: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    modes = {"identity": identity, "expression": expression, "reflectance": albedo}
    return FaceModel(
        mean=as_float(everything[0]),
        identity=as_float(identity),
        expression=as_float(expression),
        expression_names=expression_names(figures),
        albedo_mean=as_float(albedo_mean),
        albedo=as_float(albedo),
        triangles=torch.from_numpy(split(quads)),
        landmarks=torch.from_numpy(landmarks),
        quads=torch.from_numpy(quads),
        uv=as_float(np.concatenate(parts.uv)),
        uv_triangles=torch.from_numpy(split(uv_quads)),
        uv_quads=torch.from_numpy(uv_quads),
        masks={name: as_float(mask) for name, mask in masks(parts, chart).items()},
        groups={name: as_float(group) for name, group in groups(parts, everything[0], jaw).items()},
        eye_centers=as_float(eyes[0]),
        identity_eye_centers=as_float(eyes[1:]),
        name="studio head",
        identity_names=[f"identity{number:03d}" for number in range(n_identity)],
        reflectance_names=list(MODE_NAMES),
        albedo_floor=ALBEDO_FLOOR,
        scales={name: as_float(np.sqrt((values**2).sum(axis=-1).mean(axis=-1))) for name, values in modes.items()},
    )


def masks(parts: Parts, chart: np.ndarray) -> dict[str, np.ndarray]:
    """Vertex masks 0–1; "face" is the front of the face from the jaw line to the hairline, with its eyes and teeth."""
    result = {name: np.zeros(parts.vertex_count) for name in ("face", "skin", "eyes", "teeth", "mouth")}
    u, v = np.nan_to_num(chart, nan=-1).T
    across = np.clip((0.42 - np.abs(u - 0.5)) / 0.06, 0, 1)
    along = np.clip((v - 0.27) / 0.04, 0, 1) * np.clip((0.955 - v) / 0.05, 0, 1)
    result["face"] = np.where(u >= 0, across * along, 0)
    for part, name in (("face", "skin"), ("back", "skin"), ("eye_L", "eyes"), ("eye_R", "eyes"), ("teeth", "teeth"), ("mouth", "mouth")):
        result[name][parts.spans[part]] = 1
    for part in ("eye_L", "eye_R", "teeth", "mouth", "rim_L", "rim_R"):
        result["face"][parts.spans[part]] = 1
    return result


def groups(parts: Parts, mean: np.ndarray, jaw_open: np.ndarray) -> dict[str, np.ndarray]:
    """Vertex groups: how far each vertex follows the head bone, the jaw, and each eye's own bone."""
    height = np.clip((mean[:, 1] + 14.5) / 6.0, 0, 1)  # all of it above the chin, which lies at −8
    head = height * height * (3 - 2 * height)
    lowered = np.linalg.norm(jaw_open, axis=1)
    result = {"head": head, "neck": 1 - head, "jaw": np.clip(lowered / np.quantile(lowered, 0.98), 0, 1)}
    for side in ("L", "R"):
        eye = np.zeros(parts.vertex_count)
        eye[parts.spans[f"eye_{side}"]] = 1
        result[f"eye_{side}"] = eye
    return result
