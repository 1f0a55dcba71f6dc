"""Overscan and a lens' distortion: the frame stays where it was, and what is rendered lies as the plate's lens sees it."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, render_still, use_client, white_frame

WIDTH, HEIGHT = 120, 80
FOCAL = 100.0  # pixels
K1 = 0.4


@pytest.fixture
def scene(extension, empty_scene, monkeypatch):
    use_client(extension, monkeypatch, KnownClient(white_frame))
    rig = prepare(extension, empty_scene, WIDTH, HEIGHT, placement="SHOT")
    rig.location.x = 0.06
    return empty_scene


def clip_of(folder, model: str = "POLYNOMIAL", **settings) -> str:
    """The name of a clip of a black picture as large as the frame, with such a lens."""
    image = bpy.data.images.new("plate", WIDTH, HEIGHT)
    image.filepath_raw, image.file_format = str(folder / "plate.png"), "PNG"
    image.save()
    clip = bpy.data.movieclips.load(image.filepath_raw)
    camera = clip.tracking.camera
    camera.distortion_model, camera.focal_length_pixels = model, FOCAL
    for name, value in settings.items():
        setattr(camera, name, value)
    return clip.name


def ends(picture: np.ndarray) -> tuple[float, float]:
    """Where what is white begins and ends in the middle row of a picture (H, W, C): pixels from its middle, to parts of one."""
    row = picture[picture.shape[0] // 2, :, 0].astype(float) / 255
    middle = (row * (np.arange(row.size) + 0.5)).sum() / row.sum() - row.size / 2
    return middle - row.sum() / 2, middle + row.sum() / 2


def inner(picture: np.ndarray, scene) -> np.ndarray:
    across, up = scene.stylerig.overscan
    return picture[up : picture.shape[0] - up, across : picture.shape[1] - across]


@pytest.mark.parametrize(
    "camera", [{}, {"sensor_fit": "VERTICAL"}, {"shift_x": 0.1, "shift_y": -0.06}, {"type": "ORTHO", "ortho_scale": 0.8}]
)
def test_in_the_middle_is_the_frame_as_it_was(scene, tmp_path, camera):
    lens = scene.camera.data
    for name, value in camera.items():
        setattr(lens, name, value)
    before = [lens.sensor_width, lens.sensor_height, lens.ortho_scale, lens.shift_x, lens.shift_y]
    frame = render_still(scene, tmp_path / "a.png").astype(int)
    assert 0.02 < (frame[..., 3] > 0).mean() < 0.9
    for share in (0.1, 0.25):  # one takes the place of the other
        assert bpy.ops.stylerig.set_overscan(share=share) == {"FINISHED"}
        wide = render_still(scene, tmp_path / "b.png").astype(int)
        assert wide.shape[:2] == (HEIGHT + 2 * round(share * HEIGHT), WIDTH + 2 * round(share * WIDTH))
        assert np.abs(inner(wide, scene) - frame).max() <= 2
    bpy.ops.stylerig.set_overscan(share=0)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (WIDTH, HEIGHT)
    after = [lens.sensor_width, lens.sensor_height, lens.ortho_scale, lens.shift_x, lens.shift_y]
    assert after == pytest.approx(before, rel=1e-5)


def test_the_plate_fills_the_frame_and_objects_get_as_much(extension, scene, tmp_path):
    plate = bpy.data.images.new("p", WIDTH, HEIGHT)
    ramp = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    ramp[..., 0], ramp[..., 3] = np.linspace(0.1, 0.9, WIDTH), 1
    plate.pixels.foreach_set(ramp.reshape(-1))
    plate.filepath_raw, plate.file_format = str(tmp_path / "ramp.png"), "PNG"
    plate.save()
    bpy.ops.stylerig.setup_compositor(filepath=plate.filepath_raw, light_wrap=0)
    frame = render_still(scene, tmp_path / "a.png").astype(int)
    bpy.ops.stylerig.setup_compositor(filepath=plate.filepath_raw, light_wrap=0, objects=True)
    bpy.ops.stylerig.set_overscan(share=0.1)
    assert bpy.data.scenes["Scene Objects"].render.resolution_x == WIDTH + 24
    bpy.ops.stylerig.setup_compositor(filepath=plate.filepath_raw, light_wrap=0)
    wide = render_still(scene, tmp_path / "b.png").astype(int)
    assert np.abs(inner(wide, scene) - frame)[2:-2, 2:-2].max() <= 2
    assert not wide[:4].any()  # there is no plate


def at_lens(place: float) -> float:
    """Where a place of the middle row (pixels from the middle) goes: Brown's radial term."""
    return place * (1 + K1 * (place / FOCAL) ** 2)


