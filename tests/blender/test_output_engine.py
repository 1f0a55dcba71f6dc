"""The render engine: what it asks for, where it puts it, and what it says when it cannot."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from output_shot import (
    KnownClient,
    add_rig,
    module,
    prepare,
    random_frame,
    read_exr,
    read_png,
    render_still,
    srgb_bytes,
    stacked,
    use_client,
)


@pytest.fixture
def scene(extension, empty_scene, client):
    prepare(extension, empty_scene)
    module(extension, "render.compositor").set_exact_colours(empty_scene)
    return empty_scene


def test_all_passes_arrive_exactly(extension, scene, client, tmp_path):
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path))
    scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    channels = read_exr(tmp_path / "passes" / "frame_0001.exr", tmp_path)
    sent = random_frame({}, 48)
    single, colours = ("HeadMatte", "FaceMask", "Occlusion"), ("Portrait", "Albedo", "Shading", "Specular")
    for name, letters in (("Combined", "RGBA"), *((name, "X") for name in single), *((name, "RGB") for name in colours)):
        np.testing.assert_array_equal(stacked(channels, name, letters), sent[name])
    x, y, z = np.moveaxis(sent["Normal"], -1, 0)  # model: y up, z to the camera; Blender: z up, -Y to it
    np.testing.assert_allclose(stacked(channels, "Normal", "XYZ"), np.stack((x, -z, y), axis=-1), atol=1e-7)
    depth, near = stacked(channels, "Depth", "Z"), sent["Depth"] < 1e9
    x, y, z = np.moveaxis(sent["Position"] * near / 100, -1, 0)
    np.testing.assert_allclose(stacked(channels, "Position", "XYZ"), np.stack((x, -z, y), axis=-1), atol=1e-7)
    uv = stacked(channels, "UV", "XYZ")
    np.testing.assert_array_equal(uv[..., :2], sent["UV"] * near)
    np.testing.assert_array_equal(uv[..., 2:], near)
    np.testing.assert_allclose(depth[near], sent["Depth"][near] / 100, rtol=1e-6)
    assert (depth[~near] == np.float32(1e10)).all() and near.any() and not near.all()


def test_png_holds_the_generators_own_bytes(scene, tmp_path):
    picture = render_still(scene, tmp_path / "still.png")
    np.testing.assert_array_equal(picture[..., :3], srgb_bytes(48))
    assert (picture[..., 3] == 255).all()


def test_size_and_percentage_are_respected_and_the_portrait_is_centred(scene, client, tmp_path):
    scene.render.resolution_x, scene.render.resolution_percentage = 96, 50
    picture = render_still(scene, tmp_path / "wide.png")
    assert picture.shape == (24, 48, 4) and client.requests[-1]["size"] == 24
    np.testing.assert_array_equal(picture[:, 12:36, :3], srgb_bytes(24))
    assert picture[:, :12, 3].max() == 0 and picture[:, 36:, 3].max() == 0


def test_a_picture_below_the_backends_smallest_size_is_made_smaller(scene, client, tmp_path):
    scene.render.resolution_x = scene.render.resolution_y = 8
    picture = render_still(scene, tmp_path / "tiny.png")
    assert picture.shape == (8, 8, 4) and client.requests[-1]["size"] == 16
    assert abs(picture[..., :3].mean() - srgb_bytes(16).mean()) < 25


@pytest.mark.parametrize("crop", [True, False])
def test_border(scene, tmp_path, crop):
    render = scene.render
    render.resolution_x = 64
    whole = render_still(scene, tmp_path / "whole.png")
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_max_x = 0.3, 0.71
    render.border_min_y, render.border_max_y = 0.1, 0.55
    part = render_still(scene, tmp_path / "part.png")
    columns, rows = slice(19, 45), slice(48 - 26, 48 - 4)  # cut off downwards; rows count from the bottom
    if crop:
        np.testing.assert_array_equal(part, whole[rows, columns])
    else:
        np.testing.assert_array_equal(part[rows, columns], whole[rows, columns])
        assert part[:22].max() == 0 and part[:, 45:].max() == 0


def test_keyframes_reach_the_backend(scene, client, tmp_path):
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    bone = rig.pose.bones["head"]
    for frame, yaw in ((1, -0.4), (3, 0.4)):
        bone.rotation_euler = (0, yaw, 0)
        bone.keyframe_insert("rotation_euler", frame=frame)
    scene.render.filepath = str(tmp_path / "f####")
    bpy.ops.render.render(animation=True)
    yaws = [request["controls"]["rotation"][0] for request in client.requests]
    np.testing.assert_allclose(yaws, (-0.4, 0, 0.4), atol=1e-4)


def test_of_two_rigs_the_nearer_one_is_in_front(extension, scene, client, tmp_path):
    first = next(item for item in scene.objects if item.type == "ARMATURE")
    second = add_rig(extension, seed=8)

    def draw(controls, size):
        frame = random_frame(controls, size)
        frame["Combined"][..., :3] = 1 if len(client.requests) % 2 else 0  # white, then black
        frame["Combined"][: size // 2] = 0  # its upper half shows nothing
        return frame

    client.draw = draw
    for nearer, seed in ((first, 7), (second, 8)):
        first.location.y = second.location.y = 1.0
        nearer.location.y = 0.0
        picture = render_still(scene, tmp_path / "two.png")
        assert client.requests[-1]["portrait"]["seed"] == seed
        assert picture[-1, 0].tolist() == [0, 0, 0, 255] and picture[0, 0, 3] == 0


ALL = ("Portrait", "HeadMatte", "FaceMask", "Normal", "Albedo", "Shading", "Specular", "Occlusion", "Depth", "UV", "Position")


def composited(extension, scene: bpy.types.Scene) -> None:
    compositor = module(extension, "render.compositor")
    compositor.ensure_output(compositor.ensure_tree(scene), scene)


def other_scene_composites(extension, _scene: bpy.types.Scene) -> None:
    composited(extension, bpy.data.scenes.new("Comp"))


def not_composited(extension, scene: bpy.types.Scene) -> None:
    composited(extension, scene)
    scene.render.use_compositing = False


def layered(extension, scene: bpy.types.Scene) -> None:
    settings = scene.render.image_settings
    module(extension, "render.sequence").set_format(settings, "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER", "32")


def one_layer(extension, scene: bpy.types.Scene) -> None:
    module(extension, "render.sequence").set_format(scene.render.image_settings, "IMAGE", "OPEN_EXR", "32")


def cached(_extension, scene: bpy.types.Scene) -> None:
    scene.render.use_render_cache = True


@pytest.mark.parametrize(
    ("set_up", "passes"),
    [(composited, ALL), (other_scene_composites, ALL), (layered, ALL), (cached, ALL), (not_composited, ()), (one_layer, ())],
)
def test_an_animation_asks_for_the_passes_that_something_can_show(extension, scene, client, tmp_path, set_up, passes):
    set_up(extension, scene)
    scene.render.filepath = str(tmp_path / "f####")
    bpy.ops.render.render(animation=True)
    assert [request["passes"] for request in client.requests] == [passes] * 3
    bpy.ops.render.render()  # a person looks at these
    assert client.requests[-1]["passes"] == ALL


@pytest.mark.parametrize("placement", ["CROP", "SHOT"])
def test_an_animation_without_passes_shows_what_a_still_with_them_shows(extension, scene, client, tmp_path, placement):
    """Two heads, over the world's color."""
    add_rig(extension, seed=8).location = (0.05, 0.1, 0.02)
    client.draw = lambda controls, size: random_frame(controls, size) | {"placement": np.zeros(6)}
    scene.stylerig.placement, scene.render.film_transparent, scene.frame_end = placement, False, 1
    still = render_still(scene, tmp_path / "still.png")
    scene.render.filepath = str(tmp_path / "f####")
    bpy.ops.render.render(animation=True)
    assert [request["passes"] for request in client.requests] == [ALL, ALL, (), ()]
    np.testing.assert_array_equal(read_png(tmp_path / "f0001.png"), still)


