"""Photographs as cameras and phones write them, and what is none."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from models.editing.inversion import photo as photos
from models.editing.inversion.photo import load_photo, read_photo
from models.errors import StyleRigError


def picture() -> Image.Image:
    """Red at the top left, else a ramp."""
    pixels = np.zeros((96, 128, 3), np.uint8)
    pixels[..., 1] = np.linspace(0, 200, 128, dtype=np.uint8)
    pixels[:32, :32] = (250, 10, 10)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright_however_the_camera_was_held(orientation):
    turns = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
             5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}  # fmt: skip
    held = picture().transpose(turns[orientation]) if orientation in turns else picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = read_photo(saved(held, "PNG", exif=exif), "p.png")
    assert torch.equal(read.pixels, read_photo(saved(picture(), "PNG"), "p.png").pixels)


def test_all_kinds_of_colours_become_rgb():
    plain = read_photo(saved(picture(), "PNG"), "p").pixels
    grey = read_photo(saved(picture().convert("L"), "PNG"), "p").pixels
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[0], grey[2])
    cmyk = read_photo(saved(picture().convert("CMYK"), "JPEG", quality=95), "p").pixels
    assert (cmyk - plain).abs().mean() < 0.02
    deep = Image.fromarray(np.asarray(picture().convert("L")).astype(np.uint16) * 257)
    assert (read_photo(saved(deep, "PNG"), "p").pixels - grey).abs().max() < 0.01
    unit = Image.fromarray(np.asarray(picture().convert("L")).astype(np.float32) / 255)
    assert (read_photo(saved(unit, "TIFF"), "p").pixels - grey).abs().max() < 0.01
    palette = read_photo(saved(picture().quantize(32), "PNG"), "p").pixels
    assert (palette - plain).abs().mean() < 0.05


def test_a_matte_is_kept_only_where_it_leaves_something_out():
    image = picture().convert("RGBA")
    assert read_photo(saved(image, "PNG"), "p").matte is None
    image.putalpha(Image.fromarray(np.full((96, 128), 255, np.uint8)))
    image.paste((0, 0, 0, 0), (64, 0, 128, 96))
    matte = read_photo(saved(image, "PNG"), "p").matte
    assert matte is not None and matte[0, :, :60].min() == 1 and matte[0, :, 70:].max() == 0


def test_a_large_picture_is_made_smaller(monkeypatch):
    large = read_photo(saved(picture().resize((4000, 3000)), "JPEG"), "p")
    assert max(large.pixels.shape) == photos.LARGEST
    monkeypatch.setattr(photos, "MOST_PIXELS", 1000)
    with pytest.raises(StyleRigError, match="128 x 96 pixels"):
        read_photo(saved(picture(), "PNG"), "p")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no whole picture"),
        (b"not a picture at all", "no whole picture"),
        (saved(picture(), "PNG")[:300], "no whole picture"),
        (saved(picture(), "JPEG")[:400], "no whole picture"),
        (saved(picture().resize((20, 300)), "PNG"), "only 20 x 300 pixels"),
        (saved(Image.new("RGBA", (100, 100)), "PNG"), "transparent"),
    ],
)
def test_what_is_no_photo_is_told(data, reason):
    with pytest.raises(StyleRigError, match=reason) as caught:
        read_photo(data, "p.jpg")
    assert caught.value.code == "bad_photo" and "p.jpg" in caught.value.message and caught.value.hint


def test_a_file_that_is_missing_or_a_folder_is_told(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(StyleRigError) as caught:
            load_photo(path)
        assert caught.value.code == "bad_photo"
