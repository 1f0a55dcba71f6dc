"""Attributes as custom properties of the rig: keyed, driven, loaded; what requests say of them."""

from __future__ import annotations

import json
import time

import bpy
import fake_backend
import numpy as np
import pytest


@pytest.fixture
def rig(server, empty_scene):
    bpy.ops.stylerig.new_portrait(seed=11, truncation=0.5)
    return bpy.context.view_layer.objects.active


@pytest.fixture
def asked(part):
    """What a rig asks for at the present frame."""

    def read(rig) -> dict:
        return part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())[1]["attributes"]

    return read


def set_value(rig, name: str, value: float) -> None:
    rig[name] = value
    rig.update_tag()


def load(tmp_path, names: str, content: bytes | None = None) -> set[str]:
    (tmp_path / "d.safetensors").write_bytes(names.encode() if content is None else content)
    return bpy.ops.stylerig.load_directions(filepath=str(tmp_path / "d.safetensors"))


def test_a_new_rig_has_its_models_sliders(rig, asked):
    for name, low, high in (("age", -1, 1), ("coarse_1", -0.5, 2)):
        settings = rig.id_properties_ui(name).as_dict()
        assert rig[name] == 0 and (settings["min"], settings["max"], settings["default"]) == (low, high, 0)
    assert asked(rig) == {}
    set_value(rig, "age", 0.25)
    set_value(rig, "coarse_1", 9.0)
    assert asked(rig) == {"age": 0.25, "coarse_1": 2.0}  # as far as it goes
    set_value(rig, "age", float("nan"))
    assert asked(rig) == {"coarse_1": 2.0}


def test_keys_and_drivers_move_them(rig, asked):
    path = '["age"]'
    for frame, value in ((1, 0.0), (11, 1.0)):
        rig["age"] = value
        rig.keyframe_insert(path, frame=frame)
    driver = rig.driver_add('["coarse_1"]').driver
    driver.type, driver.expression = "SCRIPTED", "frame / 10"
    bpy.context.scene.frame_set(6)
    assert asked(rig)["age"] == pytest.approx(0.5, abs=0.01) and asked(rig)["coarse_1"] == pytest.approx(0.6)
    bpy.context.scene.frame_set(11)
    assert asked(rig) == {"age": 1.0, "coarse_1": pytest.approx(1.1)}


