"""Every operator that changes the file can be undone, and done again."""

from __future__ import annotations

import sys
from collections.abc import Callable

import bpy
import fake_backend
import numpy as np
import pytest
from file_state import differences, file_state
from output_shot import KnownClient, random_frame, use_client

from backend.project.blender import EXTENSION

# Operators without an undo step, and why that is right.
NOTHING_TO_UNDO = {
    "start_backend": "a process",
    "stop_backend": "a process",
    "make_environment": "files of the extension",
    "cancel_environment": "files of the extension",
    "remove_environment": "files of the extension",
    "draw_gallery": "pictures of this session",
    "favorite": "the person's preferences",
    "live_capture": "a stream of this session: what it shows is in the file only once it is recorded",
    "live_view": "a view of this session",
    "check_render": "nothing: it only reports",
    "export_rig_file": "a file that is not the open one",
    "render_on_farm": "work of other machines",
    "cancel_farm": "work of other machines",
}
# Operators that need a window: none. Those that ask first (invoke) are run by their properties here.


def operators() -> dict[str, type]:
    """Every registered operator of the extension by its name without "stylerig."."""
    found = [cls for cls in bpy.types.Operator.__subclasses__() if cls.__module__.startswith(EXTENSION)]
    return {cls.bl_idname.partition(".")[2]: cls for cls in found if cls.is_registered}


UNDOABLE = sorted(name for name, cls in operators().items() if "UNDO" in getattr(cls, "bl_options", ()))


@pytest.fixture(scope="module")
def backend(part, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLERIG_PYTHON", sys.executable)
        patch.setenv("STYLERIG_PAYLOAD", str(fake_backend.make_payload(tmp_path_factory.mktemp("fake") / "payload")))
        yield
    part("client.backend_manager").BACKEND.stop()


@pytest.fixture
def rig(part, empty_scene, backend):
    return build(part, 11)


def build(part, seed: int) -> bpy.types.Object:
    portrait = fake_backend.new_portrait(seed, 0.5)
    return part("rig.build").build_rig(bpy.context, portrait, fake_backend.mesh_of(portrait))


def undone(operate: Callable[[], set]) -> None:
    """What ``operate`` changes is gone after undo and there again after redo."""
    bpy.ops.ed.undo_push(message="before")
    before = file_state()
    assert operate() == {"FINISHED"}
    after = file_state()
    assert differences(before, after)
    bpy.ops.ed.undo()
    assert differences(file_state(), before) == []
    bpy.ops.ed.redo()
    assert differences(file_state(), after) == []


def run(operator: str, **options) -> set:
    """As a person runs it: with the undo step that the operator's flags ask for."""
    return getattr(bpy.ops.stylerig, operator)("EXEC_DEFAULT", True, **options)


OPTIONS = {
    "add_look": {"name": "drawing"},
    "move_look": {"direction": "UP"},
    "apply_pose": {"pose": "Ah"},
    "keep_pose": {"name": "Kept"},
    "light_preset": {"preset": "Sunset"},
    "new_portrait": {"seed": 12, "truncation": 0.5},
    "mix_portraits": {"other": "Portrait 12", "layers": {"FINE"}},
}


@pytest.mark.parametrize("name", [name for name in UNDOABLE if name != "override_expression"])
def test_undo(extension, part, rig, monkeypatch, tmp_path, name):
    options = dict(OPTIONS.get(name, {}))
    if name in SITUATIONS:
        options |= SITUATIONS[name](extension, part, monkeypatch, tmp_path) or {}
        bpy.context.view_layer.objects.active = rig
    undone(lambda: run(name, **options))


def turned(_extension, _part, _monkeypatch, _tmp_path) -> None:
    bpy.context.object.pose.bones["head"].rotation_euler = (1, 0, 0)


def second(_extension, part, _monkeypatch, _tmp_path) -> None:
    build(part, 12)


def photo(_extension, _part, _monkeypatch, tmp_path) -> dict:
    (tmp_path / "photo.jpg").write_bytes(b"a person")
    return {"filepath": str(tmp_path / "photo.jpg")}


def take(_extension, _part, _monkeypatch, tmp_path) -> dict:
    path = tmp_path / "take.csv"
    path.write_text("Timecode,BlendShapeCount,JawOpen\n0:0:0:0.0,61,0\n0:0:0:1.0,61,0.5\n0:0:0:2.0,61,1\n")
    return {"filepath": str(path)}


def actor(_extension, _part, _monkeypatch, _tmp_path) -> None:
    other = bpy.data.objects.new("Actor", bpy.data.meshes.new("Actor"))
    other.data.from_pydata([(0, 0, 0)], [], [])
    bpy.context.scene.collection.objects.link(other)
    for name in ("Basis", "jawOpen"):
        other.shape_key_add(name=name)
    other.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=1)
    other.select_set(True)


