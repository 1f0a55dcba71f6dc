"""Basel Face Model 2017 and 2019, HDF5 in the layout of statismo and scalismo.

Gerig et al., "Morphable Face Models - An Open Framework" (2018). Millimetres, display colours 0–1;
pcaBasis is orthonormal and pcaVariance holds variances. The landmarks are named points in space.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from models.face.importers.bfm import LICENCE, listed_landmarks, modes, points
from models.face.importers.raw_model import Source
from models.face.importers.validation import FaceModelError, indices, numbered, numbers, open_whole

MILLIMETRE = 0.1  # cm
MAX_ARRAY = 300 << 20  # bytes; the largest basis (the full head of 2019, in doubles) takes 265 MiB
MAX_TOTAL = 800 << 20  # bytes of all arrays
MAX_RATIO = 1100  # what deflate can shrink by, and a little
LANDMARK_NAMES = {
    "center.chin.tip": 8, "center.nose.tip": 30, "right.eye.corner_outer": 36, "right.eye.corner_inner": 39,
    "left.eye.corner_inner": 42, "left.eye.corner_outer": 45, "right.lips.corner": 48, "center.lips.upper.outer": 51,
    "left.lips.corner": 54, "center.lips.lower.outer": 57, "center.lips.upper.inner": 62, "center.lips.lower.inner": 66,
}  # fmt: skip


NEEDED = ("shape/representer/cells",
          *(f"{part}/model/{name}" for part in ("shape", "color", "expression")
            for name in ("mean", "pcaBasis", "pcaVariance")))  # fmt: skip


def read_bfm_h5(file: Path) -> Source:
    """Shape, colour and expression of a BFM 2017 or 2019 file."""
    open_whole(file).close()  # the library itself would wait for a pipe
    try:
        with h5py.File(file, "r") as archive:
            total = sum(found.nbytes for found in (locate(file, archive, name) for name in NEEDED) if found is not None)
            if total > MAX_TOTAL:
                raise FaceModelError(file, f"says that it holds {total >> 20} MiB, more than a face model can have.")
            return read_archive(file, archive)
    except (OSError, RuntimeError, KeyError, UnicodeError) as error:  # what h5py raises for damaged files
        raise FaceModelError(file, f"is a damaged HDF5 file: {error}.") from error


def read_archive(file: Path, archive: h5py.File) -> Source:
    """``read_bfm_h5`` on the open file."""
    entry = lambda name: dataset(file, archive, name)
    mean = points(numbers(file, "shape/model/mean", entry("shape/model/mean").ravel(), (None,)), file, "shape/model/mean")
    count = len(mean)
    offset = numbers(file, "expression/model/mean", entry("expression/model/mean").ravel(), (mean.size,)).reshape(-1, 3)
    colour = numbers(file, "color/model/mean", entry("color/model/mean").ravel(), (mean.size,)).reshape(-1, 3)
    scaled = lambda part: scaled_modes(file, archive, part, count)
    expression = scaled("expression")
    cells = entry("shape/representer/cells")
    cells = cells.T if cells.ndim == 2 and cells.shape[0] == 3 else cells
    landmarks = listed_landmarks(file, count)
    if (landmarks < 0).all():
        landmarks = named_landmarks(file, archive, mean + offset)
    return Source(
        file=file,
        name="BFM 2019" if "2019" in file.name else "BFM 2017",
        licence=LICENCE,
        unit=MILLIMETRE,
        mean=mean + offset,
        identity=scaled("shape"),
        expression=expression,
        expression_names=numbered("expression", len(expression)),
        triangles=indices(file, "shape/representer/cells", cells, (None, 3), count),
        landmarks=landmarks,
        landmark_entry="metadata/landmarks/json",
        colours=(colour, scaled("color")),
    )


def scaled_modes(file: Path, archive: h5py.File, part: str, count: int) -> np.ndarray:
    """Modes (M, V, 3) of ``part`` at one standard deviation."""
    name = f"{part}/model/pcaVariance"
    variance = numbers(file, name, dataset(file, archive, name).ravel(), (None,))
    if (variance < 0).any():
        raise FaceModelError(file, f"the entry {name} is negative at [{int((variance < 0).argmax())}].")
    basis = f"{part}/model/pcaBasis"
    return modes(file, basis, dataset(file, archive, basis), count, np.sqrt(variance))


def dataset(file: Path, archive: h5py.File, name: str) -> np.ndarray:
    """The numbers of one dataset that lies in this very file and is no larger than its bytes can hold."""
    values = locate(file, archive, name)
    if values is None:
        raise FaceModelError(file, f"the entry {name} is missing.")
    if values.dtype.kind not in "fiu" or values.shape is None:
        raise FaceModelError(file, f"the entry {name} is not an array of numbers.")
    stored = values.id.get_storage_size()
    if values.nbytes > min(MAX_ARRAY, max(stored, 1) * MAX_RATIO):
        raise FaceModelError(file, f"the entry {name} says that it holds {values.nbytes >> 20} MiB, which cannot be.")
    return values[()]


def locate(file: Path, archive: h5py.File, name: str) -> h5py.Dataset | None:
    """A dataset by its path; None where there is none. Links and data in other files are refused."""
    place = archive
    for part in name.split("/"):
        if not isinstance(place, h5py.Group) or part not in place:
            return None
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise FaceModelError(file, f"the entry {name} is a link to elsewhere.", "Do not trust this file.")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        return None
    if place.external or place.is_virtual or place.compression not in (None, "gzip", "szip", "lzf"):
        raise FaceModelError(file, f"the entry {name} is not kept in this file itself.", "Do not trust this file.")
    return place


def named_landmarks(file: Path, archive: h5py.File, mean: np.ndarray) -> np.ndarray:
    """The 68 landmarks as far as the file names them: the vertex nearest to each point; −1 for the others."""
    landmarks = np.full(68, -1)
    entry = "metadata/landmarks/json"
    values = locate(file, archive, entry)
    if values is None or values.nbytes > 1 << 20:
        return landmarks
    try:
        raw = np.asarray(values[()]).ravel()
        text = raw.tobytes() if raw.dtype.kind in "iu" else raw[0]
        for point in json.loads(text):
            if point["id"] in LANDMARK_NAMES:
                place = numbers(file, f"{entry} ({point['id']})", point["coordinates"], (3,))
                landmarks[LANDMARK_NAMES[point["id"]]] = np.linalg.norm(mean - place, axis=1).argmin()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FaceModelError(file, f"the entry {entry} is not a list of named points: {error}.") from error
    return landmarks
