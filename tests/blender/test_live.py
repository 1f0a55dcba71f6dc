"""The live view: coarse pictures, its behaviour in playback and with a slow or failing backend, saving, undo, the overlay."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import time

import bpy
import fake_backend
import numpy as np
import pytest
from mathutils import Matrix, Vector

IMAGE = "StyleRig Portrait"
WEIGHTS_MOVED = fake_backend.Refused(400, "missing_weights", "There are no weights in /models.", "Reinstall StyleRig.")
NO_MEMORY = fake_backend.Refused(422, "out_of_memory", "There is not enough memory for this frame.", "Ask for fewer passes.")


@pytest.fixture
def rig(server, empty_scene):
    bpy.ops.stylerig.new_portrait(seed=11, truncation=0.5)
    return bpy.context.view_layer.objects.active


@pytest.fixture
def view(part, rig):
    """The live view with its first picture."""
    view = part("live.controller").VIEW
    bpy.ops.stylerig.live_view()
    settle(view)
    yield view
    view.stop()


@pytest.fixture
def settings(extension):
    """The extension's preferences, put back after the test."""
    preferences = bpy.context.preferences.addons[extension.__name__].preferences
    names = ("live_size", "live_playback", "overlay", "overlay_place", "overlay_size", "overlay_opacity")
    before = {name: getattr(preferences, name) for name in names}
    yield preferences
    for name, value in before.items():
        setattr(preferences, name, value)


def poll_until(view, condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, view.status
        view.poll()
        time.sleep(0.005)


def settle(view):
    """Until the newest edit is shown, coarse or not."""
    poll_until(view, lambda: not view.changed and not view.worker.busy)
    view.poll()


def edit(rig, value):
    rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"].value = value
    bpy.context.view_layer.update()


def pixels():
    image = bpy.data.images[IMAGE]
    values = np.empty((image.size[1], image.size[0], 4), dtype=np.float32)
    image.pixels.foreach_get(values.ravel())
    return values[::-1]


def drawn(part, rig, size):
    portrait, controls = part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())
    return fake_backend.draw(controls, portrait, size)


def sizes_asked(server):
    return [body["output"]["size"] for path, body in server.requests if path == "/v1/frames"]


def test_the_view_looks_at_each_turn_of_the_main_loop(part, view):
    live = part("live.controller")
    assert live.tick() == 0.0
    view.stop()
    assert live.tick() is None


@pytest.fixture
def rest(part, monkeypatch):
    """Say after how many seconds the rig counts as resting."""
    return lambda seconds: monkeypatch.setattr(part("live.policy"), "REFINE_SECONDS", seconds)


@pytest.fixture
def forget_times(part):
    """What a busy machine made slow does not count."""
    fresh = part("live.adaptive_resolution").AdaptiveResolution

    def forget(view):
        view.state = dataclasses.replace(view.state, resolution=fresh())

    return forget


def test_a_coarse_picture_first_where_pictures_are_slow(part, server, view, rig, settings, rest, forget_times):
    rest(1000)
    settings.live_size = 128
    settle(view)
    forget_times(view)
    server.delay = lambda size: 0.25 * (size / 128) ** 2
    edit(rig, 0.1)
    settle(view)
    assert view.picture.size == 128 and view.state.resolution.seconds(128) > 0.1
    del server.requests[:]
    edit(rig, 1)
    settle(view)
    assert sizes_asked(server) == [64] and view.picture.size == 64
    assert "64 of 128 px" in view.status
    coarse = drawn(part, rig, 64)
    assert np.allclose(pixels(), coarse.repeat(2, axis=0).repeat(2, axis=1), atol=1e-6)  # the image keeps its size
    rest(0.05)
    poll_until(view, lambda: view.picture.size == 128)
    assert sizes_asked(server) == [64, 128]
    assert np.allclose(pixels(), drawn(part, rig, 128), atol=1e-6) and not view.failed


