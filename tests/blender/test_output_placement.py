"""Portraits in a shot: where the mesh stands, turned as the camera sees it, and nothing where it sees none."""

from __future__ import annotations

import json
import math

import bpy
import fake_backend
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector
from output_shot import (
    POINTS,
    KnownClient,
    add_rig,
    dots_in,
    module,
    point_frame,
    prepare,
    random_frame,
    read_exr,
    read_png,
    render_still,
    stacked,
    use_client,
    whole_head_frame,
)  # fmt: skip

CAMERAS = {  # azimuth, height, distance, roll, what is changed of the camera or the render
    "in front": (0.0, 0.0, 1.2, 0.0, {}),
    "rolled": (0.1, 0.1, 1.2, 1.0, {"lens": 60}),
    "orbiting, off centre": (-0.6, 0.3, 0.9, -0.4, {"lens": 45, "shift_x": 0.2, "shift_y": -0.1}),
    "upside down": (0.2, -0.1, 1.0, math.pi, {"lens": 50}),
    "orthographic": (0.4, 0.2, 2.0, 0.3, {"type": "ORTHO", "ortho_scale": 0.6, "shift_x": 0.1}),
    "upright sensor": (0.3, 0.0, 1.0, 0.2, {"sensor_fit": "VERTICAL", "lens": 40}),
}


def aim(scene, azimuth: float, height: float, distance: float, roll: float = 0.0, **changes) -> None:
    """The scene's camera looks at the world's origin, as one of CAMERAS."""
    place = Vector((distance * math.sin(azimuth), -distance * math.cos(azimuth), height))
    look = (-place).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    scene.camera.matrix_world = Matrix.Translation(place) @ look @ Matrix.Rotation(roll, 4, "Z")
    scene.camera.data.sensor_fit, scene.camera.data.lens = "AUTO", 50
    for name, value in changes.items():
        setattr(scene.camera.data, name, value)


def seen_points(scene, rig, expression: dict[str, float]) -> np.ndarray:
    """Where the camera sees eyes and mouth of the mesh (3, 2), in pixels, by Blender's own reckoning."""
    mesh = fake_backend.mesh_of(json.loads(rig.stylerig.portrait))
    points = mesh["vertices"][mesh["landmarks"]]
    for name, value in expression.items():
        points = points + value * mesh["expression"][list(fake_backend.EXPRESSIONS).index(name)][mesh["landmarks"]]
    bone = rig.pose.bones["head"]
    matrix = rig.matrix_world @ bone.matrix @ bone.bone.matrix_local.inverted()
    world = [matrix @ Vector((x, -z, y)) for x, y, z in (points / 100).tolist()]
    bpy.context.view_layer.update()
    seen = np.array([world_to_camera_view(scene, scene.camera, point)[:2] for point in world])
    share = scene.render.resolution_percentage / 100
    size = np.array((scene.render.resolution_x, scene.render.resolution_y)) * share
    return np.stack([(seen[rows] * size).mean(axis=0) for rows in POINTS.values()])


@pytest.fixture
def scene(extension, empty_scene):
    prepare(extension, empty_scene, 160, 120, placement="SHOT")
    module(extension, "render.compositor").set_exact_colours(empty_scene)
    return empty_scene


@pytest.fixture
def rig(scene):
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    return rig


@pytest.fixture
def client(extension, rig, monkeypatch) -> KnownClient:
    client = KnownClient(point_frame(extension, json.loads(rig.stylerig.portrait)))
    use_client(extension, monkeypatch, client)
    return client


@pytest.fixture
def whole_head(extension, rig, monkeypatch) -> KnownClient:
    """The rig's portrait shows the whole head."""
    portrait = json.loads(rig.stylerig.portrait) | {"frame": {"center": [0.0, 1.0, 1.0], "half_width": 17.0}}
    rig.stylerig.portrait = json.dumps(portrait)
    client = KnownClient(whole_head_frame(extension, portrait))
    use_client(extension, monkeypatch, client)
    return client


CROPS = [(1.0 + 0.0j, 0j), (1.1 + 0.2j, 0.1 - 0.05j), (1.3 + 1.3j, 0.4 - 0.2j), (0.4 - 0.3j, 0.2 + 0.1j), (2.0 + 1.0j, 5.0 + 1.0j)]


