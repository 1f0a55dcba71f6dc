"""Rigs where productions have them: duplicated, instanced, appended, linked, hidden, in several scenes."""

from __future__ import annotations

import math

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from output_shot import KnownClient, prepare, random_frame, render_still, use_client


@pytest.fixture
def read(part):
    def controls(rig, matrix=None):
        return part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get(), matrix)[1]

    return controls


def animate(rig) -> None:
    """From frame 1 to 11 the mouth opens and the head turns, from 0 to 1."""
    key = rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((1, 0.0), (11, 1.0)):
        key.value, rig.pose.bones["head"].rotation_euler = value, (0, value, 0)
        key.keyframe_insert("value", frame=frame)
        rig.pose.bones["head"].keyframe_insert("rotation_euler", frame=frame)


def into_collection(rig, name: str) -> bpy.types.Collection:
    """The rig and its head in a collection of their own that is in no scene."""
    collection = bpy.data.collections.new(name)
    for item in (rig, rig.stylerig.head):
        collection.objects.link(item)
        bpy.context.scene.collection.objects.unlink(item)
    return collection


def show(collection: bpy.types.Collection, matrix: Matrix) -> bpy.types.Object:
    """An empty that instances the collection."""
    empty = bpy.data.objects.new("Instance", None)
    empty.instance_type, empty.instance_collection, empty.matrix_world = "COLLECTION", collection, matrix
    bpy.context.scene.collection.objects.link(empty)
    return empty


@pytest.mark.parametrize("linked", [False, True], ids=["Shift D", "Alt D"])
def test_duplicates_have_pose_light_and_portrait_of_their_own(rig, read, linked):
    """Alt D shares the mesh, and with it the expression; that is what a linked duplicate is."""
    rig.stylerig.head.select_set(True)
    bpy.ops.object.duplicate(linked=linked)
    twin = bpy.context.view_layer.objects.active
    head = twin.stylerig.head
    assert head.parent == twin and head != rig.stylerig.head and head.modifiers["Armature"].object == twin
    twin.pose.bones["head"].rotation_euler = (0, 0.5, 0)
    twin.stylerig.light_strength = 0.25
    head.data.shape_keys.key_blocks["jawOpen"].value = 0.75
    bpy.context.view_layer.update()
    first, second = read(rig), read(twin)
    assert second["rotation"][0] == pytest.approx(0.5) and first["rotation"][0] != pytest.approx(0.5)
    assert second["light"][0][0] == pytest.approx(0.25 * first["light"][0][0], rel=1e-4)
    assert second["expression"]["jawOpen"] == 0.75 and (first["expression"]["jawOpen"] == 0.75) == linked
    twin.stylerig.source = "changed"
    assert rig.stylerig.source == "" and twin.stylerig.portrait == rig.stylerig.portrait


def test_an_armature_duplicated_alone_shares_the_head(part, rig, read):
    rig.stylerig.head.select_set(False)
    bpy.ops.object.duplicate()
    twin = bpy.context.view_layer.objects.active
    assert part("rig.read_rig").head_of(twin) == rig.stylerig.head
    bpy.data.objects.remove(rig.stylerig.head)
    assert part("rig.read_rig").head_of(twin) is None and read(twin)["expression"] == {}


def test_instances_of_a_collection_stand_where_they_are_shown(part, rig, read):
    collection, away = into_collection(rig, "Character"), Matrix.Translation((5, 0, 0))
    turned = Matrix.Rotation(math.pi / 2, 4, "Z")
    show(collection, away)
    show(collection, turned)
    animate(rig)
    bpy.context.scene.frame_set(6)
    placed = part("rig.read_rig").placed_rigs(bpy.context.evaluated_depsgraph_get())
    assert [tuple(matrix.translation) for _, matrix in placed] == [(5, 0, 0), (0, 0, 0)]
    assert {one.original.name for one, _ in placed} == {"Portrait 7"}
    for one, matrix in placed:
        controls = read(one, matrix)
        assert controls["expression"]["jawOpen"] == pytest.approx(0.5) and controls["rotation"][0] == pytest.approx(0.5)


def test_an_instance_is_lit_where_it_stands(rig, read):
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.rotation_euler = (math.pi / 2, 0, 0)  # shines along +Y: onto a face that looks along -Y
    bpy.context.scene.collection.objects.link(sun)
    rig.stylerig.light_source = "SCENE"
    turned = Matrix.Rotation(math.pi / 2, 4, "Z")  # the face looks along +X, the light comes from its right
    show(into_collection(rig, "Character"), turned)
    bpy.context.view_layer.update()
    front, side = read(rig)["light"], read(rig, turned)["light"]
    assert front[2][0] > 0.1 and abs(front[3][0]) < 1e-5  # the linear terms: z, then x
    assert side[3][0] < -0.1 and abs(side[2][0]) < 1e-5


def test_rigs_and_instances_of_them_together(part, rig):
    collection = bpy.data.collections.new("Character")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(rig)
    show(collection, Matrix.Translation((5, 0, 0)))
    bpy.context.view_layer.update()
    placed = part("rig.read_rig").placed_rigs(bpy.context.evaluated_depsgraph_get())
    assert [matrix.translation.x for _, matrix in placed] == [0, 5]


def test_the_instance_that_is_active_leads_to_its_rig(part, rig):
    active_rig = part("rig.read_rig").active_rig
    empty = show(into_collection(rig, "Character"), Matrix())
    assert active_rig(bpy.context) is None
    bpy.context.view_layer.objects.active = empty
    assert active_rig(bpy.context) == rig and bpy.ops.stylerig.neutral_expression() == {"FINISHED"}
    assert rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"].value == 0
    empty.instance_collection.objects.link(rig.copy())
    assert active_rig(bpy.context) is None  # of two, which?


