"""Building the rig of a portrait: armature, mesh, shape keys, material."""

from __future__ import annotations

import json

import bpy
import mathutils
import numpy as np
from numpy.typing import ArrayLike

from ..errors import UserError
from ..protocol import conversions, image_texts
from . import controls, photo_offsets
from .attributes import add_sliders
from .bones import EYE_BONES, GAZE_BONES, HEAD_BONE, NECK_BONE, ROOT_BONE
from .light import NEUTRAL_STRENGTH, NEUTRAL_TINT, own_direction
from .read_rig import GAZE, head_of, portrait_of

ALBEDO = "albedo"  # the colour attribute
UV_MAP = "UVMap"
SKIN_ROUGHNESS = 0.45
SIDE_STEP = 0.35  # metres between a rig and one made of it


def build_rig(context: bpy.types.Context, portrait: dict, mesh: dict[str, np.ndarray]) -> bpy.types.Object:
    """The rig of ``portrait`` in the active collection, selected and active.

    ``mesh``: arrays of /v1/portraits/mesh in model space. Needs Object mode. What was made of a rig
    that fails half-way is removed again. Shape keys, head bone and light stand at the values that
    were read from the portrait.
    """
    name = f"Portrait {portrait.get('seed', '')}".strip()
    rig = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    head = bpy.data.objects.new(f"{rig.name}_Head", bpy.data.meshes.new(f"{rig.name}_Head"))
    try:
        fill_mesh(head.data, mesh)
        collection = open_collection(context)
        for item in (rig, head):
            collection.objects.link(item)
        add_shape_keys(head, mesh)
        add_vertex_groups(head, mesh)
        head.data.materials.append(skin_material(head.name))
        add_bones(context, rig, mesh)
        attach(rig, head)
        store_portrait(rig, head, portrait, mesh)
    except BaseException:
        discard(rig, head)
        raise
    select_only(context, rig)
    return rig


def replace_portrait(context: bpy.types.Context, rig: bpy.types.Object, portrait: dict, mesh: dict[str, np.ndarray]) -> None:
    """Give a rig another face; its pose, expression, light, attributes, animation and material stay.

    Needs Object mode, a rig in sight and a head whose vertices are still those of the face model;
    raises UserError otherwise, with nothing changed. Data shared with other objects (Alt D) become
    the rig's own; expressions without a shape key get one again.
    """
    head = replaceable_head(context, rig, mesh)
    own_data(rig, head)
    basis = flat(conversions.points_model_to_blender(mesh["vertices"]))
    head.data.vertices.foreach_set("co", basis)
    if head.data.shape_keys is None:
        head.shape_key_add(name="Basis", from_mix=False)
    keys = head.data.shape_keys.key_blocks
    keys[0].points.foreach_set("co", basis)
    for name, change in zip(map(str, mesh["expression_names"]), mesh["expression"], strict=True):
        key = keys[name] if name in keys else head.shape_key_add(name=name, from_mix=False)
        key.points.foreach_set("co", flat(conversions.points_model_to_blender(mesh["vertices"] + change)))
    set_albedo(head.data, mesh)
    if any(isinstance(rig.get(str(name)), float) for name in mesh["expression_names"]):
        controls.add_properties(rig, controls.expressions_of(rig))  # of shape keys that were lost
    head.data.update()
    move_eyes(context, rig, mesh["eye_centers"])
    rig.stylerig.portrait = image_texts.compact(photo_offsets.keep(rig, with_directions_of(rig, portrait)))
    rig.stylerig.gaze = json.dumps(gaze_angles(mesh))
    add_sliders(rig)


def with_directions_of(rig: bpy.types.Object, portrait: dict) -> dict:
    """A portrait with the further attributes that its rig had, where it is of the same weights."""
    try:
        old = portrait_of(rig)
    except UserError:
        return portrait
    mine = old.get("directions") if old.get("weights_hash") == portrait.get("weights_hash") else None
    return {**portrait, "directions": mine} if mine and not portrait.get("directions") else portrait


