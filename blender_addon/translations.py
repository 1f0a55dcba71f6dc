"""The interface in the language that Blender is set to.

``locale/LANGUAGE.json`` holds for every message of the interface what it is in that language; an
empty text is not translated yet. A new language is one more file. Where Blender itself has a
message, its own translation is shown. What stands in braces is filled in and stays as it is.
"""

from __future__ import annotations

import json
from pathlib import Path

import bpy

FOLDER = Path(__file__).resolve().parent / "locale"
CONTEXTS = ("*", "Operator")  # where Blender looks: labels and tooltips, names of operators


def tables() -> dict[str, dict[tuple[str, str], str]]:
    """Language -> (context, message) -> translation, as Blender registers them."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        messages = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = {(context, text): told for text, told in messages.items() if told for context in CONTEXTS}
    return found


def said(text: str, **values) -> str:
    """A message in Blender's language, with ``values`` in the places that it has in braces."""
    words = bpy.app.translations.pgettext_rpt(text) if text else ""
    return words.format(**values) if values else words


def told(error: Exception) -> str:
    """Message and hint of one of our errors in Blender's language, as far as there are words for them."""
    values = getattr(error, "values", {})
    message = said(getattr(error, "template", error.message), **values)
    return f"{message} {said(getattr(error, 'hint_template', error.hint), **values)}".strip()


def register() -> None:
    bpy.app.translations.register(__package__, tables())


def unregister() -> None:
    bpy.app.translations.unregister(__package__)
