"""Draws docs/images/shot.jpg: portraits in a shot, the mesh by Cycles beside them, over one plate.

    .venv/bin/python docs/pictures/shot.py [--seed N]

Cameras that orbit, roll, frame off centre and look from the side of a wide lens. Upper row: the
mesh, lit by the scene; middle: the portrait over the plate; below: both at once, to see how they meet.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "docs" / "images" / "shot.jpg"
WIDTH, HEIGHT, GAP = 300, 300, 4
SAMPLES = 12
TARGET = (0.0, -0.06, 0.015)  # metres; what the cameras look at
SHOTS = (  # azimuth, height (m), distance (m), roll, lens (mm), shift x, shift y
    (0.0, 0.02, 1.2, 0.0, 110, 0.0, 0.0),
    (math.radians(-28), 0.16, 1.0, math.radians(14), 75, 0.12, -0.05),
    (math.radians(24), -0.1, 0.9, math.radians(-24), 60, -0.16, 0.1),
    (math.radians(10), 0.05, 0.7, math.radians(6), 32, 0.22, 0.12),
)


def camera_at(scene, shot) -> None:
    """Point the scene's camera at the head, with roll about its own axis and a shifted lens."""
    from mathutils import Matrix, Vector

    azimuth, height, distance, roll, lens, shift_x, shift_y = shot
    place = Vector(TARGET) + Vector((distance * math.sin(azimuth), -distance * math.cos(azimuth), height))
    look = (Vector(TARGET) - place).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    scene.camera.matrix_world = Matrix.Translation(place) @ look @ Matrix.Rotation(roll, 4, "Z")
    data = scene.camera.data
    data.lens, data.shift_x, data.shift_y = lens, shift_x, shift_y


def prepare(seed: int):
    """A scene with a portrait, a lamp and a world."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 2.6, (math.radians(52), 0, math.radians(-40))
    scene.collection.objects.link(sun)
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = (0.35, 0.38, 0.45)
    bpy.ops.stylerig.new_portrait(seed=seed, truncation=0.7)
    rig = bpy.context.view_layer.objects.active
    rig.stylerig.light_source = "SCENE"
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.film_transparent, scene.view_settings.view_transform = True, "Standard"
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    scene.cycles.samples, scene.cycles.use_denoising = SAMPLES, False
    scene.render.dither_intensity = 0
    return scene


def render_shots(scene, folder: Path) -> None:
    """Every shot by both engines, as PNG with alpha."""
    import bpy

    for number, shot in enumerate(SHOTS):
        camera_at(scene, shot)
        for engine in ("CYCLES", "STYLERIG"):
            scene.render.engine = engine
            scene.render.filepath = str(folder / f"{engine}-{number}.png")
            bpy.ops.render.render(write_still=True)


def in_blender(script: Path, folder: Path, *arguments: object) -> None:
    """Run a script of this folder with ``--inside FOLDER arguments…`` in the first Blender here, with the extension installed."""
    sys.path.insert(0, str(ROOT))
    from backend.project.blender import wheels
    from backend.project.environments import ENVIRONMENTS
    from backend.project.extension import package

    found = wheels([environment for environment in ENVIRONMENTS if environment.state()])
    if not found:
        raise SystemExit("No Blender here: run python build.py setup.")
    found[0].install(package(folder), folder / "user")
    command = found[0].command(script, "--inside", str(folder), *map(str, arguments))
    subprocess.run(command, env=found[0].environment(folder / "user"), stdin=subprocess.DEVNULL, check=True)


def inside(work: Callable[[], None]) -> None:
    """Do the work in Blender with the extension and Cycles on, and end the process: 4.5 waits for ever at exit while an engine is registered."""
    import bpy  # noqa: F401

    # isort: split
    import addon_utils  # importable only after bpy

    status = 1
    try:
        addon_utils.enable("bl_ext.user_default.stylerig")
        addon_utils.enable("cycles")
        work()
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        addon_utils.disable("bl_ext.user_default.stylerig")
        sys.stdout.flush()
        os._exit(status)


def plate():
    """A room out of focus, as a picture."""
    from PIL import Image, ImageDraw, ImageFilter

    picture = Image.new("RGB", (WIDTH, HEIGHT), (58, 66, 84))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, HEIGHT * 2 // 3, WIDTH, HEIGHT), fill=(92, 74, 60))
    draw.rectangle((WIDTH * 5 // 8, HEIGHT // 8, WIDTH * 15 // 16, HEIGHT // 2), fill=(214, 206, 180))
    draw.rectangle((WIDTH // 16, HEIGHT // 4, WIDTH // 5, HEIGHT * 3 // 4), fill=(40, 44, 50))
    return picture.filter(ImageFilter.GaussianBlur(9))


def sheet(folder: Path) -> list:
    """Three rows of images (H, W, 3): mesh, portrait over the plate, both."""
    import numpy as np
    from PIL import Image

    columns = []
    for number in range(len(SHOTS)):
        rows = []
        for engine in ("CYCLES", "STYLERIG"):
            over = Image.open(folder / f"{engine}-{number}.png")
            rows.append(plate())
            rows[-1].paste(over, (0, 0), over)
        columns.append((*rows, Image.blend(*rows, 0.5)))
    return [np.asarray(tile) for row in zip(*columns, strict=True) for tile in row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=17)
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_blender(Path(__file__), folder, seed)
        from models.io.images import image_grid, save_image

        save_image(OUTPUT, image_grid(sheet(folder), len(SHOTS), GAP), quality=82)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    if "--inside" in sys.argv:
        inside(lambda: render_shots(prepare(int(sys.argv[-1])), Path(sys.argv[-2])))
    main()
