"""Rigs that were worked on: as much as possible still goes, and what does not says why."""

from __future__ import annotations

import json
import math

import bpy
import numpy as np
import pytest
from mathutils import Matrix


@pytest.fixture
def read(part, rig):
    def controls():
        bpy.context.view_layer.update()
        return part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]

    return controls


def edit_mesh(head: bpy.types.Object, change) -> None:
    """``change`` calls operators in Edit Mode with vertices 0 to 49 selected."""
    bpy.context.view_layer.objects.active = head
    head.data.vertices.foreach_set("select", np.arange(len(head.data.vertices)) < 50)
    bpy.ops.object.mode_set(mode="EDIT")
    change()
    bpy.ops.object.mode_set(mode="OBJECT")


@pytest.mark.parametrize("kind", ["delete", "subdivide"])
def test_vertices_edited(rig, read, kind):
    keys = rig.stylerig.head.data.shape_keys.key_blocks
    keys["jawOpen"].value = 0.5
    before, count = read(), len(rig.stylerig.head.data.vertices)
    edit_mesh(rig.stylerig.head, lambda: bpy.ops.mesh.delete(type="VERT") if kind == "delete" else bpy.ops.mesh.subdivide())
    assert len(rig.stylerig.head.data.vertices) != count and read() == before
    for name, options in (
        ("neutral_expression", {}),
        ("mirror_pose", {}),
        ("apply_pose", {"pose": "Ah"}),
        ("reset_rig", {}),
        ("keep_pose", {}),
    ):
        assert getattr(bpy.ops.stylerig, name)(**options) == {"FINISHED"}
    assert bpy.ops.stylerig.duplicate_portrait() == {"FINISHED"}


def test_all_vertices_deleted(rig, read):
    edit_mesh(rig.stylerig.head, lambda: (bpy.ops.mesh.select_all(action="SELECT"), bpy.ops.mesh.delete(type="VERT")))
    assert len(rig.stylerig.head.data.vertices) == 0
    assert math.isfinite(sum(read()["rotation"])) and bpy.ops.stylerig.neutral_expression() == {"FINISHED"}


def test_shape_keys_renamed_removed_and_added(rig, read):
    head = rig.stylerig.head
    keys = head.data.shape_keys.key_blocks
    keys["jawOpen"].name = "Jaw"
    head.shape_key_remove(keys["eyeBlink_L"])
    head.shape_key_add(name="dimple").value = 1
    expression = read()["expression"]
    assert not {"jawOpen", "Jaw", "eyeBlink_L", "dimple"} & expression.keys() and "mouthSmile_L" in expression
    for name, options in (("neutral_expression", {}), ("mirror_pose", {}), ("apply_pose", {"pose": "Ah"}), ("reset_rig", {})):
        assert getattr(bpy.ops.stylerig, name)(**options) == {"FINISHED"}
    assert keys["Jaw"].value != 0 and keys["dimple"].value == 1  # the artist's own are left alone
    keys["Jaw"].name = "jawOpen"
    assert "jawOpen" in read()["expression"]


def test_without_any_shape_key(part, rig, read):
    rig.stylerig.head.shape_key_clear()
    assert read()["expression"] == {}
    for name, options in (("neutral_expression", {}), ("apply_pose", {"pose": "Ah"}), ("keep_pose", {}), ("reset_rig", {})):
        with pytest.raises(RuntimeError, match=r"no shape keys any more.*new portrait"):
            getattr(bpy.ops.stylerig, name)(**options)
    assert bpy.ops.stylerig.light_preset(preset="Split") == {"FINISHED"}


def test_a_head_that_is_no_mesh_any_more(part, rig, read):
    head = rig.stylerig.head
    head.shape_key_clear()
    head.modifiers.clear()
    bpy.ops.object.select_all(action="DESELECT")
    head.select_set(True)
    bpy.context.view_layer.objects.active = head
    bpy.ops.object.convert(target="CURVE")
    assert head.type == "CURVE" and part("rig.read_rig").head_of(rig) is None
    assert read()["expression"] == {} and bpy.ops.stylerig.light_preset(preset="Split") == {"FINISHED"}
    with pytest.raises(RuntimeError, match="no head any more"):
        bpy.ops.stylerig.duplicate_portrait()


def test_bones_renamed(rig, read):
    rig.data.bones["eye_L"].name = "left eye"
    rig.pose.bones["left eye"].rotation_euler = (0, 0.3, 0)
    rig.pose.bones["head"].rotation_euler = (0, 0.25, 0)
    controls = read()
    assert controls["rotation"][0] == pytest.approx(0.25)  # the rest goes on
    rig.data.bones["head"].name = "skull"
    with pytest.raises(Exception, match=r"no bone named “head”. Name it so again"):
        read()
    for name, options in (("neutral_expression", {}), ("mirror_pose", {}), ("reset_rig", {}), ("light_preset", {"preset": "Split"})):
        assert getattr(bpy.ops.stylerig, name)(**options) == {"FINISHED"}
    rig.data.bones["skull"].name = "head"
    assert len(read()["rotation"]) == 3


