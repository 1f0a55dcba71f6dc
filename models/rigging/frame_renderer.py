"""A plan becomes pictures: edited w, synthesis, what an expression may change, and the face model's passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.colour import over_backdrop, srgb_to_linear
from models.editing.inversion.offsets import Offsets
from models.face import FaceModel
from models.face.camera import PORTRAIT_CAMERA, Camera, rotation_matrix
from models.face.parameters import RigParameters
from models.face.rasterizer import BACKGROUND_DEPTH, render
from models.generators import Box, Engine, Generator
from models.rigging.controls import Controls, Frame, Portrait
from models.rigging.frame_plan import FramePlan, plan_frame
from models.rigging.local_blend import faded, grown, moving_area, wanted_part
from models.rigging.looks import face_area, no_hair_matte, wear
from models.rigging.matte import grown_matte
from models.rigging.reconstruction import Reconstruction
from models.rigging.rignet import RigNets
from models.rigging.similarity_transform import MovedCamera, Similarity
from models.translation.library import LookLibrary

MATTES = {  # render pass -> the generator's own matte of that part; a generator without draws none
    "SkinMatte": "skin",
    "HairMatte": "hair",
    "EyesMatte": "eyes",
    "MouthMatte": "mouth",
    "ClothesMatte": "clothes",
    "GlassesMatte": "glasses",
}
PASSES: dict[str, str | None] = {  # render pass -> output of the rasteriser; None where the generator draws it
    "Portrait": None,
    "HeadMatte": None,
    "FaceMask": "face_mask",
    "Normal": "normals",
    "Albedo": "covered_albedo",
    "Shading": "light",
    "Specular": "covered_specular",
    "Occlusion": "occlusion",
    "Depth": "depth",
    "UV": "uv",
    "Position": "position",
    **dict.fromkeys(MATTES),
}


class ReferenceCache:
    """The last picture without the asked expression: an expression that is dragged or keyed alone asks for it again.

    One entry, exchanged whole, so that threads may share it: each finds what it asks for or nothing. What is found is what
    would be drawn, to the last bit.
    """

    def __init__(self) -> None:
        self.entry: tuple[tuple, Tensor] | None = None

    @staticmethod
    def key(plan: FramePlan, size: int, precision: str) -> tuple:
        """All that a picture depends on."""
        numbers = (plan.portrait.w, plan.portrait.parameters.vector().numpy(), plan.target.vector().cpu().numpy())
        offsets = plan.portrait.offsets and plan.portrait.offsets.digest
        return (*(values.tobytes() for values in numbers), plan.similarity, plan.looks, offsets, size, precision)

    def find(self, key: tuple) -> Tensor | None:
        entry = self.entry
        return entry[1] if entry is not None and entry[0] == key else None

    def keep(self, key: tuple, layers: Tensor) -> None:
        self.entry = key, layers


class Plan(Protocol):
    """What all plans of frames have."""

    @property
    def target(self) -> RigParameters: ...

    @property
    def similarity(self) -> Similarity: ...

    @property
    def placement(self) -> tuple[float, ...]: ...


class FrameRenderer:
    """Draws plans with a generator, a face model and a rig's networks; ``engine``: "exact" or "fast", and a portrait's offsets -> the generator's Engine.

    Layers are tensors (1, 4 or 5, size, size): premultiplied sRGB, alpha, and where the generator has no matte, one grown
    from the mesh.
    """

    def __init__(
        self,
        generator: Generator,
        face: FaceModel,
        reconstruction: Reconstruction,
        networks: RigNets,
        engine: Callable[[str, Offsets | None], Engine],
        library: LookLibrary,
    ):
        self.generator, self.face, self.engine = generator, face, engine
        self.library = library
        self.reconstruction, self.networks = reconstruction, networks
        self.references = ReferenceCache()

    def plan(self, portrait: Portrait, controls: Controls) -> FramePlan:
        """What the controls mean for a portrait."""
        return plan_frame(portrait, controls, self.face)

    def render(self, plan: FramePlan, size: int, passes: Sequence[str], precision: str) -> Frame:
        """The frame of a plan with its ``passes``, arrays (size, size, C)."""
        images = develop(self.layers(plan, size, precision), passes)
        images.update(mesh_passes(self.face, plan, size, [name for name in passes if PASSES[name]]))
        images.update({name: images["Combined"].new_zeros(1, 1, size, size) for name in passes if name in MATTES})
        return Frame({name: to_array(image) for name, image in images.items()}, plan.placement)

    def layers(self, plan: FramePlan, size: int, precision: str) -> Tensor:
        """A plan's layers. Where the networks localize expressions, one changes nothing where it does not move the face."""
        if not self.networks.localize_expressions or plan.reference is None:
            return self.draw([plan], [None], size, precision)[0]
        both = RigParameters.from_vector(torch.cat((plan.target.vector(), plan.reference.target.vector())), self.face)
        moving = grown(moving_area(self.face, both, (plan.similarity, plan.reference.similarity)))
        if not moving.any():  # by so little that nothing would be seen of it
            return self.layers(plan.reference, size, precision)
        return self.blend(plan, plan.reference, moving, size, precision)

    def blend(self, plan: FramePlan, resting: FramePlan, moving: Tensor, size: int, precision: str) -> Tensor:
        """Layers of ``resting``, and of the plan where ``moving`` (1, 1, S, S) fades in; only that part of it is drawn, but with
        looks, which see all of a picture."""
        region = None if plan.looks else wanted_part(moving, plan.similarity, self.generator.resolution, size)
        key = ReferenceCache.key(resting, size, precision)
        reference = self.references.find(key)
        if reference is None:
            edited, reference = self.draw([plan, resting], [region, None], size, precision)
            self.references.keep(key, reference)
        else:
            edited = self.draw([plan], [region], size, precision)[0]
        return reference.lerp(edited, faded(moving, size))

    def draw(self, plans: list[FramePlan], regions: list[Box | None], size: int, precision: str) -> list[Tensor]:
        """Each plan's layers, all of one portrait, as the generator draws them, warped to where it stands.

        ``regions`` of the crops are wanted, None is the whole; the rest may be empty.
        """
        w = torch.cat([self.edited_latent(plan) for plan in plans])
        colour, alpha = self.synthesize(w, precision, regions, plans[0].portrait.offsets)
        result = []
        for row, plan in enumerate(plans):
            layers = [self.looked(plan, colour[row : row + 1], alpha[row : row + 1]), alpha[row : row + 1]]
            if self.generator.img_channels == 3:
                layers.append(grown_matte(self.face, plan.target, alpha.shape[-1]))
            result.append(move(torch.cat(layers, dim=1), plan.similarity, size))
        return result

    def looked(self, plan: FramePlan, colour: Tensor, alpha: Tensor) -> Tensor:
        """A crop's colour with the plan's looks on it. Raises StyleRigError."""

        def mask(name: str) -> Tensor:
            if name == "hair":
                raise no_hair_matte()
            return face_area(self.face, plan.target, colour.shape[-1])

        return wear(colour, alpha, plan.looks, self.library, mask)

    def edited_latent(self, plan: FramePlan) -> Tensor:
        """The portrait's w (1, L, 512) after RigNet; unchanged when the plan is the portrait itself."""
        device = self.face.mean.device
        w = torch.from_numpy(np.array(plan.portrait.w, dtype=np.float32)).unsqueeze(0).to(device)
        return self.networks(w, plan.portrait.parameters.to(device), plan.target, self.reconstruction, self.face)

    def synthesize(
        self, w: Tensor, precision: str = "exact", regions: Sequence[Box | None] | None = None, offsets: Offsets | None = None
    ) -> tuple[Tensor, Tensor]:
        """w (N, L, 512) -> premultiplied sRGB (N, 3, R, R) and alpha (N, 1, R, R), 0–1; at least the ``regions`` of it."""
        return self.engine(precision, offsets).foreground(w, boxes=regions)


