"""What of a scene decides where a portrait goes: its camera, and where the rig's head is."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import UserError
from ..protocol import conversions
from ..protocol.placement import View
from ..rig.bones import HEAD_BONE
from ..rig.read_rig import bone_motion, head_of
from ..rig.scene_light import axes_of


def view_of(camera: bpy.types.Object, matrix: Matrix, shift: float, depsgraph: bpy.types.Depsgraph, width: int, height: int) -> View:
    """What an evaluated camera sees that stands at ``matrix`` (4, 4) with the lens shifted by ``shift`` sideways, as an eye's
    may be. Raises UserError for one that has no flat picture.
    """
    if camera.type != "CAMERA" or camera.data.type not in {"PERSP", "ORTHO"}:
        raise UserError(
            "bad_camera",
            "A portrait can only be placed for a perspective or an orthographic camera.",
            "Change the camera's type, or choose the placement Aligned Crop.",
        )
    render = depsgraph.scene.render
    scales = {"scale_x": render.pixel_aspect_x, "scale_y": render.pixel_aspect_y}
    projection = np.array(camera.calc_matrix_camera(depsgraph, x=width, y=height, **scales))
    aspect = render.pixel_aspect_x / render.pixel_aspect_y
    shifted = 2 * (shift - camera.data.shift_x) * fitted(camera.data.sensor_fit, width * aspect, height) / (width * aspect)
    perspective = projection[3, 3] == 0
    projection[0, 2 if perspective else 3] += shifted if perspective else -shifted
    to_camera = Matrix(matrix).normalized().inverted_safe()  # a camera's scale changes nothing
    return View(np.array(to_camera), projection, width, height, aspect, camera.data.clip_start)


def view_of_scene(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> View:
    """What the scene's camera, which it must have, sees in the whole picture. Raises UserError."""
    camera = scene.camera.evaluated_get(depsgraph)
    return view_of(camera, camera.matrix_world, getattr(camera.data, "shift_x", 0.0), depsgraph, *picture_size(scene.render))


def picture_size(render: bpy.types.RenderSettings) -> tuple[int, int]:
    """Width and height in pixels."""
    share = render.resolution_percentage
    return render.resolution_x * share // 100, render.resolution_y * share // 100


def fitted(sensor_fit: str, width: float, height: float) -> float:
    """The side of a picture that a camera's sensor is as wide as."""
    return height if sensor_fit == "VERTICAL" or (sensor_fit == "AUTO" and height > width) else width


def head_matrices(rig: bpy.types.Object, matrix: Matrix, depsgraph: bpy.types.Depsgraph) -> tuple[np.ndarray, np.ndarray]:
    """(4, 4) from the head's model space (cm) to the world, and (3, 3) the rig's axes, of an evaluated rig at ``matrix``.

    Raises UserError.
    """
    motion = bone_motion(rig, HEAD_BONE)
    if motion is None:
        raise UserError("no_head_bone", "The armature has no bone named “{name}”.", "Name it so again, or undo.", name=HEAD_BONE)
    head = head_of(rig)
    offset = rig.matrix_world.inverted_safe() @ head.evaluated_get(depsgraph).matrix_world if head else None
    to_world = matrix @ motion @ offset if head else matrix @ motion
    return np.array(to_world) @ conversions.MODEL_TO_BLENDER, axes_of(matrix)
