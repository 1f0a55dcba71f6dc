"""Picture sets are read whole or refused with the names of the bad files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from models.data.image_folder import premultiply, shrink
from models.data.image_set import ImageSet, InfiniteShuffle, is_held_out
from models.errors import StyleRigError
from tests.helpers.picture_sets import LATENTS, ellipse, paths, write_set


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("whole"), range(96))


@pytest.fixture()
def folder(tmp_path):
    return write_set(tmp_path / "set", range(70))


def quiet(folder, **options) -> ImageSet:
    return ImageSet(folder, progress=False, **options)


def test_pictures_and_truth_come_as_they_were_drawn(whole):
    data = quiet(whole, fields=("latent", "parameters", "landmarks"))
    latent = np.random.default_rng(5).standard_normal(LATENTS).astype(np.float32)
    assert (len(data), data.size, data.latent_dim, data.paired) == (96, 16, LATENTS, True)
    assert np.array_equal(data.pictures[5], ellipse(latent, 16)) and np.allclose(data.truth["latent"][5], latent)
    assert data.truth["landmarks"].shape == (96, 68, 2) and data.truth["parameters"].shape == (96, 9)
    pictures, latents = data.batch(np.array([5, 9]))
    assert pictures.shape == (2, 4, 16, 16) and pictures.min() == -1 and latents.shape == (2, LATENTS)


def test_every_32nd_is_held_out(whole):
    data = quiet(whole)
    assert data.numbers[data.rows(held_out=True)].tolist() == [31, 63, 95]
    assert len(data.rows(held_out=False)) == 93
    held = quiet(whole, part="held out")
    assert held.numbers.tolist() == [31, 63, 95] and all(map(is_held_out, held.numbers))
    assert quiet(whole, part="training", most=10).numbers[[0, -1]].tolist() == [0, 94]


def test_smaller_sizes_are_box_filtered_before_and_after_reading(whole):
    large, small = quiet(whole), quiet(whole, size=8)
    expected = torch.nn.functional.avg_pool2d(large.batch(np.arange(8))[0], 2)
    assert torch.allclose(large.batch(np.arange(8), 8)[0], expected)
    assert (small.batch(np.arange(8))[0] - expected).abs().max() <= 1 / 255 + 1e-6
    with pytest.raises(StyleRigError, match="cannot become 32"):
        quiet(whole, size=32)


def test_shrinking_weighs_colour_by_alpha():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (200, 100, 0, 255)
    assert shrink(pixels, 1)[0, 0].tolist() == [50, 25, 0, 64]
    assert premultiply(np.array([[[200, 100, 50, 128]]], np.uint8))[0, 0].tolist() == [100, 50, 25, 128]


def test_a_growing_set_is_taken_in_and_its_split_stays(tmp_path):
    folder = write_set(tmp_path, range(70), count=100)
    data = quiet(folder)
    assert len(data.pictures) == 70 and len(data.truth["latent"]) == 70
    write_set(folder, range(70, 97), count=100)
    assert data.rescan() == (27, []) and len(data) == 97
    assert data.numbers[data.rows(held_out=True)].tolist() == [31, 63, 95]
    picture, _ = paths(folder, 97)
    picture.write_bytes(b"not a picture")
    taken, problems = data.rescan()
    assert taken == 0 and problems[0][0] == picture and len(data) == 97


def test_a_plain_folder_has_alpha_one_where_absent(tmp_path):
    for number in range(64):
        straight = np.full((8, 8, 4), (200, 100, 50, 255), np.uint8)
        Image.fromarray(straight[..., :3]).save(tmp_path / f"{number:03d}.{'png' if number % 2 else 'jpg'}")
    straight[..., 3] = 128
    Image.fromarray(straight, "RGBA").save(tmp_path / "063.png")
    data = quiet(tmp_path)
    assert not data.paired and len(data) == 64 and data.truth == {}
    assert (data.pictures[:63, ..., 3] == 255).all()
    assert data.pictures[63, 0, 0].tolist() == [100, 50, 25, 128]
    assert data.batch(np.arange(4))[1].shape == (4, 0)


def truncate(folder):
    for number in (3, 4):
        path = paths(folder, number)[0]
        path.write_bytes(path.read_bytes()[:-30])


def other_size(folder):
    Image.fromarray(np.zeros((8, 8, 4), np.uint8), "RGBA").save(paths(folder, 3)[0])


def straight_alpha(folder):
    Image.fromarray(np.full((16, 16, 4), (255, 255, 255, 40), np.uint8), "RGBA").save(paths(folder, 3)[0])


def no_alpha(folder):
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(paths(folder, 3)[0])


def no_truth(folder):
    paths(folder, 3)[1].unlink()


def broken_truth(folder):
    path = paths(folder, 3)[1]
    path.write_bytes(path.read_bytes()[:-200])


def not_numbers(folder):
    np.savez(paths(folder, 3)[1], latent=np.full(LATENTS, np.nan, np.float32))


def other_latents(folder):
    np.savez(paths(folder, 3)[1], latent=np.zeros(LATENTS + 1, np.float32))


def no_latents(folder):
    np.savez(paths(folder, 3)[1], parameters=np.zeros(9, np.float32))


@pytest.mark.parametrize(
    "damage, word",
    [
        (truncate, "2 of the pictures"),
        (other_size, "8 x 8"),
        (straight_alpha, "not premultiplied"),
        (no_alpha, "RGB"),
        (no_truth, "000003.npz is missing"),
        (broken_truth, "000003"),
        (not_numbers, "finite"),
        (other_latents, "latent"),
        (no_latents, "no latent"),
    ],
)
def test_bad_files_are_named(damage, word, folder):
    damage(folder)
    with pytest.raises(StyleRigError, match=word) as caught:
        quiet(folder)
    assert "000003.png" in caught.value.message and "again" in caught.value.hint


def test_many_bad_files_are_counted(folder):
    for number in range(20):
        paths(folder, number)[0].write_bytes(b"")
    with pytest.raises(StyleRigError, match=r"20 of the pictures.*and 15 more"):
        quiet(folder)


@pytest.mark.parametrize(
    "text, word",
    [
        ("{", "not JSON"),
        ("[]", "format 2"),
        ('{"format": 1}', "format 2"),
        ('{"format": 2, "size": "x"}', "size"),
        (json.dumps({"format": 2, "size": 16, "latents": 3, "count": 9, "layout": [], "parameters": {}}), "layout"),
    ],
)
def test_a_bad_index_is_refused(text, word, folder):
    (folder / "index.json").write_text(text)
    with pytest.raises(StyleRigError, match=word):
        quiet(folder)


def test_missing_empty_and_small_folders_are_refused(tmp_path, monkeypatch):
    with pytest.raises(StyleRigError, match="no folder"):
        quiet(tmp_path / "none")
    with pytest.raises(StyleRigError, match="0 pictures"):
        quiet(tmp_path)
    small = write_set(tmp_path / "small", range(20))
    with pytest.raises(StyleRigError, match=r"20 pictures.*at least 64"):
        quiet(small)
    monkeypatch.setattr("os.scandir", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(StyleRigError, match="cannot be read: Permission denied"):
        quiet(small)


def test_order_sees_every_picture_once_in_a_round_and_needs_no_state():
    first = InfiniteShuffle(3)
    seen = np.concatenate([first.take(8 * step, 8, among=90) for step in range(45)])
    for start in (0, 90, 180, 270):
        assert sorted(seen[start : start + 90]) == list(range(90))
    assert not np.array_equal(seen[:90], seen[90:180])
    assert np.array_equal(InfiniteShuffle(3).take(200, 8, 90), seen[200:208])
