"""Animations: the next frame is asked for while this one is drawn and written, and never changes what is rendered."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import fake_backend
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, read_png, use_client

FRAMES = range(1, 7)
PORTRAIT = fake_backend.new_portrait(7, 0.7)


@dataclass
class Story:
    """What happened, in order: ("ask", yaw) and ("write", frame)."""

    events: list = field(default_factory=list)
    failing: dict = field(default_factory=dict)  # yaw -> errors that its next requests end with
    seconds: float = 0.0  # that a frame takes

    def ask(self, controls: dict) -> None:
        self.events.append(("ask", yaw_of(controls)))

    def draw(self, controls: dict, size: int) -> dict[str, np.ndarray]:
        time.sleep(self.seconds)
        if self.failing.get(yaw_of(controls)):
            raise self.failing[yaw_of(controls)].pop()
        return {"Combined": fake_backend.draw(controls, PORTRAIT, size), "placement": np.zeros(6)}

    @property
    def asked(self) -> list[float]:
        return [what for kind, what in self.events if kind == "ask"]

    def ahead(self, frame: int, yaw: float, by: int = 1) -> bool:
        """Whether a frame of this yaw was asked for before the one ``by`` frames before it was written."""
        return self.events.index(("ask", yaw)) < self.events.index(("write", frame - by))


def yaw_of(controls: dict) -> float:
    return round(controls["rotation"][0], 3)


@pytest.fixture
def story(extension, empty_scene, monkeypatch, tmp_path):
    """A rig in a scene of 6 frames; what the backend is asked and what is written is kept."""
    story = Story()
    ahead = module(extension, "render.prefetch")

    class Noted(ahead.FrameTask):
        """Written down when it is begun, and said to take long: when its thread runs is the computer's affair."""

        seconds = property(lambda self: 1e9, lambda self, measured: None)

        def __init__(self, connect, request: tuple, among: int = 1):
            story.ask(request[1])
            super().__init__(connect, request, among)

    monkeypatch.setattr(ahead, "FrameTask", Noted)
    use_client(extension, monkeypatch, KnownClient(story.draw))
    prepare(extension, empty_scene)
    empty_scene.frame_end = FRAMES[-1]
    empty_scene.render.filepath = str(tmp_path / "f####")
    empty_scene.render.image_settings.file_format = "PNG"

    def written(scene, *_arguments) -> None:
        story.events.append(("write", scene.frame_current))

    bpy.app.handlers.render_write.append(written)
    yield story
    bpy.app.handlers.render_write.remove(written)


def rig_of(scene: bpy.types.Scene) -> bpy.types.Object:
    return next(item for item in scene.objects if item.type == "ARMATURE")


def keyed(bone: bpy.types.PoseBone) -> None:
    """The head turns by 0.02 a frame, steadily."""
    for frame in (0, 100):
        bone.rotation_euler.y = 0.02 * frame
        bone.keyframe_insert("rotation_euler", index=1, frame=frame)
    curves = bone.id_data.animation_data.action.layers[0].strips[0].channelbags[0].fcurves
    for point in (point for curve in curves for point in curve.keyframe_points):
        point.interpolation = "LINEAR"


def driven(bone: bpy.types.PoseBone) -> None:
    """The same by Python: the brackets are more than Blender's own simple expressions."""
    bone.driver_add("rotation_euler", 1).driver.expression = "[0.02 * frame][0]"


def constrained(bone: bpy.types.PoseBone) -> None:
    """The same by an object that the bone copies."""
    empty = bpy.data.objects.new("Turner", None)
    bpy.context.scene.collection.objects.link(empty)
    empty.driver_add("rotation_euler", 1).driver.expression = "0.02 * frame"
    constraint = bone.constraints.new("COPY_ROTATION")
    constraint.target, constraint.owner_space, constraint.target_space = empty, "LOCAL", "WORLD"


def in_the_nla(bone: bpy.types.PoseBone) -> None:
    """The same by a strip."""
    keyed(bone)
    animation = bone.id_data.animation_data
    action, slot = animation.action, animation.action_slot
    animation.action = None
    strip = animation.nla_tracks.new().strips.new("Turn", 0, action)
    strip.action_slot = slot


def render(scene: bpy.types.Scene) -> dict[int, np.ndarray]:
    """The pictures that an animation leaves, by frame."""
    bpy.ops.render.render(animation=True)
    paths = {frame: path_of(scene, frame) for frame in range(scene.frame_start, scene.frame_end + 1)}
    return {frame: read_png(path) for frame, path in paths.items() if path.is_file()}


def path_of(scene: bpy.types.Scene, frame: int) -> Path:
    return Path(scene.render.frame_path(frame=frame))


