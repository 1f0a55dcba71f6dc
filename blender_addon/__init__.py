"""StyleRig: face rigs in Blender for portraits made by StyleGAN. Registration only."""

from __future__ import annotations

import bpy

from . import output, preferences, properties, translations, ui
from .link import live, session

PARTS = (translations, preferences, properties, session, live, ui, output)  # in the order of registering


def register() -> None:
    for part in PARTS:
        for cls in getattr(part, "CLASSES", ()):
            bpy.utils.register_class(cls)
        if hasattr(part, "register"):
            part.register()


def unregister() -> None:
    for part in reversed(PARTS):
        if hasattr(part, "unregister"):
            part.unregister()
        for cls in reversed(getattr(part, "CLASSES", ())):
            bpy.utils.unregister_class(cls)
