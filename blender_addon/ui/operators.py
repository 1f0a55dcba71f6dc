"""Operators of the panel: portraits, the live view, the backend, the rig's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import FloatProperty, IntProperty

from ..link import live, session
from ..link.client import BackendError
from ..link.process import LaunchSettings
from ..link.tasks import Task
from ..rig import conversions
from ..rig.build import build_rig, set_light
from ..rig.controls import HEAD_BONE, RigError, active_rig, head_of, portrait_of

LOOK_SECONDS = 0.05  # how often a waiting operator looks whether its work is done


class BackgroundOperator:
    """An operator whose slow part runs in a thread when a person starts it, and here when a script does.

    ``work()`` (main thread) returns the function for the thread, which touches nothing of Blender;
    ``finish(context, value)`` (main thread) uses what it returned.
    """

    waiting = ""  # for the status bar

    def work(self) -> Callable[[], Any]:
        raise AssertionError("each operator has its own")

    def finish(self, context: bpy.types.Context, value: Any) -> set[str]:
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self._task = Task(self.work())
        manager = context.window_manager
        self._timer = manager.event_timer_add(LOOK_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        context.workspace.status_text_set(f"{self.waiting}   (Esc: do not wait)")
        live.redraw("VIEW_3D")
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self.cancel(context)
            return {"CANCELLED"}
        if event.type != "TIMER" or not self._task.done:
            return {"PASS_THROUGH"}
        self.cancel(context)
        return self.conclude(context, self._task)

    def cancel(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        live.redraw("VIEW_3D")
        live.redraw("PREFERENCES")

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.conclude(context, Task(self.work()))

    def conclude(self, context: bpy.types.Context, task: Task) -> set[str]:
        try:
            return self.finish(context, task.result())
        except (BackendError, RigError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}


class STYLERIG_OT_new_portrait(BackgroundOperator, bpy.types.Operator):
    """Draw a new face from a number and build its rig"""

    bl_idname = "stylerig.new_portrait"
    bl_label = "New Portrait"
    bl_options = {"REGISTER", "UNDO"}
    waiting = "Drawing a portrait…"

    seed: IntProperty(name="Seed", description="The same number is the same face, on every computer", default=7, min=0)
    truncation: FloatProperty(
        name="Truncation",
        description="How far from the average face: low is plain, high is varied",
        default=0.7, min=0, max=1, subtype="FACTOR",
    )  # fmt: skip

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode first")
            return False
        return True

    def work(self) -> Callable[[], Any]:
        settings, seed, truncation = session.launch_settings(), self.seed, self.truncation

        def fetch() -> tuple[dict, dict]:
            client = session.BACKEND.client(settings)
            portrait = client.new_portrait(seed, truncation)
            return portrait, client.mesh(portrait)

        return fetch

    def finish(self, context: bpy.types.Context, value: tuple[dict, dict]) -> set[str]:
        if context.mode != "OBJECT":
            self.report({"ERROR"}, "The rig was not built: switch to Object Mode and try again")
            return {"CANCELLED"}
        rig = build_rig(context, *value)
        self.report({"INFO"}, f"Built {rig.name}")
        return {"FINISHED"}


class STYLERIG_OT_start_backend(BackgroundOperator, bpy.types.Operator):
    """Start the process that draws portraits"""

    bl_idname = "stylerig.start_backend"
    bl_label = "Start Backend"
    waiting = "Starting the backend…"

    def work(self) -> Callable[[], Any]:
        settings: LaunchSettings = session.launch_settings()
        return lambda: session.BACKEND.client(settings).health()

    def finish(self, _context: bpy.types.Context, value: dict) -> set[str]:
        problem = value.get("problem")
        if problem:
            self.report({"WARNING"}, f"{problem['message']} {problem['hint']}")
            return {"FINISHED"}
        self.report({"INFO"}, f"The backend runs on {value.get('device', 'this computer')}")
        return {"FINISHED"}


class STYLERIG_OT_stop_backend(BackgroundOperator, bpy.types.Operator):
    """Stop the process that draws portraits, and the live view with it"""

    bl_idname = "stylerig.stop_backend"
    bl_label = "Stop Backend"
    waiting = "Stopping the backend…"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if not (session.BACKEND.running or session.BACKEND.starting):
            cls.poll_message_set("The backend is not running")
            return False
        return True

    def work(self) -> Callable[[], Any]:
        live.VIEW.stop()  # else the next edit would start the backend again
        return session.BACKEND.stop


class STYLERIG_OT_live_view(bpy.types.Operator):
    """Show the active rig's portrait in an Image Editor and follow every change, or stop doing so"""

    bl_idname = "stylerig.live_view"
    bl_label = "Live View"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not live.VIEW.running and active_rig(context) is None:
            cls.poll_message_set("Select a portrait's rig, or make a new portrait")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if live.VIEW.running:
            live.VIEW.stop()
            return {"FINISHED"}
        unknown = 16  # pixels; the first picture brings its own size
        show_in_editor(context, live.live_image(unknown, unknown))
        live.VIEW.start()
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


class RigOperator:
    """An operator on the active rig that can be undone."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = active_rig(context)
        if rig is None:
            cls.poll_message_set("Select a portrait's rig")
        elif not rig.is_editable:
            cls.poll_message_set("The rig is linked: make a library override of it first")
        return rig is not None and rig.is_editable

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = active_rig(context)
        try:
            self.change(rig, portrait_of(rig)["parameters"])
        except RigError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class STYLERIG_OT_neutral_expression(RigOperator, bpy.types.Operator):
    """Set all expressions to zero"""

    bl_idname = "stylerig.neutral_expression"
    bl_label = "Neutral"

    def change(self, rig: bpy.types.Object, parameters: dict) -> None:
        set_expression(rig, dict.fromkeys(parameters["expression"], 0.0))


class STYLERIG_OT_reset_rig(RigOperator, bpy.types.Operator):
    """Set expression, head and light to what was read from the portrait"""

    bl_idname = "stylerig.reset_rig"
    bl_label = "As Portrait"

    def change(self, rig: bpy.types.Object, parameters: dict) -> None:
        set_expression(rig, parameters["expression"])
        set_light(rig, parameters["light"])
        for bone in rig.pose.bones:
            bone.matrix_basis.identity()
        head = rig.pose.bones.get(HEAD_BONE)
        if head is not None:
            head.rotation_euler = conversions.rotation_model_to_bone(parameters["rotation"])


def set_expression(rig: bpy.types.Object, values: dict[str, float]) -> None:
    """Shape keys by name; names that the mesh does not have are left out."""
    head = head_of(rig)
    keys = head.data.shape_keys if head else None
    if keys is None:
        raise RigError("no_head", "The rig's head has no shape keys any more.", "Undo its removal, or make a new portrait.")
    for name, value in values.items():
        if name in keys.key_blocks:
            keys.key_blocks[name].value = min(max(value, 0.0), 1.0)


CLASSES = (
    STYLERIG_OT_new_portrait,
    STYLERIG_OT_start_backend,
    STYLERIG_OT_stop_backend,
    STYLERIG_OT_live_view,
    STYLERIG_OT_neutral_expression,
    STYLERIG_OT_reset_rig,
)
