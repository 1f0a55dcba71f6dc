"""A rig's frames as a rig file, which ``python -m backend render`` draws without Blender: on a farm, say."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..client import offsets
from ..errors import UserError
from ..protocol import placement, shot
from ..protocol.passes import PASSES
from ..rig.read_rig import active_rig, portrait_of, present_rig, read_controls
from ..translations import tr, tr_error
from . import shutter
from .engine import drawn_passes, no_camera
from .scene_view import head_matrices, picture_size, view_of_scene


def rig_file(context: bpy.types.Context, rig: bpy.types.Object) -> dict:
    """The scene's frames: aligned crops of its size, or with its placement In the Shot the camera's whole pictures. Raises UserError.

    Frame n of the file is the scene's n-th, whatever its number there is. With motion blur, also what is between.
    """
    scene = context.scene
    at = shot_at if scene.stylerig.placement == "SHOT" else crop_at
    times = shutter.offsets(scene)
    before = scene.frame_current, scene.frame_subframe
    try:
        numbers = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
        each = [at(number, context, rig) for number in numbers]
        between = [[at(number + time, context, rig) for time in times] for number in numbers if times]
        moving = "Vector" in each[0].output["passes"]
        around = [at(number, context, rig).sight for number in (numbers[0] - numbers.step, numbers[-1] + numbers.step)] if moving else None
    finally:
        scene.frame_set(before[0], subframe=before[1])
    content = {"portrait": offsets.whole(portrait_of(rig)), "frames": [one.controls for one in each], "output": each[0].output}
    if (said := shutter.settings(scene)) is not None:
        content["motion"] = motion(said, scene.frame_step, times, between)
    if each[0].view is None:
        return content
    return content | {"camera": shot.track(each[0].view, [one.sight for one in each]) | {"around": around}}


def motion(said: dict, step: int, times: list[float], between: list[list[FileFrame]]) -> dict:
    """What a rig file says of motion blur: the shutter as ``said``, and each frame's moments. Its times are in frames of the file."""
    moments = [
        [{"time": time / step, "controls": one.controls, "sight": one.sight} for time, one in zip(times, each, strict=True)]
        for each in between
    ]
    return said | {"shutter": said["shutter"] / step, "moments": moments}


@dataclass(frozen=True)
class FileFrame:
    """What a rig file has of a frame."""

    controls: dict
    output: dict
    view: placement.View | None = None
    sight: dict | None = None


def set_time(scene: bpy.types.Scene, time: float) -> None:
    """Go to a frame, or between two."""
    scene.frame_set(math.floor(time), subframe=time % 1)


def crop_at(time: float, context: bpy.types.Context, rig: bpy.types.Object) -> FileFrame:
    """A frame as the engine asks the backend for it."""
    set_time(context.scene, time)
    portrait, controls = read_controls(rig, context.evaluated_depsgraph_get())
    render = context.scene.render
    placed = placement.bare_crop(controls, picture_size(render), render.pixel_aspect_x / render.pixel_aspect_y, distance=0.0)
    return FileFrame(placed.controls, {"size": placed.size, "passes": drawn_passes(portrait, PASSES)})


def shot_at(time: float, context: bpy.types.Context, rig: bpy.types.Object) -> FileFrame:
    """A frame as the engine reads it, before the portrait is placed."""
    set_time(context.scene, time)
    depsgraph = context.evaluated_depsgraph_get()
    evaluated = rig.evaluated_get(depsgraph)
    portrait, controls = read_controls(rig, depsgraph, evaluated.matrix_world)
    if context.scene.camera is None:
        raise no_camera()
    view = view_of_scene(context.scene, depsgraph)
    sight = shot.sight(view, head_matrices(evaluated, evaluated.matrix_world, depsgraph))
    of_shot = ("HeadDepth", "Vector") if any(layer.use_pass_vector for layer in context.scene.view_layers) else ("HeadDepth",)
    return FileFrame(controls, {"size": None, "passes": drawn_passes(portrait, PASSES) + of_shot}, view, sight)


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
    """Write this portrait's animation to a file from which farms render it without Blender, placed as the scene says"""

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
