"""Portrait from Photo: the photo goes out, a rig comes back, and what belongs to it travels with the .blend."""

from __future__ import annotations

import json

import bpy
import fake_backend
import pytest


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"a person")
    return path


@pytest.fixture
def rig(server, empty_scene, photo):
    assert bpy.ops.stylerig.portrait_from_photo(filepath=str(photo), effort="fine") == {"FINISHED"}
    return bpy.context.view_layer.objects.active


def frames(server) -> list[dict]:
    return [body["portrait"] for path, body in server.requests if path == "/v1/frames"]


def test_a_photo_becomes_a_rig(server, rig):
    begun = next(body for path, body in server.requests if path == "/v1/portraits/photos")
    assert server.photo == b"a person" and begun["effort"] == "fine" and begun["faces"] == [None]
    assert rig.stylerig.is_rig and "photo.jpg" in rig.stylerig.source
    stored = json.loads(rig.stylerig.portrait)
    assert stored["offsets"] == {"sha256": fake_backend.OFFSETS_HASH}, "the file itself lies apart"
    assert "".join(rig.stylerig.offsets.as_string().split()) == fake_backend.OFFSETS_FILE


def test_the_file_goes_with_the_blend_and_is_sent_once(server, rig, part, tmp_path):
    bpy.ops.stylerig.duplicate_portrait()
    assert len(bpy.data.texts) == 1, "rigs of one portrait share it"
    path = str(tmp_path / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    part("client.offsets").FILES.clear()
    server.known.clear()
    server.requests.clear()
    bpy.ops.wm.open_mainfile(filepath=path)
    rig = next(item for item in bpy.data.objects if item.stylerig.is_rig)
    client = part("client.http_client").Client(server.port, server.token)
    portrait = part("rig.read_rig").portrait_of(rig)
    for _ in range(2):
        client.frame(portrait, {"rotation": None, "expression": {}}, 32)
    assert ["file" in asked["offsets"] for asked in frames(server)] == [False, True, False]


def test_a_rig_of_another_face_takes_its_file_along(server, rig):
    bpy.ops.stylerig.new_portrait(seed=4, replace=True)
    rig = bpy.context.view_layer.objects.active
    assert rig.stylerig.offsets is None and "offsets" not in json.loads(rig.stylerig.portrait)


def test_an_exported_rig_file_holds_it(server, rig, tmp_path):
    bpy.context.scene.frame_end, bpy.context.scene.stylerig.placement = 1, "CROP"
    bpy.ops.stylerig.export_rig_file(filepath=str(tmp_path / "shot.json"))
    written = json.loads((tmp_path / "shot.json").read_text(encoding="utf-8"))
    assert written["portrait"]["offsets"]["file"] == fake_backend.OFFSETS_FILE


def test_of_several_photos_the_face_is_named_on_the_first(server, empty_scene, photo, tmp_path):
    (tmp_path / "other.jpg").write_bytes(b"a person")
    files = [{"name": "photo.jpg"}, {"name": "other.jpg"}]
    bpy.ops.stylerig.portrait_from_photo(directory=str(tmp_path), files=files, face=2)
    begun = next(body for path, body in server.requests if path == "/v1/portraits/photos")
    assert begun["faces"] == [2] and len(begun["photos"]) == 2


def test_its_rig_can_be_placed_as_a_new_portrait_is(server, empty_scene, photo):
    bpy.context.scene.cursor.location = (0.5, 0, 0)
    bpy.ops.stylerig.portrait_from_photo(filepath=str(photo), in_sight=True, camera=True, controls=True)
    rig = bpy.context.view_layer.objects.active
    assert rig.location.x == pytest.approx(0.5) and bpy.context.scene.camera is not None
    assert bpy.context.scene.render.engine == "STYLERIG" and "jawOpen" in rig


def test_how_it_looks_so_far_is_an_icon(extension, part, tmp_path):
    thumbnails, seen = part("ui.thumbnails"), []
    before = len(bpy.data.images) + 2
    for brightness in (0.2, 0.8):
        image = bpy.data.images.new("so far", 8, 8)
        image.pixels[:] = [brightness, brightness, brightness, 1] * 64
        image.filepath_raw, image.file_format = str(tmp_path / "so_far.png"), "PNG"
        image.save()
        thumbnails.show_file("photo", (tmp_path / "so_far.png").read_bytes())
        preview = thumbnails.previews()["photo"]
        seen.append((*preview.image_size, preview.image_pixels_float[0]))
    assert seen[0] == pytest.approx((8, 8, 0.2), abs=0.01) and seen[1] == pytest.approx((8, 8, 0.8), abs=0.01)
    assert len(bpy.data.images) == before


def test_a_photo_of_nobody_and_one_that_is_not_there_are_told(server, empty_scene, photo, part, tmp_path):
    photo.write_bytes(b"nobody")
    with pytest.raises(RuntimeError, match="no face"):
        bpy.ops.stylerig.portrait_from_photo(filepath=str(photo))
    assert not part("ui.photo").RUNNING, "the panel shows none under way"
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.stylerig.portrait_from_photo(filepath=str(tmp_path / "none.jpg"))
    assert not [item for item in bpy.data.objects if item.stylerig.is_rig]


def test_pictures_can_be_dropped(extension):
    handler = bpy.types.STYLERIG_FH_photo
    assert handler.bl_import_operator == "stylerig.portrait_from_photo"
    assert {".jpg", ".png"} <= set(handler.bl_file_extensions.split(";"))
