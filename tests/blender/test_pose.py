"""Mirror, poses as assets, captures, auto keying, drivers and the NLA."""

from __future__ import annotations

import math

import bpy
import numpy as np
import pytest

BILATERAL = ("EyeBlinkLeft", "EyeBlinkRight", "MouthSmileLeft", "MouthSmileRight")


@pytest.fixture
def read(part, rig):
    def controls(frame=None):
        if frame is not None:
            bpy.context.scene.frame_set(frame)
        return part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]

    return controls


@pytest.fixture
def keys(rig):
    return rig.stylerig.head.data.shape_keys.key_blocks


@pytest.fixture
def auto_keying():
    settings = bpy.context.scene.tool_settings
    settings.use_keyframe_insert_auto = True
    yield
    settings.use_keyframe_insert_auto = False


def test_names_of_the_other_side(part):
    mirrored = part("rig.expression_presets").mirrored
    assert [mirrored(name) for name in ("mouthSmile_L", "eyeBlink_R", "jawLeft", "mouthRight", "jawOpen")] == [
        "mouthSmile_R", "eyeBlink_L", "jawRight", "mouthLeft", "jawOpen"
    ]  # fmt: skip


def test_mirror_exchanges_the_sides_and_twice_is_nothing(rig, read, keys):
    bpy.ops.stylerig.neutral_expression()
    keys["mouthSmile_L"].value, keys["jawOpen"].value = 0.6, 0.3
    rig.pose.bones["head"].rotation_euler = (0.1, 0.3, -0.2)  # pitch, yaw, roll
    rig.pose.bones["eye_L"].rotation_euler = (0.2, 0.25, 0)
    before = read()
    assert bpy.ops.stylerig.mirror_pose() == {"FINISHED"}
    after = read()
    assert after["expression"]["mouthSmile_R"] == pytest.approx(0.6) and after["expression"]["mouthSmile_L"] == 0
    assert after["expression"]["jawOpen"] == pytest.approx(0.3)
    yaw, pitch, roll = before["rotation"]
    assert after["rotation"] == pytest.approx([-yaw, pitch, -roll], abs=1e-5)
    assert tuple(rig.pose.bones["eye_R"].rotation_euler) == pytest.approx((0.2, -0.25, 0), abs=1e-5)
    bpy.ops.stylerig.mirror_pose()
    assert read()["rotation"] == pytest.approx(before["rotation"], abs=1e-5)
    assert read()["expression"] == pytest.approx(before["expression"], abs=1e-5)


def test_mirror_exchanges_what_the_eyes_look_at(rig, auto_keying, part):
    bpy.ops.stylerig.add_controls()
    bones = rig.pose.bones
    bones["gaze_L"].location, bones["gaze_R"].location = (0.02, 0.0, 0.01), (0.0, 0.03, 0.0)
    bpy.ops.stylerig.mirror_pose()
    assert tuple(bones["gaze_R"].location) == pytest.approx((-0.02, 0.0, 0.01), abs=1e-6)
    assert tuple(bones["gaze_L"].location) == pytest.approx((0.0, 0.03, 0.0), abs=1e-6)
    paths = {curve.data_path for curve in part("rig.animation").curves_of(rig)}
    assert 'pose.bones["gaze_L"].location' in paths and 'pose.bones["gaze_L"].rotation_euler' not in paths


def test_the_list_of_expressions(part, rig, keys):
    poses, full = part("rig.expression_presets"), shipped_expressions()
    assert len(poses.POSES) >= 12
    for name, values in poses.POSES.items():
        assert set(values) <= full and all(0 < value <= 1 for value in values.values()), name
    assert bpy.ops.stylerig.apply_pose(pose="Smile") == {"FINISHED"}
    assert keys["mouthSmile_L"].value == pytest.approx(0.7) and keys["jawOpen"].value == 0
    bpy.ops.stylerig.apply_pose(pose="Surprised", amount=0.5)
    assert keys["mouthSmile_L"].value == pytest.approx(0.35) and keys["jawOpen"].value == pytest.approx(0.225)


