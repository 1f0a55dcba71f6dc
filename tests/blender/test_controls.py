"""Expressions as properties of the rig: keys where animation editors look for them, one reading for all that asks."""

from __future__ import annotations

import bpy
import fake_backend
import numpy as np
import pytest


@pytest.fixture
def controlled(rig):
    assert bpy.ops.stylerig.add_controls() == {"FINISHED"}
    return rig


def expression(part, rig, frame: int | None = None) -> dict[str, float]:
    if frame is not None:
        bpy.context.scene.frame_set(frame)
    bpy.context.view_layer.update()
    return part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]["expression"]


def key_of(rig, name: str = "jawOpen") -> bpy.types.ShapeKey:
    return rig.stylerig.head.data.shape_keys.key_blocks[name]


def test_a_property_drives_the_shape_key_and_the_portrait(part, rig):
    before = expression(part, rig)
    assert bpy.ops.stylerig.add_controls() == {"FINISHED"}
    assert expression(part, rig) == pytest.approx(before, abs=1e-6)
    for name in fake_backend.EXPRESSIONS:
        ranges = rig.id_properties_ui(name).as_dict()
        assert (ranges["min"], ranges["max"], ranges["default"]) == (0, 1, 0)
        assert rig.is_property_overridable_library(f'["{name}"]')
    rig["jawOpen"] = 0.75
    rig.update_tag()
    assert expression(part, rig)["jawOpen"] == pytest.approx(0.75)
    assert key_of(rig).value == pytest.approx(0.75)


def test_operators_set_and_key_the_rigs_properties(part, controlled):
    settings = bpy.context.scene.tool_settings
    settings.use_keyframe_insert_auto = True
    try:
        for frame, pose in ((1, "Blink"), (11, "Ah")):
            bpy.context.scene.frame_set(frame)
            bpy.ops.stylerig.apply_pose(pose=pose)
    finally:
        settings.use_keyframe_insert_auto = False
    curves = part("rig.animation").curves_of(controlled)
    assert curves.find('["jawOpen"]').group.name == "Jaw" and curves.find('["mouthSmile_L"]').group.name == "Mouth"
    assert part("rig.animation").curves_of(controlled.stylerig.head.data.shape_keys) is None
    assert [expression(part, controlled, frame)["jawOpen"] for frame in (1, 11)] == [0, pytest.approx(0.6)]
    assert 0 < expression(part, controlled, 6)["jawOpen"] < 0.6
    bpy.ops.stylerig.apply_pose(pose="Wink")
    bpy.ops.stylerig.mirror_pose()
    assert controlled["mouthSmile_R"] == pytest.approx(0.3) and controlled["mouthSmile_L"] == 0


def test_the_timeline_finds_the_keys_of_the_selected_rig(controlled):
    controlled["jawOpen"] = 0.5
    controlled.keyframe_insert('["jawOpen"]', frame=17)
    assert controlled.select_get() and not controlled.stylerig.head.select_get()
    bpy.context.scene.frame_set(1)
    assert bpy.ops.screen.keyframe_jump(next=True) == {"FINISHED"} and bpy.context.scene.frame_current == 17


