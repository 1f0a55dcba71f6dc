"""The live view in a Blender with its window: a new portrait, sliders, undo, and a screenshot to look at.

    blender --python window_live_view.py -- --zip STYLERIG.zip --screenshot OUT.png [--seed N]

Installs the zip (use a private BLENDER_USER_RESOURCES). The backend is the extension's own if
STYLERIG_PYTHON leads to one, else the fake one beside this file. Needs ImageMagick's ``import``.
Ends Blender with status 0 if all went well. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import bpy

EXTENSION = "bl_ext.user_default.stylerig"
IMAGE = "StyleRig Portrait"
PATIENCE = 240.0  # seconds for any one step


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="window_live_view.py")
    parser.add_argument("--zip", required=True)
    parser.add_argument("--screenshot", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])


def part(name: str):
    return sys.modules[f"{EXTENSION}.{name}"]


def use_fake_backend() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    import fake_backend

    os.environ["STYLERIG_PAYLOAD"] = str(fake_backend.make_payload(Path(tempfile.mkdtemp()) / "payload"))
    os.environ["STYLERIG_PYTHON"] = "/usr/bin/python3"


def view_3d() -> dict:
    """The context of the 3D view, for operators that a person would start there."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    return {"window": window, "area": area, "region": region}


def steps(options: argparse.Namespace) -> Iterator:
    """The things a person does; each ``yield`` gives a condition to wait for."""
    if "STYLERIG_PYTHON" not in os.environ:
        use_fake_backend()
    bpy.ops.extensions.package_install_files(filepath=options.zip, repo="user_default", enable_on_install=True)
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    yield from new_portrait(options.seed)
    rig = bpy.context.view_layer.objects.active
    arrange(rig)
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.stylerig.live_view()
    live = part("link.live").VIEW
    yield lambda: live.seconds > 0
    yield from drag(live, rig)
    yield from pause(1.0)
    subprocess.run(["import", "-window", "root", str(options.screenshot)], check=True)
    yield from undo(live)


def new_portrait(seed: int) -> Iterator:
    """Through the modal operator: Blender goes on while the backend starts."""
    with bpy.context.temp_override(**view_3d()):
        answer = bpy.ops.stylerig.new_portrait("INVOKE_DEFAULT", True, seed=seed)
    assert answer == {"RUNNING_MODAL"}, answer
    assert not any(item.type == "ARMATURE" for item in bpy.data.objects)
    yield lambda: any(item.type == "ARMATURE" and item.stylerig.is_rig for item in bpy.data.objects)
    print("rig built", flush=True)


def arrange(rig: bpy.types.Object) -> None:
    """The sidebar's tab, a frontal view, colours."""
    context = view_3d()
    space = context["area"].spaces.active
    space.show_region_ui = True
    sidebar = next(region for region in context["area"].regions if region.type == "UI")
    space.shading.type = "SOLID"
    space.shading.color_type = "VERTEX"
    try:
        sidebar.active_panel_category = "StyleRig"
    except (AttributeError, TypeError):  # not before the sidebar was drawn once
        bpy.app.timers.register(lambda: setattr(sidebar, "active_panel_category", "StyleRig"), first_interval=0.5)
    with bpy.context.temp_override(**context):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    rig.show_in_front = False


def drag(live, rig: bpy.types.Object) -> Iterator:
    """A slider moves 30 times; the picture follows; each look of the timer is timed."""
    times = []
    poll = live.poll

    def timed() -> None:
        started = time.perf_counter()
        poll()
        times.append(time.perf_counter() - started)

    live.poll = timed
    bone = rig.pose.bones["head"]
    key = rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
    before = pixels()
    for step in range(30):
        bone.rotation_euler.y = 0.35 * step / 29
        key.value = 0.6 * step / 29
        bpy.context.view_layer.update()  # as Blender does for any edit, before the live view looks
        yield from pause(0.03)
    yield lambda: not live.changed and not live.worker.busy
    yield from pause(0.3)
    del live.poll
    assert pixels() != before, "the picture did not follow"
    times.sort()
    longest, usual = times[-1] * 1000, times[-31 // 2] * 1000  # about 30 looks had something to do
    print(f"main thread held: {usual:.1f} ms usually, {longest:.1f} ms at most; last picture {live.seconds * 1000:.0f} ms", flush=True)


def undo(live) -> Iterator:
    """Undo of an operator's change reaches the picture."""
    rig = next(item for item in bpy.data.objects if item.type == "ARMATURE")
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.ed.undo_push(message="Drag")
        bpy.ops.stylerig.neutral_expression("INVOKE_DEFAULT", True)  # True: with an undo step
    yield lambda: not live.changed and not live.worker.busy
    yield from pause(0.3)
    neutral = pixels()
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.ed.undo()
    yield from pause(0.3)
    yield lambda: not live.changed and not live.worker.busy
    yield from pause(0.3)
    assert pixels() != neutral, "the picture did not follow undo"
    rig = next(item for item in bpy.data.objects if item.type == "ARMATURE")
    value = rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"].value
    assert abs(value - 0.6) < 1e-5, value
    print("undo works", flush=True)


def pixels() -> bytes:
    import numpy as np

    image = bpy.data.images[IMAGE]
    values = np.empty(4 * image.size[0] * image.size[1], dtype=np.float32)
    image.pixels.foreach_get(values)
    return values.tobytes()


def pause(seconds: float) -> Iterator:
    end = time.monotonic() + seconds
    yield lambda: time.monotonic() >= end


class Player:
    """Runs the steps from a timer, so that Blender draws and handles events between them."""

    def __init__(self, options: argparse.Namespace):
        self.steps = steps(options)
        self.condition = lambda: True
        self.deadline = time.monotonic() + PATIENCE

    def __call__(self) -> float | None:
        try:
            assert time.monotonic() < self.deadline, f"waited over {PATIENCE:g} s; live view: {part('link.live').VIEW.status}"
            if self.condition():
                self.condition = next(self.steps)
                self.deadline = time.monotonic() + PATIENCE
            return 0.01
        except StopIteration:
            end(0)
        except Exception:
            traceback.print_exc()
            end(1)
        return None


def end(status: int) -> None:
    """Leave with a status; Blender's own way out has none for scripts."""
    print("passed" if status == 0 else "FAILED", flush=True)
    module = sys.modules.get(f"{EXTENSION}.link.session")
    if module is not None:
        module.BACKEND.stop()
    os._exit(status)


if __name__ == "__main__":
    bpy.context.preferences.view.show_splash = False
    bpy.app.timers.register(Player(arguments()), first_interval=2.0)
