"""The Vector pass: what Cycles says of a surface that moves with the head, and what Vector Blur makes of it."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from output_shot import KnownClient, module, prepare, read_exr, render_still, stacked, use_client, white_frame

WIDTH, HEIGHT = 96, 64


@pytest.fixture
def client(extension, monkeypatch):
    client = KnownClient(white_frame)
    use_client(extension, monkeypatch, client)
    return client


@pytest.fixture
def scene(extension, empty_scene, client):
    """At frame 2 of 3 head and camera move, turn and grow, otherwise before than after."""
    rig = prepare(extension, empty_scene, WIDTH, HEIGHT, placement="SHOT")
    camera = empty_scene.camera
    camera.data.lens, camera.data.sensor_fit, camera.data.shift_y = 70, "AUTO", 0.05
    for frame, side, turn in ((1, -0.02, 0.0), (2, 0.0, 0.03), (3, 0.05, 0.1)):
        rig.location, rig.rotation_euler, rig.scale = (side, 2 * side, -side / 2), (0.1, 0.2, 3 * turn), (1 + turn,) * 3
        camera.location, camera.rotation_euler = (0.3 * side, -1.2 - side, 0.02), (np.pi / 2 + turn / 5, turn / 2, 0.02)
        for thing in (rig, camera):
            for path in ("location", "rotation_euler", "scale"):
                thing.keyframe_insert(path, frame=frame)
    empty_scene.frame_start, empty_scene.frame_end = 2, 2
    empty_scene.frame_set(2)
    empty_scene.view_layers[0].use_pass_vector = True
    return empty_scene


def passes_at(scene, path, tmp_path) -> dict[str, np.ndarray]:
    """The layer's channels of frame 2, without the layer's name."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    if hasattr(settings, "use_exr_interleave"):
        settings.use_exr_interleave = True
    scene.render.filepath = str(path)
    bpy.ops.render.render(animation=True, scene=scene.name)
    channels = read_exr(path.with_name(f"{path.name}0002.exr"), tmp_path)
    return {name.partition(".")[2]: pixels for name, pixels in channels.items()}


def test_it_is_what_cycles_says_of_a_plane_in_the_heads_middle(scene, tmp_path):
    ours = passes_at(scene, tmp_path / "ours", tmp_path)
    depth = ours["HeadDepth.Z"]
    head = depth < 1e9
    hidden = next(item for item in scene.objects if item.type == "MESH")
    hidden.hide_render = True
    add_plane(scene, next(item for item in scene.objects if item.type == "ARMATURE"), float(depth[head][0]))
    other = scene.copy()
    other.render.engine, other.cycles.samples, other.view_layers[0].use_pass_z = "CYCLES", 1, True
    theirs = passes_at(other, tmp_path / "theirs", tmp_path)
    both = head & (np.abs(theirs["Depth.Z"] - depth) < 1e-3)
    assert both.sum() > 500
    found, wanted = stacked(ours, "Vector", "XYZW")[both], stacked(theirs, "Vector", "XYZW")[both]
    assert np.abs(wanted[:, :2]).max() > 2 and np.abs(wanted[:, 2:]).max() > 4
    assert np.abs(found - wanted).max() < 0.03, (found[0], wanted[0])
    assert not stacked(ours, "Vector", "XYZW")[~head].any()


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_it_is_how_blender_sees_points_of_the_head_move(scene, tmp_path, kind):
    """Cycles of 4.5 has another motion for orthographic cameras than its pictures."""
    scene.camera.data.type, scene.camera.data.ortho_scale = kind, 0.6
    passes = passes_at(scene, tmp_path / "ours", tmp_path)
    depth, moved = passes["HeadDepth.Z"], stacked(passes, "Vector", "XYZW")
    rig, to_world = next(item for item in scene.objects if item.type == "ARMATURE"), scene.camera.matrix_world.copy()
    distance = float(depth[depth < 1e9][0])
    points = [rig.matrix_world.inverted() @ to_world @ Vector((x, y, -distance)) for x in (-0.04, 0, 0.05) for y in (-0.02, 0.03)]
    seen = {}
    for frame in (1, 2, 3):
        scene.frame_set(frame)
        places = [world_to_camera_view(scene, scene.camera, rig.matrix_world @ point)[:2] for point in points]
        seen[frame] = np.array(places) * (WIDTH, HEIGHT)
    wanted = np.concatenate((seen[1] - seen[2], seen[2] - seen[3]), axis=1)
    found = [moved[HEIGHT - 1 - int(y), int(x)] for x, y in seen[2]]
    assert np.abs(wanted).max() > 4 and np.abs(found - wanted).max() < 0.3  # half a pixel away the motion is a little another


