"""What the scripts for a Blender with its window share: running steps, clicking, looking at the screen.

A script gives its steps to ``play``: a generator of conditions to wait for, so that Blender draws and
handles events between them. A click is real: it goes through the X server (``xdotool``), and pictures
of the screen are ImageMagick's ``import``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np

EXTENSION = "bl_ext.user_default.stylerig"
IMAGE = "StyleRig Portrait"
SENSOR = 72.0  # mm; what a 3D view's lens looks at
F12 = "96"  # its key code: for the name, xdotool presses Alt too
PATIENCE = 300.0  # seconds for any one step


def part(name: str):
    """A module of the installed extension."""
    return sys.modules[f"{EXTENSION}.{name}"]


def install(extension: str) -> None:
    """Install and enable a zip; the backend is the one STYLERIG_PYTHON leads to, else the fake one."""
    if "STYLERIG_PYTHON" not in os.environ:
        sys.path.insert(0, str(Path(__file__).parent))
        import fake_backend

        os.environ["STYLERIG_PAYLOAD"] = str(fake_backend.make_payload(Path(tempfile.mkdtemp()) / "payload"))
        os.environ["STYLERIG_PYTHON"] = "/usr/bin/python3"
    bpy.ops.extensions.package_install_files(filepath=extension, repo="user_default", enable_on_install=True)


def empty_scene() -> None:
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)


def find_area(kind: str, window: bpy.types.Window | None = None) -> bpy.types.Area:
    window = window or bpy.context.window_manager.windows[0]
    return next(area for area in window.screen.areas if area.type == kind)


def find_region(area: bpy.types.Area, kind: str) -> bpy.types.Region:
    return next(region for region in area.regions if region.type == kind)


def view_3d() -> dict:
    """The context of the 3D view, for operators that a person would start there."""
    area = find_area("VIEW_3D")
    return {"window": bpy.context.window_manager.windows[0], "area": area, "region": find_region(area, "WINDOW")}


def the_rig() -> bpy.types.Object:
    return next(item for item in bpy.data.objects if item.type == "ARMATURE" and item.stylerig.is_rig)


def new_portrait(seed: int) -> Iterator:
    """Through the modal operator: Blender goes on while the backend starts."""
    with bpy.context.temp_override(**view_3d()):
        answer = bpy.ops.stylerig.new_portrait("INVOKE_DEFAULT", True, seed=seed, in_sight=False, camera=False, controls=False)
    assert answer == {"RUNNING_MODAL"}, answer
    assert not any(item.type == "ARMATURE" for item in bpy.data.objects)
    yield lambda: any(item.type == "ARMATURE" and item.stylerig.is_rig for item in bpy.data.objects)
    print("rig built", flush=True)


def arrange(rig: bpy.types.Object) -> None:
    """The sidebar's tab, a frontal view, colours."""
    context = view_3d()
    space = context["area"].spaces.active
    space.show_region_ui = True
    space.shading.type, space.shading.color_type = "SOLID", "VERTEX"
    show_tab(find_region(context["area"], "UI"))
    with bpy.context.temp_override(**context):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    view, region = space.region_3d, context["region"]
    view.view_distance *= 1.3
    pixel = SENSOR / space.lens * view.view_distance / max(region.width, region.height)
    view.view_location.x += pixel * find_region(context["area"], "UI").width / 2  # what the sidebar covers
    rig.show_in_front = False


def show_tab(sidebar: bpy.types.Region) -> None:
    try:
        sidebar.active_panel_category = "StyleRig"
    except (AttributeError, TypeError):  # not before the sidebar was drawn once
        bpy.app.timers.register(lambda: setattr(sidebar, "active_panel_category", "StyleRig"), first_interval=0.5)


def open_panels(is_open: Callable[[str], bool]) -> None:
    """Register the panels anew, open or closed by their class's name; Blender remembers what it has drawn once."""
    classes = [*part("ui.panels").CLASSES, *(cls for cls in part("ui.farm").CLASSES if issubclass(cls, bpy.types.Panel))]
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
    for cls in classes:
        cls.bl_options = set() if is_open(cls.__name__) else {"DEFAULT_CLOSED"}
        bpy.utils.register_class(cls)


def changed_in_sidebar(first: Iterator, then: Iterator) -> Iterator:
    """Run both; returns rows and columns (N,) of the 3D view's sidebar that differ after them, in Blender's pixels."""
    seen = []
    for steps in (first, then):
        yield from steps
        yield from pause(0.5)
        seen.append(screen().astype(int))
    sidebar = find_region(find_area("VIEW_3D"), "UI")
    left, top = on_screen((sidebar.x, sidebar.y + sidebar.height))
    place = (slice(top, top + sidebar.height), slice(left, left + sidebar.width))
    rows, columns = np.nonzero(np.abs(seen[1] - seen[0])[place].max(axis=2) > 20)
    assert len(rows), "nothing changed in the sidebar"
    return sidebar.y + sidebar.height - 1 - rows, sidebar.x + columns


def live_pixels() -> np.ndarray:
    """The live image (H, W, 4), row 0 at the top."""
    image = bpy.data.images[IMAGE]
    values = np.empty((image.size[1], image.size[0], 4), dtype=np.float32)
    image.pixels.foreach_get(values.ravel())
    return values[::-1]