def test_an_edit_during_the_rest_is_shown_coarse_again(server, view, rig, settings, rest):
    rest(1000)
    settings.live_size = 128
    settle(view)
    server.delay = lambda size: 0.2 * (size / 128) ** 2
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):  # after the second slow one
        edit(rig, value)
        settle(view)
    assert sizes_asked(server)[-3:] == [64, 64, 64]


def test_only_the_newest_edit_is_drawn(server, view, rig):
    server.delay = 0.1
    del server.requests[:]
    for step in range(20):
        edit(rig, step / 19)
        view.poll()
    settle(view)
    asked = [body["controls"]["expression"]["jawOpen"] for path, body in server.requests if path == "/v1/frames"]
    assert len(asked) <= 3 and asked[-1] == 1


@pytest.fixture
def play(part, monkeypatch):
    """Play, or not."""

    def play(on):
        monkeypatch.setattr(part("live.controller"), "playing", lambda: on)

    return play


@pytest.mark.parametrize(("choice", "seconds", "followed"), [
    ("AUTO", 0.02, True), ("AUTO", 0.3, False), ("FOLLOW", 0.3, True), ("PAUSE", 0.02, False),
])  # fmt: skip
def test_playback(server, view, rig, settings, play, choice, seconds, followed):
    settings.live_playback = choice
    settle(view)
    view.state = dataclasses.replace(view.state, resolution=view.state.resolution.measured(fake_backend.SIZE, seconds))
    play(True)
    del server.requests[:]
    edit(rig, 0.5)
    for _ in range(10):
        view.poll()
        time.sleep(0.005)
    assert bool(sizes_asked(server)) == followed
    assert view.status.startswith("Paused during playback") != followed and not view.failed
    play(False)
    settle(view)
    assert np.isclose(server.requests[-1][1]["controls"]["expression"]["jawOpen"], 0.5)
    assert "Paused" not in view.status


