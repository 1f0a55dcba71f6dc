"""Going on with an animation: what is done stays untouched, what is not is drawn anew, what others are at is left to them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import bpy
import pytest
from output_shot import module, prepare

CODECS = [
    item.identifier
    for item in bpy.types.ImageFormatSettings.bl_rna.properties["exr_codec"].enum_items
    if not item.identifier.startswith("B44")
]
NEWER = bpy.app.version >= (5, 0, 0)


@pytest.fixture(autouse=True)
def short_rest(extension, monkeypatch):
    module(extension, "render.sequence").RENDER_ERRORS.clear()
    monkeypatch.setattr(module(extension, "render.finished_frames"), "REST_SECONDS", 0.4)
    monkeypatch.setattr(module(extension, "render.finished_frames"), "POLL_SECONDS", 0.02)


@pytest.fixture
def scene(extension, empty_scene, client, tmp_path):
    prepare(extension, empty_scene)
    bpy.ops.stylerig.setup_sequence(directory=str(tmp_path))
    empty_scene.frame_end = 4
    return empty_scene


@pytest.fixture
def rendered(scene, client, tmp_path) -> Path:
    """The folder of a sequence of 4 frames, rendered; no requests counted yet."""
    bpy.ops.render.render(animation=True)
    client.requests.clear()
    return tmp_path


def png(folder: Path, frame: int) -> Path:
    return folder / "frames" / f"frame_{frame:04}.png"


def exr(folder: Path, frame: int) -> Path:
    return folder / "passes" / f"frame_{frame:04}.exr"


def states(folder: Path) -> dict[Path, tuple]:
    """All that a write would change, of every file."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*.*") if path.is_file()}


