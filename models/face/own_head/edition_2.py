"""Builds edition 2 of our head: edition 1's skin with named modes, and a mouth of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from models.face.model import FaceModel
from models.face.own_head import edition_1, modes, teeth, tongue, topology
from models.face.own_head.colours import paint_mouth
from models.face.own_head.contact import seated_spheres
from models.face.own_head.jaw import Jaw
from models.face.own_head.measurements import expression_names
from models.face.own_head.parts import Parts, add_eyeball, add_lid_rim, add_mouth_bag, jaw_motion
from models.face.own_head.reflectance import nostril_distance, smooth_step
from models.face.own_head.topology import Resolution

TONGUE_OUT = "tongueOut"
NOSTRIL_LIFT = 0.4  # of the way from a nostril's end to its opening
OWN_WAY = 0.5  # of the way that the chin goes apart from the upper jaw: so far do the lower teeth go with it
BAG_UV = ((0.80, 0.01), (0.19, 0.06))


def build() -> FaceModel:
    """Edition 2 at full resolution, with its proxy."""
    return edition_1.with_proxy(build_mesh)


def build_mesh(figures: dict, resolution: Resolution) -> FaceModel:
    """Edition 1's skin with more modes, and a mouth of its own."""
    parts, sheet, landmarks = edition_1.build_skin(figures, resolution)
    parts.figures[0][0] += shallower_nostrils(parts.figures[0][0], sheet)
    balls = {side: seated_spheres(parts.figures[0], sheet, figures, side) for side in ("L", "R")}
    motion = with_teeth_on_each_other(jaw_motion(parts.figures[0], figures, landmarks), len(figures["identity"]))
    balls, motion = add_named_modes(parts, sheet, balls, motion, len(figures["identity"]), resolution)
    figures = with_names(figures)
    names, first = expression_names(figures), 1 + len(figures["identity"])
    for side, ball in balls.items():
        add_lid_rim(parts, sheet.rings[f"eye_{side}"][-1], ball[0], side)
    add_mouth_bag(parts, sheet.rings["mouth"][-1], motion, BAG_UV)
    for side, ball in balls.items():
        add_eyeball(parts, names, ball, side, resolution)
    jaw = Jaw(motion, first + names.index("jawOpen"), figures)
    mode_rows = {name: first - len(modes.NAMES) + modes.NAMES.index(name) for name in teeth.TEETH_MODES}
    teeth.add_teeth(parts, figures, jaw, mode_rows, resolution)
    teeth.add_gums(parts, figures, jaw, resolution)
    tongue.add_tongue(parts, jaw, first + names.index(TONGUE_OUT), resolution)
    eyes = np.stack(list(balls.values()), axis=1)[..., :3]
    return finish(edition_1.assemble(parts, sheet, figures, landmarks, eyes, paint_mouth), parts)


def shallower_nostrils(face: np.ndarray, sheet: topology.Sheet) -> np.ndarray:
    """Displacement (F, 3) of the face's vertices (F, 3) that lifts the nostrils' ends toward their openings: they pierced narrow noses."""
    distance = nostril_distance(sheet.points)
    share, rim = (
        weight[:, None] for weight in (NOSTRIL_LIFT * smooth_step((0.55 - distance) / 0.3), np.exp(-(((distance - 0.62) / 0.2) ** 2)))
    )
    lifted = np.zeros(face.shape)
    for side in (sheet.points[:, 0] < 0.5, sheet.points[:, 0] > 0.5):
        opening = np.sum((rim * face)[side], axis=0) / np.sum(rim[side])
        lifted[side] = (share * (opening - face))[side]
    return lifted


def with_teeth_on_each_other(motion: tuple[np.ndarray, np.ndarray], n_identity: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows' motion, the lower teeth staying under the upper ones and near them whoever it is: overbites, not crossings."""
    upper, lower = motion[0], motion[1].copy()
    people = slice(1, 1 + n_identity)
    lower[people] = upper[people] + np.array([OWN_WAY, 0, OWN_WAY]) * (lower - upper)[people]
    return upper, lower


def add_named_modes(
    parts: Parts,
    sheet: topology.Sheet,
    balls: dict[str, np.ndarray],
    motion: tuple[np.ndarray, np.ndarray],
    n_identity: int,
    resolution: Resolution,
) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Put the named modes behind the identity's rows and tongueOut behind the expressions'; eyeballs and teeth alike."""
    skin, quads = np.concatenate(parts.figures, axis=1), np.concatenate(parts.quads)
    named = modes.named_modes(skin[0], quads, sheet, resolution)
    apart = modes.part_lips(skin[0], sheet, resolution, tongue.LIPS_APART, tongue.LIPS_APART_WIDTH)
    place = 1 + n_identity
    more = lambda rows, middle, last: np.concatenate((rows[:place], middle, rows[place:], last[None]))
    joined = more(skin, named, apart)
    parts.figures = [joined[:, span] for span in parts.spans.values()]
    balls = {
        side: np.concatenate((ball, np.pad(modes.eyeball_motion(skin[0], named, sheet, ball[0], side), ((0, 0), (0, 1)))))
        for side, ball in balls.items()
    }
    carried = modes.teeth_motion(named, sheet, resolution)
    upper, lower = (more(rows, moved, np.zeros(3)) for rows, moved in zip(motion, carried, strict=True))
    return balls, (upper, lower)


def with_names(figures: dict) -> dict:
    """The figures with rows, all zero, for the named modes and tongueOut: their numbers and names."""
    names = [*expression_names(figures), TONGUE_OUT]
    more = lambda table, count: np.concatenate((table, np.zeros((count, *table.shape[1:]))))
    return figures | {
        "identity": more(figures["identity"], len(modes.NAMES)),
        "expression": more(figures["expression"], 1),
        "expression_names": np.array(names),
    }


def finish(face: FaceModel, parts: Parts) -> FaceModel:
    """Names, masks and colours of what edition 1 does not have."""
    masks = dict(face.masks)
    for name, spans in (("gums", ("gums_upper", "gums_lower")), ("tongue", ("tongue",))):
        masks[name] = torch.zeros(len(face.mean))
        for span in spans:
            for mask in (name, "mouth", "face"):
                masks[mask][parts.spans[span]] = 1
    named = len(modes.NAMES)
    return replace(
        face,
        masks=masks,
        name="studio head 2",
        identity_names=[*face.identity_names[:-named], *modes.NAMES],
    )