@pytest.mark.parametrize("cropped", [None, False, True])
@pytest.mark.parametrize("aside", [0.0, 0.12])
def test_only_the_part_that_heads_reach_into_is_written_and_nothing_around_it(extension, scene, client, tmp_path, aside, cropped):
    """Small heads in a large picture, partly outside or not; whole, or a border with (True) and without cropping to it."""
    add_rig(extension, seed=8).location = (0.1, 0.1, 0.02)
    client.draw = lambda controls, size: random_frame(controls, size) | {"placement": np.zeros(6)}
    render, scene.stylerig.placement, scene.frame_end = scene.render, "SHOT", 2
    render.resolution_x, render.resolution_y, scene.camera.data.shift_x = 160, 90, aside * 4
    scene.camera.location.y *= 3
    if cropped is not None:
        render.use_border, render.use_crop_to_border = True, cropped
        render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.05, 0.55, 0.3, 0.95
    still = render_still(scene, tmp_path / "still.png")
    render.filepath = str(tmp_path / "f####")
    bpy.ops.render.render(animation=True)
    assert 0.02 < (still[..., 3] > 0).mean() < 0.8
    for frame in (1, 2):
        np.testing.assert_array_equal(read_png(tmp_path / f"f{frame:04}.png"), still)


def test_an_animation_without_a_portrait_in_sight_is_empty(scene, client, tmp_path):
    scene.stylerig.placement, scene.camera.location, scene.frame_end = "SHOT", (5.0, 0.0, 0.0), 1
    scene.render.filepath, scene.render.image_settings.color_mode = str(tmp_path / "f####"), "RGBA"
    bpy.ops.render.render(animation=True)
    assert not client.requests and not read_png(tmp_path / "f0001.png").any()