def shipped_expressions() -> set[str]:
    """The names of the shipped face model, as ICT-FaceKit has them."""
    sides = (
        "browDown browInnerUp browOuterUp cheekPuff cheekRaiser cheekSquint eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp "
        "eyeSquint eyeWide mouthDimple mouthFrown mouthLowerDown mouthPress mouthSmile mouthStretch mouthUpperUp noseSneer"
    )
    middle = (
        "jawForward jawLeft jawOpen jawRight mouthClose mouthFunnel mouthLeft mouthPucker mouthRight mouthRollLower mouthRollUpper "
        "mouthShrugLower mouthShrugUpper"
    )
    return {f"{name}_{side}" for name in sides.split() for side in "LR"} | set(middle.split())


def test_kept_expressions_are_assets(part, rig, keys, tmp_path):
    bpy.ops.stylerig.neutral_expression()
    keys["jawOpen"].value = 0.8
    assert bpy.ops.stylerig.keep_pose(name="Shout") == {"FINISHED"}
    action = bpy.data.actions["Shout"]
    assert action.asset_data is not None and part("rig.expression_presets").pose_of(action) == {"jawOpen": pytest.approx(0.8)}
    assert "Shout" in [item[0] for item in part("ui.pose").pose_items(None, None)]
    path = str(tmp_path / "poses.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.ops.stylerig.neutral_expression()
    bpy.ops.stylerig.apply_pose(pose="Shout")
    values = part("rig.read_rig").rigs_in(bpy.context.scene)[0].stylerig.head.data.shape_keys.key_blocks
    assert values["jawOpen"].value == pytest.approx(0.8)


def test_keeping_again_replaces(part, rig, keys):
    for value in (0.8, 0.4):
        keys["jawOpen"].value = value
        bpy.ops.stylerig.keep_pose(name="Shout")
    assert len(part("rig.expression_presets").kept_poses()) == 1
    assert part("rig.expression_presets").pose_named("Shout")["jawOpen"] == pytest.approx(0.4)
    bpy.data.actions.new("Mine")  # another's action of that name is left alone
    bpy.ops.stylerig.keep_pose(name="Mine")
    assert "stylerig_pose" not in bpy.data.actions["Mine"].keys() and "Mine.001" in bpy.data.actions


def test_the_list_as_assets(part, rig):
    bpy.ops.stylerig.add_pose_assets()
    bpy.ops.stylerig.add_pose_assets()
    kept = part("rig.expression_presets").kept_poses()
    assert {action.name for action in kept} == set(part("rig.expression_presets").POSES)
    assert all(action.asset_data for action in kept)


def test_a_pose_that_is_not_there(part):
    with pytest.raises(part("errors").UserError, match="no pose named"):
        part("rig.expression_presets").pose_named("Nothing")


def test_auto_keying_keys_what_operators_set(part, rig, keys, read, auto_keying):
    bpy.context.scene.frame_set(1)
    bpy.ops.stylerig.neutral_expression()
    bpy.context.scene.frame_set(11)
    bpy.ops.stylerig.apply_pose(pose="Ah")
    bpy.ops.stylerig.mirror_pose()
    assert read(1)["expression"]["jawOpen"] == 0 and read(11)["expression"]["jawOpen"] == pytest.approx(0.6)
    assert any("head" in curve.data_path for curve in part("rig.animation").curves_of(rig))


def write_csv(path, rate=60, count=61, start="10:20:30:", extra="HeadYaw,HeadPitch,HeadRoll"):
    """A take of ``count`` rows: the left eye blinks once a second, the head turns."""
    names = ",".join((*BILATERAL, "BrowInnerUp", "JawOpen", "TongueOut"))
    lines = [f"Timecode,BlendShapeCount,{names},{extra}"]
    for row in range(count):
        second, frame = divmod(row, rate)
        values = [row / (count - 1), 0.25, 0.5, 1.5, 0.3, 0.1, 0.9, 0.2 * row / (count - 1), 0.1, -0.1]
        lines.append(f"10:20:{30 + second}:{frame:02}.123,61," + ",".join(f"{value:.6f}" for value in values))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_live_link_face(rig, read, tmp_path):
    scene = bpy.context.scene
    scene.render.fps = 24
    path = write_csv(tmp_path / "take.csv")
    assert bpy.ops.stylerig.import_capture(filepath=str(path), start=101) == {"FINISHED"}
    assert read(101)["expression"]["eyeBlink_L"] == 0
    middle, last = read(113), read(125)  # half a second and a second on
    assert middle["expression"]["eyeBlink_L"] == pytest.approx(0.5, abs=0.02)
    assert last["expression"]["eyeBlink_L"] == pytest.approx(1, abs=1e-3)
    assert last["expression"]["eyeBlink_R"] == pytest.approx(0.25) and last["expression"]["mouthSmile_R"] == 1  # of 1.5
    assert last["rotation"] == pytest.approx([0.2, 0.1, -0.1], abs=1e-3)


def test_live_link_face_without_the_head_or_inverted(rig, read, tmp_path):
    path = write_csv(tmp_path / "take.csv")
    before = read(1)["rotation"]
    bpy.ops.stylerig.import_capture(filepath=str(path), head=False)
    assert read(20)["rotation"] == pytest.approx(before, abs=1e-6)
    bpy.ops.stylerig.import_capture(filepath=str(path), invert=(True, False, True))
    assert read(25)["rotation"] == pytest.approx([-0.2, 0.1, 0.1], abs=2e-3)


def test_importing_again_replaces(part, rig, tmp_path):
    for count in (61, 31):
        bpy.ops.stylerig.import_capture(filepath=str(write_csv(tmp_path / "take.csv", count=count)))
    curve = part("rig.animation").curves_of(rig.stylerig.head.data.shape_keys).find('key_blocks["jawOpen"].value')
    assert len(curve.keyframe_points) == round(30 / 60 * 24) + 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no column"), ("a,b,c\n1,2,3\n", "no column"), ("Timecode,BlendShapeCount,JawOpen\n", "no whole row"),
     ("Timecode,BlendShapeCount,JawOpen\n1:2:3:4,1,much\n", "no whole row"), ("Timecode,BlendShapeCount,JawOpen\n1:2:3:4,1,nan\n", "no whole row")],
)  # fmt: skip
def test_files_that_are_no_take(rig, tmp_path, text, reason):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(RuntimeError, match=f"bad.csv is not a recording.*{reason}"):
        bpy.ops.stylerig.import_capture(filepath=str(path))
    assert rig.stylerig.head.data.shape_keys.animation_data is None


