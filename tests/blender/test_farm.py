"""Render on Farm: what is given to a Flamenco manager and to the backend's command, and what is said of how it goes."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from fake_manager import JOB, FakeManager
from output_shot import add_rig, prepare

ROOT = Path(__file__).resolve().parents[2]
KEYS = re.findall(r'\{ key: "(\w+)"', (ROOT / "backend" / "farm" / "job_types" / "stylerig_render.js").read_text(encoding="utf-8"))
COMMAND = """
import json, sys
rig_file, folder = sys.argv[2], sys.argv[4]
count = len(json.load(open(rig_file))["frames"])
if "--workers" in sys.argv:
    print("error: There is no Ray cluster.\\nhint: Start one.", file=sys.stderr)
    sys.exit(2)
print(json.dumps({"event": "begin", "total": count, "arguments": sys.argv[1:]}), flush=True)
for number in range(1, count):
    print(json.dumps({"event": "frame", "number": number}), flush=True)
print(json.dumps({"event": "failed", "number": count, "message": "There is not enough memory."}), flush=True)
sys.exit(3)
"""


@pytest.fixture
def preferences():
    found = bpy.context.preferences.addons["bl_ext.user_default.stylerig"].preferences
    before = {name: getattr(found, name) for name in ("flamenco_manager", "ray_address", "ray_workers")}
    yield found
    for name, value in before.items():
        setattr(found, name, value)


@pytest.fixture
def manager(preferences):
    with FakeManager(KEYS) as found:
        preferences.flamenco_manager = found.url
        yield found


@pytest.fixture
def shot(part, extension, empty_scene, client, tmp_path):
    """A saved file whose scene is set up for a sequence."""
    prepare(extension, empty_scene)
    part("render.sequence").setup_sequence(empty_scene, "//render")
    save(tmp_path / "shot.blend")
    yield bpy.context.scene
    part("farm.follower").FOLLOWER.forget()


def save(path: Path) -> None:
    # setup_sequence checks its folder, which is relative to the file
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def looked(part):
    """The state once it was asked for."""
    follower = part("farm.follower").FOLLOWER
    again = follower.tick()
    while follower.task is not None:
        assert follower.task.wait(20)
        again = follower.tick()
    return follower.state, again


def refused(message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.stylerig.render_on_farm()


def test_flamenco_gets_the_saved_scene(part, shot, manager):
    shot.frame_start, shot.frame_end, shot.stylerig.farm_chunk = 5, 12, 4
    save(bpy.data.filepath)
    assert bpy.ops.stylerig.render_on_farm() == {"FINISHED"}
    [(path, job)] = manager.posted
    assert path == "/api/v3/jobs" and (job["type"], job["priority"]) == ("stylerig-render", 50)
    assert job["submitter_platform"] in ("linux", "windows", "darwin") and job["name"] == f"shot {shot.name}"
    settings = job["settings"]
    assert (settings["renderer"], settings["blendfile"], settings["scene"]) == ("Blender", bpy.data.filepath, shot.name)
    assert (settings["frames"], settings["chunk_size"], settings["own_output"], settings["format"]) == ("5-12", 4, True, "png")
    assert settings["render_output"] == os.path.join(os.path.dirname(bpy.data.filepath), "render", "frames")
    assert settings["fps"] == 24


def test_only_every_third_frame(shot, manager):
    shot.frame_start, shot.frame_end, shot.frame_step = 1, 9, 3
    save(bpy.data.filepath)
    bpy.ops.stylerig.render_on_farm()
    assert manager.posted[0][1]["settings"]["frames"] == "1,4,7"


def test_the_state_is_shown_until_the_job_ends(part, shot, manager):
    bpy.ops.stylerig.render_on_farm()
    assert "given to the farm" in str(part("farm.follower").FOLLOWER.state.text)
    state, again = looked(part)
    assert str(state.text) == f"shot {shot.name}: rendering, 1 of 3 tasks done" and not state.ended and again > 0
    assert part("farm.follower").FOLLOWER.job.link == f"{manager.url}/app/jobs/{JOB.rpartition('/')[2]}"
    manager.status, manager.tasks = "failed", ["completed", "failed", "canceled"]
    state, again = looked(part)
    assert state.ended and state.failed and again is None and "1 failed" in str(state.text)


def test_a_manager_that_is_away_for_a_while_is_asked_again(part, shot, manager):
    bpy.ops.stylerig.render_on_farm()
    manager.shutdown()
    manager.socket.close()
    state, again = looked(part)
    assert state.failed and not state.ended and again > 0 and "No Flamenco manager answers" in str(state.text)


def test_stop(part, shot, manager):
    assert not bpy.ops.stylerig.cancel_farm.poll()
    bpy.ops.stylerig.render_on_farm()
    assert bpy.ops.stylerig.cancel_farm() == {"FINISHED"}
    path, body = manager.posted[-1]
    assert path == f"{JOB}/setstatus" and body["status"] == "cancel-requested" and body["reason"]


def test_errors_say_what_to_do(part, shot, manager, preferences):
    manager.keys = KEYS[:2]
    refused("of another version. Install it again")
    manager.keys = []
    refused("does not know StyleRig's job type. Install it")
    manager.keys, manager.refusal = KEYS, (500, {"code": 500, "message": "the disk is full"})
    refused("refuses: the disk is full.")
    manager.refusal = (200, b"<html>")
    refused("is no Flamenco manager. Correct its address")
    manager.refusal = (200, ["a list"])
    refused("is no Flamenco manager. Correct its address")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        preferences.flamenco_manager = f"http://127.0.0.1:{free.getsockname()[1]}"
        refused("No Flamenco manager answers at .* Start it, or correct its address")
    preferences.flamenco_manager = "farm:8080"
    refused("is no address of a Flamenco manager")


def test_the_network_may_be_forbidden(part, monkeypatch):
    shot_part = part("farm.shot")
    if bpy.app.online_access:
        pytest.skip("the network is allowed here")
    with pytest.raises(part("errors").UserError, match="forbid the network"):
        shot_part.check_online("http://farm.example:8080")
    shot_part.check_online("http://localhost:8080")


def test_only_what_a_farm_can_render_is_given_to_it(part, shot, manager):
    bpy.data.texts["StyleRig Check"].name = "Other"
    save(bpy.data.filepath)
    refused("lacks the text StyleRig Check")
    shot.render.engine = "BLENDER_WORKBENCH"
    save(bpy.data.filepath)
    refused("not by StyleRig")
    bpy.ops.wm.read_homefile(use_empty=True)
    refused("Save it first")
    assert manager.posted == []


@pytest.mark.parametrize(
    ("path", "dirty", "background", "saved"),
    [("a.blend", False, False, True), ("a.blend", True, False, False), ("a.blend", True, True, True), ("", False, False, False)],
)
def test_a_file_with_changes_is_not_saved(part, monkeypatch, path, dirty, background, saved):
    stand_in = SimpleNamespace(
        data=SimpleNamespace(filepath=path, is_dirty=dirty), app=SimpleNamespace(background=background)
    )  # fmt: skip
    monkeypatch.setattr(part("farm.shot"), "bpy", stand_in)
    assert part("farm.shot").is_saved() == saved


@pytest.fixture
def command(part, monkeypatch, tmp_path):
    """In place of the backend: a program that says what the command line says."""
    (tmp_path / "payload" / "backend").mkdir(parents=True)
    (tmp_path / "payload" / "backend" / "__main__.py").write_text(COMMAND)
    monkeypatch.setenv("STYLERIG_PAYLOAD", str(tmp_path / "payload"))
    monkeypatch.setenv("STYLERIG_PYTHON", sys.executable)


def ended(part):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        state, again = looked(part)
        if again is None:
            return state
    raise AssertionError(f"it goes on for ever: {state}")


def test_ray_draws_the_rig_file(part, shot, command, preferences):
    preferences.ray_address = "10.0.0.1:6379"
    shot.stylerig.farm = "RAY"
    save(bpy.data.filepath)
    assert bpy.ops.stylerig.render_on_farm() == {"FINISHED"}
    state = ended(part)
    assert state.failed and str(state.text) == "shot: 1 of 3 frames failed: There is not enough memory."
    folder = Path(bpy.data.filepath).parent / "render" / "frames"
    begin = json.loads((folder / "farm.jsonl").read_text().splitlines()[0])
    assert begin["arguments"] == [
        "render", str(folder / "shot.json"), "--output", str(folder), "--json-log", "--format", "png", "--ray", "10.0.0.1:6379",
    ]  # fmt: skip
    assert len(json.loads((folder / "shot.json").read_text())["frames"]) == 3


def test_what_the_command_complains_of_is_shown(part, shot, command, preferences):
    preferences.ray_workers = 2
    shot.stylerig.farm = "RAY"
    save(bpy.data.filepath)
    bpy.ops.stylerig.render_on_farm()
    state = ended(part)
    assert state.failed and str(state.text) == "shot: There is no Ray cluster. Start one."


def test_ray_draws_one_portrait(extension, shot, command):
    shot.stylerig.farm, shot.render.use_motion_blur = "RAY", True
    refused("no motion blur. Choose Flamenco")
    shot.render.use_motion_blur, shot.render.use_multiview = False, True
    refused("no stereoscopy. Choose Flamenco")
    add_rig(extension, seed=8)
    shot.stylerig.farm = "RAY"
    save(bpy.data.filepath)
    refused("scenes of one portrait; here are 2. Choose Flamenco")