def test_playback_is_followed_again_once_it_can_be(part, server, view, rig, settings, play, monkeypatch, forget_times):
    """Nobody does anything: the computer was busy for a while."""
    monkeypatch.setattr(part("live.adaptive_resolution"), "MIN_BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(part("live.adaptive_resolution"), "MIN_BACKOFF_TIMES", 0)
    settings.live_playback, server.delay, frames = "AUTO", 0.3, iter(range(1, 10**6))
    told = set()
    forget_times(view)
    play(True)

    def playing_until(condition, seconds=60.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, view.status
            edit(rig, next(frames) % 100 / 100)
            view.poll()
            told.add(view.status)
            time.sleep(0.01)

    playing_until(lambda: view.status.startswith("Paused during playback until it can follow"))
    told.clear()
    asked = len(sizes_asked(server))
    playing_until(lambda: len(sizes_asked(server)) >= asked + 2)  # tried, and still too slow
    assert told == {text for text in told if text.startswith("Paused")}
    server.delay = 0.0
    playing_until(lambda: "per picture" in view.status)
    monkeypatch.setattr(part("live.adaptive_resolution"), "MIN_BACKOFF_SECONDS", 1000)  # it follows, not by trials
    asked = len(sizes_asked(server))
    playing_until(lambda: len(sizes_asked(server)) >= asked + 5)


@pytest.mark.parametrize(
    ("refusal", "advice"), [(NO_MEMORY, "smaller size in the live view's settings"), (WEIGHTS_MOVED, "Reinstall StyleRig")]
)
def test_what_the_backend_refuses_is_told(part, server, view, rig, refusal, advice):
    shown = pixels()
    server.refusal = refusal
    edit(rig, 0.7)
    settle(view)
    assert view.failed and refusal.body["error"]["message"] in view.status and advice in view.status
    assert np.array_equal(pixels(), shown) and view.running  # the last picture stays
    server.refusal = None
    edit(rig, 0.8)
    settle(view)
    assert not view.failed and np.allclose(pixels(), drawn(part, rig, fake_backend.SIZE), atol=1e-6)


def test_a_long_wait_is_told(part, server, view, rig, monkeypatch):
    monkeypatch.setattr(part("live.policy"), "PATIENT_SECONDS", 0)
    server.delay = 0.2
    edit(rig, 0.5)
    poll_until(view, lambda: view.worker.busy)
    view.poll()
    assert view.status == "Waiting for a picture: 0 s" and not view.failed
    settle(view)
    assert "per picture" in view.status


def test_killed_while_scrubbing(part, backend, empty_scene):
    bpy.ops.stylerig.new_portrait(seed=11, truncation=0.5)
    rig, view = bpy.context.view_layer.objects.active, part("live.controller").VIEW
    bpy.ops.stylerig.live_view()
    settle(view)
    pid, steps = backend.pid, itertools.count()

    def scrub():
        edit(rig, next(steps) % 60 / 60)
        return view.status == "The backend stopped; starting it again…"

    for _ in range(20):
        scrub()
        view.poll()
    os.kill(pid, signal.SIGKILL)
    poll_until(view, scrub)  # it is told while the hand still moves
    edit(rig, 1)
    settle(view)
    assert backend.running and backend.pid != pid and not view.failed
    assert np.allclose(pixels(), drawn(part, rig, fake_backend.SIZE), atol=1e-6)


def test_a_backend_of_another_version(part, backend, monkeypatch, tmp_path, empty_scene):
    assert part("client.backend_manager").launch_settings().version
    assert backend.client(part("client.backend_manager").launch_settings()).health()["status"] == "ok"
    backend.stop()
    monkeypatch.setenv("STYLERIG_PAYLOAD", str(fake_backend.make_payload(tmp_path / "other", version="0.0.9")))
    with pytest.raises(RuntimeError, match=r"is of version 0.0.9, the extension of version .* Restart Blender"):
        bpy.ops.stylerig.start_backend()
    assert not backend.running


def test_the_picture_is_kept_in_the_file_and_the_view_comes_back(part, view, rig, monkeypatch, tmp_path):
    live, path = part("live.controller"), str(tmp_path / "shot.blend")
    bpy.data.images[IMAGE].use_fake_user = True  # in a window, an Image Editor uses it
    edit(rig, 0.8)
    settle(view)
    shown = pixels()
    assert bpy.data.images[IMAGE].is_dirty
    bpy.ops.wm.save_as_mainfile(filepath=path)
    assert not bpy.data.images[IMAGE].is_dirty and bpy.context.scene.stylerig.live
    bpy.ops.wm.open_mainfile(filepath=path)
    assert not view.running  # this Blender has no window
    assert np.allclose(pixels(), shown, atol=1e-3)  # packed as half floats
    monkeypatch.setattr(live, "has_window", lambda: True)
    monkeypatch.setattr(part("live.overlay").OVERLAY, "follow", lambda: None)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert view.running
    settle(view)
    assert np.allclose(pixels(), drawn(part, bpy.data.objects["Portrait 11"], fake_backend.SIZE), atol=1e-6)
    view.stop()
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert not view.running


def test_undo_to_before_the_start_leaves_the_picture(part, server, rig):
    view = part("live.controller").VIEW
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.stylerig.live_view()
    settle(view)
    edit(rig, 0.9)
    bpy.ops.ed.undo_push(message="edit")
    settle(view)
    bpy.ops.ed.undo()
    settle(view)
    rig = bpy.data.objects["Portrait 11"]
    assert np.allclose(pixels(), drawn(part, rig, fake_backend.SIZE), atol=1e-6)
    view.stop()


def test_the_overlay_comes_and_goes_with_the_view(part, view, settings, monkeypatch):
    overlay, added = part("live.overlay").OVERLAY, []
    assert not overlay.shown  # never without a window

    class Space:
        draw_handler_add = staticmethod(lambda *arguments: added.append(arguments) or "handle")
        draw_handler_remove = staticmethod(lambda handle, region: added.pop())

    monkeypatch.setattr(part("live.controller"), "has_window", lambda: True)
    monkeypatch.setattr(part("live.overlay"), "View", Space)
    settings.overlay = True
    view.changed = True
    view.tell()
    assert overlay.shown and added[0][2:] == ("WINDOW", "POST_PIXEL")
    settings.overlay = False
    assert not overlay.shown and not added
    settings.overlay = True
    assert len(added) == 1
    view.stop()
    assert not overlay.shown and not added


@pytest.mark.parametrize(("place", "x", "y"), [
    ("BOTTOM_RIGHT", (490, 690), (10, 210)), ("TOP_LEFT", (60, 260), (360, 560)), ("BOTTOM_LEFT", (60, 260), (10, 210)),
])  # fmt: skip
def test_the_corner_is_free_of_other_regions(part, place, x, y):
    corners = part("live.overlay").corner_square((1000, 600), (50, 300, 0, 30), place, 1 / 3, 10)
    assert np.allclose(corners[[0, 3]], np.array((x, y)).T)


def test_a_narrow_view_makes_the_corner_smaller(part):
    corners = part("live.overlay").corner_square((300, 600), (0, 200, 0, 0), "BOTTOM_RIGHT", 1.0, 10)
    assert np.allclose(corners, [(10, 10), (90, 10), (10, 90), (90, 90)])


AT_ORIGIN = (0.0,) * 6  # placement of a head that looks straight ahead from the world's origin


def looking(matrix):
    """The view matrix of a camera that stands so."""
    return Matrix(matrix).inverted()


def test_the_portrait_lies_over_the_head(part):
    """Seen from the front: the portrait camera's frame, moved against the head as the head is in it."""
    overlay = part("live.overlay")
    front = looking(Matrix.Rotation(np.pi / 2, 4, "X"))
    square = overlay.head_square(Matrix(), Matrix.Translation((0, 0, 0.1)), AT_ORIGIN, part("protocol.camera").FFHQ, front)
    assert np.allclose(square, [(-0.125, 0, -0.025), (0.125, 0, -0.025), (-0.125, 0, 0.225), (0.125, 0, 0.225)], atol=1e-6)
    near = (0, 0, 0, 1.0, -2.0, 20.0)  # cm: 20 nearer to the camera, where the frame is 25 * 100 / 120 across
    square = overlay.head_square(Matrix(), Matrix(), near, part("protocol.camera").FFHQ, front)
    half = 0.125 * 100 / 120
    assert np.allclose(square[0], (-half - 0.01, 0, -half + 0.02), atol=1e-6)


def test_the_portrait_turns_and_grows_with_the_rig(part):
    overlay, front = part("live.overlay"), looking(Matrix.Rotation(np.pi / 2, 4, "X"))
    rig = Matrix.Translation((1, 0, 2)) @ Matrix.Rotation(0.5, 4, "Y") @ Matrix.Scale(2, 4)
    square = overlay.head_square(rig, rig, AT_ORIGIN, part("protocol.camera").FFHQ, front)
    expected = [rig @ Vector((0.125 * x, 0, 0.125 * z)) for x, z in overlay.CORNERS]
    assert np.allclose(square, expected, atol=1e-6)


def test_a_head_seen_from_behind_has_no_portrait_over_it(part):
    overlay = part("live.overlay")
    behind = looking(Matrix.Rotation(np.pi, 4, "Z") @ Matrix.Rotation(np.pi / 2, 4, "X"))
    assert overlay.head_square(Matrix(), Matrix(), AT_ORIGIN, part("protocol.camera").FFHQ, behind) is None
    assert overlay.head_square(Matrix(), Matrix(), AT_ORIGIN, part("protocol.camera").FFHQ, Matrix()) is None  # from above
