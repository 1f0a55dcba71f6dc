"""Reading what a rig asks for. Works in the render thread: nothing is written anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import lru_cache

import bpy
import numpy as np
from mathutils import Matrix

from ..client.portrait import Portrait
from ..errors import UserError
from ..protocol import camera, conversions, frames
from ..protocol.rounding import DIGITS, rounded, rounded_light
from . import photo_offsets, scene_light
from .bones import EYE_BONES, HEAD_BONE
from .light import final_light
from .looks import read_looks

# What the backend takes; a rig that asks for more gets the most that there is.
SCALES = frames.MIN_SCALE, frames.MAX_SCALE
# eyeLook expression -> (index into (yaw, pitch) of the eye bone, its sign), per side
GAZE = {
    "L": {"eyeLookOut": (0, 1), "eyeLookIn": (0, -1), "eyeLookDown": (1, 1), "eyeLookUp": (1, -1)},
    "R": {"eyeLookOut": (0, -1), "eyeLookIn": (0, 1), "eyeLookDown": (1, 1), "eyeLookUp": (1, -1)},
}


def is_rig(candidate: bpy.types.Object | None) -> bool:
    return candidate is not None and candidate.type == "ARMATURE" and candidate.stylerig.is_rig


def rigs_in(source: bpy.types.Depsgraph | bpy.types.Scene) -> list[bpy.types.Object]:
    """The rigs of a scene, or the evaluated rigs of a dependency graph, by name."""
    return sorted((item for item in source.objects if is_rig(item)), key=lambda rig: rig.name)


def placed_rigs(depsgraph: bpy.types.Depsgraph) -> list[tuple[bpy.types.Object, Matrix]]:
    """The evaluated rigs of a dependency graph with where they stand (4, 4), those in collection instances too."""
    placed = [(rig, rig.matrix_world.copy()) for rig in rigs_in(depsgraph)]
    if any(item.is_instancer for item in depsgraph.objects):
        # An instance's object lives until the next one: the evaluated one it was made of stays.
        placed.extend(
            (instance.object.original.evaluated_get(depsgraph), instance.matrix_world.copy())
            for instance in depsgraph.object_instances
            if instance.is_instance and is_rig(instance.object)
        )
    return placed


def rig_of(candidate: bpy.types.Object | None) -> bpy.types.Object | None:
    """The rig that an object is, that it hangs on, or that is the only one in the collection it shows."""
    rig = candidate
    while rig is not None and not is_rig(rig):
        rig = rig.parent
    if rig is None and candidate is not None and candidate.instance_type == "COLLECTION" and candidate.instance_collection:
        rigs = [item for item in candidate.instance_collection.all_objects if is_rig(item)]
        return rigs[0] if len(rigs) == 1 else None
    return rig


def active_rig(context: bpy.types.Context) -> bpy.types.Object | None:
    """The rig of the active object, else the scene's only rig."""
    rig = rig_of(context.view_layer.objects.active)
    if rig is not None:
        return rig
    rigs = rigs_in(context.scene)
    return rigs[0] if len(rigs) == 1 else None


def present_rig(context: bpy.types.Context) -> bpy.types.Object:
    """``active_rig`` where a poll has asked for one; raises UserError if it went away since."""
    rig = active_rig(context)
    if rig is None:
        raise UserError("no_rig", "Select a portrait's rig.")
    return rig


def head_of(rig: bpy.types.Object) -> bpy.types.Object | None:
    """The rig's original head mesh, or None when it was deleted.

    A copied rig may still point at the first one's head: then the child with shape keys is meant.
    """
    rig = rig.original
    head = rig.stylerig.head
    head = head if head is not None and head.type == "MESH" else None  # converted to something else
    if head is not None and head.parent == rig:
        return head
    children = (child for child in rig.children if child.type == "MESH" and child.data.shape_keys)
    return next(children, head)


def portrait_of(rig: bpy.types.Object) -> Portrait:
    """The portrait stored on a rig, shared between calls: do not change it. Raises UserError."""
    portrait = parse_portrait(rig.stylerig.portrait)
    photo_offsets.remember(rig, portrait)
    return portrait


