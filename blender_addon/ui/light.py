"""Light: presets, the scene's lamps and world, and the ball that shows what falls on the face."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import EnumProperty

from ..errors import UserError
from ..identity import key_of
from ..protocol import colour, conversions
from ..rig import scene_light
from ..rig.build import set_light
from ..rig.light import PRESETS, ball, preset
from ..rig.read_rig import read_light
from ..translations import tr
from . import thumbnails
from .pose import RigOperator

BALL_SCALE = 5.0  # in units of the interface
_SHOWN_LIGHT: dict[str, tuple] = {}  # icon name -> the light it shows
PRESET_ITEMS = tuple((name, name, "Light the face as in this preset") for name in PRESETS)


class STYLERIG_OT_light_preset(RigOperator, bpy.types.Operator):
    """Light the portrait as in a preset"""

    bl_idname = "stylerig.light_preset"
    bl_label = "Light Preset"

    preset: EnumProperty(name="Preset", description="How the face is lit", items=PRESET_ITEMS)

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        set_light(rig, preset(self.preset))


class STYLERIG_OT_light_from_scene(RigOperator, bpy.types.Operator):
    """Light the portrait by the scene's lamps and world, frame by frame. Run it again when the world has another picture"""

    bl_idname = "stylerig.light_from_scene"
    bl_label = "Use Scene Light"

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        scene_light.read_world(rig, context.scene.world)
        rig.stylerig.light_source = "SCENE"


class STYLERIG_OT_light_bake(RigOperator, bpy.types.Operator):
    """Take what the scene's lamps and world give at this frame as the rig's own light, to be changed by hand"""

    bl_idname = "stylerig.light_bake"
    bl_label = "Bake Scene Light"

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        scene_light.read_world(rig, context.scene.world)
        depsgraph = context.evaluated_depsgraph_get()
        light = scene_light.scene_light(rig.evaluated_get(depsgraph), depsgraph)
        set_light(rig, conversions.light_blender_to_model(light))


def ball_icon(rig: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> int:
    """The id of the icon of a ball in the rig's light; drawn again only when the light has changed. About 1 ms."""
    light = read_light(rig.evaluated_get(depsgraph), depsgraph)
    name, key = f"light {key_of(rig)}", tuple(np.round(np.ravel(light), 3).tolist())
    if _SHOWN_LIGHT.get(name) != key or not thumbnails.icon_of(name):
        pixels = ball(np.array(light))
        pixels[..., :3] = colour.linear_to_srgb(np.clip(pixels[..., :3], 0, 1)) * pixels[..., 3:]  # icons are premultiplied
        thumbnails.show(name, pixels)
        _SHOWN_LIGHT[name] = key
    return thumbnails.icon_of(name)


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """The ball, where the light comes from, and its handles."""
    settings = rig.stylerig
    row = layout.split(factor=0.36)
    try:
        row.template_icon(icon_value=ball_icon(rig, context.evaluated_depsgraph_get()), scale=BALL_SCALE)
    except UserError as error:
        row.label(text=tr(error.message_text), translate=False, icon="ERROR")
    column = row.column(align=True)
    column.use_property_split = False
    column.row(align=True).prop(settings, "light_source", expand=True)
    column.operator_menu_enum("stylerig.light_preset", "preset", text="Presets", icon="PRESET")
    column.operator("stylerig.light_from_scene", icon="SCENE_DATA")
    column.operator("stylerig.light_bake", icon="IMPORT")
    layout.use_property_split = True
    layout.prop(settings, "light_strength")
    layout.prop(settings, "light_tint")
    if settings.light_source == "SCENE":
        if scene_light.stale_world(rig, context.scene.world):
            layout.label(text="The world's picture is not read yet: Use Scene Light", icon="ERROR")
        return
    # Numbers, not Blender's ball: that takes z for the way to the viewer, here it is up.
    layout.column(align=True).prop(settings, "light_direction", expand=True)
    header, body = layout.panel("stylerig_light_coefficients", default_closed=True)
    header.label(text="Coefficients")
    if body is not None:
        draw_coefficients(body, settings)


def draw_coefficients(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    """Nine rows of red, green and blue."""
    layout.use_property_split = False
    column = layout.column(align=True)
    rows = [(degree, order) for degree in range(3) for order in range(-degree, degree + 1)]
    for index, (degree, order) in enumerate(rows):
        row = column.row(align=True)
        row.label(text=f"{degree}, {order}")
        for channel in range(3):
            row.prop(settings, "light", index=3 * index + channel, text="")


CLASSES = (STYLERIG_OT_light_preset, STYLERIG_OT_light_from_scene, STYLERIG_OT_light_bake)


def unregister() -> None:
    _SHOWN_LIGHT.clear()
