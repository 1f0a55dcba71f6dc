"""Whether a JSON value is what a JSON schema says: as much of the standard as pydantic's schemas use."""

from __future__ import annotations

import re
from typing import Any

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
LENGTHS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems"), "object": ("minProperties", "maxProperties")}


def problems(value: Any, schema: dict, root: dict, place: str = "$") -> list[str]:
    """What is wrong with ``value``, each with its place; ``root`` is the document that references point into."""
    if "$ref" in schema:
        return problems(value, resolved(schema["$ref"], root), root, place)
    if "anyOf" in schema or "oneOf" in schema:
        found = [problems(value, one, root, place) for one in schema.get("anyOf") or schema["oneOf"]]
        return [] if [] in found else [f"{place}: {found}"]
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{place} is no {kind}: {value!r:.80}"]
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        return [f"{place} is not allowed: {value!r:.80}"]
    return [*bounds(value, kind, schema, place), *parts(value, kind, schema, root, place)]


def resolved(reference: str, root: dict) -> dict:
    """The schema that "#/a/b" points at."""
    found = root
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def bounds(value: Any, kind: str | None, schema: dict, place: str) -> list[str]:
    least, most = LENGTHS.get(kind, ("minimum", "maximum"))
    size = len(value) if kind in LENGTHS else value
    found = [name for name, wrong in ((least, size < schema[least] if least in schema else False),
                                      (most, size > schema[most] if most in schema else False)) if wrong]  # fmt: skip
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append("pattern")
    return [f"{place} breaks {', '.join(found)}: {value!r:.80}"] if found else []


def parts(value: Any, kind: str | None, schema: dict, root: dict, place: str) -> list[str]:
    """What is wrong with the members of an object or a list."""
    if kind == "array" and "items" in schema:
        return [text for i, item in enumerate(value) for text in problems(item, schema["items"], root, f"{place}[{i}]")]
    if kind != "object":
        return []
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    patterns = schema.get("patternProperties", {})
    found = [f"{place} has no {name}" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        matched = [entry for pattern, entry in patterns.items() if re.search(pattern, name)]
        if matched:
            found += problems(item, matched[0], root, f"{place}.{name}")
        elif name in known or isinstance(others, dict):
            found += problems(item, known.get(name, others), root, f"{place}.{name}")
        elif others is False:
            found.append(f"{place}.{name} is unknown")
    return found
