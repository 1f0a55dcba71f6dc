"""The extension's preferences: the backend's state and where it is."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

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

    base_python: StringProperty(
        name="Python 3.11",
        description="Python 3.11 that the backend's environment is made with; empty: one is searched on this computer",
        subtype="FILE_PATH",
    )
    wheels: StringProperty(
        name="Wheels",
        description="Folder of wheels to install from without a network; empty: packages are downloaded",
        subtype="DIR_PATH",
    )
    device: EnumProperty(
        name="Device",
        description="What the portraits are computed on: decides which build of torch is installed",
        items=(
            ("cpu", "CPU", "Works on every computer; about 0.3 GB to download", "MEMORY", 0),
            ("cuda", "NVIDIA GPU", "Needs an NVIDIA card and its driver; about 3 GB to download", "SHADING_RENDERED", 1),
        ),
    )
    backend_python: StringProperty(
        name="Other Python",
        description="Python of an environment that holds torch, instead of the one made here",
        subtype="FILE_PATH",
    )
    live_size: IntProperty(
        name="Live Size", description="Width of the live picture in pixels; 0 is the generator's own", default=0, min=0, max=1024
    )

    def draw(self, context: bpy.types.Context) -> None:
        from .ui import environment, status

        layout = self.layout
        layout.use_property_split = True
        status.draw_backend(layout)
        environment.draw(layout, context, self)
        layout.separator()
        layout.prop(self, "live_size")
        layout.prop(self, "backend_python")


CLASSES = (StyleRigPreferences,)