@pytest.mark.parametrize(("factor", "offset"), CROPS)
@pytest.mark.parametrize("size", [17, 64])
def test_the_soft_end_follows_the_crop_however_it_lies(extension, factor, offset, size):
    """Of a frame that the crop fills, is larger than, turned in, or not in at all; the middle is as it was."""
    frame = module(extension, "protocol.compositing")
    pixels = np.random.default_rng(0).random((size, size, 4)).astype(np.float32)
    passes = {"Combined": pixels[::-1], "HeadMatte": pixels[::-1, :, 3:], "Portrait": pixels[::-1, :, :3], "Depth": pixels[..., :1]}
    found = frame.feather(passes, (factor, offset))
    line = (np.arange(size) + 0.5) * 2 / size - 1
    place = (line + 1j * line[:, None]) * factor + offset
    far = np.clip((1 - np.abs((place.real, place.imag))) / frame.FEATHER, 0, 1)
    inside = (far * far * (3 - 2 * far)).prod(axis=0)[..., None]
    np.testing.assert_allclose(found["Combined"], pixels[::-1] * inside, atol=1e-5)
    np.testing.assert_allclose(found["Portrait"], pixels[::-1, :, :3] * inside, atol=1e-5)
    np.testing.assert_allclose(found["HeadMatte"], pixels[::-1, :, 3:] * inside, atol=1e-5)
    assert found["Depth"] is passes["Depth"] and (passes["Combined"] == pixels[::-1]).all()


@pytest.mark.parametrize("camera", CAMERAS)
def test_eyes_and_mouth_lie_where_the_camera_sees_those_of_the_mesh(scene, rig, client, tmp_path, camera):
    *where, changes = CAMERAS[camera]
    aim(scene, *where, **changes)
    picture = render_still(scene, tmp_path / "shot.png")
    expression = client.requests[-1]["controls"]["expression"]
    wanted, found = seen_points(scene, rig, expression), dots_in(picture)
    width = math.dist(wanted[0], wanted[1])
    # Place, size and roll are exact; what the angles of perspective change inside the face is not.
    assert np.abs(found - wanted).max() < max(0.035 * width, 0.4), (found, wanted)
    assert np.abs(found.mean(0) - wanted.mean(0)).max() < max(0.02 * width, 0.35)


def test_a_posed_moved_and_scaled_rig_carries_its_portrait_along(scene, rig, client, tmp_path):
    rig.location, rig.rotation_euler, rig.scale = (0.08, 0.1, -0.05), (0.1, -0.2, 0.4), (1.3,) * 3
    rig.pose.bones["head"].rotation_euler = (0.1, 0.2, -0.3)
    aim(scene, 0.2, 0.1, 1.5, 0.5)
    picture = render_still(scene, tmp_path / "shot.png")
    wanted = seen_points(scene, rig, client.requests[-1]["controls"]["expression"])
    assert np.abs(dots_in(picture) - wanted).max() < 0.7


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_whole_head_is_seen_in_the_cameras_own_perspective(scene, rig, whole_head, tmp_path, camera):
    *where, changes = CAMERAS[camera]
    aim(scene, *where, **changes)
    picture = render_still(scene, tmp_path / "shot.png")
    controls = whole_head.requests[-1]["controls"]
    assert np.abs(dots_in(picture) - seen_points(scene, rig, controls["expression"])).max() < 0.35
    middle = scene.camera.matrix_world.translation - Vector((0, -0.01, 0.01))
    assert controls["distance"] == pytest.approx(600 if "type" in changes else 100 * middle.length, abs=0.01)


def test_mattes_of_parts_are_asked_of_whole_heads_alone(extension, scene, whole_head, tmp_path):
    names = module(extension, "protocol.frames").MATTES
    aim(scene, 0, 0, 1.2)
    render_still(scene, tmp_path / "whole.png")
    assert set(names) <= set(whole_head.requests[-1]["passes"])
    rig = add_rig(extension, seed=8)
    whole_head.draw = random_frame_at
    render_still(scene, tmp_path / "both.png")
    asked = {request["portrait"]["seed"]: set(request["passes"]) & set(names) for request in whole_head.requests[-2:]}
    assert asked == {7: set(names), 8: set()} and rig.stylerig.portrait


