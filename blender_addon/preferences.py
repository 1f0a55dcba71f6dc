"""The extension's preferences: the backend's state and where it is."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import IntProperty, StringProperty

PACKAGE = __package__


def preferences() -> bpy.types.AddonPreferences | None:
    """The extension's preferences, or None when it is registered without being enabled as an extension."""
    addon = bpy.context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon else None


def user_folder() -> Path:
    """The folder that this extension may write to (not made here)."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE))
    except ValueError:  # run from the source tree, not as an extension
        return Path(bpy.utils.resource_path("USER")) / "stylerig"


class StyleRigPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    backend_python: StringProperty(
        name="Python",
        description="Python of the environment that holds torch; empty: the one in the extension's own folder",
        subtype="FILE_PATH",
    )
    live_size: IntProperty(
        name="Live Size", description="Width of the live picture in pixels; 0 is the generator's own", default=0, min=0, max=1024
    )

    def draw(self, _context: bpy.types.Context) -> None:
        from .ui.status import draw_backend

        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "backend_python")
        layout.prop(self, "live_size")
        draw_backend(layout)


CLASSES = (StyleRigPreferences,)
