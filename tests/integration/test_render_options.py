"""What pipelines rely on: which frames, what is said for machines, exit statuses, signals."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import OpenEXR
import pytest
from PIL import Image

from backend.cli import main
from backend.farm import frame_numbers
from backend.files.images import request_of
from tests.helpers import fake_rig

FRAMES = 6


@pytest.fixture
def render(tmp_path, capsys):
    """render(options…) -> exit status, stdout, stderr for a rig file of six frames."""
    path = rig_file(tmp_path)

    def run(*options) -> tuple[int, str, str]:
        command = ["render", str(path), "--output", str(tmp_path / "out"), *map(str, options)]
        status = main.main(command, rig_loader=fake_rig.load)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def rig_file(folder):
    path = folder / "shot.json"
    frames = [{"rotation": [number / 10, 0, 0]} for number in range(FRAMES)]
    path.write_text(json.dumps({"portrait": {"seed": 7}, "frames": frames, "output": {"size": 64, "passes": ["Normal"]}}))
    return path


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("text", "numbers"), [("1-3,5", [1, 2, 3, 5]), ("5, 1..3", [1, 2, 3, 5]), ("7", [7]), ("2-4,3-5", [2, 3, 4, 5]), ("1 - 2", [1, 2])]
)
def test_frames_as_farms_write_them(text, numbers):
    assert frame_numbers.frame_numbers(text) == numbers
    assert frame_numbers.frame_numbers(frame_numbers.as_text(numbers)) == numbers


@pytest.mark.parametrize("text", ["", "0", "5-3", "1,,2", "-4", "a", "1-2-3", "1.5", "99999999", "٣"])
def test_what_is_no_frame(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no frame and no range"):
        frame_numbers.frame_numbers(text)


def test_numbers_are_written_short():
    assert frame_numbers.as_text([1, 2, 3, 5, 7, 8]) == "1-3,5,7-8"
    assert frame_numbers.as_text([]) == ""


def test_chosen_frames_keep_their_numbers_and_bytes(tmp_path, render):
    assert render()[0] == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert render("--output", tmp_path / "part", "--frames", "2-5", "--step", 2)[0] == 0
    part = {path.name: path.read_bytes() for path in (tmp_path / "part").iterdir()}
    assert sorted(part) == ["frame_0002.png", "frame_0004.png"]
    assert part.items() <= whole.items()


def test_a_frame_that_is_not_there_is_refused(render):
    status, _, errors = render("--frames", "4-9")
    assert status == 2 and "There is no frame 9: the frames are 1 to 6." in errors
    assert render("--step", 0)[0] == 2
    assert "--workers is for --ray" in render("--workers", 2)[2]


def test_size_and_passes_in_place_of_the_files(tmp_path, render):
    status, _, errors = render("--frames", 1, "--size", 20, "--passes", "Depth", "UV", "Depth", "--format", "exr")
    assert status == 0, errors
    with OpenEXR.File(str(tmp_path / "out" / "frame_0001.exr"), separate_channels=True) as file:
        channels = {name: channel.pixels.shape for name, channel in file.parts[0].channels.items()}
    assert channels == dict.fromkeys(("R", "G", "B", "A", "depth.Z", "UV.U", "UV.V"), (20, 20))
    assert render("--frames", 2, "--size", 20)[0] == 0
    with Image.open(tmp_path / "out" / "frame_0002.png") as picture:
        assert picture.size == (20, 20)


def test_events_are_one_json_object_a_line(render):
    render("--frames", "1-2")
    status, out, errors = render("--json-log", "--resume", "--frames", "1-4")
    events = [json.loads(line) for line in out.splitlines()]
    assert (status, errors) == (0, "")
    assert [event["event"] for event in events] == ["begin", *["frame"] * 4, "end"]
    assert events[0]["total"] == 4 and events[0]["weights_hash"] == "f" * 64
    assert [(event["number"], event["kept"]) for event in events[1:-1]] == [(1, True), (2, True), (3, False), (4, False)]
    assert events[-1] == {"event": "end", "drawn": 2, "kept": 2, "failed": [], "seconds": events[-1]["seconds"], "status": 0}


def test_lines_are_those_that_farms_know_from_blender(tmp_path, render):
    _, out, _ = render("--frames", 1)
    assert f"Saved: '{tmp_path / 'out' / 'frame_0001.png'}'\nTime: 0." in out
    _, out, _ = render("--frames", 1, "--resume")
    assert out.startswith("skipping existing frame '")


def test_frames_that_fail_are_named_and_the_others_are_there(tmp_path, render, monkeypatch):
    monkeypatch.setenv("FAKE_RIG_FAULT_AT", "0.2")
    status, out, errors = render()
    assert status == 3 and "5 frames rendered" in out
    assert "error: frame 3: Something went wrong inside StyleRig: ZeroDivisionError: made to fail" in errors
    assert "error: 1 of 6 frames failed: 3" in errors
    assert names(tmp_path / "out") == [f"frame_{number:04}.png" for number in (1, 2, 4, 5, 6)]
    status, out, _ = render("--json-log", "--resume")
    assert status == 3 and json.loads(out.splitlines()[-1])["failed"] == [3]
    monkeypatch.delenv("FAKE_RIG_FAULT_AT")
    status, out, _ = render("--resume")
    assert status == 0 and "1 frames rendered, 5 were there" in out


def test_a_picture_whose_pixels_are_broken_is_made_again(tmp_path, render):
    """Its metadata and the sums of its chunks are right: only decoding shows it."""
    render("--frames", "1-2")
    path = tmp_path / "out" / "frame_0001.png"
    before = path.read_bytes()
    request = request_of(path)
    path.write_bytes(without_pixels(before))
    assert request and request_of(path) == request
    assert "1 frames rendered, 1 were there" in render("--resume", "--frames", "1-2")[1]
    assert path.read_bytes() == before


def test_frames_are_on_the_disk_before_they_are_told(render, monkeypatch):
    stored, sync = [], os.fsync
    monkeypatch.setattr("backend.farm.worker.os.fsync", lambda number: stored.append(sync(number)))
    assert render("--frames", "1-3")[0] == 0 and len(stored) == 3
    assert render("--frames", "1-4", "--resume")[0] == 0 and len(stored) == 4


def without_pixels(png: bytes) -> bytes:
    """The same PNG without its IDAT chunks."""
    at, kept = 8, [png[:8]]
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] != b"IDAT":
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def test_a_fault_before_the_first_frame_is_status_1(tmp_path):
    code = "from backend.cli.main import main; import sys; sys.exit(main(sys.argv[1:], rig_loader=lambda device: 1 / 0))"
    command = [sys.executable, "-c", code, "render", str(rig_file(tmp_path)), "--output", str(tmp_path / "out")]
    answer = subprocess.run(command, cwd=fake_rig.ROOT, capture_output=True, text=True, timeout=240)
    assert answer.returncode == 1 and "ZeroDivisionError" in answer.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to end a process cleanly")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_cleanly(tmp_path, number):
    out = tmp_path / "out"
    process = fake_rig.start("render", str(rig_file(tmp_path)), "--output", str(out), FAKE_RIG_SECONDS="3")
    while not list(out.glob("frame_*.png")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + number and "Traceback" not in errors
    assert 1 <= len(names(out)) < FRAMES and not list(out.glob(".stylerig*"))


def test_it_runs_from_any_folder(tmp_path):
    command = [sys.executable, str(fake_rig.ROOT / "backend"), "schema"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert answer.returncode == 0 and json.loads(answer.stdout)["title"] == "StyleRig rig file"


def test_film_and_sheet(tmp_path, render, capsys):
    render("--frames", "1-3")
    assert main.main(["film", str(tmp_path / "out"), "--output", str(tmp_path / "film"), "--rate", "12"]) == 0
    assert names(tmp_path / "film") == ["contact-sheet.png", "film.mp4"]
