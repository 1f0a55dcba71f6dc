"""Ambient occlusion: how much of an even light from all around reaches each vertex of a head.

Depth maps of the head from directions evenly around it say what covers a vertex (Williams, "Casting Curved Shadows on
Curved Surfaces", 1978). They are drawn of the coarse mesh, where a face model has one. Shoulders and hair cover nothing.
"""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from models.face.fragments import rasterize
from models.face.mesh_topology import vertex_normals
from models.face.model import FaceModel

DIRECTIONS, SIZE = 32, 64  # maps, and pixels of their sides
MARGIN = 1.05  # of what a map shows to the head's radius
FAR_AWAY = 50.0  # radii from which maps are drawn, so that their rays are all but parallel
LIFT, SOFT = 0.35, 0.7  # cm that points are lifted off the surface, and over which what is before them begins to cover

_LAST: WeakKeyDictionary[FaceModel, tuple[bytes, Tensor]] = WeakKeyDictionary()


def vertex_occlusion(face: FaceModel, identity: Tensor, expression: Tensor) -> Tensor:
    """Share (N, V) of an even light that reaches the vertices of heads (N, K), (N, E): 1 in the open, 0 closed off.

    No gradient passes. The last heads' answer is kept: a head that only turns, or is lit anew, asks for it again.
    """
    key = b"".join(part.detach().cpu().numpy().tobytes() for part in (identity, expression))
    known = _LAST.get(face)
    if known is None or known[0] != key:
        _LAST[face] = known = key, found(face, identity.detach(), expression.detach())
    return known[1].clone()  # which may have been found in inference mode, of which gradients cannot come


@torch.no_grad()
def found(face: FaceModel, identity: Tensor, expression: Tensor) -> Tensor:
    """What ``vertex_occlusion`` gives, computed."""
    coarse = face.proxy or face
    pairs = zip(face.vertices(identity, expression), coarse.vertices(identity, expression), strict=True)
    return torch.stack([openness(points, face.triangles, blockers, coarse.triangles) for points, blockers in pairs])


def openness(points: Tensor, triangles: Tensor, blockers: Tensor, coarse: Tensor) -> Tensor:
    """Share (V,) of an even light that reaches ``points`` (V, 3) of a mesh past another (W, 3) whose triangles are ``coarse``."""
    normals = vertex_normals(points[None], triangles)[0]
    turns = views(DIRECTIONS).to(points)
    middle = (blockers.amin(dim=0) + blockers.amax(dim=0)) / 2
    radius = float(MARGIN * (blockers - middle).norm(dim=1).max())
    shown = (blockers - middle) @ turns.mT / radius
    maps = rasterize(seen_from_afar(shown), coarse, SIZE, cull=False).depth.clamp(max=FAR_AWAY + 1)
    lifted = seen_from_afar((points + LIFT * normals - middle) @ turns.mT / radius)
    grid = lifted[..., :2] * lifted.new_tensor((1.0, -1.0))
    nearest = grid_sample(maps[:, None], grid[:, None], padding_mode="border", align_corners=False)[:, 0, 0]
    open_to = (1 - (lifted[..., 2] - nearest) * (radius / SOFT)).clamp(0, 1)
    cosines = (turns[:, 2] @ normals.mT).clamp(min=0)
    return (open_to * cosines).sum(dim=0) / cosines.sum(dim=0).clamp(min=1e-6)


def seen_from_afar(points: Tensor) -> Tensor:
    """Points in radii with z towards the eye -> x, y and depth, as ``rasterize`` takes them."""
    return torch.cat((points[..., :2], FAR_AWAY - points[..., 2:]), dim=-1)


def views(count: int) -> Tensor:
    """Rotations (count, 3, 3) whose last rows are unit vectors evenly around: Fibonacci's spiral."""
    number = torch.arange(count, dtype=torch.float64)
    z = 1 - (2 * number + 1) / count
    around = number * (math.pi * (3 - math.sqrt(5)))
    level = (1 - z * z).sqrt()
    towards = torch.stack((level * around.cos(), level * around.sin(), z), dim=-1)
    across = torch.stack((-around.sin(), around.cos(), torch.zeros_like(z)), dim=-1)
    return torch.stack((across, torch.linalg.cross(towards, across), towards), dim=-2)
