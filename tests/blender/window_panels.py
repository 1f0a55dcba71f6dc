"""The panels and the preferences in a Blender with its window, for a person to look at.

    blender --python window_panels.py -- --zip STYLERIG.zip --output FOLDER

Installs the zip (use a private BLENDER_USER_RESOURCES), draws a gallery, builds, mixes and lights a
portrait, and leaves sidebar.png and preferences.png (a high window shows more). The backend is the extension's own if
STYLERIG_PYTHON leads to one, else the fake one beside this file. Needs ImageMagick's ``import``.
Ends Blender with status 0 if all went well. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import window_live_view as window  # noqa: E402

SHUT = ("STYLERIG_PT_head", "STYLERIG_PT_output")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="window_panels.py")
    parser.add_argument("--zip", required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])


def open_panels() -> None:
    """Register the panels anew so that all but a few are open; Blender remembers what it has drawn once."""
    classes = window.part("ui.panels").CLASSES
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
    for cls in classes:
        cls.bl_options = {"DEFAULT_CLOSED"} if cls.__name__ in SHUT else set()
        bpy.utils.register_class(cls)


def screenshot(path: Path) -> Iterator:
    yield from window.pause(1.5)
    subprocess.run(["import", "-window", "root", str(path)], check=True)


def steps(options: argparse.Namespace) -> Iterator:
    if "STYLERIG_PYTHON" not in os.environ:
        window.use_fake_backend()
    bpy.ops.extensions.package_install_files(filepath=options.zip, repo="user_default", enable_on_install=True)
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    gallery = bpy.context.window_manager.stylerig_gallery
    gallery.count = 6
    bpy.ops.stylerig.draw_gallery()
    yield lambda: len(window.part("ui.portraits").CANDIDATES) == 6
    yield from window.new_portrait(3)
    rig = bpy.context.view_layer.objects.active
    window.arrange(rig)
    with bpy.context.temp_override(**window.view_3d()):
        bpy.ops.stylerig.duplicate_portrait()
        bpy.context.view_layer.objects.active = rig
        bpy.ops.stylerig.light_preset(preset="Rembrandt")
        bpy.ops.stylerig.apply_pose(pose="Smile")
    open_panels()
    window.arrange(rig)
    yield from screenshot(options.output / "sidebar.png")
    os.environ.pop("STYLERIG_PYTHON", None)
    with bpy.context.temp_override(**window.view_3d()):
        bpy.ops.preferences.addon_show(module=window.EXTENSION)
    yield from screenshot(options.output / "preferences.png")


if __name__ == "__main__":
    bpy.context.preferences.view.show_splash = False
    window.steps = steps
    bpy.app.timers.register(window.Player(arguments()), first_interval=2.0)