@pytest.mark.parametrize("placement", ["CROP", "SHOT"])
@pytest.mark.parametrize("move", [keyed, driven, constrained, in_the_nla])
def test_whatever_moves_the_rig_the_next_frame_is_asked_for_early_and_once(extension, story, empty_scene, monkeypatch, move, placement):
    empty_scene.stylerig.placement = placement
    move(rig_of(empty_scene).pose.bones["head"])
    with_it = render(empty_scene)
    events = list(story.events)
    assert len(story.asked) == len(set(story.asked)) == len(FRAMES)
    yaws = sorted(story.asked, key=abs)
    assert np.ptp(yaws) > 0.05 and not story.ahead(2, yaws[1])
    assert all(story.ahead(frame, yaws[frame - 1]) for frame in FRAMES[2:])
    assert all(story.ahead(frame, yaws[frame - 1], by=2) for frame in FRAMES[4:])  # once the first had come out as foreseen
    story.events.clear()
    monkeypatch.setattr(module(extension, "render.prefetch"), "MAX_MISSES", 0)
    without = render(empty_scene)
    assert [kind for kind, _ in story.events] == ["ask", "write"] * len(FRAMES)
    assert sorted(events, key=str) == sorted(story.events, key=str)
    assert all((with_it[frame] == without[frame]).all() for frame in FRAMES) and len(with_it) == len(FRAMES)


def test_step_end_and_border_are_respected(story, empty_scene):
    keyed(rig_of(empty_scene).pose.bones["head"])
    empty_scene.frame_step, empty_scene.frame_end, empty_scene.render.use_border = 3, 11, True
    empty_scene.render.border_max_x, empty_scene.frame_current = 0.6, 5
    render(empty_scene)
    assert story.asked == [0.02, 0.08, 0.14, 0.2]
    assert [what for kind, what in story.events if kind == "write"] == [1, 4, 7, 10]
    assert story.events.index(("ask", 0.14)) < story.events.index(("write", 4))


def test_frames_that_are_kept_are_not_asked_for(story, empty_scene):
    keyed(rig_of(empty_scene).pose.bones["head"])
    render(empty_scene)
    for frame in (1, 2, 5, 6):
        path_of(empty_scene, frame).unlink()
    story.events.clear()
    empty_scene.render.use_overwrite = False
    render(empty_scene)
    assert story.asked == [0.02, 0.04, 0.1, 0.12] and story.events.index(("ask", 0.1)) < story.events.index(("write", 2))


def test_what_changes_in_between_is_rendered_as_it_is_and_looking_ahead_ends(extension, story, empty_scene):
    """A script sets the head's turn before each frame: nothing could foresee that."""
    bone = rig_of(empty_scene).pose.bones["head"]

    def turn(scene, *_arguments) -> None:
        bone.rotation_euler.y = 0.02 * scene.frame_current

    bpy.app.handlers.render_pre.append(turn)
    try:
        render(empty_scene)
    finally:
        bpy.app.handlers.render_pre.remove(turn)
    in_vain = module(extension, "render.prefetch").MAX_MISSES
    assert sorted(set(story.asked)) == [0.02, 0.04, 0.06, 0.08, 0.1, 0.12] and len(story.asked) == len(FRAMES) + in_vain
    assert [kind for kind, _ in story.events[-4:]] == ["ask", "write"] * 2


def test_others_that_follow_the_frames_never_hear_of_them_out_of_turn(story, empty_scene):
    keyed(rig_of(empty_scene).pose.bones["head"])
    heard = []

    def hear(scene, *_arguments) -> None:
        heard.append(scene.frame_current)

    bpy.app.handlers.frame_change_post.append(hear)
    try:
        render(empty_scene)
    finally:
        bpy.app.handlers.frame_change_post.remove(hear)
    during = heard[: heard.index(FRAMES[-1]) + 1]  # afterwards Blender goes back to the frame that was shown
    assert during == sorted(during) and [kind for kind, _ in story.events] == ["ask", "write"] * len(FRAMES)


def test_an_error_of_what_was_foreseen_is_not_told(extension, story, empty_scene):
    keyed(rig_of(empty_scene).pose.bones["head"])
    story.failing = {0.06: [module(extension, "errors").UserError("busy", "Too much.")]}
    assert len(render(empty_scene)) == len(FRAMES)
    assert story.asked.count(0.06) == 2 and len(story.asked) == len(FRAMES) + 1


def test_an_error_of_the_frame_itself_is_told_and_nothing_goes_on(extension, story, empty_scene):
    keyed(rig_of(empty_scene).pose.bones["head"])
    error = module(extension, "errors").UserError
    story.failing, story.seconds = {0.04: [error("out_of_memory", "No memory.")]}, 0.2
    with pytest.raises(RuntimeError, match="No memory"):
        render(empty_scene)
    assert not module(extension, "render.prefetch").PREFETCHERS and 0.08 not in story.asked
    end = time.monotonic() + 20
    while any(thread.name.startswith("StyleRig") for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("StyleRig")]
    assert empty_scene.frame_current in FRAMES and len(story.asked) <= 3