@lru_cache(maxsize=16)
def parse_portrait(text: str) -> Portrait:
    """A portrait from JSON, checked for what reading a rig needs."""
    try:
        portrait = Portrait(json.loads(text))
        parameters = portrait["parameters"]
        shapes = tuple(np.shape(np.array(parameters[name], dtype=float)) for name in ("rotation", "light"))
        values = np.array(list(parameters["expression"].values()), dtype=float)
        complete = shapes == ((3,), (9, 3)) and values.ndim == 1 and isinstance(portrait["w"], str)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        complete = False
    if not complete:
        raise UserError("no_portrait", "The rig holds no portrait that can be read.", "Make a new portrait.")
    return portrait


@lru_cache(maxsize=16)
def parse_gaze(text: str) -> dict[str, float]:
    """Angle in radians by eyeLook expression; {} where the text holds none that can be read."""
    try:
        return {str(name): float(angle) for name, angle in json.loads(text).items() if angle > 0}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def read_controls(rig: bpy.types.Object, depsgraph: bpy.types.Depsgraph, matrix: Matrix | None = None) -> tuple[dict, dict]:
    """(portrait, controls) of a rig at the state that ``depsgraph`` has evaluated.

    ``controls`` is the object of the same name in a frame request: rotation (yaw, pitch, roll) in
    radians, expression by name, light (9, 3), translation in frame widths, scale, attributes by name, looks where there are any. Pose is measured
    in the rig's own space: moving the armature object does not turn the portrait. ``matrix`` (4, 4):
    where the rig stands if it is seen through a collection instance. About 0.2 ms.
    """
    portrait = portrait_of(rig)
    evaluated = rig.original.evaluated_get(depsgraph)
    looks = read_looks(evaluated)
    rotation, translation, scale = read_pose(evaluated, camera.camera_of(portrait))
    return portrait, {
        "rotation": rotation,
        "expression": read_expression(evaluated, depsgraph, portrait),
        "light": read_light(evaluated, depsgraph, matrix),
        "translation": translation,
        "scale": scale,
        "attributes": read_attributes(evaluated, portrait),
        **({"looks": looks} if looks else {}),
    }


def attribute_ranges(portrait: dict) -> dict[str, tuple[float, float]]:
    """How far each attribute goes, by name: those of the portrait's model, then its own; {} where none can be read."""
    try:
        entries = [*(portrait.get("attributes") or ()), *((portrait.get("directions") or {}).get("directions") or ())]
        return {str(entry["name"]): (float(entry["minimum"]), float(entry["maximum"])) for entry in entries}
    except (LookupError, TypeError, ValueError, AttributeError):
        return {}


def read_attributes(evaluated: bpy.types.Object, portrait: dict) -> dict[str, float]:
    """Amounts by name from the rig's custom properties, within their ranges; only what is not zero."""
    amounts = {}
    for name, (low, high) in attribute_ranges(portrait).items():
        value = evaluated.get(name)
        if isinstance(value, int | float) and math.isfinite(value) and (amount := round(clamp(value, low, high), DIGITS)):
            amounts[name] = amount
    return amounts


def read_pose(evaluated: bpy.types.Object, seen_by: camera.PortraitCamera) -> tuple[list[float], list[float], float]:
    """Rotation (yaw, pitch, roll), shift in widths of the camera's frame and scale of the head bone against its rest."""
    moved = bone_motion(evaluated, HEAD_BONE)
    if moved is None:
        raise UserError("no_head_bone", "The armature has no bone named “{name}”.", "Name it so again, or undo.", name=HEAD_BONE)
    motion = np.array(moved)
    axes, size = motion[:3, :3], np.linalg.norm(motion[:3, :3], axis=0)
    if moved.is_negative:  # mirrored, not upside down
        axes = axes * (-1, 1, 1)
    rotation = conversions.matrix_blender_to_model(axes / np.maximum(size, 1e-9))
    shift, scale = conversions.offset_model_to_frame(conversions.points_blender_to_model(motion[:3, 3]), seen_by)
    ways, scale = [clamp(way, -frames.MAX_SHIFT, frames.MAX_SHIFT) for way in shift], clamp(scale * float(size.mean()), *SCALES)
    return rounded(camera.rotation_from_matrix(rotation)), rounded(ways), rounded([scale])[0]


