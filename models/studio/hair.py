"""Hair, brows and beards as strands: grown from roots on the head, drawn as depth-tested points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.face.head import chart_from_uv
from models.face.model import FaceModel
from models.face.reflectance import inside, regions

STEPS = 20  # segments of a strand
SKULL_CENTRE = torch.tensor([0.0, 4.5, 0.3])
SKULL_RADII = torch.tensor([7.75, 10.05, 9.35])  # an ellipsoid just outside the scalp, cm
NECK_RADIUS, NECK_Z = 6.2, -1.5
# Lowest elevation of the hairline (degrees) by azimuth from the front, seen from (0, 5, 0).
HAIRLINE_AZIMUTH = np.array([0, 25, 45, 62, 80, 100, 120, 180.0])
HAIRLINE_ELEVATION = np.array([37, 36, 31, 16, 2, -14, -32, -44.0])


@dataclass
class Roots:
    """Where strands start: triangles (R,), barycentrics (R, 3), and one random number each (R,)."""

    triangles: Tensor
    weights: Tensor
    chance: Tensor
    margin: Tensor  # degrees above the hairline (scalp), chart distance otherwise


def scatter_roots(face: FaceModel, count: int, accept, seed: int) -> Roots:
    """Points spread by area over the head, kept where ``accept(points, chart)`` gives a margin > 0."""
    rng = np.random.default_rng(seed)
    triangles, mean = face.triangles.numpy(), face.mean.numpy()
    corners = mean[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    skin = face.masks["skin"].numpy()[triangles].min(axis=1) > 0.5
    area = area * skin
    pick = rng.choice(len(triangles), size=400_000, p=area / area.sum())
    weights = rng.dirichlet((1, 1, 1), size=len(pick))
    points = (corners[pick] * weights[..., None]).sum(axis=1)
    chart_corners = chart_from_uv(face.uv.numpy())[face.uv_triangles.numpy()[pick]]
    chart = (chart_corners * weights[..., None]).sum(axis=1)
    on_face = face.uv.numpy()[face.uv_triangles.numpy()[pick]][:, :, 1].min(axis=1) > 0.215
    chart[~on_face] = -9
    margin = accept(points, chart)
    keep = np.flatnonzero(margin > 0)[:count]
    as_tensor = lambda array, kind: torch.from_numpy(np.asarray(array, dtype=kind))
    return Roots(
        as_tensor(pick[keep], np.int64),
        as_tensor(weights[keep], np.float32),
        as_tensor(rng.random(len(keep)), np.float32),
        as_tensor(margin[keep], np.float32),
    )


def scalp_margin(points: np.ndarray, chart: np.ndarray) -> np.ndarray:
    """Degrees above the widest hairline; ears are left out."""
    offset = points - [0, 5, 0]
    azimuth = np.degrees(np.abs(np.arctan2(offset[:, 0], offset[:, 2])))
    elevation = np.degrees(np.arctan2(offset[:, 1], np.hypot(offset[:, 0], offset[:, 2])))
    margin = elevation - np.interp(azimuth, HAIRLINE_AZIMUTH, HAIRLINE_ELEVATION)
    ear = (np.abs(points[:, 0]) > 7.0) & (points[:, 1] < 4.5) & (points[:, 2] > -3.5)
    return np.where(ear, -1, margin)


def chart_region(face_landmarks_chart: np.ndarray, name: str):
    """An ``accept`` for a soft region of the chart (brow, beard)."""

    def accept(points, chart):
        value = regions(chart, face_landmarks_chart)[name]
        mouth = inside(chart, face_landmarks_chart[48:60])
        return np.where((chart[:, 0] > -1) & ~mouth, value - 0.35, -1)

    return accept


def place_roots(roots: Roots, face: FaceModel, vertices: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and normals (R, 3) of the roots on one head (V, 3)."""
    corners = face.triangles[roots.triangles]
    points = (vertices[corners] * roots.weights[..., None]).sum(dim=1)
    normal = (normals[corners] * roots.weights[..., None]).sum(dim=1)
    return points, torch.nn.functional.normalize(normal, dim=1)


