"""The list of looks on a rig: keyed, driven, moved; what requests say of them; looks on images."""

from __future__ import annotations

import json
import time
from pathlib import Path

import bpy
import fake_backend
import numpy as np
import pytest

HASHES = {entry["name"]: entry["sha256"] for entry in fake_backend.LOOKS}


@pytest.fixture
def rig(server, empty_scene):
    bpy.ops.stylerig.new_portrait(seed=11, truncation=0.5)
    return bpy.context.view_layer.objects.active


@pytest.fixture
def asked(part):
    """The looks that a rig asks for at the present frame."""

    def read(rig) -> list[dict]:
        return part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1].get("looks", [])

    return read


def add(*names: str) -> None:
    for name in names:
        assert bpy.ops.stylerig.add_look(name=name) == {"FINISHED"}


def order(rig) -> list[str]:
    return [look.name for look in rig.stylerig.looks]


def strengths(looks: list[dict]) -> dict[str, float]:
    return {look["name"]: look["strength"] for look in looks}


def test_a_rig_without_looks_asks_as_before(part, rig):
    controls = part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]
    assert "looks" not in controls


def test_looks_are_asked_for_with_what_they_take(rig, asked):
    add("drawing", "attributes", "styles")
    drawing, attributes, styles = rig.stylerig.looks
    drawing.seed, attributes.mask, styles.seed = 9, "HAIR", 7
    attributes.amounts["beard"].value = 0.5
    assert asked(rig) == [
        {"name": "drawing", "sha256": HASHES["drawing"], "strength": 1.0, "mask": "head"},
        {"name": "attributes", "sha256": HASHES["attributes"], "strength": 1.0, "mask": "hair", "label": "blond hair=1,beard=0.5"},
        {"name": "styles", "sha256": HASHES["styles"], "strength": 1.0, "mask": "head", "label": "young", "seed": 7},
    ]
    drawing.strength = 0
    assert [look["name"] for look in asked(rig)] == ["attributes", "styles"]


def test_strength_is_keyed_and_driven(rig, asked):
    add("drawing", "styles")
    first, second = rig.stylerig.looks
    for frame, value in ((1, 0.0), (11, 1.0)):
        first.strength = value
        first.keyframe_insert("strength", frame=frame)
    driver = rig.driver_add(second.path_from_id("strength")).driver
    driver.type, driver.expression = "SCRIPTED", "frame / 20"
    bpy.context.scene.frame_set(1)
    assert strengths(asked(rig)) == {"styles": pytest.approx(0.05)}
    bpy.context.scene.frame_set(6)
    assert strengths(asked(rig)) == {"drawing": pytest.approx(0.5, abs=0.01), "styles": pytest.approx(0.3)}
    driver.expression = "float('nan')"
    bpy.context.scene.frame_set(11)
    assert strengths(asked(rig)) == {"drawing": 1.0}
    second.keyframe_insert("seed", frame=1)
    second.keyframe_insert("mask", frame=1)


def test_amounts_of_attributes_are_keyed_and_go_with_their_look(rig, asked):
    add("drawing", "attributes")
    amounts = rig.stylerig.looks[1].amounts
    assert [(amount.name, amount.value) for amount in amounts] == [("blond hair", 1), ("beard", 0)]
    for frame, value in ((1, 1.0), (11, 0.0)):
        amounts["blond hair"].value = value
        amounts["blond hair"].keyframe_insert("value", frame=frame)
    amounts["beard"].value = 0.25
    assert bpy.ops.stylerig.move_look(index=1, direction="UP") == {"FINISHED"}
    bpy.context.scene.frame_set(6)
    assert asked(rig)[0]["label"] == "blond hair=0.5,beard=0.25"
    bpy.context.scene.frame_set(11)
    assert asked(rig)[0]["label"] == "beard=0.25"
    rig.stylerig.looks[0].amounts["beard"].value = 0
    rig.update_tag()
    bpy.context.view_layer.update()
    assert asked(rig)[0]["label"] == "blond hair=0"  # the look takes every attribute away


def test_a_label_of_an_earlier_version_is_still_asked_for(rig, asked):
    add("attributes")
    look = rig.stylerig.looks[0]
    look.amounts.clear()
    look.label = "beard=0.5"
    assert asked(rig)[0]["label"] == "beard=0.5"