def replaceable_head(context: bpy.types.Context, rig: bpy.types.Object, mesh: dict[str, np.ndarray]) -> bpy.types.Object:
    """The rig's head; raises UserError for a rig that cannot be given another face."""
    head = head_of(rig)
    if head is None or any(item.library or item.override_library for item in (rig, rig.data, head, head.data)):
        raise UserError("linked_rig", "The rig's head is gone, or the rig is linked.", "Make it local first, or make a new portrait.")
    if len(head.data.vertices) != len(mesh["vertices"]):
        raise UserError(
            "other_mesh", "The vertices of the rig's head were edited, or belong to another face model.", "Make a new portrait instead."
        )
    if rig.name not in context.view_layer.objects or not rig.visible_get(view_layer=context.view_layer):
        raise UserError(
            "hidden_rig", "The rig is hidden or not in this view layer.", "Show it first: its bones can only be changed in sight."
        )
    return head


def own_data(rig: bpy.types.Object, head: bpy.types.Object) -> None:
    """Give rig and head data of their own where they share it with linked duplicates."""
    for item in (rig, head):
        if item.data.users - item.data.use_fake_user > 1:
            item.data = item.data.copy()
    drive_own(head.data.shape_keys, rig)


def drive_own(keys: bpy.types.Key | None, rig: bpy.types.Object) -> None:
    """Shape keys that were copied from another rig's are driven by the controls of their own."""
    for name in keys.key_blocks.keys() if keys is not None else ():
        driver = controls.driver_of(keys, name)
        if driver is not None and isinstance(rig.get(name), float):
            driver.driver.variables[0].targets[0].id = rig


def move_eyes(context: bpy.types.Context, rig: bpy.types.Object, centres: np.ndarray) -> None:
    """Put the eye bones where the eyes are, (2, 3) in model space."""
    select_only(context, rig)
    bpy.ops.object.mode_set(mode="EDIT")
    for (side, bone), centre in zip(EYE_BONES.items(), centres, strict=True):
        edited = rig.data.edit_bones.get(bone)
        if edited is None:
            continue
        way = mathutils.Vector(conversions.points_model_to_blender(centre)) - edited.head
        for moved in (edited, rig.data.edit_bones.get(GAZE_BONES[side])):
            if moved is not None:
                moved.translate(way)
    bpy.ops.object.mode_set(mode="OBJECT")


def duplicate_rig(context: bpy.types.Context, rig: bpy.types.Object) -> bpy.types.Object:
    """A copy of the rig beside it with a head, shape keys, material and animation of its own."""
    head = head_of(rig)
    if head is None:
        raise UserError("no_head", "The rig has no head any more.", "Undo its removal, or make a new portrait.")
    twin, twin_head = rig.copy(), head.copy()
    twin.data, twin_head.data = rig.data.copy(), head.data.copy()
    for owner in (twin, twin_head, twin_head.data.shape_keys):
        animation = owner.animation_data if owner else None
        if animation and animation.action:
            slot = animation.action_slot.identifier if animation.action_slot else None
            animation.action = animation.action.copy()
            animation.action_slot = animation.action.slots.get(slot) if slot else None
    for slot in twin_head.material_slots:
        slot.material = slot.material.copy() if slot.material else None
    collection = open_collection(context)
    for item in (twin, twin_head):
        collection.objects.link(item)
    twin_head.name = f"{twin.name}_Head"
    twin_head.parent = twin
    for modifier in twin_head.modifiers:
        if modifier.type == "ARMATURE":
            modifier.object = twin
    twin.stylerig.head = twin_head
    drive_own(twin_head.data.shape_keys, twin)
    own_bone_targets(twin, rig)
    place_beside(twin, rig)
    select_only(context, twin)
    return twin


def own_bone_targets(twin: bpy.types.Object, rig: bpy.types.Object) -> None:
    """What a copied rig's constraints look at is its own bones, not those of the first."""
    for bone in twin.pose.bones:
        for constraint in bone.constraints:
            if getattr(constraint, "target", None) == rig:
                constraint.target = twin


def place_beside(rig: bpy.types.Object, other: bpy.types.Object) -> None:
    """Stand a rig to the side of another."""
    rig.matrix_world = other.matrix_world @ mathutils.Matrix.Translation((SIDE_STEP, 0, 0))


def open_collection(context: bpy.types.Context) -> bpy.types.Collection:
    """The active collection, or the scene's own when that is hidden: bones can only be made in sight."""
    context.view_layer.update()  # else it tells what was visible before a script changed it
    return context.collection if context.layer_collection.is_visible else context.scene.collection


