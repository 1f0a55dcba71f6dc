"""Panels and operators."""

from __future__ import annotations

from ..live import overlay
from . import attributes, backend, farm, favorites, installation, light, live_capture, looks, panels, photo, portrait, pose, preferences

PARTS = (
    installation,
    backend,
    favorites,
    portrait,
    photo,
    pose,
    attributes,
    looks,
    light,
    live_capture,
    overlay,
    panels,
    farm,
    preferences,
)
CLASSES = tuple(cls for part in PARTS for cls in part.CLASSES)


def register() -> None:
    for part in PARTS:
        if hasattr(part, "register"):
            part.register()


def unregister() -> None:
    for part in reversed(PARTS):
        if hasattr(part, "unregister"):
            part.unregister()
