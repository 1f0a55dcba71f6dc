"""Basel Face Model 2009 as a MATLAB file: as published, and as cut to the front by Deep3DFaceReconstruction.

Paysan et al., "A 3D Face Model for Pose and Illumination Invariant Face Recognition" (2009);
Deng et al., "Accurate 3D Face Reconstruction with Weakly-Supervised Learning" (2019).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.face.importers.matlab import read_matlab
from models.face.importers.raw_model import Source
from models.face.importers.validation import FaceModelError, indices, numbered, numbers, read_whole
from models.face.landmarks import N_LANDMARKS

LICENCE = (
    "Basel Face Model, copyright University of Basel: for research and teaching only, no commercial use, and it may not "
    "be passed on. Pictures made with it fall under the same terms; cite the Basel Face Model."
)
PUBLISHED = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
DEEP3D = ("meanshape", "idBase", "exBase", "meantex", "texBase", "tri", "keypoints")
OPTIONAL = ("skinmask", "frontmask2_idx")
MICROMETRE, DECIMETRE = 1e-4, 10.0  # cm


def read_bfm_matlab(file: Path) -> Source:
    """Whichever of the two files this is."""
    arrays = read_matlab(file, {*PUBLISHED, *DEEP3D, *OPTIONAL})
    layout, reader = (DEEP3D, deep3d) if "meanshape" in arrays else (PUBLISHED, published)
    for entry in layout:
        if entry not in arrays:
            raise FaceModelError(file, f"the entry {entry} is missing.", f"A BFM 2009 file holds {', '.join(layout)}.")
    return reader(file, arrays)


def published(file: Path, arrays: dict[str, np.ndarray]) -> Source:
    """01_MorphableModel.mat: micrometres, colours 0–255, no expressions; the EV are standard deviations."""
    mean = points(numbers(file, "shapeMU", arrays["shapeMU"].reshape(-1), (None,)), file, "shapeMU")
    triangles = indices(file, "tl", arrays["tl"], (None, 3), len(mean), first=1)
    colour = numbers(file, "texMU", arrays["texMU"].reshape(-1), (mean.size,)).reshape(-1, 3) / 255
    scaled = lambda basis, deviation: modes(file, basis, arrays[basis], len(mean), deviations(file, arrays, deviation))
    return Source(
        file=file,
        name="BFM 2009",
        licence=LICENCE,
        unit=MICROMETRE,
        mean=mean,
        identity=scaled("shapePC", "shapeEV"),
        expression=np.zeros((0, *mean.shape), np.float32),
        expression_names=[],
        triangles=triangles,
        landmarks=listed_landmarks(file, len(mean)),
        colours=(colour, scaled("texPC", "texEV") / 255),
        notes=["BFM 2009 has no expressions."],
    )


def deep3d(file: Path, arrays: dict[str, np.ndarray]) -> Source:
    """BFM_model_front.mat: decimetres, colours 0–255, 80 + 64 + 80 modes scaled for N(0, 1), indices from 1."""
    mean = points(numbers(file, "meanshape", arrays["meanshape"].reshape(-1), (None,)), file, "meanshape")
    count = len(mean)
    colour = numbers(file, "meantex", arrays["meantex"].reshape(-1), (mean.size,)).reshape(-1, 3) / 255
    expression = modes(file, "exBase", arrays["exBase"], count)
    masks = {}
    if "skinmask" in arrays:
        masks["skin"] = numbers(file, "skinmask", arrays["skinmask"].reshape(-1), (count,)).clip(0, 1)
    if "frontmask2_idx" in arrays:
        front = indices(file, "frontmask2_idx", arrays["frontmask2_idx"].reshape(-1), (None,), count, first=1)
        masks["face"] = np.zeros(count)
        masks["face"][front] = 1
    return Source(
        file=file,
        name="BFM 2009 (front)",
        licence=LICENCE,
        unit=DECIMETRE,
        mean=mean,
        identity=modes(file, "idBase", arrays["idBase"], count),
        expression=expression,
        expression_names=numbered("expression", len(expression)),
        triangles=indices(file, "tri", arrays["tri"], (None, 3), count, first=1),
        landmarks=indices(file, "keypoints", arrays["keypoints"].reshape(-1), (N_LANDMARKS,), count, first=1),
        landmark_entry="keypoints",
        colours=(colour, modes(file, "texBase", arrays["texBase"], count) / 255),
        masks=masks,
    )


def points(flat: np.ndarray, file: Path, entry: str) -> np.ndarray:
    """x, y, z one after another -> (V, 3)."""
    if flat.size % 3:
        raise FaceModelError(file, f"the entry {entry} holds {flat.size} values, which is no multiple of 3.")
    return flat.reshape(-1, 3)


def deviations(file: Path, arrays: dict[str, np.ndarray], entry: str) -> np.ndarray:
    """Standard deviations (M,), none negative."""
    values = numbers(file, entry, arrays[entry].reshape(-1), (None,))
    if (values < 0).any():
        raise FaceModelError(file, f"the entry {entry} holds a negative deviation at [{int((values < 0).argmax())}].")
    return values


def modes(file: Path, entry: str, basis: np.ndarray, count: int, scale: np.ndarray | None = None) -> np.ndarray:
    """A basis (3V, M), x, y, z one after another -> modes (M, V, 3), each times its ``scale``."""
    values = numbers(file, entry, basis, (3 * count, None if scale is None else len(scale)))
    values = np.ascontiguousarray(values.T).reshape(-1, count, 3)
    return values if scale is None else values * scale[:, None, None]


def listed_landmarks(file: Path, count: int) -> np.ndarray:
    """The 68 landmarks of a list beside the model (Landmarks68_….anl, one index from 0 a line), else all −1."""
    lists = sorted(place for place in file.parent.glob("*.anl") if place.name.lower().startswith("landmarks68"))
    lists = [place for place in lists if file.stem.lower() in place.stem.lower()] or lists[: len(lists) == 1]
    if not lists:
        return np.full(N_LANDMARKS, -1)
    try:
        values = [int(word) for word in read_whole(lists[0], 1 << 16).split()]
    except ValueError as error:
        raise FaceModelError(lists[0], "holds something that is not an index.") from error
    return indices(lists[0], "landmarks", values, (N_LANDMARKS,), count)
