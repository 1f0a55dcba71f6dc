"""All that operators may change in the open file, as plain values that can be compared."""

from __future__ import annotations

import hashlib

import bpy
import numpy as np

DIGITS = 5
PLAIN = {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"}
PASSING = {"users", "session_uid", "tag", "is_evaluated", "is_saved", "is_dirty", "bindcode", "has_data"}  # of this run, not of the file


def file_state() -> dict[str, object]:
    """Name of a datablock -> what is in it, for every kind that the extension touches."""
    kinds = {
        "scenes": scene, "objects": item, "meshes": mesh, "shape_keys": shape_keys, "armatures": armature, "materials": material,
        "actions": action, "images": image, "cameras": plain, "lights": plain, "worlds": plain, "node_groups": tree,
        "collections": collection,
    }  # fmt: skip
    return {f"{kind} {entry.name}": read(entry) for kind, read in kinds.items() for entry in getattr(bpy.data, kind)}


def differences(one, other, place: str = "") -> list[str]:
    """Where two states are not the same, and what they have there."""
    if isinstance(one, dict) and isinstance(other, dict):
        parts = ((name, one.get(name), other.get(name)) for name in sorted(one.keys() | other.keys()))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        parts = ((index, first, second) for index, (first, second) in enumerate(zip(one, other, strict=True)))
    else:
        return [] if one == other else [f"{place}: {one!r:.60} {other!r:.60}"]
    return [found for name, first, second in parts for found in differences(first, second, f"{place}/{name}")]


def plain(struct) -> dict[str, object]:
    """Properties that hold numbers and texts."""
    found = {}
    for prop in struct.bl_rna.properties:
        if prop.type in PLAIN and prop.identifier not in PASSING:
            found[prop.identifier] = copied(getattr(struct, prop.identifier))
    return found


def settings_of(entry) -> dict[str, object]:
    """The extension's properties of a datablock, with those of its looks."""
    settings = getattr(entry, "stylerig", None)
    if settings is None:
        return {}
    looks = [*getattr(settings, "looks", []), *([settings.image_look] if hasattr(settings, "image_look") else [])]
    return plain(settings) | {"looks": [plain(look) for look in looks]}


def copied(value):
    """A property's value without anything of Blender's in it; numbers rounded."""
    if value is None or isinstance(value, str | bytes | int | set):
        return value
    return np.ravel(np.asarray(value, dtype=float)).round(DIGITS).tolist()


def name_of(entry) -> str | None:
    return None if entry is None else entry.name


def animation(entry) -> tuple:
    data = entry.animation_data
    return () if data is None else (name_of(data.action), len(data.drivers), [track.name for track in data.nla_tracks])


def floats(items, name: str, width: int) -> str:
    """A digest of a float property of all items."""
    values = np.zeros(len(items) * width, dtype=np.float32)
    if len(items):  # some of Blender's empty collections refuse
        items.foreach_get(name, values)
    return hashlib.sha256(values.round(DIGITS).tobytes()).hexdigest()


def scene(entry) -> tuple:
    render = (plain(entry.render), plain(entry.render.image_settings), plain(entry.view_settings), plain(entry.display_settings))
    compositor = entry.compositing_node_group if hasattr(entry, "compositing_node_group") else entry.node_tree
    settings = settings_of(entry)
    objects = sorted(one.name for one in entry.objects)
    return render, name_of(entry.camera), entry.frame_start, entry.frame_end, objects, settings, tree(compositor) if compositor else None


def item(entry) -> tuple:
    bones = [(bone.name, plain(bone)) for bone in entry.pose.bones] if entry.pose else []
    modifiers = [(modifier.name, modifier.type) for modifier in entry.modifiers]
    materials = [name_of(slot.material) for slot in entry.material_slots]
    links = name_of(entry.parent), name_of(entry.data), name_of(entry.stylerig.head)
    custom = {name: copied(value) for name, value in entry.items() if isinstance(value, float)}
    return plain(entry), settings_of(entry), custom, links, bones, modifiers, materials, animation(entry)


def mesh(entry) -> tuple:
    return floats(entry.vertices, "co", 3), len(entry.loops), [name_of(one) for one in entry.materials], sorted(entry.attributes.keys())


def shape_keys(entry) -> tuple:
    return [(plain(key), floats(key.points, "co", 3)) for key in entry.key_blocks], animation(entry)


def armature(entry) -> list:
    return [(bone.name, copied([*bone.head_local, *bone.tail_local])) for bone in entry.bones]


def material(entry) -> tuple:
    return plain(entry), tree(entry.node_tree) if entry.node_tree else None


def tree(entry) -> tuple:
    nodes = sorted((node.name, node.bl_idname, copied(node.location), sockets(node)) for node in entry.nodes)
    return nodes, sorted((link.from_node.name, link.from_socket.name, link.to_node.name, link.to_socket.name) for link in entry.links)


def sockets(node) -> list:
    values = ((socket.name, getattr(socket, "default_value", None)) for socket in node.inputs)
    return [(name, name_of(value) if isinstance(value, bpy.types.ID) else copied(value)) for name, value in values]


def action(entry) -> tuple:
    bags = [bag for layer in entry.layers for strip in layer.strips for bag in strip.channelbags]
    curves = [(curve.data_path, curve.array_index, floats(curve.keyframe_points, "co", 2)) for bag in bags for curve in bag.fcurves]
    return curves, [slot.identifier for slot in entry.slots], entry.asset_data is not None


def image(entry) -> tuple:
    pixels = np.empty(len(entry.pixels), dtype=np.float32)
    entry.pixels.foreach_get(pixels)
    return plain(entry), hashlib.sha256(pixels.tobytes()).hexdigest()


def collection(entry) -> tuple:
    return sorted(one.name for one in entry.objects), sorted(child.name for child in entry.children)
