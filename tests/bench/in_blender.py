"""Blender's part of bench_blender: run by Blender, prints one line "@result JSON". --quick: the least of everything."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path

import bpy

# isort: split
import addon_utils  # Blender's own; importable only after bpy
import numpy as np
from timing import milliseconds  # beside this file

EXTENSION = "bl_ext.user_default.stylerig"
QUICK = "--quick" in sys.argv
SHAPE_KEYS, VERTICES = (3, 400) if QUICK else (224, 5000)
FRAMES, STARTING, RUNS = (
    (4, 1, 1) if QUICK else (40, 3, 4)
)  # of an animation: how many of its frames are not counted, how often it is rendered
PATIENCE = 120.0  # seconds for any one picture


def repeats(number: int) -> int:
    return 1 if QUICK else number


def part(name: str):
    return importlib.import_module(f"{EXTENSION}.{name}")


def registering() -> dict[str, float]:
    extension, times = importlib.import_module(EXTENSION), []
    for _ in range(repeats(7)):
        extension.unregister()
        started = time.perf_counter()
        extension.register()
        times.append(1e3 * (time.perf_counter() - started))
    return {"register_ms": statistics.median(times)}


def idle() -> dict[str, float]:
    """A frame change with the extension against one without it, in turns; a scene with one keyed object."""
    extension, scene = importlib.import_module(EXTENSION), bpy.context.scene
    cube = bpy.data.objects.new("Empty", None)
    scene.collection.objects.link(cube)
    for frame in (1, 100):
        cube.location.x = frame
        cube.keyframe_insert("location", frame=frame)
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(repeats(6)):
        for registered in (True, False):
            if not registered:
                extension.unregister()
            times[registered] += milliseconds(lambda step: scene.frame_set(1 + step % 100), repeats(200))
            if not registered:
                extension.register()
    with_it, without = (statistics.median(times[registered]) for registered in (True, False))
    return {"frame_change_us": 1e3 * with_it, "frame_change_without_us": 1e3 * without, "idle_cost_us": 1e3 * (with_it - without)}


class Slider:
    """A portrait with the live view on, and the times of what moving a slider takes."""

    def __init__(self) -> None:
        bpy.ops.stylerig.new_portrait(seed=7)
        rig = bpy.context.view_layer.objects.active
        self.key = rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
        self.view = part("live.controller").VIEW
        self.held: list[tuple[float, float]] = []  # wall-clock and own milliseconds of each look of the timer
        bpy.ops.stylerig.live_view()

    def look(self) -> None:
        """What Blender's timer does, timed."""
        wall, own = time.perf_counter(), time.thread_time()
        self.view.poll()
        self.held.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.thread_time() - own)))

    def move(self, step: int) -> None:
        """From the moment the slider moves to the moment its picture is in the image."""
        self.key.value = (step * 0.37) % 1
        bpy.context.view_layer.update()
        self.look()
        end = time.monotonic() + PATIENCE
        while self.view.changed or self.view.worker.busy or self.view.worker._answer is not None:
            assert time.monotonic() < end and not self.view.failed, self.view.status
            self.look()
            time.sleep(0.0005)
        self.look()


def slider_to_pixels() -> dict[str, float]:
    """The live view at the generator's own size, then how long larger pictures hold the main thread.

    Held: the longest look of the timer in each step, as the wall clock has it; own: in the thread's own
    time, which other work on the machine lengthens less. Medians over the steps, and the largest own time.
    """
    slider, longest = Slider(), []

    def timed(step: int) -> None:
        slider.held.clear()
        slider.move(step)
        longest.append(tuple(max(times) for times in zip(*slider.held, strict=True)))

    times = milliseconds(timed, repeats(40), warm=5)
    figures = {"slider_to_pixels_ms": statistics.median(times), "slider_to_pixels_shortest_ms": min(times)}
    figures |= held("", longest[-len(times) :])
    settings = bpy.context.preferences.addons[EXTENSION].preferences
    for size in (512, 1024)[: repeats(2)]:
        settings.live_size = size
        longest.clear()
        times = milliseconds(timed, repeats(10))
        figures |= held(f"_{size}", longest[-len(times) :])
    bpy.ops.stylerig.live_view()
    part("client.backend_manager").BACKEND.stop()
    return figures


def held(suffix: str, longest: list[tuple[float, float]]) -> dict[str, float]:
    wall, own = zip(*longest, strict=True)
    return {
        f"main_thread_held{suffix}_ms": statistics.median(wall),
        f"main_thread_own{suffix}_ms": statistics.median(own),
        f"main_thread_own_most{suffix}_ms": max(own),
    }


def keyed_shot(folder: Path) -> None:
    """A portrait whose head, jaw and light are keyed, to be rendered as PNG at the size of the generator."""
    bpy.ops.stylerig.new_portrait(seed=7)
    scene, rig = bpy.context.scene, bpy.context.view_layer.objects.active
    bone, jaw = rig.pose.bones["head"], rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
    for frame, turn in ((1, -0.4), (FRAMES, 0.4)):
        bone.rotation_euler.y, jaw.value, rig.stylerig.light_strength = turn, 0.5 + turn, 1 + turn
        bone.keyframe_insert("rotation_euler", frame=frame)
        jaw.keyframe_insert("value", frame=frame)
        rig.keyframe_insert("stylerig.light_strength", frame=frame)
    portrait = part("rig.read_rig").portrait_of(rig)
    size = len(part("client.backend_manager").backend_client().frame(portrait, {})["Combined"])
    render = scene.render
    render.engine, render.image_settings.file_format, render.filepath = "STYLERIG", "PNG", str(folder / "frame_")
    render.resolution_x = render.resolution_y = size
    scene.frame_start, scene.frame_end = 1, FRAMES
    part("render.portrait_camera").ensure_camera(scene)


