"""A scene camera that sees the rig as the portrait's camera does."""

from __future__ import annotations

import math

import bpy
import numpy as np

from ..errors import UserError
from ..protocol.camera import camera_of
from ..rig import conversions
from ..rig.read_rig import portrait_of, rigs_in

ALIGNED_HEAD = (0.0, -2.75, -14.0)  # cm, in the world of the portrait's camera: the mean head, aligned, from the front
CROP_SHARE = 0.86  # of the crop's side: its lower end, where the neck fades out, lies below the picture


def ensure_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """The scene's camera, else a new one: Blender renders nothing without.

    The new one sees a new rig at the world's origin about as its portrait shows it: the frame of
    the scene's first portrait fills the shorter side of the picture, and goes on below it.
    """
    if scene.camera is not None:
        return scene.camera
    data = bpy.data.cameras.new("Portrait Camera")
    render = scene.render
    data.sensor_fit = "VERTICAL" if render.resolution_x > render.resolution_y else "HORIZONTAL"
    data.sensor_height = data.sensor_width
    portrait = first_portrait(scene)
    seen_by = camera_of(portrait)
    data.angle = 2 * math.atan(CROP_SHARE / seen_by.focal)
    data.shift_y = 0.5 * (1 / CROP_SHARE - 1)  # the crop's upper border stays the picture's
    camera = bpy.data.objects.new(data.name, data)
    camera.location = conversions.points_model_to_blender(np.array((0, 0, seen_by.distance)) - head_position(portrait))
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)  # looks along +Y
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def first_portrait(scene: bpy.types.Scene) -> dict:
    """The portrait of the scene's first rig that holds one; empty without."""
    for rig in rigs_in(scene):
        try:
            return portrait_of(rig)
        except UserError:
            continue
    return {}


def head_position(portrait: dict) -> np.ndarray:
    """Where a head at rest stands (3,) before its portrait's camera, cm."""
    frame = portrait.get("frame")
    return -np.array(frame["center"]) if frame else np.array(ALIGNED_HEAD)