@pytest.mark.parametrize("placement", ["SHOT", "CROP"])
def test_instances_are_rendered(extension, empty_scene, monkeypatch, tmp_path, placement):
    client = KnownClient(lambda controls, size: {**random_frame(controls, size), "placement": np.zeros(6)})
    use_client(extension, monkeypatch, client)
    rig = prepare(extension, empty_scene, placement=placement)
    collection = into_collection(rig, "Character")
    for x in (-0.05, 0.05):
        show(collection, Matrix.Translation((x, 0, 0)))
    rig.stylerig.light_source = "SCENE"
    render_still(empty_scene, tmp_path / "shot.png")
    assert len(client.requests) == 2 and client.requests[0]["portrait"] == client.requests[1]["portrait"]


@pytest.fixture
def library(rig, tmp_path) -> str:
    animate(rig)
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    return path


@pytest.mark.parametrize("operator", ["append", "link"])
def test_brought_in_from_another_file(part, library, read, operator):
    folder = f"{library}/Object/"
    getattr(bpy.ops.wm, operator)(filepath=f"{folder}Portrait 7", directory=folder, filename="Portrait 7")
    rig = bpy.data.objects["Portrait 7"]
    bpy.context.view_layer.objects.active = rig
    bpy.context.scene.frame_set(6)
    assert part("rig.read_rig").rigs_in(bpy.context.scene) == [rig]
    assert read(rig)["expression"]["jawOpen"] == pytest.approx(0.5) and rig.stylerig.seed == "7"
    assert bpy.ops.stylerig.neutral_expression.poll() == (operator == "append")
    assert bpy.ops.stylerig.duplicate_portrait() == {"FINISHED"}
    twin = bpy.context.view_layer.objects.active
    assert twin != rig and twin.is_editable and twin.stylerig.head.data.shape_keys.is_editable
    assert bpy.ops.stylerig.neutral_expression() == {"FINISHED"}


def test_a_linked_collections_instance(part, library, read):
    bpy.ops.wm.open_mainfile(filepath=library)
    collection = into_collection(bpy.data.objects["Portrait 7"], "Character")
    collection.use_fake_user = True
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True)
    folder = f"{library}/Collection/"
    bpy.ops.wm.link(filepath=f"{folder}Character", directory=folder, filename="Character", instance_collections=True)
    bpy.context.scene.frame_set(11)
    ((rig, matrix),) = part("rig.read_rig").placed_rigs(bpy.context.evaluated_depsgraph_get())
    assert read(rig, matrix)["expression"]["jawOpen"] == pytest.approx(1)
    assert part("rig.read_rig").active_rig(bpy.context).library is not None and not bpy.ops.stylerig.neutral_expression.poll()


HIDE = {
    "head in the viewport": lambda rig: setattr(rig.stylerig.head, "hide_viewport", True),
    "head with H": lambda rig: rig.stylerig.head.hide_set(True),
    "head in renders": lambda rig: setattr(rig.stylerig.head, "hide_render", True),
    "rig in the viewport": lambda rig: setattr(rig, "hide_viewport", True),
    "rig with H": lambda rig: rig.hide_set(True),
    "head excluded": lambda rig: exclude(rig.stylerig.head),
    "rig excluded": lambda rig: exclude(rig),
}


def exclude(item: bpy.types.Object) -> None:
    """Into a collection that the view layer leaves out."""
    collection = bpy.data.collections.new("Left Out")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(item)
    bpy.context.scene.collection.objects.unlink(item)
    bpy.context.view_layer.layer_collection.children["Left Out"].exclude = True


@pytest.mark.parametrize("how", HIDE)
def test_hidden_rigs_are_read_all_the_same(rig, read, how):
    animate(rig)
    driver = rig.stylerig.head.data.shape_keys.key_blocks["mouthSmile_L"].driver_add("value").driver
    driver.expression = "frame / 20"
    HIDE[how](rig)
    for frame in (1, 6, 11):
        bpy.context.scene.frame_set(frame)
        controls = read(rig)
        assert controls["expression"]["jawOpen"] == pytest.approx((frame - 1) / 10)
        assert controls["rotation"][0] == pytest.approx((frame - 1) / 10, abs=1e-6)
        assert controls["expression"]["mouthSmile_L"] == pytest.approx(frame / 20)


def test_a_rig_in_two_scenes_and_layers(part, rig, read):
    first, second = bpy.context.scene, bpy.data.scenes.new("Second")
    for item in (rig, rig.stylerig.head):
        second.collection.objects.link(item)
    animate(rig)
    assert [part("rig.read_rig").rigs_in(scene) for scene in (first, second)] == [[rig], [rig]]
    first.frame_set(1)
    second.frame_set(11)
    depsgraph = second.view_layers[0].depsgraph
    assert part("rig.read_rig").read_controls(rig, depsgraph)[1]["expression"]["jawOpen"] == pytest.approx(1)
    layer = second.view_layers.new("Without")
    exclude_from = bpy.data.collections.new("Character")
    second.collection.children.link(exclude_from)
    for item in (rig, rig.stylerig.head):
        exclude_from.objects.link(item)
        second.collection.objects.unlink(item)
    layer.layer_collection.children["Character"].exclude = True
    layer.update()
    assert part("rig.read_rig").rigs_in(layer.depsgraph) == []
