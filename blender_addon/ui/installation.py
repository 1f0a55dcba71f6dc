"""The backend's environment in the preferences: its state, the button that makes it, what became of it."""

from __future__ import annotations

import bpy

from ..client import backend_manager
from ..errors import UserError
from ..install import environment
from ..install.requirements import Requirements
from ..live import controller
from ..translations import tr, tr_error
from ..windows import redraw
from .status import draw_log, draw_wrapped

POLL_SECONDS = 0.25  # between two drawings of the progress
STATES = {  # state -> (text, icon, what the button says)
    "absent": ("The environment is not made yet", "INFO", "Make Environment"),
    "half made": ("The environment is half made", "ERROR", "Resume"),
    "outdated": ("The environment is of another version", "ERROR", "Update Environment"),
    "ready": ("The environment is ready", "CHECKMARK", "Check and Repair"),
}


class STYLERIG_OT_make_environment(bpy.types.Operator):
    """Make the Python environment that the backend runs in, in the extension's own folder. Blender's Python is left alone"""

    bl_idname = "stylerig.make_environment"
    bl_label = "Make Environment"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if backend_manager.ENVIRONMENT.busy:
            cls.poll_message_set("It is being made")
            return False
        return True

    def invoke(self, _context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        begin()
        if not bpy.app.timers.is_registered(watch):
            bpy.app.timers.register(watch, first_interval=POLL_SECONDS)
        return {"FINISHED"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        begin()
        try:
            backend_manager.ENVIRONMENT.wait()
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        if backend_manager.ENVIRONMENT.warning:
            self.report({"WARNING"}, backend_manager.ENVIRONMENT.warning)
        return {"FINISHED"}


def begin() -> None:
    """Start making; a backend that runs would hold files of the environment."""
    controller.VIEW.stop()
    backend_manager.BACKEND.stop()
    backend_manager.ENVIRONMENT.start(backend_manager.environment_spec())


class STYLERIG_OT_cancel_environment(bpy.types.Operator):
    """Stop making the environment; what is there is kept, so that it can go on later"""

    bl_idname = "stylerig.cancel_environment"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if not backend_manager.ENVIRONMENT.busy:
            cls.poll_message_set("Nothing is being made")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        backend_manager.ENVIRONMENT.cancel()
        return {"FINISHED"}


class STYLERIG_OT_remove_environment(bpy.types.Operator):
    """Remove the backend's environment from the extension's folder"""

    bl_idname = "stylerig.remove_environment"
    bl_label = "Remove Environment"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if backend_manager.ENVIRONMENT.busy:
            cls.poll_message_set("It is being made: cancel that first")
        elif not backend_manager.environment_folder().exists():
            cls.poll_message_set("There is no environment")
        else:
            return True
        return False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        controller.VIEW.stop()
        backend_manager.BACKEND.stop()
        try:
            environment.remove(backend_manager.environment_folder())
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        return {"FINISHED"}


def watch() -> float | None:
    """The timer: draw the progress until the attempt has ended."""
    redraw("PREFERENCES")
    redraw("VIEW_3D")
    return POLL_SECONDS if backend_manager.ENVIRONMENT.busy else None


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, preferences: bpy.types.AddonPreferences) -> None:
    """The part of the preferences about the environment."""
    box = layout.box()
    if backend_manager.ENVIRONMENT.busy:
        draw_progress(box)
        return
    if backend_manager.chosen_python() is not None:
        box.label(text=tr("The backend uses {path}", path=backend_manager.chosen_python()), translate=False, icon="CONSOLE")
        return
    state = environment.state(backend_manager.environment_folder(), Requirements(backend_manager.payload_folder()))
    text, icon, action = STATES[state]
    box.label(text=text, icon=icon)
    if state == "ready":
        made = environment.read_marker(backend_manager.environment_folder())
        words = tr("Python {version}, {torch}", version=made.get("python", "?"), torch=made.get("torch", ""))
        box.label(text=words, translate=False, icon="BLANK1")
    draw_outcome(box, context)
    column = box.column()
    column.prop(preferences, "device", expand=True)
    column.prop(preferences, "base_python")
    column.prop(preferences, "wheels")
    if not backend_manager.may_install():
        box.label(text="Blender is offline: allow online access, or choose a folder of wheels", icon="INTERNET_OFFLINE")
        if not bpy.app.online_access_override:
            box.prop(context.preferences.system, "use_online_access")
    row = box.row()
    row.operator("stylerig.make_environment", text=action, icon="IMPORT")
    row.operator("stylerig.remove_environment", text="Remove", icon="TRASH")
    draw_log(row, backend_manager.environment_log())


def draw_progress(box: bpy.types.UILayout) -> None:
    installer = backend_manager.ENVIRONMENT
    minutes, seconds = divmod(int(installer.elapsed), 60)
    box.progress(factor=installer.progress.fraction, text=f"{tr(installer.progress.step)}  {minutes}:{seconds:02}")
    row = box.row()
    row.label(text=installer.progress.detail.translated(tr), translate=False)
    row.operator("stylerig.cancel_environment", icon="CANCEL")
    draw_log(row, backend_manager.environment_log())


def draw_outcome(box: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What became of the last attempt, where it was not plain success."""
    installer = backend_manager.ENVIRONMENT
    if installer.error is not None:
        draw_wrapped(box, context, tr_error(installer.error), "ERROR")
    elif installer.cancelled:
        box.label(text="Cancelled", icon="INFO")
    elif installer.warning:
        draw_wrapped(box, context, installer.warning, "ERROR")


CLASSES = (STYLERIG_OT_make_environment, STYLERIG_OT_cancel_environment, STYLERIG_OT_remove_environment)


def unregister() -> None:
    if bpy.app.timers.is_registered(watch):
        bpy.app.timers.unregister(watch)