def test_timecodes(part):
    seconds = part("rig.timecode").seconds_of
    assert seconds(["0:0:1:28.0", "0:0:1:29.5", "0:0:2:00.0"]) == pytest.approx([0, 0.05, 2 / 30])
    assert seconds(["23:59:59:59.0", "00:00:00:00.0"]) == pytest.approx([0, 1 / 60])
    assert seconds(["x", "y", "z"]) == pytest.approx([0, 1 / 60, 2 / 60])
    assert seconds(["0:0:2:0", "0:0:1:0"]) == pytest.approx([0, 1 / 60])


def codes(rate, count, start=0):
    """Time codes that count ``rate`` frames a second, of ``count`` rows from frame ``start`` of the day on."""
    return [
        f"{n // rate // 3600 % 24:02}:{n // rate // 60 % 60:02}:{n // rate % 60:02}:{n % rate:02}.123" for n in range(start, start + count)
    ]


@pytest.mark.parametrize("rate", [8, 15, 20, 24, 25, 30, 37, 48, 50, 60, 90, 100, 120, 240])
@pytest.mark.parametrize("start", [0, 7])
def test_timecodes_of_any_rate(part, rate, start):
    seconds = part("rig.timecode").seconds_of(codes(rate, 5 * rate + 1, start))
    assert seconds == pytest.approx(np.arange(5 * rate + 1) / rate)


