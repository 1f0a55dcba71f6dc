"""ICT-FaceKit Light as its authors publish it: one OBJ for each mode, and vertex_indices.json.

https://github.com/ICT-VGL/ICT-FaceKit; Li et al., "Learning Formation of Physically-Based Face
Attributes" (2020). Units are cm, y up, the face looks along +z; identity modes are scaled for N(0, 1).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from models.face.importers.obj import read_faces, read_rows, read_vertices
from models.face.importers.raw_model import Source
from models.face.importers.validation import MAX_MODES, MAX_NUMBERS, FaceModelError, indices, read_whole

NEUTRAL = "generic_neutral_mesh.obj"
SEE_THROUGH = ("lacrimal", "eye_blend", "lashes")
INDICES = "vertex_indices.json"
VERTICES = 26719
MAX_JSON = 4 << 20  # bytes; as published it has 164,052
LICENCE = (
    "ICT-FaceKit Light, copyright (c) 2020 USC Institute for Creative Technologies, MIT licence: commercial use is "
    "allowed; keep the copyright notice with what you pass on."
)
PARTS = {  # first and past-the-last vertex, from the model's README
    "narrow_face": (0, 6706), "face": (0, 9409), "back": (9409, 11248), "mouth_socket": (11248, 13294),
    "eye_sockets": (13294, 14062), "gums_tongue": (14062, 17039), "teeth": (17039, 21451), "eye_L": (21451, 23021),
    "eye_R": (23021, 24591), "lacrimal": (24591, 24999), "eye_blend": (24999, 25351), "lashes": (25351, 26719),
}  # fmt: skip
MASKS = {
    "face": ("narrow_face", "teeth", "eye_L", "eye_R", "lacrimal", "eye_blend", "lashes"),
    "skin": ("face", "back"),
    "eyes": ("eye_L", "eye_R"),
    "teeth": ("teeth",),
    "mouth": ("mouth_socket", "gums_tongue"),
}


def is_ict(folder: Path) -> Path | None:
    """The folder with the OBJ files, if ``folder`` is an ICT-FaceKit."""
    return next((place for place in (folder, folder / "FaceXModel") if (place / NEUTRAL).is_file()), None)


def read_ict(folder: Path) -> Source:
    """All identity modes, all expressions and all parts of the folder with the OBJ files."""
    neutral = folder / NEUTRAL
    data = read_whole(neutral)
    mean = read_vertices(neutral, data)
    listed = read_indices(folder / INDICES)
    landmarks = indices(folder / INDICES, "idx_to_landmark_verts", listed["idx_to_landmark_verts"], (68,), len(mean))
    quads, uv_quads = read_faces(neutral, data)
    quads = np.where(quads < 0, -1, indices(neutral, "f", np.maximum(quads, 0), (None, 4), len(mean)))
    uv = None
    if uv_quads is not None:
        uv = read_rows(neutral, data, "vt", 2)
        uv_quads = np.where(uv_quads < 0, -1, indices(neutral, "f (vt)", np.maximum(uv_quads, 0), (None, 4), len(uv)))
    identity_files, expression_files = mode_files(folder, listed["expressions"])
    masks, groups, notes = parts_of(mean)
    see_through = np.any([masks[name] > 0.5 for name in SEE_THROUGH], axis=0) if len(mean) == VERTICES else None
    return Source(
        file=neutral,
        name="ICT-FaceKit",
        licence=LICENCE,
        unit=1.0,
        mean=mean,
        identity=read_modes(identity_files, mean),
        expression=read_modes(expression_files, mean),
        expression_names=[file.stem for file in expression_files],
        triangles=split(quads, quads),
        landmarks=landmarks,
        landmark_entry="idx_to_landmark_verts",
        quads=quads,
        uv=uv,
        uv_quads=uv_quads,
        uv_triangles=None if uv_quads is None else split(uv_quads, quads),
        masks=masks,
        groups=groups,
        see_through=see_through,
        in_place=True,
        notes=notes,
    )


def read_indices(file: Path) -> dict:
    """The lists of vertex_indices.json that are used here."""
    try:
        listed = json.loads(read_whole(file, MAX_JSON))
    except (ValueError, RecursionError) as error:
        raise FaceModelError(file, f"is not JSON: {error}.") from error
    for entry in ("idx_to_landmark_verts", "expressions"):
        if not isinstance(listed, dict) or not isinstance(listed.get(entry), list):
            raise FaceModelError(file, f"the entry {entry} is missing or is no list.")
    if not all(isinstance(name, str) for name in listed["expressions"]):
        raise FaceModelError(file, "the entry expressions holds something that is not a name.")
    return listed


def mode_files(folder: Path, listed: list[str]) -> tuple[list[Path], list[Path]]:
    """Files of identity modes and of expressions; each that must be there is."""
    found = {file.stem: file for file in sorted(folder.glob("*.obj")) if file.name != NEUTRAL}
    identity = {int(stem[8:]): file for stem, file in found.items() if re.fullmatch(r"identity\d{3}", stem)}
    expression = {stem: file for stem, file in found.items() if not stem.startswith("identity")}
    for number in range(max(identity, default=0) + 1):
        if number not in identity:
            raise FaceModelError(folder, f"the mode file identity{number:03d}.obj is missing.")
    pairs = [stem[:-1] + {"L": "R", "R": "L"}[stem[-1]] for stem in expression if stem.endswith(("_L", "_R"))]
    for name in (*listed, *pairs):
        if name not in expression:
            wanted = f"expression {name!r} is named in {INDICES}" if name in listed else f"expression {name!r} has a twin"
            raise FaceModelError(folder, f"{wanted}, but there is no file {name}.obj.")
    return [identity[number] for number in sorted(identity)], [expression[name] for name in sorted(expression)]


def read_modes(files: list[Path], mean: np.ndarray) -> np.ndarray:
    """Each file's vertices minus the mean's, (M, V, 3)."""
    if len(files) > MAX_MODES or len(files) * mean.size > MAX_NUMBERS:
        raise FaceModelError(files[0].parent, f"has {len(files)} modes of {len(mean)} vertices, more than a face model can have.")
    modes = np.empty((len(files), *mean.shape), np.float32)
    for mode, file in zip(modes, files, strict=True):
        vertices = read_vertices(file)
        if len(vertices) != len(mean):
            raise FaceModelError(file, f"has {len(vertices)} vertices, but {NEUTRAL} has {len(mean)}.")
        np.subtract(vertices, mean, out=mode)
    return modes


def parts_of(mean: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str]]:
    """Masks, vertex groups and notes; parts are only known for the mesh as published."""
    if len(mean) != VERTICES:
        return {}, {}, [f"The mesh has {len(mean)} vertices instead of {VERTICES}: its parts are not known."]
    mark = {name: np.zeros(len(mean)) for name in PARTS}
    for name, (first, end) in PARTS.items():
        mark[name][first:end] = 1
    masks = {name: np.sum([mark[part] for part in parts], axis=0) for name, parts in MASKS.items()}
    height = np.clip((mean[:, 1] + 14.5) / 6.0, 0, 1)  # as on our head, which stands in the same place
    groups = {"head": height * height * (3 - 2 * height), "eye_L": mark["eye_L"], "eye_R": mark["eye_R"]}
    return mark | masks, groups, []


def split(faces: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Triangles (F, 3) of quads (Q, 4); ``like`` says by −1 which are triangles already."""
    return np.concatenate((faces[:, :3], faces[like[:, 3] >= 0][:, [0, 2, 3]]))
