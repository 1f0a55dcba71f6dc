"""Draws a shot as a compositor makes it: frames, a film and a sheet of them, in a folder.

    .venv/bin/python docs/pictures/composite.py FOLDER [--width N] [--frames N] [--every N] [--samples N] [--seeds N N]

The camera moves past two people behind a parapet; one stands behind a column. The plate has grain, the light turns, the
shutter is open for half a frame, the lens is focused on the person in front. Objects are rendered by Cycles.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import shot

RATE = 25
CYCLES_SAMPLES = 24
GRAIN, GRAIN_SIZE = 0.035, 1.6  # of white, pixels across
COLUMN = (0.17, -0.25, 0.04)  # metres: to the right, towards the camera (negative), radius
PARAPET = (-0.17, 0.04, -0.085)  # metres: its middle towards the camera (negative), its depth, its upper side; necks end behind it
PEOPLE = ((-0.14, 0.0, 0.0), (0.24, 0.3, 0.01))  # where they stand, metres
TURNS = ((-0.35, 0.2), (-0.1, 0.25))  # of their heads at the first and the last frame, radians


def write_plate(folder: Path, width: int, frames: int) -> Path:
    """A room out of focus with grain that passes by, a PNG for each frame; returns the first."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    height, wide = width * 9 // 16, width * 5 // 4
    room = Image.new("RGB", (wide, height), (58, 66, 84))
    draw = ImageDraw.Draw(room)
    draw.rectangle((0, height * 3 // 4, wide, height), fill=(92, 74, 60))
    draw.rectangle((wide * 5 // 8, height // 8, wide * 7 // 8, height // 2), fill=(214, 206, 180))
    draw.rectangle((wide // 10, height // 4, wide // 5, height * 3 // 4), fill=(40, 44, 50))
    room = room.filter(ImageFilter.GaussianBlur(width / 45))
    random = np.random.default_rng(0)
    for frame in range(1, frames + 1):
        left = (wide - width) * (frame - 1) / max(frames - 1, 1)
        seen = room.transform((width, height), Image.Transform.AFFINE, (1, 0, left, 0, 1, 0), Image.Resampling.BICUBIC)
        linear = ((np.asarray(seen) / 255 + 0.055) / 1.055) ** 2.4
        linear = (linear + GRAIN * np.sqrt(linear) * noise(random, height, width)).clip(0.002, 1)
        Image.fromarray(np.rint(255 * (1.055 * linear ** (1 / 2.4) - 0.055)).astype(np.uint8)).save(folder / f"plate_{frame:04}.png")
    return folder / "plate_0001.png"


def noise(random, height: int, width: int):
    """(H, W, 3) of deviation 1 with grains of GRAIN_SIZE."""
    import numpy as np

    squared = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2
    wave = np.exp(-2 * (np.pi * GRAIN_SIZE / 2) ** 2 * squared)[..., None]
    field = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width, 3)), axes=(0, 1)) * wave, s=(height, width), axes=(0, 1))
    return field / field.std()


def keyed(thing, path: str, first: float, first_value, last: float, last_value) -> None:
    """Key a property at two frames, in a straight line."""
    for frame, value in ((first, first_value), (last, last_value)):
        setattr(thing, path, value)
        thing.keyframe_insert(path, frame=frame)
    curves = thing.id_data.animation_data.action.layers[0].strips[0].channelbag(thing.id_data.animation_data.action_slot).fcurves
    for key in (key for curve in curves for key in curve.keyframe_points):
        key.interpolation = "LINEAR"


def add_people(frames: int, seeds: list[int]) -> None:
    """Portraits that turn and speak, lit by the scene."""
    import bpy

    for place, seed, (first, last) in zip(PEOPLE, seeds, TURNS, strict=True):
        bpy.ops.stylerig.new_portrait(seed=seed, truncation=0.7)
        rig = bpy.context.view_layer.objects.active
        rig.location, rig.rotation_euler, rig.stylerig.light_source = place, (0, 0, 0), "SCENE"
        bone = rig.pose.bones["head"]
        keyed(bone, "rotation_euler", 1, (0, first, 0), frames, (0.08, last, 0))
        jaw = rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
        for frame in range(1, frames + 1, 5):
            jaw.value = 0.5 * (frame // 5 % 2)
            jaw.keyframe_insert("value", frame=frame)


def add_objects() -> None:
    """A column that one of the people stands behind, and a parapet before both."""
    import bpy

    x, y, radius = COLUMN
    bpy.ops.mesh.primitive_cylinder_add(vertices=48, radius=radius, depth=3, location=(x, y, 0))
    paint(bpy.context.object, (0.25, 0.09, 0.05, 1))
    y, depth, top = PARAPET
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, y, top - 0.5), scale=(4, depth, 1))
    paint(bpy.context.object, (0.16, 0.15, 0.13, 1))


def paint(item, colour: tuple[float, ...]) -> None:
    import bpy

    material = bpy.data.materials.new(item.name)
    material.use_nodes = True
    surface = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    surface.inputs["Base Color"].default_value, surface.inputs["Roughness"].default_value = colour, 0.6
    item.data.materials.append(material)


def prepare(folder: Path, width: int, frames: int, samples: int, seeds: list[int]):
    """The whole shot, set up by the extension's own buttons."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = width, width * 9 // 16, RATE
    scene.frame_start, scene.frame_end = 1, frames
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = (0.25, 0.28, 0.33)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy = 2.6
    scene.collection.objects.link(sun)
    add_people(frames, seeds)
    add_objects()
    keyed(camera, "location", 1, (-0.3, -1.5, 0.06), frames, (0.2, -1.35, 0.04))
    keyed(camera, "rotation_euler", 1, (math.radians(89), 0, math.radians(-11)), frames, (math.radians(89), 0, math.radians(6)))
    keyed(sun, "rotation_euler", 1, (math.radians(55), 0, math.radians(-60)), frames, (math.radians(45), 0, math.radians(50)))
    lens = camera.data
    lens.lens, lens.dof.use_dof, lens.dof.aperture_fstop = 65, True, 2.0
    lens.dof.focus_object = next(item for item in scene.objects if item.type == "ARMATURE")
    render = scene.render
    render.use_motion_blur, render.motion_blur_shutter, scene.stylerig.motion_samples = True, 0.5, samples
    plate = folder / "plate_0001.png"
    bpy.ops.stylerig.setup_compositor(filepath=str(plate), objects=True, depth_of_field=True, match_plate=True, sequence=True)
    other = bpy.data.scenes["Scene Objects"]
    other.render.engine, other.cycles.samples, other.cycles.use_denoising = "CYCLES", CYCLES_SAMPLES, False
    render.image_settings.file_format, render.filepath = "PNG", str(folder / "frame_")
    return scene


def render_frames(folder: Path, settings: dict) -> None:
    import bpy

    every = settings.pop("every")
    scene = prepare(folder, **settings)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    scene.frame_step = every
    bpy.ops.render.render(animation=True)


def film(folder: Path, rate: float) -> Path:
    """The frames as one WebP."""
    from PIL import Image

    first, *rest = (Image.open(path) for path in sorted(folder.glob("frame_*.png")))
    first.save(folder / "film.webp", "WEBP", quality=80, save_all=True, append_images=rest, duration=round(1000 / rate), loop=0)
    return folder / "film.webp"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--every", type=int, default=1, help="draw every N-th frame only")
    parser.add_argument("--samples", type=int, default=8, help="of motion blur")
    parser.add_argument("--seeds", type=int, nargs=2, default=(17, 3))
    settings = vars(parser.parse_args())
    folder = settings.pop("folder").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    write_plate(folder, settings["width"], settings["frames"])
    shot.in_blender(Path(__file__), folder, json.dumps(settings))
    print(film(folder, RATE / settings["every"]))


if __name__ == "__main__":
    if "--inside" in sys.argv:
        shot.inside(lambda: render_frames(Path(sys.argv[-2]), json.loads(sys.argv[-1])))
    main()
