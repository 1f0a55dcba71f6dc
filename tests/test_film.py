"""Frames become a film and a contact sheet."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from backend import film
from models.errors import StyleRigError


def write_frames(folder, count: int, size=(32, 24)) -> list:
    for i in range(count):
        Image.new("RGB", size, (10 * i, 255 - 10 * i, 60)).save(folder / f"frame_{i + 1:04}.png")
    return film.frames_in(folder)


def test_movie_holds_every_frame_at_its_size(tmp_path):
    import imageio_ffmpeg

    path = film.movie(write_frames(tmp_path, 10), tmp_path / "out" / "film.mp4", rate=10)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["source_size"] == (32, 24)
    pictures = list(reader)
    assert len(pictures) == 10
    assert abs(pictures[5][0] - 50) < 12  # red of the sixth frame, as far as H.264 keeps it


def test_sheet_shows_first_and_last_frame(tmp_path):
    frames = write_frames(tmp_path, 20)
    sheet = Image.open(film.contact_sheet(frames, tmp_path / "sheet.png", most=6, columns=3))
    assert sheet.getpixel((film.GAP + 3, film.GAP + 3)) == (0, 255, 60)
    last = (film.GAP + 2 * (32 + film.GAP) + 3, film.GAP + 24 + film.LABEL_HEIGHT + film.GAP + 3)
    assert sheet.getpixel(last) == (190, 65, 60)


def test_a_broken_frame_is_named(tmp_path):
    frames = write_frames(tmp_path, 3)
    frames[1].write_bytes(frames[1].read_bytes()[:40])
    with pytest.raises(StyleRigError, match="frame_0002.png is not a whole picture"):
        film.movie(frames, tmp_path / "film.mp4")
    assert not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob(".film*"))


def test_an_empty_folder_is_said_so(tmp_path, run_python):
    answer = run_python([sys.executable, "-m", "backend.film", tmp_path, tmp_path])
    assert answer.returncode == 1
    assert "There are no PNG frames" in answer.stdout
