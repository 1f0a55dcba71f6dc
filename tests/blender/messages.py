"""What the extension shows: collected from the registered classes and from the calls that draw or tell something."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import bpy

ERRORS = {"RigError": (1, 2), "BackendError": (1, 2), "OutputError": (0, 1)}  # name -> which arguments are words
TELLING = {"said": (0,), "report": (1,), "poll_message_set": (0,), "warn": (0,), "odd": (0,), "tell": (1,)}
DRAWING = {"label", "operator", "prop", "operator_menu_enum", "menu", "progress", "row"}
# Names of people's own things, and texts that are the same in every language.
NOT_WORDS = {"", "stylerig", "StyleRig"}


def classes(extension_name: str) -> list[type]:
    """Registered operators, panels, property groups and the preferences."""
    kinds = (bpy.types.Operator, bpy.types.Panel, bpy.types.Menu, bpy.types.PropertyGroup, bpy.types.AddonPreferences, bpy.types.UIList)
    found = [cls for kind in kinds for cls in kind.__subclasses__() if cls.__module__.startswith(extension_name)]
    return sorted((cls for cls in found if cls.is_registered), key=lambda cls: cls.__name__)


def properties(cls: type) -> Iterator[bpy.types.Property]:
    """Those that the class itself declares and that a person can see."""
    rna = operator_rna(cls) if issubclass(cls, bpy.types.Operator) else cls.bl_rna
    declared = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}
    yield from (prop for prop in rna.properties if prop.identifier in declared and not prop.is_hidden)


def operator_rna(cls: type) -> bpy.types.Struct:
    """An operator as Blender has registered it, with its properties and its tooltip."""
    group, name = cls.bl_idname.split(".")
    return getattr(getattr(bpy.ops, group), name).get_rna_type()


def of_classes(extension_name: str) -> set[str]:
    """Labels and tooltips of operators, panels and properties, names and tooltips of enum items."""
    found = set()
    for cls in classes(extension_name):
        shown = not issubclass(cls, bpy.types.PropertyGroup | bpy.types.AddonPreferences)
        found.add(getattr(cls, "bl_label", "") if shown else "")
        if issubclass(cls, bpy.types.Operator):
            found.add(operator_rna(cls).description)
            found.add(getattr(cls, "waiting", ""))
        for prop in properties(cls):
            found |= {prop.name, prop.description}
            for item in prop.enum_items_static if prop.type == "ENUM" else ():
                found |= {item.name, item.description}
    return found - NOT_WORDS


def of_tables(part) -> set[str]:
    """Texts that stand in tables of the source."""
    found = {text for state in part("ui.installation").STATES.values() for text in (state[0], state[2])}
    found |= {step[0] for step in part("install.installer").STEPS.values()}
    found |= {text for known in part("install.errors").FAILURES for text in known[2:4]}
    found |= {f"{region.capitalize()}" for region in (*part("ui.panels").REGIONS, part("ui.panels").OTHER)}
    found |= {angle for angle, _index in part("ui.panels").ANGLES}
    found |= (
        set(part("rig.expression_presets").POSES)
        | set(part("ui.status").STATES)
        | {part("ui.panels").RESTORE, part("live.controller").RESTARTING}
    )
    return {text for text in found if "{" not in text} - NOT_WORDS


def of_source(package: Path) -> set[str]:
    """Constant texts of what is drawn, reported and raised."""
    found = set()
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found |= set(words(node))
    return found - NOT_WORDS


def words(call: ast.Call) -> Iterator[str]:
    """The constant texts that a call shows."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    places = ERRORS.get(name) or TELLING.get(name) or ()
    shown = [call.args[place] for place in places if place < len(call.args)]
    if name in DRAWING:
        shown += [keyword.value for keyword in call.keywords if keyword.arg == "text"]
    for value in shown:
        for choice in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
            if isinstance(choice, ast.Constant) and isinstance(choice.value, str):
                yield choice.value
