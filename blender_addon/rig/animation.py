"""Keyframes by array: the curves of an action's slot, the same way in Blender 4.5 and 5.x."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from ..errors import UserError
from ..protocol import conversions
from .bones import HEAD_BONE
from .live_link_face import HEAD_ANGLES, Capture, matched
from .read_rig import head_of, portrait_of

LINEAR = 1  # of Keyframe.interpolation
HEAD_PATH = f'pose.bones["{HEAD_BONE}"].rotation_euler'


def shape_keys_of(rig: bpy.types.Object) -> bpy.types.Key:
    """The shape keys of the rig's head. Raises UserError."""
    head = head_of(rig)
    keys = head.data.shape_keys if head else None
    if keys is None:
        raise UserError("no_head", "The rig's head has no shape keys any more.", "Undo its removal, or make a new portrait.")
    return keys


def editable_keys(rig: bpy.types.Object) -> bpy.types.Key:
    """The shape keys, where a change to them is kept; those of an overridden head are overridden too.

    Raises UserError for those of a linked head.
    """
    keys, head = shape_keys_of(rig), head_of(rig)
    if keys.is_editable:
        return keys
    if head is not None and head.override_library is not None and head.data.override_create(remap_local_usages=True) is not None:
        return shape_keys_of(rig)
    raise UserError(
        "linked_head",
        "The head's shape keys are linked: Blender would forget the change.",
        "Make a library override of the rig with its head, or make both local.",
    )


def key_path(name: str) -> str:
    """The data path of a shape key's value."""
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def expressions_of(rig: bpy.types.Object) -> list[str]:
    """The rig's expressions that its head has a shape key for. Raises UserError."""
    keys = shape_keys_of(rig).key_blocks
    return [name for name in portrait_of(rig)["parameters"]["expression"] if name in keys]


def curves_of(owner: bpy.types.ID) -> bpy.types.bpy_prop_collection | None:
    """The f-curves that animate a datablock, or None."""
    animation = owner.animation_data
    if animation is None or animation.action is None or animation.action_slot is None:
        return None
    bag = next(bags_of(animation.action, animation.action_slot), None)
    return bag.fcurves if bag else None


def bags_of(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> Iterator[bpy.types.ActionChannelbag]:
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot)
            if bag is not None:
                yield bag


def ensure_curves(owner: bpy.types.ID, name: str) -> bpy.types.bpy_prop_collection:
    """The f-curves that animate a datablock; an action of this name is made where there is none."""
    animation = owner.animation_data or owner.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(name)
    if animation.action_slot is None:
        animation.action_slot = animation.action.slots.new(id_type=owner.id_type, name=owner.name)
    return ensure_bag(animation.action, animation.action_slot).fcurves


def ensure_bag(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> bpy.types.ActionChannelbag:
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def fresh_curve(curves: bpy.types.bpy_prop_collection, path: str, index: int = 0) -> bpy.types.FCurve:
    """A new empty f-curve; one that was there is replaced."""
    old = curves.find(path, index=index)
    if old is not None:
        curves.remove(old)
    return curves.new(path, index=index)


def write_curve(curves: bpy.types.bpy_prop_collection, path: str, frames: np.ndarray, values: np.ndarray, index: int = 0) -> None:
    """Replace what animates a property by linear keys at ``frames`` (F,) with ``values`` (F,)."""
    curve = fresh_curve(curves, path, index)
    curve.keyframe_points.add(len(frames))
    curve.keyframe_points.foreach_set("co", np.stack((frames, values), axis=1).astype(np.float32).ravel())
    curve.keyframe_points.foreach_set("interpolation", np.full(len(frames), LINEAR, dtype=np.int32))
    curve.update()


def apply_capture(rig: bpy.types.Object, capture: Capture, start: float, head: bool, invert: tuple[bool, bool, bool]) -> int:
    """Key a recording at whole frames onto the rig from frame ``start`` on; returns how many expressions.

    ``capture`` is at the scene's rate. ``invert``: whether yaw, pitch, roll count the other way, as
    they do for a phone that was held sideways. Raises UserError.
    """
    keys = editable_keys(rig)
    found = capture.expressions(expressions_of(rig))
    if not found:
        raise UserError(
            "no_names", "None of the recording's names is one of the rig's expressions.", "Choose a recording with ARKit's names."
        )
    frames = start + np.arange(len(capture.seconds))
    curves = ensure_curves(keys, f"{rig.name} Expression")
    for name, values in found.items():
        write_curve(curves, key_path(name), frames, values)
    angles = [capture.column(name) for name in HEAD_ANGLES]
    bone = rig.pose.bones.get(HEAD_BONE)
    if head and bone is not None and all(column is not None for column in angles):
        bone.rotation_mode = "XYZ"
        signs = np.where(invert, -1.0, 1.0)
        turned = conversions.rotation_model_to_bone([column * sign for column, sign in zip(angles, signs, strict=True)])
        curves = ensure_curves(rig, f"{rig.name} Pose")
        for index, angle in enumerate(turned):
            write_curve(curves, HEAD_PATH, frames, angle, index)
    return len(found)


def copy_curves(rig: bpy.types.Object, source: bpy.types.Key) -> int:
    """Copy the f-curves of another mesh's ARKit-named shape keys, keys and handles alike; returns how many."""
    curves = curves_of(source)
    if not curves:
        return 0
    animated = {key.name: curve for key in source.key_blocks if (curve := curves.find(key_path(key.name)))}
    found = matched(animated, expressions_of(rig))
    for expression, name in found.items():
        target = ensure_curves(editable_keys(rig), f"{rig.name} Expression")
        copy_curve(animated[name], fresh_curve(target, key_path(expression)))
    return len(found)


def copy_curve(curve: bpy.types.FCurve, target: bpy.types.FCurve) -> None:
    """Keys with their handles and interpolation, and what goes on before and after them."""
    count = len(curve.keyframe_points)
    target.keyframe_points.add(count)
    for name, width, kind in (
        ("co", 2, np.float32), ("interpolation", 1, np.int32), ("handle_left_type", 1, np.int32),
        ("handle_right_type", 1, np.int32), ("handle_left", 2, np.float32), ("handle_right", 2, np.float32),
    ):  # fmt: skip
        values = np.empty(count * width, dtype=kind)
        curve.keyframe_points.foreach_get(name, values)
        target.keyframe_points.foreach_set(name, values)
    target.extrapolation = curve.extrapolation
    target.update()


def bake_values(rig: bpy.types.Object, source: bpy.types.Object, scene: bpy.types.Scene) -> int:
    """Key what a mesh's ARKit-named shape keys show at each frame of the scene's range: drivers, NLA; returns how many."""
    keys = source.data.shape_keys.key_blocks
    found = matched(keys.keys(), expressions_of(rig))
    if not found:
        return 0
    frames, current = np.arange(scene.frame_start, scene.frame_end + 1), (scene.frame_current, scene.frame_subframe)
    places = {expression: keys.find(name) for expression, name in found.items()}
    values = np.empty((len(frames), len(keys)), dtype=np.float32)
    for row, frame in zip(values, frames, strict=True):
        scene.frame_set(int(frame))
        evaluated = source.evaluated_get(bpy.context.evaluated_depsgraph_get())
        evaluated.data.shape_keys.key_blocks.foreach_get("value", row)
    scene.frame_set(current[0], subframe=current[1])
    curves = ensure_curves(editable_keys(rig), f"{rig.name} Expression")
    for expression, place in places.items():
        write_curve(curves, key_path(expression), frames, np.clip(values[:, place], 0, 1))
    return len(found)