def test_the_portrait_is_distorted_as_the_clip_says(scene, tmp_path):
    name = clip_of(tmp_path, k1=K1)
    plate = str(tmp_path / "plate.png")
    scene.camera.data.lens /= 2
    bpy.ops.stylerig.setup_compositor(filepath=plate, light_wrap=0)
    left, right = ends(render_still(scene, tmp_path / "a.png"))
    bpy.ops.stylerig.setup_compositor(filepath=plate, light_wrap=0, lens=name)
    now = ends(render_still(scene, tmp_path / "b.png"))
    assert 20 < right < 50 and now[1] - right > 1
    assert now == pytest.approx((at_lens(left), at_lens(right)), abs=0.5)


@pytest.mark.parametrize(
    ("model", "settings"),
    [("POLYNOMIAL", {"k1": -K1 / 2}), ("NUKE", {"nuke_k1": 0.15}), ("DIVISION", {"division_k1": 0.15}), ("BROWN", {"brown_k1": -K1 / 2})],
)
def test_with_overscan_the_frame_is_distorted_alike(extension, scene, tmp_path, model, settings):
    """But where pixels come from beyond its borders: there they are now."""
    name, plate = clip_of(tmp_path, model, **settings), str(tmp_path / "plate.png")
    rig = next(item for item in scene.objects if item.type == "ARMATURE")
    rig.location.x = 0.0
    scene.camera.data.lens *= 2.2  # beyond the borders
    bpy.ops.stylerig.setup_compositor(filepath=plate, light_wrap=0, lens=name)
    frame = render_still(scene, tmp_path / "a.png").astype(int)
    bpy.ops.stylerig.set_overscan(share=0.25)
    bpy.ops.stylerig.setup_compositor(filepath=plate, light_wrap=0, lens=name)
    wide = inner(render_still(scene, tmp_path / "b.png").astype(int), scene)
    middle = (slice(HEIGHT // 4, -HEIGHT // 4), slice(WIDTH // 4, -WIDTH // 4))
    assert np.abs(wide - frame)[middle].mean() < 2
    if min(settings.values()) < 0:  # a barrel: it needs what lies beyond the borders
        assert (frame[:, 0, 0] < 20).any() and (wide[:, 0, 0] > 250).mean() > (frame[:, 0, 0] > 250).mean()


def test_objects_of_the_scene_are_distorted_too(extension, scene, tmp_path):
    bpy.ops.stylerig.setup_compositor(objects=True, lens=clip_of(tmp_path, k1=K1))
    tree = module(extension, "render.compositor").scene_tree(scene)
    lenses = {node.inputs["Image"].links[0].from_node.name for node in tree.nodes if node.bl_idname == "CompositorNodeMovieDistortion"}
    plate = "StyleRig Plate"
    assert lenses == {"Render Layers", f"{plate} Objects", f"{plate} Smooth", f"{plate} Seen Matte"}


def test_what_cannot_be_is_told(scene):
    with pytest.raises(RuntimeError, match=r"no movie clip “x”.*Movie Clip Editor"):
        bpy.ops.stylerig.setup_compositor(lens="x")
    scene.camera.data.keyframe_insert("shift_x", frame=1)
    with pytest.raises(RuntimeError, match=r"sensor and shift of the camera .* keyed or driven"):
        bpy.ops.stylerig.set_overscan()
    assert scene.render.resolution_x == WIDTH
