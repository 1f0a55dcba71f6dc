"""From what a file holds to the FaceModel that everything else here works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from models.face.importers.colours import linear_modes, plain_skin
from models.face.importers.proxy import add_proxy
from models.face.importers.registration import Annotations, transfer_annotations
from models.face.importers.validation import MAX_VERTICES, FaceModelError, numbered
from models.face.landmarks import MIRRORED_LANDMARKS, N_LANDMARKS
from models.face.model import FaceModel

LARGEST = 1000.0  # cm; how far a point may lie from the origin, and how far a mode may move it
EYE_DEPTH = 1.2  # cm from the lids' middle back to the eyeball's centre, where a model has no eyeballs
DISCS = {"iris": 0.58, "pupil": 0.2}  # cm from the eye's axis: where the cornea begins to bulge, and half-open pupils


@dataclass
class Source:
    """A face model in the units of its file; y up, the face looks along +z, x to the face's left.

    Modes are scaled so that identity and colour weights are N(0, 1).
    """

    file: Path
    name: str
    licence: str
    unit: float  # cm
    mean: np.ndarray  # (V, 3) float32, as all arrays of numbers here
    identity: np.ndarray  # (K, V, 3)
    expression: np.ndarray  # (E, V, 3)
    expression_names: list[str]
    triangles: np.ndarray  # (F, 3) int64
    landmarks: np.ndarray = field(default_factory=lambda: np.full(N_LANDMARKS, -1))  # vertices; −1 where not known
    landmark_entry: str = "landmarks"
    identity_names: list[str] | None = None
    colours: tuple[np.ndarray, np.ndarray] | None = None  # display RGB 0–1: mean (V, 3), modes (B, V, 3)
    reflectance_names: list[str] | None = None
    quads: np.ndarray | None = None  # (Q, 4); −1 ends a triangle
    uv: np.ndarray | None = None
    uv_triangles: np.ndarray | None = None
    uv_quads: np.ndarray | None = None
    masks: dict[str, np.ndarray] = field(default_factory=dict)  # (V,)
    groups: dict[str, np.ndarray] = field(default_factory=dict)  # (V,); eye_L and eye_R are the eyeballs
    see_through: np.ndarray | None = None  # (V,) bool: kept in the quads, but not in the triangles that are drawn
    in_place: bool = False  # it already stands where our head stands
    notes: list[str] = field(default_factory=list)


def build(source: Source) -> FaceModel:
    """The FaceModel of a source: in cm, in place, with whatever the file lacks taken from our head.

    Raises FaceModelError where landmarks do not lie as on a face.
    """
    check_size(source)
    carried = complete(source)
    landmarks = in_order(source.landmarks, source.mean)
    check_landmarks(source, landmarks)
    if carried is not None and not source.in_place:
        source.mean += carried.middle - source.mean[landmarks[17:]].mean(axis=0)
    hide_see_through(source)
    flip_inward(source, landmarks)
    if source.uv is None:
        wrap_round(source)
    colour_mean, colour_modes, colour_names = colours_of(source)
    eyes, eye_modes = eye_centres(source, landmarks)
    tensor = torch.from_numpy
    optional = lambda array: None if array is None else tensor(np.ascontiguousarray(array))
    model = FaceModel(
        mean=tensor(source.mean),
        identity=tensor(source.identity),
        expression=tensor(source.expression),
        expression_names=source.expression_names,
        albedo_mean=tensor(colour_mean),
        albedo=tensor(colour_modes),
        triangles=tensor(np.ascontiguousarray(source.triangles)),
        landmarks=tensor(landmarks.astype(np.int64)),
        quads=optional(source.quads),
        uv=optional(source.uv),
        uv_triangles=optional(source.uv_triangles),
        uv_quads=optional(source.uv_quads),
        masks={name: tensor(mask.astype(np.float32)) for name, mask in source.masks.items()},
        groups={name: tensor(group.astype(np.float32)) for name, group in source.groups.items()},
        eye_centers=tensor(eyes),
        identity_eye_centers=tensor(eye_modes),
        name=source.name,
        identity_names=source.identity_names or numbered("identity", len(source.identity)),
        reflectance_names=colour_names,
        licence=source.licence,
        notes=source.notes,
    )
    model.scales = {name: rms(getattr(model, part)) for name, part in SCALED.items()}
    return add_proxy(model)


def check_size(source: Source) -> None:
    """Scale points and modes to cm; refuse what is larger than any face or has more vertices than any model."""
    if len(source.mean) > MAX_VERTICES or len(source.triangles) > 2 * MAX_VERTICES:
        raise FaceModelError(source.file, f"has {len(source.mean)} vertices, more than a face model can have.")
    for name in ("mean", "identity", "expression"):
        array = getattr(source, name)
        array *= np.float32(source.unit)
        if array.size and max(array.max(), -array.min()) > LARGEST:
            raise FaceModelError(source.file, f"its {name} reaches {LARGEST / 100:.0f} m and more, as no face does.")


SCALED = {"identity": "identity", "expression": "expression", "reflectance": "albedo"}


def rms(modes: torch.Tensor) -> torch.Tensor:
    """Root-mean-square length over the vertices of modes (M, V, 3), (M,)."""
    return torch.linalg.vector_norm(modes, dim=(1, 2)) / modes.shape[1] ** 0.5


def complete(source: Source) -> Annotations | None:
    """Fill in landmarks, masks and groups that the file lacks, from our head laid over the model's mean."""
    count = len(source.mean)
    known = source.landmarks >= 0
    carried = None
    if not known.all() or "face" not in source.masks or "head" not in source.groups or not source.in_place:
        carried = transfer_annotations(source.mean, source.triangles, source.landmarks)
        source.landmarks = np.where(known, source.landmarks, carried.landmarks)
        source.masks.setdefault("face", carried.face)
        source.groups.setdefault("head", carried.head)
        if not known.all():
            source.notes.append(f"{(~known).sum()} of the 68 landmarks are not in the file: placed by fitting our head.")
    source.groups.setdefault("neck", 1 - source.groups["head"])
    for name in ("eyes", "teeth", "mouth"):
        source.masks.setdefault(name, np.zeros(count))
    inside = source.masks["eyes"] + source.masks["teeth"] + source.masks["mouth"]
    source.masks.setdefault("skin", (inside < 0.5).astype(float))
    for name in ("eye_L", "eye_R"):
        source.groups.setdefault(name, np.zeros(count))
    for name, radius in DISCS.items():
        discs = [disc(source.mean, source.groups[eye] > 0.5, radius) for eye in ("eye_L", "eye_R")]
        source.masks.setdefault(name, discs[0] + discs[1])
    return carried


