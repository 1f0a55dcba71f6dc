"""Operators for expression and pose: neutral, reset, mirror, the list of poses, captures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, BoolVectorProperty, EnumProperty, FloatProperty, FloatVectorProperty, IntProperty, StringProperty
from mathutils import Matrix

from ..errors import UserError
from ..operators import Mixin
from ..protocol import conversions
from ..rig import animation, attributes, controls, expression_presets, live_link_face
from ..rig.bone_controls import equip_bones
from ..rig.bones import EYE_BONES, GAZE_BONE, GAZE_BONES, HEAD_BONE
from ..rig.build import set_light
from ..rig.read_rig import active_rig, attribute_ranges, head_of, portrait_of, present_rig
from ..translations import tr, tr_error

MIRROR = Matrix.Diagonal((-1, 1, 1, 1))  # the bones' rest axes are the model's: x is across the face
MIN_SHOWN = 1e-3  # an expression's value that counts as showing
MOST_NAMED = 5  # columns that a message names
NEAR_RATE = 0.01  # frames per second that a rate may be off a whole one and be that one
_ITEMS: list[tuple] = []  # of the last enumeration: Blender does not keep the texts itself


def has_editable_rig(operator: Any, context: bpy.types.Context) -> bool:
    """A poll: whether the active rig can be changed; the tooltip of ``operator`` says why not."""
    rig = active_rig(context)
    if rig is None:
        operator.poll_message_set("Select a portrait's rig")
    elif not rig.is_editable:
        operator.poll_message_set("The rig is linked: make a library override of it first")
    return rig is not None and rig.is_editable


class RigOperator(Mixin):
    """An operator on the active rig that can be undone; ``change`` does the work."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_editable_rig(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.change(context, present_rig(context))
        except UserError as error:
            self.report({"ERROR"}, tr_error(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class STYLERIG_OT_neutral_expression(RigOperator, bpy.types.Operator):
    """Set all expressions to zero"""

    bl_idname = "stylerig.neutral_expression"
    bl_label = "Neutral"

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        set_expression(context, rig, dict.fromkeys(controls.expressions_of(rig), 0.0))


class STYLERIG_OT_reset_rig(RigOperator, bpy.types.Operator):
    """Set expression, head and light to what was read from the portrait, and attributes to zero"""

    bl_idname = "stylerig.reset_rig"
    bl_label = "Reset to Portrait"

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        parameters = portrait_of(rig)["parameters"]
        set_expression(context, rig, parameters["expression"])
        set_light(rig, parameters["light"])
        for bone in rig.pose.bones:
            bone.matrix_basis.identity()
        head = rig.pose.bones.get(HEAD_BONE)
        if head is not None:
            head.rotation_euler = conversions.rotation_model_to_bone(parameters["rotation"])
        key_pose(context, rig)
        reset_attributes(context, rig)


class STYLERIG_OT_mirror_pose(RigOperator, bpy.types.Operator):
    """Exchange the left and the right side of expression, head and eyes"""

    bl_idname = "stylerig.mirror_pose"
    bl_label = "Mirror"

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        names = controls.expressions_of(rig)
        values = {name: controls.value_of(rig, name) for name in names}
        set_expression(context, rig, {name: values.get(expression_presets.mirrored(name), values[name]) for name in names})
        others = {bones[side]: bones[other] for bones in (EYE_BONES, GAZE_BONES) for side, other in ("LR", "RL")}
        moved = {bone.name: bone.matrix_basis.copy() for bone in rig.pose.bones}
        for bone in rig.pose.bones:
            source = moved.get(others.get(bone.name, bone.name), moved[bone.name])
            bone.matrix_basis = MIRROR @ source @ MIRROR
        key_pose(context, rig)


class STYLERIG_OT_add_controls(RigOperator, bpy.types.Operator):
    """Give the rig properties that drive its shape keys, and the keys of these: animation editors show them. Add a gaze target"""

    bl_idname = "stylerig.add_controls"
    bl_label = "Put Controls on the Rig"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode first")
            return False
        return super().poll(context)

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        count = equip(context, rig)
        self.report({"INFO"}, tr("{count} expressions are properties of the rig now", count=count))


def equip(context: bpy.types.Context, rig: bpy.types.Object) -> int:
    """All that an animator's rig has beside a scripted one's; returns how many expressions are new as controls. Raises UserError."""
    count = animation.add_controls(rig)
    equip_bones(context, rig)
    return count


class STYLERIG_OT_override_expression(RigOperator, bpy.types.Operator):
    """Override the shape keys of a linked head, so that they can be changed and keyed in this file"""

    bl_idname = "stylerig.override_expression"
    bl_label = "Override Shape Keys"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        head = head_of(active_rig(context))
        if head is None or head.data.is_editable:
            cls.poll_message_set("The head's shape keys can be changed already")
            return False
        return True

    def change(self, _context: bpy.types.Context, rig: bpy.types.Object) -> None:
        controls.editable_keys(rig)


def set_expression(context: bpy.types.Context, rig: bpy.types.Object, values: dict[str, float]) -> None:
    """Expressions by name, keyed where auto keying is on; names that the mesh does not have are left out."""
    controls.set_values(rig, values, auto_keying(context))


def reset_attributes(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """All attributes to zero, keyed where auto keying is on."""
    names = [name for name in attribute_ranges(portrait_of(rig)) if name in rig]
    attributes.set_attributes(rig, dict.fromkeys(names, 0.0))
    for name in names if auto_keying(context) else ():
        rig.keyframe_insert(attributes.path_of(name), group="Attributes")


def key_pose(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Key what the bones do where auto keying is on: the gaze's move, all others turn."""
    for bone in rig.pose.bones if auto_keying(context) else ():
        turned = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(bone.rotation_mode, "rotation_euler")
        moves = bone.name in (GAZE_BONE, *GAZE_BONES.values())
        bone.keyframe_insert("location" if moves else turned, group=bone.name)


def auto_keying(context: bpy.types.Context) -> bool:
    return context.scene.tool_settings.use_keyframe_insert_auto


def pose_items(_self: bpy.types.Operator, _context: bpy.types.Context) -> list[tuple[str, str, str]]:
    """The poses to choose from: the list, and the actions kept in this file."""
    kept = [action.name for action in expression_presets.kept_poses()]
    listed = [name for name in expression_presets.POSES if name not in kept]
    _ITEMS[:] = [(name, name, "Expression of the list") for name in listed]
    _ITEMS.extend((name, name, "Pose kept as an asset in this file") for name in kept)
    return _ITEMS


class STYLERIG_OT_apply_pose(RigOperator, bpy.types.Operator):
    """Give the face an expression of the list or one that was kept"""

    bl_idname = "stylerig.apply_pose"
    bl_label = "Apply Expression"
    bl_property = "pose"

    pose: EnumProperty(name="Expression", description="What the face shows", items=pose_items)
    amount: FloatProperty(name="Amount", description="How far to go from the present expression", default=1, min=0, max=1, subtype="FACTOR")

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        values = expression_presets.mixed_pose(rig, expression_presets.pose_named(self.pose), self.amount)
        set_expression(context, rig, values)


class STYLERIG_OT_keep_pose(RigOperator, bpy.types.Operator):
    """Keep the present expression as an action, an asset for the Asset Browser and the NLA"""

    bl_idname = "stylerig.keep_pose"
    bl_label = "Keep Expression"

    name: StringProperty(name="Name", description="Name of the pose", default="My Expression")

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        values = {name: controls.value_of(rig, name) for name in controls.expressions_of(rig)}
        shown = {name: value for name, value in values.items() if value > MIN_SHOWN}
        action = expression_presets.keep_pose(self.name.strip() or "My Expression", shown)
        self.report({"INFO"}, tr("Kept {name}", name=action.name))


class STYLERIG_OT_add_pose_assets(RigOperator, bpy.types.Operator):
    """Make assets of all expressions of the list: actions for the Asset Browser and the NLA"""

    bl_idname = "stylerig.add_pose_assets"
    bl_label = "Add Expressions as Assets"

    def change(self, _context: bpy.types.Context, rig: bpy.types.Object) -> None:
        known = set(controls.expressions_of(rig))
        for name, values in expression_presets.POSES.items():
            expression_presets.keep_pose(name, {key: value for key, value in values.items() if key in known})


class STYLERIG_OT_import_capture(RigOperator, bpy.types.Operator):
    """Key a recording of Live Link Face onto the active rig"""

    bl_idname = "stylerig.import_capture"
    bl_label = "Import Live Link Face"

    filepath: StringProperty(name="File", description="A take's .csv file", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.csv", options={"HIDDEN"})
    start: IntProperty(name="Start Frame", description="Frame of the recording's first row", default=1)
    rate: FloatProperty(
        name="Frame Rate", description="Frames per second of the recording; 0: what its time codes count",
        default=0, min=0, soft_max=240, max=10_000, precision=3, options={"SKIP_SAVE"},
    )  # fmt: skip
    head: BoolProperty(name="Head", description="Take the head's rotation too", default=True)
    trim: FloatVectorProperty(
        name="Trim", description="Seconds to leave out at the beginning and at the end", size=2, default=(0.0, 0.0), min=0,
        options={"SKIP_SAVE"},
    )  # fmt: skip
    smoothing: FloatProperty(
        name="Smoothing", description="Width in frames of the blur that takes a tracker's jitter away; 0 for none", default=0, min=0, max=30
    )
    fit_scene: BoolProperty(
        name="Set Scene Range and Rate", description="Give the scene the take's frame rate, and its range from first to last frame"
    )
    invert: BoolVectorProperty(
        name="Invert", size=3, default=(False, False, False),
        description="Yaw, pitch, roll count the other way: for a phone that was held sideways",
    )  # fmt: skip

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        notes: list[str] = []
        odd = lambda template, **values: notes.append(tr(template, **values))
        path = Path(bpy.path.abspath(self.filepath))
        recording = live_link_face.read_live_link(path, self.rate, odd).trimmed(*self.trim)
        rate = recording.rate if self.fit_scene and recording.rate else scene_rate(context.scene)
        taken = recording.resampled(rate).smoothed(self.smoothing)
        count, replaced = animation.apply_capture(rig, taken, self.start, self.head, tuple(self.invert), path.stem)
        if self.fit_scene:
            fit_scene(context.scene, self.start, len(taken.seconds), rate)
        keyed = tr("Keyed {count} expressions at {frames} frames", count=count, frames=len(taken.seconds))
        told = [*notes, *told_of(replaced)]
        unknown = taken.unknown(controls.expressions_of(rig))
        if unknown:
            told.append(tr("Not in this rig: {names}.", names=", ".join(unknown[:MOST_NAMED])))
        self.report({"WARNING" if notes else "INFO"}, ". ".join([keyed, " ".join(told)]) if told else keyed)

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "start")
        layout.prop(self, "rate")
        layout.prop(self, "fit_scene")
        column = layout.column(align=True)
        column.prop(self, "trim", index=0, text="Trim Start")
        column.prop(self, "trim", index=1, text="End")
        layout.prop(self, "smoothing")
        layout.prop(self, "head")
        column = layout.column(align=True)
        column.active = self.head
        for index, angle in enumerate(("Invert Yaw", "Pitch", "Roll")):
            column.prop(self, "invert", index=index, text=angle)


class STYLERIG_OT_copy_capture(RigOperator, bpy.types.Operator):
    """Take the animation of another selected mesh's ARKit-named shape keys over to the active rig"""

    bl_idname = "stylerig.copy_capture"
    bl_label = "Copy from Mesh"

    bake: BoolProperty(name="Bake", description="Key what the mesh shows at each frame of the scene's range, instead of copying its curves")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        if source_mesh(context) is None:
            cls.poll_message_set("Select another mesh with shape keys, then the rig")
            return False
        return True

    def change(self, context: bpy.types.Context, rig: bpy.types.Object) -> None:
        source = source_mesh(context)
        if source is None:
            raise UserError("no_source", "Select another mesh with shape keys, then the rig")
        copied, replaced = (0, animation.Replaced(0, 0)) if self.bake else animation.copy_curves(rig, source.data.shape_keys, source.name)
        if not copied:
            copied, replaced = animation.bake_values(rig, source, context.scene, source.name)
        if not copied:
            raise UserError(
                "no_names", "{name} has no shape keys with ARKit's names.", "Name them as ARKit does: eyeBlinkLeft.", name=source.name
            )
        words = tr("Copied {count} expressions from {name}", count=copied, name=source.name)
        self.report({"INFO"}, ". ".join([words, *told_of(replaced)]))


def told_of(replaced: animation.Replaced) -> list[str]:
    """What a person is told of what a take takes the place of."""
    words = tr("Replaced keys of {keys} expressions, kept in the action before, and drivers of {drivers}.", **replaced._asdict())
    return [words] if any(replaced) else []


def scene_rate(scene: bpy.types.Scene) -> float:
    """Frames per second."""
    return scene.render.fps / scene.render.fps_base


def fit_scene(scene: bpy.types.Scene, start: int, frames: int, rate: float) -> None:
    """Give the scene a take's frame rate and range."""
    scene.render.fps = max(1, round(rate))
    near = abs(rate - scene.render.fps) < NEAR_RATE
    scene.render.fps_base = 1.0 if near else scene.render.fps / rate
    scene.frame_start, scene.frame_end = start, start + frames - 1


def source_mesh(context: bpy.types.Context) -> bpy.types.Object | None:
    """The selected mesh with shape keys that is not of the active rig."""
    rig = active_rig(context)
    chosen = (item for item in context.view_layer.objects.selected if item is not None and item.type == "MESH")
    return next((item for item in chosen if item.data.shape_keys and item.parent != rig), None)


def draw_import_menu(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    self.layout.operator("stylerig.import_capture", text="Live Link Face (.csv)")


CLASSES = (
    STYLERIG_OT_neutral_expression,
    STYLERIG_OT_reset_rig,
    STYLERIG_OT_mirror_pose,
    STYLERIG_OT_apply_pose,
    STYLERIG_OT_keep_pose,
    STYLERIG_OT_add_pose_assets,
    STYLERIG_OT_import_capture,
    STYLERIG_OT_copy_capture,
    STYLERIG_OT_override_expression,
    STYLERIG_OT_add_controls,
)


def register() -> None:
    bpy.types.TOPBAR_MT_file_import.append(draw_import_menu)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_import.remove(draw_import_menu)
    _ITEMS.clear()