def add_plane(scene, rig, depth: float) -> None:
    """A plane across the camera's axis at this depth, at the present frame, that moves with the head bone."""
    at = scene.camera.matrix_world
    corners = [at @ Vector((x, y, -depth)) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    mesh = bpy.data.meshes.new("plane")
    mesh.from_pydata([rig.matrix_world.inverted() @ corner for corner in corners], [], [(0, 1, 2, 3)])
    plane = bpy.data.objects.new("plane", mesh)
    plane.parent = rig
    scene.collection.objects.link(plane)


def test_only_view_layers_that_ask_for_it_have_it(extension, scene, tmp_path, monkeypatch):
    engine = module(extension, "render.engine").StyleRigEngine
    scene.view_layers[0].use_pass_vector = False
    monkeypatch.setattr(engine, "sightings_around", lambda *_: pytest.fail("evaluated the frames around in vain"))
    assert not any(name.startswith("Vector") for name in passes_at(scene, tmp_path / "f", tmp_path))


def test_a_head_that_is_there_at_this_frame_alone_moves_with_nothing(scene, tmp_path):
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    for thing in (rig, scene.camera):
        thing.animation_data_clear()
    for frame, hidden in ((1, True), (2, False), (3, True)):
        rig.hide_render = hidden
        rig.keyframe_insert("hide_render", frame=frame)
    found = passes_at(scene, tmp_path / "f", tmp_path)
    assert (found["HeadDepth.Z"] < 1e9).any() and np.abs(stacked(found, "Vector", "XYZW")).max() < 1e-3


def test_the_sequence_has_four_channels_of_it(extension, scene, tmp_path):
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path))
    bpy.ops.render.render(animation=True)
    channels = read_exr(tmp_path / "passes" / "frame_0002.exr", tmp_path)
    moved = np.abs(stacked(channels, "Vector", "XYZW")).max(axis=(0, 1))
    assert moved.min() > 0.5


def test_motion_blur_goes_along_the_motion_as_far_as_the_shutter(scene, tmp_path):
    """A head that goes sideways by 8 pixels a frame has sides that are softer by 8 pixels in all with a shutter of 1, and ends above and below as they were."""
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    for thing in (rig, scene.camera):
        thing.animation_data_clear()
    scene.camera.location, scene.camera.rotation_euler = (0, -1.2, 0.02), (np.pi / 2, 0, 0)
    rig.rotation_euler, rig.scale = (0, 0, 0), (1, 1, 1)
    step = 8 * 1.1 * 36 / 70 / WIDTH
    for frame in (1, 2, 3):
        rig.location = ((frame - 2) * step, 0, 0)
        rig.keyframe_insert("location", frame=frame)
    scene.frame_set(2)
    wide = []
    for shutter in (0.0, 0.5, 1.0):
        scene.render.motion_blur_shutter = shutter
        bpy.ops.stylerig.setup_compositor(motion_blur=True, light_wrap=0)
        light = render_still(scene, tmp_path / "blur.png")[..., 0] / 255
        row, column = light[HEIGHT // 2], light[:, WIDTH // 2]
        wide.append((mixed(row), mixed(column)))
    sides, ends = zip(*wide, strict=True)
    assert sides[0] + 2 <= sides[1] and sides[0] + 6 <= sides[2] <= sides[0] + 9, wide
    assert max(ends) <= ends[0] + 1, wide


def mixed(line: np.ndarray) -> int:
    """How many pixels of a line are neither the portrait's white nor the plate."""
    return int(((line > line.min() + 0.1) & (line < 0.95)).sum())