def random_frame_at(controls: dict, size: int) -> dict[str, np.ndarray]:
    """Noise, of a head at the origin."""
    return random_frame(controls, size) | {"placement": np.array((*controls["rotation"], 0, 0, 0))}


def test_one_portrait_over_another_keeps_mattes_that_only_one_has(extension):
    compositing = module(extension, "protocol.compositing")
    random = np.random.default_rng(3)
    front, back = ({"Combined": random.random((4, 4, 4), dtype=np.float32)} for _ in range(2))
    back["HairMatte"] = random.random((4, 4, 1), dtype=np.float32)
    alpha = front["Combined"][..., 3:]
    np.testing.assert_allclose(compositing.over(front, back)["HairMatte"], (1 - alpha) * back["HairMatte"], atol=1e-6)
    np.testing.assert_allclose(compositing.over(back, front)["HairMatte"], back["HairMatte"], atol=1e-6)


def test_a_whole_head_that_is_posed_moved_and_scaled(scene, rig, whole_head, tmp_path):
    rig.location, rig.rotation_euler, rig.scale = (0.08, 0.1, -0.05), (0.1, -0.2, 0.4), (1.3,) * 3
    rig.pose.bones["head"].rotation_euler = (0.1, 0.2, -0.3)
    aim(scene, 0.2, 0.1, 1.3, 0.5)
    picture = render_still(scene, tmp_path / "shot.png")
    controls = whole_head.requests[-1]["controls"]
    assert np.abs(dots_in(picture) - seen_points(scene, rig, controls["expression"])).max() < 0.5
    aim(scene, 0.0, 0.0, 0.35)  # 27 cm of the scaled head
    render_still(scene, tmp_path / "near.png")
    assert whole_head.requests[-1]["controls"]["distance"] == 40  # nearer, no generator was taught


def test_percentage_and_pixel_aspect(scene, rig, client, tmp_path):
    scene.render.resolution_percentage, scene.render.pixel_aspect_x = 50, 1.6
    scene.render.resolution_x, scene.render.resolution_y = 320, 400
    aim(scene, 0.3, 0.1, 1.0, 0.6)
    picture = render_still(scene, tmp_path / "shot.png")
    assert picture.shape == (200, 160, 4)
    wanted = seen_points(scene, rig, client.requests[-1]["controls"]["expression"])
    assert np.abs(dots_in(picture) - wanted).max() < 0.8


def test_a_border_shows_its_part_of_the_same_picture(scene, client, tmp_path):
    aim(scene, 0.2, 0.0, 0.8, 0.3)
    whole = render_still(scene, tmp_path / "whole.png")
    render = scene.render
    render.use_border, render.use_crop_to_border = True, True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.75, 0.3, 0.9
    part = render_still(scene, tmp_path / "part.png")
    assert client.requests[-1]["size"] < client.requests[0]["size"]
    assert np.abs(part[..., :3] - whole[12:84, 40:120, :3]).mean() < 3


def test_the_head_is_asked_for_as_the_camera_sees_it(extension, scene, rig, client, tmp_path):
    """Turned against the line of sight, and the light with it."""
    harmonics = module(extension, "protocol.harmonics")
    rig.stylerig.light = np.ravel(harmonics.from_directions(np.array((1.0, 0.0, 0.0)), np.ones(3))).tolist()
    rig.stylerig.light_direction = (1, 0, 0)
    aim(scene, math.radians(40), 0.0, 1.2)
    render_still(scene, tmp_path / "shot.png")
    controls = client.requests[-1]["controls"]
    seen_from = math.degrees(math.atan2(1.2 * math.sin(math.radians(40)), 1.2 * math.cos(math.radians(40)) - 0.08))  # by the eyes
    assert abs(math.degrees(controls["rotation"][0]) + seen_from) < 1 and abs(math.degrees(controls["rotation"][1])) < 2
    direction = harmonics.main_direction(np.array(controls["light"]))
    angle = math.degrees(math.atan2(direction[2], direction[0]))  # from the picture's right towards the camera
    assert abs(angle - seen_from) < 1  # the camera went towards the lamp: it comes from before the head


