"""What a render farm asks before a render and after it: whether this Blender can draw the scene's portraits, and did."""

from __future__ import annotations

import bpy

from ..client.backend_manager import backend_client
from ..client.backend_messages import backend_error
from ..errors import UserError
from ..translations import tr_error
from . import sequence
from .engine import check_portraits


def check(scene: bpy.types.Scene) -> None:
    """Raise UserError unless the scene can be rendered here, and no render has failed."""
    if sequence.RENDER_ERRORS:
        raise UserError("render_failed", "A render failed: {problem}", problem=sequence.RENDER_ERRORS[0])
    check_scene(scene)
    sequence.check_output(scene, animation=True)
    problem = backend_client().health().get("problem")
    if problem:
        raise backend_error(problem)


def check_scene(scene: bpy.types.Scene) -> None:
    """Raise UserError unless the scene is one that this extension renders."""
    if scene.render.engine != "STYLERIG":
        raise UserError(
            "other_engine",
            "The scene “{scene}” is rendered by {engine}, not by StyleRig.", "Choose StyleRig as its render engine.",
            scene=scene.name, engine=scene.render.engine,
        )  # fmt: skip
    check_portraits(scene)


class STYLERIG_OT_check_render(bpy.types.Operator):
    """Tell whether this Blender can render the scene's portraits, and whether one has failed"""

    bl_idname = "stylerig.check_render"
    bl_label = "Check Render"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            check(context.scene)
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_check_render,)