def test_keys_of_an_earlier_file_stay_or_move(part, rig, tmp_path):
    for frame, value in ((1, 0.0), (11, 1.0)):
        key_of(rig).value = value
        key_of(rig).keyframe_insert("value", frame=frame)
    path = str(tmp_path / "earlier.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    rig = part("rig.read_rig").rigs_in(bpy.context.scene)[0]
    before = {frame: expression(part, rig, frame) for frame in (1, 4, 11)}
    assert before[4]["jawOpen"] not in (0, 1)
    bpy.context.view_layer.objects.active = rig
    assert bpy.ops.stylerig.add_controls() == {"FINISHED"}
    assert {frame: expression(part, rig, frame) for frame in before} == {frame: pytest.approx(one) for frame, one in before.items()}
    assert len(part("rig.animation").curves_of(rig).find('["jawOpen"]').keyframe_points) == 2
    assert rig.stylerig.head.data.shape_keys.animation_data.action is None
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    rig = part("rig.read_rig").rigs_in(bpy.context.scene)[0]
    assert expression(part, rig, 4) == pytest.approx(before[4])


def test_an_action_that_another_rig_uses_keeps_its_keys(part, rig):
    key_of(rig).keyframe_insert("value", frame=1)
    action = rig.stylerig.head.data.shape_keys.animation_data.action
    other = bpy.data.objects.new("Other", rig.stylerig.head.data.copy())
    assert other.data.shape_keys.animation_data.action == action
    bpy.ops.stylerig.add_controls()
    assert part("rig.animation").curves_of(other.data.shape_keys).find('key_blocks["jawOpen"].value') is not None


def test_shape_keys_in_the_nla_are_left_alone(rig):
    key_of(rig).keyframe_insert("value", frame=1)
    animation = rig.stylerig.head.data.shape_keys.animation_data
    animation.nla_tracks.new().strips.new("Strip", 1, animation.action)
    with pytest.raises(RuntimeError, match="NLA moves the shape keys"):
        bpy.ops.stylerig.add_controls()
    assert not animation.drivers and "jawOpen" not in rig


def test_drivers_of_ones_own_are_left_alone(part, rig):
    key_of(rig).driver_add("value").driver.expression = "0.25"
    bpy.ops.stylerig.add_controls()
    assert "jawOpen" not in rig and expression(part, rig)["jawOpen"] == pytest.approx(0.25)
    control = part("rig.controls").control_of(rig, "jawOpen")
    assert control.owner == rig.stylerig.head.data.shape_keys


def test_duplicates_drive_their_own_head(part, controlled):
    bpy.ops.stylerig.duplicate_portrait()
    twin = bpy.context.view_layer.objects.active
    twin["jawOpen"], controlled["jawOpen"] = 1.0, 0.0
    twin.update_tag(), controlled.update_tag()
    assert (expression(part, twin)["jawOpen"], expression(part, controlled)["jawOpen"]) == (1, 0)
    assert twin.pose.bones["eye_L"].constraints[0].target == twin
    bpy.ops.object.select_all(action="DESELECT")
    for item in (controlled, controlled.stylerig.head):
        item.select_set(True)
    bpy.context.view_layer.objects.active = controlled
    bpy.ops.object.duplicate()
    third = bpy.context.view_layer.objects.active
    third["jawOpen"] = 0.5
    third.update_tag()
    assert expression(part, third)["jawOpen"] == pytest.approx(0.5) and expression(part, controlled)["jawOpen"] == 0


def test_a_linked_duplicate_with_another_face_has_controls_of_its_own(part, controlled, server):
    controlled.stylerig.head.select_set(True)
    bpy.ops.object.duplicate(linked=True)
    twin = bpy.context.view_layer.objects.active
    bpy.ops.stylerig.new_portrait(seed=2, truncation=0.5, replace=True)
    twin["jawOpen"], controlled["jawOpen"] = 1.0, 0.0
    twin.update_tag(), controlled.update_tag()
    assert (expression(part, twin)["jawOpen"], expression(part, controlled)["jawOpen"]) == (1, 0)


def test_another_face_keeps_controls_and_brings_lost_ones_back(part, controlled, server):
    controlled["mouthSmile_L"] = 0.5
    head = controlled.stylerig.head
    head.data.shape_keys.driver_remove('key_blocks["jawOpen"].value')  # else 4.5 evaluates it without its key, and may crash
    head.shape_key_remove(head.data.shape_keys.key_blocks["jawOpen"])
    eye = np.array(controlled.data.bones["gaze_L"].head_local) - np.array(controlled.data.bones["eye_L"].head_local)
    bpy.ops.stylerig.new_portrait(seed=2, truncation=0.5, replace=True)
    controlled["jawOpen"] = 1.0
    controlled.update_tag()
    found = expression(part, controlled)
    assert found["jawOpen"] == 1 and found["mouthSmile_L"] == pytest.approx(0.5)
    now = np.array(controlled.data.bones["gaze_L"].head_local) - np.array(controlled.data.bones["eye_L"].head_local)
    assert now == pytest.approx(eye, abs=1e-6)


def test_an_override_sets_expressions_of_its_own(part, controlled, tmp_path):
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["Portrait 7"]
    scene = bpy.context.scene
    scene.collection.objects.link(wanted.objects[0])
    override = wanted.objects[0].override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    override["jawOpen"] = 0.625
    override.update_tag()
    assert expression(part, override)["jawOpen"] == pytest.approx(0.625)
    assert part("rig.controls").control_of(override, "jawOpen").owner == override


def test_capture_goes_to_the_rigs_action(part, controlled, tmp_path):
    path = tmp_path / "take.csv"
    path.write_text("Timecode,BlendShapeCount,JawOpen\n0:0:0:0.0,61,0\n0:0:0:12.0,61,0.5\n0:0:1:0.0,61,1\n")
    bpy.ops.stylerig.import_capture(filepath=str(path), rate=24)
    assert part("rig.animation").curves_of(controlled).find('["jawOpen"]') is not None
    assert expression(part, controlled, 1)["jawOpen"] == 0


def test_poses_are_assets_of_shape_keys_and_of_rigs(part, controlled):
    presets = part("rig.expression_presets")
    controlled["jawOpen"] = 0.8
    bpy.ops.stylerig.keep_pose(name="Shout")
    action = bpy.data.actions["Shout"]
    assert {slot.target_id_type for slot in action.slots} == {"KEY", "OBJECT"}
    assert presets.pose_of(action)["jawOpen"] == pytest.approx(0.8)
    assert [presets.name_of(path) for path in ('["jawOpen"]', 'key_blocks["jawOpen"].value', "location", 'pose.bones["head"].scale')] == [
        "jawOpen", "jawOpen", "", ""
    ]  # fmt: skip
    controlled["jawOpen"] = 0.0
    strip = controlled.animation_data_create().nla_tracks.new().strips.new("Shout", 1, action)
    strip.action_slot = next(slot for slot in action.slots if slot.target_id_type == "OBJECT")
    assert expression(part, controlled, 1)["jawOpen"] == pytest.approx(0.8)


def gaze(part, rig) -> dict[str, float]:
    bpy.context.view_layer.update()
    return part("rig.read_rig").read_gaze(rig.evaluated_get(bpy.context.evaluated_depsgraph_get()))


def test_eyes_point_forward_and_look_at_the_target(part, controlled):
    for name in ("eye_L", "eye_R"):
        bone = controlled.data.bones[name]
        assert tuple((bone.tail_local - bone.head_local).normalized()) == pytest.approx((0, -1, 0), abs=1e-5)
    assert gaze(part, controlled) == {}  # at rest it turns nothing
    controlled.pose.bones["gaze"].location.x += 0.2
    turned = gaze(part, controlled)
    assert turned and all(name.startswith(("eyeLookOut", "eyeLookIn")) for name in turned)
    controlled.pose.bones["gaze"].location.x -= 0.2
    controlled.pose.bones["head"].rotation_euler.y += 0.3
    assert gaze(part, controlled) == {}  # the target goes with the head


def test_bones_have_shapes_and_locks(controlled):
    bones = controlled.pose.bones
    assert all(bone.custom_shape is not None for bone in bones)
    assert all(bones["eye_L"].lock_location) and all(bones["gaze"].lock_rotation) and not any(bones["head"].lock_location)
    assert not bpy.data.objects["StyleRig Bone Shape"].users_scene


def test_eyes_with_keys_keep_their_bones(part, rig):
    rig.pose.bones["eye_L"].rotation_euler = (0.1, 0.2, 0)
    rig.pose.bones["eye_L"].keyframe_insert("rotation_euler", frame=1)
    before = gaze(part, rig)
    bpy.ops.stylerig.add_controls()
    assert gaze(part, rig) == pytest.approx(before) and "gaze" not in rig.data.bones


def test_new_portraits_of_a_person_have_controls(server, empty_scene):
    assert bpy.ops.stylerig.new_portrait(seed=3, truncation=0.5, controls=True) == {"FINISHED"}
    rig = bpy.context.view_layer.objects.active
    assert isinstance(rig["jawOpen"], float) and rig.select_get() and rig.mode == "OBJECT"