def test_keys_and_drivers_go_with_their_look(rig, asked):
    add("drawing", "attributes", "styles")
    rig.stylerig.looks[0].strength = 0.25
    rig.stylerig.looks[0].keyframe_insert("strength", frame=1)
    rig.driver_add(rig.stylerig.looks[2].path_from_id("strength")).driver.expression = "0.75"
    expected = {"drawing": 0.25, "attributes": 1.0, "styles": 0.75}

    def animated() -> dict[str, float]:
        bpy.context.scene.frame_set(bpy.context.scene.frame_current + 1)
        return strengths(asked(rig))

    assert animated() == pytest.approx(expected)
    assert bpy.ops.stylerig.move_look(index=0, direction="DOWN") == {"FINISHED"}
    assert order(rig) == ["attributes", "drawing", "styles"] and animated() == pytest.approx(expected)
    assert rig.stylerig.active_look == 1
    assert bpy.ops.stylerig.move_look(index=2, direction="UP") == {"FINISHED"}
    assert order(rig) == ["attributes", "styles", "drawing"] and animated() == pytest.approx(expected)
    bpy.ops.stylerig.move_look(index=0, direction="UP")  # there is nothing above it
    assert order(rig) == ["attributes", "styles", "drawing"]
    assert bpy.ops.stylerig.remove_look(index=0) == {"FINISHED"}
    assert animated() == pytest.approx({"drawing": 0.25, "styles": 0.75})
    assert bpy.ops.stylerig.remove_look(index=0) == {"FINISHED"}
    assert not rig.animation_data.drivers and animated() == pytest.approx({"drawing": 0.25})
    assert bpy.ops.stylerig.remove_look() == {"FINISHED"} and not rig.stylerig.looks
    assert not bpy.ops.stylerig.remove_look.poll()


def test_what_cannot_be_added_is_told(rig):
    with pytest.raises(RuntimeError, match=r"no look “etching”.*drawing, attributes, styles"):
        bpy.ops.stylerig.add_look(name="etching")
    add(*["drawing"] * 8)
    with pytest.raises(RuntimeError, match="can have 8 looks"):
        bpy.ops.stylerig.add_look(name="drawing")
    with pytest.raises(RuntimeError, match="no such look"):
        bpy.ops.stylerig.remove_look(index=20)


def test_a_picture_gives_a_style_until_it_is_cleared(rig, asked, server, tmp_path):
    add("styles")
    path = picture(tmp_path, 300, 200)
    assert bpy.ops.stylerig.look_reference(filepath=str(path)) == {"FINISHED"}
    [request] = [body for where, body in server.requests if where == "/v1/looks/style"]
    assert request["picture"]["shape"] == [256, 256] and request["look"]["label"] == "young"
    [look] = asked(rig)
    assert look["style"] and "seed" not in look and rig.stylerig.looks[0].reference == path.name
    assert path.stem not in bpy.data.images.keys()
    assert bpy.ops.stylerig.clear_reference() == {"FINISHED"}
    assert asked(rig)[0]["seed"] == 0
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.stylerig.look_reference(filepath=str(tmp_path / "missing.png"))
    rig.stylerig.looks.clear()
    add("drawing")
    assert not bpy.ops.stylerig.look_reference.poll()


def test_a_look_on_an_image_takes_its_style_from_a_picture_too(rig, server, tmp_path):
    bpy.ops.stylerig.add_look(name="styles", target="IMAGE")
    path, look = picture(tmp_path, 64, 64), bpy.context.scene.stylerig.image_look
    assert bpy.ops.stylerig.look_reference(filepath=str(path), target="IMAGE") == {"FINISHED"}
    assert look.style and look.reference == path.name and not rig.stylerig.looks
    bpy.data.images.new("plate", 8, 8)
    assert bpy.ops.stylerig.look_image(image="plate") == {"FINISHED"}
    sent = [body["look"] for where, body in server.requests if where.startswith("/v1/looks/")]
    assert sent[-1]["style"] == look.style and "seed" not in sent[-1]
    assert bpy.ops.stylerig.clear_reference(target="IMAGE") == {"FINISHED"} and not look.style and not look.reference
    bpy.ops.stylerig.add_look(name="drawing", target="IMAGE")
    assert not bpy.ops.stylerig.look_reference.poll() and not bpy.ops.stylerig.clear_reference.poll()


def picture(folder: Path, width: int, height: int) -> Path:
    image = bpy.data.images.new("reference", width, height)
    image.pixels.foreach_set(np.random.default_rng(1).random(width * height * 4).astype(np.float32))
    image.filepath_raw, image.file_format = str(folder / "reference.png"), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return folder / "reference.png"


