"""StyleRig: face rigs in Blender for portraits made by StyleGAN. Registration only."""

from __future__ import annotations

import bpy

from . import properties, render, translations, ui
from .client import backend_manager
from .live import controller

PARTS = (translations, properties, backend_manager, controller, ui, render)  # in the order of registering


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