PLACES = {
    "not evenly scaled": Matrix.Diagonal((1, 2, 0.5, 1)),
    "mirrored": Matrix.Diagonal((-1, 1, 1, 1)),
    "turned inside out": Matrix.Diagonal((-2, -2, -2, 1)),
    "scaled to nothing": Matrix.Diagonal((0, 0, 0, 1)),
    "sheared": Matrix.Shear("XY", 4, (0.5, 0.2)),
    "far away": Matrix.Translation((1e7, 0, 0)) @ Matrix.Rotation(1, 4, "Z"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("parented", [False, True])
def test_where_the_rig_stands_does_not_change_its_pose(rig, read, place, parented):
    rig.pose.bones["head"].rotation_euler = (0.1, 0.3, -0.2)
    before = read()
    moved = rig
    if parented:
        moved = bpy.data.objects.new("Parent", None)
        bpy.context.scene.collection.objects.link(moved)
        rig.parent = moved
    moved.matrix_basis = PLACES[place]
    rig.rotation_euler = (0.2, 0, 0.4)
    assert read() == before
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "AREA"))
    bpy.context.scene.collection.objects.link(lamp)
    rig.stylerig.light_source = "SCENE"
    assert np.isfinite(read()["light"]).all()


def test_a_mirrored_rig_is_lit_from_the_mirrored_side(rig, read):
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.rotation_euler = (0, math.pi / 2, 0)  # stands at +X, the face's left
    bpy.context.scene.collection.objects.link(sun)
    rig.stylerig.light_source = "SCENE"
    plain = read()["light"]
    rig.scale = (-1, 1, 1)
    mirrored = read()["light"]
    assert plain[3][0] > 0.1 and mirrored[3][0] == pytest.approx(-plain[3][0], abs=1e-5)
    assert mirrored[1:3] == [pytest.approx(row, abs=1e-5) for row in plain[1:3]]


def test_a_head_bone_that_is_mirrored_or_beyond_measure(rig, read):
    head = rig.pose.bones["head"]
    before = read()["rotation"]
    head.scale = (-1, 1, 1)
    assert read()["rotation"] == pytest.approx(before, abs=1e-5)  # not upside down
    head.scale, head.location = (1000, 1000, 1000), (1e6, 0, 0)
    assert read()["scale"] == 8 and read()["translation"][0] <= 100
    head.scale, head.location = (0, 0, 0), (0, 0, 0)
    assert read()["scale"] == 0.125 and read()["rotation"] == [0, 0, 0]


def test_light_beyond_measure_keeps_its_direction(rig, read):
    before = np.array(read()["light"])
    rig.stylerig.light_strength = 1e6
    light = np.array(read()["light"])
    assert np.abs(light).max() == pytest.approx(1000, rel=1e-6)
    assert light / light[0, 0] == pytest.approx(before / before[0, 0], abs=1e-4)


@pytest.mark.parametrize(
    "parameters",
    [{"expression": ["jawOpen"]}, {"rotation": [0, 0]}, {"rotation": [0, "left", 0]}, {"light": [[1, 1, 1]] * 8}, {"light": None},
     {"expression": {"jawOpen": "wide"}}],
)  # fmt: skip
def test_a_stored_portrait_that_is_damaged_says_so(part, rig, read, parameters):
    portrait = json.loads(rig.stylerig.portrait)
    portrait["parameters"] |= parameters
    rig.stylerig.portrait = json.dumps(portrait)
    with pytest.raises(part("errors").UserError, match=r"no portrait that can be read. Make a new portrait"):
        read()
    with pytest.raises(RuntimeError, match="no portrait that can be read"):
        bpy.ops.stylerig.reset_rig()
    assert rig.stylerig.seed == ""


@pytest.mark.parametrize("text", ["rubbish", "[]", '{"eyeLookOut_L": null}', '{"eyeLookOut_L": 0}', "[" * 100000])
def test_a_stored_gaze_that_is_damaged_is_none(rig, read, text):
    rig.pose.bones["eye_L"].rotation_euler = (0, 0.2, 0)
    rig.stylerig.gaze = text
    assert math.isfinite(read()["expression"]["eyeLookOut_L"])


def test_the_panel_says_what_is_missing(part, rig):
    from test_environment_ui import Drawn

    panels = part("ui.panels")

    def words() -> str:
        layout = Drawn()
        panels.STYLERIG_PT_expression.draw(type("Panel", (), {"layout": layout}), bpy.context)
        return " ".join(option for *_rest, option in layout.noted if isinstance(option, str))

    assert "shape key" not in words()
    rig.stylerig.head.data.shape_keys.key_blocks["jawOpen"].name = "Jaw"
    assert "Without a shape key: jawOpen." in words() and "Replace Active Rig" in words()
    rig.stylerig.head.shape_key_clear()
    assert "has no shape keys" in words() and "Replace Active Rig" in words()


def test_a_datablock_is_found_by_its_key_through_renaming(part, rig):
    """Not the one that has its name now, as where libraries bring the same name twice."""
    identity, objects, key, name = part("identity"), bpy.context.scene.objects, part("identity").key_of(rig), rig.name
    evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert identity.key_of(evaluated) == key and identity.found(objects, key) == rig
    rig.name = "Another"
    other = bpy.data.objects.new(name, None)
    bpy.context.scene.collection.objects.link(other)
    assert other.name == name and identity.found(objects, key, name) == rig and identity.found(objects, key, "Another") == rig
    bpy.data.objects.remove(rig)
    assert identity.found(objects, key, name) is None
