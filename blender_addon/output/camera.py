"""A scene camera that sees the rig as the portrait's camera does."""

from __future__ import annotations

import math

import bpy

from ..rig import conversions


def ensure_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """The scene's camera, else a new one: Blender renders nothing without.

    The new one stands before the world's origin, where a new rig turns its head, with the
    distance and the field of view of the portrait's camera on the shorter side of the picture.
    """
    if scene.camera is not None:
        return scene.camera
    data = bpy.data.cameras.new("Portrait Camera")
    render = scene.render
    data.sensor_fit = "VERTICAL" if render.resolution_x > render.resolution_y else "HORIZONTAL"
    data.sensor_height = data.sensor_width
    data.angle = 2 * math.atan(0.5 * conversions.FRAME_WIDTH / conversions.CAMERA_DISTANCE)
    camera = bpy.data.objects.new(data.name, data)
    camera.location = conversions.points_model_to_blender((0.0, 0.0, conversions.CAMERA_DISTANCE))
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)  # looks along +Y
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera
