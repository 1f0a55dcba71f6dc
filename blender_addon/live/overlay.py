"""The live portrait over the 3D views: in a corner, or where the head stands.

A view's draw handler writes into the view's overlay buffer. Blender lays that over the picture as light
raised to 2.2 (sRGB is only close to that), so the shader brings the portrait's sRGB values into that
form; the view's own transform, AgX or another, does not touch them. They look as in an Image Editor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Matrix, Vector

from ..protocol.camera import PortraitCamera
from ..protocol.conversions import CENTIMETRES_PER_METRE
from ..rig.bones import HEAD_BONE
from ..settings import preferences, setting
from ..windows import redraw
from . import controller
from .image import IMAGE

if TYPE_CHECKING:
    import gpu

MARGIN = 12  # pixels between the portrait and the view's edge, before the interface's scale
MIN_FACING_COSINE = 0.5  # cosine of the angle between view and face, up to which the portrait lies over the head
View = bpy.types.SpaceView3D
EDGE_REGIONS = {"TOOLS", "UI", "HEADER", "TOOL_HEADER", "ASSET_SHELF", "ASSET_SHELF_HEADER"}
CORNERS = ((-1, -1), (1, -1), (-1, 1), (1, 1))  # of a triangle strip
VERTEX = """
void main()
{
  place = texCoord;
  gl_Position = ModelViewProjectionMatrix * vec4(pos, 0.0, 1.0);
}
"""
FRAGMENT = """
void main()
{
  vec2 rim = 0.5 / vec2(textureSize(image, 0));  /* beyond it, the texture begins again at the other side */
  vec4 portrait = texture(image, clamp(place, rim, 1.0 - rim));
  vec3 light = clamp(portrait.rgb / max(portrait.a, 1e-4), 0.0, 1.0);
  vec3 curve = 1.055 * pow(max(light, vec3(0.0031308)), vec3(1.0 / 2.4)) - 0.055;
  vec3 srgb = mix(12.92 * light, curve, step(vec3(0.0031308), light));
  float alpha = portrait.a * opacity;
  colour = vec4(pow(srgb, vec3(2.2)) * alpha, alpha);
}
"""


class Overlay:
    """The draw handler of all 3D views and its shader; both are there only while the live view runs."""

    def __init__(self) -> None:
        self._handle: object | None = None
        self._shader = None  # made at the first drawing: before, there may be no graphics

    @property
    def shown(self) -> bool:
        return self._handle is not None

    def follow(self) -> None:
        """Appear, disappear or be drawn again, as the live view and the settings ask for."""
        wanted = controller.VIEW.running and controller.has_window() and setting("overlay")
        if wanted and not self.shown:
            self._handle = View.draw_handler_add(self.draw, (), "WINDOW", "POST_PIXEL")
        elif self.shown and not wanted:
            self.remove()
        elif not self.shown:
            return
        redraw("VIEW_3D", "WINDOW")

    def remove(self) -> None:
        if self.shown:
            View.draw_handler_remove(self._handle, "WINDOW")
        self._handle = self._shader = None

    def draw(self) -> None:
        """Draw into the view at hand; called by Blender."""
        import gpu

        image, context = bpy.data.images.get(IMAGE), bpy.context
        if image is None or controller.VIEW.picture is None or not context.space_data.overlay.show_overlays:
            return
        if self._shader is None:
            self._shader = make_shader()
        # Blender keeps this texture with the image and uploads new pixels once for all views.
        texture = gpu.texture.from_image(image)
        draw_quad(self._shader, texture, portrait_corners(context), setting("overlay_opacity"))


OVERLAY = Overlay()


def make_shader() -> gpu.types.GPUShader:
    import gpu

    info, between = gpu.types.GPUShaderCreateInfo(), gpu.types.GPUStageInterfaceInfo("stylerig_overlay")
    between.smooth("VEC2", "place")
    info.vertex_in(0, "VEC2", "pos")
    info.vertex_in(1, "VEC2", "texCoord")
    info.vertex_out(between)
    info.push_constant("MAT4", "ModelViewProjectionMatrix")
    info.push_constant("FLOAT", "opacity")
    info.sampler(0, "FLOAT_2D", "image")
    info.fragment_out(0, "VEC4", "colour")
    info.vertex_source(VERTEX)
    info.fragment_source(FRAGMENT)
    return gpu.shader.create_from_info(info)


def draw_quad(shader: gpu.types.GPUShader, texture: gpu.types.GPUTexture, corners: np.ndarray, opacity: float) -> None:
    """A texture with premultiplied alpha between four corners (4, 2) in pixels, ordered as CORNERS."""
    import gpu
    from gpu_extras.batch import batch_for_shader

    uv = [(0.5 + 0.5 * x, 0.5 + 0.5 * y) for x, y in CORNERS]
    batch = batch_for_shader(shader, "TRI_STRIP", {"pos": corners.tolist(), "texCoord": uv})
    blend = gpu.state.blend_get()
    gpu.state.blend_set("ALPHA_PREMULT")
    shader.bind()
    shader.uniform_float("ModelViewProjectionMatrix", gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix())
    shader.uniform_float("opacity", opacity)
    shader.uniform_sampler("image", texture)
    batch.draw(shader)
    gpu.state.blend_set(blend)


def portrait_corners(context: bpy.types.Context) -> np.ndarray:
    """Where the portrait goes in the view at hand, (4, 2) in pixels of its region, ordered as CORNERS."""
    place = setting("overlay_place")
    view = controller.VIEW
    if place == "HEAD" and view.rig is not None and view.picture is not None:
        found = head_corners(view.rig, view.picture, context.region, context.region_data)
        if found is not None:
            return found
    margin = MARGIN * context.preferences.system.ui_scale
    size = (context.region.width, context.region.height)
    return corner_square(size, covered(context.area, context.region), place, setting("overlay_size"), margin)


def corner_square(size: tuple[int, int], edges: tuple[int, int, int, int], place: str, part: float, margin: float) -> np.ndarray:
    """A square in a corner of a region of ``size``; ``edges``: what is covered at left, right, bottom, top."""
    left, right, bottom, top = (edge + margin for edge in edges)
    free = (max(size[0] - left - right, 1), max(size[1] - bottom - top, 1))
    half = 0.5 * min(part * min(size), *free)
    x = left + half if place.endswith("LEFT") else size[0] - right - half
    y = size[1] - top - half if place.startswith("TOP") else bottom + half
    return np.array((x, y)) + half * np.array(CORNERS)


def covered(area: bpy.types.Area, window: bpy.types.Region) -> tuple[int, int, int, int]:
    """Pixels of a view's main region that its other regions lie over: left, right, bottom, top."""
    edges = {"LEFT": 0, "RIGHT": 0, "BOTTOM": 0, "TOP": 0}
    for region in area.regions:
        if region.type in EDGE_REGIONS and region.alignment in edges:
            edges[region.alignment] += overlap(window, region)
    return edges["LEFT"], edges["RIGHT"], edges["BOTTOM"], edges["TOP"]


