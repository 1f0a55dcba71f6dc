"""What a render farm asks before a render and after it: whether this Blender can draw the scene's portraits, and did."""

from __future__ import annotations

import bpy

from ..client.backend_manager import backend_client
from ..client.http_client import BackendError
from ..translations import told
from . import sequence
from .engine import check_portraits
from .errors import OutputError


def check(scene: bpy.types.Scene) -> None:
    """Raise OutputError or BackendError unless the scene can be rendered here, and no render has failed."""
    if sequence.PROBLEMS:
        raise OutputError("A render failed: {problem}", problem=sequence.PROBLEMS[0])
    if scene.render.engine != "STYLERIG":
        raise OutputError(
            "The scene “{scene}” is rendered by {engine}, not by StyleRig.", "Choose StyleRig as its render engine.",
            scene=scene.name, engine=scene.render.engine,
        )  # fmt: skip
    check_portraits(scene)
    sequence.check_output(scene, animation=True)
    problem = backend_client().health().get("problem")
    if problem:
        raise BackendError(problem["code"], problem["message"], problem["hint"])


class STYLERIG_OT_check_render(bpy.types.Operator):
    """Tell whether this Blender can render the scene's portraits, and whether one has failed"""

    bl_idname = "stylerig.check_render"
    bl_label = "Check Render"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            check(context.scene)
        except (BackendError, OutputError) as error:
            self.report({"ERROR"}, told(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_check_render,)