def settled() -> Iterator:
    """Until the live view shows the newest edit."""
    view = part("live.controller").VIEW
    yield from pause(0.3)
    yield lambda: view.running and view.picture is not None and not view.changed and not view.worker.busy
    yield from pause(0.3)


def pause(seconds: float) -> Iterator:
    end = time.monotonic() + seconds
    yield lambda: time.monotonic() >= end


def on_screen(places, window: bpy.types.Window | None = None) -> np.ndarray:
    """Places (…, 2) in a window of Blender's, pixels from its lower left, as columns and rows of the screen."""
    window, places = window or bpy.context.window_manager.windows[0], np.asarray(places)
    return np.stack((window.x + places[..., 0], screen_height() - window.y - places[..., 1]), axis=-1)


def pointer(x: int, y: int, *actions: str) -> None:
    """Move the mouse to a place in Blender's window (pixels from its lower left), then e.g. "click", "1"."""
    column, row = on_screen((x, y))
    subprocess.run(["xdotool", "mousemove", str(int(column)), str(int(row)), *actions], check=True)


def press(*keys: str) -> None:
    """Keys for Blender's window, which a window manager need not have given the focus."""
    found = subprocess.run(["xdotool", "search", "--onlyvisible", "--class", "blender"], capture_output=True, text=True, check=True)
    subprocess.run(["xdotool", "windowfocus", "--sync", found.stdout.split()[0], "key", *keys], check=True)


def rendered(keys: str, meanwhile: tuple[Callable[[], bool], Callable[[], None]] | None = None) -> Iterator:
    """Press keys that begin a render; until it is over. ``meanwhile``: a condition, and what is done once it is true."""
    done, note = [], lambda *_arguments: done.append(True)
    ended = (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel)
    for handlers in ended:
        handlers.append(note)
    region = view_3d()["region"]
    pointer(region.x + region.width // 3, region.y + region.height // 2)
    yield from pause(0.3)
    press(keys)
    if meanwhile:
        happened, act = meanwhile
        yield lambda: happened() or bool(done)
        assert not done, "the render was over too soon"
        act()
    yield lambda: bool(done) and not bpy.app.is_job_running("RENDER")
    for handlers in ended:
        handlers.remove(note)


def screen_height() -> int:
    return int(subprocess.run(["xdotool", "getdisplaygeometry"], capture_output=True, text=True, check=True).stdout.split()[1])


def screenshot(path: Path, of: bpy.types.Region | bpy.types.Area | None = None, window: bpy.types.Window | None = None) -> Iterator:
    """A picture of the screen, or of a part of a window, as PNG."""
    yield from pause(1.5)
    crop = []
    if of is not None:
        left, top = on_screen((of.x, of.y + of.height), window).astype(int)
        crop = ["-crop", f"{of.width}x{of.height}+{left}+{top}", "+repage"]
    subprocess.run(["import", "-window", "root", *crop, str(path)], check=True)


def screen() -> np.ndarray:
    """What is on the screen, (H, W, 3) uint8, row 0 at the top."""
    with tempfile.NamedTemporaryFile(suffix=".ppm") as file:
        subprocess.run(["import", "-window", "root", "-depth", "8", file.name], check=True)
        content = Path(file.name).read_bytes()
    _kind, width, height, *_ = content.split(maxsplit=4) if content[:2] == b"P6" else (None,) * 5
    count = 3 * int(width) * int(height)
    return np.frombuffer(content[-count:], dtype=np.uint8).reshape(int(height), int(width), 3)


class Player:
    """Runs the steps from a timer."""

    def __init__(self, steps: Iterator[Callable[[], bool]]):
        self.steps = steps
        self.condition = lambda: True
        self.deadline = time.monotonic() + PATIENCE

    def __call__(self) -> float | None:
        try:
            assert time.monotonic() < self.deadline, f"waited over {PATIENCE:g} s; live view: {part('live.controller').VIEW.status}"
            if self.condition():
                self.condition = next(self.steps)
                self.deadline = time.monotonic() + PATIENCE
            return 0.01
        except StopIteration:
            end(0)
        except Exception:
            traceback.print_exc()
            subprocess.run(["import", "-window", "root", str(Path(tempfile.gettempdir()) / "failed.png")], check=False)
            end(1)
        return None


def play(steps: Iterator[Callable[[], bool]]) -> None:
    """Run the steps, then leave Blender with status 0 if all went well."""
    view = bpy.context.preferences.view
    view.show_splash = view.show_tooltips = False
    bpy.context.preferences.inputs.use_mouse_continuous = False  # Blender would move the mouse that xdotool moves
    # Persistent: one of the steps may open a file.
    bpy.app.timers.register(Player(steps), first_interval=2.0, persistent=True)


def end(status: int) -> None:
    """Leave with a status; Blender's own way out has none for scripts."""
    print("passed" if status == 0 else "FAILED", flush=True)
    module = sys.modules.get(f"{EXTENSION}.client.backend_manager")
    if module is not None:
        module.BACKEND.stop()
    os._exit(status)