def test_passes_are_sockets_of_render_layers(extension, scene):
    compositor = module(extension, "render.compositor")
    sockets = compositor.render_layers(compositor.ensure_tree(scene), scene).outputs
    types = {socket.name: socket.type for socket in sockets if socket.enabled}
    assert types["Depth"] == types["FaceMask"] == types["HeadMatte"] == types["Occlusion"] == "VALUE"
    assert types["Normal"] == types["UV"] == types["Position"] == "VECTOR"
    assert types["Albedo"] == types["Shading"] == types["Specular"] == types["Portrait"] == "RGBA"


def test_blenders_own_panels_show_with_the_engine(extension):
    names = {panel.__name__ for panel in module(extension, "render.engine").panels()}
    assert {"RENDER_PT_format", "RENDER_PT_output"} <= names
    assert "STYLERIG" in bpy.types.RENDER_PT_format.COMPAT_ENGINES


def test_a_scene_without_a_rig_says_so(scene, client, tmp_path):
    for item in [item for item in scene.objects if item.type != "CAMERA"]:
        bpy.data.objects.remove(item)
    with pytest.raises(RuntimeError, match="no StyleRig portrait in this scene"):
        render_still(scene, tmp_path / "none.png")
    assert not client.requests


def hidden(scene: bpy.types.Scene, rig: bpy.types.Object) -> None:
    rig.hide_render = True


def excluded(scene: bpy.types.Scene, rig: bpy.types.Object) -> None:
    """Only from the one view layer that there is."""
    people = bpy.data.collections.new("People")
    scene.collection.children.link(people)
    for item in (rig, rig.stylerig.head):
        scene.collection.objects.unlink(item)
        people.objects.link(item)
    scene.view_layers[0].layer_collection.children["People"].exclude = True


def only_instanced(scene: bpy.types.Scene, rig: bpy.types.Object) -> None:
    """In a collection that is not in the scene, shown by an instance in another, which is hidden."""
    people, shown = bpy.data.collections.new("People"), bpy.data.collections.new("Shown")
    for item in (rig, rig.stylerig.head):
        scene.collection.objects.unlink(item)
        people.objects.link(item)
    for parent, child in ((shown, people), (scene.collection, shown)):
        empty = bpy.data.objects.new("Instance", None)
        empty.instance_type, empty.instance_collection, empty.hide_render = "COLLECTION", child, parent == scene.collection
        parent.objects.link(empty)


@pytest.mark.parametrize("away", [hidden, excluded, only_instanced])
def test_a_portrait_that_is_not_in_the_view_layer_renders_empty(extension, scene, client, tmp_path, away):
    away(scene, next(item for item in scene.objects if item.type == "ARMATURE"))
    bpy.context.view_layer.update()
    assert render_still(scene, tmp_path / "none.png").max() == 0 and not client.requests
    assert module(extension, "render.file_integrity").is_marked(tmp_path / "none.png")


def test_a_portrait_that_enters_by_keys_on_disable_in_renders(extension, scene, client, tmp_path):
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    for frame, away in ((1, True), (3, False)):
        rig.hide_render = away
        rig.keyframe_insert("hide_render", frame=frame)
    scene.render.filepath, scene.frame_end, scene.render.image_settings.color_mode = str(tmp_path / "f####"), 4, "RGBA"
    bpy.ops.render.render(animation=True)
    pictures = [read_png(tmp_path / f"f{frame:04}.png") for frame in range(1, 5)]
    assert [bool(picture.any()) for picture in pictures] == [False, False, True, True] and len(client.requests) == 2
    client.requests.clear()
    scene.render.use_overwrite = False
    bpy.ops.render.render(animation=True)
    assert not client.requests  # an empty frame of ours is a done one