def engine(_extension, _part, _monkeypatch, _tmp_path) -> None:
    bpy.context.scene.render.engine = "STYLERIG"


def earlier_group(_extension, part, _monkeypatch, _tmp_path) -> None:
    bpy.context.scene.render.engine = "STYLERIG"
    bpy.ops.stylerig.setup_compositor()
    groups = part("render.node_groups")
    for name in groups.GROUPS:
        if (group := groups.known_group(name)) is not None:
            group[groups.VERSION] = 1


def folder(_extension, _part, _monkeypatch, tmp_path) -> dict:
    bpy.context.scene.render.engine = "STYLERIG"
    return {"directory": str(tmp_path / "shot")}


def known_frames(extension, _part, monkeypatch, _tmp_path) -> dict:
    use_client(extension, monkeypatch, KnownClient(lambda controls, size: {**random_frame(controls, size), "placement": np.zeros(6)}))
    return {"size": 64}


def directions_file(_extension, _part, _monkeypatch, tmp_path) -> dict:
    (tmp_path / "d.safetensors").write_text("hat")
    return {"filepath": str(tmp_path / "d.safetensors")}


def aged(_extension, part, _monkeypatch, _tmp_path) -> None:
    part("rig.attributes").bring_directions(bpy.context.object, fake_backend.directions_of(["hat"]))
    bpy.context.object["age"] = 0.5


def of_an_earlier_version(_extension, part, _monkeypatch, _tmp_path) -> None:
    rig = bpy.context.object
    portrait = {name: value for name, value in part("rig.read_rig").portrait_of(rig).items() if name != "attributes"}
    part("rig.attributes").store(rig, portrait)
    del rig["age"]


def with_looks(_extension, part, _monkeypatch, _tmp_path) -> None:
    for entry in fake_backend.LOOKS:
        part("rig.look_list").add_look(bpy.context.object, entry)
    bpy.context.object.stylerig.looks[2].style = "AAAA"


def with_a_reference(extension, part, monkeypatch, tmp_path) -> dict:
    with_looks(extension, part, monkeypatch, tmp_path)
    image = bpy.data.images.new("reference", 8, 8)
    image.filepath_raw, image.file_format = str(tmp_path / "reference.png"), "PNG"
    image.save()
    return {"filepath": image.filepath_raw}


def with_an_image(_extension, part, _monkeypatch, _tmp_path) -> dict:
    bpy.data.images.new("plate", 8, 8)
    part("rig.looks").fill(bpy.context.scene.stylerig.image_look, fake_backend.LOOKS[0])
    return {"image": "plate"}


def recorded(_extension, part, _monkeypatch, _tmp_path) -> None:
    stream = part("ui.live_capture").STREAM
    stream.record()
    for value in (0.25, 0.75):
        stream._take({"jawOpen": value})


SITUATIONS = {
    "record_capture": recorded,
    "move_look": with_looks,
    "remove_look": with_looks,
    "clear_reference": with_looks,
    "look_reference": with_a_reference,
    "look_image": with_an_image,
    "load_directions": directions_file,
    "refresh_attributes": of_an_earlier_version,
    "remove_directions": aged,
    "reset_attributes": aged,
    "reset_rig": turned,
    "mix_portraits": second,
    "import_capture": take,
    "copy_capture": actor,
    "setup_compositor": engine,
    "setup_sequence": folder,
    "update_node_groups": earlier_group,
    "portrait_texture": known_frames,
    "portrait_from_photo": photo,
}


def test_undo_of_another_face(rig):
    undone(lambda: run("new_portrait", seed=12, truncation=0.5, replace=True))


def test_undo_of_an_override(part, rig, tmp_path):
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["Portrait 11"]
    scene = bpy.context.scene
    scene.collection.objects.link(wanted.objects[0])
    override = wanted.objects[0].override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    bpy.context.view_layer.objects.active = override
    bpy.ops.ed.undo_push(message="before")
    keys = part("rig.controls").shape_keys_of
    assert not keys(override).is_editable
    assert run("override_expression") == {"FINISHED"} and keys(bpy.context.object).is_editable
    bpy.ops.ed.undo()
    assert not keys(bpy.context.object).is_editable


def test_what_changes_the_file_has_an_undo_step():
    assert set(operators()) - set(UNDOABLE) == set(NOTHING_TO_UNDO)
    for name in UNDOABLE:
        assert {"REGISTER", "UNDO"} <= operators()[name].bl_options, name
