"""Heads of other face models before the studio's camera: they borrow what the studio needs from our own head.

The studio paints skin and roots hair over our head's chart, and turns eyeballs by expressions. An
ICT-FaceKit takes both from the nearest points of our mean head. Our head was built from figures
measured on that kit, so our identity modes are its first ones and our expressions bear its names:
scenes and their truth stay in our parameters whichever of the two stands before the camera.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.errors import StyleRigError
from models.face import FaceModel, load_face_model
from models.face.head import chart_from_uv, gaze_turn

NEEDED = ("skin", "eyes", "teeth", "mouth")
BUST, SHOULDERS = -13.0, (8.0, -9.0)  # cm: what lies below, or further out and below, is under the shirt
MOUTH, GUMS, TEETH = (0.12, 0.03, 0.026), (0.36, 0.115, 0.10), (0.62, 0.57, 0.47)  # linear albedo
APART = 1.5  # cm that a model's face may lie from ours on average


def studio_head(path: Path | None) -> FaceModel:
    """Our head, or the model at ``path`` made fit for the studio.

    Raises StyleRigError when the model lacks parts or lies elsewhere.
    """
    ours = load_face_model(None)
    if path is None:
        return ours
    face = load_face_model(path)
    missing = [name for name in NEEDED if name not in face.masks] + [name for name in ("eye_L", "eye_R") if name not in face.groups]
    if missing or face.expression_names != ours.expression_names or len(face.identity) < len(ours.identity):
        reason = f"its {', '.join(missing)} are not known" if missing else "its modes are not the studio's"
        raise StyleRigError(
            f"{path} can't stand before the camera: {reason}.", "ICT-FaceKit as published can.", code="bad_face_model"
        )
    return borrow(face, ours, path)


def borrow(face: FaceModel, ours: FaceModel, path: Path) -> FaceModel:
    """``face`` with our number of modes, our chart as UV, our reflectance, and eyes that turn."""
    near, distance = nearest_vertices(face.mean, ours.mean)
    front = face.masks["face"] * face.masks["skin"] > 0.5
    if float(distance[front].mean()) > APART:
        raise StyleRigError(
            f"The face of {path} lies {float(distance[front].mean()):.1f} cm from where the studio expects it.",
            "It has to be in centimetres, y up, looking along +z, with the origin between the ears.",
            code="bad_face_model",
        )
    modes = len(ours.identity)
    chart, on_sheet = chart_of(ours)
    on_face = on_sheet[near] & (face.masks["skin"] > 0.5)
    quads = drawn(face)
    corners = lambda polygons: torch.where(on_face[polygons].all(dim=1)[:, None, None], chart[near][polygons], torch.zeros(1))
    uv = torch.cat((corners(face.triangles).flatten(0, 1), corners(quads).flatten(0, 1)))
    index, split = torch.arange(len(uv)), 3 * len(face.triangles)
    return replace(
        face,
        identity=face.identity[:modes],
        identity_eye_centers=face.identity_eye_centers[:modes],
        albedo_mean=colours(face, ours, near),
        albedo=ours.albedo[:, near],
        expression=turning_eyes(face),
        quads=quads,
        uv=uv,
        uv_triangles=index[:split].unflatten(0, (-1, 3)),
        uv_quads=index[split:].unflatten(0, (-1, 4)),
        proxy=None,
    )


def colours(face: FaceModel, ours: FaceModel, near: Tensor) -> Tensor:
    """Mean albedo (V, 3): our skin's where there is skin, and of one colour inside the mouth."""
    albedo = ours.albedo_mean[near].clone()
    for mask, colour in ((face.masks["mouth"], MOUTH), (face.masks.get("gums_tongue"), GUMS), (face.masks["teeth"], TEETH)):
        if mask is not None:
            albedo[mask > 0.5] = torch.tensor(colour)
    return albedo


def drawn(face: FaceModel) -> Tensor:
    """The quads (Q, 4) whose first triangle is among the model's triangles (see-through shells are not), less the bust."""
    size = len(face.mean)
    number = lambda rows: (rows[:, 0] * size + rows[:, 1]) * size + rows[:, 2]
    place = face.mean[face.quads.clamp(min=0)].mean(dim=1)
    bust = (place[:, 1] < BUST) | ((place[:, 1] < SHOULDERS[1]) & (place[:, 0].abs() > SHOULDERS[0]))
    return face.quads[(face.quads >= 0).all(dim=1) & torch.isin(number(face.quads), number(face.triangles)) & ~bust]


def chart_of(ours: FaceModel) -> tuple[Tensor, Tensor]:
    """UV (V, 2) of our vertices and which of them (V,) lie on the face's sheet."""
    uv, on_sheet = torch.zeros(len(ours.mean), 2), torch.zeros(len(ours.mean), dtype=torch.bool)
    corners = ours.uv[ours.uv_quads]
    chart = torch.from_numpy(chart_from_uv(corners.flatten(0, 1).numpy())).unflatten(0, (-1, 4))
    sheet = (chart[..., 1].amin(dim=1) > -0.005) & (chart[..., 0].amax(dim=1) < 1.005) & (ours.masks["skin"][ours.quads] > 0.5).all(dim=1)
    uv[ours.quads[sheet]] = corners[sheet]
    on_sheet[ours.quads[sheet]] = True
    return uv, on_sheet


def nearest_vertices(points: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the candidate (C, 3) nearest to each point (P, 3), and its distance in cm."""
    distance, index = zip(*(torch.cdist(part, candidates).min(dim=1) for part in points.split(2048)), strict=True)
    return torch.cat(index), torch.cat(distance)


def turning_eyes(face: FaceModel) -> Tensor:
    """The expressions (E, V, 3) with eyeballs that turn rigidly under eyeLook, as ours do."""
    expression = face.expression.clone()
    for centre, side in zip(face.eye_centers.numpy(), ("L", "R"), strict=True):
        mine = face.groups[f"eye_{side}"] > 0.5
        offsets = (face.mean[mine].numpy() - centre).astype(np.float64)
        for row, name in enumerate(face.expression_names):
            turned = gaze_turn(name, side, offsets)
            if np.any(turned):
                expression[row, mine] = torch.from_numpy(turned).float()
    return expression
