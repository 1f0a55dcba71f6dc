"""The demo's shot, made and rendered inside Blender. The extension does not import this file.

    blender -b --python demo.py -- --output DIR [--frames N] [--seed S]
    blender -b --python demo.py -- --again DIR/demo.blend

The bpy wheel runs it as a script: python demo.py -- ARGUMENTS. Reports are lines "@step TEXT",
"@progress DONE TOTAL", "@result JSON" and "@error TEXT" on standard output.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

import bpy

# isort: split
import io

import addon_utils  # Blender's own; importable only after bpy
import numpy as np

EXTENSION = "bl_ext.user_default.stylerig"
RESOLUTION = (480, 270)  # the portrait fills the height, the plate the rest
RATE = 24  # frames per second
TEXTURE_SIZE = 512
TURN = math.radians(25)

# Keys by time, 0 to 1 of the shot.
YAW = ((0.0, 0.0), (0.25, -TURN), (0.5, 0.0), (0.75, TURN), (1.0, 0.0))
PITCH = ((0.0, 0.0), (0.375, math.radians(-6)), (0.625, math.radians(6)), (1.0, 0.0))
EXPRESSIONS = {
    "mouthSmile_L": ((0.0, 0.0), (0.25, 0.8), (0.5, 0.1), (0.8, 0.6), (1.0, 0.3)),
    "mouthSmile_R": ((0.0, 0.0), (0.25, 0.8), (0.5, 0.1), (0.8, 0.6), (1.0, 0.3)),
    "jawOpen": ((0.3, 0.0), (0.5, 0.6), (0.7, 0.0)),
    "browInnerUp_L": ((0.3, 0.0), (0.5, 0.8), (0.7, 0.0)),
    "browInnerUp_R": ((0.3, 0.0), (0.5, 0.8), (0.7, 0.0)),
}
LIGHT_FROM = ((0.0, (-0.8, -0.6, 0.3)), (0.5, (0.0, -0.9, 0.5)), (1.0, (0.8, -0.6, 0.3)))  # Blender's axes
LIGHT_STRENGTH = ((0.0, 1.0), (0.5, 1.2), (1.0, 1.0))


class DemoError(Exception):
    """What went wrong, for the person who ran the demo."""


def report(kind: str, text: object) -> None:
    print(f"@{kind} {text}", flush=True)


def step(text: str) -> None:
    report("step", text)


def make(output: Path, frames: int, seed: int) -> dict:
    """Make the shot, render it, and say how that went."""
    step(f"Starting the backend and drawing a portrait (seed {seed})")
    scene = new_scene(frames)
    bpy.ops.stylerig.new_portrait(large_seed=str(seed), truncation=0.7)
    rig = next((item for item in scene.objects if item.type == "ARMATURE" and item.stylerig.is_rig), None)
    if rig is None:
        raise DemoError("No rig was made.")
    head = rig.stylerig.head
    names = len(head.data.shape_keys.key_blocks) - 1
    step(f"Built the rig: {len(head.data.vertices)} vertices, {names} shape keys, {len(rig.pose.bones)} bones")
    animate(rig, head, frames)
    step(f"Keyed head turn, expression and light over {frames} frames")
    blend = output / "demo.blend"
    set_up_output(scene, output, blend)
    bpy.ops.stylerig.portrait_texture(size=TEXTURE_SIZE, filepath=str(output / "texture.png"))
    step("Wrote the portrait as an image texture of the mesh: texture.png")
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    step(f"Rendering {frames} frames of {RESOLUTION[0]}×{RESOLUTION[1]} with passes")
    return render(scene)


def new_scene(frames: int) -> bpy.types.Scene:
    """An empty scene rendered by StyleRig; setting up its output adds the portrait's camera."""
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "STYLERIG"
    scene.render.resolution_x, scene.render.resolution_y = RESOLUTION
    scene.render.resolution_percentage = 100
    scene.render.fps = RATE
    scene.frame_start, scene.frame_end = 1, frames
    return scene


def frame_at(moment: float, frames: int) -> int:
    """The frame at a time from 0 to 1 of the shot."""
    return 1 + round(moment * (frames - 1))