def test_of_view_layers_only_that_with_the_portrait_shows_it(extension, scene, client, tmp_path):
    """The one without it comes last: what made the picture is told all the same."""
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path))
    scene.view_layers.new("Background")
    people = bpy.data.collections.new("People")
    scene.collection.children.link(people)
    for item in (rig, rig.stylerig.head):
        scene.collection.objects.unlink(item)
        people.objects.link(item)
    scene.view_layers["Background"].layer_collection.children["People"].exclude = True
    scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    assert len(client.requests) == 1 and read_png(tmp_path / "frames" / "frame_0001.png").any()
    for name in ("frames/frame_0001.png", "passes/frame_0001.exr"):
        assert b"StyleRigRecipe" in (tmp_path / name).read_bytes() and b"StyleRigRecipe2" not in (tmp_path / name).read_bytes()


def test_a_rig_without_its_portrait_says_so(scene, client, tmp_path):
    next(item for item in scene.objects if item.type == "ARMATURE").stylerig.portrait = "{}"
    with pytest.raises(RuntimeError, match="no portrait that can be read"):
        render_still(scene, tmp_path / "none.png")


def test_the_backends_words_reach_the_person(extension, scene, monkeypatch, tmp_path):
    error = module(extension, "errors").UserError("no_weights", "The weights are missing.", "Copy them back.")

    def refuse(controls, size):
        raise error

    use_client(extension, monkeypatch, KnownClient(refuse))
    with pytest.raises(RuntimeError, match=r"The weights are missing\. Copy them back\."):
        render_still(scene, tmp_path / "none.png")


def test_cancelling_does_not_wait_for_the_backend(extension):
    engine, task, go_on = module(extension, "render.engine"), module(extension, "client.tasks").Task, threading.Event()
    looks = iter((False, False, True))
    started = time.monotonic()
    assert engine.unless_cancelled(task(lambda: go_on.wait(20)), lambda: next(looks)) is None
    assert time.monotonic() - started < 5
    go_on.set()
    assert engine.unless_cancelled(task(lambda: 3), lambda: False) == 3
    with pytest.raises(module(extension, "errors").UserError, match="ZeroDivisionError"):
        engine.unless_cancelled(task(lambda: 1 / 0), lambda: False)


@pytest.mark.parametrize("starting", [True, False])
def test_a_render_is_cancelled_while_the_backend_starts_or_draws(extension, starting):
    """Either may take minutes; the request is given up, so that its connection ends."""
    engine, ahead, go_on = module(extension, "render.engine"), module(extension, "render.prefetch"), threading.Event()
    client, looks, begun = KnownClient(lambda _controls, _size: go_on.wait(20)), iter((False, False, True)), []

    def connect() -> KnownClient:
        if starting:
            go_on.wait(20)
        return client

    def begin():
        begun.append(ahead.FrameTask(connect, ({}, {}, 16, ())))
        return begun[-1]

    started = time.monotonic()
    assert engine.StyleRigEngine.ask(SimpleNamespace(test_break=lambda: next(looks)), begin) is None
    assert time.monotonic() - started < 5 and len(begun) == 1 and begun[0].cancelled.is_set()
    go_on.set()


def test_new_camera_frames_a_head_as_its_portrait_does(extension, scene):
    """The upper border of the crop, on the plane through the pivot of an average head, is the picture's; the lower
    lies below it."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    bpy.context.view_layer.update()
    half = 0.125 * 1.34 / 1.2  # metres: the head stands 14 cm behind the plane that is 25 cm wide
    upper, lower = (world_to_camera_view(scene, scene.camera, Vector((half, 0.0, 0.0275 + side * half))) for side in (1, -1))
    past = 1 / module(extension, "render.portrait_camera").CROP_SHARE - 1
    np.testing.assert_allclose(upper[:2], (1 + past / 2, 1.0), atol=1e-5)
    np.testing.assert_allclose(lower[:2], (1 + past / 2, -past), atol=1e-5)


def test_unregistering_leaves_nothing_behind(extension):
    render = module(extension, "render")
    render.unregister()
    try:
        engines = [getattr(panel, "COMPAT_ENGINES", ()) for panel in bpy.types.Panel.__subclasses__()]
        assert not any("STYLERIG" in names for names in engines)
        assert not any(one.__name__ == "before_render" for one in bpy.app.handlers.render_init)
    finally:
        render.register()