def mesh_passes(
    face: FaceModel,
    plan: Plan,
    size: int,
    passes: Sequence[str],
    camera: Camera = PORTRAIT_CAMERA,
    body: Tensor | None = None,
    around: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The face model's passes (1, C, size, size), drawn where the picture's similarity brings the head; ``body`` as in ``render``.

    ``around``: outputs of ``render`` that are seen where the face model is not.
    """
    outputs = {name: output for name in passes if (output := PASSES[name]) and (name != "UV" or face.uv is not None)}
    if not passes:
        return {}
    rendered = render(face, plan.target, size, MovedCamera(camera, plan.similarity), tuple({*outputs.values(), "depth"}), body)
    if around:
        bare = rendered["depth"] >= BACKGROUND_DEPTH
        rendered |= {name: torch.where(bare, around[name], rendered[name]) for name in rendered.keys() & around.keys()}
    covered = rendered["depth"] < BACKGROUND_DEPTH
    turn = rotation_matrix(rendered["depth"].new_tensor([[0.0, 0.0, plan.similarity.angle]]))[0]
    standing = turn.new_tensor(plan.placement[3:])
    aligned = plan.target.translation[0]
    finished = {
        "Normal": lambda normals: normals @ turn.mT,
        "Position": lambda points: ((points - aligned) @ turn.mT + standing) * covered,
        "Depth": lambda depth: torch.where(covered, depth + aligned[2] - standing[2], BACKGROUND_DEPTH),
    }
    empty = rendered["depth"].new_zeros(1, size, size, 2)  # UV of a face model without a layout
    drawn = {name: rendered[outputs[name]] if name in outputs else empty for name in passes}
    return {name: finished.get(name, lambda image: image)(image).permute(0, 3, 1, 2) for name, image in drawn.items()}


def develop(layers: Tensor, passes: Sequence[str]) -> dict[str, Tensor]:
    """Layers -> "Combined" (scene-linear, premultiplied) and what ``passes`` asks of "Portrait" (sRGB) and "HeadMatte"."""
    colour, alpha = layers[:, :3], layers[:, 3:4]
    images = {}
    if "Portrait" in passes:
        images["Portrait"] = over_backdrop(colour, alpha).clamp_(0, 1)
    if layers.shape[1] == 5:
        alpha = layers[:, 4:]
        colour = colour * alpha
    if "HeadMatte" in passes:
        images["HeadMatte"] = alpha.clamp(0, 1)
    straight = (colour / alpha.clamp(min=1e-4)).clamp_(0, 1)
    return {"Combined": torch.cat((srgb_to_linear(straight).mul_(alpha), alpha), dim=1), **images}


def move(image: Tensor, similarity: Similarity, size: int) -> Tensor:
    """A crop (N, C, H, H) into a picture of ``size``²: filtered down first where it is shown smaller, read only once."""
    if similarity.is_identity:
        return resize(image, size)
    shown = max(round(size * similarity.scale), 1)
    return similarity.warp(resize(image, min(shown, image.shape[-1])), size)


def resize(image: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N, C, size, size)."""
    if image.shape[-1] == size:
        return image
    return interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def to_array(image: Tensor) -> np.ndarray:
    """(1, C, H, W) -> float32 (H, W, C)."""
    return np.ascontiguousarray(image[0].permute(1, 2, 0).float().cpu().numpy())
