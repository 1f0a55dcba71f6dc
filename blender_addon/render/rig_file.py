"""A rig's frames as a rig file, which ``python -m backend render`` draws without Blender: on a farm, say."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..errors import UserError
from ..rig.read_rig import active_rig, present_rig, read_controls
from ..translations import tr, tr_error
from . import placement
from .engine import Head
from .passes import PASSES


def rig_file(context: bpy.types.Context, rig: bpy.types.Object) -> dict:
    """The scene's frames as aligned crops of its size, as the engine asks the backend for them. Raises UserError.

    Frame n of the file is the scene's n-th, whatever its number there is.
    """
    scene = context.scene
    before = scene.frame_current, scene.frame_subframe
    try:
        requests = [request_at(number, context, rig) for number in range(scene.frame_start, scene.frame_end + 1, scene.frame_step)]
    finally:
        scene.frame_set(before[0], subframe=before[1])
    portrait, _, size, passes = requests[0]
    return {"portrait": portrait, "frames": [controls for _, controls, _, _ in requests], "output": {"size": size, "passes": passes}}


def request_at(number: int, context: bpy.types.Context, rig: bpy.types.Object) -> tuple:
    """Portrait, controls, size and passes of a frame."""
    context.scene.frame_set(number)
    portrait, controls = read_controls(rig, context.evaluated_depsgraph_get())
    render = context.scene.render
    width, height = (pixels * render.resolution_percentage // 100 for pixels in (render.resolution_x, render.resolution_y))
    placed = placement.bare_crop(controls, (width, height), render.pixel_aspect_x / render.pixel_aspect_y, distance=0.0)
    return Head(rig.name, 0, portrait, placed).request(PASSES)


def save(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as own:  # a name that nobody can foresee, nor write into
            temporary = Path(own) / "rig.json"
            temporary.write_text(json.dumps(content), encoding="utf-8")
            os.replace(temporary, path)
    except OSError as error:
        raise UserError("not_writable", "The rig file cannot be written to {path}.", "Choose another folder.", path=path) from error


class STYLERIG_OT_export_rig_file(bpy.types.Operator):
    """Write this portrait's animation to a file from which farms render it without Blender, as aligned crops"""

    bl_idname = "stylerig.export_rig_file"
    bl_label = "Export Rig File"

    filepath: StringProperty(name="File", description="The rig file to write", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if active_rig(context) is None:
            cls.poll_message_set("Select a portrait's rig")
        return active_rig(context) is not None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.filepath = self.filepath or f"{present_rig(context).name}.json"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            content = rig_file(context, present_rig(context))
            path = Path(bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".json"))
            save(path, content)
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        self.report({"INFO"}, tr("{count} frames written to {path}", count=len(content["frames"]), path=path))
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_export_rig_file,)