def discard(rig: bpy.types.Object, head: bpy.types.Object) -> None:
    """Remove a half-built rig with its data."""
    if rig.mode == "EDIT":
        bpy.ops.object.mode_set(mode="OBJECT")
    armature, mesh = rig.data, head.data
    for item in (head, rig):
        bpy.data.objects.remove(item)
    bpy.data.meshes.remove(mesh)
    bpy.data.armatures.remove(armature)


def fill_mesh(data: bpy.types.Mesh, mesh: dict[str, np.ndarray]) -> None:
    """Vertices, polygons, corner UVs and the albedo (linear RGB) of a new mesh."""
    points = conversions.points_model_to_blender(mesh["vertices"])
    sizes = np.asarray(mesh["polygon_sizes"], dtype=np.int32)
    corners = np.asarray(mesh["corners"], dtype=np.int32)
    data.vertices.add(len(points))
    data.loops.add(len(corners))
    data.polygons.add(len(sizes))
    data.vertices.foreach_set("co", flat(points))
    data.loops.foreach_set("vertex_index", corners)
    data.polygons.foreach_set("loop_start", np.cumsum(sizes, dtype=np.int32) - sizes)
    data.uv_layers.new(name=UV_MAP).uv.foreach_set("vector", flat(mesh["uv"]))
    data.color_attributes.active_color = set_albedo(data, mesh)
    data.update(calc_edges=True)
    data.validate(clean_customdata=False)
    data.shade_smooth()


def set_albedo(data: bpy.types.Mesh, mesh: dict[str, np.ndarray]) -> bpy.types.Attribute:
    """The colour attribute with the albedo, made where it is missing."""
    colours = np.ones((len(mesh["vertices"]), 4), dtype=np.float32)
    colours[:, :3] = mesh["albedo"]
    attribute = data.color_attributes.get(ALBEDO) or data.color_attributes.new(ALBEDO, "FLOAT_COLOR", "POINT")
    attribute.data.foreach_set("color", colours.ravel())
    return attribute


def flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32).ravel()


def add_shape_keys(head: bpy.types.Object, mesh: dict[str, np.ndarray]) -> None:
    """One relative shape key per expression, at the value that was read."""
    head.shape_key_add(name="Basis", from_mix=False)
    for name, change, value in zip(mesh["expression_names"], mesh["expression"], mesh["expression_values"], strict=True):
        key = head.shape_key_add(name=str(name), from_mix=False)
        key.points.foreach_set("co", flat(conversions.points_model_to_blender(mesh["vertices"] + change)))
        key.value = float(np.clip(value, 0, 1))
    head.active_shape_key_index = 0


def add_vertex_groups(head: bpy.types.Object, mesh: dict[str, np.ndarray]) -> None:
    """Vertex groups named like the bones they follow; eyeballs follow their own bone alone."""
    groups = {str(name): np.array(weights) for name, weights in zip(mesh["group_names"], mesh["groups"], strict=True)}
    groups.setdefault(HEAD_BONE, np.ones(len(mesh["vertices"]), dtype=np.float32))
    eyes = sum(groups[bone] for bone in EYE_BONES.values() if bone in groups)
    for bone in (HEAD_BONE, NECK_BONE):
        if bone in groups:
            groups[bone] = groups[bone] * (1 - np.clip(eyes, 0, 1))
    for name, weights in groups.items():
        group = head.vertex_groups.new(name=name)
        for weight in np.unique(weights[weights > 0]):
            group.add(np.flatnonzero(weights == weight).tolist(), float(weight), "REPLACE")


