"""Pictures hold exactly what the frame holds, and say what they are."""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image

from backend.files import images
from backend.protocol import colour, frames, image_texts
from models.colour import srgb_to_linear
from models.rigging.controls import Controls
from tests.helpers import fake_rig

PASSES = list(frames.PASSES)
ORIGIN = images.Origin("studio", "ab" * 32, 7, "digest")


@pytest.fixture(scope="module")
def frame():
    rig = fake_rig.load()
    return rig.frame(rig.new_portrait(7), Controls(rotation=(0.4, 0.0, 0.0)), size=24)


FLOAT = {"depth.Z", "UV.U", "UV.V", "Position.X", "Position.Y", "Position.Z"}


def read_exr(path) -> tuple[dict, dict[str, np.ndarray]]:
    """The first header and the channels of an EXR."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels.copy() for part in file.parts for name, channel in part.channels.items()}
        return dict(file.parts[0].header), channels


def exr_values(frame) -> dict[str, np.ndarray]:
    """What each channel of the frame's EXR says, in float32."""
    wanted = {}
    for name, letters in frames.CHANNELS.items():
        for i, letter in enumerate(letters):
            wanted[{"Combined": letter, "Depth": "depth.Z"}.get(name, f"{name}.{letter}")] = frame[name][..., i]
    for letter in "RGB":  # sRGB in the frame
        wanted[f"Portrait.{letter}"] = srgb_to_linear(torch.from_numpy(wanted[f"Portrait.{letter}"])).numpy().astype(np.float32)
    return wanted


def test_exr_channels_come_back(frame, tmp_path):
    """Depth, UV and Position equal, the others rounded to half floats."""
    path = tmp_path / "frame.exr"
    images.write_exr(path, frame, PASSES, ORIGIN)
    header, channels = read_exr(path)
    wanted = exr_values(frame)
    assert set(channels) == set(wanted) and len(wanted) == 34
    assert len(OpenEXR.File(str(path), header_only=True).parts) == 1  # which every program reads
    for name, pixels in wanted.items():
        assert channels[name].dtype == (np.float32 if name in FLOAT else np.float16), name
        np.testing.assert_array_equal(channels[name], pixels.astype(channels[name].dtype), err_msg=name)
    assert "does not show a real person" in header["Description"]
    assert header["Software"].startswith("StyleRig ") and "seed 7" in header["Source"]
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION and header["colorInteropID"] == "lin_rec709_scene"
    np.testing.assert_allclose(header["chromaticities"], (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329), atol=1e-6)


def test_an_exr_by_dwaa_loses_of_colours_alone(frame, tmp_path):
    images.write_exr(tmp_path / "frame.exr", frame, PASSES, ORIGIN, "DWAA")
    images.write_exr(tmp_path / "alone.exr", frame, [], ORIGIN, "DWAA")
    assert set(read_exr(tmp_path / "alone.exr")[1]) == set("RGBA")
    header, channels = read_exr(tmp_path / "frame.exr")
    assert header["compression"] == OpenEXR.DWAA_COMPRESSION
    for name, pixels in exr_values(frame).items():
        if name.rpartition(".")[2] in set("RGB"):
            assert np.abs(channels[name] - pixels).mean() < 0.02, name
        else:
            np.testing.assert_array_equal(channels[name], pixels.astype(channels[name].dtype), err_msg=name)
    assert images.request_of(tmp_path / "frame.exr") == "digest" and images.decodes(tmp_path / "frame.exr")


def test_what_no_half_float_holds_is_the_largest(frame, tmp_path):
    bright = dict(frame) | {"Shading": np.full_like(frame["Shading"], 1e6)}
    images.write_exr(tmp_path / "frame.exr", bright, ["Shading"], ORIGIN)
    assert read_exr(tmp_path / "frame.exr")[1]["Shading.R"].max() == 65504


def test_an_exr_of_an_earlier_version_is_known_and_made_again(frame, tmp_path):
    """All channels float32, Depth with its own name, nothing about colours."""
    recipe = {"portrait": {"seed": 7}, "frames": [{}], "output": {"size": 24, "passes": ["Depth"]}}
    texts = images.Origin("studio", "ab" * 32, 7, "digest", recipe).texts()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    header |= {name[0].lower() + name[1:]: text for name, text in texts.items()}
    array, names = images.stacked(frame, ["Depth"])
    channels = {name.removeprefix("Combined."): np.ascontiguousarray(array[..., i]) for i, name in enumerate(names)}
    with OpenEXR.File(header, channels) as file:
        file.write(str(tmp_path / "old.exr"))
    assert images.request_of(tmp_path / "old.exr") == "digest" and images.decodes(tmp_path / "old.exr")
    assert json.loads(images.recipe_of(tmp_path / "old.exr")) == recipe


