"""Overscan: the scene renders more than its frame on every side, so that a lens' distortion finds pixels there.

Resolution and cameras' sensors grow together: in the middle is the frame as it was, pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy
from bpy.props import FloatProperty

from ..errors import UserError
from ..rig.animation import curves_of
from ..translations import tr_error
from .compositor_nodes import scene_tree
from .scene_view import fitted

CHANGED = ("sensor_width", "sensor_height", "shift_x", "shift_y", "ortho_scale")  # of a camera


def frame_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height of the frame without overscan, at full resolution."""
    across, up = scene.stylerig.overscan
    return scene.render.resolution_x - 2 * across, scene.render.resolution_y - 2 * up


def set_overscan(scene: bpy.types.Scene, share: float) -> None:
    """Render ``share`` of the frame's sides beyond each of its borders; 0 takes it back. Raises UserError."""
    lenses = {camera.data for camera in cameras_of(scene)}
    for lens in lenses:
        check_camera(lens)
    width, height = frame_size(scene)
    across, up = round(share * width), round(share * height)
    size = width + 2 * across, height + 2 * up
    for lens in lenses:
        widen(lens, scene.render, size)
    for one in (scene, *shown_in(scene)):
        one.stylerig.overscan = across, up
        one.render.resolution_x, one.render.resolution_y = size


def cameras_of(scene: bpy.types.Scene) -> Iterator[bpy.types.Object]:
    """The scene's camera and those that its markers change to."""
    found = (scene.camera, *(marker.camera for marker in scene.timeline_markers))
    yield from (camera for camera in found if camera is not None and camera.type == "CAMERA")


def shown_in(scene: bpy.types.Scene) -> Iterator[bpy.types.Scene]:
    """The scenes that the scene's compositor shows beside it."""
    tree = scene_tree(scene)
    nodes = tree.nodes if tree is not None else ()
    yield from {node.scene for node in nodes if node.bl_idname == "CompositorNodeRLayers"} - {scene, None}


def check_camera(lens: bpy.types.Camera) -> None:
    """Raise UserError for a camera whose sensor and shift are not ours to change."""
    animation = lens.animation_data
    curves = [*(curves_of(lens) or ()), *(animation.drivers if animation is not None else ())]
    if not lens.is_editable or any(curve.data_path in CHANGED for curve in curves):
        raise UserError(
            "fixed_camera",
            "The sensor and shift of the camera “{name}” cannot be changed: they are linked, keyed or driven.",
            "Remove these keys, or choose another camera.",
            name=lens.name,
        )


def widen(lens: bpy.types.Camera, render: bpy.types.RenderSettings, size: tuple[int, int]) -> None:
    """Let a camera see in a picture of this size what it saw, and as much more as the picture is larger."""
    aspect = render.pixel_aspect_x / render.pixel_aspect_y
    before = fitted(lens.sensor_fit, render.resolution_x * aspect, render.resolution_y)
    growth = fitted(lens.sensor_fit, size[0] * aspect, size[1]) / before
    lens.sensor_width, lens.sensor_height, lens.ortho_scale = (
        growth * value for value in (lens.sensor_width, lens.sensor_height, lens.ortho_scale)
    )
    lens.shift_x, lens.shift_y = lens.shift_x / growth, lens.shift_y / growth


class STYLERIG_OT_set_overscan(bpy.types.Operator):
    """Render more than the frame on every side, for a lens' distortion: resolution and the camera's sensor grow together"""

    bl_idname = "stylerig.set_overscan"
    bl_label = "Overscan"
    bl_options = {"REGISTER", "UNDO"}

    share: FloatProperty(
        name="Overscan", description="Share of the frame's width and height beyond each of its borders; 0 takes it back",
        default=0.05, min=0, max=0.5, subtype="FACTOR",
    )  # fmt: skip

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            set_overscan(context.scene, self.share)
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (STYLERIG_OT_set_overscan,)
