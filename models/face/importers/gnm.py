"""GNM Head (gnm_head.npz): Google's Generative aNthropometric Model, https://github.com/google/GNM.

Metres, y up, the face looks along +z. The eyes turn about joints, which here becomes the eyeLook expressions.
"""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from models.face.importers.joint_expressions import GAZES, gaze_expressions
from models.face.importers.raw_model import Source
from models.face.importers.validation import FaceModelError, indices, names, numbers, open_whole, read_whole
from models.face.landmarks import N_LANDMARKS
from models.io.zip_archive import BROKEN, open_zip

LICENCE = "GNM Head, copyright Google LLC, Apache licence 2.0: commercial use is allowed; keep the notices."
METRE = 100.0  # cm
MAX_ARRAY, MAX_TOTAL = 300 << 20, 600 << 20  # bytes once unpacked; all of version 3 takes 150 MB
# What zipfile and numpy raise for damaged files.
DAMAGED = (*BROKEN, zlib.error, lzma.LZMAError, tokenize.TokenError, SyntaxError, TypeError)
TEXT, NEEDED = ("identity_names", "expression_names", "joint_names", "vertex_group_names"), (
    "template_vertex_positions", "vertex_identity_basis", "expression_basis", "triangles", "quads",
    "template_joint_positions", "skinning_weights", "vertex_groups",
)  # fmt: skip
MASKS = {  # ours from theirs; older files have the groups in brackets
    "skin": ("skin",),
    "eyes": ("eyes", "left_eye", "right_eye"),
    "teeth": ("upper_teeth_and_gums", "lower_teeth_and_gums", "upper_teeth", "lower_teeth"),
    "mouth": ("tongue", "mouth_sock"),
    "iris": ("irises", "iris"),
    "pupil": ("pupils", "pupil"),
    "see_through": ("eye_exteriors", "eyeball_exterior"),
}
JAW_ORDER = [0, 1, 6, 5, 4, 3, 2, *range(7, 17)]  # the published list runs backwards along a piece of the jaw


def read_gnm(file: Path) -> Source:
    """All modes of the file; landmarks from head_sparse_68.txt beside it or where the repository keeps it."""
    arrays = read_entries(file)
    mean = numbers(file, "template_vertex_positions", arrays["template_vertex_positions"], (None, 3))
    count = len(mean)
    identity = numbers(file, "vertex_identity_basis", arrays["vertex_identity_basis"], (None, count, 3))
    expression = numbers(file, "expression_basis", arrays["expression_basis"], (None, count, 3))
    expression_names = names(file, "expression_names", arrays["expression_names"], len(expression))
    masks = masks_of(file, arrays, count)
    groups, gaze = joints_of(file, arrays, mean)
    see_through = masks.pop("see_through", None)
    return Source(
        file=file,
        name="GNM Head",
        licence=LICENCE,
        unit=METRE,
        mean=mean,
        identity=identity,
        identity_names=names(file, "identity_names", arrays["identity_names"], len(identity)),
        expression=np.concatenate((gaze, expression)),
        expression_names=[*(GAZES if len(gaze) else ()), *expression_names],
        triangles=indices(file, "triangles", arrays["triangles"], (None, 3), count),
        quads=indices(file, "quads", arrays["quads"], (None, 4), count),
        landmarks=sparse_landmarks(file, mean),
        landmark_entry="head_sparse_68.txt",
        masks=masks,
        groups=groups,
        see_through=None if see_through is None else see_through > 0.5,
    )