def cropped(size: int) -> bpy.types.Scene:
    """The scene, whose renders are bare crops of that size."""
    scene = bpy.context.scene
    scene.render.engine, scene.stylerig.placement = "STYLERIG", "CROP"
    scene.camera = scene.camera or bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.render.resolution_x = scene.render.resolution_y = size
    return scene


def test_a_render_shows_a_look_that_is_keyed_from_0_to_1_and_tells_of_it(rig, server, tmp_path):
    add("drawing")
    scene = cropped(64)
    for frame, value in ((1, 0.0), (3, 1.0)):
        rig.stylerig.looks[0].strength = value
        rig.stylerig.looks[0].keyframe_insert("strength", frame=frame)
    red = []
    for frame in (1, 2, 3):
        scene.frame_set(frame)
        scene.render.filepath = str(tmp_path / f"{frame}.png")
        bpy.ops.render.render(write_still=True)
        pixels = np.array(bpy.data.images.load(scene.render.filepath).pixels[:]).reshape(-1, 4)
        red.append(pixels[pixels[:, 3] > 0.9, 0].mean())
    assert red[0] < red[1] < red[2]
    assert b'"looks":[{"name":"drawing"' in (tmp_path / "3.png").read_bytes()


def test_a_rig_file_holds_the_looks_of_each_frame(part, rig, tmp_path):
    add("drawing")
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 3
    for frame, value in ((1, 0.0), (3, 1.0)):
        rig.stylerig.looks[0].strength = value
        rig.stylerig.looks[0].keyframe_insert("strength", frame=frame)
    path, scene.stylerig.placement = tmp_path / "shot.json", "CROP"
    assert bpy.ops.stylerig.export_rig_file(filepath=str(path)) == {"FINISHED"}
    frames = json.loads(path.read_text())["frames"]
    assert "looks" not in frames[0] and frames[2]["looks"][0]["strength"] == 1
    assert frames[1]["looks"][0]["strength"] == pytest.approx(0.5, abs=0.01)


def test_the_live_view_follows_a_look(part, server, rig):
    view = part("live.controller").VIEW
    drawn = lambda: [strengths(body["controls"].get("looks", [])) for path, body in server.requests if path == "/v1/frames"]
    try:
        bpy.ops.stylerig.live_view()
        add("drawing")
        rig.stylerig.looks[0].strength = 0.5
        bpy.context.view_layer.update()
        end = time.monotonic() + 30
        while {"drawing": 0.5} not in drawn():
            assert time.monotonic() < end, view.status
            view.poll()
            time.sleep(0.005)
    finally:
        view.stop()


def test_looks_are_saved_with_the_file(rig, asked, tmp_path):
    add("styles")
    rig.stylerig.looks[0].strength, rig.stylerig.looks[0].label = 0.5, "old"
    before = asked(rig)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert asked(next(item for item in bpy.data.objects if item.stylerig.is_rig)) == before


def values(image) -> np.ndarray:
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(image.size[1], image.size[0], 4)


@pytest.mark.parametrize("linear", [False, True])
def test_an_image_gets_a_look_in_a_new_one(rig, linear):
    source = bpy.data.images.new("plate", 6, 4, alpha=True, float_buffer=linear)
    given = np.random.default_rng(2).random((4, 6, 4)).astype(np.float32)
    source.pixels.foreach_set(given.ravel())
    before = values(source)
    assert bpy.ops.stylerig.add_look(name="drawing", target="IMAGE") == {"FINISHED"} and not rig.stylerig.looks
    bpy.context.scene.stylerig.image_look.strength = 0.5
    assert bpy.ops.stylerig.look_image(image="plate") == {"FINISHED"}
    made = bpy.data.images["plate drawing"]
    expected = before.copy()
    expected[..., 0] += 0.5 * (1 - expected[..., 0])
    assert made.is_float == linear and np.abs(values(made) - expected).max() < (2e-3 if linear else 5e-3)
    assert np.array_equal(values(source), before)


def test_the_render_result_gets_one_too(rig):
    cropped(32)
    bpy.ops.render.render()
    bpy.ops.stylerig.add_look(name="drawing", target="IMAGE")
    assert bpy.ops.stylerig.look_image(image="Render Result") == {"FINISHED"}
    made = bpy.data.images["Render Result drawing"]
    assert tuple(made.size) == (32, 32) and made.is_float and values(made)[..., 0].min() > 0.99


def test_without_a_look_or_an_image_nothing_is_made(rig):
    assert not bpy.ops.stylerig.look_image.poll()
    bpy.ops.stylerig.add_look(name="drawing", target="IMAGE")
    with pytest.raises(RuntimeError, match="no image"):
        bpy.ops.stylerig.look_image(image="absent")
