"""A saved shot for ``full_blender.py`` to render: a portrait that turns and speaks over a plate.

    blender -b --python render_shot.py -- SHOT.blend [--frames N] [--seed S]

The extension must be installed. Output: PNG and multilayer EXR in folders beside the file, Overwrite
off. As in a file that was set up in the window, the compositor's device is the graphics card.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import bpy


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="render_shot.py")
    parser.add_argument("blend", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])


def main(options: argparse.Namespace) -> None:
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, options.frames
    scene.render.resolution_x, scene.render.resolution_y = 320, 240
    bpy.ops.stylerig.new_portrait(seed=options.seed)
    animate(next(item for item in scene.objects if item.type == "ARMATURE"), options.frames)
    bpy.ops.wm.save_as_mainfile(filepath=str(options.blend))
    bpy.ops.stylerig.setup_compositor()
    bpy.ops.stylerig.setup_sequence(directory="//")
    if hasattr(scene.render, "compositor_device"):
        scene.render.compositor_device = "GPU"
    bpy.ops.wm.save_mainfile()


def animate(rig: bpy.types.Object, frames: int) -> None:
    bone, jaw = rig.pose.bones["head"], rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
    for frame, turn, opening in ((1, -0.3, 0.0), (frames, 0.3, 0.6)):
        bone.rotation_euler.y, jaw.value = turn, opening
        bone.keyframe_insert("rotation_euler", frame=frame)
        jaw.keyframe_insert("value", frame=frame)


if __name__ == "__main__":
    main(arguments())
