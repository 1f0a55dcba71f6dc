"""Attributes of a portrait as custom properties of its rig: how much of each direction is added to who it is."""

from __future__ import annotations

import math
import re

import bpy

from ..errors import UserError
from ..protocol import image_texts
from .read_rig import attribute_ranges, clamp, portrait_of

MOST = 96  # that a portrait brings: the backend takes no more
LONGEST_NAME = 63  # bytes that Blender gives a custom property
GROUP = re.compile(r"(.+?)[_ :]+\d+$")  # coarse_1, SeFa 0-1: 2


def path_of(name: str) -> str:
    """The data path of an attribute on its rig, for panels, F-curves and drivers."""
    return f'["{bpy.utils.escape_identifier(name)}"]'


def add_sliders(rig: bpy.types.Object) -> list[str]:
    """A custom property with its range for each attribute; those that are there keep their values. Returns all names."""
    ranges = attribute_ranges(portrait_of(rig))
    for name, (low, high) in ranges.items():
        if not is_number(rig.get(name)):
            rig[name] = 0.0
        settings = rig.id_properties_ui(name)
        settings.update(min=low, max=high, soft_min=low, soft_max=high, default=0.0, precision=2, description="Amount of this attribute")
        rig.property_overridable_library_set(path_of(name), True)
    return list(ranges)


def is_number(value: object) -> bool:
    """Whether a custom property is one that an attribute can be."""
    return isinstance(value, float)


def set_attributes(rig: bpy.types.Object, values: dict[str, float]) -> None:
    """Amounts by name, within their ranges; names that the portrait does not have are left out."""
    for name, (low, high) in attribute_ranges(portrait_of(rig)).items():
        if name in values and math.isfinite(values[name]):
            rig[name] = float(clamp(values[name], low, high))
    rig.update_tag()


def bring_directions(rig: bpy.types.Object, directions: dict) -> list[str]:
    """Give the portrait further attributes, as the backend answers them; those of the same names are replaced. Returns their names.

    Raises UserError, with nothing changed, for more than a portrait can have.
    """
    portrait = dict(portrait_of(rig))
    own = portrait.get("directions") or {"directions": []}
    names = [entry["name"] for entry in directions["directions"]]
    kept = [entry for entry in own["directions"] if entry["name"] not in names and own.get("generator") == directions["generator"]]
    if len(kept) + len(names) > MOST:
        raise UserError(
            "too_many", "A portrait can have {most} directions; these would be {count}.", "Remove some first.",
            most=MOST, count=len(kept) + len(names),
        )  # fmt: skip
    long = next((name for name in names if len(name.encode()) > LONGEST_NAME), None)
    if long is not None:
        raise UserError("long_name", "The name “{name}” is too long for a property.", "Give the direction a shorter one.", name=long)
    store(rig, portrait | {"directions": directions | {"directions": [*kept, *directions["directions"]]}})
    add_sliders(rig)
    return names


def own_names(portrait: dict) -> list[str]:
    """The attributes that a portrait has beside its model's."""
    return [entry["name"] for entry in (portrait.get("directions") or {"directions": []})["directions"]]


def remove_directions(rig: bpy.types.Object, names: list[str]) -> None:
    """Take further attributes away, and their sliders."""
    portrait = dict(portrait_of(rig))
    own = portrait.pop("directions", None) or {"directions": []}
    kept = [entry for entry in own["directions"] if entry["name"] not in names]
    store(rig, portrait | ({"directions": own | {"directions": kept}} if kept else {}))
    for name in set(names) - set(attribute_ranges(portrait_of(rig))):
        if name in rig:
            del rig[name]
    add_sliders(rig)


def store(rig: bpy.types.Object, portrait: dict) -> None:
    """Keep a changed portrait on its rig."""
    rig.stylerig.portrait = image_texts.compact(portrait)
    rig.update_tag()


def in_groups(names: list[str]) -> dict[str, list[str]]:
    """Attributes by what their names have before a number; "" for those without."""
    groups: dict[str, list[str]] = {"": []}
    for name in names:
        numbered = GROUP.fullmatch(name)
        groups.setdefault(numbered[1] if numbered else "", []).append(name)
    return groups
