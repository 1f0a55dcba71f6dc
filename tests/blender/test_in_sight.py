"""The first portrait: where it stands, what shows it, which face it is, and the faces that are kept."""

from __future__ import annotations

import bpy
import fake_backend
import numpy as np
import pytest
from mathutils import Vector


@pytest.fixture
def startup():
    """Blender's own startup scene: cube, camera and lamp."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    yield bpy.context.scene
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)


def new(seed: int = 7, **options) -> bpy.types.Object:
    assert bpy.ops.stylerig.new_portrait(seed=seed, truncation=0.5, **options) == {"FINISHED"}
    return bpy.context.view_layer.objects.active


def box(item: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([item.matrix_world @ Vector(corner) for corner in item.bound_box])
    return corners.min(axis=0), corners.max(axis=0)


def apart(one: bpy.types.Object, other: bpy.types.Object) -> bool:
    (low, high), (left, right) = box(one), box(other)
    return bool(((high <= left) | (right <= low)).any())


def test_portraits_stand_beside_what_is_there(server, startup):
    cube, before = bpy.data.objects["Cube"], bpy.data.objects["Cube"].matrix_world.copy()
    heads = [new(seed, in_sight=True).stylerig.head for seed in (1, 2, 3)]
    bpy.context.view_layer.update()
    things = [cube, *heads]
    assert all(apart(one, other) for one in things for other in things if one != other)
    assert cube.matrix_world == before and "Cube" in startup.objects
    assert max(head.matrix_world.translation.x for head in heads) < 3  # beside, not far away


def test_a_portrait_stands_at_the_cursor_also_on_a_floor(server, startup):
    bpy.ops.mesh.primitive_plane_add(size=30)
    startup.cursor.location = (4, -2, 1.5)
    assert tuple(new(in_sight=True).location) == pytest.approx((4, -2, 1.5))


def test_views_show_the_new_portrait(part, server, startup):
    startup.cursor.location = (4, -2, 1.5)
    rig = new(in_sight=True)
    views = list(part("rig.placing").views_of(bpy.context))
    assert all(np.allclose(view.view_location, rig.location) and view.view_distance < 2 for view in views)


def test_a_script_that_asks_for_nothing_has_it_at_the_origin(server, startup):
    startup.cursor.location = (4, -2, 1.5)
    camera = startup.camera
    assert tuple(new().location) == (0, 0, 0) and startup.camera == camera


def test_a_camera_that_nobody_has_placed_is_told_apart(part, startup):
    needs = part("render.portrait_camera").needs_camera
    assert needs(startup)
    startup.camera.location.x += 1
    bpy.context.view_layer.update()
    assert not needs(startup)
    startup.camera = None
    assert needs(startup)


def test_the_portrait_camera_frames_the_head_where_it_stands(part, server, startup):
    old = startup.camera
    startup.cursor.location = (3, 2, 1)
    rig = new(in_sight=True, camera=True)
    camera = startup.camera
    assert camera != old and old.name in startup.objects and startup.render.engine == "STYLERIG"
    bpy.context.view_layer.update()
    scene_view, depsgraph = part("render.scene_view"), bpy.context.evaluated_depsgraph_get()
    view = scene_view.view_of(camera, camera.matrix_world, 0.0, depsgraph, 1920, 1080)
    low, high = box(rig.stylerig.head)
    x, y = np.array([(place.real / 1920, place.imag / 1080) for place in view.project(np.stack((low, high)))]).T
    assert 0.3 < x.mean() < 0.7 and abs(y[1] - y[0]) > 0.4  # in the middle, and not small


def test_turned_rigs_are_seen_from_their_front(part, rig):
    rig.rotation_euler.z, rig.location = 1.0, (1, 2, 3)
    bpy.context.view_layer.update()
    assert bpy.ops.stylerig.portrait_camera() == {"FINISHED"}
    camera = bpy.context.scene.camera
    bpy.context.view_layer.update()
    ahead = -(camera.matrix_world.to_3x3() @ Vector((0, 0, 1)))
    facing = rig.matrix_world.to_3x3() @ Vector((0, -1, 0))
    assert ahead.dot(facing) == pytest.approx(-1, abs=1e-5)


def test_the_camera_of_a_set_up_sees_the_rig_where_it_stands(part, server, empty_scene):
    cameras = part("render.portrait_camera")
    bpy.context.scene.cursor.location = (3.0, -2.0, 1.0)
    bpy.ops.stylerig.new_portrait(seed=4, in_sight=True)
    rig = bpy.context.view_layer.objects.active
    bpy.context.view_layer.update()
    if empty_scene.camera is not None:
        bpy.data.objects.remove(empty_scene.camera)
    camera = cameras.ensure_camera(empty_scene)
    bpy.context.view_layer.update()
    distance = camera.matrix_world.translation - rig.matrix_world.translation
    assert 0.3 < distance.length < 4 and abs(distance.x) < 0.2


def test_a_person_gets_any_face_and_the_same_one_when_redone(part, startup):
    """What invoking fills in where nothing was chosen; the operator's redo runs with these."""
    operator = part("ui.portrait").STYLERIG_OT_new_portrait
    seeds = set()
    for chosen in ((), (), ("seed",)):
        asked = Asked(chosen)
        asked.fill_in_placing = lambda context, asked=asked: operator.fill_in_placing(asked, context)
        operator.fill_in(asked, bpy.context)
        seeds.add(asked.seed)
        assert asked.in_sight and asked.camera
    assert len(seeds) == 3 and 7 in seeds


