"""The named modes as figures of the skin, put right where lips, lids and eyeballs must meet."""

from __future__ import annotations

import numpy as np

from models.face.own_head.characters import CHARACTERS
from models.face.own_head.contact import halves, interpolation
from models.face.own_head.proportions import ASYMMETRIC, SYMMETRIC
from models.face.own_head.reflectance import smooth_step
from models.face.own_head.sculpting import Skin
from models.face.own_head.teeth import TEETH_MODES
from models.face.own_head.topology import Resolution, Sheet

EAR_SIDE, EAR_SPAN, EAR_EDGE = 0.105, (0.455, 0.725), 0.045  # of the chart: u before the ear, v below and above it; how softly it ends
EAR_REACH = 0.5  # cm over which the skin behind an ear goes with it

MODES = (*CHARACTERS, *SYMMETRIC, *ASYMMETRIC)
NAMES = (*(function.__name__ for function in MODES), *TEETH_MODES)


def named_modes(mean: np.ndarray, quads: np.ndarray, sheet: Sheet, resolution: Resolution) -> np.ndarray:
    """Displacements (K, V, 3) of the mean skin (V, 3) per unit of each of ``NAMES``; ``quads`` are the skin's."""
    skin = Skin(mean, broad_normals(mean, quads), ear_weight(mean, sheet))
    modes = np.zeros((len(NAMES), *mean.shape))
    modes[: len(MODES)] = [function(skin) for function in MODES]
    meet_lips(mean, modes, sheet, resolution)
    return modes


def broad_normals(points: np.ndarray, quads: np.ndarray, radius: float = 1.0) -> np.ndarray:
    """Normals (V, 3) of the shape at large: means over a Gaussian of ``radius`` cm, so that what is pushed along them stays smooth."""
    a, b, c, d = (points[quads[:, k]] for k in range(4))
    middles, areas = (a + b + c + d) / 4, np.cross(c - a, d - b)
    parts = []
    for part in np.array_split(points, len(points) // 400 + 1):
        squared = np.sum(part**2, axis=1)[:, None] + np.sum(middles**2, axis=1) - 2 * part @ middles.T
        parts.append(np.exp(-0.5 * squared / radius**2) @ areas)
    total = np.concatenate(parts)
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def ear_weight(mean: np.ndarray, sheet: Sheet) -> np.ndarray:
    """How much each vertex (V,) belongs to an ear: by its place in the chart, and behind the ear by its distance from there."""
    u, v = sheet.points.T
    weight = np.zeros(len(mean))
    sides = smooth_step((EAR_SIDE - np.minimum(u, 1 - u)) / EAR_EDGE)
    weight[: len(u)] = sides * smooth_step((v - EAR_SPAN[0]) / (EAR_EDGE / 2)) * smooth_step((EAR_SPAN[1] - v) / (EAR_EDGE / 2))
    ear, beside = np.flatnonzero(weight > 0), np.flatnonzero(np.abs(mean[:, 0]) > 5)
    squared = np.sum((mean[beside, None] - mean[ear]) ** 2, axis=-1)
    weight[beside] = np.max(weight[ear] * np.exp(-squared / EAR_REACH**2), axis=1)
    return weight


def lip_line(sheet: Sheet, resolution: Resolution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The vertices where the lips touch (n,), upper and lower half of it."""
    line = sheet.rings["mouth"][sum(resolution.lip_rings[:2]) - 1]
    return (line, *halves(sheet.points, line))


def lip_shares(sheet: Sheet, resolution: Resolution, outer: int) -> list[tuple[np.ndarray, float]]:
    """Rings of the mouth, each with how far it goes with the contact line: 0 at ring ``outer``, 1 from the line inward."""
    rings, contact = sheet.rings["mouth"], sum(resolution.lip_rings[:2]) - 1
    steps = np.clip((np.arange(len(rings)) - outer) / (contact - outer), 0, 1)
    return list(zip(rings, steps * steps * (3 - 2 * steps), strict=True))


def meet_lips(mean: np.ndarray, modes: np.ndarray, sheet: Sheet, resolution: Resolution) -> None:
    """Lips that touch at rest for every value of every mode; ``modes`` (K, V, 3) in place."""
    line, upper, lower = lip_line(sheet, resolution)
    at = [interpolation(mean[half, 0], mean[line, 0]).T for half in (upper, lower)]
    gap = modes[:, upper, 1] @ at[0] - modes[:, lower, 1] @ at[1]
    lack = -gap * np.where(np.isin(line, upper), 0.5, -0.5)
    for ring, share in lip_shares(sheet, resolution, resolution.lip_rings[0] - 1):
        modes[:, ring, 1] += share * lack


def part_lips(mean: np.ndarray, sheet: Sheet, resolution: Resolution, amount: float, half_width: float) -> np.ndarray:
    """Displacement (V, 3) that parts the lips by ``amount`` each where they are within ``half_width`` of the middle."""
    line, upper, _ = lip_line(sheet, resolution)
    reach = np.sqrt(np.clip(1 - (mean[line, 0] / half_width) ** 2, 0, 1))
    shift, result = amount * reach * np.where(np.isin(line, upper), 0.9, -1.1), np.zeros(mean.shape)
    for ring, share in lip_shares(sheet, resolution, -1):
        result[ring, 1] += share * shift
        result[ring, 2] += 0.25 * share * np.abs(shift)
    return result


def eyeball_motion(mean: np.ndarray, modes: np.ndarray, sheet: Sheet, ball: np.ndarray, side: str) -> np.ndarray:
    """How far an eyeball (4,) goes with each mode, (K, 3): with its lids' corners, and as deep as the lids then lie on it."""
    edge = sheet.rings[f"eye_{side}"][-2:].ravel()
    u = sheet.points[edge, 0]
    corners = edge[[u.argmin(), u.argmax()]]
    shift = modes[:, corners].mean(axis=1)
    outward = mean[edge] - ball[:3]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    shift[:, 2] = 0
    lifted = np.einsum("kpc,pc->k", modes[:, edge] - shift[:, None], outward) / len(edge)
    shift[:, 2] = lifted / outward[:, 2].mean()
    return shift


def teeth_motion(modes: np.ndarray, sheet: Sheet, resolution: Resolution) -> tuple[np.ndarray, np.ndarray]:
    """How far the upper and the lower teeth go with each mode, (K, 3) each: as the lips before them and the skin above or below these."""
    line, *_ = lip_line(sheet, resolution)
    touching = modes[:, line].mean(axis=1)
    rows = [modes[:, half].mean(axis=1) for half in halves(sheet.points, sheet.rings["mouth"][0])]
    upper, lower = ((touching + beside) / 2 for beside in rows)
    upper[:, 1] = lower[:, 1] = touching[:, 1]  # the rows stay on each other
    return upper, lower
