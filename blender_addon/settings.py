"""The extension's settings, as the person has them in Blender's preferences, and who is told when one changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

PACKAGE = __package__
on_change: list[Callable[[], None]] = []  # called after a setting of the live view was changed


def preferences() -> bpy.types.AddonPreferences | None:
    """The extension's preferences, or None when it is registered without being enabled as an extension."""
    addon = bpy.context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon else None


def setting(name: str) -> Any:
    """A preference; its default while the extension is registered without being enabled as one."""
    found = preferences()
    return getattr(found, name) if found else bpy.types.StyleRigPreferences.bl_rna.properties[name].default


def notify(_preferences: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    """For a property's ``update``: tell all who asked to be told."""
    for listener in on_change:
        listener()


def user_folder() -> Path:
    """The folder that this extension may write to (not made here)."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE))
    except ValueError:  # run from the source tree, not as an extension
        return Path(bpy.utils.resource_path("USER")) / "stylerig"
