"""The extension's preferences: the backend's state and where it is."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..live import overlay
from ..settings import PACKAGE, notify
from . import guide, installation, status


class StyleRigPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    base_python: StringProperty(
        name="Base Python",
        description="Python 3.11, 3.12 or 3.13 that the backend's environment is made with; empty: one is searched on this computer",
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
    rigs: StringProperty(
        name="Own Rigs",
        description="Folder of your rigs, each the folder of a finished training, which the backend's next start finds; empty: the usual place",
        subtype="DIR_PATH",
    )  # fmt: skip
    live_size: IntProperty(
        name="Picture Size", description="Width of the live picture in pixels, smaller is faster; 0 is the generator's own", default=0, min=0, max=1024,
        update=notify,
    )  # fmt: skip
    live_playback: EnumProperty(
        name="Playback",
        description="What the live view does while an animation plays",
        items=(
            ("AUTO", "Automatic", "Follow playback where at least every second frame can be shown, else pause and try again now and then"),
            ("FOLLOW", "Follow", "Show as many frames as can be drawn"),
            ("PAUSE", "Pause", "Show the frame at which playback stops"),
        ),
        update=notify,
    )
    overlay: BoolProperty(
        name="Viewport Overlay", description="Show the live portrait in the 3D views, where these show overlays", default=True,
        update=notify,
    )  # fmt: skip
    overlay_place: EnumProperty(
        name="Position",
        description="Where the portrait is shown in a 3D view",
        items=(
            ("BOTTOM_RIGHT", "Bottom Right", "In the lower right corner"),
            ("BOTTOM_LEFT", "Bottom Left", "In the lower left corner"),
            ("TOP_RIGHT", "Top Right", "In the upper right corner"),
            ("TOP_LEFT", "Top Left", "In the upper left corner"),
            ("HEAD", "Over the Head", "Over the mesh where it is seen from the front, else in the lower right corner"),
        ),
        update=notify,
    )
    overlay_size: FloatProperty(
        name="Size", description="Width of the portrait in a corner, as part of the view's shorter side", subtype="FACTOR",
        default=0.35, min=0.1, max=1.0, update=notify,
    )  # fmt: skip
    overlay_opacity: FloatProperty(
        name="Opacity", description="How much of the view the portrait hides", subtype="FACTOR", default=1.0, min=0.0, max=1.0,
        update=notify,
    )  # fmt: skip

    favorites: StringProperty(name="Favorites", description="Seed and truncation of each face kept, as JSON", options={"HIDDEN"})
    flamenco_manager: StringProperty(
        name="Flamenco Manager", description="Address of the Flamenco manager that Render on Farm gives files to",
        default="http://localhost:8080",
    )  # fmt: skip
    ray_address: StringProperty(
        name="Ray Cluster", description="Address of the cluster that Render on Farm uses; local: processes on this computer",
        default="local",
    )  # fmt: skip
    ray_workers: IntProperty(
        name="Ray Workers", description="Processes that draw; 0: as many as the cluster has GPUs, else processors", default=0, min=0,
    )  # fmt: skip

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        guide.draw_links(layout)
        status.draw_backend(layout)
        installation.draw(layout, context, self)
        layout.separator()
        layout.prop(self, "backend_python")
        layout.prop(self, "rigs")
        layout.separator()
        for name in ("flamenco_manager", "ray_address", "ray_workers"):
            layout.prop(self, name)
        layout.separator()
        overlay.draw_settings(layout)


CLASSES = (StyleRigPreferences,)
