"""Laying our head over another model's mean, to carry over what its file does not say.

First a similarity, then our identity modes too, by nearest points that also face the same way (Besl
and McKay 1992; the modes have their own N(0, 1) as prior). Only the front of the face takes part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.face.mesh_topology import vertex_normals
from models.face.model import FaceModel
from models.face.own_head.storage import load_head

MODES = 40
PRIOR = 0.15  # cm: how far a nearest point may be off; the modes' weights are N(0, 1)
RIGID_STEPS, MODE_STEPS = 20, 15
MAX_TARGETS = 6000
FACING = 1.5  # cm: how far apart two points count whose normals differ by one radian
FACE_RADIUS = 14.0  # cm round the tip of the nose: what lies further away is not matched
REACH = 2.5  # cm beyond which a vertex is none of our head's


@dataclass
class Annotations:
    """What our head says about another model's V vertices."""

    landmarks: np.ndarray  # (68,) vertices
    face: np.ndarray  # (V,) 0–1, the face mask
    head: np.ndarray  # (V,) 0–1, how far each follows the head bone
    middle: np.ndarray  # (3,) where our head has the middle of brows, eyes, nose and mouth


def transfer_annotations(mean: np.ndarray, triangles: np.ndarray, landmarks: np.ndarray) -> Annotations:
    """Fit our head to ``mean`` (V, 3) in cm; ``landmarks`` (68,) are its vertices, −1 where not known."""
    head = load_head(1)
    proxy = head.proxy or head
    target = torch.from_numpy(mean)
    front = proxy.masks["face"] * proxy.masks["skin"] > 0.5
    known = torch.from_numpy(landmarks >= 0)
    pairs = (proxy.landmarks[known], target[torch.from_numpy(landmarks)[known]])
    weights, scale, rotation, offset = fit(proxy, front, facing(target, torch.from_numpy(triangles)), pairs)
    modes = head.identity[:MODES]
    lay = lambda face: scale * (face.mean + torch.tensordot(weights, face.identity[:MODES], 1)) @ rotation.T + offset
    points = head.mean[head.landmarks] + torch.tensordot(weights, modes[:, head.landmarks], 1)
    placed = scale * points @ rotation.T + offset
    near, distance = nearest(target, lay(proxy))
    close = (distance < REACH).float()
    return Annotations(
        landmarks=nearest(placed, target)[0].numpy(),
        face=(proxy.masks["face"][near] * close).numpy(),
        head=proxy.groups["head"][near].numpy(),
        middle=head.mean[head.landmarks[17:]].mean(dim=0).numpy(),
    )


def facing(points: Tensor, triangles: Tensor) -> Tensor:
    """Points beside their normals times ``FACING``, (V, 6): what nearest points are found by."""
    normals = vertex_normals(points[None], triangles)[0]
    tip = (points - points[points[:, 2].argmax()]).norm(dim=1) < 4
    if normals[tip, 2].mean() < 0:  # the triangles wind the other way
        normals = -normals
    return torch.cat((points, FACING * normals), dim=1)


def fit(proxy: FaceModel, front: Tensor, target: Tensor, pairs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights (MODES,), scale, rotation (3, 3) and offset (3,) that lay our proxy over ``target`` (V, 6).

    ``pairs`` are vertices of the proxy and the points (P, 3) where they belong, as far as these are known.
    """
    rows, places = pairs
    tip = target[target[:, 2].argmax(), :3]
    sample = target[(target[:, :3] - tip).norm(dim=1) < FACE_RADIUS]
    sample = sample[torch.randperm(len(sample), generator=torch.Generator().manual_seed(0))[:MAX_TARGETS]]
    base, modes = facing(proxy.mean, proxy.triangles)[front], proxy.identity[:MODES][:, front]
    base, normals = base[:, :3], base[:, 3:]
    if len(rows) >= 4:
        scale, rotation, offset = similarity(proxy.mean[rows], places)
    else:  # the tip of the nose is what lies foremost, on ours and on theirs
        scale, rotation, offset = torch.tensor(1.0), torch.eye(3), tip - proxy.mean[proxy.landmarks[30]]
    weights = torch.zeros(len(modes))
    for step in range(RIGID_STEPS + MODE_STEPS):
        shape = base + torch.tensordot(weights, modes, 1)
        laid = torch.cat((scale * shape @ rotation.T + offset, normals @ rotation.T), dim=1)
        found, distance = nearest(laid, sample)
        keep = distance <= distance.quantile(0.85)
        wanted = sample[found[keep], :3]
        scale, rotation, offset = similarity(shape[keep], wanted)
        if step >= RIGID_STEPS:
            wanted = (wanted - offset) @ rotation / scale - base[keep]
            design = modes[:, keep].flatten(1)
            system = design @ design.T / PRIOR**2 + torch.eye(len(modes))
            weights = torch.linalg.solve(system, design @ wanted.flatten() / PRIOR**2).clamp(-3, 3)
    return weights, scale, rotation, offset


def similarity(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, rotation and offset that carry points (P, 3) onto others in least squares (Umeyama 1991)."""
    source_middle, target_middle = source.mean(dim=0), target.mean(dim=0)
    a, b = source - source_middle, target - target_middle
    u, stretch, v = torch.linalg.svd(b.T @ a)
    sign = torch.tensor([1.0, 1.0, float(torch.sign(torch.linalg.det(u @ v)))])
    rotation = u @ torch.diag(sign) @ v
    scale = ((stretch * sign).sum() / a.square().sum().clamp(min=1e-9)).clamp(0.7, 1.4)
    return scale, rotation, target_middle - scale * rotation @ source_middle


def nearest(points: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the candidate nearest to each point (rows of any length), and its distance."""
    distance, index = zip(*(torch.cdist(part, candidates).min(dim=1) for part in points.split(1024)), strict=True)
    return torch.cat(index), torch.cat(distance)