def animate(rig: bpy.types.Object, head: bpy.types.Object, frames: int) -> None:
    """Native keyframes on the head bone, shape keys and light. Keys are relative to the portrait's own pose."""
    bone = rig.pose.bones["head"]
    own_pitch, own_yaw, _roll = bone.rotation_euler  # the bone's axes are the face model's
    for moment, angle in PITCH:
        bone.rotation_euler.x = own_pitch + angle
        bone.keyframe_insert("rotation_euler", index=0, frame=frame_at(moment, frames))
    for moment, angle in YAW:
        bone.rotation_euler.y = angle if angle else own_yaw
        bone.keyframe_insert("rotation_euler", index=1, frame=frame_at(moment, frames))
    keys = head.data.shape_keys.key_blocks
    for name, values in EXPRESSIONS.items():
        for moment, value in values:
            keys[name].value = value
            keys[name].keyframe_insert("value", frame=frame_at(moment, frames))
    for moment, direction in LIGHT_FROM:
        rig.stylerig.light_direction = direction
        rig.keyframe_insert("stylerig.light_direction", frame=frame_at(moment, frames))
    for moment, strength in LIGHT_STRENGTH:
        rig.stylerig.light_strength = strength
        rig.keyframe_insert("stylerig.light_strength", frame=frame_at(moment, frames))


def set_up_output(scene: bpy.types.Scene, output: Path, blend: Path) -> None:
    """Plate behind the portrait, PNG frames, EXR passes; all paths relative to the .blend file."""
    plate = output / "plate.png"
    write_image(plate, plate_pixels(*RESOLUTION))
    bpy.context.preferences.filepaths.save_version = 0  # no demo.blend1
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    bpy.ops.stylerig.setup_sequence(directory="//")
    bpy.ops.stylerig.setup_compositor(filepath=str(plate))
    for image in bpy.data.images:
        if image.filepath:
            image.filepath = bpy.path.relpath(image.filepath)
    scene.render.use_overwrite = True  # the file renders all of itself again
    step(f"Set up the compositor over {plate.name}, PNG frames and multilayer EXR")


def plate_pixels(width: int, height: int) -> np.ndarray:
    """A street at dusk, far out of focus: (height, width, 4) display values, row 0 at the bottom."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    below, above = np.array((0.16, 0.12, 0.12)), np.array((0.20, 0.26, 0.38))
    picture = below + (above - below) * np.clip(y, 0, 1)[..., None]
    for _ in range(40):
        centre = random.uniform((0, 0.1), (width / height, 0.9))
        radius = random.uniform(0.02, 0.09)
        distance = np.hypot(x - centre[0], y - centre[1])
        disc = np.clip((radius - distance) * height / 3 + 0.5, 0, 1)[..., None]
        picture = picture + disc * random.uniform(0.04, 0.2) * random.uniform((0.7, 0.5, 0.2), (1.0, 0.8, 0.7))
    return np.concatenate([np.clip(picture, 0, 1), np.ones((height, width, 1))], axis=-1)


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Save (H, W, 4) display values as PNG."""
    image = bpy.data.images.new(path.stem, pixels.shape[1], pixels.shape[0], alpha=True)
    image.pixels.foreach_set(pixels.astype(np.float32).ravel())
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)


def render(scene: bpy.types.Scene) -> dict:
    """Render the scene's animation. Raises DemoError when a frame is missing after it."""
    frames = range(scene.frame_start, scene.frame_end + 1)
    written = []

    def count(*_arguments: object) -> None:
        written.append(scene.frame_current)
        report("progress", f"{len(written)} {len(frames)}")

    bpy.app.handlers.render_write.append(count)
    started = time.monotonic()
    bpy.ops.render.render(animation=True)
    seconds = time.monotonic() - started
    bpy.app.handlers.render_write.remove(count)
    missing = [frame for frame in frames if not Path(scene.render.frame_path(frame=frame)).is_file()]
    if missing:
        raise DemoError(f"Frames {missing} were not written.")
    return {"frames": len(frames), "seconds": seconds, "seconds_per_frame": seconds / len(frames)}


def again(blend: Path) -> dict:
    """Render a saved shot once more, in a process that has not made it."""
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene = bpy.context.scene
    step(f"Rendering {blend.name} again")
    return render(scene)


def run(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="demo.py")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--again", type=Path, metavar="BLEND")
    options = parser.parse_args(arguments)
    addon_utils.enable(EXTENSION)
    if not hasattr(bpy.types.Object, "stylerig"):
        raise DemoError("The extension is not installed in this Blender, or cannot be enabled.")
    result = again(options.again) if options.again else make(options.output, options.frames, options.seed)
    report("result", json.dumps(result))


def main() -> int:
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a pipe may not hold every folder's name
    try:
        run(arguments)
        return 0
    except (DemoError, RuntimeError) as error:  # RuntimeError: an operator's own words
        traceback.print_exc()
        report("error", " ".join(str(error).removeprefix("Error: ").split()))
        return 1
    finally:
        addon_utils.disable(EXTENSION)  # stops the backend


def leave(status: int) -> None:
    """End the process at once: bpy 4.5 can wait for ever in its own way out. Its folder goes with it."""
    shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
