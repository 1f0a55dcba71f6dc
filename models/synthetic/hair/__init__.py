"""Hair of a person: grown once on the resting head, then moved with it for each picture.

``grow`` gives strands in the head's frame by kind; ``moved`` brings them to a pose. Brows, lashes and beards
stand on triangles of the head, so that they follow the expression; scalp hair follows the skull and lies on
the shoulders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face.model import FaceModel
from models.synthetic import clothing
from models.synthetic.hair import facial_hair, hairline, roots, scalp, solid, tied
from models.synthetic.hair.colour import Pigment, strand_colours
from models.synthetic.hair.look import NUMBERS, HairLook, hair_look
from models.synthetic.hair.motion import Strands, attach, moved
from models.synthetic.traits import Person

__all__ = ["KINDS", "NUMBERS", "HairAssets", "HairLook", "Strands", "grow", "hair_look", "is_long", "moved", "prepare", "scalp_cover"]

KINDS = ("scalp", "brows", "lashes", "beard")
SCALP_ROOTS, LOCKS, TRESSES = 34000, 700, 2500  # a lock is gathered from tresses, a tress from strands
MANY = 20000  # strands of a head whose radius is that below
WIDEST = -14.0  # degrees below the usual hairline where the hairiest begin
BROW_LIGHTEST, LASH_LIGHTEST = np.array([0.16, 0.11, 0.065]), 0.02  # linear: of fair people too they are darker than hair
RADIUS = {"scalp": 0.017, "brows": 0.012, "beard": 0.013, "lashes": 0.013}  # cm


@dataclass
class HairAssets:
    """Where hair may grow on the mean head."""

    face: FaceModel
    scalp: roots.Roots
    brows: roots.Roots
    beard: roots.Roots
    lids: dict[str, np.ndarray]  # side -> vertex indices along the lid's edge
    cells: solid.HeadCells


def prepare(face: FaceModel) -> HairAssets:
    """Everything that does not depend on the person."""
    mean = face.mean.numpy().astype(float)
    candidates = roots.scatter(face, hairline.above_usual(mean) > WIDEST, SCALP_ROOTS, seed=1)
    return HairAssets(
        face=face,
        scalp=candidates,
        brows=facial_hair.brow_roots(face),
        beard=facial_hair.beard_roots(face),
        lids=facial_hair.lid_edges(face),
        cells=solid.prepare_cells(face),
    )


def is_long(person: Person) -> bool:
    """Whether hair takes more samples."""
    return hair_look(person).style.long


def scalp_cover(person: Person, face: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Share (V,) 0–1 of the scalp's colour that is hair in the skin and its shade, and that hair's linear colour (3,)."""
    look = hair_look(person)
    tint = look.pigment.colour * (1 - look.pigment.white) + 0.3 * look.pigment.white
    deep = 0.45 if look.style.top < 1.2 else 0.65  # long hair shades what lies under it
    return deep * hairline.density(face.mean.numpy().astype(float), look), tint


def grow(person: Person, assets: HairAssets, head: np.ndarray, normals: np.ndarray, bust: np.ndarray, cloth: float) -> dict[str, Strands]:
    """Scalp hair, brows, lashes and beard on the resting head (V, 3) with its normals (V, 3).

    ``bust`` are the vertices of the shoulders at rest, ``cloth`` how far above them hair lies, cm.
    """
    look = hair_look(person)
    corners = assets.face.triangles.numpy()
    shoulders = solid.shoulder_solid(bust, clothing.bust_quads(), cloth)
    body = solid.head_solid(assets.cells, head, normals).merged(shoulders)
    groom = {"scalp": scalp_hair(look, assets, corners, head, normals, body, shoulders)}
    groom["brows"] = on_face(
        "brows", assets, head, normals, look, *facial_hair.grow_brows(assets.brows, corners, head, normals, look.brows)
    )
    groom["beard"] = on_face(
        "beard", assets, head, normals, look, *facial_hair.grow_beard(assets.beard, corners, head, normals, look.beard)
    )
    groom["lashes"] = lashes(look, assets, head, normals)
    return groom


