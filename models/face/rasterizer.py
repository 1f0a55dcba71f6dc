"""Pictures of a face model: colour, mask and passes, differentiable.

``render`` draws with soft coverage at the outline and soft edges where one part of the face hides
another. Gradients reach shape, expression, reflectance, light, rotation, translation and a camera made
of tensors; they follow the surface that a pixel sees, and the edges where it ends. Where surfaces
pierce each other there is no such edge, and none is followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.face import gloss, harmonics
from models.face.alignment import place
from models.face.antialias import Coverage, mix, soft_coverage
from models.face.camera import PORTRAIT_CAMERA, Projection
from models.face.fragments import (
    BACKGROUND_DEPTH,
    Fragments,
    interpolate,
    rasterize,
    to_pixels,
)
from models.face.mesh_topology import topology_of, unit, vertex_normals
from models.face.model import FaceModel
from models.face.occlusion import vertex_occlusion
from models.face.parameters import RigParameters
from models.face.posing import Pose

__all__ = ["BACKGROUND_DEPTH", "OUTPUTS", "Fragments", "interpolate", "rasterize", "render"]

DARKEST = 1e-6  # albedo


def render(
    face: FaceModel,
    parameters: RigParameters,
    size: int,
    camera: Projection = PORTRAIT_CAMERA,
    outputs: Sequence[str] = ("colour", "mask"),
    body: Tensor | None = None,
) -> dict[str, Tensor]:
    """Draw N heads in frames of ``size``² pixels, row 0 at the top; name -> (N, H, W, C) float32.

    Outputs, of which only those asked for are computed:

    - ``colour`` 3, linear RGB: albedo * shading, straight (not multiplied by the mask); mixed where an
      edge of the mesh passes between a pixel and its neighbour behind
    - ``mask`` 1, the mesh's coverage, soft at the outline
    - ``face_mask`` 1, the model's "face" mask times the coverage
    - ``depth`` 1, cm from the camera along the view axis, ``BACKGROUND_DEPTH`` where nothing is
    - ``normals`` 3, unit, world frame (the head's rotation is in them)
    - ``albedo`` 3, linear RGB
    - ``shading`` 3, irradiance / pi, so that ambient radiance 1 gives 1
    - ``specular`` 3, radiance that skin mirrors of the light to the camera (see ``gloss``), which nothing shadows
    - ``covered_albedo`` 3, ``light`` 3, ``covered_specular`` 3: the same anti-aliased, as Cycles writes its passes: albedo and
      specular multiplied by the coverage and mixed where colour is, and the light by which that albedo becomes the colour
    - ``occlusion`` 1, share of an even light from all around that reaches the surface (see ``occlusion``)
    - ``uv`` 2, v up
    - ``position`` 3, world frame, cm

    ``body`` (N, 3) is the rotation of the shoulders, to which the neck leads (see ``posing``); without it the neck turns
    with the head. Where the mesh is not, occlusion is 1 and all others but depth are 0. Pixels that the soft outline reaches without the
    mesh covering their centre carry the values of their covered neighbour.
    """
    unknown = sorted(set(outputs) - set(OUTPUTS))
    if unknown:
        raise ValueError(f"no such output: {', '.join(unknown)}; there are {', '.join(OUTPUTS)}")
    picture = Picture(face, parameters, size, camera, body)
    return {name: OUTPUTS[name](picture) for name in outputs}


@dataclass(eq=False)
class Picture:
    """One batch being drawn; each part is computed when first asked for.

    Values "at the pixels" have one row for each pixel whose centre the mesh covers.
    """

    face: FaceModel
    parameters: RigParameters
    size: int
    camera: Projection
    body: Tensor | None = None

    @cached_property
    def vertices(self) -> Tensor:
        """World vertices (N, V, 3)."""
        shape = self.face.vertices(self.parameters.identity, self.parameters.expression)
        if self.body is None:
            return place(shape, self.parameters)
        pose = Pose(self.parameters.rotation, self.parameters.translation, self.body)
        return pose.both(shape, self.face.groups["head"][None])

    @cached_property
    def ndc(self) -> Tensor:
        """Projected vertices (N, V, 3)."""
        return self.camera.project(self.vertices)

    @cached_property
    def fragments(self) -> Fragments:
        """What the pixels see."""
        return rasterize(self.ndc, self.face.triangles, self.size)

    @cached_property
    def coverage(self) -> Coverage:
        """Soft coverage and the fringe that it adds."""
        pixel_space = to_pixels(self.ndc, self.size)
        return soft_coverage(pixel_space, topology_of(self.face), self.fragments)

    @cached_property
    def normals(self) -> Tensor:
        """Unit normals at the pixels (P, 3), world frame."""
        smooth = self.fragments.gather(vertex_normals(self.vertices, self.face.triangles))
        return unit(smooth)

    @cached_property
    def albedo(self) -> Tensor:
        """Albedo at the pixels (P, 3)."""
        return self.fragments.gather(self.face.albedo_for(self.parameters.reflectance))

    @cached_property
    def shading(self) -> Tensor:
        """Irradiance / pi at the pixels (P, 3); where order 2 rings below zero, zero."""
        return self.of_light(self.normals, [factor / math.pi for factor in harmonics.CLAMPED_COSINE])

    @cached_property
    def specular(self) -> Tensor:
        """Radiance mirrored to the camera at the pixels (P, 3)."""
        x, y, _ = self.position.unbind(-1)
        view = unit(torch.stack((-x, -y, self.fragments.depths), dim=-1))  # the camera stands on the z axis
        facing = (self.normals * view).sum(dim=-1, keepdim=True)
        return self.of_light(gloss.mirror(self.normals, view), gloss.lobe()) * gloss.mirrored_share(facing)

    def of_light(self, directions: Tensor, factors: Sequence[float]) -> Tensor:
        """The light of each pixel's frame from unit directions (P, 3), its coefficients times nine factors, not below zero (P, 3)."""
        functions = harmonics.basis(directions)
        light = self.parameters.light * functions.new_tensor(factors).unsqueeze(-1)
        parts = zip(functions.tensor_split(self.frame_starts), light, strict=True)
        return torch.cat([one.T @ part.T for part, one in parts], dim=1).clamp(min=0).T

    @cached_property
    def occlusion(self) -> Tensor:
        """Ambient occlusion at the pixels (P, 1)."""
        return self.fragments.gather(vertex_occlusion(self.face, self.parameters.identity, self.parameters.expression).unsqueeze(-1))

    @cached_property
    def position(self) -> Tensor:
        """Points of the world at the pixels (P, 3)."""
        return self.fragments.gather(self.vertices)

    @cached_property
    def colour(self) -> Tensor:
        """Albedo times shading at the pixels (P, 3), anti-aliased where one part hides another."""
        return self.mixed(self.albedo * self.shading)

    @cached_property
    def light(self) -> Tensor:
        """What the albedo at the pixels (P, 3) is multiplied with, both anti-aliased."""
        return self.colour / self.mixed(self.albedo).clamp(min=DARKEST)

    @cached_property
    def frame_starts(self) -> list[int]:
        """Which of the P pixels is the first of each frame but frame 0, (N - 1,)."""
        starts = torch.arange(1, len(self.parameters), device=self.ndc.device) * self.size**2
        return torch.searchsorted(self.fragments.pixels, starts).tolist()

    @cached_property
    def uv(self) -> Tensor:
        """Texture coordinates at the pixels (P, 2)."""
        if self.face.uv is None or self.face.uv_triangles is None:
            raise ValueError(f"the face model {self.face.name} has no UV layout")
        fragments = self.fragments
        seen = fragments.triangle.view(-1).index_select(0, fragments.pixels)
        corners = self.face.uv_triangles.index_select(0, seen)
        points = self.face.uv.T.index_select(1, corners.T.reshape(-1)).unflatten(1, (3, -1))
        return (points * fragments.weights).sum(dim=1).T

    @cached_property
    def face_mask(self) -> Tensor:
        """The model's face mask at the pixels (P, 1)."""
        mask = self.face.masks.get("face", torch.ones_like(self.face.mean[:, 0]))
        return self.fragments.gather(mask.view(1, -1, 1).expand(len(self.parameters), -1, 1))

    @cached_property
    def donors(self) -> Tensor:
        """Which of the P pixels each pixel of the fringe takes its values from, (Q,)."""
        return torch.searchsorted(self.fragments.pixels, self.coverage.donors)

    def spread(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Values at the pixels (P, C) -> pictures (N, H, W, C), carried on to the fringe."""
        fragments, channels = self.fragments, values.T
        picture = channels.new_full((len(channels), fragments.triangle.numel()), fill)
        picture.index_copy_(1, fragments.pixels, channels)
        picture.index_copy_(1, self.coverage.fringe, channels.index_select(1, self.donors))
        return fragments.picture(picture)

    def mask(self) -> Tensor:
        """Soft coverage (N, H, W, 1)."""
        return self.coverage.mask.unsqueeze(-1)

    def mixed(self, values: Tensor) -> Tensor:
        """Values at the pixels (P, C), mixed where one part hides another."""
        return mix(values, self.coverage, self.fragments)

    def covered(self, values: Tensor) -> Tensor:
        """Pictures (N, H, W, C) of values at the pixels (P, C), anti-aliased and multiplied by the coverage."""
        return self.spread(self.mixed(values)) * self.mask()


OUTPUTS: dict[str, Callable[[Picture], Tensor]] = {
    "colour": lambda picture: picture.spread(picture.colour),
    "mask": lambda picture: picture.mask(),
    "face_mask": lambda picture: picture.spread(picture.face_mask) * picture.mask(),
    "depth": lambda picture: picture.spread(picture.fragments.depths.unsqueeze(1), BACKGROUND_DEPTH),
    "normals": lambda picture: picture.spread(picture.normals),
    "albedo": lambda picture: picture.spread(picture.albedo),
    "shading": lambda picture: picture.spread(picture.shading),
    "specular": lambda picture: picture.spread(picture.specular),
    "covered_albedo": lambda picture: picture.covered(picture.albedo),
    "light": lambda picture: picture.spread(picture.light),
    "covered_specular": lambda picture: picture.covered(picture.specular),
    "occlusion": lambda picture: picture.spread(picture.occlusion, 1.0),
    "uv": lambda picture: picture.spread(picture.uv),
    "position": lambda picture: picture.spread(picture.position),
}
