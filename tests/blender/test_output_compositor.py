"""The portrait over a plate, in both kinds of compositor trees."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, random_frame, render_still, srgb_bytes, use_client


def upper_half_empty(controls: dict, size: int) -> dict[str, np.ndarray]:
    frame = random_frame(controls, size)
    frame["Combined"][: size // 2] = 0
    frame["HeadMatte"] = frame["Combined"][..., 3:]
    return frame


@pytest.fixture
def scene(extension, empty_scene, monkeypatch):
    use_client(extension, monkeypatch, KnownClient(upper_half_empty))
    prepare(extension, empty_scene)
    return empty_scene


@pytest.fixture
def plate(tmp_path) -> str:
    """A picture of one colour, sRGB bytes 200, 100, 50, of another shape than the render."""
    image = bpy.data.images.new("plate", 40, 30)
    image.pixels.foreach_set(np.tile(np.float32((200, 100, 50, 255)) / 255, 40 * 30))
    image.filepath_raw, image.file_format = str(tmp_path / "plate.png"), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return str(tmp_path / "plate.png")


def ours(extension, scene) -> list[str]:
    tree = module(extension, "render.compositor").scene_tree(scene)
    return sorted(node.name for node in tree.nodes if node.name.startswith("StyleRig"))


def test_portrait_over_a_plate_keeps_both_colours_exactly(scene, plate, tmp_path):
    assert bpy.ops.stylerig.setup_compositor(filepath=plate, light_wrap=0) == {"FINISHED"}
    picture = render_still(scene, tmp_path / "over.png")
    np.testing.assert_array_equal(picture[24:, :, :3], srgb_bytes(48)[24:])
    assert (picture[:24] == (200, 100, 50, 255)).all()


def test_half_transparent_pixels_mix_with_the_plate_in_linear_light(extension, scene, plate, monkeypatch, tmp_path):
    def veil(controls, size):
        frame = random_frame(controls, size)
        frame["Combined"][:] = (0.25, 0.25, 0.25, 0.5)
        return frame

    use_client(extension, monkeypatch, KnownClient(veil))
    bpy.ops.stylerig.setup_compositor(filepath=plate, light_wrap=0)
    picture = render_still(scene, tmp_path / "veil.png")
    under = ((np.array((200, 100, 50)) / 255 + 0.055) / 1.055) ** 2.4
    expected = 255 * (1.055 * (0.25 + 0.5 * under) ** (1 / 2.4) - 0.055)
    assert np.abs(picture[..., :3] - expected).max() < 0.6


def test_light_wrap_brightens_the_rim_and_nothing_else(extension, scene, plate, tmp_path):
    scene.render.resolution_x = scene.render.resolution_y = 200  # a rim of 4 pixels
    pictures = []
    for strength in (0.0, 0.5):
        bpy.ops.stylerig.setup_compositor(filepath=plate, light_wrap=strength)
        pictures.append(render_still(scene, tmp_path / f"{strength}.png").astype(int))
    change = pictures[1] - pictures[0]
    assert change.min() >= 0 and change[100:103, 10:-10, 0].mean() > 5  # the red plate
    assert change[:100].max() == 0 and change[120:, 20:-20].max() == 0


def test_without_a_plate_there_is_a_gradient_that_a_saved_file_keeps(extension, scene, tmp_path):
    bpy.ops.stylerig.setup_compositor()
    picture = render_still(scene, tmp_path / "gradient.png")
    assert (picture[:24, :, 3] == 255).all()
    assert picture[0, 0, 2] > picture[23, 0, 2] and np.ptp(picture[0, :, 0]) == 0
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    np.testing.assert_array_equal(render_still(bpy.context.scene, tmp_path / "again.png"), picture)


def test_doing_it_twice_leaves_one_set_of_nodes(extension, scene, plate):
    bpy.ops.stylerig.setup_compositor()
    once = ours(extension, scene)
    bpy.ops.stylerig.setup_compositor(filepath=plate)
    assert ours(extension, scene) == once and len(once) == 6


def test_an_artists_nodes_stay(extension, scene):
    compositor = module(extension, "render.compositor")
    tree = compositor.ensure_tree(scene)
    blur = tree.nodes.new("CompositorNodeBlur")
    tree.links.new(compositor.render_layers(tree, scene).outputs["Image"], blur.inputs["Image"])
    bpy.ops.stylerig.setup_compositor()
    assert any(node.bl_idname == "CompositorNodeBlur" and node.inputs["Image"].is_linked for node in tree.nodes)


def test_colours_are_set_so_that_nothing_changes_them(scene):
    scene.view_settings.exposure = 1.0
    scene.render.dither_intensity = 1.0
    bpy.ops.stylerig.setup_compositor()
    assert scene.view_settings.view_transform == "Standard" and scene.view_settings.exposure == 0
    assert scene.render.film_transparent and scene.render.dither_intensity == 0 and scene.render.compositor_device == "CPU"


@pytest.mark.parametrize("content", [None, b"not a picture"])
def test_a_plate_that_cannot_be_read_changes_nothing(extension, scene, tmp_path, content):
    path = tmp_path / "plate.png"
    if content:
        path.write_bytes(content)
    before = len(bpy.data.images)
    with pytest.raises(RuntimeError, match=r"The plate .*plate.png (cannot be read|is not a picture)"):
        bpy.ops.stylerig.setup_compositor(filepath=str(path))
    assert len(bpy.data.images) == before
    assert module(extension, "render.compositor").scene_tree(scene) is None
