"""The frame of a portrait that stands in a shot, as Blender's render engine makes it of the same rig."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.protocol import placement, shot

if TYPE_CHECKING:
    from backend.files.images import SceneLinear
    from backend.server import schema
    from models.rigging import Portrait, Rig


@dataclass(frozen=True)
class InShot:
    """A camera track of one frame, and what places an aligned crop in it; None for a portrait of a whole head."""

    camera: schema.CameraTrack
    landmarks: placement.Landmarks | None


def landmarks_of(portrait: Portrait, whole: schema.Portrait, rig: Rig) -> placement.Landmarks | None:
    from backend.server import serialization

    return None if whole.frame else placement.Landmarks.of_mesh(serialization.portrait_mesh(portrait, rig.face))


def shot_frame(
    rig: Rig, portrait: Portrait, whole: schema.Portrait, controls: schema.Controls, in_shot: InShot, passes: Sequence[str]
) -> SceneLinear:
    """Combined and passes of the camera's whole picture. Raises StyleRigError."""
    import numpy as np

    from backend.files.images import SceneLinear, scene_linear
    from backend.server import schema, serialization
    from backend.server.inference import render_frame

    camera = in_shot.camera.model_dump()
    where = shot.placed(whole.model_dump(), asked_of(whole, controls), in_shot.landmarks, camera)
    if where is None:
        return SceneLinear(shot.picture(None, {}, camera, passes))
    placed = serialization.controls_from_schema(schema.Controls(**where.controls), rig.face)
    frame = render_frame(rig, portrait, placed, where.size, shot.needed(passes))
    made = scene_linear(frame) | {"placement": np.array(frame.placement)}
    return SceneLinear(shot.picture(where, made, camera, passes))


def asked_of(whole: schema.Portrait, controls: schema.Controls) -> dict[str, Any]:
    """The controls, with what they leave to the portrait filled in where placing needs it."""
    own = whole.parameters.model_dump()
    light = own["light"] if controls.light is None else controls.light
    return controls.model_dump() | {"expression": own["expression"] | controls.expression, "light": light}
