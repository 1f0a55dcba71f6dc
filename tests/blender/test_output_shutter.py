"""Motion blur by accumulation: the mean of what is drawn while the shutter is open."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, read_exr, read_png, render_still, stacked, use_client, white_frame

WIDTH, HEIGHT = 96, 64
STEP = 12  # pixels that the head goes to the right from frame to frame
SAMPLES = 6


@pytest.fixture
def client(extension, monkeypatch):
    client = KnownClient(white_frame)
    use_client(extension, monkeypatch, client)
    return client


@pytest.fixture
def scene(extension, empty_scene, client):
    rig = prepare(extension, empty_scene, WIDTH, HEIGHT, placement="SHOT")
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    camera = empty_scene.camera
    camera.location, camera.rotation_euler = (0, -1.2, 0.02), (np.pi / 2, 0, 0)
    camera.data.lens, camera.data.sensor_fit, camera.data.shift_y = 70, "AUTO", 0.0
    for frame in (1, 3):
        rig.location.x = (frame - 2) * STEP * 1.1 * 36 / 70 / WIDTH
        rig.keyframe_insert("location", frame=frame)
    curves = rig.animation_data.action.layers[0].strips[0].channelbag(rig.animation_data.action_slot).fcurves
    for key in (key for curve in curves for key in curve.keyframe_points):
        key.interpolation = "LINEAR"
    empty_scene.frame_set(2)
    empty_scene.render.use_motion_blur, empty_scene.render.motion_blur_shutter = True, 1.0
    empty_scene.stylerig.motion_samples = SAMPLES
    return empty_scene


def alpha(scene, tmp_path) -> np.ndarray:
    """The middle row's coverage, 0 to 1."""
    return render_still(scene, tmp_path / "still.png")[HEIGHT // 2, :, 3] / 255


def at(scene, tmp_path, time: float) -> np.ndarray:
    """The same of a sharp picture at a time."""
    scene.render.use_motion_blur = False
    scene.frame_set(int(time), subframe=time % 1)
    row = alpha(scene, tmp_path)
    scene.frame_set(2)
    scene.render.use_motion_blur = True
    return row


@pytest.mark.parametrize(("position", "opened"), [("START", 0.0), ("CENTER", -0.5), ("END", -1.0)])
def test_it_is_the_mean_of_pictures_while_the_shutter_is_open(scene, tmp_path, position, opened):
    scene.render.motion_blur_position, scene.render.motion_blur_shutter = position, 0.8
    blurred = alpha(scene, tmp_path)
    times = [2 + 0.8 * (opened + (number + 0.5) / SAMPLES) for number in range(SAMPLES)]
    wanted = np.mean([at(scene, tmp_path, time) for time in times], axis=0)
    assert np.abs(blurred - wanted).max() < 1.5 / 255 * 2
    assert np.abs(blurred - at(scene, tmp_path, 2.0)).max() > 0.3  # it is blurred at all


def test_a_shutter_that_opens_late_sees_what_comes_late(scene, tmp_path):
    """Its curve is shut until the middle of its time: the head is seen farther to the right, and less blurred."""
    even = alpha(scene, tmp_path)
    points = scene.render.motion_blur_shutter_curve.curves[0].points
    points.new(0.49, 0.0)
    points[0].location[1] = 0.0
    scene.render.motion_blur_shutter_curve.update()
    late, place = alpha(scene, tmp_path), np.arange(WIDTH)
    shift = (late * place).sum() / late.sum() - (even * place).sum() / even.sum()
    assert shift == pytest.approx(STEP / 4, abs=1)
    assert ((late > 0.1) & (late < 0.9)).sum() < ((even > 0.1) & (even < 0.9)).sum()


def test_it_is_drawn_as_often_as_asked_and_once_where_nothing_moves(scene, client, tmp_path):
    bpy.ops.render.render()
    assert len(client.requests) == SAMPLES + 1  # with the passes of the frame's own time
    client.requests.clear()
    next(item for item in scene.objects if item.type == "ARMATURE").animation_data_clear()
    bpy.ops.render.render()
    assert len(client.requests) == 2
    client.requests.clear()
    scene.stylerig.motion_samples = 1
    bpy.ops.render.render()
    assert len(client.requests) == 1


def test_mattes_are_blurred_and_places_are_of_the_frame(extension, scene, tmp_path):
    scene.view_layers[0].use_pass_cryptomatte_object = True
    found = []
    for blur in (False, True):
        scene.render.use_motion_blur = blur
        module(extension, "render.sequence").setup_sequence(scene, str(tmp_path / str(blur)))
        scene.frame_start = scene.frame_end = 2
        bpy.ops.render.render(animation=True)
        found.append(read_exr(tmp_path / str(blur) / "passes" / "frame_0002.exr", tmp_path))
    sharp, blurred = found
    for name in ("Depth", "HeadDepth"):
        letter = "Z" if f"{name}.Z" in sharp else "V"
        np.testing.assert_array_equal(blurred[f"{name}.{letter}"], sharp[f"{name}.{letter}"])
    np.testing.assert_array_equal(stacked(blurred, "Position", "XYZ"), stacked(sharp, "Position", "XYZ"))
    matte, covered = (stacked(blurred, "HeadMatte", "X")[..., 0], blurred["CryptoObject00.g"])
    np.testing.assert_allclose(matte, stacked(blurred, "Combined", "rgba" if "Combined.r" in blurred else "RGBA")[..., 3], atol=1e-3)
    np.testing.assert_allclose(covered, matte, atol=1e-3)
    still = stacked(sharp, "HeadMatte", "X")[..., 0]
    soft, soft_still = (((one > 0.1) & (one < 0.9)).sum() for one in (matte, still))
    assert soft > 2 * soft_still


def test_an_animation_has_the_pictures_of_stills(scene, client, tmp_path):
    scene.frame_start, scene.frame_end = 1, 3
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    scene.render.filepath = str(tmp_path / "f")
    bpy.ops.render.render(animation=True)
    for frame in (1, 2, 3):
        scene.frame_set(frame)
        np.testing.assert_array_equal(read_png(tmp_path / f"f{frame:04}.png"), render_still(scene, tmp_path / "still.png"))


def test_vector_blur_takes_its_place(scene):
    bpy.ops.stylerig.setup_compositor(motion_blur=True)
    assert not scene.render.use_motion_blur