def animation_render() -> dict[str, float]:
    """Milliseconds per frame of an animation, from file to file, as it is and without looking ahead: the shortest of some runs."""
    ahead, written = part("render.prefetch"), []
    allowed = ahead.MAX_MISSES
    times: dict[int, list[float]] = {allowed: [], 0: []}  # none in vain allowed: none at all
    bpy.app.handlers.render_write.append(lambda *_: written.append(time.perf_counter()))
    with tempfile.TemporaryDirectory() as folder:
        keyed_shot(Path(folder))
        for most in (allowed, 0) * RUNS:
            ahead.MAX_MISSES = most
            written.clear()
            bpy.ops.render.render(animation=True)
            times[most].append(1e3 * (written[-1] - written[STARTING]) / (len(written) - 1 - STARTING))
    bpy.app.handlers.render_write.pop()
    ahead.MAX_MISSES = allowed
    part("client.backend_manager").BACKEND.stop()
    return {"animation_frame_ms": min(times[allowed]), "animation_frame_in_turn_ms": min(times[0])}


def big_head() -> tuple[dict, dict]:
    """A portrait and a mesh of ``VERTICES`` vertices with ``SHAPE_KEYS`` expressions."""
    random = np.random.default_rng(1)
    side = int(np.ceil(np.sqrt(VERTICES)))
    place = np.stack(np.meshgrid(np.linspace(-8, 8, side), np.linspace(-10, 10, side)), axis=-1).reshape(-1, 2)[:VERTICES]
    vertices = np.concatenate((place, np.sqrt(np.maximum(150 - (place**2).sum(1), 0))[:, None]), axis=1).astype(np.float32)
    rows = np.arange(VERTICES // side - 1)[:, None] * side + np.arange(side - 1)
    corners = np.stack((rows, rows + 1, rows + side + 1, rows + side), axis=-1).reshape(-1)
    names = [f"expression{index:03}" for index in range(SHAPE_KEYS)]
    mesh = {
        "vertices": vertices, "expression": random.standard_normal((SHAPE_KEYS, VERTICES, 3)).astype(np.float32) * 0.05,
        "expression_names": np.array(names), "expression_values": np.zeros(SHAPE_KEYS), "polygon_sizes": np.full(len(corners) // 4, 4),
        "corners": corners, "uv": np.zeros((len(corners), 2)), "albedo": np.full((VERTICES, 3), 0.5), "landmarks": np.arange(68),
        "group_names": np.array(["head"]), "groups": np.ones((1, VERTICES), np.float32), "eye_centers": np.array(((3, 3, 8), (-3, 3, 8.0))),
    }  # fmt: skip
    light = np.zeros((9, 3))
    light[0] = 3.5
    parameters = {"expression": dict.fromkeys(names, 0.0), "rotation": [0, 0, 0], "light": light.tolist()}
    return {"seed": 1, "w": "", "w_shape": [0, 512], "truncation": 0.7, "parameters": parameters}, mesh


def playback() -> dict[str, float]:
    """Frames per second of the main thread with every shape key keyed, and the rig read at each frame."""
    scene = bpy.context.scene
    rig = part("rig.build").build_rig(bpy.context, *big_head())
    animation, controls, frames = part("rig.animation"), part("rig.controls"), np.arange(1, 101)
    keys = controls.shape_keys_of(rig)
    curves = animation.ensure_curves(keys, "Bench")
    for index, name in enumerate(controls.expressions_of(rig)):
        animation.write_curve(curves, controls.key_path(name), frames, 0.5 + 0.5 * np.sin(frames / 5 + index))
    read = part("rig.read_rig").read_controls

    def frame(step: int) -> None:
        scene.frame_set(1 + step % 100)
        read(rig, bpy.context.evaluated_depsgraph_get())

    changing = statistics.median(milliseconds(frame, repeats(100)))
    reading = statistics.median(milliseconds(lambda _step: read(rig, bpy.context.evaluated_depsgraph_get()), repeats(100)))
    return {"playback_frame_ms": changing, "playback_fps": 1e3 / changing, "read_controls_ms": reading}


def scene_light() -> dict[str, float]:
    """Reading the light of a scene with eight lamps, as an update of the live view does on the main thread."""
    rig = part("rig.build").build_rig(bpy.context, *big_head())
    for index in range(8):
        lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "AREA"))
        lamp.location = (np.cos(index), np.sin(index), 1)
        bpy.context.scene.collection.objects.link(lamp)
    bpy.ops.stylerig.light_from_scene()
    depsgraph, read = bpy.context.evaluated_depsgraph_get(), part("rig.read_rig").read_light
    times = milliseconds(lambda _step: read(rig.evaluated_get(depsgraph), depsgraph), repeats(100))
    return {"read_light_ms": statistics.median(times)}


def main() -> int:
    try:
        addon_utils.enable(EXTENSION, default_set=True)  # with its preferences
        bpy.ops.wm.read_homefile(use_empty=True)
        figures = registering() | idle()
        bpy.ops.wm.read_homefile(use_empty=True)
        figures |= playback()
        bpy.ops.wm.read_homefile(use_empty=True)
        figures |= scene_light()
        bpy.ops.wm.read_homefile(use_empty=True)
        figures |= slider_to_pixels()
        bpy.ops.wm.read_homefile(use_empty=True)
        figures |= animation_render()
        print(f"@result {json.dumps(figures)}", flush=True)
        return 0
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        addon_utils.disable(EXTENSION)  # stops the backend


if __name__ == "__main__":
    status = main()
    shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # bpy 4.5 can wait for ever in its own way out
