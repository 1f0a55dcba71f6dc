"""FLAME (generic_model.pkl and its kin): Li et al., "Learning a model of facial shape and expression from 4D scans" (2017).

Metres, y up, the face looks along +z. The jaw and the eyes turn about joints; here these turns become
the expressions jawOpen and eyeLook…, beside the modes of the file. The pickle is read, never run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.face.importers.joint_expressions import GAZES, gaze_expressions, jaw_open
from models.face.importers.pickle import array_of, read_pickle
from models.face.importers.raw_model import Source
from models.face.importers.validation import FaceModelError, indices, numbered, numbers, read_whole
from models.face.landmarks import N_LANDMARKS

LICENCE = (
    "FLAME, copyright Max Planck Society. FLAME 2023 Open is CC-BY-4.0 (commercial use with attribution; not for "
    "harming, surveilling or deceiving people); all other FLAME files are for research only."
)
METRE = 100.0  # cm
MAX_PICKLE = 512 << 20  # bytes
IDENTITY = {400: 300, 150: 100}  # shapedirs in all -> how many of them are identity
JAW = 2  # joints: root, neck, jaw, and the two eyes
EYES = (3, 4)
CONTOUR = 17  # landmarks of the jaw line, which the static embedding of 51 lacks
EMBEDDINGS = ("flame_static_embedding_68.pkl", "flame_static_embedding.pkl")


def read_flame(file: Path) -> Source:
    """All modes of the file; landmarks from an embedding beside it where there is one."""
    entries = read_pickle(file, read_whole(file, MAX_PICKLE))
    names = ("v_template", "f", "shapedirs", "posedirs", "weights", "J_regressor")
    if type(entries) is not dict:
        raise FaceModelError(file, "holds no dictionary.")
    for name in names:
        if name not in entries:
            raise FaceModelError(file, f"the entry {name} is missing.", f"A FLAME file holds {', '.join(names)}.")
    array = {name: array_of(file, name, entries[name]) for name in names}
    mean = numbers(file, "v_template", array["v_template"], (None, 3))
    count = len(mean)
    shapes = np.moveaxis(numbers(file, "shapedirs", array["shapedirs"], (count, 3, None)), 2, 0)
    split = IDENTITY.get(len(shapes))
    if split is None:
        raise FaceModelError(file, f"the entry shapedirs has {len(shapes)} modes; known are {sorted(IDENTITY)}.")
    triangles = indices(file, "f", array["f"], (None, 3), count)
    moved, moved_names, groups = posed(file, mean, array)
    return Source(
        file=file,
        name="FLAME",
        licence=LICENCE,
        unit=METRE,
        mean=mean,
        identity=np.ascontiguousarray(shapes[:split]),
        expression=np.concatenate((moved, shapes[split:])),
        expression_names=moved_names + numbered("expression", len(shapes) - split),
        triangles=triangles,
        landmarks=embedded_landmarks(file, triangles),
        masks={"eyes": groups["eye_L"] + groups["eye_R"]},
        groups=groups,
    )


def posed(file: Path, mean: np.ndarray, array: dict) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """Displacements (9, V, 3) of jawOpen and the eyeLook expressions, their names, and the eyes' and the head's groups."""
    count = len(mean)
    weights = numbers(file, "weights", array["weights"], (count, 5))
    joints = numbers(file, "J_regressor", array["J_regressor"], (5, count)) @ mean
    correctives = numbers(file, "posedirs", array["posedirs"], (count, 3, 36))  # nine for each joint but the root
    jaw = jaw_open(mean, joints[JAW], weights[:, JAW], correctives[:, :, 9 * (JAW - 1) : 9 * JAW])
    left, right = EYES if joints[EYES[0], 0] > joints[EYES[1], 0] else EYES[::-1]
    sides = {"L": weights[:, left], "R": weights[:, right]}
    gaze = gaze_expressions(mean, {"L": joints[left], "R": joints[right]}, sides)
    groups = {"eye_L": sides["L"], "eye_R": sides["R"], "head": weights[:, [JAW, *EYES, 1]].sum(axis=1).clip(0, 1)}
    return np.concatenate((jaw[None], gaze)), ["jawOpen", *GAZES], groups


def embedded_landmarks(file: Path, triangles: np.ndarray) -> np.ndarray:
    """Landmarks from FLAME's static embedding in the same folder (51 without the jaw line, or 68), else all −1.

    An embedding is a triangle and three weights for each landmark; the corner with the largest weight is taken.
    """
    landmarks = np.full(N_LANDMARKS, -1)
    beside = next((file.with_name(name) for name in EMBEDDINGS if file.with_name(name).is_file()), None)
    if beside is None:
        return landmarks
    entries = read_pickle(beside, read_whole(beside, 1 << 20))
    for name in ("lmk_face_idx", "lmk_b_coords"):
        if type(entries) is not dict or name not in entries:
            raise FaceModelError(beside, f"the entry {name} is missing.")
    rows = indices(beside, "lmk_face_idx", array_of(beside, "lmk_face_idx", entries["lmk_face_idx"]), (None,), len(triangles))
    if len(rows) not in (N_LANDMARKS, N_LANDMARKS - CONTOUR):
        raise FaceModelError(beside, f"the entry lmk_face_idx has {len(rows)} landmarks, not 51 or 68.")
    corners = numbers(beside, "lmk_b_coords", array_of(beside, "lmk_b_coords", entries["lmk_b_coords"]), (len(rows), 3))
    landmarks[N_LANDMARKS - len(rows) :] = triangles[rows, corners.argmax(axis=1)]
    return landmarks
