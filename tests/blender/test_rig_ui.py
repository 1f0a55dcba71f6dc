"""Operators, panels, the live view and registration, with the fake backend as a process."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time

import bpy
import fake_backend
import numpy as np
import pytest


@pytest.fixture
def rig(backend, empty_scene):
    assert bpy.ops.stylerig.new_portrait(seed=11, truncation=0.5) == {"FINISHED"}
    return bpy.context.view_layer.objects.active


@pytest.fixture
def live(part, rig):
    """The live view, started and showing its first picture."""
    view = part("live.controller").VIEW
    bpy.ops.stylerig.live_view()
    poll_until(view, lambda: view.seconds > 0 and not view.worker.busy)
    yield view
    view.seconds = 0.0


def poll_until(view, condition, seconds=30.0):
    """What the timer does in a window."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, view.status
        view.poll()
        time.sleep(0.01)


def settle(view):
    """Wait until the newest edit is shown."""
    poll_until(view, lambda: not view.changed and not view.worker.busy)
    view.poll()


def live_pixels():
    image = bpy.data.images["StyleRig Portrait"]
    pixels = np.empty((image.size[1], image.size[0], 4), dtype=np.float32)
    image.pixels.foreach_get(pixels.ravel())
    return pixels[::-1]


def expected_pixels(part, rig):
    portrait, controls = part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())
    return fake_backend.draw(controls, portrait, fake_backend.SIZE)


def test_new_portrait(part, rig):
    assert rig.stylerig.is_rig and rig.name == "Portrait 11"
    assert part("rig.read_rig").portrait_of(rig) == fake_backend.new_portrait(11, 0.5)
    assert rig.stylerig.head.name == "Portrait 11_Head" and rig.stylerig.head.parent == rig


def test_new_portrait_needs_object_mode(rig):
    bpy.ops.object.mode_set(mode="POSE")
    assert not bpy.ops.stylerig.new_portrait.poll()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bpy.ops.stylerig.new_portrait.poll()


def test_without_an_environment(empty_scene, monkeypatch, no_backend_environment):
    with pytest.raises(RuntimeError, match=r"environment is missing.*preferences"):
        bpy.ops.stylerig.new_portrait(seed=1)
    assert not bpy.data.objects


def test_preferences_name_the_python(extension, part, no_backend_environment):
    preferences = bpy.context.preferences.addons[extension.__name__].preferences
    preferences.backend_python = "/nowhere/python"
    try:
        with pytest.raises(RuntimeError, match="/nowhere/python"):
            bpy.ops.stylerig.start_backend()
    finally:
        preferences.backend_python = ""


def test_start_and_stop(backend):
    assert not bpy.ops.stylerig.stop_backend.poll()
    assert bpy.ops.stylerig.start_backend() == {"FINISHED"}
    assert backend.running
    assert bpy.ops.stylerig.stop_backend() == {"FINISHED"}
    assert not backend.running


def test_neutral_and_reset(part, rig):
    keys = rig.stylerig.head.data.shape_keys.key_blocks
    bpy.ops.stylerig.neutral_expression()
    assert all(keys[name].value == 0 for name in fake_backend.EXPRESSIONS)
    rig.pose.bones["head"].rotation_euler = (1, 1, 1)
    rig.pose.bones["neck"].rotation_euler = (1, 0, 0)
    rig.stylerig.light_strength, rig.stylerig.light_tint = 3, (1, 0, 0)
    rig.stylerig.light_direction = (1, 0, 0)
    bpy.ops.stylerig.reset_rig()
    own = fake_backend.new_portrait(11, 0.5)["parameters"]
    controls = part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]
    assert controls["rotation"] == pytest.approx(own["rotation"], abs=2e-6)
    assert controls["expression"] == pytest.approx(own["expression"], abs=2e-6)
    assert np.allclose(controls["light"], own["light"], atol=2e-6)


def test_rig_operators_need_a_rig(empty_scene):
    assert not bpy.ops.stylerig.reset_rig.poll()
    assert not bpy.ops.stylerig.live_view.poll()


def test_the_only_rig_need_not_be_active(part, rig):
    bpy.ops.object.empty_add()
    assert part("rig.read_rig").active_rig(bpy.context) == rig
    assert bpy.ops.stylerig.reset_rig.poll()


def test_live_view_shows_the_portrait(part, live, rig):
    assert np.allclose(live_pixels(), expected_pixels(part, rig), atol=1e-6)


def test_live_view_follows_an_edit(part, live, rig):
    before = live_pixels()
    rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"].value = 1
    rig.pose.bones["head"].rotation_euler = (0, 0.4, 0)
    bpy.context.view_layer.update()
    assert live.changed
    settle(live)
    assert not np.array_equal(live_pixels(), before)
    assert np.allclose(live_pixels(), expected_pixels(part, rig), atol=1e-6)


def test_live_view_follows_the_frame(part, live, rig):
    for frame, value in ((1, 0.0), (5, 1.0)):
        rig.stylerig.light_strength = value
        rig.keyframe_insert("stylerig.light_strength", frame=frame)
    bpy.context.scene.frame_set(5)
    assert live.changed
    settle(live)
    bright = live_pixels()
    bpy.context.scene.frame_set(2)
    settle(live)
    assert live_pixels()[..., :3].mean() < bright[..., :3].mean() / 2


def test_nothing_is_asked_when_nothing_changed(live):
    live.changed = True
    live.poll()
    assert not live.worker.busy


