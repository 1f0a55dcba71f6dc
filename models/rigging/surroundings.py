"""What stands around a face model's mesh in a whole-head frame, as surfaces for the passes: hair and shoulders.

Hair is taken as the shell that tells a guided generator where it is: near enough for a depth that does not end at a bald
skull, not strand for strand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.face.fragments import BACKGROUND_DEPTH, interpolate, rasterize
from models.face.mesh_topology import unit, vertex_normals
from models.face.parameters import RigParameters
from models.face.posing import Pose
from models.generators.guide import GuideMesh, shell_vertices
from models.rigging.similarity_transform import MovedCamera

COVERED = 0.5  # of a pixel, from which on it shows what the matte is of


def surroundings(mesh: GuideMesh, head: RigParameters, body: Tensor, camera: MovedCamera, alpha: Tensor, hair: Tensor) -> dict[str, Tensor]:
    """ "position" and "normals" in the world (1, S, S, 3), and "depth" (1, S, S, 1) cm, ``BACKGROUND_DEPTH`` where nothing is.

    ``head`` (N = 1) over shoulders of rotation ``body`` (1, 3). The pixels that ``alpha`` (S, S) covers show hair
    where the matte ``hair`` (S, S) says so, else shoulders.
    """
    pose, rest = Pose(head.rotation, head.translation, body), mesh.face.neutral(head.identity)
    shell = surface(shell_vertices(mesh, rest, pose), mesh.shell_triangles, camera, len(alpha))
    shoulders = surface(pose.body(mesh.shoulders[None]), mesh.shoulder_triangles, camera, len(alpha))
    shows_hair, shows_any = (matte[None, ..., None] >= COVERED for matte in (hair, alpha))
    seen = {name: torch.where(shows_hair, shell[name], shoulders[name]) for name in shell}
    return seen | {"depth": torch.where(shows_any, seen["depth"], BACKGROUND_DEPTH)}


def surface(vertices: Tensor, triangles: Tensor, camera: MovedCamera, size: int) -> dict[str, Tensor]:
    """Position, normals and depth of a mesh (1, V, 3) as the camera sees it in a ``size``² frame."""
    fragments = rasterize(camera.project(vertices), triangles, size)
    return {
        "position": interpolate(fragments, vertices),
        "normals": unit(interpolate(fragments, vertex_normals(vertices, triangles))),
        "depth": fragments.scatter(fragments.depths[:, None], BACKGROUND_DEPTH),
    }