def overlap(window: bpy.types.Region, region: bpy.types.Region) -> int:
    """How far a region at an edge reaches into the main region."""
    across = min(window.x + window.width, region.x + region.width) - max(window.x, region.x)
    along = min(window.y + window.height, region.y + region.height) - max(window.y, region.y)
    if min(across, along, region.width - 1, region.height - 1) <= 0:  # apart, or hidden: then it is 1 pixel wide
        return 0
    return across if region.alignment in ("LEFT", "RIGHT") else along


def head_corners(
    rig: bpy.types.Object, picture: controller.Picture, region: bpy.types.Region, view: bpy.types.RegionView3D
) -> np.ndarray | None:
    """Where the portrait lies over the rig's head, (4, 2); None when the head is not seen from the front.

    The picture is upright in the rig's space and faces the viewer: turned, shifted and scaled with the
    mesh, exactly so where the view looks along the rig's Y axis, and as near as a picture can otherwise.
    """
    bone = rig.pose.bones.get(HEAD_BONE)
    if bone is None:
        return None
    square = head_square(rig.matrix_world, rig.matrix_world @ bone.matrix, picture.placement, picture.seen_by, view.view_matrix)
    if square is None:
        return None
    corners = [location_3d_to_region_2d(region, view, corner) for corner in square]
    return None if None in corners else np.array(corners)


def head_square(rig: Matrix, head: Matrix, placement: Sequence[float], seen_by: PortraitCamera, view: Matrix) -> list[Vector] | None:
    """The picture's corners in the world, ordered as CORNERS, at the depth of the head's pivot.

    ``rig`` and ``head``: matrices of the armature object and of the head bone in the world; ``view``
    from world to view; ``placement`` and ``seen_by``: where the head stands in the picture and what it shows, as of a Picture.
    """
    *_, back = (Vector(row) for row in view.to_3x3().normalized())
    front, above = -rig.to_3x3().col[1].normalized(), rig.to_3x3().col[2].normalized()
    above = above - above.dot(back) * back
    if front.dot(back) < MIN_FACING_COSINE or above.length < 0.1:
        return None
    above.normalize()
    beside = above.cross(back)
    x, y, z = placement[3:]
    scale = head.median_scale / CENTIMETRES_PER_METRE
    half = 0.5 * seen_by.frame_width * (seen_by.distance - z) / seen_by.distance
    return [head.translation + scale * ((across * half - x) * beside + (along * half - y) * above) for across, along in CORNERS]


def draw_settings(layout: bpy.types.UILayout) -> None:
    """The live view's settings: they are a person's, so they are the extension's preferences."""
    found = preferences()
    if found is None:
        return
    layout.use_property_split = True
    column = layout.column()
    column.prop(found, "live_size")
    column.prop(found, "live_playback")
    column = layout.column(heading="Overlay")
    column.prop(found, "overlay", text="3D Views")
    column = column.column()
    column.active = found.overlay
    column.prop(found, "overlay_place")
    row = column.row()
    row.active = found.overlay_place != "HEAD"
    row.prop(found, "overlay_size")
    column.prop(found, "overlay_opacity")


CLASSES = ()


def register() -> None:
    controller.VIEW.listeners.append(OVERLAY.follow)


def unregister() -> None:
    controller.VIEW.listeners.remove(OVERLAY.follow)
    OVERLAY.remove()
