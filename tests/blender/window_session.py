"""An artist's session in a Blender with its window: every step asserted, and pictures of the screen to look at.

    blender --python window_session.py -- --zip STYLERIG.zip --output FOLDER [--seed N]
    blender FOLDER/session.blend --python window_session.py -- --zip STYLERIG.zip --output FOLDER --again

Install the zip, draw a portrait, drag a slider with the mouse, see the live picture change in the Image
Editor and over the 3D view, undo with Ctrl Z, play, set up the compositor, render a frame and an animation
with F12, stop it, lose the backend, go on, save, load again. Then, in another Blender that has the extension
installed, all is there again, and the frame that it renders is the same. Use a private
BLENDER_USER_RESOURCES and a screen of at least 1600 x 1000. The backend is the extension's own if
STYLERIG_PYTHON leads to one, else the fake one beside this file. Needs xdotool and ImageMagick. Ends Blender
with status 0 if all went well. ``full_blender.py`` runs both. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import itertools

import window_player as window
from window_player import live_pixels, part, rendered, screen, screenshot, settled, the_rig, view_3d

HELD = 0.004  # seconds that a look of the live view's timer may hold the main thread
NEAR = 4  # of 255: what the overlay's 8 bits and the scaling on screen may change
EVEN = 12  # of 255: the most that colours in a patch differ which is compared
SLIDER = "jawOpen"
OPEN = ("STYLERIG_PT_portrait", "STYLERIG_PT_expression")
KEYED = (1, 60)  # first and last frame of the head's turn
STILL = 8  # the frame that is rendered as a still, as one of an animation, and in another Blender
RESOLUTION = (640, 480)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="window_session.py")
    parser.add_argument("--zip", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--again", action="store_true")
    return parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])


def steps(options: argparse.Namespace) -> Iterator:
    assert window.EXTENSION not in bpy.context.preferences.addons
    window.install(options.zip)
    assert window.EXTENSION in bpy.context.preferences.addons
    window.open_panels(lambda name: name in OPEN)
    window.empty_scene()
    yield from window.new_portrait(options.seed)
    window.arrange(the_rig())
    yield from start_live_view()
    window.arrange(the_rig())  # its view has become narrower
    yield from drag_slider()
    yield from screenshot(options.output / "live.png")
    yield from undo()
    yield from overlay(options)
    yield from playback(options)
    yield from render(options)
    yield from render_animation(options)
    yield from stop_and_go_on(options)
    yield from save_and_load(options)


def start_live_view() -> Iterator:
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.stylerig.live_view()
    yield from settled()
    editor = window.find_area("IMAGE_EDITOR")
    assert editor.spaces.active.image.name == window.IMAGE
    assert part("live.overlay").OVERLAY.shown and live_pixels()[..., 3].max() > 0.9
    print("live view runs", flush=True)


def slider_key() -> bpy.types.ShapeKey:
    return the_rig().stylerig.head.data.shape_keys.key_blocks[SLIDER]


def set_slider(value: float) -> Iterator:
    slider_key().value = value
    part("windows").redraw("VIEW_3D")
    yield from settled()


def open_jaw_panel() -> Iterator:
    """With no more than the slider in it, opened by a click on its name."""
    panels = part("ui.panels")

    def only(region: str) -> Iterator:
        panels.by_region = lambda _names: {region: [SLIDER]}
        part("windows").redraw("VIEW_3D")
        yield from window.pause(0.5)

    rows, columns = yield from window.changed_in_sidebar(only("another name"), only("jaw"))
    window.pointer(int(columns.mean()), int(rows.mean()), "click", "1")
    yield from window.pause(1.0)


def find_slider() -> Iterator:
    """Where the slider is: what changes with its value over most of a line. Returns x, y of its left end, its width."""
    broad = 0.6 * window.find_region(window.find_area("VIEW_3D"), "UI").width
    for _ in range(10):  # a slow screen may still show what was before
        rows, columns = yield from window.changed_in_sidebar(set_slider(0.0), set_slider(1.0))
        lines, counts = np.unique(rows, return_counts=True)
        lines = lines[counts > broad]
        if len(lines):
            bar = columns[rows == lines[len(lines) // 2]]
            return int(bar.min()), int(lines[len(lines) // 2]), int(np.ptp(bar))
    raise AssertionError("the slider was not found")


def drag_slider() -> Iterator:
    """With the mouse: each move changes the value, and the live picture follows while the button is down."""
    yield from open_jaw_panel()
    x, y, width = yield from find_slider()
    print(f"slider at {x}, {y}, {width} pixels wide", flush=True)
    yield from set_slider(0.0)
    view, times, seen = part("live.controller").VIEW, [], []
    poll = view.poll

    def timed() -> None:
        started = time.perf_counter()
        poll()
        times.append(time.perf_counter() - started)

    view.poll = timed
    view.listeners.append(lambda: seen.append(view.picture.pixels.tobytes()))
    window.pointer(x + width // 10, y)
    yield from window.pause(0.5)
    window.pointer(x + width // 10, y, "mousedown", "1")
    window.pointer(x + width // 5, y)  # the first move only begins the drag
    yield from window.pause(0.5)
    for step in range(3, 8):
        before = len(set(seen))
        window.pointer(x + width * step // 10, y)
        yield lambda before=before: len(set(seen)) > before  # the picture follows while the button is down
    window.pointer(x + width * 7 // 10, y, "mouseup", "1")
    yield from settled()
    view.listeners.pop()
    del view.poll
    assert slider_key().value > 0.4, slider_key().value
    busy = sorted(times)[-len(seen) :]
    print(f"{len(seen)} pictures; main thread held {1e3 * np.median(busy):.1f} ms, at most {1e3 * busy[-1]:.1f} ms", flush=True)
    assert np.median(busy) < HELD


def undo() -> Iterator:
    """Ctrl Z over the 3D view takes the drag back, and the picture with it."""
    dragged, value = live_pixels(), slider_key().value
    region = view_3d()["region"]
    window.pointer(region.x + region.width // 3, region.y + region.height // 2)
    yield from window.pause(0.3)
    window.press("ctrl+z")
    yield from settled()
    assert slider_key().value < value, slider_key().value
    assert not np.array_equal(live_pixels(), dragged), "the picture did not follow undo"
    assert window.find_area("IMAGE_EDITOR").spaces.active.image is not None
    window.press("ctrl+shift+z")
    yield from settled()
    assert abs(slider_key().value - value) < 1e-5
    assert np.allclose(live_pixels(), dragged, atol=1e-5)
    print("undo and redo reach the picture", flush=True)


def preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons[window.EXTENSION].preferences


def corners() -> np.ndarray:
    """The overlay's corners in the 3D view (4, 2), pixels of the screen with row 0 at the top."""
    context = view_3d()
    with bpy.context.temp_override(**context):
        found = part("live.overlay").portrait_corners(bpy.context)
    return window.on_screen(found + (context["region"].x, context["region"].y))