def disc(mean: np.ndarray, ball: np.ndarray, radius: float) -> np.ndarray:
    """Mask (V,) of the front of an eyeball within ``radius`` of its axis, which points along +z."""
    if not ball.any():
        return np.zeros(len(mean))
    offset = mean - (mean[ball].min(axis=0) + mean[ball].max(axis=0)) / 2
    return (ball & (offset[:, 2] > 0) & (np.linalg.norm(offset[:, :2], axis=1) < radius)).astype(float)


def in_order(landmarks: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Landmarks from the face's right, whichever side the file begins at."""
    mirrored = mean[landmarks[36:42], 0].mean() > mean[landmarks[42:48], 0].mean()
    return landmarks[list(MIRRORED_LANDMARKS)] if mirrored else landmarks


def check_landmarks(source: Source, landmarks: np.ndarray) -> None:
    """Refuse landmarks that cannot be a face's in cm: then units, axes or indices are not what they should be."""
    points = source.mean[landmarks]
    right, left, nose = points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30]
    mouth, jaw = points[48:60].mean(axis=0), points[[0, 16]].mean(axis=0)
    apart = float(np.linalg.norm(left - right))
    faults = {
        f"the eyes lie {apart:.3g} cm apart": not 4 < apart < 10,
        "the mouth is not below the eyes": not mouth[1] < min(right[1], left[1]) - 2,
        "the nose does not point along +z": not nose[2] > max(jaw[2], right[2], left[2]),
        "the eyes are not side by side along x": not left[0] - right[0] > 0.9 * apart,
    }
    for fault, found in faults.items():
        if found:
            raise FaceModelError(source.file, f"the entry {source.landmark_entry} does not fit the mean face: {fault}.")


