"""Depth of field in the compositor: a lens blurs the portrait, hair included, as far as physics say."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, render_still, use_client, white_frame

SIZE = 160
LENS, SENSOR, DISTANCE = 80.0, 36.0, 1.2  # mm, mm, metres


@pytest.fixture
def scene(extension, empty_scene, monkeypatch):
    """One small white square of a portrait without a mesh, as far as the head's middle, on black."""

    def draw(controls, size):
        frame = white_frame(controls, size)
        frame["Combined"][:] = 0
        middle = slice(size // 2 - 1, size // 2 + 1)
        frame["Combined"][middle, middle] = 1
        return frame

    use_client(extension, monkeypatch, KnownClient(draw))
    rig = prepare(extension, empty_scene, SIZE, SIZE, placement="SHOT")
    rig.pose.bones["head"].rotation_euler = (0, 0, 0)
    camera = empty_scene.camera
    camera.location, camera.rotation_euler = (0, -DISTANCE, 0), (np.pi / 2, 0, 0)
    camera.data.lens, camera.data.sensor_width, camera.data.sensor_fit, camera.data.shift_y = LENS, SENSOR, "HORIZONTAL", 0
    camera.data.dof.use_dof = True
    return empty_scene


def set_up(tmp_path, **options) -> None:
    plate = bpy.data.images.new("black", 8, 8)
    plate.filepath_raw, plate.file_format = str(tmp_path / "plate.png"), "PNG"
    plate.save()
    bpy.ops.stylerig.setup_compositor(filepath=plate.filepath_raw, light_wrap=0, depth_of_field=True, **options)
    bpy.context.scene.view_settings.view_transform = "Raw"


def radius(scene, tmp_path) -> float:
    """How far the square's light reaches, in pixels, as a disc of the same moment of inertia."""
    light = render_still(scene, tmp_path / "focus.png")[..., 0].astype(float)
    y, x = np.mgrid[:SIZE, :SIZE]
    middle = [(light * axis).sum() / light.sum() for axis in (x, y)]
    spread = (light * ((x - middle[0]) ** 2 + (y - middle[1]) ** 2)).sum() / light.sum()
    return float(np.sqrt(2 * spread))


def expected(focus: float, f_number: float) -> float:
    """The blur disc's radius of a thin lens, in pixels; of the square at least 1."""
    lens = LENS / 1000
    image, sharp = (lens * distance / (distance - lens) for distance in (focus, DISTANCE))
    return max(0.5 * lens / f_number * abs(image - sharp) / sharp * SIZE / (SENSOR / 1000), 1.0)


def test_a_point_out_of_focus_is_the_disc_of_a_thin_lens(scene, tmp_path):
    """Set up once: focus and aperture may change afterwards, and follow an object. Small discs are of whole pixels."""
    set_up(tmp_path)
    focused = scene.camera.data.dof
    for focus, f_number in ((0.6, 2.8), (0.6, 5.6), (3.0, 2.8), (1.2, 2.8), (0.5, 2.0)):
        focused.focus_distance, focused.aperture_fstop = focus, f_number
        assert radius(scene, tmp_path) == pytest.approx(expected(focus, f_number), rel=0.1, abs=0.8), (focus, f_number)
    target = bpy.data.objects.new("target", None)
    target.location.y = 0.6 - DISTANCE
    scene.collection.objects.link(target)
    focused.focus_object, focused.aperture_fstop = target, 2.8
    assert radius(scene, tmp_path) == pytest.approx(expected(0.6, 2.8), rel=0.1, abs=0.8)


def test_a_focus_is_asked_for_in_vain_until_the_compositor_is_set_up_with_it(extension, scene, tmp_path):
    left_out = module(extension, "render.ignored_settings").left_out
    assert left_out(scene) == ["Depth of Field"]
    set_up(tmp_path)
    assert left_out(scene) == []
    scene.render.use_compositing = False
    assert left_out(scene) == ["Depth of Field"]


def test_the_plate_stays_sharp_and_the_matte_goes_with_the_picture(scene, tmp_path):
    """A picture of stripes behind a point out of focus is what it was wherever no light of the point falls."""
    plate = bpy.data.images.new("stripes", SIZE, SIZE)
    plate.pixels.foreach_set(np.repeat(np.tile(np.float32((0.0, 0.5)), SIZE * SIZE // 2), 4))
    plate.filepath_raw, plate.file_format = str(tmp_path / "stripes.png"), "PNG"
    plate.save()
    scene.camera.data.dof.focus_distance = 0.6
    pictures = []
    for blurred in (False, True):
        bpy.ops.stylerig.setup_compositor(filepath=plate.filepath_raw, light_wrap=0, depth_of_field=blurred)
        pictures.append(render_still(scene, tmp_path / "p.png"))
    changed = (pictures[0] != pictures[1]).any(-1)
    y, x = np.nonzero(changed)
    assert 20 < changed.sum() < 300 and np.ptp(x) < 16 and np.ptp(y) < 16


@pytest.mark.parametrize("kind", ["ORTHO", "PANO"])
def test_a_camera_without_a_lens_is_told(scene, tmp_path, kind):
    scene.camera.data.type = kind
    with pytest.raises(RuntimeError, match="no perspective camera: it has no depth of field"):
        set_up(tmp_path)
    set_up_without = bpy.ops.stylerig.setup_compositor(depth_of_field=False)
    assert set_up_without == {"FINISHED"}
