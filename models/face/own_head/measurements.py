"""What was measured: ``measurements.npz``, read with care, its mirror images, and the spheres of the eyes.

Figures of 791 points of the face in a flat chart, of 160 points of the skull, of eyeballs and teeth, taken
from ICT-FaceKit's light-stage population (see NOTICE). Arrays "(M, P, 3)" hold M = 1 + K + E rows: the
mean, then the displacement per unit of each of K identity modes and of each of E expressions, cm.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from models.errors import StyleRigError

FIGURES = Path(__file__).with_name("measurements.npz")
SHAPES = {
    "chart": ("P", 2), "mean": ("P", 3), "identity": ("K", "P", 3), "expression": ("E", "P", 3), "expression_names": ("E",),
    "landmark68_chart": (68, 2), "loop_left_eye": (None, 2), "loop_right_eye": (None, 2), "loop_mouth": (None, 2),
    "loop_outer": (None, 2), "eyeball_left": ("K+1", 4), "eyeball_right": ("K+1", 4), "teeth_boxes": (32, 2, 3),
    "teeth_jaw_open": (32, 3), "skull_mean": ("S", 3), "skull_identity": ("K", "S", 3),
}  # fmt: skip
EYE_SCALE, EYE_SHIFT = 0.968, -0.05  # the measured spheres were fitted with the cornea: the sclera is smaller, further back
GAZE_DEGREES = {"In": 32.0, "Out": 32.0, "Up": 24.0, "Down": 28.0}  # at weight 1, as far as people look with ease
HINT = "The file belongs to the project; restore it from the repository."


def read_figures(path: Path = FIGURES) -> dict[str, np.ndarray]:
    """The table of figures; StyleRigError names the file and the entry that is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            figures = {key: archive[key] for key in SHAPES if key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise StyleRigError(f"The face model's figures cannot be read: {path}: {error}", HINT) from error
    sizes: dict[str, int] = {}
    for key, shape in SHAPES.items():
        if key not in figures:
            raise StyleRigError(f"{path}: the entry {key} is missing.", HINT)
        check_shape(path, key, figures[key], shape, sizes)
    return figures


def check_shape(path: Path, key: str, array: np.ndarray, shape: tuple, sizes: dict[str, int]) -> None:
    """Refuse an entry of another shape than ``shape`` (letters are sizes that entries share), or with NaNs in it."""
    if "K+1" in shape:
        sizes.setdefault("K+1", sizes["K"] + 1)
    fits = array.ndim == len(shape)
    for length, wanted in zip(array.shape, shape, strict=False):
        known = wanted if isinstance(wanted, int) else sizes.setdefault(wanted, length) if wanted else length
        fits = fits and length == known
    if not fits:
        raise StyleRigError(f"{path}: the entry {key} has shape {array.shape}, which does not fit the others.", HINT)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise StyleRigError(f"{path}: the entry {key} holds values that are not numbers.", HINT)


def expression_names(figures: dict) -> list[str]:
    """The expressions' names, ARKit style, in order."""
    return [str(name) for name in figures["expression_names"]]


def face_figures(figures: dict) -> tuple[np.ndarray, np.ndarray]:
    """Chart positions (P, 2) and figures (M, P, 3) of the face's measured points and of their mirror images.

    The population's mean is symmetric, each identity mode symmetric or its own negative in the mirror,
    and each expression has a mirror partner: so every point tells of two.
    """
    chart = figures["chart"].astype(float)
    values = np.concatenate((figures["mean"][None], figures["identity"], figures["expression"])).astype(float)
    both = np.concatenate((chart, chart * [-1, 1] + [1, 0]))
    _, first = np.unique(np.round(both, 4), axis=0, return_index=True)
    first.sort()
    return both[first], np.concatenate((values, mirror_image(values, figures)), axis=1)[:, first]


def skull_figures(figures: dict) -> np.ndarray:
    """Figures (M, P, 3) of the back of head and neck and their mirror images; expressions leave it still."""
    skull = np.concatenate((figures["skull_mean"][None], figures["skull_identity"])).astype(float)
    skull = np.concatenate((skull, np.zeros((len(figures["expression"]), *skull.shape[1:]))))
    both = np.concatenate((skull, mirror_image(skull, figures)), axis=1)
    x, y, z = both[0].T
    return both[:, (y > -11.0) & (z < 3.5) & ((y > -10.0) | (np.abs(x) < 6.2))]  # below, the bust begins


def mirror_image(values: np.ndarray, figures: dict) -> np.ndarray:
    """Figures (M, P, 3) as they are at the mirrored points."""
    names, signs = expression_names(figures), mode_signs(figures)
    partner = [1 + len(signs) + names.index(mirrored_name(name)) for name in names]
    order = [*range(1 + len(signs)), *partner]
    sign = np.concatenate(([1.0], signs, np.ones(len(names))))
    return values[order] * sign[:, None, None] * [-1, 1, 1]


def mirrored_name(name: str) -> str:
    """The expression that the mirror shows: left for right."""
    for a, b in (("_L", "_R"), ("_R", "_L"), ("Left", "Right"), ("Right", "Left")):
        if name.endswith(a):
            return name[: -len(a)] + b
    return name


def mode_signs(figures: dict) -> np.ndarray:
    """Which identity modes (K,) are symmetric (1) and which their own negative in the mirror (−1).

    On the middle line of the face a symmetric mode does not move sideways, the others move only so.
    """
    middle = np.abs(figures["chart"][:, 0] - 0.5) < 1e-4
    change = np.abs(figures["identity"][:, middle])
    return np.where(change[..., 0].sum(axis=1) > 0.5 * change.sum(axis=(1, 2)), -1.0, 1.0)


def eyeball_spheres(figures: dict, side: str) -> np.ndarray:
    """Centre and radius (1 + K, 4) of one eyeball without its cornea: the mean, then the change per identity mode."""
    table = figures["eyeball_left" if side == "L" else "eyeball_right"].astype(float) * [1, 1, 1, EYE_SCALE]
    table[0, 2] += EYE_SHIFT
    return table


def gaze_turn(name: str, side: str, offsets: np.ndarray) -> np.ndarray:
    """Displacement (P, 3) of an eyeball's points under one expression: non-zero only for its own eyeLook."""
    if not (name.startswith("eyeLook") and name.endswith(f"_{side}")):
        return np.zeros_like(offsets)
    way = name[len("eyeLook") : -2]
    angle = np.radians(GAZE_DEGREES[way])
    toward_left = (way == "Out") == (side == "L")
    yaw = (angle if toward_left else -angle) if way in ("In", "Out") else 0.0
    pitch = {"Up": -angle, "Down": angle}.get(way, 0.0)
    cy, sy, cx, sx = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return offsets @ turn.T - offsets
