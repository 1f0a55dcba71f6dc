"""Stereoscopy: each eye sees the portrait from where Blender puts it."""

from __future__ import annotations

import json
import math

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from output_shot import KnownClient, dots_in, module, point_frame, prepare, read_png, use_client

APART, CONVERGE = 0.065, 1.0  # metres
SIZE = (160, 120)


@pytest.fixture
def scene(extension, empty_scene, monkeypatch):
    rig = prepare(extension, empty_scene, *SIZE, placement="SHOT")
    module(extension, "render.compositor").set_exact_colours(empty_scene)
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    use_client(extension, monkeypatch, KnownClient(point_frame(extension, json.loads(rig.stylerig.portrait))))
    camera = empty_scene.camera
    camera.matrix_world = Matrix.Translation((0.3, -1.0, 0.1)) @ Matrix.Rotation(math.pi / 2, 4, "X") @ Matrix.Rotation(0.25, 4, "Y")
    camera.data.lens, camera.data.shift_x, camera.data.sensor_fit = 60, 0.05, "AUTO"
    stereo = camera.data.stereo
    stereo.interocular_distance, stereo.convergence_distance = APART, CONVERGE
    empty_scene.render.image_settings.color_mode = "RGBA"
    return empty_scene


def eyes(scene, folder, *views: str) -> list[np.ndarray]:
    """The pictures of the views."""
    scene.render.use_multiview = True
    scene.render.filepath = str(folder / "eye")
    bpy.ops.render.render(write_still=True)
    return [read_png(folder / f"eye{view}.png") for view in views]


def alone(scene, folder, matrix: Matrix, shift: float = 0.0) -> np.ndarray:
    """The picture of a camera without stereoscopy that stands at ``matrix``."""
    camera, own = scene.camera, scene.camera.matrix_world.copy()
    camera.matrix_world, camera.data.shift_x, scene.render.use_multiview = matrix, camera.data.shift_x + shift, False
    scene.render.filepath = str(folder / "alone.png")
    bpy.ops.render.render(write_still=True)
    camera.matrix_world, camera.data.shift_x = own, camera.data.shift_x - shift
    return read_png(folder / "alone.png")


@pytest.mark.parametrize("pivot", ["LEFT", "CENTER", "RIGHT"])
def test_parallel_eyes_are_two_cameras_side_by_side(scene, tmp_path, pivot):
    stereo, own = scene.camera.data.stereo, scene.camera.matrix_world.copy()
    stereo.convergence_mode, stereo.pivot = "PARALLEL", pivot
    seen = eyes(scene, tmp_path, "_L", "_R")
    places = {"LEFT": (0, 1), "CENTER": (-0.5, 0.5), "RIGHT": (-1, 0)}[pivot]
    for picture, place in zip(seen, places, strict=True):
        wanted = alone(scene, tmp_path, own @ Matrix.Translation((place * APART, 0, 0)))
        assert np.abs(dots_in(picture) - dots_in(wanted)).max() < 0.05 and np.abs(picture - wanted).max() < 20
    assert (seen[0] != seen[1]).any()


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
@pytest.mark.parametrize("upright", [False, True])
def test_eyes_off_the_axis_are_two_cameras_with_shifted_lenses(scene, tmp_path, fit, kind, upright):
    """By as much as Blender shifts them, whatever the sensor fits, the camera's kind and the pixels are."""
    data, own, render = scene.camera.data, scene.camera.matrix_world.copy(), scene.render
    data.stereo.convergence_mode, data.stereo.pivot, data.sensor_fit = "OFFAXIS", "CENTER", fit
    data.type, data.ortho_scale, data.lens, render.pixel_aspect_x = kind, 0.9, 40, 1.5
    if upright:
        render.resolution_x, render.resolution_y = SIZE[::-1]
    shift = 0.5 * APART / data.sensor_width * data.lens / CONVERGE
    for picture, side in zip(eyes(scene, tmp_path, "_L", "_R"), (-1, 1), strict=True):
        wanted = alone(scene, tmp_path, own @ Matrix.Translation((side * APART / 2, 0, 0)), -side * shift)
        assert np.abs(dots_in(picture) - dots_in(wanted)).max() < 0.1


