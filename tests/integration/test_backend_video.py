"""Frames become a film and a contact sheet."""

from __future__ import annotations

import os
import sys

import pytest
from PIL import Image

from backend.files import video
from models.errors import StyleRigError
from models.io.images import LABEL_HEIGHT


def write_frames(folder, count: int, size=(32, 24)) -> list:
    for i in range(count):
        Image.new("RGB", size, (10 * i, 255 - 10 * i, 60)).save(folder / f"frame_{i + 1:04}.png")
    return video.frames_in(folder)


@pytest.mark.parametrize(
    "names",
    [
        ["frame_9998", "frame_9999", "frame_10000", "frame_10001"],
        ["shot_2", "shot_10", "shot_100"],
        ["f_-0010", "f_-0002", "f_-0001", "f_0000", "f_0003"],
        ["f-0010", "f-0002", "f0000", "f0003"],  # as Blender writes them where the path has no separator
        ["take-0001", "take-0002", "take-0010"],  # a separator: nothing says that these are negative
        ["a2_0009", "a2_0010", "a10_0001"],
        ["f_0001_L", "f_0002_L", "f_0010_L", "f_0001_R"],
        ["-2", "-1", "0", "1", "10"],
        ["cover", "v2.1", "v2.2"],
    ],
)
def test_frames_come_by_their_numbers(tmp_path, names):
    for name in names[::-1]:
        (tmp_path / f"{name}.png").touch()
    assert [path.stem for path in video.frames_in(tmp_path)] == names


def test_movie_holds_every_frame_at_its_size(tmp_path):
    import imageio_ffmpeg

    path = video.movie(write_frames(tmp_path, 10), tmp_path / "out" / "film.mp4", rate=10)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["source_size"] == (32, 24)
    pictures = list(reader)
    assert len(pictures) == 10
    assert abs(pictures[5][0] - 50) < 12  # red of the sixth frame, as far as H.264 keeps it


def test_sheet_shows_first_and_last_frame(tmp_path):
    frames = write_frames(tmp_path, 20)
    sheet = Image.open(video.contact_sheet(frames, tmp_path / "sheet.png", most=6, columns=3))
    assert sheet.getpixel((video.GAP + 3, video.GAP + 3)) == (0, 255, 60)
    last = (video.GAP + 2 * (32 + video.GAP) + 3, video.GAP + 24 + LABEL_HEIGHT + video.GAP + 3)
    assert sheet.getpixel(last) == (190, 65, 60)


def test_a_broken_frame_is_named(tmp_path):
    frames = write_frames(tmp_path, 3)
    frames[1].write_bytes(frames[1].read_bytes()[:40])
    with pytest.raises(StyleRigError, match=r"frame_0002\.png is not a whole picture"):
        video.movie(frames, tmp_path / "film.mp4")
    assert not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob(".film*"))


def test_an_empty_folder_is_said_so(tmp_path, run_python):
    answer = run_python([sys.executable, "-m", "backend.files.video", tmp_path, tmp_path])
    assert answer.returncode == 1
    assert "There are no PNG frames" in answer.stdout


def test_a_folder_that_the_pipe_cannot_hold_is_still_named(run_python, tmp_path):
    (tmp_path / "日本").mkdir()
    variables = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    answer = run_python([sys.executable, "-m", "backend.files.video", tmp_path / "日本", tmp_path], env=variables)
    assert answer.returncode == 1 and answer.stdout.startswith("@error There are no ") and r"\u65e5\u672c" in answer.stdout
    assert answer.stderr == ""