def add_bones(context: bpy.types.Context, rig: bpy.types.Object, mesh: dict[str, np.ndarray]) -> None:
    """root > neck > head > eyes, all pointing straight up with roll 0: their axes are the model's."""
    low, high = float(mesh["vertices"][:, 1].min()), float(mesh["vertices"][:, 1].max())
    places = {  # name: (where it turns in model space, length in cm, parent)
        ROOT_BONE: ((0, low, 0), -0.25 * low, None),
        NECK_BONE: ((0, 0.6 * low, -2), -0.5 * low, ROOT_BONE),
        HEAD_BONE: ((0, 0, 0), 0.9 * high, NECK_BONE),
    }
    for (_, bone), centre in zip(EYE_BONES.items(), mesh["eye_centers"], strict=True):
        places[bone] = (tuple(centre), 2.5, HEAD_BONE)
    select_only(context, rig)
    bpy.ops.object.mode_set(mode="EDIT")
    for name, (place, length, parent) in places.items():
        bone = rig.data.edit_bones.new(name)
        bone.head = conversions.points_model_to_blender(np.array(place, float))
        bone.tail = conversions.points_model_to_blender(np.add(place, (0, length, 0)))
        bone.roll = 0
        bone.parent = rig.data.edit_bones.get(parent) if parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in rig.pose.bones:
        bone.rotation_mode = "XYZ"
    rig.data.display_type = "STICK"
    rig.show_in_front = True


def select_only(context: bpy.types.Context, item: bpy.types.Object) -> None:
    for other in context.view_layer.objects.selected[:]:
        if other is not None:  # removed a moment ago
            other.select_set(False)
    context.view_layer.objects.active = item
    item.select_set(True)


def attach(rig: bpy.types.Object, head: bpy.types.Object) -> None:
    """The armature moves the mesh."""
    head.parent = rig
    modifier = head.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig


def store_portrait(rig: bpy.types.Object, head: bpy.types.Object, portrait: dict, mesh: dict[str, np.ndarray]) -> None:
    """The portrait by value on the rig; light and head bone as read from it."""
    parameters = portrait["parameters"]
    settings = rig.stylerig
    settings.portrait = image_texts.compact(photo_offsets.keep(rig, portrait))
    settings.head = head
    settings.gaze = json.dumps(gaze_angles(mesh))
    set_light(rig, parameters["light"])
    rig.pose.bones[HEAD_BONE].rotation_euler = conversions.rotation_model_to_bone(parameters["rotation"])
    settings.is_rig = True
    add_sliders(rig)


def set_light(rig: bpy.types.Object, light: ArrayLike) -> None:
    """Light (9, 3), with the handles at the values that change nothing."""
    rig.stylerig.light_source = "OWN"
    rig.stylerig.light = np.ravel(light).tolist()
    rig.stylerig.light_strength = NEUTRAL_STRENGTH
    rig.stylerig.light_tint = NEUTRAL_TINT
    rig.stylerig.light_direction = own_direction(rig.stylerig.light[:])


def gaze_angles(mesh: dict[str, np.ndarray]) -> dict[str, float]:
    """How far, in radians, each eyeLook expression turns its eyeball: measured on the shape keys."""
    names = [str(name) for name in mesh["expression_names"]]
    groups = {str(name): weights for name, weights in zip(mesh["group_names"], mesh["groups"], strict=True)}
    angles = {}
    for (side, bone), centre in zip(EYE_BONES.items(), mesh["eye_centers"], strict=True):
        eye = np.flatnonzero(groups.get(bone, np.zeros(0)) > 0.5)
        for look in GAZE[side]:
            name = f"{look}_{side}"
            if len(eye) >= 3 and name in names:
                change = mesh["expression"][names.index(name)][eye]
                angle = turned_by(mesh["vertices"][eye] - centre, change)
                if angle > 1e-3:
                    angles[name] = angle
    return angles


def turned_by(points: np.ndarray, change: np.ndarray) -> float:
    """The angle in radians of the rotation that best takes points (N, 3) to points + change (Kabsch 1976)."""
    u, _, v = np.linalg.svd(points.T.astype(float) @ (points + change))
    turn = v.T @ np.diag((1, 1, np.linalg.det(v.T @ u.T))) @ u.T
    return float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))


def skin_material(name: str) -> bpy.types.Material:
    """Principled skin that shows the mesh's albedo."""
    material = bpy.data.materials.new(name)
    if not material.use_nodes:
        material.use_nodes = True
    nodes = material.node_tree.nodes
    skin = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    skin.inputs["Roughness"].default_value = SKIN_ROUGHNESS
    albedo = nodes.new("ShaderNodeAttribute")
    albedo.attribute_name = ALBEDO
    albedo.location = (skin.location.x - 250, skin.location.y)
    material.node_tree.links.new(albedo.outputs["Color"], skin.inputs["Base Color"])
    return material
