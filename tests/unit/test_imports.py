"""Who imports whom: no circle between files, and none of the directions that the design forbids.

Read from the source, so imports inside functions count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("blender_addon", "backend", "models")
# The extension's rooms, lowest first: a file imports from its own layer and from those below it.
ADDON_LAYERS = (
    {"errors", "protocol"},
    {"settings", "translations", "windows", "identity"},
    {"install"},
    {"client"},
    {"rig"},
    {"operators"},
    {"properties", "live", "render"},
    {"farm"},
    {"ui"},
    {""},  # the extension's own __init__
)
# Rooms of the models of which none imports one that stands after it.
MODEL_ROOMS = ("io", "face", "generators", "perception", "rigging", "evaluation", "training")
# (who, whom it must not import); who begins so -> no module that begins so.
FORBIDDEN = (
    ("blender_addon", "torch"),
    ("blender_addon", "models"),
    ("blender_addon", "backend"),
    ("models", "backend"),
    ("models", "fastapi"),
    ("models", "uvicorn"),
    ("models", "http"),
    ("models", "urllib.request"),
    ("models", "blender_addon"),
    ("backend", "bpy"),
    ("backend", "blender_addon"),
    *((f"backend.{room}", "blender_addon") for room in ("cli", "files", "protocol", "server")),
    *((f"models.{room}", f"models.{above}") for place, room in enumerate(MODEL_ROOMS) for above in MODEL_ROOMS[place + 1 :]),
    ("models.generators", "models.synthetic"),
    ("models.rigging", "models.synthetic"),
)
ALLOWED = {
    ("backend", "blender_addon.errors"),  # what extension and build.py share, which is in backend.project
    ("backend", "blender_addon.install"),
}


def modules(package: str) -> dict[str, Path]:
    """Name -> file of every module of a package; a package is its ``__init__``."""
    paths = sorted((ROOT / package).rglob("*.py"))
    names = (path.relative_to(ROOT).with_suffix("").parts for path in paths)
    return {".".join(parts).removesuffix(".__init__"): path for parts, path in zip(names, paths, strict=True)}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(name: str, path: Path) -> tuple[str, ...]:
    """Full names of all that a module imports, of modules or of things in them."""
    return tuple(imported(name, path))


def imported(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def graph(known: dict[str, Path]) -> dict[str, set[str]]:
    """Module -> the other modules of the package that it imports."""
    edges = {}
    for name, path in known.items():
        found = (target if target in known else target.rpartition(".")[0] for target in imports(name, path))
        edges[name] = {target for target in found if target in known and target != name}
    return edges


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that import each other, however far round."""
    reached = {name: reachable(name, edges) for name in edges}
    together = {frozenset({name, *(other for other in reached[name] if name in reached[other])}) for name in edges}
    return [set(group) for group in together if len(group) > 1]


def reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found, waiting = set(), [start]
    while waiting:
        fresh = edges[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found


def begins(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


def layer_of(name: str) -> int:
    """The layer of a module of the extension; raises StopIteration for a room that is in none."""
    room = name.split(".")[1] if "." in name else ""
    return next(index for index, rooms in enumerate(ADDON_LAYERS) if room in rooms)


def test_circles_are_found_however_long_they_are():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f"}, "f": {"e"}}
    assert sorted(map(sorted, circles(edges))) == [["a", "b", "c"], ["e", "f"]]


def test_relative_and_lazy_imports_are_resolved(tmp_path):
    path = tmp_path / "part.py"
    path.write_text("from . import one\nfrom ..other import two\ndef late():\n    from .three import four\n    import five.six\n")
    assert sorted(imports("pack.room.part", path)) == ["five.six", "pack.other.two", "pack.room.one", "pack.room.three.four"]
    package = tmp_path / "__init__.py"
    package.write_text("from .part import one\n")
    assert imports("pack.room", package) == ("pack.room.part.one",)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circles_between_files(package):
    edges = graph(modules(package))
    assert any(edges.values())
    assert [sorted(circle) for circle in circles(edges)] == []


@pytest.mark.parametrize(("who", "whom"), FORBIDDEN)
def test_no_forbidden_directions(who, whom):
    allowed = [target for source, target in ALLOWED if source == who]
    sources = {name: path for name, path in modules(who.partition(".")[0]).items() if begins(name, who)}
    assert sources
    found = {name: [target for target in imports(name, path) if begins(target, whom)] for name, path in sources.items()}
    wrong = {name: [target for target in targets if not any(begins(target, one) for one in allowed)] for name, targets in found.items()}
    assert {name: targets for name, targets in wrong.items() if targets} == {}


def test_the_extension_imports_downwards():
    known = modules("blender_addon")
    wrong = {
        (name, target)
        for name, targets in graph(known).items()
        for target in targets
        if name != "blender_addon.demo" and layer_of(target) > layer_of(name)
    }
    assert wrong == set()


def test_the_extension_imports_no_module_inside_a_function_but_what_needs_a_window_or_a_system():
    """A lazy import hides a circle: what is left is Blender's graphics, and modules of one operating system."""
    may_be_late = {"gpu", "gpu_extras", "msvcrt", "fcntl", "platform", "addon_utils"}
    late = set()
    for name, path in modules("blender_addon").items():
        functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
        for node in (inner for function in functions for inner in ast.walk(function)):
            if isinstance(node, ast.ImportFrom) and (node.level or node.module.partition(".")[0] not in may_be_late):
                late.add((name, "." * node.level + (node.module or "")))
            elif isinstance(node, ast.Import):
                late |= {(name, alias.name) for alias in node.names if alias.name.partition(".")[0] not in may_be_late}
    assert late == set()
