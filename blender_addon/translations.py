"""The interface in the language that Blender is set to.

``locale/LANGUAGE.json`` holds for every message of the interface what it is in that language; an
empty text is not translated yet. A new language is one more file. Where Blender itself has a
message, its own translation is shown. What stands in braces is filled in and stays as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy

from .errors import Text, UserError

FOLDER = Path(__file__).resolve().parent / "locale"
CONTEXTS = ("*", "Operator")  # where Blender looks: labels and tooltips, names of operators


def tables() -> dict[str, dict[tuple[str, str], str]]:
    """Language -> (context, message) -> translation, as Blender registers them."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        messages = json.loads(path.read_text(encoding="utf-8"))
        translated = {text: words for text, words in messages.items() if words}
        found[path.stem] = {(context, text): words for text, words in translated.items() for context in CONTEXTS}
    return found


def tr(text: str | Text, **values: Any) -> str:
    """A text in Blender's language, with ``values`` in the places that it has in braces."""
    return (text if isinstance(text, Text) else Text(text, **values)).translated(bpy.app.translations.pgettext_rpt)


def tr_error(error: UserError) -> str:
    """Message and hint of an error in Blender's language, as far as there are words for them."""
    return error.translated(bpy.app.translations.pgettext_rpt)


def register() -> None:
    bpy.app.translations.register(__package__, tables())


def unregister() -> None:
    bpy.app.translations.unregister(__package__)
