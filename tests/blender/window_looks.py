"""A look keyed from 0 to 1 in a Blender with its window: the panel, the live view and F12 follow.

    blender --python window_looks.py -- --zip STYLERIG.zip --output FOLDER

Installs the zip (use a private BLENDER_USER_RESOURCES), builds a portrait, adds the look LOOK as the panel's button does, keys its strength,
and leaves looks_panel.png and look_FRAME.png. Needs xdotool and ImageMagick. Ends Blender with status 0 if all went well, also where no
such look ships. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import window_player as window
import window_session as session

LOOK = "drawing"
FRAMES = (1, 12, 24)  # strength 0, about a half, 1
SIZE = 256  # pixels of the render
SAME = 1.5 / 255


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="window_looks.py")
    parser.add_argument("--zip", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=6)
    return parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])


def steps(options: argparse.Namespace) -> Iterator:
    window.install(options.zip)
    window.open_panels(lambda name: name in ("STYLERIG_PT_looks", "STYLERIG_PT_live"))
    window.empty_scene()
    yield from window.new_portrait(options.seed)
    if all(look["name"] != LOOK for look in window.part("client.backend_manager").backend_client().looks()):
        print(f"skipped: no look {LOOK!r} is here", flush=True)
        return
    rig = window.the_rig()
    window.arrange(rig)
    yield from session.start_live_view()
    window.arrange(rig)
    plain = window.live_pixels()
    with bpy.context.temp_override(**window.view_3d()):
        bpy.ops.stylerig.portrait_camera()
        bpy.ops.stylerig.add_look(name=LOOK)
    key_strength(rig)
    scene = bpy.context.scene
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.render.engine = "STYLERIG"
    seen = {}
    for frame in FRAMES:
        scene.frame_set(frame)
        yield from window.settled()
        live = window.live_pixels()
        yield from window.rendered(window.F12)
        still = session.save_render(options.output / f"look_{frame:02d}.png")
        session.close_render_window()
        yield from window.pause(0.5)
        seen[frame] = live, still
    yield from window.settled()  # else a slow machine still shows a coarse picture
    yield from window.screenshot(options.output / "looks_panel.png")
    compare(plain, seen)


def key_strength(rig: bpy.types.Object) -> None:
    """From 0 to 1 over FRAMES, evenly."""
    look = rig.stylerig.looks[0]
    for frame, value in ((FRAMES[0], 0.0), (FRAMES[-1], 1.0)):
        look.strength = value
        look.keyframe_insert("strength", frame=frame)


def compare(plain: np.ndarray, seen: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    """At 0 the portrait is what it was; from there it goes to the look, in the live view and in renders."""
    first, middle, last = (seen[frame] for frame in FRAMES)
    apart = lambda one, other: float(np.abs(one[..., :3] - other[..., :3]).mean())
    assert np.abs(first[0] - plain).max() < SAME, "a look of no strength changes the portrait"
    for kind, one, two, three in zip(("live", "F12"), first, middle, last, strict=True):
        half, whole = apart(one, two), apart(one, three)
        print(f"{kind}: {half:.3f} at frame {FRAMES[1]}, {whole:.3f} at frame {FRAMES[2]}", flush=True)
        assert 0.001 < 1.2 * half < whole, (kind, half, whole)


if __name__ == "__main__":
    window.play(steps(arguments()))
