"""The node group StyleRig Shot: a portrait gets the grain and the softness of its plate."""

from __future__ import annotations

import pathlib

import bpy
import numpy as np
import pytest
from output_shot import KnownClient, module, prepare, render_still, use_client, white_frame

SIZE = 192
GREY = 0.2  # linear
STRENGTH = np.array((0.03, 0.02, 0.05))  # of white


@pytest.fixture
def scene(extension, empty_scene, monkeypatch):
    """A grey portrait over the lower half of the picture."""

    def draw(controls, size):
        frame = white_frame(controls, size)
        frame["Combined"][..., :3] = GREY
        frame["Combined"][: size // 2] = 0
        frame["HeadMatte"] = frame["Combined"][..., 3:]
        return frame

    use_client(extension, monkeypatch, KnownClient(draw))
    prepare(extension, empty_scene, SIZE, SIZE)
    return empty_scene


def noise(size: float, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """(H, W, 3) of deviation 1, smoothed by a Gaussian of deviation size / 2."""
    field = np.random.default_rng(0).standard_normal((height, width, 3))
    if size:
        wave = np.exp(-2 * (np.pi * size / 2 * np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij"))) ** 2)
        field = np.fft.ifft2(np.fft.fft2(field, axes=(0, 1)) * wave[..., None], axes=(0, 1)).real
    return field / field.std()


def plate_of(size: float, path) -> str:
    """A PNG of a slope of grey with grain."""
    level = np.linspace(0.15, 0.3, SIZE)[:, None, None]
    pixels = level + noise(size) * STRENGTH * np.sqrt(level)
    display = 1.055 * pixels.clip(0.004) ** (1 / 2.4) - 0.055
    image = bpy.data.images.new("plate", SIZE, SIZE)
    image.pixels.foreach_set(np.concatenate((display, np.ones((SIZE, SIZE, 1))), axis=2).astype(np.float32).reshape(-1))
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return str(path)


@pytest.mark.parametrize("size", [0.0, 1.5, 3.0])
def test_grain_is_measured(part, size):
    level = np.linspace(0.1, 0.4, 256)[:, None, None]
    picture = level + noise(size, 256, 320) * STRENGTH * np.sqrt(level)
    picture[60:200, 100:200] += np.random.default_rng(1).random((140, 100, 1)) > 0.5  # something with detail
    found = part("render.plate").grain_of(picture)
    np.testing.assert_allclose(found.strength, STRENGTH, rtol=0.12)
    assert found.size == pytest.approx(size, abs=0.25)


def test_nothing_is_measured_where_there_is_nothing(part):
    grain_of = part("render.plate").grain_of
    for picture in (np.zeros((64, 64, 3)), np.ones((64, 64, 3)), np.full((8, 8, 3), 0.2)):
        assert grain_of(picture).strength == (0, 0, 0)
    assert max(grain_of(np.full((64, 64, 3), 0.2)).strength) < 1e-6


def edge(softness: float, size: int = 192, grain: float = 0.0) -> np.ndarray:
    """An upright edge (size, size, 3) from 0.1 to 0.5, on pixels' borders, blurred by a Gaussian of this deviation."""
    line = np.where(np.arange(size) < size // 2, 0.1, 0.5)
    if softness:
        reach = np.arange(-20, 21)
        kernel = np.exp(-0.5 * (reach / softness) ** 2)
        line = np.convolve(np.pad(line, 20, mode="edge"), kernel / kernel.sum(), mode="valid")
    picture = np.broadcast_to(line[None, :, None], (size, size, 3))
    return picture + grain * np.sqrt(picture) * np.random.default_rng(0).standard_normal(picture.shape)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("softness", "grain"), [(0.0, 0.0), (0.7, 0.0), (1.0, 0.02), (1.5, 0.0), (2.5, 0.0)])
def test_softness_is_measured_at_edges(part, softness, grain, turned):
    plate = part("render.plate")
    picture = edge(softness, grain=grain)
    picture = picture.swapaxes(0, 1) if turned else picture
    assert plate.softness_of(picture, plate.grain_of(picture)) == pytest.approx(softness, abs=0.25)


def test_the_sharpest_edges_say_how_soft_a_plate_is(part):
    plate = part("render.plate")
    picture = np.concatenate((edge(1.0), edge(2.5)))
    assert plate.softness_of(picture, plate.grain_of(picture)) == pytest.approx(1.0, abs=0.25)


def test_no_softness_is_measured_without_edges(part):
    plate = part("render.plate")
    for picture in (np.full((192, 192, 3), 0.2), 0.2 + 0.02 * noise(0.0), 0.2 + 0.02 * noise(2.0), np.full((4, 4, 3), 0.2)):
        assert plate.softness_of(picture, plate.grain_of(picture)) is None


def test_a_region_of_the_plate_is_measured_alone(extension, scene, tmp_path):
    """The left half has grain, the right one a soft edge; the picture is twice as large in the render."""
    left = 0.2 + 0.03 * noise(0.0)
    picture = np.concatenate((left, edge(1.5)), axis=1)
    image = bpy.data.images.new("halves", 2 * SIZE, SIZE, float_buffer=True)
    image.pixels.foreach_set(np.concatenate((picture, np.ones((SIZE, 2 * SIZE, 1))), axis=2).astype(np.float32).reshape(-1))
    image.filepath_raw, image.file_format = str(tmp_path / "halves.exr"), "OPEN_EXR"
    image.save()
    scene.render.resolution_x, scene.render.resolution_y = 4 * SIZE, 2 * SIZE
    found = []
    for x in (0.0, 0.5):
        bpy.ops.stylerig.setup_compositor(filepath=image.filepath_raw, match_plate=True, measured_x=x, measured_width=0.5)
        node = module(extension, "render.compositor").scene_tree(scene).nodes["StyleRig Plate Shot"]
        found.append((node.inputs["Grain"].default_value[0], node.inputs["Softness"].default_value))
    (grain, unmeasured), (none, softness) = found
    assert grain == pytest.approx(0.03 / np.sqrt(0.2), rel=0.15) and unmeasured == pytest.approx(1.5)
    assert none < grain / 2 and softness == pytest.approx(2 * 3 * 1.5, rel=0.15)


def test_a_region_that_is_too_small_is_told_of(scene, tmp_path):
    path = plate_of(0.0, tmp_path / "p.png")
    with pytest.raises(RuntimeError, match=r"The measured region has 19 × 192 pixels of the plate.*at least 32 × 32"):
        bpy.ops.stylerig.setup_compositor(filepath=path, match_plate=True, measured_width=0.1)


def linear(picture: np.ndarray) -> np.ndarray:
    return ((picture[..., :3] / 255 + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize("size", [0.0, 2.0])
def test_the_portrait_gets_the_grain_of_the_plate(part, scene, tmp_path, size):
    assert bpy.ops.stylerig.setup_compositor(filepath=plate_of(size, tmp_path / "p.png"), light_wrap=0, match_plate=True) == {"FINISHED"}
    frames = []
    for frame in (1, 2):
        scene.frame_set(frame)
        frames.append(linear(render_still(scene, tmp_path / "shot.png")))
    portrait = frames[0][SIZE // 2 + 16 :]
    np.testing.assert_allclose(portrait.mean(axis=(0, 1)), GREY, rtol=0.02)
    np.testing.assert_allclose(portrait.std(axis=(0, 1)), STRENGTH * np.sqrt(GREY), rtol=0.2)
    block = (portrait - portrait.mean(axis=(0, 1)))[None, :64, :64]
    assert part("render.plate").grain_size(block) == pytest.approx(size, abs=0.4)
    other = frames[1][SIZE // 2 + 16 :] - GREY
    assert abs((other * (portrait - GREY)).mean() / (portrait - GREY).var()) < 0.1  # another at each frame
    np.testing.assert_array_equal(frames[0][: SIZE // 2 - 4], frames[1][: SIZE // 2 - 4])  # the plate has its own


def test_the_group_is_made_once_and_an_artists_changes_stay(extension, scene, tmp_path):
    for _ in range(2):
        bpy.ops.stylerig.setup_compositor(light_wrap=0.5)
        group = bpy.data.node_groups["StyleRig Shot"]
        group.nodes["Gain"].inputs[1].default_value = 4
    assert group.nodes["Gain"].inputs[1].default_value == 4
    assert sum(tree.name.startswith("StyleRig Shot") for tree in bpy.data.node_groups) == 1
    node = module(extension, "render.compositor").scene_tree(scene).nodes["StyleRig Plate Shot"]
    assert node.inputs["Light Wrap"].default_value == 0.5 and tuple(node.inputs["Grain"].default_value)[:3] == (0, 0, 0)


def test_a_plate_that_is_gone_is_told_of(scene, tmp_path):
    path = tmp_path / "p.png"
    bpy.ops.stylerig.setup_compositor(filepath=plate_of(0, path))
    path.unlink()
    with pytest.raises(RuntimeError, match=r"The plate .*p.png is not there any more"):
        bpy.ops.render.render()


def pictures(folder, numbers: range) -> str:
    """Numbered plates, each of a red that says its number; the first one's path."""
    paths = [folder / f"plate_v2_{number:04}.png" for number in numbers]
    for path, number in zip(paths, numbers, strict=True):
        image = bpy.data.images.new("one", 16, 16)
        image.pixels.foreach_set(np.tile(np.float32((10 * (number - 1000) / 255, 0, 0, 1)), 256))
        image.filepath_raw, image.file_format = str(path), "PNG"
        image.save()
        bpy.data.images.remove(image)
    return str(paths[0])


def test_numbered_pictures_are_shown_one_at_a_frame(scene, tmp_path):
    scene.frame_start = 5
    for _ in range(2):  # as well when it is pressed again
        first = pictures(tmp_path, range(1001, 1004))
        assert bpy.ops.stylerig.setup_compositor(filepath=first, light_wrap=0, sequence=True, match_plate=True) == {"FINISHED"}
        for frame in (5, 6, 7):
            scene.frame_set(frame)
            assert abs(int(render_still(scene, tmp_path / "s.png")[0, 0, 0]) - 10 * (frame - 4)) <= 1


def test_a_sequence_needs_numbers_and_a_plate(extension, scene, tmp_path):
    plain = tmp_path / "plate.png"
    pathlib.Path(pictures(tmp_path, range(1001, 1002))).rename(plain)
    with pytest.raises(RuntimeError, match="no number in its name"):
        bpy.ops.stylerig.setup_compositor(filepath=str(plain), sequence=True)
    assert bpy.ops.stylerig.setup_compositor(sequence=True) == {"FINISHED"}
    plate = next(node for node in module(extension, "render.compositor").scene_tree(scene).nodes if node.name == "StyleRig Plate")
    assert plate.image.source != "SEQUENCE"


def test_a_picture_of_the_plate_that_is_missing_is_told_of_at_its_frame(scene, tmp_path):
    bpy.ops.stylerig.setup_compositor(filepath=pictures(tmp_path, range(1001, 1004)), sequence=True)
    (tmp_path / "plate_v2_1002.png").unlink()
    bpy.ops.render.render()
    scene.frame_set(2)
    with pytest.raises(RuntimeError, match=r"The plate .*plate_v2_1002.png is not there any more"):
        bpy.ops.render.render()
    scene.frame_set(9)  # after the last one, which stays
    bpy.ops.render.render()


def test_a_movie_of_another_frame_rate_is_told_of(extension, scene, tmp_path, capfd):
    scene.render.engine, scene.frame_end, scene.render.fps = "BLENDER_WORKBENCH", 2, 24
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format, scene.render.ffmpeg.format, scene.render.filepath = "FFMPEG", "MPEG4", str(tmp_path / "movie.mp4")
    writer = module(extension, "render.compositor")
    made = movie(tmp_path)
    if made is None:
        pytest.skip("this Blender cannot make a movie here")
    scene.render.fps = 25
    told = writer.other_rate(made, scene)
    assert str(told) == "The plate has 24 frames a second, the scene 25: set the scene's Frame Rate to the plate's."
    scene.render.fps = 24
    assert writer.other_rate(made, scene) is None
    scene.render.fps = 25
    bpy.ops.stylerig.setup_compositor(filepath=made)
    assert f"Warning: {told}" in capfd.readouterr().out
    assert not bpy.data.movieclips


def movie(folder):
    """A film of two frames, without a window's graphics: made by the sequencer."""
    scene = bpy.context.scene
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    options = {"length": 2} if bpy.app.version >= (5, 0, 0) else {"frame_end": 3}
    strips.new_effect("colour", "COLOR", 1, 1, **options)
    scene.render.use_sequencer = True
    bpy.ops.render.render(animation=True)
    return next((str(path) for path in folder.glob("movie*.mp4")), None)