@pytest.mark.parametrize("rate", [15, 23.976, 25, 29.97, 50, 59.94, 100, 120])
def test_timecodes_by_the_clock(part, rate):
    """As face trackers for video write them: hours to seconds by the clock, frames counted on their own."""
    times = np.arange(1, int(rate * 20) + 1) / rate
    text = [f"00:00:{int(time):02}:{int(time % 1 * rate + 1e-6):02}.{row % 1000:03}" for row, time in enumerate(times, 1)]
    seconds = part("rig.timecode").seconds_of(text)
    assert np.abs(seconds - (times - times[0])).max() < 1.6 / rate and (np.diff(seconds) >= 0).all()


def test_drop_frame_timecodes(part):
    """29.97 and 59.94 frames a second; the numbers of the first 2 or 4 frames of a minute are left out but in each tenth."""
    for rate in (30, 60):
        numbers = [n for n in range(rate * 60 * 11) if n % (rate * 60) >= rate // 15 or n // (rate * 60) % 10 == 0]
        text = [f"01:{n // rate // 60:02}:{n // rate % 60:02};{n % rate:02}.000" for n in numbers]
        assert part("rig.timecode").seconds_of(text) == pytest.approx(np.arange(len(numbers)) * 1.001 / rate)


def test_rows_slower_or_faster_than_their_timecodes(part):
    seconds = part("rig.timecode").seconds_of
    assert seconds(codes(60, 301)[::2]) == pytest.approx(np.arange(151) / 30)
    assert seconds([code for code in codes(30, 151) for _ in range(2)]) == pytest.approx(np.arange(302) / 60)
    at_24 = [codes(60, 301)[round(row * 2.5)] for row in range(121)]
    assert np.abs(seconds(at_24) - np.arange(121) / 24).max() < 0.51 / 60
    kept = [row for row in range(1440) if row % 7 and row % 11]  # of 48 a second, many lost
    assert seconds([codes(48, 1440)[row] for row in kept]) == pytest.approx((np.array(kept) - 1) / 48)


@pytest.mark.parametrize("write", [lambda t: f"10:00:{t:06.3f}", lambda t: f"{t:.4f}", lambda t: f"{t:.4f}".replace(".", ",")])
def test_timecodes_in_seconds(part, write):
    for rate in (0, 25, 60):  # which is nothing to them
        assert part("rig.timecode").seconds_of([write(row / 25) for row in range(200)], rate) == pytest.approx(
            np.arange(200) / 25, abs=1e-3
        )


def test_a_rate_that_is_given(part):
    seconds, told = part("rig.timecode").seconds_of, []
    odd = lambda template, **values: told.append(template.format(**values))
    assert seconds(codes(30, 601), 29.97) == pytest.approx(np.arange(601) / 29.97)
    assert seconds(["", "", ""], 24, odd) == pytest.approx([0, 1 / 24, 2 / 24]) and "24 frames per second" in told.pop()
    assert seconds(codes(50, 20), 50, odd) == pytest.approx(np.arange(20) / 50) and not told
    seconds(codes(50, 20), 0, odd)
    assert told == ["It is shorter than a second: taken as 24 frames per second, see Frame Rate."]


def spoiled(kind: str) -> tuple[list[str], str]:
    """300 codes of 30 a second, spoiled in the middle, and what is told of it."""
    text = codes(30, 300, 36_000 * 30)
    if kind == "repeats":
        text[57] = text[58] = text[56]
    elif kind == "empty":
        text[57] = ""
    elif kind == "far ahead":
        text[57] = "10:00:09:12.000"
    elif kind == "impossible":
        text[57] = "10:00:01:97.000"
    elif kind == "midnight":
        text[57] = "00:00:00:00.000"
    elif kind == "exchanged":
        text[57], text[58] = text[58], text[57]
    elif kind == "set back":
        text[57:] = text[54:-3]
    elif kind == "set ahead":
        text[57:] = [code.replace("10:", "11:", 1) for code in text[57:]]
    word = {"repeats": "repeat: 2", "empty": "cannot be read: 1", "set back": "clock: 1", "set ahead": "clock: 1", "exchanged": "order: 2"}
    return text, word.get(kind, "order: 1")


@pytest.mark.parametrize("kind", ["repeats", "empty", "far ahead", "impossible", "midnight", "exchanged", "set back", "set ahead"])
def test_odd_timecodes_leave_a_take_its_speed_and_are_told(part, kind):
    told, (text, word) = [], spoiled(kind)
    seconds = part("rig.timecode").seconds_of(text, 0, lambda template, **values: told.append(template.format(**values)))
    assert seconds == pytest.approx(np.arange(300) / 30)
    assert len(told) == 1 and word in told[0]


def test_lost_rows_leave_a_gap_that_is_told(part):
    told, text = [], codes(30, 300)
    seconds = part("rig.timecode").seconds_of(text[:60] + text[150:], 0, lambda template, **values: told.append(template.format(**values)))
    assert seconds == pytest.approx(np.concatenate((np.arange(60), np.arange(150, 300))) / 30)
    assert told == ["Longest gap without rows: 3 s."]


def test_codes_that_mean_nothing_never_go_backwards(part):
    chance = np.random.default_rng(3)
    parts = ["10:00:01:07.5", "99999:0:0:0", "0:0:0;1", "", "x", "0.5", "1:2:3.5", "0:0:1:999999999", "23:59:59:29"]
    for count in (1, 2, 3, 9, 40):
        for _ in range(40):
            seconds = part("rig.timecode").seconds_of(list(chance.choice(parts, count)))
            assert len(seconds) == count and seconds[0] == 0 and np.isfinite(seconds).all() and (np.diff(seconds) >= 0).all()


def test_odd_takes_are_told_by_the_import(rig, capfd, tmp_path):
    path = write_csv(tmp_path / "take.csv", rate=30, count=61)
    lines = path.read_text().splitlines()
    lines[20] = lines[19][:14] + lines[20][14:]
    lines[40] = lines[40][:30]
    path.write_text("\n".join(lines))
    assert bpy.ops.stylerig.import_capture(filepath=str(path)) == {"FINISHED"}
    words = "Keyed 5 expressions at 49 frames. Rows that are cut off or hold no numbers: 1. Time codes that repeat: 1."
    assert f"Warning: {words}" in capfd.readouterr().out


def rewritten(path, kind):
    """A take as other programs save it."""
    text = path.read_text()
    if kind == "semicolons":
        text = text.replace(".", ":").replace(",", ";").replace(":", ",").replace("10,20,", "10:20:")
        text = "\n".join(line[:8].replace(",", ":") + ":" + line[9:] if "10:20" in line else line for line in text.splitlines())
    changes = {"tabs": (",", "\t"), "spaces": (",", ", "), "old Mac": ("\n", "\r"), "lines between": ("\n", "\r\n\r\n")}
    text = text.replace(*changes.get(kind, ("", "")))
    if kind == "quoted":
        text = "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines())
    if kind == "commas at the end":
        first, *rest = text.splitlines()
        text = "\n".join([first, *(line + "," for line in rest)])
    if kind == "names":
        text = text.replace("Timecode,BlendShapeCount", "timecode,BlendshapeCount").replace("Eye", "eye").replace("Head", "head")
    path.write_bytes(text.encode({"UTF-8": "utf-8-sig", "UTF-16": "utf-16"}.get(kind, "utf-8")))


KINDS = ["UTF-8", "UTF-16", "semicolons", "tabs", "spaces", "old Mac", "lines between", "quoted", "commas at the end", "names"]


@pytest.mark.parametrize("kind", KINDS)
def test_takes_that_other_programs_saved(part, rig, tmp_path, kind):
    path, told = write_csv(tmp_path / "take.csv"), []
    expected = part("rig.live_link_face").read_live_link(path)
    rewritten(path, kind)
    found = part("rig.live_link_face").read_live_link(path, 0, lambda template, **values: told.append(template))
    assert told == [] and np.array_equal(found.seconds, expected.seconds) and np.array_equal(found.values, expected.values)
    assert list(found.expressions(["eyeBlink_L"])) == ["eyeBlink_L"]
    assert np.array_equal(found.column("HeadYaw"), expected.column("HeadYaw"))


def test_a_take_is_a_file_of_bounded_length(part, tmp_path, monkeypatch):
    capture = part("rig.live_link_face")
    path = write_csv(tmp_path / "take.csv")
    with pytest.raises(part("errors").UserError, match="Blender at most"):
        capture.read_live_link(path).resampled(1e7)
    told = []
    monkeypatch.setattr(capture, "MAX_ROWS", 10)
    assert len(capture.read_live_link(path, 0, lambda template, **values: told.append(values)).seconds) == 10
    assert told[0] == {"count": 10}
    monkeypatch.setattr(capture, "MAX_FILE_BYTES", 100)
    with pytest.raises(part("errors").UserError, match="too large"):
        capture.read_live_link(path)
    with pytest.raises(part("errors").UserError, match="no file"):
        capture.read_live_link(tmp_path)


def test_arkits_spellings(part):
    table = part("rig.live_link_face").spellings(("eyeBlink_L", "browInnerUp_L", "browInnerUp_R", "jawLeft", "mouthLeft"))
    plain = part("rig.live_link_face").plain
    for name in ("EyeBlinkLeft", "eyeBlink_L", "eyeBlink.L"):
        assert table[plain(name)] == ["eyeBlink_L"]
    assert table[plain("browInnerUp")] == ["browInnerUp_L", "browInnerUp_R"] and table[plain("JawLeft")] == ["jawLeft"]
    assert plain("tongueOut") not in table


PREFIXES = ["", "blendShape1.", "BS_node.", "head_", "ARKit_", "CC_Base_Body|", "scene:blendShape1.", "Face Mesh 2."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_names_with_something_before_them(part, prefix):
    known = ("jawOpen", "mouthClose", "eyeBlink_L", "eyeBlink_R", "browInnerUp_L", "browInnerUp_R", "mouthSmile_L")
    names = [prefix + name for name in ("jawOpen", "eyeBlinkLeft", "eyeBlink_R", "browInnerUp", "jawOpen_mouthClose", "wink")]
    found = part("rig.live_link_face").matched(names, known)
    assert {expression: name.removeprefix(prefix) for expression, name in found.items()} == {
        "jawOpen": "jawOpen", "eyeBlink_L": "eyeBlinkLeft", "eyeBlink_R": "eyeBlink_R",
        "browInnerUp_L": "browInnerUp", "browInnerUp_R": "browInnerUp",
    }  # fmt: skip


def test_the_name_with_the_least_before_it_counts(part):
    matched = part("rig.live_link_face").matched
    for names in (["old.jawOpen", "jawOpen"], ["jawOpen", "old.jawOpen"]):
        assert matched(names, ["jawOpen"]) == {"jawOpen": "jawOpen"}
    for names in (["cheekPuff", "cheekPuff_L"], ["cheekPuff_L", "cheekPuff"]):
        assert matched(names, ["cheekPuff_L", "cheekPuff_R"]) == {"cheekPuff_L": "cheekPuff_L", "cheekPuff_R": "cheekPuff"}


@pytest.mark.parametrize("bake", [False, True])
def test_animation_of_a_mesh_that_came_as_fbx(rig, actor, read, bake):
    for key in list(actor.data.shape_keys.key_blocks)[1:]:
        key.name = f"blendShape1.{key.name}"
    for frame, value in ((1, 0.0), (11, 1.0)):
        key = actor.data.shape_keys.key_blocks["blendShape1.eyeBlinkLeft"]
        key.value = value
        key.keyframe_insert("value", frame=frame)
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 11
    assert bpy.ops.stylerig.copy_capture(bake=bake) == {"FINISHED"}
    assert read(11)["expression"]["eyeBlink_L"] == pytest.approx(1) and read(1)["expression"]["eyeBlink_L"] == 0


@pytest.fixture
def actor(rig):
    """Another mesh with animated ARKit-named shape keys, selected beside the rig."""
    mesh = bpy.data.meshes.new("Actor")
    mesh.from_pydata([(0, 0, 0)], [], [])
    other = bpy.data.objects.new("Actor", mesh)
    bpy.context.scene.collection.objects.link(other)
    for name in ("Basis", "jawOpen", "eyeBlinkLeft", "unknown"):
        other.shape_key_add(name=name)
    other.select_set(True)
    return other


def test_animation_of_another_mesh(part, rig, actor, read):
    for name in ("jawOpen", "eyeBlinkLeft"):
        for frame, value in ((1, 0.0), (11, 1.0)):
            actor.data.shape_keys.key_blocks[name].value = value
            actor.data.shape_keys.key_blocks[name].keyframe_insert("value", frame=frame)
    assert bpy.ops.stylerig.copy_capture() == {"FINISHED"}
    source = part("rig.animation").curves_of(actor.data.shape_keys).find('key_blocks["eyeBlinkLeft"].value')
    target = part("rig.animation").curves_of(rig.stylerig.head.data.shape_keys).find('key_blocks["eyeBlink_L"].value')
    assert len(target.keyframe_points) == 2
    for frame in (1, 4, 8, 11):
        assert target.evaluate(frame) == pytest.approx(source.evaluate(frame), abs=1e-6)
        assert read(frame)["expression"]["jawOpen"] == pytest.approx(source.evaluate(frame), abs=1e-5)


def test_driven_keys_of_another_mesh_are_baked(rig, actor, read):
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 10
    driver = actor.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver
    driver.expression = "frame / 10"
    scene.frame_set(3)
    assert bpy.ops.stylerig.copy_capture() == {"FINISHED"}
    assert scene.frame_current == 3
    assert read(7)["expression"]["jawOpen"] == pytest.approx(0.7, abs=1e-5)


def test_copying_needs_a_mesh_with_the_names(rig, actor):
    for name in ("jawOpen", "eyeBlinkLeft"):
        actor.data.shape_keys.key_blocks[name].name = f"other {name}"
    with pytest.raises(RuntimeError, match="no shape keys with ARKit's names"):
        bpy.ops.stylerig.copy_capture()
    actor.select_set(False)
    assert not bpy.ops.stylerig.copy_capture.poll()


def test_every_value_can_be_driven(rig, keys, read):
    rig["mood"] = 0.5
    for owner, path, index in ((keys["mouthSmile_L"], "value", -1), (rig, "stylerig.light_strength", -1), (rig, "stylerig.light", 4)):
        driver = owner.driver_add(path, index).driver if index >= 0 else owner.driver_add(path).driver
        variable = driver.variables.new()
        variable.name, variable.targets[0].id, variable.targets[0].data_path = "mood", rig, '["mood"]'
        driver.expression = "mood"
    rig["mood"] = 0.25
    rig.update_tag()
    bpy.context.view_layer.update()
    controls = read()
    assert controls["expression"]["mouthSmile_L"] == pytest.approx(0.25)
    evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert evaluated.stylerig.light_strength == pytest.approx(0.25) and evaluated.stylerig.light[4] == pytest.approx(0.25)


def test_poses_and_light_in_the_nla(part, rig, keys, read):
    bpy.ops.stylerig.add_pose_assets()
    bpy.ops.stylerig.neutral_expression()
    owner = rig.stylerig.head.data.shape_keys
    track = owner.animation_data_create().nla_tracks.new()
    strip = track.strips.new("Ah", 10, bpy.data.actions["Ah"])
    if strip.action_slot is None:
        strip.action_slot = bpy.data.actions["Ah"].slots[0]
    strip.frame_end, strip.extrapolation = 20, "NOTHING"
    strip.blend_in = 0
    rig.stylerig.light_strength = 1
    rig.keyframe_insert("stylerig.light_strength", frame=1)
    rig.stylerig.light_strength = 3
    rig.keyframe_insert("stylerig.light_strength", frame=21)
    action, slot = rig.animation_data.action, rig.animation_data.action_slot
    rig.animation_data.action = None
    light = rig.animation_data.nla_tracks.new().strips.new("Light", 1, action)
    light.action_slot = slot
    assert read(15)["expression"]["jawOpen"] == pytest.approx(0.6)
    assert read(30)["expression"]["jawOpen"] == 0
    bright, dim = np.array(read(21)["light"]), np.array(read(1)["light"])
    assert np.allclose(bright, 3 * dim, atol=1e-4)


def test_pose_operators_need_a_rig(empty_scene):
    for name in ("mirror_pose", "apply_pose", "keep_pose", "add_pose_assets", "import_capture", "copy_capture"):
        assert not getattr(bpy.ops.stylerig, name).poll()


def test_bones_in_the_nla(rig, read):
    """Two strips of the armature's own, the second one added to the first."""
    bone = rig.pose.bones["head"]
    for name, frames in (("Turn", ((1, 0.0), (11, 0.4))), ("Nod", ((1, 0.2), (11, 0.2)))):
        for frame, value in frames:
            bone.rotation_euler = (0, value, 0)
            bone.keyframe_insert("rotation_euler", index=1, frame=frame)
        rig.animation_data.action.name = name
        strip = rig.animation_data.nla_tracks.new().strips.new(name, 1, rig.animation_data.action)
        strip.action_slot = rig.animation_data.action_slot
        rig.animation_data.action = None
    rig.animation_data.nla_tracks[1].strips[0].blend_type = "ADD"
    assert [read(frame)["rotation"][0] for frame in (1, 6, 11)] == pytest.approx([0.2, 0.4, 0.6], abs=1e-5)
    rig.animation_data.nla_tracks[1].mute = True
    assert read(11)["rotation"][0] == pytest.approx(0.4, abs=1e-5)
    rig.animation_data.nla_tracks[0].strips[0].scale = 2
    assert read(11)["rotation"][0] == pytest.approx(0.2, abs=1e-2)


def test_bones_and_keys_drive_each_other(rig, keys, read):
    """A control of the artist's own turns the head, and the head opens the mouth."""
    control = bpy.data.objects.new("Control", None)
    bpy.context.scene.collection.objects.link(control)
    turn = rig.pose.bones["head"].driver_add("rotation_euler", 1).driver
    follow = keys["jawOpen"].driver_add("value").driver
    for driver, target, path in ((turn, control, "location.x"), (follow, rig, 'pose.bones["head"].rotation_euler[1]')):
        variable = driver.variables.new()
        variable.name, variable.targets[0].id, variable.targets[0].data_path = "value", target, path
        driver.expression = "value"
    for frame, place in ((1, 0.0), (11, 0.5)):
        control.location.x = place
        control.keyframe_insert("location", frame=frame)
    for frame, expected in ((1, 0.0), (6, 0.25), (11, 0.5)):
        controls = read(frame)
        assert controls["rotation"][0] == pytest.approx(expected, abs=1e-5)
        assert controls["expression"]["jawOpen"] == pytest.approx(expected, abs=1e-5)


def test_constraints_on_the_head_count(rig, read):
    target = bpy.data.objects.new("Target", None)
    target.rotation_euler = (0, 0, 0.3)
    bpy.context.scene.collection.objects.link(target)
    constraint = rig.pose.bones["head"].constraints.new("COPY_ROTATION")
    constraint.target = target
    bpy.context.view_layer.update()
    assert all(math.isfinite(angle) for angle in read()["rotation"])
    constraint.influence = 0
    bpy.context.view_layer.update()
    still = read()["rotation"]
    rig.pose.bones["head"].constraints.remove(constraint)
    bpy.context.view_layer.update()
    assert read()["rotation"] == pytest.approx(still, abs=1e-5)