def read_entries(file: Path) -> dict[str, np.ndarray]:
    """The arrays needed, each checked against the size of its member before memory is taken for it."""
    try:
        with open_whole(file) as opened:
            archive, found = open_zip(opened)
            members = {name.removesuffix(".npy"): info for name, info in found.items()}
            for name in (*NEEDED, *TEXT):
                if name not in members:
                    raise FaceModelError(file, f"the entry {name} is missing.", "Choose GNM's gnm_head.npz, version 3.")
            if sum(members[name].file_size for name in (*NEEDED, *TEXT)) > MAX_TOTAL:
                raise FaceModelError(file, "unpacks to more than a face model can be.")
            return {name: read_entry(file, archive, members[name], name) for name in (*NEEDED, *TEXT)}
    except DAMAGED as error:
        raise FaceModelError(file, f"is a damaged npz file: {error}.") from error


def read_entry(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    """One array of an npz file: numbers or text, no objects."""
    if info.file_size > MAX_ARRAY:
        raise FaceModelError(file, f"the entry {name} is larger ({info.file_size >> 20} MiB) than a face model's can be.")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(member)
        wanted = dtype.itemsize * int(np.prod([int(size) for size in shape], dtype=object))
        if dtype.kind not in "fiubU" or member.tell() + wanted != info.file_size:
            raise FaceModelError(file, f"the entry {name} is not an array of numbers or names of the size it says.")
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def masks_of(file: Path, arrays: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Our masks from the vertex groups."""
    given = names(file, "vertex_group_names", arrays["vertex_group_names"], arrays["vertex_group_names"].size)
    weights = numbers(file, "vertex_groups", arrays["vertex_groups"], (len(given), count))
    groups = dict(zip(given, weights, strict=True))
    masks = {}
    for name, sources in MASKS.items():
        found = [groups[source] for source in sources if source in groups]
        if found:
            masks[name] = np.max(found, axis=0).clip(0, 1)
    return masks


def joints_of(file: Path, arrays: dict[str, np.ndarray], mean: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Vertex groups from the joints' weights, and displacements (8, V, 3) of the eyeLook expressions."""
    given = names(file, "joint_names", arrays["joint_names"], arrays["joint_names"].size)
    positions = numbers(file, "template_joint_positions", arrays["template_joint_positions"], (len(given), 3))
    weights = arrays["skinning_weights"]
    weights = weights.T if weights.shape == (len(mean), len(given)) else weights
    weights = numbers(file, "skinning_weights", weights, (len(given), len(mean)))
    for name in ("head", "left_eye", "right_eye"):
        if name not in given:
            raise FaceModelError(file, f"the entry joint_names does not name {name}.")
    head, left, right = (given.index(name) for name in ("head", "left_eye", "right_eye"))
    groups = {"eye_L": weights[left], "eye_R": weights[right], "head": weights[[head, left, right]].sum(axis=0).clip(0, 1)}
    centres = {"L": positions[left], "R": positions[right]}
    return groups, gaze_expressions(mean, centres, {"L": weights[left], "R": weights[right]})


def sparse_landmarks(file: Path, mean: np.ndarray) -> np.ndarray:
    """The vertex of largest weight of each of the 68 landmarks (lines of three vertices and weights), else all −1."""
    places = (file.with_name("head_sparse_68.txt"), file.resolve().parent.parent.parent / "landmarks" / "head_sparse_68.txt")
    beside = next((place for place in places if place.is_file()), None)
    if beside is None:
        return np.full(N_LANDMARKS, -1)
    try:
        table = np.array([[float(word) for word in line.split()] for line in read_whole(beside, 1 << 16).splitlines() if line])
        table = numbers(beside, "landmarks", table, (N_LANDMARKS, 6))
    except ValueError as error:
        raise FaceModelError(beside, "is not a table of 68 lines of three vertices and weights.") from error
    corners = indices(beside, "landmarks", table[:, ::2], (N_LANDMARKS, 3), len(mean))
    chosen = corners[np.arange(N_LANDMARKS), table[:, 1::2].argmax(axis=1)]
    orders = (np.arange(17), np.array(JAW_ORDER))
    length = [np.linalg.norm(np.diff(mean[chosen[order]], axis=0), axis=1).sum() for order in orders]
    return np.concatenate((chosen[orders[int(np.argmin(length))]], chosen[17:]))
