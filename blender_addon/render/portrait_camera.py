"""A scene camera that sees the rig as the portrait's camera does, and the operator that offers one."""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import UserError
from ..protocol import conversions
from ..protocol.camera import camera_of
from ..rig.read_rig import active_rig, portrait_of, present_rig, rigs_in
from ..translations import tr, tr_error

ALIGNED_HEAD = (0.0, -2.75, -14.0)  # cm, in the world of the portrait's camera: the mean head, aligned, from the front
ENGINE = "STYLERIG"
STARTUP_CAMERA = (7.3589, -6.9258, 4.9583)  # where Blender's own startup file has it: nobody has placed it yet
CROP_SHARE = 0.86  # of the crop's side: its lower end, where the neck fades out, lies below the picture


def ensure_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """The scene's camera, else a new one: Blender renders nothing without.

    The new one sees the scene's first rig at rest about as its portrait shows it: the frame fills the
    shorter side of the picture, and goes on below it. Without a rig it looks at the world's origin.
    """
    if scene.camera is not None:
        return scene.camera
    rig, portrait = first_portrait(scene)
    camera = add_camera(scene, portrait)
    if rig is not None:
        stand_before(camera, rig)
    return camera


def add_camera(scene: bpy.types.Scene, portrait: dict) -> bpy.types.Object:
    """A new camera before the world's origin, the scene's from now on; the one before stays in the scene."""
    data = bpy.data.cameras.new("Portrait Camera")
    render = scene.render
    data.sensor_fit = "VERTICAL" if render.resolution_x > render.resolution_y else "HORIZONTAL"
    data.sensor_height = data.sensor_width
    seen_by = camera_of(portrait)
    data.angle = 2 * math.atan(CROP_SHARE / seen_by.focal)
    data.shift_y = 0.5 * (1 / CROP_SHARE - 1)  # the crop's upper border stays the picture's
    camera = bpy.data.objects.new(data.name, data)
    camera.location = conversions.points_model_to_blender(np.array((0, 0, seen_by.distance)) - head_position(portrait))
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)  # looks along +Y
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def stand_before(camera: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Move a camera that looks at the world's origin to where it sees the rig so."""
    stand = Matrix.LocRotScale(*rig.matrix_world.decompose()[:2], None)
    camera.matrix_world = stand @ Matrix.LocRotScale(camera.location, camera.rotation_euler, None)


def first_portrait(scene: bpy.types.Scene) -> tuple[bpy.types.Object | None, dict]:
    """The scene's first rig that holds a portrait, and that; None and an empty one without."""
    for rig in rigs_in(scene):
        try:
            return rig, portrait_of(rig)
        except UserError:
            continue
    return None, {}


def head_position(portrait: dict) -> np.ndarray:
    """Where a head at rest stands (3,) before its portrait's camera, cm."""
    frame = portrait.get("frame")
    return -np.array(frame["center"]) if frame else np.array(ALIGNED_HEAD)


def needs_camera(scene: bpy.types.Scene) -> bool:
    """Whether nobody has placed a camera in the scene yet: there is none, or that of Blender's startup file."""
    camera = scene.camera
    return camera is None or (camera.matrix_world.translation - Matrix.Translation(STARTUP_CAMERA).translation).length < 1e-3


def show_in_render(scene: bpy.types.Scene, rig: bpy.types.Object) -> bpy.types.Object:
    """A camera that frames the rig's head where the rig stands, and StyleRig's engine: F12 then shows the portrait."""
    camera = add_camera(scene, portrait_of(rig))
    stand_before(camera, rig)
    scene.render.engine = ENGINE
    return camera


class STYLERIG_OT_portrait_camera(bpy.types.Operator):
    """Add a camera that frames the active portrait, make it the scene's, and render with StyleRig"""

    bl_idname = "stylerig.portrait_camera"
    bl_label = "Add Portrait Camera"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if active_rig(context) is None:
            cls.poll_message_set("Select a portrait's rig")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            camera = show_in_render(context.scene, present_rig(context))
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        self.report({"INFO"}, tr("{name} is the scene's camera: F12 renders the portrait", name=camera.name))
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_portrait_camera,)
