"""The scene's objects before and behind the portrait: another scene renders them, and the compositor compares depths."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, add_rig, module, prepare, random_frame, read_exr, render_still, stacked, use_client

WIDTH, HEIGHT, LENS = 96, 72, 90
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
BY_SEED = {7: RED, 8: YELLOW}
PLATE = (0, 0, 0)


@pytest.fixture
def client(extension, monkeypatch):
    """Portraits of one colour each, opaque over their whole frame, without a mesh: as far as the head's middle."""

    def draw(controls, size):
        frame = random_frame(controls, size) | {"placement": np.zeros(6)}
        frame["Depth"] = np.full((size, size, 1), 1e10, dtype=np.float32)
        frame["HeadMatte"] = frame["Combined"][..., 3:]
        frame["Combined"][..., :3] = np.divide(BY_SEED[client.requests[-1]["portrait"]["seed"]], 255)
        return frame

    client = KnownClient(draw)
    use_client(extension, monkeypatch, client)
    return client


@pytest.fixture
def scene(extension, empty_scene, client, tmp_path):
    """A head at the origin that fills the middle of the picture, seen from 1.2 m along +Y."""
    rig = prepare(extension, empty_scene, WIDTH, HEIGHT, placement="SHOT")
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    empty_scene.camera.location, empty_scene.camera.rotation_euler = (0, -1.2, 0.02), (np.pi / 2, 0, 0)
    empty_scene.camera.data.lens, empty_scene.camera.data.shift_y, empty_scene.camera.data.sensor_fit = LENS, 0, "AUTO"
    return empty_scene


def wall(scene, name: str, colour: tuple, distance: float, left: float, right: float) -> bpy.types.Object:
    """An upright, glowing plane across the picture's height, ``distance`` metres from the camera, between two shares of its width."""
    width = 2 * distance * 18 / LENS
    mesh = bpy.data.meshes.new(name)
    sides = [(share - 0.5) * width for share in (left, right)]
    mesh.from_pydata(
        [(x, distance - 1.2, z) for x, z in ((sides[0], -9), (sides[1], -9), (sides[1], 9), (sides[0], 9))], [], [(0, 1, 2, 3)]
    )
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes.clear()
    glow, out = (material.node_tree.nodes.new(kind) for kind in ("ShaderNodeEmission", "ShaderNodeOutputMaterial"))
    glow.inputs["Color"].default_value = (*np.divide(colour, 255), 1)
    material.node_tree.links.new(glow.outputs[0], out.inputs[0])
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(thing)
    return thing


