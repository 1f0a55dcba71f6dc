"""From the extension's zip to the first portrait in a Blender with its window: what a person does is counted and timed.

    blender --python window_first.py -- --zip STYLERIG.zip --output FOLDER

Blender's own startup scene, nothing installed (use a private BLENDER_USER_RESOURCES), and online access allowed, which Blender
asks for at its first start. Keys and clicks are real; a drop of a file calls the operator that Blender calls then. Nothing
is downloaded: *Set Up* finds an environment ready, with the backend that STYLERIG_PYTHON leads to, else the fake one.
Leaves first.json and first.png. Needs xdotool and ImageMagick. Ends Blender with status 0 if all went well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import window_player as window

MOST_ACTIONS = 6
TABS = 24  # pixels at the sidebar's right end
SET_UP, NEW_PORTRAIT = (227, 46), (123, 73)  # pixels from the sidebar's upper left, its first panel on top


class Actions:
    """What a person did, and how long it took until Blender had answered."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []

    def do(self, name: str, act: Callable[[], None], answered: Callable[[], bool]) -> Iterator:
        started = time.monotonic()
        act()
        yield answered
        self.done.append((name, round(time.monotonic() - started, 1)))
        print(f"{len(self.done)}. {name}: {self.done[-1][1]} s", flush=True)
        yield from window.pause(1.0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="window_first.py")
    parser.add_argument("--zip", required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])


def steps(options: argparse.Namespace) -> Iterator:
    python = backend_python()
    bpy.context.preferences.system.use_online_access = True
    actions = Actions()
    yield from actions.do("Drag the zip into the window", lambda: drop(options.zip), lambda: True)
    yield from actions.do("OK", lambda: press_over_view("Return"), lambda: window.EXTENSION in bpy.context.preferences.addons)
    ready_made(python)
    yield from actions.do("N", lambda: press_over_view("n"), lambda: window.view_3d()["area"].spaces.active.show_region_ui)
    tab = yield from place_of_tab()
    yield from actions.do("Tab StyleRig", lambda: window.pointer(*tab, "click", "1"), lambda: sidebar().active_panel_category == "StyleRig")
    yield from over(SET_UP)
    yield from actions.do("Set Up", click, lambda: "STYLERIG_PYTHON" in os.environ)
    yield from over(NEW_PORTRAIT)
    yield from actions.do("New Portrait", click, lambda: bool(rigs()))
    yield from window.screenshot(options.output / "first.png")
    (options.output / "first.json").write_text(json.dumps(dict(actions.done), indent=1))
    check(rigs()[0])
    assert len(actions.done) <= MOST_ACTIONS, actions.done


def backend_python() -> str:
    """The Python that runs the backend, hidden as before it is set up."""
    python = os.environ.pop("STYLERIG_PYTHON", None)
    if python is None:
        import fake_backend

        os.environ["STYLERIG_PAYLOAD"] = str(fake_backend.make_payload(Path(tempfile.mkdtemp()) / "payload"))
    return python or "/usr/bin/python3"


def ready_made(python: str) -> None:
    """Let Set Up find the environment at once, without a download."""
    window.part("client.backend_manager").ENVIRONMENT.start = lambda _spec: os.environ.update(STYLERIG_PYTHON=python)


def drop(path: str) -> None:
    with bpy.context.temp_override(**window.view_3d()):
        bpy.ops.extensions.package_install_files("INVOKE_DEFAULT", url=path)


def press_over_view(key: str) -> None:
    region = window.view_3d()["region"]
    window.pointer(region.x + region.width // 3, region.y + region.height // 2)
    window.press(key)


def sidebar() -> bpy.types.Region:
    return window.find_region(window.find_area("VIEW_3D"), "UI")


def over(place: tuple[int, int]) -> Iterator:
    """Move the mouse to a place of the sidebar, so that Blender sees what is under it before the click."""
    region = sidebar()
    window.pointer(region.x + place[0], region.y + region.height - place[1])
    yield from window.pause(1.5)


def click() -> None:
    subprocess.run(["xdotool", "mousedown", "1"], check=True)
    time.sleep(0.1)
    subprocess.run(["xdotool", "mouseup", "1"], check=True)


def place_of_tab() -> Iterator:
    """Where the tab StyleRig is: the lowest of the two that change when a script chooses it. Returns x, y."""
    before = sidebar().active_panel_category
    rows, columns = yield from window.changed_in_sidebar(chosen(before), chosen("StyleRig"))
    region = sidebar()
    strip = rows[columns > region.x + region.width - TABS]
    yield from chosen(before)
    low = strip.min()
    return region.x + region.width - TABS // 2, int(np.median(strip[strip < low + 60]))


def chosen(tab: str) -> Iterator:
    sidebar().active_panel_category = tab
    yield from window.pause(1.0)


def rigs() -> list[bpy.types.Object]:
    return [item for item in bpy.data.objects if item.type == "ARMATURE" and item.stylerig.is_rig]


def check(rig: bpy.types.Object) -> None:
    """It stands beside the cube, the views show it, and F12 would: camera and engine are there."""
    scene, view = bpy.context.scene, window.view_3d()["area"].spaces.active.region_3d
    assert scene.render.engine == "STYLERIG" and scene.camera.name != "Camera" and "Cube" in bpy.data.objects
    assert (view.view_location - rig.location).length < 0.5 and view.view_distance < 2, (view.view_location, view.view_distance)
    assert isinstance(rig["jawOpen"], float)


if __name__ == "__main__":
    window.play(steps(arguments()))
