"""Where the value of an expression lies: in a custom property of the rig that drives the shape key, else in the shape key.

A rig with controls has one property for each expression, so that Blender's animation editors show its keys when the
rig is selected. Files of earlier versions, and rigs that scripts build, have the shape keys alone. Everything that
reads, sets, keys or draws an expression asks here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import bpy

from ..errors import UserError
from .attributes import path_of
from .read_rig import head_of, is_rig, portrait_of

REGIONS = ("brow", "eye", "cheek", "nose", "mouth", "jaw")  # from the top of the face down
OTHER = "other"


class Control(NamedTuple):
    """What holds an expression's value: a datablock and the data path from it, for F-curves."""

    owner: bpy.types.ID
    path: str


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


def region_of(name: str) -> str:
    """The part of the face that an expression begins with."""
    return next((region for region in REGIONS if name.startswith(region)), OTHER)


def group_of(name: str) -> str:
    """The group of an expression's keys in the animation editors."""
    return region_of(name).capitalize()


def control_of(rig: bpy.types.Object, name: str) -> Control:
    """Where this expression's value lies. Raises UserError."""
    keys = shape_keys_of(rig)
    driver = driver_of(keys, name)
    if driver is None:
        return Control(keys, key_path(name))
    owner = driver.driver.variables[0].targets[0].id
    overridden = rig.override_library is not None and rig.override_library.reference == owner
    return Control(rig if overridden else owner, path_of(name))


def driver_of(keys: bpy.types.Key, name: str) -> bpy.types.FCurve | None:
    """The driver that a rig's control moves a shape key by; None where there is none, or one of somebody else's."""
    found = keys.animation_data.drivers.find(key_path(name)) if keys.animation_data else None
    if found is None or found.mute or len(found.driver.variables) != 1:
        return None
    target = found.driver.variables[0].targets[0]
    return found if target.data_path == path_of(name) and is_rig(target.id) and isinstance(target.id.get(name), float) else None


def editable_control(rig: bpy.types.Object, name: str) -> Control:
    """As ``control_of``, where a change is kept. Raises UserError for what is linked."""
    control = control_of(rig, name)
    if control.owner.is_editable:
        return control
    editable_keys(rig)
    return control_of(rig, name)


def value_of(rig: bpy.types.Object, name: str) -> float:
    """What an expression is set to, 0 to 1. Raises UserError."""
    control = control_of(rig, name)
    return float(control.owner.path_resolve(control.path))


def set_values(rig: bpy.types.Object, values: dict[str, float], keyed: bool) -> None:
    """Expressions by name, each within 0 to 1, keyed if asked for; names that the head does not have are left out. Raises UserError."""
    keys = shape_keys_of(rig).key_blocks.keys()
    for name, value in values.items():
        if name not in keys:
            continue
        owner, path = editable_control(rig, name)
        value = min(max(float(value), 0.0), 1.0)
        if isinstance(owner, bpy.types.Object):
            owner[name] = value
        else:
            owner.key_blocks[name].value = value
        if keyed:
            owner.keyframe_insert(path, group=group_of(name))
    rig.update_tag()


def slider_of(rig: bpy.types.Object, name: str) -> tuple[bpy.types.bpy_struct, str]:
    """Data and property of an expression for a panel's slider. Raises UserError."""
    control = control_of(rig, name)
    if isinstance(control.owner, bpy.types.Object):
        return control.owner, control.path
    return control.owner.key_blocks[name], "value"


def on_rig(rig: bpy.types.Object) -> bool:
    """Whether the expressions are properties of a rig. Raises UserError."""
    keys = shape_keys_of(rig)
    return any(driver_of(keys, name) is not None for name in expressions_of(rig))


def add_properties(rig: bpy.types.Object, names: Iterable[str]) -> list[str]:
    """A custom property on the rig for each of these expressions, at the shape key's value, that drives it.

    Shape keys with a driver of somebody else's are left alone. Returns the names of those that are new.
    Raises UserError for linked shape keys.
    """
    keys, new = editable_keys(rig), []
    for name in names:
        if keys.animation_data is not None and keys.animation_data.drivers.find(key_path(name)) is not None:
            continue
        add_property(rig, name, keys.key_blocks[name].value)
        add_driver(rig, keys, name)
        new.append(name)
    rig.update_tag()
    return new


def add_property(rig: bpy.types.Object, name: str, value: float) -> None:
    """An expression's property with its range; one that is there keeps its value."""
    if not isinstance(rig.get(name), float):
        rig[name] = min(max(float(value), 0.0), 1.0)
    ranges = rig.id_properties_ui(name)
    ranges.update(min=0.0, max=1.0, soft_min=0.0, soft_max=1.0, default=0.0, precision=3, description="Amount of this expression")
    rig.property_overridable_library_set(path_of(name), True)


def add_driver(rig: bpy.types.Object, keys: bpy.types.Key, name: str) -> None:
    """Let the rig's property move the shape key; without Python, which Blender may forbid in files of others."""
    driver = keys.driver_add(key_path(name)).driver
    driver.type = "AVERAGE"
    variable = driver.variables.new()
    variable.targets[0].id_type, variable.targets[0].id = "OBJECT", rig
    variable.targets[0].data_path = path_of(name)