def test_single_frames_rendered_as_animations_are_asked_for_alone(extension, story, empty_scene):
    keyed(rig_of(empty_scene).pose.bones["head"])
    for frame in FRAMES:
        empty_scene.frame_start = empty_scene.frame_end = frame
        render(empty_scene)
    assert story.asked == [0.02, 0.04, 0.06, 0.08, 0.1, 0.12] and not module(extension, "render.prefetch").PREFETCHERS


class Wanted:
    """Stands for a drawing."""

    def __init__(self, request):
        self.request, self.seconds, self.bytes, self.cancelled = request, 1.0, 0, False

    def cancel(self) -> None:
        self.cancelled = True


def foreseeing(extension, *frames: int):
    """Looking ahead, with these frames foreseen."""
    prefetcher = module(extension, "render.prefetch").FramePrefetcher()
    prefetcher.pending = {frame: [Wanted(frame)] for frame in frames}
    return prefetcher, {frame: drawings[0] for frame, drawings in prefetcher.pending.items()}


def test_what_was_foreseen_wrongly_is_given_up_with_all_beyond_it(extension):
    prefetcher, wanted = foreseeing(extension, 4, 5, 6)
    assert prefetcher.take(4, [4]) == [wanted[4]] and list(prefetcher.pending) == [5, 6]
    assert prefetcher.take(5, ["other"]) == [None] and prefetcher.pending == {}
    assert [wanted[frame].cancelled for frame in (4, 5, 6)] == [False, True, True] and prefetcher.misses == 1


def test_frames_that_were_passed_by_are_given_up(extension):
    prefetcher, wanted = foreseeing(extension, 4, 5)
    assert prefetcher.take(5, [5]) == [wanted[5]] and wanted[4].cancelled and not prefetcher.pending


@pytest.mark.parametrize(("heads", "reach"), [(1, 3), (2, 2), (3, 1), (4, 1), (5, 0)])
def test_fewer_frames_are_foreseen_of_many_heads(extension, heads, reach):
    prefetcher, _ = foreseeing(extension)
    requests = [f"head {head}" for head in range(heads)]
    prefetcher.take(1, requests)
    assert prefetcher.depth == 0
    prefetcher.take(2, requests)
    assert prefetcher.depth == min(reach, 1)
    prefetcher.hits = 1
    assert prefetcher.depth == reach


@pytest.mark.parametrize(("megabytes", "reach"), [(1, 3), (200, 2), (300, 1), (3000, 1)])
def test_fewer_large_frames_are_foreseen(extension, megabytes, reach):
    prefetcher, wanted = foreseeing(extension, 4)
    prefetcher.frames = 5
    wanted[4].bytes = megabytes << 20
    prefetcher.take(4, [4])
    assert prefetcher.hits == 1 and prefetcher.depth == reach


def test_a_drawing_is_not_kept_by_who_drew_it(extension):
    class Client:
        def frame(self, *_request, cancelled) -> dict[str, np.ndarray]:
            return {"Combined": np.zeros((8, 8, 4), np.float32)}

    task = module(extension, "render.prefetch").FrameTask(Client, ({}, {}, 8, ()))
    drawn = task.result()
    picture = weakref.ref(drawn["Combined"])
    assert task.bytes == 8 * 8 * 4 * 4
    del drawn
    assert picture() is None


def test_memory_goes_back_to_the_system_after_many_pictures(extension, monkeypatch):
    memory, given = module(extension, "render.memory"), []
    monkeypatch.setattr(memory, "_drawn", 0)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(True))
    for megabytes in (100, 100, 100, 10):
        memory.note(megabytes << 20)
        memory.after_frame()
    assert given == [True]
    monkeypatch.undo()
    assert memory.give_back() == (sys.platform == "linux")


def test_while_two_frames_are_coming_none_is_evaluated(extension):
    prefetcher, _ = foreseeing(extension, 3, 4)
    prefetcher.frames, prefetcher.hits = 5, 1
    assert prefetcher.depth == 0
    prefetcher.drop([3])
    assert prefetcher.depth == 3


@pytest.mark.parametrize(("looked", "looks"), [(2.0, 3), (0.5, 9)])
def test_a_scene_that_is_slower_than_its_portraits_is_soon_not_evaluated_ahead(extension, looked, looks):
    prefetcher, counted = module(extension, "render.prefetch").FramePrefetcher(), 0
    for frame in range(10):
        assert len(prefetcher.take(frame, [frame])) == 1
        if prefetcher.depth:
            counted += 1
            prefetcher.pending, prefetcher.evaluation_seconds = {frame + 1: [Wanted(frame + 1)]}, looked
    assert counted == looks
