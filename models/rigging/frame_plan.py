"""What a frame is to show, in numbers: the aligned head, where the finished crop goes, and what the picture is blended with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.face import FaceModel
from models.face.alignment import align
from models.face.camera import PORTRAIT_CAMERA, rotation_matrix
from models.face.harmonics import rotate
from models.face.parameters import RigParameters
from models.rigging.controls import Controls, Portrait
from models.rigging.looks import LookUse
from models.rigging.similarity_transform import Similarity


@dataclass(frozen=True, eq=False)
class FramePlan:
    """Controls put into numbers: the aligned head to show and how the finished crop is moved."""

    portrait: Portrait
    target: RigParameters  # N = 1, roll and translation aligned
    similarity: Similarity
    placement: tuple[float, ...]  # yaw, pitch, roll (radians), x, y, z (cm)
    reference: FramePlan | None = None  # the same with the portrait's own expression; None where that is asked for
    looks: tuple[LookUse, ...] = ()


def plan_frame(portrait: Portrait, controls: Controls, face: FaceModel) -> FramePlan:
    """Solve the alignment for the controls and put the rest into a similarity. A pure function.

    Roll is absolute: the crop's own roll follows from the alignment, the difference is turned
    about the head's origin, and a light that is given stays where it is in the world. The crop
    follows eyes and mouth, so a jaw that opens would shrink the head: the similarity takes that
    back, and the head stays where it is with the portrait's own expression.
    """
    own = portrait.parameters.to(face.mean.device)
    expression = own.expression.clone()
    for name, value in controls.expression.items():
        expression[0, face.expression_names.index(name)] = min(max(float(value), 0.0), 1.0)
    rotation = own.rotation if controls.rotation is None else own.rotation.new_tensor([controls.rotation])
    turned = own.replace(rotation=rotation)
    if torch.equal(expression, own.expression):
        return plan_head(portrait, align(face, turned), None, rotation, controls)
    # At rest and with the expression, in one solution: a live view waits for it.
    both = align(face, turned[torch.tensor((0, 0))].replace(expression=torch.cat((own.expression, expression))))
    reference = plan_head(portrait, both[:1], None, rotation, controls)
    return plan_head(portrait, both[1:], reference, rotation, controls)


def plan_head(portrait: Portrait, aligned: RigParameters, reference: FramePlan | None, rotation: Tensor, controls: Controls) -> FramePlan:
    """The plan of an aligned head: light in the crop, and the similarity to where ``reference`` stands."""
    angle = float(rotation[0, 2] - aligned.rotation[0, 2])
    if controls.light is not None:
        light = rotation.new_tensor(np.asarray(controls.light)).unsqueeze(0)
        back = rotation_matrix(light.new_tensor([[0.0, 0.0, -angle]]))
        aligned = aligned.replace(light=rotate(light, back) if angle else light)
    stands = (reference.target if reference else aligned).translation[0]
    similarity, position = beyond_alignment(aligned.translation[0], stands, angle, controls)
    return FramePlan(portrait, aligned, similarity, (*rotation[0].tolist(), *position), reference, tuple(controls.looks))


def beyond_alignment(aligned: Tensor, reference: Tensor, angle: float, controls: Controls) -> tuple[Similarity, list[float]]:
    """The similarity that brings roll, translation and scale to a crop whose head stands at ``aligned`` (3,).

    Before them it carries the head to ``reference`` (3,), as large as it is seen there. Also the head's
    position (x, y, z) cm afterwards: its origin where the picture shows it, its distance divided by
    the scale.
    """
    points = torch.stack((aligned, reference)).double()
    (x, y, depth), (to_x, to_y, to_depth) = PORTRAIT_CAMERA.project(points.unsqueeze(0))[0].tolist()
    asked = tuple(2.0 * float(value) for value in controls.translation or (0.0, 0.0))
    shift = (asked[0] + to_x - x, asked[1] + to_y - y)
    similarity = Similarity(angle, float(controls.scale) * (depth / to_depth), (x, y), shift)
    ndc = points.new_tensor([x + shift[0], y + shift[1], depth / similarity.scale])
    return similarity, PORTRAIT_CAMERA.unproject(ndc.view(1, 1, 3))[0, 0].tolist()
