"""Operators for the backend and the live view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from ..client import backend_manager
from ..client.backend_messages import backend_error
from ..client.process import LaunchSettings
from ..live import controller
from ..live import image as live_image
from ..operators import AsyncOperator
from ..rig.read_rig import active_rig
from ..translations import tr, tr_error


class STYLERIG_OT_start_backend(AsyncOperator, bpy.types.Operator):
    """Start the process that draws portraits"""

    bl_idname = "stylerig.start_backend"
    bl_label = "Start Backend"
    waiting = "Starting the backend…"

    def work(self) -> Callable[[], Any]:
        settings: LaunchSettings = backend_manager.launch_settings()
        return lambda: backend_manager.BACKEND.client(settings).health()

    def finish(self, _context: bpy.types.Context, value: dict) -> set[str]:
        problem = value.get("problem")
        if problem:
            self.report({"WARNING"}, tr_error(backend_error(problem)))
            return {"FINISHED"}
        self.report({"INFO"}, tr("The backend runs on {device}", device=value.get("device", "?")))
        return {"FINISHED"}


class STYLERIG_OT_stop_backend(AsyncOperator, bpy.types.Operator):
    """Stop the process that draws portraits, and the live view with it"""

    bl_idname = "stylerig.stop_backend"
    bl_label = "Stop Backend"
    waiting = "Stopping the backend…"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if not (backend_manager.BACKEND.running or backend_manager.BACKEND.starting):
            cls.poll_message_set("The backend is not running")
            return False
        return True

    def work(self) -> Callable[[], Any]:
        controller.VIEW.stop()  # else the next edit would start the backend again
        return backend_manager.BACKEND.stop


class STYLERIG_OT_live_view(bpy.types.Operator):
    """Show the active rig's portrait in an Image Editor and follow every change, or stop doing so"""

    bl_idname = "stylerig.live_view"
    bl_label = "Live View"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not controller.VIEW.running and active_rig(context) is None:
            cls.poll_message_set("Select a portrait's rig, or make a new portrait")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if controller.VIEW.running:
            controller.VIEW.stop()
            return {"FINISHED"}
        unknown = 16  # pixels; the first picture brings its own size
        show_in_editor(context, live_image.live_image(unknown, unknown))
        controller.VIEW.start()
        return {"FINISHED"}


def show_in_editor(context: bpy.types.Context, image: bpy.types.Image) -> None:
    """Show the image in an Image Editor of the window; splits the largest 3D view when there is none."""
    if context.window is None:
        return
    areas = context.window.screen.areas
    editor = next((area for area in areas if area.type == "IMAGE_EDITOR"), None)
    if editor is None:
        views = [area for area in areas if area.type == "VIEW_3D"]
        if not views:
            return
        largest = max(views, key=lambda area: area.width * area.height)
        before = set(areas)
        with context.temp_override(area=largest, region=largest.regions[-1]):
            bpy.ops.screen.area_split(direction="VERTICAL", factor=0.5)
        editor = next(area for area in areas if area not in before)
        editor.type = "IMAGE_EDITOR"
    editor.spaces.active.image = image


CLASSES = (
    STYLERIG_OT_start_backend,
    STYLERIG_OT_stop_backend,
    STYLERIG_OT_live_view,
)