def clamp(value: float, low: float, high: float) -> float:
    """At least ``low`` and at most ``high``."""
    return min(max(value, low), high)


def bone_motion(evaluated: bpy.types.Object, name: str) -> Matrix | None:
    """What takes a bone from rest to its pose, 4 × 4 in the armature's space; None without the bone.

    Blender's matrices, because numpy's inverse wakes threads that cost milliseconds on a busy machine.
    """
    bone = evaluated.pose.bones.get(name)
    if bone is None:
        return None
    return bone.matrix @ bone.bone.matrix_local.inverted_safe()


def read_expression(evaluated: bpy.types.Object, depsgraph: bpy.types.Depsgraph, portrait: dict) -> dict[str, float]:
    """Expression name -> 0–1 from the head's shape keys and the eye bones; {} without a head."""
    head = head_of(evaluated)
    keys = head.evaluated_get(depsgraph).data.shape_keys if head else None
    if keys is None:
        return {}
    values = np.empty(len(keys.key_blocks), dtype=np.float32)
    muted = np.empty(len(values), dtype=bool)
    keys.key_blocks.foreach_get("value", values)
    keys.key_blocks.foreach_get("mute", muted)
    known = portrait["parameters"]["expression"]
    read = zip(keys.key_blocks.keys(), clamp_expression(np.where(muted, 0, values)).tolist(), strict=True)
    expression = {name: value for name, value in read if name in known} | overridden_controls(evaluated, known)
    for name, value in read_gaze(evaluated).items():
        expression[name] = float(clamp_expression(expression.get(name, 0.0) + value))
    return expression


def overridden_controls(evaluated: bpy.types.Object, known: Iterable[str]) -> dict[str, float]:
    """Expressions that a library override's own properties set: linked shape keys are driven by those of the linked rig."""
    if evaluated.original.override_library is None:
        return {}
    found = {name: value for name in known if isinstance(value := evaluated.get(name), float)}
    return {name: float(clamp_expression(value)) for name, value in found.items()}


def clamp_expression(values: np.ndarray | float) -> np.ndarray:
    """Expression values, at least 0 and at most 1, rounded; what is no number is 0."""
    return np.fmin(np.fmax(np.asarray(values, dtype=float), 0), 1).round(DIGITS)


def read_gaze(evaluated: bpy.types.Object) -> dict[str, float]:
    """What the eye bones add to the eyeLook expressions (only what is not zero)."""
    angles = parse_gaze(evaluated.stylerig.gaze)
    head = bone_motion(evaluated, HEAD_BONE)
    added = {}
    for side, bone in EYE_BONES.items() if angles else ():
        eye = bone_motion(evaluated, bone)
        if eye is None or head is None:
            continue
        turn = np.array((head.inverted_safe() @ eye).to_quaternion().to_matrix())
        looks = camera.rotation_from_matrix(conversions.matrix_blender_to_model(turn))
        for look, (axis, sign) in GAZE[side].items():
            angle = angles.get(f"{look}_{side}", math.inf)
            if sign * looks[axis] > 1e-4:
                added[f"{look}_{side}"] = sign * looks[axis] / angle
    return added


def read_light(evaluated: bpy.types.Object, depsgraph: bpy.types.Depsgraph, matrix: Matrix | None = None) -> list[list[float]]:
    """The light that falls on the portrait, (9, 3), model frame; ``matrix`` as in ``read_controls``."""
    settings = evaluated.stylerig
    if settings.light_source == "SCENE":
        light = conversions.light_blender_to_model(scene_light.scene_light(evaluated, depsgraph, matrix))
        light = light * (settings.light_strength * np.array(settings.light_tint[:]))
    else:
        light = final_light(settings.light[:], settings.light_strength, settings.light_tint[:], settings.light_direction[:])
    light = np.nan_to_num(light)
    light = light * min(1.0, frames.MAX_LIGHT / max(float(np.abs(light).max()), 1e-9))  # dimmed as a whole: it keeps its direction
    return rounded_light(light)
