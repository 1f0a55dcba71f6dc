"""Keyframes by array: the curves of an action's slot, the same way in Blender 4.5 and 5.x."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import bpy
import numpy as np

from ..errors import UserError
from ..protocol import conversions
from .bones import HEAD_BONE
from .controls import Control, add_properties, control_of, editable_control, expressions_of, group_of, key_path, shape_keys_of
from .live_link_face import HEAD_ANGLES, Capture, matched

LINEAR = 1  # of Keyframe.interpolation
HEAD_PATH = f'pose.bones["{HEAD_BONE}"].rotation_euler'


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
    return ensure_own_bag(owner, name).fcurves


def ensure_own_bag(owner: bpy.types.ID, name: str) -> bpy.types.ActionChannelbag:
    """F-curves and groups that animate a datablock; an action of this name is made where there is none."""
    animation = owner.animation_data or owner.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(name)
    if animation.action_slot is None:
        animation.action_slot = animation.action.slots.new(id_type=owner.id_type, name=owner.name)
    return ensure_bag(animation.action, animation.action_slot)


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
    fill_curve(fresh_curve(curves, path, index), frames, values)


def fill_curve(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray) -> None:
    """Linear keys at ``frames`` (F,) with ``values`` (F,) into an empty f-curve."""
    curve.keyframe_points.add(len(frames))
    curve.keyframe_points.foreach_set("co", np.stack((frames, values), axis=1).astype(np.float32).ravel())
    curve.keyframe_points.foreach_set("interpolation", np.full(len(frames), LINEAR, dtype=np.int32))
    curve.update()


def expression_curve(rig: bpy.types.Object, name: str) -> bpy.types.FCurve:
    """A new empty f-curve of an expression, in the group of its region; one that was there is replaced. Raises UserError."""
    owner, path = editable_control(rig, name)
    bag, group = ensure_own_bag(owner, f"{rig.name} Expression"), group_of(name)
    curve = fresh_curve(bag.fcurves, path)
    curve.group = bag.groups.get(group) or bag.groups.new(group)
    return curve


def add_controls(rig: bpy.types.Object) -> int:
    """Make the expressions properties of the rig that drive its shape keys, and move their keys there.

    Returns how many are new. Raises UserError, with nothing changed, where the NLA moves the shape keys: drivers
    would silence it.
    """
    keys = shape_keys_of(rig)
    if keys.animation_data is not None and any(track.strips for track in keys.animation_data.nla_tracks):
        raise UserError(
            "nla_keys", "The NLA moves the shape keys of {name}.", "Bake it into an action first (NLA › Edit › Bake Action).", name=rig.name
        )
    before = {name: control_of(rig, name) for name in expressions_of(rig)}
    new = add_properties(rig, before)
    for name in new:
        move_curve(rig, before[name], name)
    drop_empty_action(shape_keys_of(rig))
    return len(new)


def move_curve(rig: bpy.types.Object, before: Control, name: str) -> None:
    """Move an expression's keys to where its value lies now; an action that others use keeps its own."""
    curves = curves_of(before.owner)
    curve = curves.find(before.path) if curves is not None else None
    if curves is None or curve is None:
        return
    copy_curve(curve, expression_curve(rig, name))
    if before.owner.animation_data.action.users == 1 and before.owner.animation_data.action.is_editable:
        curves.remove(curve)


def drop_empty_action(owner: bpy.types.ID) -> None:
    """Remove the action that a datablock is left with when all of its curves are gone."""
    curves, animation = curves_of(owner), owner.animation_data
    if curves is not None and len(curves) == 0 and animation.action.users == 1 and len(animation.action.slots) == 1:
        action, animation.action = animation.action, None
        bpy.data.actions.remove(action)


class Replaced(NamedTuple):
    """What a take takes the place of: numbers of expressions."""

    keys: int
    drivers: int


def begin_take(rig: bpy.types.Object, names: Iterable[str], head: bool, title: str) -> Replaced:
    """Ready the rig for new keys of these expressions, in an action of this name; the action before is kept in the file.

    What else that action moves goes on in the new one. Drivers of the expressions, other than the rig's own
    controls, are removed: they would win over keys. Raises UserError for what is linked.
    """
    places = [editable_control(rig, name) for name in names]
    replaced = Replaced(sum(map(has_curve, places)), sum(map(remove_driver, places)))
    old = {place for name in expressions_of(rig) if (place := control_of(rig, name)).owner in [one.owner for one in places]}
    moved = [*places, *old, *([Control(rig, HEAD_PATH)] if head else [])]
    for owner in dict.fromkeys(place.owner for place in moved):
        own_action(owner, title, {place.path for place in moved if place.owner == owner})
    return replaced