class Asked:
    """An operator's properties as ``invoke`` finds them."""

    def __init__(self, chosen: tuple[str, ...]) -> None:
        self.seed, self.large_seed, self.replace, self.in_sight, self.camera, self.controls = 7, "", False, False, False, False
        self.properties = self
        self.is_property_set = lambda name: name in chosen


def test_favorites_are_kept_and_shown(part, server, empty_scene):
    favorites, gallery = part("ui.favorites"), bpy.context.window_manager.stylerig_gallery
    assert bpy.ops.stylerig.favorite(seed="3698135662", truncation=0.6, model="studio") == {"FINISHED"}
    bpy.ops.stylerig.favorite(seed="12", truncation=0.7)
    assert favorites.favorites() == [(3698135662, 0.6, "studio"), (12, 0.7, "")]
    gallery.favorites = True
    assert part("ui.portrait").faces_of(gallery) == favorites.favorites()
    bpy.ops.stylerig.favorite(seed="3698135662", truncation=0.6, model="studio")
    assert favorites.favorites() == [(12, 0.7, "")]
    bpy.ops.stylerig.favorite(seed="12", truncation=0.7)
    gallery.favorites = False
    assert favorites.favorites() == []
    with pytest.raises(RuntimeError, match="is no seed"):
        bpy.ops.stylerig.favorite(seed="x")


def test_unreadable_favorites_are_none(part, empty_scene):
    """One without a model was kept when there was only one."""
    settings = part("settings").preferences()
    for text in ("rubbish", '[["a", 1]]', "[[5]]", "3", "[[-1, 0.5], [5, 7], [6, 0.5]]"):
        settings.favorites = text
        assert part("ui.favorites").favorites() == ([(6, 0.5, "stylerig")] if "6" in text else [])
    settings.favorites = ""


def test_a_click_on_a_picture_builds_it(part, server, startup):
    portraits, gallery = part("ui.portrait"), bpy.context.window_manager.stylerig_gallery
    for seed in (20, 21):
        portrait = fake_backend.new_portrait(seed, 0.7)
        picture = np.zeros((128, 128, 4), dtype=np.float32)
        face = part("client.candidates").Face(seed, 0.7)
        portraits.CANDIDATES[face] = part("client.candidates").Candidate(face, portrait, picture)
        part("ui.thumbnails").show(portraits.icon_name(face), picture)
    gallery.first, gallery.large_first, gallery.count, gallery.truncation = 20, "", 2, 0.7
    gallery.picture = "21 0.700 "
    gallery.picture = "20 0.700 "
    rigs = part("rig.read_rig").rigs_in(startup)
    assert [rig.stylerig.seed for rig in rigs] == ["20", "21"]
    bpy.context.view_layer.update()
    assert apart(rigs[0].stylerig.head, rigs[1].stylerig.head)
    portraits.CANDIDATES.clear()
