"""What the extension shows: collected from the registered classes and from the calls that draw or tell something."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import bpy

# name of what is called -> which of its arguments are words
ERRORS = {"UserError": (1, 2), "Text": (0,)}
TELLING = {"tr": (0,), "report": (1,), "poll_message_set": (0,), "odd": (0,), "tell": (1,), "update_stats": (0, 1), "status_text_set": (0,)}
FILLED_IN = {"UserError", "Text", "tr"}  # whose keyword arguments are put into the words
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
    found |= {text for known in part("install.errors").FAILURES for text in known[2:]}
    found |= set(part("install.python_discovery").INSTALL_STEPS.values())
    found |= {f"{region.capitalize()}" for region in (*part("rig.controls").REGIONS, part("rig.controls").OTHER)}
    found |= {angle for angle, _index in part("ui.panels").ANGLES}
    found |= (
        set(part("rig.expression_presets").POSES)
        | set(part("ui.status").STATES)
        | set(part("ui.status").DOWNLOADS.values())
        | {part("ui.panels").RESTORE_HINT}
    )
    found |= {text for known in part("client.backend_messages").MESSAGES.values() for text in known}
    found |= set(part("farm.flamenco").STATUSES.values()) | {text for text, _page in part("ui.guide").PAGES}
    process = part("client.process")
    found |= {text for known in (*process.KNOWN_FAILURES.values(), process.UNKNOWN_FAILURE) for text in known}
    return found - NOT_WORDS


def of_source(package: Path) -> set[str]:
    """Constant texts of what is drawn, reported and raised."""
    found = {text for _place, call in calls(package) for value in shown(call) for text in constants(value)}
    return found - NOT_WORDS


def formatted(package: Path) -> list[str]:
    """Where words are put together before they are translated: file and line."""
    return [
        place
        for place, call in calls(package)
        if any(map(is_formatted, shown(call))) or (name_of(call) in FILLED_IN and any(map(is_english, call.keywords)))
    ] + [*hidden(package)]


def hidden(package: Path) -> Iterator[str]:
    """Where a call shows words that were put into a variable first, so that they are not found: file and line."""
    for path, function in nodes(package, ast.FunctionDef):
        inner = list(ast.walk(function))
        assigned = [node for node in inner if isinstance(node, ast.Assign) and (is_formatted(node.value) or any(constants(node.value)))]
        names = {target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)}
        for call in (node for node in inner if isinstance(node, ast.Call) and name_of(node) in FILLED_IN):
            if any(isinstance(value, ast.Name) and value.id in names for value in shown(call)):
                yield f"{path}:{call.lineno}"


def calls(package: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in the source, and where it stands."""
    yield from ((f"{path}:{node.lineno}", node) for path, node in nodes(package, ast.Call))


def nodes(package: Path, kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """All of this kind in the source, with the file's path in the package."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield path.relative_to(package).as_posix(), node


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def shown(call: ast.Call) -> list[ast.expr]:
    """What a call shows of its arguments; each choice where one is made there."""
    name = name_of(call)
    places = ERRORS.get(name) or TELLING.get(name) or ()
    values = [call.args[place] for place in places if place < len(call.args)]
    if name in DRAWING:
        values += [keyword.value for keyword in call.keywords if keyword.arg == "text"]
    return [choice for value in values for choice in ((value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,))]


def constants(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value


def is_formatted(value: ast.expr) -> bool:
    """Whether words are put together here: f"{size} pixels", "%d pixels" % size, "{} pixels".format(size), "pixels: " + size."""
    if isinstance(value, ast.JoinedStr):
        return any(has_letters(part) for part in value.values)
    if isinstance(value, ast.BinOp):
        return has_letters(value.left) or has_letters(value.right) or is_formatted(value.left) or is_formatted(value.right)
    return isinstance(value, ast.Call) and name_of(value) == "format" and has_letters(getattr(value.func, "value", value))


def is_english(keyword: ast.keyword) -> bool:
    """Whether words, which should be a Text, are filled into others."""
    value = keyword.value
    return is_formatted(value) or any(" " in text.strip() for text in constants(value))


def has_letters(part: ast.expr) -> bool:
    return any(letter.isalpha() for text in constants(part) for letter in text)