def hide_see_through(source: Source) -> None:
    """Leave shells that are transparent in the model's own materials out of the triangles."""
    if source.see_through is None:
        return
    drawn = ~source.see_through[source.triangles].all(axis=1)
    source.triangles = source.triangles[drawn]
    source.uv_triangles = None if source.uv_triangles is None else source.uv_triangles[drawn]
    source.notes.append("Parts that are see-through, such as lashes and the shells over the eyes, are not drawn.")


def flip_inward(source: Source, landmarks: np.ndarray) -> None:
    """Turn all polygons round where the front of the face shows its back."""
    points = source.mean[landmarks[17:]]
    low, high = points.min(axis=0) - 1, points.max(axis=0) + 1
    corners = source.mean[source.triangles]
    middles = corners.mean(axis=1)
    front = ((middles > low) & (middles < high)).all(axis=1)
    normals = np.cross(corners[front, 1] - corners[front, 0], corners[front, 2] - corners[front, 0])
    if normals[:, 2].sum() < 0:
        source.triangles = source.triangles[:, ::-1]
        source.uv_triangles = None if source.uv_triangles is None else source.uv_triangles[:, ::-1]
        source.quads = turned(source.quads)
        source.uv_quads = turned(source.uv_quads)


def turned(quads: np.ndarray | None) -> np.ndarray | None:
    """Quads the other way round, a triangle's −1 still last."""
    if quads is None:
        return None
    return np.where(quads[:, 3:] < 0, quads[:, [2, 1, 0, 3]], quads[:, ::-1])


def wrap_round(source: Source) -> None:
    """A UV layout for a file without one: wrapped round the vertical axis, cut at the back of the head.

    Each vertex has a second place one turn further right, for polygons that lie across the cut.
    """
    low, high = source.mean[:, 1].min(), source.mean[:, 1].max()
    turn = np.arctan2(source.mean[:, 0], source.mean[:, 2]) / (2 * np.pi) + 0.5
    uv = np.stack((turn, (source.mean[:, 1] - low) / (high - low)), axis=-1)
    uv = np.concatenate((uv, uv + (1, 0)))
    source.uv_triangles = on_one_side(source.triangles, turn)
    source.uv_quads = None if source.quads is None else on_one_side(source.quads, turn)
    source.uv = (uv / (uv[source.uv_triangles, 0].max(), 1)).astype(np.float32)
    source.notes.append("The file has no UV layout: one wrapped round the head stands in.")


def on_one_side(faces: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Polygons (F, 3 or 4) with corners at ``turn`` (V,), by their places in the layout of ``wrap_round``."""
    places = np.where(faces < 0, np.nan, turn[faces])
    across = np.nanmax(places, axis=1) - np.nanmin(places, axis=1) > 0.5
    return np.where(across[:, None] & (places < 0.5), faces + len(turn), faces)


def colours_of(source: Source) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Linear albedo mean (V, 3), modes (B, V, 3) and their names."""
    if source.colours is None:
        source.notes.append("The file has no skin colours: a plain skin with tone, warmth and redness stands in.")
        return plain_skin(source.masks)
    mean, modes = linear_modes(*source.colours)
    return mean, modes, source.reflectance_names or numbered("colour", len(modes))


def eye_centres(source: Source, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eyeball centres (2, 3), left then right, and their change per identity mode (K, 2, 3)."""
    centres, changes = [], []
    for name, lids in (("eye_L", slice(42, 48)), ("eye_R", slice(36, 42))):
        ball = np.flatnonzero(source.groups[name] > 0.5)
        if len(ball) >= 10:
            centres.append(sphere_centre(source.mean[ball]))
        else:
            ball = landmarks[lids]
            centres.append(source.mean[ball].mean(axis=0) - [0, 0, EYE_DEPTH])
        changes.append(source.identity[:, ball].mean(axis=1))
    return np.array(centres, np.float32), np.stack(changes, axis=1).astype(np.float32)


def sphere_centre(points: np.ndarray) -> np.ndarray:
    """Centre of the sphere through points (P, 3), by linear least squares."""
    points = points.astype(float)
    system = np.concatenate((2 * points, np.ones((len(points), 1))), axis=1)
    return np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3]
