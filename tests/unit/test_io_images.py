"""Pictures for people: pixels, grids, files."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import StyleRigError
from models.io.images import LABEL_HEIGHT, encode_image, image_grid, save_image, to_uint8

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(colour, height=4, width=6) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_a_tensor_becomes_rounded_pixels_with_channels_last():
    values = torch.tensor([-1.0, 0.0, 0.5, 0.999, 1.0, 7.0]).expand(3, 2, 6) * torch.tensor([1.0, 1.0, 0.5])[:, None, None]
    pixels = to_uint8(values)
    assert pixels.shape == (2, 6, 3) and pixels.dtype == np.uint8
    assert pixels[0, :, 0].tolist() == [0, 0, 128, 255, 255, 255]
    assert pixels[1, :, 2].tolist() == [0, 0, 64, 127, 128, 255]


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), torch.zeros(1, 4, 4), torch.zeros(2, 3, 4, 4)])
def test_what_is_no_image_is_refused(wrong):
    with pytest.raises(ValueError, match="an image is"):
        to_uint8(wrong)


def test_a_grid_goes_by_rows_and_the_rest_is_background():
    grid = image_grid([plain(RED), plain(BLUE), torch.ones(3, 4, 6)], columns=2, gap=1, background=(9, 9, 9))
    assert grid.shape == (2 * 5 + 1, 2 * 7 + 1, 3)
    assert grid[1, 1].tolist() == list(RED) and grid[1, 8].tolist() == list(BLUE) and grid[6, 1].tolist() == [255] * 3
    assert (grid[6:, 8:] == 9).all() and (grid[0] == 9).all() and (grid[:, -1] == 9).all()


def test_labels_stand_below_their_images():
    grid = image_grid([plain(RED, 20, 40), plain(RED, 20, 40)], columns=2, labels=["one", "two"])
    assert grid.shape == (20 + LABEL_HEIGHT, 80, 3) and (grid[:20] == RED).all()
    assert grid[20:, :40].any() and grid[20:, 40:].any()


def test_a_grid_of_different_sizes_is_refused():
    with pytest.raises(ValueError, match="in a grid of"):
        image_grid([plain(RED), plain(RED, 5)], columns=2)


def test_a_file_is_of_the_kind_that_its_ending_names(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    path = save_image(tmp_path / "new" / "a.PNG", pixels)
    assert (np.asarray(Image.open(path)) == pixels).all()
    assert Image.open(save_image(tmp_path / "b.jpg", torch.rand(3, 8, 8), quality=60)).format == "JPEG"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.PNG"]


def test_a_better_quality_takes_more_bytes():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert len(encode_image(noise, "JPEG", quality=50)) < len(encode_image(noise, "JPEG"))
    assert Image.open(io.BytesIO(encode_image(noise, "JPEG"))).size == (32, 32)


def test_a_folder_that_cannot_be_made_is_an_error_for_the_user(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StyleRigError, match="Cannot write"):
        save_image(tmp_path / "file" / "a.png", plain(RED))
