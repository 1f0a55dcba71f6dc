"""Hair of a person: grown once on the resting head, then moved with it for each picture.

``grow`` gives strands in the head's frame by kind; ``moved`` brings them to a pose. What a strand stands on is
a triangle of the head, so that brows, lashes and beards follow the expression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.head import FIGURES, chart_from_uv
from models.face.model import FaceModel
from models.synthetic.hair import strands as old

KINDS = ("scalp", "brows", "lashes", "beard")
NUMBERS = (*(f"style_{name}" for name in old.STYLE_NAMES), "hair_length", "hair_volume", "hair_curl", "hair_part", "hairline", "hair_dark",
           "hair_red", "grey", "brow_thick", "brow_dark", "beard", "beard_length", "moustache", "lashes")  # fmt: skip


@dataclass
class Strands:
    """Strands of one kind in the head's frame: points (R, K, 3) cm from root to tip, radius (K,) cm, linear colour (R, 3)."""

    points: np.ndarray
    radius: np.ndarray
    colour: np.ndarray
    vertex: np.ndarray | None = None  # (R,) the vertex each stands on; None: the strands follow the skull


@dataclass
class HairAssets:
    """Where hair may grow on the mean head."""

    face: FaceModel
    scalp: old.Roots
    buzz: old.Roots
    brows: old.Roots
    beard: old.Roots
    lid_loops: dict[str, np.ndarray]  # side -> vertex indices in order
    skull_points: np.ndarray  # vertices of scalp and neck without ears


def prepare(face: FaceModel) -> HairAssets:
    """Everything that does not depend on the person."""
    landmarks = old.landmark_chart()
    mean = face.mean.numpy()
    ear = (np.abs(mean[:, 0]) > 7.2) & (mean[:, 1] < 6.0) & (mean[:, 1] > -5.0) & (mean[:, 2] > -3.5)
    on_skin = (face.masks["skin"].numpy() > 0.5) & ~ear
    candidates = old.scatter(face)
    return HairAssets(
        face=face,
        scalp=candidates.roots(3600, old.scalp_margin),
        buzz=candidates.roots(9000, old.scalp_margin, skip=3600),
        brows=candidates.roots(1100, old.region_margin(landmarks, "brow")),
        beard=candidates.roots(4500, old.region_margin(landmarks, "beard")),
        lid_loops=lid_loops(face),
        skull_points=np.flatnonzero(on_skin & (mean[:, 2] < 9.5)),
    )


def lid_loops(face: FaceModel) -> dict[str, np.ndarray]:
    """Vertices along each eye's lid edge, in order, from the measured loops of the chart."""
    chart = np.full((len(face.mean), 2), -9.0)
    positions = chart_from_uv(face.uv.numpy())
    on_face = positions[face.uv_quads.numpy()][..., 1].min(axis=1) > -0.005
    on_face &= positions[face.uv_quads.numpy()][..., 0].max(axis=1) < 1.005
    chart[face.quads.numpy()[on_face]] = positions[face.uv_quads.numpy()[on_face]]
    with np.load(FIGURES, allow_pickle=False) as archive:
        loops = {"L": archive["loop_left_eye"].astype(float), "R": archive["loop_right_eye"].astype(float)}
    result = {}
    for side, loop in loops.items():
        dense = np.concatenate([loop + (np.roll(loop, -1, axis=0) - loop) * t for t in np.linspace(0, 1, 8, endpoint=False)[:, None, None]], axis=0)
        dense = dense.reshape(8, -1, 2).transpose(1, 0, 2).reshape(-1, 2)
        nearest = np.argmin(np.linalg.norm(dense[:, None] - chart[None], axis=-1), axis=1)
        result[side] = nearest[np.sort(np.unique(nearest, return_index=True)[1])]
    return result


def is_long(person) -> bool:
    """Whether hair takes more samples."""
    return old.blended_style(person.look)["top"] > 12


def grow(person, assets: HairAssets, head: np.ndarray, normals: np.ndarray) -> dict[str, Strands]:
    """Scalp hair, brows, lashes and beard on the resting head (V, 3) with its normals (V, 3)."""
    look = {**person.look, "age": (person.age - 45) / 18, "make_up": person.look["make_up"]}
    corners = assets.face.triangles.numpy()
    colour, grey = old.hair_colour(look), float(old.greyness(look))
    skull = old.Skull(head[assets.skull_points])
    style = old.blended_style(look)
    short = style["top"] < 1.2
    scalp, chance = old.scalp_strands(assets.buzz if short else assets.scalp, corners, head, normals, skull, np.array([0.0, -1.0, 0.0]), look)
    children = 1 if short else 4
    scalp = old.with_children(scalp, children, 0.24, seed=5)
    chance = np.tile(chance, (children, 1))
    brows = old.brow_strands(assets.brows, corners, head, normals, look)
    beard = old.beard_strands(assets.beard, corners, head, normals, look)
    lashes = np.concatenate([lashes_of(assets, side, head, normals, look) for side in ("L", "R")])
    brow_colour = colour * np.exp(-0.2 - 0.3 * look["brow_dark"])
    kinds = {
        "scalp": (scalp, 0.028 if short else 0.038, old.strand_colours(colour, grey, chance)),
        "brows": (brows, 0.015, old.strand_colours(brow_colour, 0.5 * grey, own_chance(brows, 6))),
        "beard": (beard, 0.026, old.strand_colours(colour * [0.9, 0.8, 0.75], grey, own_chance(beard, 7))),
        "lashes": (lashes, 0.02, np.tile(np.minimum(colour * 0.4, 0.02), (len(lashes), 1))),
    }
    groom = {}
    for name, (points, radius, colours) in kinds.items():
        taper = 1 - 0.75 * np.linspace(0, 1, points.shape[1]) ** 2
        vertex = None if name == "scalp" else nearest(points[:, 0], head)
        groom[name] = Strands(points, radius * taper, colours, vertex)
    return groom


def nearest(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The vertex (R,) nearest to each root (R, 3)."""
    return np.concatenate([np.argmin(((part[:, None] - vertices) ** 2).sum(-1), axis=1) for part in np.array_split(points, max(1, len(points) // 64))])


def moved(strands: Strands, head: np.ndarray, normals: np.ndarray, assets: HairAssets, pose) -> np.ndarray:
    """World points (R, K, 3) of strands on the head (V, 3) of one shot."""
    return pose.neck(strands.points).astype(np.float32)


def own_chance(strands: np.ndarray, seed: int) -> np.ndarray:
    """A random number (R, 3) for each strand."""
    return np.random.default_rng(seed).random((len(strands), 3))


def lashes_of(assets: HairAssets, side: str, head: np.ndarray, normals: np.ndarray, look: dict) -> np.ndarray:
    """The lashes of one eye."""
    loop = assets.lid_loops[side]
    inner, outer = (42, 45) if side == "L" else (39, 36)
    corner = lambda i: head[assets.face.landmarks[i]]
    return old.lash_strands(head[loop], corner(inner), corner(outer), normals[loop], look, seed=8 if side == "L" else 9)
