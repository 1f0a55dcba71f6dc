"""The file of a portrait that was made of photos, as a text of the .blend: rigs of one portrait share it, and it goes where they go."""

from __future__ import annotations

import textwrap

import bpy

from ..client import offsets

COLUMNS = 120  # letters of a line


def keep(rig: bpy.types.Object, portrait: dict) -> dict:
    """Pack a portrait's file beside the rig; the portrait that names it only."""
    named, file = offsets.apart(portrait)
    rig.stylerig.offsets = text_of(offsets.digest_of(portrait), file) if file else None
    return named


def text_of(digest: str, file: str) -> bpy.types.Text:
    """The text that holds a file, made where there is none."""
    name, content = f"StyleRig {digest[:16]}", "\n".join(textwrap.wrap(file, COLUMNS))
    found = bpy.data.texts.get(name)
    if found is not None and found.library is None and found.as_string().split() == content.split():
        return found
    text = bpy.data.texts.new(name)
    text.from_string(content)
    return text


def remember(rig: bpy.types.Object, portrait: dict) -> None:
    """Have the file of a rig's portrait at hand for requests."""
    digest, text = offsets.digest_of(portrait), rig.stylerig.offsets
    if digest and digest not in offsets.FILES and text is not None:
        offsets.FILES[digest] = "".join(text.as_string().split())