def overlay(options: argparse.Namespace) -> Iterator:
    """In the corner with the generator's own colours; then over the head."""
    settings = preferences()
    settings.overlay_size = 0.5
    yield from screenshot(options.output / "overlay_corner.png", view_3d()["area"])
    difference = compare_colours(corners())
    print(f"overlay: colours differ by {difference.max():.1f} of 255 at most", flush=True)
    assert difference.max() < NEAR, difference
    settings.overlay_place, settings.overlay_opacity = "HEAD", 0.8
    yield from screenshot(options.output / "overlay_head.png", view_3d()["area"])
    place = corners()
    pivot = screen_place((the_rig().matrix_world @ the_rig().pose.bones["head"].matrix).translation)
    assert (place.min(axis=0) < pivot).all() and (pivot < place.max(axis=0)).all()
    settings.overlay = False
    assert not part("live.overlay").OVERLAY.shown
    yield from window.pause(0.5)
    bare = screen()
    settings.overlay, settings.overlay_place, settings.overlay_opacity = True, "BOTTOM_RIGHT", 1.0
    yield from window.pause(1.0)
    assert not np.array_equal(screen(), bare)


def screen_place(point) -> np.ndarray:
    from bpy_extras.view3d_utils import location_3d_to_region_2d

    context = view_3d()
    place = location_3d_to_region_2d(context["region"], context["area"].spaces.active.region_3d, point)
    return window.on_screen((context["region"].x + place[0], context["region"].y + place[1]))