def has_curve(place: Control) -> bool:
    curves = curves_of(place.owner)
    return curves is not None and curves.find(place.path) is not None


def remove_driver(place: Control) -> bool:
    """Remove a value's driver; whether there was one."""
    animation = place.owner.animation_data
    return bool(animation and animation.drivers.find(place.path) and place.owner.driver_remove(place.path))


def own_action(owner: bpy.types.ID, title: str, paths: set[str]) -> None:
    """Give a datablock a new action: what the one before holds but for ``paths``; that one is kept in the file."""
    animation = owner.animation_data or owner.animation_data_create()
    before, slot = animation.action, animation.action_slot.identifier if animation.action_slot else None
    if before is None:
        animation.action = bpy.data.actions.new(title)
        return
    before.use_fake_user = True
    animation.action = before.copy()
    animation.action.name = title
    animation.action_slot = animation.action.slots.get(slot) if slot else None
    if curves := curves_of(owner):
        for curve in [curve for curve in curves if curve.data_path in paths]:
            curves.remove(curve)


def apply_capture(
    rig: bpy.types.Object, capture: Capture, start: float, head: bool, invert: tuple[bool, bool, bool], title: str
) -> tuple[int, Replaced]:
    """Key a recording at whole frames onto the rig from frame ``start`` on, in an action of its own named ``title``.

    Returns how many expressions, and what they replace. ``capture`` is at the scene's rate. ``invert``: whether yaw, pitch, roll count the other way, as
    they do for a phone that was held sideways. Raises UserError.
    """
    found = capture.expressions(expressions_of(rig))
    if not found:
        raise UserError(
            "no_names", "None of the recording's names is one of the rig's expressions.", "Choose a recording with ARKit's names."
        )
    angles = [capture.column(name) for name in HEAD_ANGLES]
    bone = rig.pose.bones.get(HEAD_BONE)
    turns = head and bone is not None and all(column is not None for column in angles)
    replaced = begin_take(rig, found, turns, title)
    frames = start + np.arange(len(capture.seconds))
    for name, values in found.items():
        fill_curve(expression_curve(rig, name), frames, values)
    if turns:
        bone.rotation_mode = "XYZ"
        signs = np.where(invert, -1.0, 1.0)
        turned = conversions.rotation_model_to_bone([column * sign for column, sign in zip(angles, signs, strict=True)])
        curves = ensure_curves(rig, f"{rig.name} Pose")
        for index, angle in enumerate(turned):
            write_curve(curves, HEAD_PATH, frames, angle, index)
    return len(found), replaced


def copy_curves(rig: bpy.types.Object, source: bpy.types.Key, title: str) -> tuple[int, Replaced]:
    """Copy the f-curves of another mesh's ARKit-named shape keys, keys and handles alike, into an action of their own.

    Returns how many, and what they replace.
    """
    curves = curves_of(source)
    if not curves:
        return 0, Replaced(0, 0)
    animated = {key.name: curve for key in source.key_blocks if (curve := curves.find(key_path(key.name)))}
    found = matched(animated, expressions_of(rig))
    replaced = begin_take(rig, found, False, title) if found else Replaced(0, 0)
    for expression, name in found.items():
        copy_curve(animated[name], expression_curve(rig, expression))
    return len(found), replaced


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


def bake_values(rig: bpy.types.Object, source: bpy.types.Object, scene: bpy.types.Scene, title: str) -> tuple[int, Replaced]:
    """Key what a mesh's ARKit-named shape keys show at each frame of the scene's range: drivers, NLA.

    Returns how many, and what they replace.
    """
    keys = source.data.shape_keys.key_blocks
    found = matched(keys.keys(), expressions_of(rig))
    if not found:
        return 0, Replaced(0, 0)
    frames, current = np.arange(scene.frame_start, scene.frame_end + 1), (scene.frame_current, scene.frame_subframe)
    places = {expression: keys.find(name) for expression, name in found.items()}
    values = np.empty((len(frames), len(keys)), dtype=np.float32)
    for row, frame in zip(values, frames, strict=True):
        scene.frame_set(int(frame))
        evaluated = source.evaluated_get(bpy.context.evaluated_depsgraph_get())
        evaluated.data.shape_keys.key_blocks.foreach_get("value", row)
    scene.frame_set(current[0], subframe=current[1])
    replaced = begin_take(rig, found, False, title)
    for expression, place in places.items():
        fill_curve(expression_curve(rig, expression), frames, np.clip(values[:, place], 0, 1))
    return len(found), replaced