def test_off_the_axis_the_line_of_sight_counts(scene, client, tmp_path):
    """A camera that looks past the head sees its side."""
    scene.camera.data.lens = 20
    scene.camera.matrix_world = Matrix.Translation((0.5, -0.9, 0)) @ Matrix.Rotation(math.pi / 2, 4, "X")
    render_still(scene, tmp_path / "shot.png")
    yaw = math.degrees(client.requests[-1]["controls"]["rotation"][0])
    assert abs(yaw + math.degrees(math.atan2(0.5, 0.9 - 0.08))) < 2


@pytest.mark.parametrize("where", ["behind", "outside", "turned away", "a speck"])
def test_a_head_that_is_not_seen_is_no_error(scene, client, tmp_path, where):
    cameras = {"behind": (0, 0, -1.0), "outside": (0, 0, 1.0), "turned away": (math.pi, 0, 1.0), "a speck": (0, 0, 900)}
    aim(scene, *cameras[where])
    if where == "behind":
        scene.camera.matrix_world = Matrix.Translation((0, 1, 0)) @ Matrix.Rotation(-math.pi / 2, 4, "X") @ Matrix.Rotation(math.pi, 4, "Z")
    if where == "outside":
        scene.camera.data.shift_x = 5
    assert render_still(scene, tmp_path / "shot.png").max() == 0 and not client.requests


def test_very_close_and_partly_outside(scene, rig, client, tmp_path):
    aim(scene, 0.0, 0.0, 0.3, lens=200)
    picture = render_still(scene, tmp_path / "close.png")
    assert 0.125 <= client.requests[-1]["controls"]["scale"] <= 8 and picture[..., 3].min() == 255
    aim(scene, 0.0, 0.0, 0.8, shift_x=0.5)
    picture = render_still(scene, tmp_path / "edge.png")
    wanted = seen_points(scene, rig, client.requests[-1]["controls"]["expression"])
    assert (wanted[:, 0] < 60).any() and picture[:, -40:, 3].max() == 0 and picture[:, :30, 3].max() == 255


def test_the_nearer_of_two_heads_is_in_front(extension, scene, rig, client, tmp_path):
    other = add_rig(extension, seed=8)

    def draw(controls, size):
        frame = random_frame(controls, size)
        frame["placement"] = np.array((*controls["rotation"], 0, 0, 0))
        frame["Combined"][..., :3] = len(client.requests) % 2
        return frame

    client.draw = draw
    aim(scene, 0, 0, 1.2)
    for nearer, seed in ((rig, 7), (other, 8)):
        rig.location.y = other.location.y = 0.2
        nearer.location.y = -0.2
        bpy.context.view_layer.update()
        client.requests.clear()
        picture = render_still(scene, tmp_path / "two.png")
        assert [request["portrait"]["seed"] for request in client.requests] == [15 - seed, seed]
        assert picture[60, 80, :3].tolist() == [0, 0, 0]


def test_motion_between_frames_is_even(extension, scene, client, tmp_path):
    """A camera that pans by parts of a pixel moves the portrait by as much, frame for frame."""
    found = []
    for step in range(6):
        aim(scene, 0, 0, 1.2, shift_x=step * 0.3 / 160)
        found.append(dots_in(render_still(scene, tmp_path / f"{step}.png")).mean(axis=0))
    moved = np.diff(np.array(found)[:, 0])
    assert np.abs(moved + 0.3).max() < 0.05 and np.ptp(np.array(found)[:, 1]) < 0.05


def test_other_cameras_are_refused_with_words(scene, client, tmp_path):
    scene.camera.data.type = "PANO"
    with pytest.raises(RuntimeError, match=r"perspective or an orthographic camera.*Aligned Crop"):
        render_still(scene, tmp_path / "pano.png")
    scene.stylerig.placement = "CROP"
    assert render_still(scene, tmp_path / "crop.png")[..., 3].max() == 255