def grow(points: Tensor, direction: Tensor, length: Tensor, gravity: float, curl: Tensor, layer: Tensor) -> Tensor:
    """Strands (R, STEPS + 1, 3) in the model frame: bent by gravity, curled, kept outside skull and neck.

    ``length`` and ``layer`` (R,) are in cm; ``curl`` (R, STEPS, 3) is added to the direction.
    """
    strand, p, d = [points], points, direction
    step = (length / STEPS).unsqueeze(1)
    down = torch.tensor([0.0, -1.0, 0.0])
    for i in range(STEPS):
        d = torch.nn.functional.normalize(d + gravity * step * down + curl[:, i] * step, dim=1)
        p = push_out(p + d * step, layer * min(1.0, (i + 1) / 4))
        strand.append(p)
    return torch.stack(strand, dim=1)


def push_out(p: Tensor, layer: Tensor) -> Tensor:
    """Move points (R, 3) that lie inside skull or neck to their surface plus ``layer`` cm."""
    radii = SKULL_RADII + layer.unsqueeze(1)
    q = (p - SKULL_CENTRE) / radii
    distance = q.norm(dim=1, keepdim=True).clamp(min=1e-3)
    upper = (p[:, 1:2] > 1.0).float()
    p = torch.where((distance < 1) & (upper > 0), SKULL_CENTRE + q / distance * radii, p)
    flat = p[:, [0, 2]] - torch.tensor([0.0, NECK_Z])
    reach = flat.norm(dim=1, keepdim=True).clamp(min=1e-3)
    wanted = NECK_RADIUS + layer.unsqueeze(1) + (p[:, 1:2] + 1).clamp(0, 2) * 0.6
    pushed = flat / reach * wanted + torch.tensor([0.0, NECK_Z])
    low = (reach < wanted) & (upper < 1)
    side = torch.where(low, pushed, p[:, [0, 2]])
    return torch.stack((side[:, 0], p[:, 1], side[:, 1]), dim=1)


def scalp_strands(roots: Roots, points: Tensor, normals: Tensor, look: dict[str, float]) -> tuple[Tensor, Tensor]:
    """Head hair of one person: strands (R', STEPS + 1, 3) and which roots they start from (R',)."""
    length_cm = float(np.clip(2.6 * np.exp(1.05 * look["hair_length"]), 0.5, 26))
    density = float(np.clip(1.6 + 0.9 * look["hair_density"], 0, 1))
    recede = max(0.0, 1.5 + 3.0 * look["hairline"]) * (points[:, 2] > 0)
    keep = ((roots.margin > recede) & (roots.chance < density)).nonzero()[:, 0]
    p, n, chance = points[keep], normals[keep], roots.chance[keep]
    part = 2.5 * np.tanh(look["hair_part"])
    sideways = torch.tanh((p[:, 0:1] - part) / 1.2) * torch.tensor([1.0, 0.0, 0.0])
    backward = torch.tensor([0.0, 0.15, -1.0]) * (0.7 + 0.6 * np.tanh(look["comb_back"]))
    fringe = (p[:, 2] > 2.5) & (p[:, 1] > 8) & torch.tensor(look["fringe"] > 0.3)
    forward = torch.tensor([0.0, -0.2, 1.0])
    comb = torch.where(fringe[:, None], forward + 0.25 * sideways, 0.8 * sideways + backward)
    lift = 0.30 + 0.22 * np.tanh(look["hair_volume"])
    comb = comb - (comb * n).sum(1, keepdim=True) * n
    d = torch.nn.functional.normalize(torch.nn.functional.normalize(comb, dim=1) + lift * n, dim=1)
    length = length_cm * (0.75 + 0.5 * chance)
    length = torch.where(fringe, length.clamp(max=5.0), length)
    curl = curls(len(p), chance, amount=max(0.0, 0.35 + 0.9 * look["hair_curl"]))
    layer = 0.15 + (0.9 + 0.8 * max(0.0, look["hair_volume"])) * chance * min(1.0, length_cm / 6)
    strands = grow(p, d, length, gravity=0.42, curl=curl, layer=layer)
    return keep_off_face(strands, fringe), keep


