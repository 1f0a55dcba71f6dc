"""What goes wrong in a production: Blender stays alive, the message says what to do, finished frames stay."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy
import fake_backend
import pytest
from output_shot import module, prepare, random_frame

SIDE = 48  # pixels of a frame
ERRORS = {  # as they come from the link and from the backend's own words: code -> (message, hint)
    "out_of_memory": ("There is not enough memory for this frame.", "Ask for a smaller size or fewer passes, or close other programs."),
    "missing_weights": ("There are no weights in /models.", "Reinstall StyleRig."),
    "weights_changed": ("The portrait was made with other weights.", "Install its model."),
    "wrong_version": ("The backend is of another version.", "Restart Blender."),
    "timeout": ("The backend runs, but answers nothing any more.", "Stop and start it. Its log: /b.log"),
    "busy": ("6 requests are waiting already.", "Wait for answers first."),
}
NAMES = {
    "spaces": "a shot  with spaces",
    "umlauts": "Größe Äöü",
    "emoji": "portrait 🙂 顔",
    "signs": "100% #1 (x) 'q' & $HOME",
    "long": "/".join(f"{letter * 180}" for letter in "abcd"),
}


@pytest.fixture
def scene(extension, empty_scene, client, tmp_path):
    prepare(extension, empty_scene, SIDE, SIDE)
    assert bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "shot")) == {"FINISHED"}
    return empty_scene


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def sequence(*frames: int) -> list[str]:
    return [f"frames/frame_{frame:04}.png" for frame in frames] + [f"passes/frame_{frame:04}.exr" for frame in frames]


def whole(extension, folder: Path) -> bool:
    return all(module(extension, "render.file_integrity").is_complete(path) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_while_rendering_keeps_what_is_done(extension, scene, client, tmp_path, code):
    """Frame 3 fails: the render stops with the words, and goes on at frame 3 the next time."""
    message, hint = ERRORS[code]
    error = module(extension, "errors").UserError(code, message, hint)

    def fail_third(controls: dict, size: int) -> dict:
        if len(client.requests) > 2:
            raise error
        return random_frame(controls, size)

    client.draw = fail_third
    with pytest.raises(RuntimeError) as caught:
        bpy.ops.render.render(animation=True)
    assert message in str(caught.value) and hint in str(caught.value)
    assert files(tmp_path / "shot") == sequence(1, 2) and whole(extension, tmp_path / "shot")
    client.draw, done = random_frame, (tmp_path / "shot/frames/frame_0001.png").stat().st_mtime_ns
    client.requests.clear()
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1 and files(tmp_path / "shot") == sequence(1, 2, 3)
    assert (tmp_path / "shot/frames/frame_0001.png").stat().st_mtime_ns == done


@pytest.fixture
def no_backend(extension, no_backend_environment):
    preferences = bpy.context.preferences.addons[extension.__name__].preferences
    module(extension, "client.backend_manager").BACKEND.stop()
    yield preferences
    preferences.backend_python = ""


def interpreter(folder: Path, kind: str) -> Path:
    """Something that the preferences may name as Python."""
    path = folder / kind
    if kind == "folder":
        path.mkdir()
    elif kind != "nothing":
        says = {
            "silent": "exit 0",
            "old": "echo 'SyntaxError: invalid syntax' >&2; exit 1",
            "bare": "echo \"No module named 'numpy'\" >&2; exit 1",
        }
        path.write_text("#!/bin/sh\n" + says.get(kind, "") + "\n")
        path.chmod(0o644 if kind == "no program" else 0o755)
    return path


@pytest.mark.skipif(os.name == "nt", reason="the interpreters are shell scripts")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nothing", "environment is missing at .*nothing.*preferences"),
        ("folder", "environment is missing at .*folder.*preferences"),
        ("no program", "cannot be started: .*Check its Python"),
        ("silent", "ended before it was ready.*Log: "),
        ("old", "Python is too old.*choose a Python of at least 3.11"),
        ("bare", "A package is missing.*Make the environment again"),
    ],
)
def test_a_wrong_python_in_the_preferences(extension, empty_scene, no_backend, tmp_path, kind, words):
    no_backend.backend_python = str(interpreter(tmp_path, kind))
    for operator in (bpy.ops.stylerig.start_backend, bpy.ops.stylerig.new_portrait):
        with pytest.raises(RuntimeError, match=words):
            operator()
    assert not bpy.data.objects and not module(extension, "client.backend_manager").BACKEND.running


def test_rendering_without_a_backend(extension, empty_scene, no_backend, tmp_path):
    prepare(extension, empty_scene, SIDE, SIDE)
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "shot"))
    with pytest.raises(RuntimeError, match=r"environment is missing.*preferences"):
        bpy.ops.render.render(animation=True)
    assert files(tmp_path / "shot") == [] and len(bpy.data.objects) == 3  # rig, head, camera


def test_a_scene_without_a_camera(scene, client, tmp_path):
    bpy.data.objects.remove(scene.camera)
    with pytest.raises(RuntimeError, match=r"[Cc]amera"):
        bpy.ops.render.render(animation=True)
    assert not client.requests and files(tmp_path / "shot") == []
    assert bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "shot")) == {"FINISHED"}  # makes one
    bpy.ops.render.render()
    assert len(client.requests) == 1


def test_an_empty_frame_range(scene, client, tmp_path):
    scene.frame_start, scene.frame_end = 10, 5
    assert scene.frame_start <= scene.frame_end  # Blender keeps it from being empty
    scene.frame_start, scene.frame_end, scene.frame_step = 1, 3, 100
    bpy.ops.render.render(animation=True)
    assert files(tmp_path / "shot") == sequence(1)


def test_a_folder_without_leave_to_write(extension, scene, client, tmp_path, monkeypatch):
    monkeypatch.setattr(module(extension, "render.sequence").os, "access", lambda *_: False)
    with pytest.raises(RuntimeError, match=r"cannot be written to. Choose another output folder"):
        bpy.ops.render.render(animation=True)
    assert not client.requests and files(tmp_path / "shot") == []
    with pytest.raises(RuntimeError, match="cannot be written to"):
        bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "other"))


def test_a_disk_that_is_full(extension, scene, client, tmp_path):
    """Files may not grow beyond what frame 1 needs: what is cut off is not taken for a whole frame later."""
    resource = pytest.importorskip("resource")
    scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    first = (tmp_path / "shot/frames/frame_0001.png").stat().st_mtime_ns
    scene.frame_end, scene.render.resolution_x, scene.render.resolution_y = 3, 4 * SIDE, 4 * SIDE
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(RuntimeError, match=r"could not be written whole.*disk may be full.*goes on with that frame"):
            bpy.ops.render.render(animation=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path / "shot") == sequence(1)  # Blender itself takes no notice and calls half a file saved
    bpy.ops.render.render(animation=True)
    assert files(tmp_path / "shot") == sequence(1, 2, 3) and whole(extension, tmp_path / "shot")
    assert (tmp_path / "shot/frames/frame_0001.png").stat().st_mtime_ns == first


@pytest.mark.parametrize("name", NAMES)
def test_folders_of_any_name(extension, empty_scene, client, tmp_path, name):
    folder = tmp_path / NAMES[name]
    prepare(extension, empty_scene, SIDE, SIDE)
    assert bpy.ops.stylerig.setup_sequence(directory=str(folder)) == {"FINISHED"}
    bpy.ops.render.render(animation=True)
    assert files(folder) == sequence(1, 2, 3) and whole(extension, folder)
    client.requests.clear()
    bpy.ops.render.render(animation=True)
    assert not client.requests  # all was found again


@pytest.mark.parametrize("name", NAMES)
def test_files_of_any_name(extension, empty_scene, client, tmp_path, name):
    folder = tmp_path / NAMES[name]
    folder.mkdir(parents=True)
    rig = prepare(extension, empty_scene, SIDE, SIDE)
    take = folder / "take 🙂.csv"
    take.write_text("Timecode,BlendShapeCount,JawOpen\n0:0:0:0.0,61,0\n0:0:0:1.0,61,0.5\n")
    assert bpy.ops.stylerig.import_capture(filepath=str(take)) == {"FINISHED"}
    assert rig.stylerig.head.data.shape_keys.animation_data.action is not None
    plate = bpy.data.images.new("Plate", 8, 8)
    plate.save(filepath=str(folder / "plate 🙂.png"))
    assert bpy.ops.stylerig.setup_compositor(filepath=str(folder / "plate 🙂.png")) == {"FINISHED"}
    blend = folder / "shot 🙂.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    assert bpy.ops.stylerig.setup_sequence(directory="//render") == {"FINISHED"}
    bpy.ops.render.render(animation=True)
    assert files(folder / "render") == sequence(1, 2, 3)


def test_a_name_that_is_too_long(empty_scene, client, extension, tmp_path):
    prepare(extension, empty_scene, SIDE, SIDE)
    with pytest.raises(RuntimeError, match=r"cannot be made: File name too long.*Choose another output folder"):
        bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / ("x" * 300)))


@pytest.mark.parametrize("name", ["emoji", "signs", "long"])
def test_a_backend_in_a_folder_of_any_name(part, empty_scene, monkeypatch, tmp_path, name):
    part("client.backend_manager").BACKEND.stop()
    monkeypatch.setenv("STYLERIG_PYTHON", sys.executable)
    monkeypatch.setenv("STYLERIG_PAYLOAD", str(fake_backend.make_payload(tmp_path / NAMES[name])))
    try:
        assert bpy.ops.stylerig.new_portrait(seed=3) == {"FINISHED"}
    finally:
        part("client.backend_manager").BACKEND.stop()
    assert bpy.context.object.stylerig.seed == "3"
