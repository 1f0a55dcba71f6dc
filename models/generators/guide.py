"""Guide maps: what the rig renders for a generator to follow, pixel for pixel.

Two surfaces are drawn as the camera sees them: the posed head on its shoulders, and a shell round the resting head
that tells hair where it is and how it is lit. What a surface point is called is its place on the mean head
("canonical"), so that the same skin, brow or strand has the same name at every pose and for everybody.

GIF (Ghosh et al., 3DV 2020) conditions StyleGAN2 on renderings of a face model in place of noise in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import interpolate as resize

from models.colour import linear_to_srgb
from models.face import harmonics, load_face_model
from models.face.camera import Camera
from models.face.fragments import paint
from models.face.frame import half_width, translation
from models.face.mesh_topology import vertex_normals
from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.face.posing import Pose
from models.face.shoulders import shoulders

PARTS = ("eyes", "teeth", "mouth", "tongue")  # masks of the face model, one channel each
SAMPLES = 2  # points of a pixel in a row and in a column of which the surface's maps are the mean: outlines have no steps
SHELL = 1.3  # the shell's size relative to the head's
SHELL_SIZE = 128  # pixels: a finer shell says nothing more about hair
HALF_HEAD = 12.0  # cm: the canonical place is divided by it
FREQUENCIES = (2.0, 4.0)  # of the canonical place's sines and cosines, times pi
CLOTH_ALBEDO = 0.3  # of shoulders, whose clothes only w knows
PLACE = 3 + 6 * len(FREQUENCIES)
SURFACE = 1 + 1 + 3 + 3 + 3 + 3 + PLACE + len(PARTS)  # coverage, shoulders, normal, albedo, irradiance, their product, place, parts
SHELL_CHANNELS = 1 + 3 + PLACE
CHANNELS = SURFACE + SHELL_CHANNELS
# Where maps hold what a colour is multiplied by: which share of a pixel shoulders are, roots of the light on the surface and the shell.
SHOULDERS, LIGHT, SHELL_LIGHT = slice(1, 2), slice(8, 11), slice(SURFACE + 1, SURFACE + 4)
# And the coverage and place, in half heads, of each.
COVERED, POINT, SHELL_COVERED, SHELL_POINT = slice(0, 1), slice(14, 17), slice(SURFACE, SURFACE + 1), slice(SURFACE + 4, SURFACE + 7)
# And what points or lies to a side, so that a mirror changes its sign: x of the normal and of each place, and its sines.
SIDEWAYS = (2, *(point.start + offset for point in (POINT, SHELL_POINT) for offset in (0, *range(3, PLACE, 6))))
REST_DISTANCE = 120.0  # cm from the camera to a head at rest
# What falls on a head at rest: the mean of the studio's portrait lights, as harmonics (9, 3) of linear RGB.
REST_LIGHT = (
    (2.87, 2.87, 2.87), (1.88, 1.80, 1.61), (0.38, 0.35, 0.29), (-0.13, -0.12, -0.11), (-0.11, -0.10, -0.08),
    (0.55, 0.55, 0.53), (0.22, 0.31, 0.48), (-0.12, -0.12, -0.13), (0.57, 0.73, 1.01),
)  # fmt: skip


@dataclass(eq=False)
class GuideMesh:
    """What does not change from frame to frame: the head with its shoulders, and the shell."""

    face: FaceModel
    triangles: Tensor  # (F, 3) of head and shoulders
    place: Tensor  # (V, PLACE) canonical place of each vertex and its waves
    parts: Tensor  # (V, 1 + len(PARTS)): shoulders, then PARTS
    shoulders: Tensor  # (S, 3) in the body's frame
    shoulder_triangles: Tensor  # (T, 3)
    shell: Tensor  # (W,) the head's vertices that the shell is made of
    shell_triangles: Tensor  # (G, 3)

    @classmethod
    def of(cls, face: FaceModel) -> GuideMesh:
        """The mesh of a face model."""
        body, body_triangles = shoulders()
        count = len(face.mean)
        points = torch.cat((face.mean, body))
        parts = torch.zeros(len(points), 1 + len(PARTS))
        parts[count:, 0] = 1
        for column, name in enumerate(PARTS, start=1):
            if name in face.masks:
                parts[:count, column] = face.masks[name]
        skin = face.masks["skin"] > 0.5
        number = torch.cumsum(skin, dim=0) - 1
        outside = face.triangles[skin[face.triangles].all(dim=1)]
        return cls(
            face,
            torch.cat((face.triangles, body_triangles + count)),
            waves(points),
            parts,
            body,
            body_triangles,
            skin.nonzero().squeeze(1),
            number[outside],
        )


def heads_at_rest(face: FaceModel, identity: Tensor, reflectance: Tensor) -> RigParameters:
    """Neutral heads of identity (N, K) and reflectance (N, B) in the whole-head frame, in an even portrait light."""
    heads = RigParameters.neutral(face, len(identity))
    if identity.shape[1]:  # else nothing is known of their shapes
        heads = heads.replace(identity=identity, reflectance=reflectance)
    return heads.replace(light=identity.new_tensor(REST_LIGHT).repeat(len(identity), 1, 1), translation=translation(heads.rotation))


class Guide:
    """Renders the maps of one face model, which is loaded when it is first needed."""

    def __init__(self, head: str):
        self.head = head

    @cached_property
    def mesh(self) -> GuideMesh:
        return GuideMesh.of(load_face_model(self.head))

    def maps(self, parameters: RigParameters, camera: Camera, body: Tensor, size: int) -> Tensor:
        """As ``guide_maps``."""
        return guide_maps(self.mesh, parameters, camera, body, size)

    def at_rest(self, identity: Tensor, reflectance: Tensor, size: int) -> Tensor:
        """Maps (N, CHANNELS, size, size) of neutral heads that face the camera in an even light."""
        heads = heads_at_rest(self.mesh.face, identity, reflectance)
        width = half_width(self.mesh.face, heads.identity)[:, None]
        return self.maps(heads, Camera(torch.full_like(width, REST_DISTANCE), width), torch.zeros(len(heads), 3), size)

    @cached_property
    def mean(self) -> Tensor:
        """Maps (1, CHANNELS, 256, 256) of the mean head at rest."""
        face = self.mesh.face
        return self.at_rest(torch.zeros(1, len(face.identity)), torch.zeros(1, len(face.albedo)), 256)


def waves(points: Tensor) -> Tensor:
    """Points (V, 3) in half heads, and their sines and cosines (V, PLACE)."""
    unit = points / HALF_HEAD
    return torch.cat([unit, *(wave(unit * (math.pi * f)) for f in FREQUENCIES for wave in (torch.sin, torch.cos))], dim=1)


def guide_maps(mesh: GuideMesh, parameters: RigParameters, camera: Camera, body: Tensor, size: int) -> Tensor:
    """Maps (N, CHANNELS, size, size) of N heads over shoulders of rotation ``body`` (N, 3); 0 where nothing is.

    All channels of a pixel lie together in memory (torch's channels_last).
    """
    pose = Pose(parameters.rotation, parameters.translation, body)
    rest = mesh.face.neutral(parameters.identity)
    maps = rest.new_zeros(len(rest), size, size, CHANNELS)
    paint(maps, 0, *surface_attributes(mesh, parameters, rest, pose, camera), mesh.triangles, SAMPLES)
    if size <= SHELL_SIZE:
        paint(maps, SURFACE, *shell_attributes(mesh, parameters, rest, pose, camera), mesh.shell_triangles)
    else:
        coarse = rest.new_zeros(len(rest), SHELL_SIZE, SHELL_SIZE, SHELL_CHANNELS)
        paint(coarse, 0, *shell_attributes(mesh, parameters, rest, pose, camera), mesh.shell_triangles)
        maps[..., SURFACE:].copy_(resize(coarse.movedim(-1, 1), size=(size, size), mode="bilinear", align_corners=False).movedim(1, -1))
    return maps.movedim(-1, 1)


def surface_attributes(mesh: GuideMesh, parameters: RigParameters, rest: Tensor, pose: Pose, camera: Camera) -> tuple[Tensor, Tensor]:
    """Of the posed head, from its vertices at ``rest`` (N, V, 3), and the shoulders: attributes (N, W, SURFACE) and NDC (N, W, 3)."""
    face, count = mesh.face, len(parameters)
    moved = (parameters.expression @ face.expression.flatten(1)).unflatten(1, (-1, 3))
    head = pose.both(rest + moved, face.groups["head"][None])
    world = torch.cat((head, pose.body(mesh.shoulders.expand(count, -1, -1))), dim=1)
    normals = vertex_normals(world, mesh.triangles)
    albedo = torch.full_like(world, CLOTH_ALBEDO)
    albedo[:, : head.shape[1]] = face.albedo_for(parameters.reflectance)
    light = lit(parameters.light, normals)
    shared = torch.cat((torch.ones(len(mesh.place), 1), mesh.parts[:, :1]), dim=1).expand(count, -1, -1)
    shown = (
        shared,
        normals,
        albedo.sqrt(),
        light.sqrt(),
        linear_to_srgb(albedo * light),
        mesh.place.expand(count, -1, -1),
        mesh.parts[:, 1:].expand(count, -1, -1),
    )
    return torch.cat(shown, dim=2), camera.project(world)


def shell_attributes(mesh: GuideMesh, parameters: RigParameters, rest: Tensor, pose: Pose, camera: Camera) -> tuple[Tensor, Tensor]:
    """The same of the shell: (N, W, SHELL_CHANNELS) and (N, W, 3)."""
    count, world = len(parameters), shell_vertices(mesh, rest, pose)
    light = lit(parameters.light, vertex_normals(world, mesh.shell_triangles))
    shown = (torch.ones(count, world.shape[1], 1), light.sqrt(), mesh.place[mesh.shell].expand(count, -1, -1))
    return torch.cat(shown, dim=2), camera.project(world)


def shell_vertices(mesh: GuideMesh, rest: Tensor, pose: Pose) -> Tensor:
    """Where the shell of heads with vertices at ``rest`` (N, V, 3) stands, (N, W, 3)."""
    rest = rest[:, mesh.shell]
    middle = rest.mean(dim=1, keepdim=True)
    return pose.both(middle + SHELL * (rest - middle), mesh.face.groups["head"][None, mesh.shell])


def lit(light: Tensor, normals: Tensor) -> Tensor:
    """Irradiance / pi (N, V, 3) on normals (N, V, 3), nowhere below zero."""
    return (harmonics.irradiance(light, normals) / math.pi).clamp(min=0)
