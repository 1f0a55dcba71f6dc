"""The StyleRig tab of the 3D view's sidebar."""

from __future__ import annotations

import re

import bpy

from ..client import backend_manager
from ..errors import UserError
from ..live import controller, overlay
from ..operators import Mixin
from ..render import node_groups
from ..render.ignored_settings import left_out
from ..render.reach import beyond_now
from ..rig import controls
from ..rig.bones import HEAD_BONE
from ..rig.controls import OTHER, REGIONS, region_of
from ..rig.read_rig import active_rig, head_of, portrait_of, present_rig
from ..translations import tr
from . import attributes, light, live_capture, looks, photo
from . import portrait as portraits
from .guide import draw_link
from .status import draw_backend, draw_log, draw_wrapped

WORDS = re.compile(r"[A-Z]?[a-z]+|_[LR]$")
MAX_NAMED = 5  # expressions that a message names
RESTORE_HINT = "Draw the face again with Replace Active Rig to get the keys back."
ANGLES = (("Yaw", 1), ("Pitch", 0), ("Roll", 2))  # index into the head bone's Euler angles


class SidebarPanel(Mixin):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "StyleRig"
    guide = ""  # page and heading of the guide that tell of it

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        if self.guide:
            draw_link(self.layout, self.guide, text="", icon="HELP", emboss=False)


