"""What a rig is good for beyond moving one portrait: mixing, conditional generation, interpolation.

After Tewari et al., StyleRig (CVPR 2020), section 5: the pose, expression or light of one portrait on
another, and new people with some of these held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
import torch

from models.editing.inversion.offsets import offsets_between
from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.rigging.controls import Controls, Portrait
from models.rigging.rig import Rig
from models.rigging.rignet import CONTROLS


def taken_from(source: Portrait, parts: Collection[str], face: FaceModel) -> Controls:
    """Controls that give any portrait the ``parts`` (of pose, expression, light) of ``source``.

    Pose is yaw, pitch and roll. Raises StyleRigError for another name.
    """
    if unknown := sorted(set(parts) - set(CONTROLS)):
        raise StyleRigError(f"There is no component {unknown[0]!r}.", f"Choose from {', '.join(CONTROLS)}.", code="bad_component")
    own = source.parameters
    weights = dict(zip(face.expression_names, own.expression[0].tolist(), strict=True))
    return Controls(
        rotation=tuple(own.rotation[0].tolist()) if "pose" in parts else None,
        expression=weights if "expression" in parts else {},
        light=own.light[0].numpy() if "light" in parts else None,
    )


@torch.no_grad()
def between(rig: Rig, first: Portrait, second: Portrait, t: float) -> Portrait:
    """The person at ``t`` (0–1) on the straight way from one code to another; the ends are the two themselves.

    Its parameters are read from its code, or go the same way where the code does not hold them; so do what generators were
    tuned by to photos. Raises StyleRigError for portraits of other weights.
    """
    for portrait in (first, second):
        rig.check_portrait(portrait)
    if not 0 <= t <= 1:
        raise StyleRigError(f"{t} is not between two portraits.", "Give a number from 0 to 1.", code="bad_controls")
    if t in (0, 1):
        return second if t else first
    w = ((1 - t) * first.w + t * second.w).astype(np.float32)
    head = RigParameters.from_vector(torch.lerp(first.parameters.vector(), second.parameters.vector(), t), rig.face)
    portrait = rig.portrait_from_latent(w, first.seed, first.truncation, head)
    return dataclasses.replace(portrait, offsets=offsets_between(first.offsets, second.offsets, t))