def compare_colours(place: np.ndarray) -> np.ndarray:
    """How far opaque, even patches on the screen are from the portrait's sRGB values, of 255."""
    picture, pixels = screen().astype(float), live_pixels()
    light = np.clip(pixels[..., :3], 0, 1)
    srgb = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
    low, high = place.min(axis=0), place.max(axis=0)
    size, reach, differences = len(pixels), 0.5 * (high - low)[0] / len(pixels), []
    for row in range(size // 4, 3 * size // 4, size // 16):
        for column in range(size // 4, 3 * size // 4, size // 16):
            around = (slice(row - 2, row + 2), slice(column - 2, column + 2))
            if pixels[around][..., 3].min() < 0.999 or np.ptp(srgb[around], axis=(0, 1)).max() > EVEN:
                continue
            x, y = low + (high - low) * (np.array((column, row)) / size)
            shown = picture[int(y - reach) : int(y + reach) + 1, int(x - reach) : int(x + reach) + 1].mean(axis=(0, 1))
            differences.append(np.abs(shown - srgb[row - 1 : row + 1, column - 1 : column + 1].mean(axis=(0, 1))))
    assert len(differences) > 3, "no even patch of the portrait was found"
    return np.array(differences)


def playback(options: argparse.Namespace) -> Iterator:
    """The head turns; the live view follows where it can keep up, else it pauses, as the person chose."""
    bone = the_rig().pose.bones["head"]
    for frame, angle in zip(KEYED, (-0.4, 0.4), strict=True):
        bone.rotation_euler.y = angle
        bone.keyframe_insert("rotation_euler", frame=frame)
    scene, settings = bpy.context.scene, preferences()
    scene.frame_end = KEYED[1]
    slow, quick = max(1.0, 4 * part("live.controller").VIEW.picture.seconds), 1 / 240  # seconds per frame
    yield from played("AUTO", slow, True, options)
    yield from played("AUTO", quick, False, options)
    yield from played("FOLLOW", quick, True, options)
    yield from played("PAUSE", slow, False, options)
    settings.live_playback, scene.render.fps, scene.render.fps_base = "AUTO", 24, 1.0
    scene.frame_set(STILL)
    yield from settled()
    assert_shows_present_pose()


def played(choice: str, frame_seconds: float, follows: bool, options: argparse.Namespace) -> Iterator:
    """Play from the first frame for a while; then stop, and the present frame is shown."""
    scene, view, turns = bpy.context.scene, part("live.controller").VIEW, []
    preferences().live_playback, scene.render.fps, scene.render.fps_base = choice, 1, frame_seconds
    scene.frame_set(KEYED[0])
    yield from settled()
    view.listeners.append(lambda: turns.append(view.picture.placement[0]))
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.screen.animation_play()
    if follows:
        yield lambda: len(set(turns)) > 3
        assert "per picture" in view.status and not view.failed, view.status
    else:
        yield lambda: view.status.startswith("Paused during playback") and not view.worker.busy
        turns.clear()
        yield lambda reached=scene.frame_current + 3: scene.frame_current >= reached
        assert not turns, "a picture was shown although the live view says that it pauses"
    yield from screenshot(options.output / f"playback_{choice}_{'followed' if follows else 'paused'}.png")
    print(
        f"playback, {choice}, {frame_seconds:.3g} s per frame: {len(turns)} pictures to frame {scene.frame_current}, {view.status!r}",
        flush=True,
    )
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.screen.animation_cancel(restore_frame=False)
    assert (np.diff(turns) >= 0).all(), turns  # one pose after another; twice where a coarse picture came first
    yield from settled()
    view.listeners.pop()
    assert scene.frame_current > KEYED[0] and "Paused" not in view.status
    assert_shows_present_pose()


def assert_shows_present_pose() -> None:
    """The live picture is of the pose that the rig has in this frame."""
    _portrait, controls = part("rig.read_rig").read_controls(the_rig(), bpy.context.evaluated_depsgraph_get())
    shown = part("live.controller").VIEW.picture.placement[:3]
    assert np.allclose(shown, controls["rotation"], atol=1e-3), (shown, controls["rotation"])


def render(options: argparse.Namespace) -> Iterator:
    """The compositor is set up and F12 pressed: the result holds portrait and plate."""
    scene = bpy.context.scene
    scene.render.engine = "STYLERIG"
    scene.render.resolution_x, scene.render.resolution_y = RESOLUTION
    with bpy.context.temp_override(**view_3d()):
        assert bpy.ops.stylerig.setup_compositor() == {"FINISHED"}
    yield from rendered(window.F12)
    yield from screenshot(options.output / "render.png")
    values = save_render(options.output / "rendered.png")
    middle, edge = values[160:320, 260:380, :3], values[:, :20, :3]
    assert values[..., 3].min() > 0.99, "the plate is missing"
    assert middle.std() > 2 * edge.std() > 0 or middle.std() > 0.05, (middle.std(), edge.std())
    close_render_window()
    yield from window.pause(0.5)
    assert part("live.controller").VIEW.running and not part("live.controller").VIEW.failed
    print("rendered in the window", flush=True)


def save_render(path: Path) -> np.ndarray:
    """Save what was rendered as PNG and return what is in it, (H, W, 4), row 0 at the top."""
    bpy.data.images["Render Result"].save_render(str(path))
    return picture(path)


def picture(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    values = np.array(image.pixels[:], dtype=np.float32).reshape(image.size[1], image.size[0], 4)[::-1]
    bpy.data.images.remove(image)
    return values


def close_render_window() -> None:
    """Close what F12 has opened."""
    windows = bpy.context.window_manager.windows
    if len(windows) > 1:
        with bpy.context.temp_override(window=windows[-1]):
            bpy.ops.wm.window_close()


def render_animation(options: argparse.Namespace) -> Iterator:
    """Ctrl F12: the frames that are foreseen are those that come, and the same as one alone."""
    scene, foreseen = bpy.context.scene, []
    scene.frame_start, scene.frame_end = STILL - 4, STILL + 1
    scene.render.filepath = str(options.output / "animation" / "####")
    began = part("render.prefetch").PREFETCHERS

    def note(*_arguments) -> None:
        foreseen.append([(one.hits, one.misses) for one in began.values()])

    bpy.app.handlers.render_write.append(note)
    yield from rendered(f"ctrl+{window.F12}")
    bpy.app.handlers.render_write.remove(note)
    yield from screenshot(options.output / "animation.png")
    close_render_window()
    files = sorted((options.output / "animation").iterdir())
    assert len(files) == 6 and all(map(part("render.file_integrity").is_complete, files)), files
    pictures = [picture(path) for path in files]
    assert all((one != other).any() for one, other in itertools.pairwise(pictures)), "two frames are the same"
    still = picture(options.output / "rendered.png")
    difference = 255 * np.abs(pictures[4] - still).max()
    print(
        f"animation in the window: foreseen rightly and in vain {foreseen}; frame {STILL} differs from the still by {difference:.2g} of 255",
        flush=True,
    )
    assert difference == 0 and foreseen[-1][0][0] > 0, (difference, foreseen)
    yield from settled()
    assert not part("live.controller").VIEW.failed


def stop_and_go_on(options: argparse.Namespace) -> Iterator:
    """Esc stops an animation; with Overwrite off it goes on, also over the backend's death."""
    scene, folder, whole = bpy.context.scene, options.output / "stopped", part("render.file_integrity").is_complete
    scene.frame_start, scene.frame_end = KEYED
    scene.render.filepath, scene.render.use_overwrite = str(folder / "####"), False

    def two_written() -> bool:
        return folder.is_dir() and len(list(folder.iterdir())) >= 2

    yield from rendered(f"ctrl+{window.F12}", meanwhile=(two_written, lambda: window.press("Escape")))
    close_render_window()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert 2 <= len(before) < 20 and all(map(whole, before)), before
    yield from settled()
    scene.frame_end = len(before) + 4

    def more_written() -> bool:
        return len(list(folder.iterdir())) > len(before)

    def kill() -> None:
        os.kill(part("client.backend_manager").BACKEND.pid, signal.SIGKILL)

    yield from rendered(f"ctrl+{window.F12}", meanwhile=(more_written, kill))
    close_render_window()
    files = sorted(folder.iterdir())
    assert [path.stem for path in files] == [f"{frame:04}" for frame in range(1, len(before) + 5)] and all(map(whole, files))
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    print(f"stopped with Esc after {len(before)} frames, gone on with the next over the backend's death", flush=True)
    scene.frame_set(STILL)
    yield from settled()
    assert not part("live.controller").VIEW.failed


def state() -> dict:
    """What was made in this session and another Blender must find again."""
    scene, rig = bpy.context.scene, the_rig()
    render, settings = scene.render, preferences()
    _portrait, controls = part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())
    keys = rig.stylerig.head.data.shape_keys.key_blocks
    curves = rig.animation_data.action.layers[0].strips[0].channelbags[0].fcurves
    values = {
        "portrait": rig.stylerig.portrait,
        "controls": controls,
        "shape keys": {key.name: key.value for key in keys},
        "keyframes": {f"{curve.data_path} {curve.array_index}": [list(point.co) for point in curve.keyframe_points] for curve in curves},
        "scene": [scene.frame_current, scene.frame_start, scene.frame_end, scene.stylerig.placement],
        "render": [render.engine, render.resolution_x, render.resolution_y, render.filepath, render.use_overwrite, render.film_transparent],
        "view": scene.view_settings.view_transform,
        "compositor": sorted(node.name for node in part("render.compositor").scene_tree(scene).nodes),
        "preferences": [settings.live_playback, settings.overlay, settings.overlay_place, settings.overlay_size],
    }
    return json.loads(json.dumps(values))


def save_and_load(options: argparse.Namespace) -> Iterator:
    """Portrait, keyframes, the last picture and the live view come back."""
    path, stored = options.output / "session.blend", the_rig().stylerig.portrait
    yield from settled()
    shown = live_pixels()
    np.save(options.output / "live.npy", shown)
    (options.output / "session.json").write_text(json.dumps(state()))
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.wm.save_userpref()
        bpy.ops.wm.save_as_mainfile(filepath=str(path))
        part("client.backend_manager").BACKEND.stop()  # as in another Blender, which has none yet
        bpy.ops.wm.open_mainfile(filepath=str(path))
    view = part("live.controller").VIEW
    assert view.running and the_rig().stylerig.portrait == stored
    assert np.allclose(live_pixels(), shown, atol=2e-3), "the last picture is not there while the backend starts"
    curves = the_rig().animation_data.action.layers[0].strips[0].channelbags[0].fcurves
    assert {len(curve.keyframe_points) for curve in curves} == {2}
    yield from settled()
    assert not view.failed and np.allclose(live_pixels(), shown, atol=1e-4)
    assert part("live.overlay").OVERLAY.shown
    assert window.find_area("IMAGE_EDITOR").spaces.active.image.name == window.IMAGE
    yield from screenshot(options.output / "loaded.png")
    with bpy.context.temp_override(**view_3d()):
        bpy.ops.stylerig.live_view()
    assert not view.running and not part("live.overlay").OVERLAY.shown
    print("portrait, keys and live view came back", flush=True)


def again(options: argparse.Namespace) -> Iterator:
    """In another Blender that opens the file: the same portrait and settings, the same picture, the same render."""
    view, shown = part("live.controller").VIEW, np.load(options.output / "live.npy")
    assert view.running and part("live.overlay").OVERLAY.shown
    assert np.allclose(live_pixels(), shown, atol=2e-3), "the last picture is not there while the backend starts"
    yield from settled()
    assert not view.failed and np.allclose(live_pixels(), shown, atol=1e-4)
    found, before = state(), json.loads((options.output / "session.json").read_text())
    assert found == before, {name: (found[name], before[name]) for name in found if found[name] != before[name]}
    yield from screenshot(options.output / "again.png")
    yield from rendered(window.F12)
    yield from screenshot(options.output / "again_rendered.png")
    now = save_render(options.output / "rendered_again.png")
    difference = 255 * np.abs(now - picture(options.output / "rendered.png")).max()
    print(f"in another Blender: settings the same, frame {STILL} differs by {difference:.2g} of 255", flush=True)
    assert difference == 0


if __name__ == "__main__":
    given = arguments()
    window.play(again(given) if given.again else steps(given))