def keep_off_face(strands: Tensor, fringe: Tensor) -> Tensor:
    """Push strands that hang in front of the face to its sides; a fringe may hang to the brows."""
    x, y, z = strands.unbind(-1)
    before = (z > 3.0) & (y < 7.0) & ~(fringe[:, None] & (y > 5.5))
    side = torch.where(strands[:, :1, 0] >= 0, 1.0, -1.0)
    wide = 7.2 - 0.12 * (7.0 - y).clamp(0, 14)
    x = torch.where(before & (x * side < wide), side * wide, x)
    return torch.stack((x, y, z), dim=-1)


def curls(count: int, chance: Tensor, amount: float) -> Tensor:
    """A helix of directions (count, STEPS, 3) whose phase and pitch differ from strand to strand."""
    t = torch.arange(STEPS, dtype=torch.float32)[None, :] * (0.7 + 0.5 * amount)
    phase = (chance * 97.0 % 1.0)[:, None] * 2 * np.pi
    wave = torch.stack(((t + phase).cos(), 0.3 * (t * 0.7 + phase).sin(), (t + phase).sin()), dim=-1)
    return amount * 0.8 * wave


def beard_strands(roots: Roots, points: Tensor, normals: Tensor, look: dict[str, float]) -> tuple[Tensor, Tensor]:
    """Beard and moustache of one person (none for most)."""
    amount = float(np.clip((look["beard"] - 0.8) * 1.5, 0, 1))
    keep = (roots.chance < amount).nonzero()[:, 0]
    p, n, chance = points[keep], normals[keep], roots.chance[keep]
    length = (0.25 + 0.8 * float(np.clip(np.exp(0.8 * look["beard_length"]), 0.2, 3.0))) * (0.6 + 0.8 * chance)
    d = torch.nn.functional.normalize(0.5 * n + torch.tensor([0.0, -1.0, 0.1]), dim=1)
    strand = p[:, None] + d[:, None] * (length[:, None] * torch.linspace(0, 1, STEPS + 1))[..., None]
    wobble = torch.nn.functional.pad(curls(len(p), chance, 0.25), (0, 0, 1, 0)) * 0.25
    return strand + wobble * length[:, None, None], keep


def brow_strands(roots: Roots, points: Tensor, normals: Tensor, look: dict[str, float]) -> tuple[Tensor, Tensor]:
    """Eyebrows of one person: short strands that lie along the brow, outward and a little up."""
    amount = float(np.clip(0.5 + 0.25 * look["brow_thick"], 0.1, 1))
    keep = ((roots.margin > 0.55 * (1 - amount)) & (roots.chance < 0.25 + 0.5 * amount)).nonzero()[:, 0]
    p, n = points[keep], normals[keep]
    outward = torch.where(p[:, 0:1] >= 0, 1.0, -1.0) * torch.tensor([1.0, 0.0, 0.0])
    along = outward + torch.tensor([0.0, 0.35, 0.0])
    along = along - (along * n).sum(1, keepdim=True) * n
    d = torch.nn.functional.normalize(along + 0.12 * n, dim=1)
    length = 0.55 * (0.6 + 0.8 * roots.chance[keep])
    start = p + 0.04 * n
    return start[:, None] + d[:, None] * (length[:, None] * torch.linspace(0, 1, STEPS + 1))[..., None], keep


def splat(ndc: Tensor, colour: Tensor, depth: Tensor, picture: Tensor, covered: Tensor) -> None:
    """Draw points (P, 3: NDC x, y, depth) with colour (P, 3) into picture (S, S, 3) where nothing is nearer.

    ``depth`` (S, S) is the head's depth in cm; ``covered`` (S, S) gets 1 where a strand was drawn. In place.
    """
    size = picture.shape[0]
    column = ((ndc[:, 0] + 1) * size / 2).long()
    row = ((1 - ndc[:, 1]) * size / 2).long()
    visible = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    index = (row * size + column)[visible]
    number = visible.nonzero()[:, 0]
    distance = ndc[:, 2][number]
    front = distance < depth.reshape(-1)[index] + 0.05
    index, distance, number = index[front], distance[front], number[front]
    key = (distance * 1e4).long() * (1 << 24) + number
    nearest = torch.full((size * size,), 1 << 62, dtype=torch.int64).scatter_reduce(0, index, key, "amin")
    hit = (nearest < (1 << 62)).nonzero()[:, 0]
    winner = nearest[hit] & ((1 << 24) - 1)
    picture.view(-1, 3)[hit] = colour[winner]
    covered.view(-1)[hit] = 1.0
