"""Export Rig File: its frames are those that the engine asks the backend for, and the command line takes it."""

from __future__ import annotations

import json

import bpy
import pytest
from output_shot import prepare


@pytest.fixture
def scene(extension, empty_scene, client):
    rig = prepare(extension, empty_scene, width=64, height=48)
    for frame, value in ((1, 0.0), (3, 0.8)):
        head = rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
        head.value = value
        head.keyframe_insert("value", frame=frame)
    bone = rig.pose.bones["head"]
    bone.rotation_mode = "XYZ"
    for frame, angle in ((1, -0.2), (3, 0.3)):
        bone.rotation_euler[1] = angle
        bone.keyframe_insert("rotation_euler", frame=frame)
    bpy.context.view_layer.objects.active = rig
    return empty_scene


def test_frames_are_those_of_the_engine(scene, client, tmp_path):
    scene.frame_set(2)
    assert bpy.ops.stylerig.export_rig_file(filepath=str(tmp_path / "shot")) == {"FINISHED"}
    assert scene.frame_current == 2 and not client.requests
    written = json.loads((tmp_path / "shot.json").read_text(encoding="utf-8"))
    scene.render.filepath = str(tmp_path / "frame_")
    bpy.ops.render.render(animation=True)
    asked = {json.dumps(request["controls"]): request for request in client.requests}  # one may be foreseen twice
    assert [json.dumps(controls) for controls in written["frames"]] == list(asked)
    assert len(written["frames"]) == 3 and written["frames"][2]["expression"]["jawOpen"] == pytest.approx(0.8)
    for request in client.requests:
        assert (written["portrait"], written["output"]["size"]) == (request["portrait"], request["size"])
        assert set(request["passes"]) <= set(written["output"]["passes"])


def test_only_every_second_frame(scene, tmp_path):
    scene.frame_step = 2
    bpy.ops.stylerig.export_rig_file(filepath=str(tmp_path / "shot.json"))
    assert len(json.loads((tmp_path / "shot.json").read_text())["frames"]) == 2


def test_a_folder_that_cannot_be_written(scene, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RuntimeError, match="The rig file cannot be written to"):
        bpy.ops.stylerig.export_rig_file(filepath=str(tmp_path / "file" / "shot.json"))
    assert (tmp_path / "file").read_text() == "in the way"