def on_face(
    kind: str, assets: HairAssets, head: np.ndarray, normals: np.ndarray, look: HairLook, own: roots.Roots, hairs: np.ndarray
) -> Strands:
    """Brows or beard (R, K, 3) on their roots."""
    light = look.brows.light * np.ones(3) if kind == "brows" else np.array([1.05, 0.9, 0.8])
    slower = 0.45 if kind == "brows" else 1.1
    fur = Pigment(np.minimum(look.pigment.colour, BROW_LIGHTEST) * light, min(slower * look.pigment.white, 1.0), look.pigment.uneven)
    early = np.clip(1.2 - np.abs(own.home[:, 0]) / 3, -1, 1) if kind == "beard" else np.zeros(len(hairs))
    bound = attach(hairs, own.triangles, own.weights, assets.face.triangles.numpy(), head, normals)
    radius = np.tile(RADIUS[kind] * taper(hairs.shape[1]), (len(hairs), 1))
    return Strands(hairs, radius, strand_colours(fur, own.chance[:, 1:], early), bound)


def lashes(look: HairLook, assets: HairAssets, head: np.ndarray, normals: np.ndarray) -> Strands:
    """The lashes of both eyes."""
    marks, found = assets.face.landmarks.tolist(), []
    for side, inner, outer in (("L", 42, 45), ("R", 39, 36)):
        edge = assets.lids[side]
        found.append(facial_hair.grow_lashes(edge, marks[inner], marks[outer], head, normals, look.lashes, seed=8 + inner))
    vertex, hairs = (np.concatenate(parts) for parts in zip(*found, strict=True))
    corners = assets.face.triangles.numpy()
    known, which = np.unique(vertex, return_inverse=True)
    triangle = np.array([np.flatnonzero((corners == one).any(axis=1))[0] for one in known])[which]
    bound = attach(hairs, triangle, (corners[triangle] == vertex[:, None]).astype(float), corners, head, normals)
    colour = np.minimum(look.pigment.colour * 0.35, LASH_LIGHTEST)
    return Strands(hairs, np.tile(RADIUS["lashes"] * taper(hairs.shape[1]), (len(hairs), 1)), np.tile(colour, (len(hairs), 1)), bound)


def scalp_hair(
    look: HairLook,
    assets: HairAssets,
    corners: np.ndarray,
    head: np.ndarray,
    normals: np.ndarray,
    body: solid.Solid,
    shoulders: solid.Solid,
) -> Strands:
    """The hair of the scalp."""
    count = tied.TAILS[look.style.tie].count if look.style.tie else scalp.strand_count(look.style)[0]
    candidates = assets.scalp
    grows = np.flatnonzero(candidates.chance[:, 0] < hairline.density(candidates.home, look))
    mine = candidates.take(grows[: int(count * len(grows) / SCALP_ROOTS) + 1])
    mine.chance[:, 0] /= np.maximum(hairline.density(mine.home, look), 1e-6)  # even again
    points, normal = mine.place(corners, head, normals)
    locks = scalp.find_locks(points, look, LOCKS, TRESSES)
    if look.style.tie:
        strands, thick = tied.grow_tied(points, normal, mine, look, body, look.style.tie)
    else:
        strands, thick = scalp.grow_scalp(points, normal, mine, locks, look, body)
    azimuth, _ = hairline.polar(mine.home)
    early = roots.smoothstep((mine.home[:, 2] + 1) / 5) * hairline.bump(np.abs(azimuth), 62, 22) * 2 - 0.5
    colours = strand_colours(
        look.pigment,
        np.stack((0.7 * mine.chance[locks.tress, 2] + 0.3 * mine.chance[:, 2], mine.chance[:, 3], mine.chance[:, 1]), axis=1),
        early,
    )
    wide = RADIUS["scalp"] * (MANY / count) ** 0.6  # the fewer the thicker
    return Strands(strands, wide * thick[:, None] * taper(strands.shape[1]), colours, shoulders=shoulders)


def taper(count: int) -> np.ndarray:
    """Thickness (count,) from root to tip."""
    return 1 - 0.7 * np.linspace(0, 1, count) ** 2
