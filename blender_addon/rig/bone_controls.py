"""Bones for an animator's hand: a gaze target, eye bones that point forward, shapes to take hold of, locks."""

from __future__ import annotations

import math

import bpy
import mathutils

from .animation import curves_of
from .bones import EYE_BONES, GAZE_BONE, GAZE_BONES, HEAD_BONE, NECK_BONE, ROOT_BONE
from .build import select_only

GAZE_DISTANCE = 0.6  # metres from the eyes to what they look at
FORWARD = mathutils.Vector((0, -1, 0))
LOOK = "StyleRig Gaze"  # the constraint of an eye
SHAPES = {  # bone -> its radius in lengths of the bone, and how far along the bone its middle lies
    ROOT_BONE: (2.5, 0.0), NECK_BONE: (1.5, 0.5), HEAD_BONE: (1.3, 1.3),
    "eye_L": (0.6, 1.0), "eye_R": (0.6, 1.0),
    GAZE_BONE: (2.5, 0.0), "gaze_L": (1.0, 0.0), "gaze_R": (1.0, 0.0),
}  # fmt: skip
STEPS = 32  # of a circle


def equip_bones(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Add all of these to a local rig in sight, in Object mode. Eyes that are posed or animated keep their bones as they are."""
    if rig.library is not None or rig.override_library is not None:
        return
    if eyes_at_rest(rig) and GAZE_BONE not in rig.data.bones:
        add_gaze_bones(context, rig)
        for side, eye in EYE_BONES.items():
            look_at(rig, eye, GAZE_BONES[side])
    for name, shape in SHAPES.items():
        if name in rig.pose.bones:
            give_shape(rig.pose.bones[name], *shape)
    lock(rig)


def eyes_at_rest(rig: bpy.types.Object) -> bool:
    """Whether both eyes are there, and neither their pose nor any key depends on how their bones lie."""
    bones = [rig.pose.bones.get(name) for name in EYE_BONES.values()]
    paths = [curve.data_path for curve in curves_of(rig) or ()]
    animated = any(f'"{name}"' in path for name in EYE_BONES.values() for path in paths)
    return not animated and all(bone is not None and bone.matrix_basis == mathutils.Matrix() and not bone.constraints for bone in bones)


def add_gaze_bones(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Turn the eye bones forward, and add the target before them: it goes with the head, and at rest turns no eye."""
    select_only(context, rig)
    bpy.ops.object.mode_set(mode="EDIT")
    bones = rig.data.edit_bones
    eyes = [bones[name] for name in EYE_BONES.values()]
    places = [eye.head + GAZE_DISTANCE * FORWARD for eye in eyes]
    length = eyes[0].length
    for eye in eyes:
        point_forward(eye, eye.length)
    middle = new_bone(bones, GAZE_BONE, sum(places, mathutils.Vector()) / len(places), length, bones.get(HEAD_BONE))
    for name, place in zip(GAZE_BONES.values(), places, strict=True):
        new_bone(bones, name, place, length, middle)
    bpy.ops.object.mode_set(mode="OBJECT")
    for name in (GAZE_BONE, *GAZE_BONES.values()):
        rig.pose.bones[name].rotation_mode = "XYZ"


def new_bone(
    bones: bpy.types.ArmatureEditBones, name: str, place: mathutils.Vector, length: float, parent: bpy.types.EditBone | None
) -> bpy.types.EditBone:
    """A bone that points forward and moves no vertex."""
    bone = bones.new(name)
    bone.head, bone.use_deform, bone.parent = place, False, parent
    point_forward(bone, length)
    return bone


def point_forward(bone: bpy.types.EditBone, length: float) -> None:
    """Along the face's sight, with its z up."""
    bone.tail = bone.head + length * FORWARD
    bone.align_roll(mathutils.Vector((0, 0, 1)))


def look_at(rig: bpy.types.Object, eye: str, target: str) -> None:
    """Have an eye look at a bone; the constraint's influence is how much it does."""
    constraint = rig.pose.bones[eye].constraints.new("DAMPED_TRACK")
    constraint.name, constraint.target, constraint.subtarget, constraint.track_axis = LOOK, rig, target, "TRACK_Y"


def give_shape(bone: bpy.types.PoseBone, size: float, along: float) -> None:
    """Show a bone as a wire shape of a size in its lengths."""
    if bone.custom_shape is None:
        bone.custom_shape, bone.custom_shape_scale_xyz = widget(), (size, size, size)
        bone.custom_shape_translation.y = along * bone.length


def widget() -> bpy.types.Object:
    """The wire circle across a bone, made when it is first needed; it is in no scene."""
    name = "StyleRig Bone Shape"
    found = bpy.data.objects.get(name)
    if found is not None and found.library is None:
        return found
    angles = [2 * math.pi * step / STEPS for step in range(STEPS)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(math.cos(a), 0, math.sin(a)) for a in angles], [(step, (step + 1) % STEPS) for step in range(STEPS)], [])
    return bpy.data.objects.new(name, mesh)


def lock(rig: bpy.types.Object) -> None:
    """What would tear a bone off, or change nothing: eyes only turn, the gaze only moves, the neck only turns."""
    for name in (*EYE_BONES.values(), NECK_BONE):
        if name in rig.pose.bones:
            rig.pose.bones[name].lock_location = rig.pose.bones[name].lock_scale = (True, True, True)
    for name in (GAZE_BONE, *GAZE_BONES.values()):
        if name in rig.pose.bones:
            rig.pose.bones[name].lock_scale = rig.pose.bones[name].lock_rotation = (True, True, True)
