"""Where one picture of a head shows what another shows: the mesh says it, pixel for pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.face.alignment import place
from models.face.camera import PORTRAIT_CAMERA
from models.face.fragments import rasterize
from models.face.model import FaceModel
from models.face.parameters import RigParameters

HIDDEN = 0.4  # cm behind what is seen from which a point counts as hidden


@torch.no_grad()
def correspondence(mesh: FaceModel, before: RigParameters, after: RigParameters, size: int) -> tuple[Tensor, Tensor]:
    """For every pixel of N pictures of ``after`` its place in that of ``before``, and which are to be seen in both.

    Returns (N, size, size, 2), as ``grid_sample`` takes it, and (N, 1, size, size) of 0 and 1: points of the mesh that come into
    view (or were hidden) are 0, and so is what the mesh covered before. Around the mesh the picture moves with the crop, which follows eyes and mouth.
    """
    worlds = [place(mesh.vertices(each.identity, each.expression), each) for each in (before, after)]
    first, second = (rasterize(PORTRAIT_CAMERA.project(world), mesh.triangles, size) for world in worlds)
    points = PORTRAIT_CAMERA.project(second.gather(worlds[0]))
    on_mesh = second.scatter(points)
    covered = (second.triangle >= 0).unsqueeze(-1)
    grid = torch.where(covered, downwards(on_mesh[..., :2]), around(before, after, size))
    depth = F.grid_sample(first.depth.unsqueeze(1), grid, mode="nearest", padding_mode="border", align_corners=False)
    was_covered = F.grid_sample((first.triangle >= 0).float().unsqueeze(1), grid, mode="nearest", align_corners=False) > 0
    seen = on_mesh[..., 2].unsqueeze(1) < depth + HIDDEN
    covered, within = covered.movedim(-1, 1), (grid.abs() <= 1).all(dim=-1).unsqueeze(1)
    return grid, (torch.where(covered, seen & was_covered, ~was_covered) & within).float()


def downwards(points: Tensor) -> Tensor:
    """NDC (…, 2), y up, as ``grid_sample`` counts."""
    return points * points.new_tensor((1.0, -1.0))


def around(before: RigParameters, after: RigParameters, size: int) -> Tensor:
    """Where pixels (N, size, size, 2) of ``after`` that the mesh leaves free lie in ``before``, were they as far as the head's origin."""
    (origin, axis), (new_origin, new_axis) = standing(before), standing(after)
    factor = torch.view_as_real(axis / new_axis)
    steps = (torch.arange(size, device=factor.device) + 0.5) * (2 / size) - 1
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    pixels = torch.complex(across, -down) - new_origin[:, None, None]
    found = torch.view_as_real(pixels * torch.view_as_complex(factor)[:, None, None] + origin[:, None, None])
    return downwards(found)


def standing(parameters: RigParameters) -> tuple[Tensor, Tensor]:
    """Where a picture shows the head's origin (N,), and a cm along its x there as it is rolled (N,): complex NDC, y up."""
    turn = torch.polar(torch.ones_like(parameters.rotation[:, 2]), parameters.rotation[:, 2])
    step = torch.view_as_real(turn)
    ends = torch.stack((parameters.translation, parameters.translation + F.pad(step, (0, 1))), dim=1)
    origin, end = torch.view_as_complex(PORTRAIT_CAMERA.project(ends)[..., :2].contiguous()).unbind(1)
    return origin, end - origin
