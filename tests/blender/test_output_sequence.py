"""Sequences on disk: whole or absent, going on where they stopped, with clear words when they cannot."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import bpy
import fake_backend
import numpy as np
import pytest
from output_shot import module, prepare, read_exr, read_png, srgb_bytes, use_client


@pytest.fixture(autouse=True)
def short_rest(extension, monkeypatch):
    monkeypatch.setattr(module(extension, "render.finished_frames"), "REST_SECONDS", 0.2)


@pytest.fixture
def scene(extension, empty_scene, client, tmp_path):
    prepare(extension, empty_scene)
    assert bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "shot")) == {"FINISHED"}
    return empty_scene


@pytest.fixture
def rendered(scene, client, tmp_path) -> Path:
    """The folder of a sequence of 3 frames, rendered; no requests counted yet."""
    bpy.ops.render.render(animation=True)
    client.requests.clear()
    return tmp_path / "shot"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def states(folder: Path, *names: str) -> list[tuple]:
    """What a write would change of the files of these names."""
    found = sorted(path for name in names for path in folder.rglob(f"{name}.*"))
    return [(path, path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in found]


def whole_sequence(frames: range = range(1, 4)) -> list[str]:
    return [f"frames/frame_{i:04}.png" for i in frames] + [f"passes/frame_{i:04}.exr" for i in frames]


def test_an_animation_writes_png_and_exr(rendered, tmp_path):
    assert files(rendered) == whole_sequence()
    for path in rendered.glob("frames/*.png"):
        np.testing.assert_array_equal(read_png(path)[..., :3], srgb_bytes(48))
    channels = read_exr(rendered / "passes" / "frame_0003.exr", tmp_path)
    assert {name.partition(".")[0] for name in channels} == {
        "Combined",
        "Portrait",
        "HeadMatte",
        "FaceMask",
        "Normal",
        "Albedo",
        "Shading",
        "Specular",
        "Occlusion",
        "Depth",
        "HeadDepth",
        "UV",
        "Position",
        "SkinMatte",
        "HairMatte",
        "EyesMatte",
        "MouthMatte",
        "ClothesMatte",
        "GlassesMatte",
    }


def test_exr_and_png_agree_to_a_thousandth(rendered, tmp_path):
    channels = read_exr(rendered / "passes" / "frame_0001.exr", tmp_path)
    linear = np.stack([channels[f"Combined.{letter}"] for letter in "RGB"], axis=-1)
    display = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    display = np.where(linear <= 0.0031308, 12.92 * linear, display)
    assert np.abs(display - srgb_bytes(48) / 255).max() < 1e-3


def test_done_frames_are_skipped_and_overwrite_is_honoured(scene, rendered, client):
    bpy.ops.render.render(animation=True)
    assert not client.requests
    scene.render.use_overwrite = True
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 3


def test_a_backend_that_dies_leaves_its_frames_and_the_next_render_goes_on(extension, empty_scene, monkeypatch, tmp_path):
    link = module(extension, "client.http_client")
    prepare(extension, empty_scene)
    empty_scene.frame_end = 5
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path))
    with fake_backend.FakeBackend() as backend:
        use_client(extension, monkeypatch, link.Client(backend.port, backend.token))

        def die_after_two(*_arguments) -> None:
            if len(list(tmp_path.glob("frames/*.png"))) == 2:
                backend.shutdown()
                backend.server_close()

        bpy.app.handlers.render_write.append(die_after_two)
        try:
            with pytest.raises(RuntimeError, match="The backend is not running any more"):
                bpy.ops.render.render(animation=True)
        finally:
            bpy.app.handlers.render_write.remove(die_after_two)
    done = len(files(tmp_path)) // 2  # two more may have been drawn while the second was written
    assert done in (2, 3, 4) and files(tmp_path) == whole_sequence(range(1, done + 1))
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with fake_backend.FakeBackend() as backend:
        use_client(extension, monkeypatch, link.Client(backend.port, backend.token))
        bpy.ops.render.render(animation=True)
        assert [path for path, _ in backend.requests] == ["/v1/frames"] * (5 - done)
    assert files(tmp_path) == whole_sequence(range(1, 6))
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())


@pytest.mark.parametrize("name", ["frames/frame_0002.png", "passes/frame_0002.exr"])
@pytest.mark.parametrize("left", [0, 100, -9])
def test_half_a_file_does_not_count_as_done(extension, rendered, client, name, left):
    content = (rendered / name).read_bytes()
    (rendered / name).write_bytes(content[:left])
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1
    assert module(extension, "render.file_integrity").is_complete(rendered / name)


def test_a_render_killed_before_an_exr_has_its_texts_draws_that_frame_again(extension, scene, client, tmp_path):
    metadata, is_marked = module(extension, "render.metadata"), module(extension, "render.file_integrity").is_marked
    bpy.app.handlers.render_post.remove(metadata.after_frame)
    bpy.ops.render.render(animation=True)
    bpy.app.handlers.render_post.append(metadata.after_frame)
    folder = tmp_path / "shot"
    (folder / "passes" / ".frame_0002.exr.0123456789abcdef.stylerig").write_bytes(b"half")
    assert is_marked(folder / "frames" / "frame_0002.png") and is_marked(folder / "passes" / "frame_0002.exr") is False
    client.requests.clear()
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 3 and files(folder) == whole_sequence()
    assert all(is_marked(folder / name) for name in whole_sequence())


def test_a_missing_exr_is_drawn_anew_and_nothing_else(rendered, client):
    (rendered / "passes" / "frame_0002.exr").unlink()
    others = states(rendered, "frame_0001", "frame_0003")
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1 and files(rendered) == whole_sequence()
    assert states(rendered, "frame_0001", "frame_0003") == others


def test_with_placeholders_what_another_blender_has_begun_is_left_alone_and_told(scene, rendered, client, capsys):
    scene.render.use_placeholder = True
    for number, left in ((1, 0), (2, 100)):
        path = rendered / "frames" / f"frame_{number:04}.png"
        path.write_bytes(path.read_bytes()[:left])
    (rendered / "frames" / "frame_0003.png").unlink()
    begun = states(rendered, "frame_0001", "frame_0002")
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1 and states(rendered, "frame_0001", "frame_0002") == begun
    assert "left to the Blender that began them: 1, 2." in capsys.readouterr().out


def test_other_engines_files_are_never_touched(scene, rendered):
    path = rendered / "frames" / "frame_0002.png"
    path.write_bytes(b"half")
    scene.render.engine = "BLENDER_WORKBENCH"
    handlers = [one for one in bpy.app.handlers.render_init if one.__name__ == "before_render"]
    handlers[0](scene)  # by itself: Workbench needs a GPU
    assert len(handlers) == 1 and path.read_bytes() == b"half"


@pytest.mark.parametrize("kind", ["PNG", "EXR"])
def test_every_cut_of_a_file_is_seen(extension, rendered, tmp_path, kind):
    is_complete = module(extension, "render.file_integrity").is_complete
    path = rendered / ("frames/frame_0001.png" if kind == "PNG" else "passes/frame_0001.exr")
    content, cut = path.read_bytes(), tmp_path / f"cut{path.suffix}"
    assert is_complete(path)
    for length in [0, 1, 7, 8, 9, *np.linspace(10, len(content) - 1, 40).astype(int)]:
        cut.write_bytes(content[:length])
        assert not is_complete(cut), length
        if length < len(content) // 2:  # room was made on disk, but nothing written into it
            cut.write_bytes(content[:length] + bytes(len(content) - length))
            assert not is_complete(cut), length
    assert not is_complete(tmp_path / "absent.png")


def test_a_folder_that_cannot_be_written_is_said_before_any_work(scene, client, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    scene.render.filepath = str(tmp_path / "file" / "frame_####")
    with pytest.raises(RuntimeError, match=r"output folder .* cannot be made.*Choose another"):
        bpy.ops.render.render(animation=True)
    assert not client.requests and (tmp_path / "file").read_text() == "not a folder"
    with pytest.raises(RuntimeError, match="cannot be made"):
        bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "file"))


def test_the_folder_of_the_passes_is_looked_at_too(extension, scene, client, tmp_path):
    shutil.rmtree(tmp_path / "shot")
    (tmp_path / "shot").mkdir()
    (tmp_path / "shot" / "passes").write_text("in the way")
    with pytest.raises(RuntimeError, match=r"output folder .*passes cannot be made"):
        bpy.ops.render.render(animation=True)
    assert not client.requests


def test_a_relative_folder_needs_a_saved_file(empty_scene, extension):
    prepare(extension, empty_scene)
    with pytest.raises(RuntimeError, match="Save the file first"):
        bpy.ops.stylerig.setup_sequence(directory="//render")


def test_a_saved_file_renders_the_same_again(extension, scene, rendered, client, tmp_path):
    blend = tmp_path / "shot.blend"
    bpy.ops.stylerig.setup_compositor()
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    pictures, portraits = [], []
    for _ in range(2):
        shutil.rmtree(rendered)
        bpy.ops.wm.open_mainfile(filepath=str(blend))
        bpy.ops.render.render(animation=True)
        assert files(rendered) == whole_sequence()
        pictures.append(read_png(rendered / "frames" / "frame_0002.png"))
        portraits.append(client.requests[-1])
    np.testing.assert_array_equal(*pictures)
    assert portraits[0] == portraits[1]


def test_setting_up_twice_leaves_one_node(scene, tmp_path, extension):
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "other"))
    tree = module(extension, "render.compositor").scene_tree(scene)
    assert sum(node.bl_idname == "CompositorNodeOutputFile" for node in tree.nodes) == 1
    names = module(extension, "render.output_files").of_frame(scene, 7)
    assert names == [str(tmp_path / "other" / name) for name in ("frames/frame_0007.png", "passes/frame_0007.exr")]


@pytest.fixture
def slow_backend(extension, empty_scene, monkeypatch, tmp_path):
    """A backend process that takes its time; the scene writes to the folder "shot"."""
    backend = module(extension, "client.backend_manager").BACKEND
    backend.stop()
    monkeypatch.setenv("STYLERIG_PAYLOAD", str(fake_backend.make_payload(tmp_path / "payload")))
    monkeypatch.setenv("STYLERIG_PYTHON", sys.executable)
    monkeypatch.setenv("STYLERIG_FAKE_DELAY", "0.4")
    prepare(extension, empty_scene)
    empty_scene.frame_end = 6
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path / "shot"))
    yield backend
    backend.stop()


class Killer:
    """Kills the backend while it works, from frame 3 on, ``times`` times."""

    def __init__(self, backend, times: int):
        self.backend, self.times, self.killed = backend, times, set()
        self.over = threading.Event()

    def __enter__(self) -> Killer:
        bpy.app.handlers.render_pre.append(self.begin)
        return self

    def __exit__(self, *_exception) -> None:
        bpy.app.handlers.render_pre.remove(self.begin)
        self.over.set()
        self.thread.join(20)

    def begin(self, scene, *_arguments) -> None:
        if scene.frame_current == 3:
            self.thread = threading.Thread(target=self.kill, daemon=True)
            self.thread.start()

    def kill(self) -> None:
        while len(self.killed) < self.times and not self.over.wait(0.1):
            pid = self.backend.pid
            if pid is not None and pid not in self.killed:
                time.sleep(0.1)
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)


def test_a_backend_killed_once_is_started_again_and_the_animation_goes_on(slow_backend, tmp_path):
    with Killer(slow_backend, times=1) as killer:
        bpy.ops.render.render(animation=True)
    assert len(killer.killed) == 1 and files(tmp_path / "shot") == whole_sequence(range(1, 7))


def test_a_backend_that_keeps_dying_stops_the_animation_and_the_next_render_goes_on(slow_backend, tmp_path):
    with Killer(slow_backend, times=100), pytest.raises(RuntimeError, match="The backend is not running any more"):
        bpy.ops.render.render(animation=True)
    done = len(files(tmp_path / "shot")) // 2
    assert 2 <= done < 6 and files(tmp_path / "shot") == whole_sequence(range(1, done + 1))
    before = (tmp_path / "shot" / "frames" / "frame_0001.png").stat().st_mtime_ns
    bpy.ops.render.render(animation=True)
    assert files(tmp_path / "shot") == whole_sequence(range(1, 7))
    assert (tmp_path / "shot" / "frames" / "frame_0001.png").stat().st_mtime_ns == before