@pytest.mark.parametrize("mode", ["OFFAXIS", "TOE"])
def test_what_lies_where_the_eyes_converge_is_at_one_place(scene, tmp_path, mode):
    """And what lies farther is to the right for the right eye, nearer to the left."""
    rig, camera = next(item for item in scene.objects if item.type == "ARMATURE"), scene.camera
    camera.data.stereo.convergence_mode, camera.data.shift_x = mode, 0.0
    camera.matrix_world = Matrix.Translation((0, -CONVERGE, 0)) @ Matrix.Rotation(math.pi / 2, 4, "X")
    parallax = []
    for distance in (0.8, 1.0, 1.5):
        rig.location = 0, 0, 0
        bpy.context.view_layer.update()
        rig.location.y = distance - CONVERGE + 0.08  # the eyes lie before the rig's origin
        left, right = (dots_in(picture).mean(axis=0) for picture in eyes(scene, tmp_path, "_L", "_R"))
        parallax.append(right[0] - left[0])
        assert abs(right[1] - left[1]) < 0.1
    focal = camera.data.lens / camera.data.sensor_width * SIZE[0]
    assert parallax[0] < -0.5 and abs(parallax[1]) < 0.12 * focal * APART and parallax[2] > 0.5
    np.testing.assert_allclose(parallax[2] - parallax[0], focal * APART * (1 / 0.8 - 1 / 1.5), rtol=0.12)


def test_each_view_may_have_a_camera_of_its_own(scene, tmp_path):
    camera = scene.camera
    camera.name, aside = "shot_L", Matrix.Translation((0.1, 0.0, 0.05)) @ camera.matrix_world
    other = bpy.data.objects.new("shot_R", camera.data.copy())
    other.data.lens, other.matrix_world = 45, aside
    scene.collection.objects.link(other)
    scene.render.views_format = "MULTIVIEW"
    left, right = eyes(scene, tmp_path, "_L", "_R")
    assert np.abs(left - alone(scene, tmp_path, camera.matrix_world.copy())).max() <= 1
    scene.camera = other
    assert np.abs(right - alone(scene, tmp_path, aside)).max() <= 1 and (left != right).any()


def test_without_stereoscopy_the_eyes_distance_changes_nothing(scene, tmp_path):
    own = scene.camera.matrix_world.copy()
    before = alone(scene, tmp_path, own)
    scene.camera.data.stereo.interocular_distance = 0.5
    np.testing.assert_array_equal(alone(scene, tmp_path, own), before)


def test_dots_of_the_middle_camera_lie_between_those_of_the_eyes(scene, tmp_path):
    scene.camera.data.stereo.convergence_mode, scene.camera.data.stereo.pivot = "PARALLEL", "CENTER"
    middle = dots_in(alone(scene, tmp_path, scene.camera.matrix_world.copy()))
    left, right = map(dots_in, eyes(scene, tmp_path, "_L", "_R"))
    assert np.abs((left + right) / 2 - middle).max() < 0.3 and (left[:, 0] > right[:, 0] + 2).all()


def test_an_animation_of_both_eyes_looks_ahead_and_is_the_same_as_stills(extension, scene, tmp_path):
    """The frames that are foreseen are both eyes' too."""
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    for frame, turn in ((1, -0.2), (4, 0.2)):
        rig.pose.bones["head"].rotation_euler = (0, turn, 0)
        rig.pose.bones["head"].keyframe_insert("rotation_euler", frame=frame)
    scene.render.use_multiview, scene.frame_end = True, 4
    scene.render.filepath, rights = str(tmp_path / "f####"), []
    began = module(extension, "render.prefetch").PREFETCHERS

    def note(*_arguments) -> None:
        rights.extend(foreseen.hits for foreseen in began.values())

    bpy.app.handlers.render_write.append(note)
    try:
        bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_write.remove(note)
    assert len(list(tmp_path.glob("f000*"))) == 8 and rights[-1] >= 1
    scene.frame_set(3)
    for picture, view in zip(eyes(scene, tmp_path, "_L", "_R"), "LR", strict=True):
        np.testing.assert_array_equal(read_png(tmp_path / f"f0003_{view}.png"), picture)


def test_the_aligned_crop_is_the_same_for_both_eyes(scene, tmp_path):
    scene.stylerig.placement = "CROP"
    left, right = eyes(scene, tmp_path, "_L", "_R")
    assert left[..., 3].any() and (left == right).all()


def test_both_eyes_recipes_are_in_the_files(extension, scene, tmp_path):
    eyes(scene, tmp_path)
    for name in ("eye_L.png", "eye_R.png"):
        content = (tmp_path / name).read_bytes()
        assert b"StyleRigRecipe2" in content and b"StyleRigRecipe3" not in content