def test_the_render_shows_them_and_tells_of_them(part, server, rig, tmp_path):
    scene = bpy.context.scene
    scene.render.engine, scene.stylerig.placement = "STYLERIG", "CROP"
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.resolution_x = scene.render.resolution_y = 64
    pictures = []
    for value in (0.0, 1.0):
        set_value(rig, "age", value)
        scene.render.filepath = str(tmp_path / f"{value}.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath)
        pictures.append(np.array(image.pixels[:]))
    assert np.abs(pictures[0] - pictures[1]).max() > 0.02
    frames = [body["controls"].get("attributes") for path, body in server.requests if path == "/v1/frames"]
    assert {} in frames and {"age": 1.0} in frames
    assert b'"attributes":{"age":1.0}' in (tmp_path / "1.0.png").read_bytes()


def test_the_live_view_follows_them(part, server, rig):
    view = part("live.controller").VIEW
    drawn = lambda: [body["controls"].get("attributes") for path, body in server.requests if path == "/v1/frames"]
    try:
        bpy.ops.stylerig.live_view()
        set_value(rig, "age", 0.75)
        bpy.context.view_layer.update()
        end = time.monotonic() + 20
        while {"age": 0.75} not in drawn():
            assert time.monotonic() < end, view.status
            view.poll()
            time.sleep(0.005)
    finally:
        view.stop()


def test_a_file_of_directions_adds_sliders(rig, asked, server, tmp_path):
    assert load(tmp_path, "hat,smile") == {"FINISHED"}
    assert rig["hat"] == 0 and rig.id_properties_ui("smile").as_dict()["max"] == 3
    set_value(rig, "hat", -3.0)
    assert asked(rig) == {"hat": -3.0}
    portrait = json.loads(rig.stylerig.portrait)
    assert [entry["name"] for entry in portrait["directions"]["directions"]] == ["hat", "smile"]
    assert load(tmp_path, "smile,nose") == {"FINISHED"}
    portrait = json.loads(rig.stylerig.portrait)
    assert [entry["name"] for entry in portrait["directions"]["directions"]] == ["hat", "smile", "nose"] and rig["hat"] == -3
    assert bpy.ops.stylerig.remove_directions() == {"FINISHED"}
    assert "directions" not in json.loads(rig.stylerig.portrait) and "hat" not in rig and "age" in rig


def test_files_that_do_not_fit_are_told(rig, tmp_path):
    before = rig.stylerig.portrait
    with pytest.raises(RuntimeError, match=r"d\.safetensors holds no directions"):
        load(tmp_path, "", b"\xff\xfe")
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.stylerig.load_directions(filepath=str(tmp_path / "missing.safetensors"))
    with pytest.raises(RuntimeError, match="too large for a file of directions"):
        load(tmp_path, "", bytes(800_000))
    with pytest.raises(RuntimeError, match="can have 96 directions; these would be 97"):
        load(tmp_path, ",".join(f"d{number}" for number in range(97)))
    with pytest.raises(RuntimeError, match="too long for a property"):
        load(tmp_path, "x" * 64)
    assert rig.stylerig.portrait == before


def test_sefa_adds_sliders(rig, server):
    assert bpy.ops.stylerig.sefa_directions(layers="0-1", count=2, distance=5.0) == {"FINISHED"}
    assert rig["SeFa 0-1: 2"] == 0
    [body] = [body for path, body in server.requests if path == "/v1/directions/sefa"]
    assert (body["layers"], body["count"], body["distance"], body["weights_hash"]) == ("0-1", 2, 5.0, fake_backend.WEIGHTS_HASH)


def test_sefas_directions_come_with_pictures_of_both_ends_to_choose_from(part, rig, server):
    bpy.ops.stylerig.sefa_directions(layers="0-1", count=2)
    drawn = [body["controls"].get("attributes") for path, body in server.requests if path == "/v1/frames"]
    assert drawn[-4:] == [{"SeFa 0-1: 1": -3.0}, {"SeFa 0-1: 1": 3.0}, {"SeFa 0-1: 2": -3.0}, {"SeFa 0-1: 2": 3.0}]
    key = part("identity").key_of(rig)
    pictures = part("ui.thumbnails").previews()
    low, high = (pictures[part("ui.attributes").icon_name(key, "SeFa 0-1: 2", end)] for end in ("minimum", "maximum"))
    assert tuple(low.image_size) == (128, 128) and list(low.image_pixels_float) != list(high.image_pixels_float)
    assert bpy.ops.stylerig.remove_directions(name="SeFa 0-1: 1") == {"FINISHED"}
    assert "SeFa 0-1: 1" not in rig and rig["SeFa 0-1: 2"] == 0
    assert part("rig.attributes").own_names(part("rig.read_rig").portrait_of(rig)) == ["SeFa 0-1: 2"]


def test_a_rig_of_an_earlier_version_gets_them(rig, asked):
    portrait = {name: value for name, value in json.loads(rig.stylerig.portrait).items() if name != "attributes"}
    rig.stylerig.portrait = json.dumps(portrait)
    for name in ("age", "coarse_1"):
        del rig[name]
    assert asked(rig) == {}
    assert bpy.ops.stylerig.refresh_attributes() == {"FINISHED"}
    set_value(rig, "age", 1.0)
    assert asked(rig) == {"age": 1.0}


def test_reset_is_the_portrait_itself(rig, asked):
    for operator in (bpy.ops.stylerig.reset_attributes, bpy.ops.stylerig.reset_rig):
        set_value(rig, "age", 1.0)
        assert asked(rig) and operator() == {"FINISHED"}
        assert asked(rig) == {}


def test_another_face_keeps_what_was_set_and_loaded(rig, asked, tmp_path):
    load(tmp_path, "hat")
    set_value(rig, "age", 0.5)
    set_value(rig, "hat", 2.0)
    assert bpy.ops.stylerig.new_portrait(seed=12, truncation=0.5, replace=True) == {"FINISHED"}
    assert rig.stylerig.seed == "12" and asked(rig) == {"age": 0.5, "hat": 2.0}
    bpy.ops.stylerig.duplicate_portrait()
    twin = bpy.context.view_layer.objects.active
    assert twin != rig and asked(twin) == {"age": 0.5, "hat": 2.0}


def test_they_are_saved_with_the_file(rig, asked, tmp_path):
    load(tmp_path, "hat")
    set_value(rig, "hat", 2.0)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    opened = bpy.data.objects["Portrait 11"]
    assert asked(opened) == {"hat": 2.0} and opened.id_properties_ui("hat").as_dict()["max"] == 3


def test_a_library_override_keeps_sliders_of_its_own(rig, asked, tmp_path):
    library, shot = (str(tmp_path / name) for name in ("library.blend", "shot.blend"))
    set_value(rig, "age", 0.25)
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.objects = ["Portrait 11"]
    scene = bpy.context.scene
    scene.collection.objects.link(wanted.objects[0])
    override = wanted.objects[0].override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    assert asked(override) == {"age": 0.25}
    set_value(override, "age", 0.5)
    override.keyframe_insert('["coarse_1"]', frame=1)
    bpy.ops.wm.save_as_mainfile(filepath=shot)
    bpy.ops.wm.open_mainfile(filepath=shot)
    again = next(item for item in bpy.data.objects if item.override_library and item.type == "ARMATURE")
    assert asked(again) == {"age": 0.5}


def test_the_panel_has_a_slider_for_each_and_what_can_be_done(part, rig, tmp_path):
    from test_environment_ui import Drawn

    def drawn() -> list[tuple]:
        layout = Drawn()
        part("ui.panels").STYLERIG_PT_attributes.draw(type("Panel", (), {"layout": layout}), bpy.context)
        return layout.noted

    sliders = lambda: [path for kind, *rest in drawn() if kind == "prop" for path in rest if isinstance(path, str) and path.startswith("[")]
    buttons = lambda: {rest[0] for kind, *rest in drawn() if kind == "operator"}
    assert sliders() == ['["age"]', '["coarse_1"]'] and "stylerig.remove_directions" not in buttons()
    load(tmp_path, "hat")
    assert '["hat"]' in sliders() and {"stylerig.remove_directions", "stylerig.load_directions"} <= buttons()
    assert "stylerig.refresh_attributes" not in buttons()
    del rig["age"]
    assert "stylerig.refresh_attributes" in buttons()
    rig.stylerig.portrait = "rubbish"
    assert sliders() == [] and any("no portrait" in str(entry) for entry in drawn())


def test_numbered_ones_are_folded_by_their_group(part):
    groups = part("rig.attributes").in_groups(["age", "coarse_1", "coarse_2", "SeFa 0-1: 1", "light_skin"])
    assert groups == {"": ["age", "light_skin"], "coarse": ["coarse_1", "coarse_2"], "SeFa 0-1": ["SeFa 0-1: 1"]}
    assert part("ui.panels").label_of("light_skin") == "Light Skin" and part("ui.panels").label_of("SeFa 0-1: 1") == "SeFa 0-1: 1"


def test_the_real_backends_sliders_change_the_face_and_leave_the_head(part, empty_scene):
    try:
        bpy.ops.stylerig.new_portrait(seed=17, truncation=0.7)
        rig = bpy.context.view_layer.objects.active
        portrait = part("rig.read_rig").portrait_of(rig)
        names = list(part("rig.read_rig").attribute_ranges(portrait))
        if not names:
            pytest.skip("the model that comes first has no attributes")
        bpy.ops.stylerig.sefa_directions(layers="0-2", count=1, distance=8.0)
        client = part("client.backend_manager").BACKEND.client(part("client.backend_manager").launch_settings())
        pictures, heads = [], []
        for chosen in ("", names[2], "SeFa 0-2: 1"):
            part("rig.attributes").set_attributes(rig, {name: float(name == chosen) for name in (*names, "SeFa 0-2: 1")})
            asked = part("rig.read_rig").read_controls(rig, bpy.context.evaluated_depsgraph_get())
            frame = client.frame(*asked, 128, ["UV"])
            pictures.append(frame["Combined"])
            heads.append(frame["UV"])
    finally:
        part("client.backend_manager").BACKEND.stop()
    assert all(np.abs(picture - pictures[0]).max() > 0.05 for picture in pictures[1:])
    assert all(np.array_equal(head, heads[0]) for head in heads[1:])