class RigPanel(SidebarPanel):
    """A panel that is there when there is a rig."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_rig(context) is not None


class STYLERIG_PT_portrait(SidebarPanel, bpy.types.Panel):
    bl_label = "Portrait"
    guide = "user-guide#portraits"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        draw_backend(layout)
        layout.operator("stylerig.new_portrait", icon="USER")
        layout.operator("stylerig.portrait_from_photo", icon="IMAGE_DATA")
        photo.draw_progress(layout)
        running = controller.VIEW.running
        layout.operator("stylerig.live_view", icon="PAUSE" if running else "PLAY", depress=running)
        if controller.VIEW.status:
            draw_wrapped(layout, context, controller.VIEW.status, "ERROR" if controller.VIEW.failed else "INFO")
            if controller.VIEW.failed:
                draw_log(layout, backend_manager.log_file())
        rig = active_rig(context)
        if rig is not None:
            draw_rig(layout, rig)


def draw_rig(layout: bpy.types.UILayout, rig: bpy.types.Object) -> None:
    """Who it is: the picture, the name, the seed."""
    try:
        portrait = portrait_of(rig)
    except UserError as error:
        layout.label(text=tr(error.message_text), translate=False, icon="ERROR")
        return
    row = layout.row()
    if rig.preview is not None and rig.preview.icon_id:
        row.template_icon(icon_value=rig.preview.icon_id, scale=4)
    column = row.column(align=True)
    column.prop(rig, "name", text="")
    line = column.row(align=True)
    line.label(text=tr("Seed {seed}", seed=portrait.get("seed")), translate=False)
    if rig.stylerig.seed and not rig.stylerig.source:
        portraits.draw_favorite(line, rig)
    column.label(text=tr("Variety {truncation}", truncation=f"{rig.stylerig.truncation:.2f}"), translate=False)
    if rig.stylerig.source:
        column.label(text=rig.stylerig.source)
    column.operator("stylerig.duplicate_portrait", text="Duplicate", icon="DUPLICATE")


class STYLERIG_PT_live(RigPanel, bpy.types.Panel):
    bl_label = "Live View"
    guide = "user-guide#live-view"
    bl_parent_id = "STYLERIG_PT_portrait"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, _context: bpy.types.Context) -> None:
        overlay.draw_settings(self.layout)


class STYLERIG_PT_gallery(SidebarPanel, bpy.types.Panel):
    bl_label = "Gallery"
    bl_parent_id = "STYLERIG_PT_portrait"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        portraits.draw_gallery(self.layout, context)


class STYLERIG_PT_mixing(RigPanel, bpy.types.Panel):
    bl_label = "Style Mixing"
    bl_parent_id = "STYLERIG_PT_portrait"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        portraits.draw_mixing(self.layout, context, active_rig(context))


class STYLERIG_PT_head(RigPanel, bpy.types.Panel):
    bl_label = "Head"

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.use_property_split = True
        bone = present_rig(context).pose.bones.get(HEAD_BONE)
        if bone is None:
            self.layout.label(text=tr("The bone “{name}” is missing", name=HEAD_BONE), translate=False, icon="ERROR")
            return
        column = self.layout.column(align=True)
        for name, index in ANGLES:
            column.prop(bone, "rotation_euler", index=index, text=name)


class STYLERIG_PT_light(RigPanel, bpy.types.Panel):
    bl_label = "Light"
    guide = "user-guide#light"

    def draw(self, context: bpy.types.Context) -> None:
        light.draw(self.layout, context, active_rig(context))


class STYLERIG_PT_expression(RigPanel, bpy.types.Panel):
    bl_label = "Expression"
    guide = "user-guide#rig"

    def draw(self, context: bpy.types.Context) -> None:
        rig = present_rig(context)
        head = head_of(rig)
        keys = head.data.shape_keys if head else None
        if keys is None:
            draw_wrapped(self.layout, context, f"{tr('The head has no shape keys.')} {tr(RESTORE_HINT)}", "ERROR")
            return
        if rig.is_editable and not keys.is_editable:
            self.layout.operator("stylerig.override_expression", icon="LIBRARY_DATA_OVERRIDE")
        elif rig.is_editable and portrait_expressions(rig) and not controls.on_rig(rig):
            self.layout.operator("stylerig.add_controls", icon="ARMATURE_DATA")
        draw_pose_buttons(self.layout)
        known = portrait_expressions(rig)
        missing = [name for name in known if name not in keys.key_blocks]
        if missing:
            words = tr("Without a shape key: {names}.", names=", ".join(missing[:MAX_NAMED]))
            draw_wrapped(self.layout, context, f"{words} {tr(RESTORE_HINT)}", "INFO")
        for region, names in by_region([name for name in keys.key_blocks.keys() if name in known]).items():
            header, body = self.layout.panel(f"stylerig_expression_{region}", default_closed=True)
            header.label(text=region.capitalize())
            if body is not None:
                column = body.column(align=True)
                for name in names:
                    column.prop(*controls.slider_of(rig, name), text=readable(name), slider=True)


def draw_pose_buttons(layout: bpy.types.UILayout) -> None:
    row = layout.row(align=True)
    row.operator("stylerig.neutral_expression")
    row.operator("stylerig.mirror_pose", icon="MOD_MIRROR")
    layout.operator("stylerig.reset_rig", icon="LOOP_BACK")  # alone: its words are longer than a third of the panel
    row = layout.row(align=True)
    row.operator_menu_enum("stylerig.apply_pose", "pose", text="Expressions", icon="PRESET")
    row.operator("stylerig.keep_pose", text="", icon="ADD")
    row.operator("stylerig.add_pose_assets", text="", icon="ASSET_MANAGER")


class STYLERIG_PT_attributes(RigPanel, bpy.types.Panel):
    bl_label = "Attributes"
    guide = "user-guide#attributes"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        attributes.draw(self.layout, active_rig(context), label_of)


class STYLERIG_PT_looks(RigPanel, bpy.types.Panel):
    bl_label = "Looks"
    guide = "looks"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        looks.draw(self.layout, present_rig(context))


class STYLERIG_PT_capture(RigPanel, bpy.types.Panel):
    bl_label = "Capture"
    guide = "user-guide#rig"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.operator("stylerig.import_capture", icon="IMPORT")
        column.operator("stylerig.copy_capture", icon="COPYDOWN")
        live_capture.draw(self.layout, context)


class STYLERIG_PT_output(RigPanel, bpy.types.Panel):
    bl_label = "Output"
    guide = "user-guide#rendering"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings = labelled(self.layout)
        settings.prop(context.scene.render, "engine")
        settings.prop(context.scene.stylerig, "placement")
        column = self.layout.column()
        column.operator("stylerig.portrait_camera", icon="CAMERA_DATA")
        column.prop(context.scene.render, "film_transparent", text="Transparent Film")
        column.prop(context.view_layer, "use_pass_vector", text="Vector Pass")
        column.prop(context.view_layer, "use_pass_cryptomatte_object", text="Cryptomatte of Portraits")
        column.prop(context.view_layer, "use_pass_cryptomatte_material", text="Cryptomatte of Parts")
        column.prop(context.scene.render, "use_motion_blur")
        if context.scene.render.use_motion_blur:
            settings = labelled(column)
            settings.prop(context.scene.render, "motion_blur_shutter", text="Shutter")
            settings.prop(context.scene.render, "motion_blur_position", text="Position")
            settings.prop(context.scene.stylerig, "motion_samples", text="Samples")
            header, body = column.panel("STYLERIG_shutter_curve", default_closed=True)
            header.label(text="Shutter Curve")
            if body is not None:
                body.template_curve_mapping(context.scene.render, "motion_blur_shutter_curve")
        column.operator("stylerig.setup_sequence", icon="RENDER_ANIMATION")
        column.operator("stylerig.setup_compositor", icon="NODE_COMPOSITING")
        column.operator("stylerig.set_overscan", icon="FULLSCREEN_ENTER")
        if node_groups.outdated():
            column.operator("stylerig.update_node_groups", icon="FILE_REFRESH")
        column.operator("stylerig.portrait_texture", icon="TEXTURE")
        column.operator("stylerig.export_rig_file", icon="EXPORT")
        if context.scene.render.engine != "STYLERIG":
            return
        for text in beyond_now(context.scene, context.evaluated_depsgraph_get()):
            draw_wrapped(self.layout, context, tr(text), "ERROR")
        ignored = left_out(context.scene)
        if ignored:
            draw_wrapped(self.layout, context, tr("StyleRig leaves out: {names}.", names=", ".join(ignored)), "INFO")


def labelled(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """A column of settings that have their names to the left: beside a menu there is no room for one."""
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    return column


def portrait_expressions(rig: bpy.types.Object) -> dict[str, float]:
    try:
        return portrait_of(rig)["parameters"]["expression"]
    except UserError:
        return {}


def by_region(names: list[str]) -> dict[str, list[str]]:
    """Expression names by the part of the face they begin with, from the top down."""
    groups: dict[str, list[str]] = {region: [] for region in (*REGIONS, OTHER)}
    for name in names:
        groups[region_of(name)].append(name)
    return {region: found for region, found in groups.items() if found}


def readable(name: str) -> str:
    """mouthSmile_L -> Mouth Smile L."""
    words = WORDS.findall(name) or [name]
    return " ".join(word.lstrip("_").capitalize() for word in words)


def label_of(name: str) -> str:
    """light_skin -> Light Skin; a name that somebody gave otherwise stays as it is."""
    return " ".join(word.capitalize() for word in name.split("_")) if name.islower() else name


CLASSES = (
    STYLERIG_PT_portrait,
    STYLERIG_PT_live,
    STYLERIG_PT_gallery,
    STYLERIG_PT_mixing,
    STYLERIG_PT_head,
    STYLERIG_PT_light,
    STYLERIG_PT_expression,
    STYLERIG_PT_attributes,
    STYLERIG_PT_looks,
    STYLERIG_PT_capture,
    STYLERIG_PT_output,
)