def test_polling_never_waits(live, rig, monkeypatch):
    """Even while the backend is slow: the main thread's share is measured with a frame under way."""
    key = rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
    times = []
    for step in range(40):
        key.value = step / 40
        bpy.context.view_layer.update()
        started = time.perf_counter()
        live.poll()
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.1  # seconds; one that waits for frames waits for every one


def test_live_view_survives_a_killed_backend(part, backend, live, rig):
    pid = backend.pid
    os.kill(pid, signal.SIGKILL)
    while backend.running:
        time.sleep(0.01)
    rig.pose.bones["head"].rotation_euler = (0, -0.4, 0)
    bpy.context.view_layer.update()
    settle(live)
    assert backend.running and backend.pid != pid
    assert np.allclose(live_pixels(), expected_pixels(part, rig), atol=1e-6)
    assert not live.failed


def test_live_view_tells_when_the_backend_is_gone_for_good(backend, live, rig, monkeypatch):
    monkeypatch.setenv("STYLERIG_FAKE", "crash")
    backend.stop()
    rig.pose.bones["head"].rotation_euler = (0, -0.4, 0)
    bpy.context.view_layer.update()
    settle(live)
    assert live.failed and "torch" in live.status and live.running
    monkeypatch.delenv("STYLERIG_FAKE")
    live.changed = True  # any edit
    settle(live)
    assert not live.failed


def test_live_view_tells_a_wrong_token(backend, live, rig):
    backend._client.token = "wrong"
    rig.pose.bones["head"].rotation_euler = (0, -0.4, 0)
    bpy.context.view_layer.update()
    settle(live)
    assert live.failed and "token" in live.status


def test_live_view_tells_a_rig_it_cannot_read(live, rig):
    rig.stylerig.portrait = ""
    live.changed = True
    live.poll()
    assert live.failed and "New" not in live.status and "portrait" in live.status


def test_live_view_makes_its_image_again_after_undo_took_it(part, live, rig):
    bpy.data.images.remove(bpy.data.images["StyleRig Portrait"])
    rig.pose.bones["head"].rotation_euler = (0, -0.4, 0)
    bpy.context.view_layer.update()
    settle(live)
    assert np.allclose(live_pixels(), expected_pixels(part, rig), atol=1e-6)


def test_loading_a_file_stops_the_live_view(live, part):
    bpy.ops.wm.read_homefile(use_empty=True)
    assert not live.running
    assert part("live.controller").mark_changed not in bpy.app.handlers.depsgraph_update_post


def test_stopping_the_live_view_leaves_nothing(part, live):
    bpy.ops.stylerig.live_view()
    assert not live.running and not bpy.app.timers.is_registered(part("live.controller").tick)
    for handlers, function in part("live.controller").watched_handlers():
        assert function not in handlers


def test_stop_backend_stops_the_live_view_too(backend, live):
    bpy.ops.stylerig.stop_backend()
    assert not live.running and not backend.running


def test_expressions_by_region(part):
    panels = part("ui.panels")
    names = ["mouthSmile_L", "PupilDilate_L", "browDown_R", "eyeBlink_L"]
    assert panels.by_region(names) == {
        "brow": ["browDown_R"], "eye": ["eyeBlink_L"], "mouth": ["mouthSmile_L"], "other": ["PupilDilate_L"]
    }  # fmt: skip
    assert [panels.readable(name) for name in names[:2]] == ["Mouth Smile L", "Pupil Dilate L"]


def test_unregister_leaves_nothing_and_register_works_again(extension, backend):
    def ours():
        kinds = (bpy.types.Operator, bpy.types.Panel, bpy.types.PropertyGroup, bpy.types.RenderEngine, bpy.types.AddonPreferences)
        return [
            cls for kind in kinds for cls in kind.__subclasses__() if cls.__module__.startswith(extension.__name__) and cls.is_registered
        ]

    handlers = [name for name in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, name), list)]
    bpy.ops.stylerig.start_backend()
    assert ours()
    extension.unregister()
    try:
        assert not ours() and not hasattr(bpy.types.Object, "stylerig") and not backend.running
        left = [h for name in handlers for h in getattr(bpy.app.handlers, name) if h.__module__.startswith(extension.__name__)]
        assert left == []
    finally:
        started = time.perf_counter()
        extension.register()
    assert time.perf_counter() - started < 0.5  # measured on an idle core: 0.01
    assert ours() and bpy.ops.stylerig.new_portrait.poll()


def test_importing_has_no_side_effects(part, extension):
    """The client needs no Blender, and nothing of the add-on needs the backend's packages."""
    import subprocess
    from pathlib import Path

    folder = str(Path(extension.__file__).parent)
    script = (
        "import sys, types, threading; package = types.ModuleType('addon'); package.__path__ = [sys.argv[1]]\n"
        "sys.modules['addon'] = package\n"
        "import addon.client.http_client, addon.client.process, addon.client.tasks, addon.live.latest_only_worker\n"
        "assert 'bpy' not in sys.modules and threading.active_count() == 1\n"
    )
    assert subprocess.run([sys.executable, "-c", script, folder]).returncode == 0
    assert not {"torch", "PIL", "cv2", "models"} & sys.modules.keys()
    # The tests' own set-up is backend.project, and they compare with backend.protocol; nothing else of the backend may be here.
    tests_own = ("backend.project", "backend.protocol")
    backend = {name for name in sys.modules if name.startswith("backend.") and not name.startswith(tests_own)}
    assert not backend