def picture_bytes(folder, kind, frame, origin) -> bytes:
    """A whole file of this kind."""
    if kind == "png":
        return images.png_bytes(frame, origin)
    images.write_exr(folder / "written.exr", frame, PASSES, origin)
    return (folder / "written.exr").read_bytes()


def test_an_exr_that_cannot_be_written_says_why(frame, tmp_path):
    with pytest.raises(OSError, match=r"^No such file or directory$"):
        images.write_exr(tmp_path / "nowhere" / "a.exr", frame, [], ORIGIN)


def test_exr_of_combined_alone(frame, tmp_path):
    path = tmp_path / "frame.exr"
    images.write_exr(path, frame, [], ORIGIN)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        assert set(file.parts[0].channels) == set("RGBA")


def test_png_says_that_it_is_synthetic_and_what_made_it(frame):
    picture = Image.open(io.BytesIO(images.png_bytes(frame, ORIGIN)))
    picture.load()
    assert picture.size == (24, 24)
    assert picture.info["Description"].startswith("Synthetic portrait")
    assert picture.info["Source"] == f"studio {'ab' * 32}, seed 7"
    assert "trainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]


@pytest.mark.parametrize("kind", ["png", "exr"])
def test_a_picture_holds_what_it_takes_to_make_it_again(frame, tmp_path, kind):
    recipe = {"portrait": {"seed": 7}, "frames": [{"rotation": [0.1, 0.0, 0.0]}], "output": {"size": 24}}
    origin = images.Origin("studio", "ab" * 32, 7, "digest", recipe)
    path = tmp_path / f"frame.{kind}"
    path.write_bytes(picture_bytes(tmp_path, kind, frame, origin))
    assert json.loads(images.recipe_of(path)) == recipe
    assert json.loads(images.texts_of(path)["StyleRigControls"]) == recipe["frames"][0]
    path.write_bytes(picture_bytes(tmp_path, kind, frame, ORIGIN))
    assert images.recipe_of(path) is None


def test_a_recipe_that_would_fill_the_memory_is_refused():
    bomb = base64.b64encode(zlib.compress(bytes(image_texts.MAX_RECIPE + 1))).decode()
    with pytest.raises(ValueError, match="too long"):
        image_texts.unpack_recipe(bomb)


def test_half_covered_pixel_keeps_its_colour():
    combined = np.array([[[0.1, 0.2, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]], np.float32)
    pixels = images.straight_srgb(combined)[0]
    srgb = [round(255 * (1.055 * value ** (1 / 2.4) - 0.055)) for value in (0.2, 0.4)]
    assert pixels[0].tolist() == [*srgb, 0, 128]
    assert pixels[1].tolist() == [0, 0, 0, 0]
    assert pixels[2].tolist() == [255, 255, 255, 255]


def test_srgb_bytes_survive_the_way_through_linear_light():
    srgb = np.arange(256) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    np.testing.assert_array_equal(np.rint(255 * colour.linear_to_srgb(linear)), np.arange(256))


def test_raw_array_names_each_channel(frame):
    array, names = images.stacked(frame, ["Depth", "Normal"])
    assert array.dtype == np.dtype("<f4") and array.flags.c_contiguous and array.shape == (24, 24, 8)
    assert names[4:] == ["Depth.Z", "Normal.X", "Normal.Y", "Normal.Z"]
    np.testing.assert_array_equal(array[..., 5:], frame["Normal"])


@pytest.mark.parametrize("kind", ["png", "exr"])
def test_only_a_whole_picture_is_known_again(frame, tmp_path, kind):
    data = picture_bytes(tmp_path, kind, frame, ORIGIN)
    path = tmp_path / f"frame.{kind}"
    assert images.request_of(path) is None
    path.write_bytes(data)
    assert images.request_of(path) == "digest"
    for length in (len(data) - 1, len(data) // 2, 100, 0):
        path.write_bytes(data[:length])
        assert images.request_of(path) is None, length