def compared(tmp_path, scene, light_wrap: float = 0.0) -> np.ndarray:
    """The middle row of the picture (WIDTH, 3), over a black plate, with the objects rendered by Cycles."""
    plate = bpy.data.images.new("black", 8, 8)
    plate.filepath_raw, plate.file_format = str(tmp_path / "plate.png"), "PNG"
    plate.save()
    assert bpy.ops.stylerig.setup_compositor(filepath=plate.filepath_raw, light_wrap=light_wrap, objects=True) == {"FINISHED"}
    other = bpy.data.scenes["Scene Objects"]
    other.render.engine, other.cycles.samples, other.cycles.use_denoising = "CYCLES", 4, False
    picture = render_still(scene, tmp_path / "shot.png")
    assert picture[..., 3].min() == 255
    return picture[HEIGHT // 2, :, :3]


def test_what_is_nearer_covers_what_is_farther(scene, tmp_path):
    """From the left: nothing, an object before the head, the head before an object, and that object beside the head."""
    wall(scene, "before", GREEN, 0.7, 0.1, 0.45)
    wall(scene, "behind", BLUE, 2.0, 0.3, 1.0)
    row = compared(tmp_path, scene)
    assert row[4].tolist() == list(PLATE) and (row[14:41] == GREEN).all()
    assert (row[46:70] == RED).all() and (row[-8:-2] == BLUE).all()


def test_the_border_between_them_is_smooth_and_mixes_nothing_else(extension, scene, tmp_path):
    """An object that leans across the head ends on the head in mixtures of both colours."""
    leaning = wall(scene, "before", GREEN, 0.7, 0.0, 0.5)
    leaning.rotation_euler.y = 0.3
    compared(tmp_path, scene)
    picture = render_still(scene, tmp_path / "again.png")[20:52, 36:60, :3]
    mixed = (picture != RED).any(-1) & (picture != GREEN).any(-1)
    assert 10 < mixed.sum() < 150 and picture[mixed][:, 2].max() == 0  # no blue, and nothing dark: light adds up
    linear = np.where(picture[mixed] <= 10, 0, ((picture[mixed] / 255 + 0.055) / 1.055) ** 2.4)
    assert np.abs(linear.sum(-1) - 1).max() < 0.06


def test_an_object_between_two_portraits(extension, scene, tmp_path):
    other = add_rig(extension, seed=8)
    other.pose.bones["head"].rotation_euler = (0, 0, 0)
    near = next(item for item in scene.objects if item.name == "Portrait 7")
    near.location, other.location = (-0.1, -0.2, 0), (0.1, 0.2, 0)
    wall(scene, "between", GREEN, 1.15, 0.0, 0.75)
    row = compared(tmp_path, scene)
    assert row[40].tolist() == list(RED)  # before the object
    assert row[66].tolist() == list(GREEN)  # which hides the second head
    assert row[80].tolist() == list(YELLOW)


def test_a_hold_out_cuts_the_portrait_where_it_is_nearer(scene, tmp_path):
    thing = wall(scene, "before", GREEN, 0.7, 0.0, 0.45)
    far = wall(scene, "behind", BLUE, 2.0, 0.0, 0.45)
    held = bpy.data.collections.new("held out")
    scene.collection.children.link(held)
    for item in (thing, far):
        scene.collection.objects.unlink(item)
        held.objects.link(item)
    compared(tmp_path, scene)
    layer = bpy.data.scenes["Scene Objects"].view_layers[0]
    layer.layer_collection.children["held out"].holdout = True
    row = compared(tmp_path, scene)
    assert (row[14:41] == PLATE).all() and (row[46:70] == RED).all()
    thing.hide_render = True  # what is held out behind the head hides none of it
    assert (compared(tmp_path, scene)[28:41] == RED).all()


def test_light_goes_round_no_object(scene, tmp_path):
    wall(scene, "before", GREEN, 0.7, 0.0, 0.45)
    assert (compared(tmp_path, scene, light_wrap=0.5)[5:40] == GREEN).all()


def test_light_goes_round_no_border_of_head_and_object(extension, scene, tmp_path):
    """Before a white plate, from the left: an object before the head, the head, that object behind it, and the plate."""
    wall(scene, "before", GREEN, 0.7, 0.0, 0.45)
    far = wall(scene, "behind", GREEN, 2.0, 0.6, 1.0)
    compared(tmp_path, scene, light_wrap=0.5)
    image = module(extension, "render.compositor").scene_tree(scene).nodes["StyleRig Plate"].image
    image.pixels.foreach_set(np.ones(8 * 8 * 4, dtype=np.float32))
    image.pack()
    closed = render_still(scene, tmp_path / "closed.png")[HEIGHT // 2, :, :3]
    assert not closed[2:-2, 2].any() and (closed[45:72] == RED).all() and (closed[-8:-2] == GREEN).all()
    far.hide_render = True
    row = render_still(scene, tmp_path / "open.png")[HEIGHT // 2, :, :3]
    assert (row[45:70] == RED).all() and (row[-8:-2] == 255).all()
    assert ((row[70:80, 0] == 255) & (row[70:80, 2] > 20) & (row[70:80, 2] < 240)).any()  # but where the plate begins


def test_objects_get_the_grain_of_the_plate_too(extension, scene, tmp_path):
    """From the left: the plate, an object, the head."""
    wall(scene, "before", GREEN, 0.7, 0.2, 0.45)
    compared(tmp_path, scene, light_wrap=0.25)
    node = module(extension, "render.compositor").scene_tree(scene).nodes["StyleRig Plate Shot"]
    node.inputs["Light Wrap"].default_value, node.inputs["Grain"].default_value = 0, (0.3, 0.3, 0.3, 1)
    picture = render_still(scene, tmp_path / "grain.png").astype(float)
    assert not picture[:, 2:14, :3].any()
    assert picture[:, 24:40, 1].std() > 10 and picture[30:40, 46:54, 0].std() > 10


def test_the_scene_is_made_once_and_the_heads_are_seen_in_it_by_lamps_alone(extension, scene, tmp_path):
    wall(scene, "behind", BLUE, 2.0, 0.0, 1.0)
    row = compared(tmp_path, scene)
    assert (row[[2, -3]] == BLUE).all()
    head = next(item for item in scene.objects if item.type == "MESH" and item.data.shape_keys)
    assert not head.visible_camera and head.visible_shadow
    compared(tmp_path, scene)
    bpy.ops.stylerig.setup_compositor()
    bpy.ops.stylerig.setup_compositor(objects=True)
    assert [other.name for other in bpy.data.scenes] == ["Scene", "Scene Objects"]
    assert bpy.data.scenes["Scene Objects"].render.engine == "CYCLES"  # as it was set since
    assert module(extension, "render.compositor").scene_tree(bpy.data.scenes["Scene Objects"]) is None
    engine = scene.render.engine
    assert engine == "STYLERIG" and scene.camera is bpy.data.scenes["Scene Objects"].camera


def test_a_chosen_scene_and_view_layer(scene, tmp_path):
    wall(scene, "before", GREEN, 0.7, 0.0, 1.0)
    mine = bpy.data.scenes.new("Mine")
    mine.render.engine, mine.cycles.samples = "CYCLES", 1
    mine.view_layers.new("second")
    bpy.ops.stylerig.setup_compositor(objects=True, objects_scene="Mine", objects_layer="second", light_wrap=0)
    assert mine.camera == scene.camera and mine.view_layers["second"].use_pass_z
    bpy.ops.stylerig.setup_compositor(objects=True, light_wrap=0)  # stays with that scene
    assert len(bpy.data.scenes) == 2
    assert (render_still(scene, tmp_path / "mine.png")[HEIGHT // 2, 40:56, :3] == RED).all()  # it has no objects


@pytest.mark.parametrize(
    ("name", "layer", "words"), [("Scene", "", "no other scene"), ("gone", "", "no other scene"), ("Mine", "x", "no view layer")]
)
def test_a_scene_that_renders_no_objects_is_refused(scene, name, layer, words):
    bpy.data.scenes.new("Mine").render.engine = "CYCLES"
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.stylerig.setup_compositor(objects=True, objects_scene=name, objects_layer=layer)


class NoDepth(bpy.types.RenderEngine):
    """An engine that makes nothing but a picture."""

    bl_idname, bl_label = "TEST_NO_DEPTH", "No Depth"


def test_an_engine_without_depth_is_refused(extension, scene):
    bpy.utils.register_class(NoDepth)
    try:
        bpy.data.scenes.new("Mine").render.engine = "TEST_NO_DEPTH"
        with pytest.raises(RuntimeError, match=r"engine of the scene “Mine” tells no depth.*EEVEE or Cycles"):
            bpy.ops.stylerig.setup_compositor(objects=True, objects_scene="Mine")
    finally:
        bpy.utils.unregister_class(NoDepth)
    assert not [node for node in module(extension, "render.compositor").scene_tree(scene).nodes if node.name.startswith("StyleRig")]


@pytest.mark.parametrize("option", ["objects", "depth_of_field"])
def test_a_portrait_that_stands_nowhere_has_no_depth(scene, option):
    scene.stylerig.placement = "CROP"
    with pytest.raises(RuntimeError, match=r"Aligned Crop .* has no depth there.*In the Shot"):
        bpy.ops.stylerig.setup_compositor(**{option: True})
    scene.stylerig.placement = "SHOT"
    bpy.ops.stylerig.setup_compositor(**{option: True})
    scene.stylerig.placement = "CROP"
    with pytest.raises(RuntimeError, match=r"has no depth there"):
        bpy.ops.render.render()
    bpy.ops.stylerig.setup_compositor()
    bpy.ops.render.render()


def test_hair_and_shoulders_have_a_depth(extension, scene, client, tmp_path):
    """HeadDepth is Depth on the mesh, the distance of the head's middle on the rest of the portrait, and far where it is not."""
    compositing = module(extension, "protocol.compositing")
    combined = np.ones((2, 2, 4), dtype=np.float32)
    combined[0, 0] = 0
    depth = np.float32([[1e10, 1e10], [1.1, 1.3]])[..., None]
    found = compositing.with_head_depth({"Combined": combined, "Depth": depth}, 1.25)["HeadDepth"][..., 0]
    np.testing.assert_array_equal(found, np.float32([[1e10, 1.25], [1.1, 1.3]]))
    assert compositing.with_head_depth({"Combined": combined, "Depth": depth})["HeadDepth"][0, 1, 0] == pytest.approx(1.2)
    scene.frame_end = 1
    module(extension, "render.sequence").setup_sequence(scene, str(tmp_path))
    bpy.ops.render.render(animation=True)
    found = stacked(read_exr(tmp_path / "passes" / "frame_0001.exr", tmp_path), "HeadDepth", "Z")
    assert 1.0 < found[HEIGHT // 2, WIDTH // 2, 0] < 1.2 and found[0, 0, 0] == np.float32(1e10)
