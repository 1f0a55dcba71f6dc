"""Export Rig File: its frames are those that the engine asks the backend for, and the command line takes it."""

from __future__ import annotations

import json

import bpy
import numpy as np
import pytest
from output_shot import prepare, random_frame

from backend.protocol import exposure, placement, shot
from backend.protocol.frames import MATTES


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


def turned_camera(scene) -> None:
    """A camera that moves sideways and zooms, past a portrait that stands turned and away from the origin."""
    camera = scene.camera
    for frame, (x, lens) in {1: (camera.location.x + 0.2, 110), 3: (camera.location.x + 0.35, 150)}.items():
        camera.location.x, camera.data.lens = x, lens
        camera.keyframe_insert("location", frame=frame)
        camera.data.keyframe_insert("lens", frame=frame)
    camera.data.shift_y = 0.1


def turned_frame(controls: dict, size: int) -> dict:
    """Passes of noise of a head that stands as it was asked for; with mattes of parts."""
    mattes = {name: np.random.default_rng(len(name)).random((size, size, 1), dtype=np.float32) for name in MATTES}
    return random_frame(controls, size) | mattes | {"placement": np.array((*controls["rotation"], 1.0, -2.0, 3.0))}


def captured(part, monkeypatch) -> list[dict]:
    """The pictures that the engine hands to Blender, row 0 at the bottom, with where they lie, as they come."""
    engine, found = part("render.engine").StyleRigEngine, []
    write = engine.write

    def keep(self, pixels, area, view, depsgraph):
        found.append({name: array.copy() for name, array in pixels.items()} | {"area": area})
        write(self, pixels, area, view, depsgraph)

    monkeypatch.setattr(engine, "write", keep)
    return found


def picture_of(client, written: dict, controls: dict, sight: dict, whole_head: bool) -> dict[str, np.ndarray]:
    """Combined and passes as they are made without Blender of what a rig file says, row 0 at the top."""
    track, passes = written["camera"], written["output"]["passes"]
    seen = [track["around"][0], *track["sights"], track["around"][1]] if track["around"] else []
    around = next(([seen[place - 1], seen[place + 1]] for place in range(1, len(seen) - 1) if seen[place] is sight), None)
    camera = track | {"sights": [sight], "around": around}
    landmarks = None if whole_head else placement.Landmarks.of_mesh(client.mesh(written["portrait"]))
    where = shot.placed(written["portrait"], controls, landmarks, camera)
    return shot.picture(where, client.frame(written["portrait"], where.controls, where.size, shot.needed(passes)), camera, passes)


def blurred(client, written: dict, number: int, whole_head: bool) -> dict[str, np.ndarray]:
    """What the shutter sees of a frame, by the rig file's moments."""
    motion, seen = written["motion"], exposure.Exposure()
    times = exposure.offsets(motion["samples"], motion["shutter"], motion["position"], motion["curve"])
    assert [moment["time"] for moment in motion["moments"][number]] == pytest.approx(times, abs=1e-9)
    for moment in motion["moments"][number]:
        seen.add(picture_of(client, written, moment["controls"], moment["sight"], whole_head), {})
    return seen.mean()[0]


@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("whole_head", [False, True])
def test_a_shot_is_drawn_to_the_bit_as_the_engine_draws_it(part, scene, client, tmp_path, monkeypatch, whole_head, blur):
    rig = bpy.context.view_layer.objects.active
    rig.location, rig.rotation_euler.z = (0.3, 0.1, 0.05), 0.2
    if whole_head:
        portrait = json.loads(rig.stylerig.portrait) | {"frame": {"center": [0.0, 2.0, 3.0], "half_width": 20.0}}
        rig.stylerig.portrait = json.dumps(portrait)
    turned_camera(scene)
    scene.stylerig.placement, scene.render.resolution_x, scene.render.resolution_y = "SHOT", 96, 54
    scene.render.pixel_aspect_x = 1.2
    for layer in scene.view_layers:
        layer.use_pass_vector = not blur  # which Blender has of scenes without motion blur
    bpy.context.view_layer.update()
    scene.render.use_motion_blur, scene.render.motion_blur_shutter, scene.stylerig.motion_samples = blur, 0.7, 3
    scene.render.motion_blur_shutter_curve.curves[0].points[0].location[1] = 0.2
    part("render.sequence").set_format(scene.render.image_settings, "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER", depth="32")
    client.draw = turned_frame
    assert bpy.ops.stylerig.export_rig_file(filepath=str(tmp_path / "shot.json")) == {"FINISHED"}
    written = json.loads((tmp_path / "shot.json").read_text(encoding="utf-8"))
    assert written["output"]["size"] is None and (written["camera"]["width"], written["camera"]["height"]) == (96, 54)

    assert ("Vector" in written["output"]["passes"]) is not blur and "HeadDepth" in written["output"]["passes"]
    drawn = captured(part, monkeypatch)
    scene.render.filepath = str(tmp_path / "frame_")
    bpy.ops.render.render(animation=True)
    assert len(drawn) == len(written["frames"]) == 3
    for number, wanted in enumerate(drawn):
        picture = picture_of(client, written, written["frames"][number], written["camera"]["sights"][number], whole_head)
        if blur:
            mean = blurred(client, written, number, whole_head)
            assert np.abs(mean["Combined"] - picture["Combined"]).max() > 0.01
            picture |= mean
        assert (wanted["area"].width, wanted["area"].height) == (96, 54)
        assert 0.05 < (picture["Combined"][..., 3] > 0).mean() < 0.95  # a part of the picture
        for name in written["output"]["passes"]:
            channels = picture[name].shape[2]
            assert picture[name].tobytes() == np.ascontiguousarray(wanted[name][::-1, :, :channels]).tobytes(), (number, name)
        assert picture["Combined"].tobytes() == np.ascontiguousarray(wanted["Combined"][::-1]).tobytes()


def test_motion_blur_is_in_frames_of_the_file(scene, tmp_path):
    """Of every second frame of the scene, times are half as long; a frame's own is in the middle."""
    scene.frame_step, scene.stylerig.motion_samples = 2, 4
    scene.render.use_motion_blur, scene.render.motion_blur_shutter = True, 0.5
    bpy.ops.stylerig.export_rig_file(filepath=str(tmp_path / "shot.json"))
    motion = json.loads((tmp_path / "shot.json").read_text())["motion"]
    assert (motion["samples"], motion["shutter"], motion["position"], motion["curve"]) == (4, 0.25, "CENTER", [])
    assert [len(each) for each in motion["moments"]] == [4, 4]
    turns = [moment["controls"]["rotation"][0] for moment in motion["moments"][0]]
    assert [moment["time"] for moment in motion["moments"][0]] == pytest.approx([-0.09375, -0.03125, 0.03125, 0.09375])
    assert len(set(turns)) > 2 and all(moment["sight"] is None for moment in motion["moments"][0])


def test_a_shot_needs_a_camera(scene, tmp_path):
    scene.stylerig.placement, scene.camera = "SHOT", None
    with pytest.raises(RuntimeError, match="The scene has no camera"):
        bpy.ops.stylerig.export_rig_file(filepath=str(tmp_path / "shot.json"))