def changed(before: dict[Path, tuple], folder: Path) -> set[str]:
    after = states(folder)
    return {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def unmark(path: Path) -> None:
    """As a Blender without the extension, or a painter's program, would have saved it."""
    path.write_bytes(path.read_bytes().replace(b"StyleRigVersion", b"SomebodyVersion"))


@contextmanager
def at(event: str, action: Callable, frame: int, first: bool = False):
    """Call ``action()`` at a frame's event."""

    def handler(scene, *_arguments) -> None:
        if scene.frame_current == frame:
            action()

    handlers = getattr(bpy.app.handlers, event)
    handlers.insert(0 if first else len(handlers), handler)
    try:
        yield
    finally:
        handlers.remove(handler)


@pytest.mark.parametrize("parts", [False, True] if NEWER else [False])
@pytest.mark.parametrize("codec", CODECS)
def test_frames_in_every_codec_are_done(extension, scene, client, tmp_path, codec, parts):
    node = module(extension, "render.compositor").scene_tree(scene).nodes["StyleRig Passes"]
    node.format.exr_codec, scene.frame_end = codec, 2
    if parts:
        node.format.use_exr_interleave = False
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 2
    before = states(tmp_path)
    assert len(before) == 4 and all(module(extension, "render.finished_frames").is_finished(path) for path in before)
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 2 and not changed(before, tmp_path)


@pytest.mark.parametrize("codec", CODECS)
def test_frames_of_one_layer_in_every_codec_are_done(extension, scene, client, tmp_path, codec):
    module(extension, "render.sequence").set_format(scene.render.image_settings, "IMAGE", "OPEN_EXR", "32")
    scene.render.image_settings.exr_codec, scene.render.use_compositing, scene.frame_end = codec, False, 2
    bpy.ops.render.render(animation=True)
    before = states(tmp_path)
    assert len(client.requests) == len(before) == 2
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 2 and not changed(before, tmp_path)


@pytest.mark.parametrize("there", ["another's half of a frame", "a frame without its EXR", "an EXR without its texts", "another engine's"])
def test_who_renders_one_frame_touches_no_other(extension, scene, rendered, client, there):
    """As a farm does: blender -b FILE -f 2."""
    if there == "another's half of a frame":
        png(rendered, 1).write_bytes(png(rendered, 1).read_bytes()[:100])
    elif there == "a frame without its EXR":
        exr(rendered, 1).unlink()
    else:
        unmark(exr(rendered, 1) if there == "an EXR without its texts" else png(rendered, 1))
    png(rendered, 2).unlink()
    before, scene.frame_start, scene.frame_end = states(rendered), 2, 2
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1 and changed(before, rendered) == {"frame_0002.png", "frame_0002.exr"}


@pytest.mark.skipif(not NEWER, reason="Blender 4.5 renders no range but the scene's")
def test_a_range_that_the_scene_does_not_say(scene, rendered, client):
    exr(rendered, 3).unlink()
    scene.frame_start, scene.frame_end, before = 100, 200, states(rendered)
    bpy.ops.render.render(animation=True, frame_start=1, frame_end=4)
    assert len(client.requests) == 1 and changed(before, rendered) == {"frame_0003.png", "frame_0003.exr"}


def test_steps(scene, rendered, client):
    for frame in (2, 3):
        exr(rendered, frame).unlink()
    scene.frame_step, before = 2, states(rendered)
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1 and changed(before, rendered) == {"frame_0003.png", "frame_0003.exr"}


def test_two_blenders_at_the_same_frames(extension, scene, rendered, client, capsys):
    """One finishes a frame while the other looks whether it is done: this one need not draw it."""
    whole = png(rendered, 2).read_bytes()
    png(rendered, 2).write_bytes(whole[:100])

    def finish() -> None:
        time.sleep(0.2)
        png(rendered, 2).write_bytes(whole)

    other = threading.Thread(target=finish)
    other.start()
    bpy.ops.render.render(animation=True)
    other.join()
    assert not client.requests and png(rendered, 2).read_bytes() == whole and "left to" not in capsys.readouterr().out


def test_a_frame_that_another_begins_meanwhile_is_left_to_it_and_told(scene, rendered, client, capsys):
    for frame in (1, 3):
        png(rendered, frame).unlink()
    begun = b"\x89PNG\r\n\x1a\n half"
    with at("render_write", lambda: png(rendered, 3).write_bytes(begun), frame=1, first=True):
        bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1 and png(rendered, 3).read_bytes() == begun
    assert "left to the Blender that began them: 3." in capsys.readouterr().out


def test_another_start_in_the_midst_of_a_frame_leaves_it_alone(extension, scene, client, tmp_path):
    """Its EXR is written, but has no texts yet: the other Blender must not take it for its own to draw."""
    sequence = module(extension, "render.sequence")
    seen = {}

    def other_starts() -> None:
        seen.update(states(tmp_path))
        register, path = module(extension, "render.finished_frames").Register(scene), scene.render.filepath
        assert path != register.own
        register.close(scene)
        assert changed(seen, tmp_path) == set()

    with at("render_post", other_starts, frame=2, first=True):
        bpy.ops.render.render(animation=True)
    assert b"StyleRigVersion" in seen[png(tmp_path, 2)][2] and b"StyleRigVersion" not in seen[exr(tmp_path, 2)][2]
    assert len(client.requests) == 4 and len(states(tmp_path)) == 8 and not sequence.RENDER_ERRORS


def test_another_engines_frame_is_drawn_anew_kept_and_told(extension, scene, rendered, client, capfd):
    for path in (png(rendered, 2), exr(rendered, 2)):
        unmark(path)
    kept, before = {path.name: path.read_bytes() for path in (png(rendered, 2), exr(rendered, 2))}, states(rendered)
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1
    assert changed(before, rendered) == {"frame_0002.png", "frame_0002.exr", "frame_0002.png.old", "frame_0002.exr.old"}
    assert {path.name.removesuffix(".old"): path.read_bytes() for path in rendered.rglob("*.old")} == kept
    assert module(extension, "render.file_integrity").is_marked(png(rendered, 2))
    said = capfd.readouterr()
    assert "frame_0002.png does not say that StyleRig made it" in said.out + said.err
    unmark(png(rendered, 2))
    bpy.ops.render.render(animation=True)
    assert {path.name for path in rendered.rglob("*.old*")} == {"frame_0002.png.old", "frame_0002.exr.old", "frame_0002.png.old1"}


def test_with_overwrite_on_nothing_is_kept(scene, rendered, client):
    unmark(png(rendered, 2))
    scene.render.use_overwrite = True
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 4 and not list(rendered.rglob("*.old"))


def test_a_painters_exr_is_kept_one_of_a_killed_render_is_not(scene, rendered, client):
    """The EXR that is newer than its picture was worked on; times of one file server are compared."""
    for frame, later in ((2, 1), (3, -1)):
        unmark(exr(rendered, frame))
        stamp = png(rendered, frame).stat().st_mtime_ns + later * 10**9
        os.utime(exr(rendered, frame), ns=(stamp, stamp))
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 2 and [path.name for path in rendered.rglob("*.old")] == ["frame_0002.exr.old"]


def test_a_render_that_fails_leaves_what_was_there(extension, scene, rendered, client):
    unmark(png(rendered, 2))
    before = states(rendered)

    def fail(_controls, _size):
        raise module(extension, "errors").UserError("x", "No memory.", "")

    client.draw = fail
    with pytest.raises(RuntimeError, match="No memory"):
        bpy.ops.render.render(animation=True)
    assert not changed(before, rendered)


@pytest.mark.parametrize("seconds", [-86_400, 86_400])
def test_clocks_of_computer_and_file_server_need_not_agree(extension, scene, client, tmp_path, seconds):
    def server_time() -> None:
        for path in (exr(tmp_path, scene.frame_current), png(tmp_path, scene.frame_current)):
            os.utime(path, (time.time() + seconds,) * 2)

    for frame in range(1, 5):
        with at("render_post", server_time, frame, first=True):
            scene.frame_end = frame
            bpy.ops.render.render(animation=True)
    assert len(client.requests) == 4
    assert all(module(extension, "render.file_integrity").is_marked(path) for path in states(tmp_path))
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 4


def test_a_file_that_goes_away_after_it_was_written_stops_the_render(scene, client, tmp_path):
    with at("render_post", lambda: exr(tmp_path, 2).unlink(), frame=2), pytest.raises(RuntimeError, match="frame 2 is gone"):
        bpy.ops.render.render(animation=True)
    assert len(states(tmp_path)) == 3
    bpy.ops.render.render(animation=True)
    assert len(states(tmp_path)) == 8


@pytest.mark.parametrize("last", [True, False])
def test_only_what_this_render_wrote_and_is_cut_off_is_removed(extension, scene, client, tmp_path, capsys, last):
    """Of the last frame too, after which nothing is drawn that could end with an error."""

    def cut() -> None:
        exr(tmp_path, 2).write_bytes(exr(tmp_path, 2).read_bytes()[:-50])

    scene.frame_end = 2 if last else 3
    with at("render_post", cut, frame=2):
        if last:
            bpy.ops.render.render(animation=True)
            said = capsys.readouterr().out
        else:
            with pytest.raises(RuntimeError) as caught:
                bpy.ops.render.render(animation=True)
            said = str(caught.value)
    assert "frame 2 could not be written whole and was removed" in said and len(module(extension, "render.sequence").RENDER_ERRORS) == 1
    assert {path.name for path in states(tmp_path)} == {"frame_0001.png", "frame_0001.exr", "frame_0002.png"}
    client.requests.clear()
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == scene.frame_end - 1 and len(states(tmp_path)) == 2 * scene.frame_end


def test_another_blender_that_writes_the_same_frame_is_waited_for(extension, scene, client, tmp_path):
    """It has just opened the file that this one wrote."""

    def write_again() -> None:
        whole = exr(tmp_path, 1).read_bytes()
        exr(tmp_path, 1).write_bytes(whole[:100])

        def finish() -> None:
            for length in range(200, len(whole) + 5000, 5000):
                time.sleep(0.05)
                with open(exr(tmp_path, 1), "r+b") as file:  # the same file, as Blender writes it
                    file.write(whole[:length])

        threading.Thread(target=finish).start()

    with at("render_post", write_again, frame=1):
        bpy.ops.render.render(animation=True)
    assert len(client.requests) == 4 and len(states(tmp_path)) == 8
    assert all(module(extension, "render.finished_frames").is_finished(path) for path in states(tmp_path))


def no_links(*_arguments) -> None:
    raise OSError("a privilege is not held")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize(
    ("name", "still"), [("frame_####", "frame_####.png"), ("frame_", "frame_.png"), ("frame_####.png", "frame_####.png"), ("", None)]
)
def test_a_still_goes_where_blender_puts_it_and_touches_no_frame(scene, rendered, client, monkeypatch, name, still, links):
    """Though there are frames that only look done, so that Blender is shown the register."""
    still = still or ("Untitled.png" if NEWER else ".png")
    for frame in (1, 2):
        png(rendered, frame).write_bytes(png(rendered, frame).read_bytes()[:100])
        (rendered / "frames" / f"{frame:04}.png").write_bytes(b"")
    if not links:
        monkeypatch.setattr(Path, "symlink_to", no_links)
    scene.frame_set(1)
    scene.render.use_compositing, before = False, states(rendered)
    scene.render.filepath = f"{rendered}/frames/{name}"
    bpy.ops.render.render(write_still=True)
    assert len(client.requests) == 1 and changed(before, rendered) == {still}
    assert not (rendered / "frames" / still).is_symlink() and not list(Path(bpy.app.tempdir).glob("finished-frames-*"))
    bpy.ops.render.render(write_still=True)  # over itself
    assert changed(before, rendered) == {still}


@pytest.mark.parametrize("name", ["f####", "f", "f.png", "f_##.v2", "{resolution_x}_##", "{fps:##}_f", "f.jpg", "", "a/"])
def test_where_a_still_goes(extension, scene, client, tmp_path, name):
    scene.render.use_compositing, scene.render.filepath = False, f"{tmp_path}/still/{name}"
    bpy.ops.render.render(write_still=True)
    assert module(extension, "render.output_files").stills(scene) == [path for path in (tmp_path / "still").rglob("*") if path.is_file()]


@pytest.mark.parametrize("done", ["all", "some", "none"])
@pytest.mark.parametrize("last_is_half", [True, False])
def test_the_output_path_is_the_persons_own_again(scene, rendered, client, done, last_is_half):
    own, seen = scene.render.filepath, []
    for frame in {"all": (), "some": (2,), "none": (1, 2, 3)}[done]:
        png(rendered, frame).unlink()
    if last_is_half:
        exr(rendered, 4).unlink()
    with at("render_pre", lambda: seen.append(scene.render.filepath), frame=2):
        bpy.ops.render.render(animation=True)
    assert scene.render.filepath == own and seen == ([] if done == "all" else [own])
    assert not list(Path(bpy.app.tempdir).glob("finished-frames-*"))


def test_the_output_path_is_given_back_before_a_file_is_saved(scene, rendered, client, tmp_path):
    """Blender gives up so early that it tells nobody."""
    exr(rendered, 2).unlink()
    own, scene.render.resolution_percentage = scene.render.filepath, 1
    with pytest.raises(RuntimeError, match="too small"):
        bpy.ops.render.render(animation=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"), copy=True)
    assert scene.render.filepath == own


def test_who_changes_the_output_path_as_the_render_begins_has_the_say(scene, rendered, client, tmp_path):
    exr(rendered, 2).unlink()

    def move(scene, *_arguments) -> None:
        scene.render.filepath = str(tmp_path / "v002" / "f####")

    bpy.app.handlers.render_init.append(move)
    try:
        bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_init.remove(move)
    assert len(client.requests) == 4 and len(list((tmp_path / "v002").iterdir())) == 4
    assert scene.render.filepath == str(tmp_path / "v002" / "f####")


def test_an_output_that_blender_does_not_write_is_not_waited_for(extension, scene, rendered, client):
    """A File Output of one color has no picture. That is learned from the first frame that is drawn."""
    compositor = module(extension, "render.compositor")
    tree = compositor.scene_tree(scene)
    node = tree.nodes.new("CompositorNodeOutputFile")
    if NEWER:
        node.directory, node.format.media_type = str(rendered / "own"), "IMAGE"
        node.file_output_items.new("RGBA", "color")
    else:
        node.base_path = str(rendered / "own")
    tree.links.new(tree.nodes.new("CompositorNodeRGB").outputs[0], node.inputs[0])
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1


@pytest.mark.parametrize("missing", ["_L", "_R"])
def test_a_frame_is_all_of_its_views(scene, client, tmp_path, missing):
    scene.render.use_multiview, scene.frame_end = True, 2
    bpy.ops.render.render(animation=True)
    assert len(states(tmp_path)) == 8
    (tmp_path / "frames" / f"frame_0001{missing}.png").unlink()
    client.requests.clear()
    before = states(tmp_path)
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 2 and not any("0002" in name for name in changed(before, tmp_path))


def test_what_was_looked_at_is_not_read_again_nor_waited_for(extension, scene, rendered, client, monkeypatch):
    """A person's stills, with a frame that only looks done beside them, begin at once."""
    done, read = module(extension, "render.finished_frames"), []
    exr(rendered, 2).unlink()
    scene.frame_set(9)
    bpy.ops.render.render()
    is_done = done.is_done
    with monkeypatch.context() as patch:
        patch.setattr(done, "is_done", lambda paths: read.append(paths) or is_done(paths))
        patch.setattr(done.time, "sleep", lambda seconds: pytest.fail("waits") if seconds else None)
        bpy.ops.render.render()
    assert {Path(paths[0]).name for paths in read} == {"frame_0002.png"}
    png(rendered, 3).write_bytes(b"")
    client.requests.clear()
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 2


def test_many_frames_are_looked_at_quickly(extension, scene, rendered, client):
    """Not one after another: on a file server each look takes its time."""
    done, looks, running = module(extension, "render.finished_frames"), [], []
    done.FINISHED_FRAMES.clear()

    def slow(paths) -> bool:
        running.append(1)
        looks.append(len(running))
        time.sleep(0.05)
        running.pop()
        return True

    is_done, done.is_done = done.is_done, slow
    try:
        done.Register(scene).close(scene)
    finally:
        done.is_done = is_done
    assert len(looks) == 4 and max(looks) > 1
