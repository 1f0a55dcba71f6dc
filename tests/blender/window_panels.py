"""The panels and the preferences in a Blender with its window, for a person to look at.

    blender --python window_panels.py -- --zip STYLERIG.zip --output FOLDER

Installs the zip (use a private BLENDER_USER_RESOURCES), draws a gallery, builds, mixes and lights a
portrait, and leaves sidebar.png, sidebar_below.png, mesh.png and preferences.png (a high window shows more). The backend is the extension's own if
STYLERIG_PYTHON leads to one, else the fake one beside this file. Needs ImageMagick's ``import``.
Ends Blender with status 0 if all went well. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import window_player as window

SHUT = ("STYLERIG_PT_head", "STYLERIG_PT_output")
BELOW = ("STYLERIG_PT_head", "STYLERIG_PT_looks", "STYLERIG_PT_capture", "STYLERIG_PT_output", "STYLERIG_PT_farm", "STYLERIG_PT_attributes")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="window_panels.py")
    parser.add_argument("--zip", required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])


def steps(options: argparse.Namespace) -> Iterator:
    window.install(options.zip)
    window.empty_scene()
    gallery = bpy.context.window_manager.stylerig_gallery
    gallery.count = 6
    bpy.ops.stylerig.draw_gallery()
    yield lambda: len(window.part("ui.portrait").CANDIDATES) == 6
    yield from window.new_portrait(3)
    rig = bpy.context.view_layer.objects.active
    window.arrange(rig)
    with bpy.context.temp_override(**window.view_3d()):
        bpy.ops.stylerig.duplicate_portrait()
        bpy.context.view_layer.objects.active = rig
        bpy.ops.stylerig.light_preset(preset="Rembrandt")
        bpy.ops.stylerig.apply_pose(pose="Smile")
    yield from sidebar(options.output / "sidebar.png", rig, lambda name: name not in SHUT)
    yield from window.screenshot(options.output / "mesh.png", window.find_area("VIEW_3D"))
    if any(look["name"] == "drawing" for look in window.part("client.backend_manager").backend_client().looks()):
        with bpy.context.temp_override(**window.view_3d()):
            bpy.ops.stylerig.add_look(name="drawing")
    bpy.context.scene.render.engine, bpy.context.scene.render.use_motion_blur = "STYLERIG", True
    yield from other_workspace("Modeling")  # its sidebar remembers no panels that were open or shut
    yield from sidebar(options.output / "sidebar_below.png", rig, lambda name: name in BELOW)
    os.environ.pop("STYLERIG_PYTHON", None)
    with bpy.context.temp_override(**window.view_3d()):
        bpy.ops.preferences.addon_show(module=window.EXTENSION)
    yield from window.pause(1.0)
    shown = bpy.context.window_manager.windows[-1]
    region = window.find_region(window.find_area("PREFERENCES", shown), "WINDOW")
    yield from window.screenshot(options.output / "preferences.png", region, shown)


def other_workspace(name: str) -> Iterator:
    """Another of Blender's, in Object mode."""
    bpy.data.workspaces[name].object_mode = "OBJECT"
    bpy.context.window_manager.windows[0].workspace = bpy.data.workspaces[name]
    yield from window.pause(1.0)


def sidebar(path: Path, rig: bpy.types.Object, is_open: Callable[[str], bool]) -> Iterator:
    """A picture of the sidebar at its own width, some panels open."""
    window.open_panels(is_open)
    window.arrange(rig)
    yield from window.pause(1.0)
    with bpy.context.temp_override(**window.view_3d()):
        bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)  # else a slow screen may still show another tab
    yield from window.screenshot(path, window.find_region(window.find_area("VIEW_3D"), "UI"))


if __name__ == "__main__":
    window.play(steps(arguments()))