def test_film_that_is_not_transparent_shows_the_worlds_colour(scene, client, tmp_path):
    scene.camera.data.shift_x = 5  # nothing but the world
    scene.render.film_transparent = False
    scene.world = bpy.data.worlds.new("World")
    scene.world.use_nodes = True
    background = next(node for node in scene.world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value, background.inputs["Strength"].default_value = (0.2, 0.1, 0.05, 1), 2.0
    picture = render_still(scene, tmp_path / "world.png")
    wanted = 255 * (1.055 * np.array((0.4, 0.2, 0.1)) ** (1 / 2.4) - 0.055)
    assert np.abs(picture[..., :3] - wanted).max() < 0.6 and picture[..., 3].min() == 255


def test_the_real_backend_in_a_shot(extension, empty_scene, tmp_path):
    """Position, Normal and Depth are the mesh's own, and what Position says is seen at that pixel."""
    scene = empty_scene
    bpy.ops.stylerig.new_portrait(seed=17, truncation=0.7)
    rig = bpy.context.view_layer.objects.active
    scene.render.engine, scene.render.resolution_percentage = "STYLERIG", 100
    scene.render.resolution_x, scene.render.resolution_y = 200, 160
    module(extension, "render.portrait_camera").ensure_camera(scene)
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path))
    aim(scene, 0.35, 0.15, 1.2, -0.5, lens=90, shift_x=0.1)
    scene.frame_end = 1
    try:
        bpy.ops.render.render(animation=True)
    finally:
        module(extension, "client.backend_manager").BACKEND.stop()
    channels = read_exr(tmp_path / "passes" / "frame_0001.exr", tmp_path)
    points, depth = stacked(channels, "Position", "XYZ"), stacked(channels, "Depth", "Z")[..., 0]
    face = stacked(channels, "FaceMask", "X")[..., 0] > 0.99
    assert face.sum() > 1500
    seen = np.array([world_to_camera_view(scene, scene.camera, Vector(point)) for point in points[face].tolist()])
    rows, columns = np.nonzero(face)
    error = np.hypot(seen[:, 0] * 200 - columns - 0.5, (1 - seen[:, 1]) * 160 - rows - 0.5)
    assert np.median(error) < 0.6 and np.quantile(error, 0.95) < 1.5  # pixels
    assert np.abs(seen[:, 2] - depth[face]).max() < 1e-4  # metres
    nearest = surface_distance(rig, points[face][::7])
    assert np.median(nearest) < 0.0005 and nearest.max() < 0.004
    alpha, matte = stacked(channels, "Combined", "A")[..., 0], stacked(channels, "HeadMatte", "X")[..., 0]
    np.testing.assert_allclose(alpha, matte, atol=1e-6)
    assert alpha[face].mean() > 0.95


def test_the_real_generators_colours_come_back(extension, empty_scene, tmp_path):
    """The bare crop at the generator's size: EXR within 1e-3, PNG to the byte but for values half-way between two.

    That bytes come back exactly, test_output_engine shows with a picture made of bytes.
    """
    bpy.ops.stylerig.new_portrait(seed=17, truncation=0.7)
    rig, scene = bpy.context.view_layer.objects.active, empty_scene
    session = module(extension, "client.backend_manager")
    try:
        portrait, controls = module(extension, "rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())
        own = session.backend_client().frame(portrait, controls)
        png = tmp_path / "own.png"
        png.write_bytes(session.backend_client().frame_png(portrait, controls))
        scene.render.engine, scene.stylerig.placement = "STYLERIG", "CROP"
        scene.render.resolution_y, scene.render.resolution_x = own["Combined"].shape[:2]
        scene.render.resolution_percentage, scene.frame_end = 100, 1
        module(extension, "render.sequence").setup_sequence(scene, str(tmp_path))
        bpy.ops.render.render(animation=True)
    finally:
        session.BACKEND.stop()
    channels = read_exr(tmp_path / "passes" / "frame_0001.exr", tmp_path)
    assert np.abs(stacked(channels, "Combined", "RGBA") - own["Combined"]).max() <= 1e-3
    wanted, found = read_png(png), read_png(tmp_path / "frames" / "frame_0001.png")
    opaque = wanted[..., 3] == 255
    assert opaque.mean() > 0.1
    change = np.abs(found[opaque] - wanted[opaque])
    assert change.max() <= 1 and (change == 0).mean() > 0.998


def surface_distance(rig: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    """How far from the evaluated head's surface points (N, 3) of the world lie, metres."""
    head = rig.stylerig.head.evaluated_get(bpy.context.evaluated_depsgraph_get())
    back = head.matrix_world.inverted()
    found = [head.closest_point_on_mesh(back @ Vector(point)) for point in points.tolist()]
    return np.array(
        [(head.matrix_world @ place - Vector(point)).length for (_, place, _, _), point in zip(found, points.tolist(), strict=True)]
    )
