"""Frames of a generator that renderings of the rig steer: w stays, the maps of the posed head say the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.editing.inversion.offsets import Offsets
from models.face import FaceModel
from models.face.camera import Camera, rotation_matrix
from models.face.frame import half_width, translation
from models.face.harmonics import rotate
from models.face.parameters import RigParameters
from models.generators import Engine, Generator
from models.generators.guide import REST_DISTANCE
from models.generators.guided import GuidedConfig, GuidedSynthesisNetwork
from models.generators.stylegan2 import split_matte
from models.rigging.controls import Controls, Frame, Portrait
from models.rigging.frame_renderer import MATTES, PASSES, develop, mesh_passes, move, to_array
from models.rigging.looks import LookUse, face_area, no_hair_matte, wear
from models.rigging.similarity_transform import MovedCamera, Similarity
from models.rigging.surroundings import surroundings
from models.translation.library import LookLibrary

MAX_ROLL = math.radians(25.0)  # that the generator was taught; more is turned in the picture
GEOMETRY = {"Normal", "Position", "Depth"}  # passes that hair and shoulders are in
RIM = 3  # pixels that StyleGAN2's blocks cannot draw rightly at the frame's edge
COARSEST = 128  # pixels: what coarser blocks draw is no picture yet
BODY_SHARE = 0.4  # of the head's turn that the shoulders go along with


def without_rim(image: Tensor) -> Tensor:
    """An image (N, C, R, R) whose outermost pixels, at the sides and below, are those next to them.

    The zeros that convolutions see beyond the frame darken what is drawn there by an eighth, where shoulders are cut.
    """
    inner = image[:, :, :-RIM, RIM:-RIM]
    return pad(inner, (RIM, RIM, 0, RIM), mode="replicate")


@dataclass(frozen=True, eq=False)
class HeadPlan:
    """Controls put into numbers: the posed head over its shoulders, the camera before it, how the picture is moved."""

    portrait: Portrait
    target: RigParameters  # N = 1, in the whole-head frame
    body: Tensor  # (1, 3) yaw, pitch, roll of the shoulders
    camera: Camera
    similarity: Similarity
    placement: tuple[float, ...]  # yaw, pitch, roll (radians), x, y, z (cm)
    looks: tuple[LookUse, ...] = ()


def plan_head(portrait: Portrait, controls: Controls, face: FaceModel) -> HeadPlan:
    """Pose the head in the whole-head frame and put translation and scale into a similarity. A pure function.

    The frame hangs on the head bone and the neutral face, so neither a turn nor an open jaw moves it (see ``face.frame``).
    """
    own = portrait.parameters.to(face.mean.device)
    expression = own.expression.clone()
    for name, value in controls.expression.items():
        expression[0, face.expression_names.index(name)] = min(max(float(value), 0.0), 1.0)
    asked = own.rotation if controls.rotation is None else own.rotation.new_tensor([controls.rotation])
    rotation = asked.clone()
    rotation[:, 2] = rotation[:, 2].clamp(-MAX_ROLL, MAX_ROLL)
    angle = float(asked[0, 2] - rotation[0, 2])
    light = own.light if controls.light is None else rotation.new_tensor(np.asarray(controls.light))[None]
    if angle:
        light = rotate(light, rotation_matrix(light.new_tensor([[0.0, 0.0, -angle]])))
    target = own.replace(expression=expression, rotation=rotation, translation=translation(rotation), light=light)
    camera = Camera(controls.distance or REST_DISTANCE, float(half_width(face, own.identity)))
    similarity, position = moved(target.translation[0], angle, camera, controls)
    return HeadPlan(portrait, target, BODY_SHARE * rotation, camera, similarity, (*asked[0].tolist(), *position), tuple(controls.looks))


def moved(stands: Tensor, angle: float, camera: Camera, controls: Controls) -> tuple[Similarity, list[float]]:
    """The similarity of the controls about the frame's middle, and where (x, y, z) cm it puts a head's origin that ``stands`` (3,) there."""
    x, y = (2.0 * float(value) for value in controls.translation or (0.0, 0.0))
    similarity = Similarity(angle, float(controls.scale), (0.0, 0.0), (x, y))
    ndc = camera.project(stands.double()[None, None])
    seen = torch.cat((similarity.to_output(ndc[..., :2]), ndc[..., 2:] / similarity.scale), dim=-1)
    return similarity, camera.unproject(seen)[0, 0].tolist()


class GuidedRenderer:
    """Draws frames with a guided generator; ``engine``: "exact" or "fast" -> the generator's Engine.

    Maps and passes are drawn by the processor, whatever device the generator is on.
    """

    def __init__(self, generator: Generator, face: FaceModel, engine: Callable[[str, Offsets | None], Engine], library: LookLibrary):
        if not isinstance(generator.synthesis, GuidedSynthesisNetwork) or not isinstance(generator.config, GuidedConfig):
            raise ValueError("a generator that no maps steer draws frames by a rig's networks")
        self.generator, self.face, self.engine = generator, face, engine
        self.library = library
        self.blocks = generator.synthesis.block_resolutions
        self.guide, self.matte_names = generator.synthesis.guide, generator.config.mattes

    def plan(self, portrait: Portrait, controls: Controls) -> HeadPlan:
        """What the controls mean for a portrait."""
        return plan_head(portrait, controls, self.face)

    def render(self, plan: HeadPlan, size: int, passes: Sequence[str], precision: str) -> Frame:
        """The frame of a plan with its ``passes``, arrays (size, size, C)."""
        layers = self.layers(plan, size, precision)
        images = develop(layers[:, :4], passes) | self.mattes(layers, passes)
        around = self.around(plan, layers) if GEOMETRY & set(passes) else None
        drawn = [name for name in passes if PASSES[name]]
        images.update(mesh_passes(self.face, plan, size, drawn, plan.camera, plan.body, around))
        return Frame({name: to_array(image) for name, image in images.items()}, plan.placement)

    def mattes(self, layers: Tensor, passes: Sequence[str]) -> dict[str, Tensor]:
        """How much of each pixel is what ``passes`` of MATTES name; 0 where this generator draws no such matte."""
        drawn = dict(zip(self.matte_names, layers[0, 4:], strict=True))
        alpha = layers[0, 3].clamp(0, 1)
        wanted = {name: drawn.get(MATTES[name], torch.zeros_like(alpha)) for name in passes if name in MATTES}
        return {name: torch.minimum(matte.clamp(min=0), alpha)[None, None] for name, matte in wanted.items()}

    def around(self, plan: HeadPlan, layers: Tensor) -> dict[str, Tensor]:
        """Hair and shoulders, as ``surroundings`` has them."""
        hair = self.mattes(layers, ["HairMatte"])["HairMatte"][0, 0]
        camera = MovedCamera(plan.camera, plan.similarity)
        return surroundings(self.guide.mesh, plan.target, plan.body, camera, layers[0, 3], hair)

    def layers(self, plan: HeadPlan, size: int, precision: str) -> Tensor:
        """Premultiplied sRGB, alpha and the generator's mattes (1, 4 + M, size, size), 0 to 1."""
        device = self.generator.w_avg.device
        w = torch.from_numpy(np.array(plan.portrait.w, dtype=np.float32))[None].to(device)
        maps = self.guide.maps(plan.target, plan.camera, plan.body, self.drawn_size(plan, size, precision))
        raw = without_rim(self.engine(precision, plan.portrait.offsets).raw(w, guide=maps.to(device)).cpu())
        colour, alpha = split_matte(raw[:, : self.generator.img_channels])
        mattes = raw[:, self.generator.img_channels :] * 0.5 + 0.5
        colour = wear(colour, alpha, plan.looks, self.library, lambda name: self.mask(name, plan, mattes))
        return move(torch.cat((colour, alpha, mattes), dim=1), plan.similarity, size)

    def drawn_size(self, plan: HeadPlan, size: int, precision: str) -> int:
        """The generator's own, or where a fast picture shows less that of the first block that has as much (StyleGAN2's skip image)."""
        shown = size * plan.similarity.scale if precision == "fast" else math.inf
        return next((side for side in self.blocks if side >= max(shown, COARSEST)), self.generator.resolution)

    def mask(self, name: str, plan: HeadPlan, mattes: Tensor) -> Tensor:
        """How much of each pixel of a crop is "face" or "hair". Raises StyleRigError."""
        if "hair" not in self.matte_names:
            if name == "hair":
                raise no_hair_matte()
            hair = torch.zeros_like(mattes[:, :1])
        else:
            hair = mattes[:, self.matte_names.index("hair")][:, None].clamp(0, 1)
        return hair if name == "hair" else face_area(self.face, plan.target, hair.shape[-1], plan.camera, plan.body) * (1 - hair)

    def synthesize(self, w: Tensor, precision: str = "exact") -> tuple[Tensor, Tensor]:
        """w (N, L, 512) -> premultiplied sRGB (N, 3, R, R) and alpha (N, 1, R, R), 0–1, of the mean head at rest."""
        return self.engine(precision, None).foreground(w)
