"""Takes: an action each, the scene's range and rate, trimming, smoothing, and what is replaced."""

from __future__ import annotations

import bpy
import numpy as np
import pytest


@pytest.fixture(params=["shape keys", "controls"])
def holder(request, rig):
    """The datablock that an expression's keys are on: of a rig without and with controls."""
    if request.param == "controls":
        bpy.ops.stylerig.add_controls()
        return rig
    return rig.stylerig.head.data.shape_keys


def take(tmp_path, name: str, rows: int = 61, rate: int = 60) -> str:
    path = tmp_path / f"{name}.csv"
    lines = ["Timecode,BlendShapeCount,JawOpen,EyeBlinkLeft,TongueOut,HeadYaw,HeadPitch,HeadRoll"]
    for row in range(rows):
        second, frame = divmod(row, rate)
        lines.append(f"0:0:{second}:{frame:02}.0,61,{row / (rows - 1)},{row % 2},0.5,0.1,0,0")
    path.write_text("\n".join(lines))
    return str(path)


def curve_of(part, holder, name: str = "jawOpen"):
    curves = part("rig.animation").curves_of(holder)
    return next(curve for curve in curves if curve.data_path in (f'["{name}"]', f'key_blocks["{name}"].value'))


def test_takes_are_actions_named_after_their_files(part, rig, holder, capfd, tmp_path):
    rig.keyframe_insert("stylerig.light_strength", frame=1)
    for name in ("first", "second"):
        assert bpy.ops.stylerig.import_capture(filepath=take(tmp_path, name)) == {"FINISHED"}
    assert holder.animation_data.action.name == "second" and bpy.data.actions["first"].use_fake_user
    printed = capfd.readouterr().out
    assert "Replaced keys of 2 expressions" in printed and "Not in this rig: TongueOut" in printed
    assert part("rig.animation").curves_of(rig).find("stylerig.light_strength") is not None  # goes on


def test_scene_range_and_rate_on_request(part, rig, tmp_path):
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 24, 1, 250
    bpy.ops.stylerig.import_capture(filepath=take(tmp_path, "take"), start=10)
    assert (scene.render.fps, scene.frame_start, scene.frame_end) == (24, 1, 250)
    bpy.ops.stylerig.import_capture(filepath=take(tmp_path, "take"), start=10, fit_scene=True)
    assert (scene.render.fps, scene.render.fps_base, scene.frame_start, scene.frame_end) == (60, 1, 10, 70)
    bpy.ops.stylerig.import_capture(filepath=take(tmp_path, "take"), rate=59.94, fit_scene=True)
    assert scene.render.fps / scene.render.fps_base == pytest.approx(59.94, abs=1e-3)


def test_trimming_and_smoothing(part, rig, holder, tmp_path):
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = 60, 1
    bpy.ops.stylerig.import_capture(filepath=take(tmp_path, "take"), trim=(0.25, 0.5))
    curve = curve_of(part, holder)
    assert len(curve.keyframe_points) == 16 and curve.evaluate(1) == pytest.approx(0.25, abs=1e-5)
    rough = [curve_of(part, holder, "eyeBlink_L").evaluate(frame) for frame in range(1, 17)]
    bpy.ops.stylerig.import_capture(filepath=take(tmp_path, "take"), smoothing=2)
    even = [curve_of(part, holder, "eyeBlink_L").evaluate(frame) for frame in range(5, 57)]
    assert np.ptp(rough) == 1 and np.ptp(even) < 0.02 and np.mean(even) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(RuntimeError, match="nothing is left"):
        bpy.ops.stylerig.import_capture(filepath=take(tmp_path, "take"), trim=(0.6, 0.6))


def test_copying_from_a_mesh_says_what_it_replaces(part, rig, holder, capfd):
    actor = bpy.data.objects.new("Actor", bpy.data.meshes.new("Actor"))
    actor.data.from_pydata([(0, 0, 0)], [], [])
    bpy.context.scene.collection.objects.link(actor)
    for name in ("Basis", "jawOpen", "eyeBlinkLeft"):
        actor.shape_key_add(name=name)
    for name in ("jawOpen", "eyeBlinkLeft"):
        actor.data.shape_keys.key_blocks[name].value = 0.75
        actor.data.shape_keys.key_blocks[name].keyframe_insert("value", frame=1)
    place = part("rig.controls").control_of(rig, "jawOpen")
    place.owner.keyframe_insert(place.path, frame=5)
    before = place.owner.animation_data.action
    other = part("rig.controls").control_of(rig, "eyeBlink_L")
    other.owner.driver_add(other.path).driver.expression = "0.25"
    actor.select_set(True)
    assert bpy.ops.stylerig.copy_capture() == {"FINISHED"}
    assert holder.animation_data.action.name == "Actor" and before.use_fake_user and holder.animation_data.action != before
    assert "Replaced keys of 1 expressions, kept in the action before, and drivers of 1" in capfd.readouterr().out
    bpy.context.scene.frame_set(1)
    found = part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]["expression"]
    assert found["eyeBlink_L"] == found["jawOpen"] == pytest.approx(0.75)
