"""What is printed: on any terminal, pipe or file, and on none."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from backend.cli import main
from backend.cli.terminal import Output, one_line, outputs
from tests.helpers import fake_rig

FULL = Path("/dev/full")  # a device that is always full
RIG_FILE = '{"portrait": {"seed": 7}, "frames": [{}, {}, {}]}'


def written(text: str, encoding: str) -> str:
    raw = io.BytesIO()
    stream = Output(io.TextIOWrapper(raw, encoding=encoding))
    stream.write(text)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "utf-16", "shift_jis"])
def test_every_text_can_be_written(encoding):
    text = "frame 日本 é \udce9 \U0001f600\n"
    found = written(text, encoding)
    assert found.startswith("frame ") and found.endswith("\n") and r"\udce9" in found
    for sign in "日é":
        try:
            sign.encode(encoding)
            assert sign in found
        except UnicodeEncodeError:
            assert sign.encode("ascii", "backslashreplace").decode() in found


def test_control_characters_are_shown_instead_of_obeyed():
    assert written("a\x1b[2J\x07\x9b\x7f\u202eb\rc\td\n", "utf-8") == "a\\x1b[2J\\x07\\x9b\\x7f\\u202eb\rc\td\n"
    assert one_line("a\x1b[2J\r\nerror: \u2028b\t") == "a\\x1b[2J\\r\\nerror: \\u2028b\\t"


def test_a_process_without_output(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main.main(["sample", "--seeds", "1", "--output", str(tmp_path)], rig_loader=fake_rig.load) == 0
    assert (tmp_path / "person_1.png").is_file() and sys.stdout is None


def test_the_streams_are_put_back():
    before = sys.stdout, sys.stderr
    with pytest.raises(ZeroDivisionError), outputs():
        assert sys.stdout is not before[0]
        raise ZeroDivisionError
    assert (sys.stdout, sys.stderr) == before


def render(tmp_path, **streams) -> tuple[subprocess.Popen, list[str]]:
    """Renders RIG_FILE over the fake rig in a process; and the names of the frames that it left."""
    (tmp_path / "rig.json").write_text(RIG_FILE)
    command = [sys.executable, "-m", "tests.helpers.fake_rig", "render", str(tmp_path / "rig.json"), "--output", str(tmp_path / "out")]
    options = {"cwd": fake_rig.ROOT, "text": True, "timeout": 240, **streams}
    answer = subprocess.run(command, **options)
    return answer, sorted(path.name for path in (tmp_path / "out").iterdir())


FRAMES = ["frame_0001.png", "frame_0002.png", "frame_0003.png"]
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")


@needs_full
def test_a_full_disk_for_the_progress_stops_no_work(tmp_path):
    with open(FULL, "w") as full:
        answer, frames = render(tmp_path, stdout=subprocess.PIPE, stderr=full)
    assert answer.returncode == 0 and "3 frames rendered" in answer.stdout and frames == FRAMES


@needs_full
def test_a_full_disk_for_what_is_said_is_told(tmp_path):
    with open(FULL, "w") as full:
        answer, frames = render(tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert answer.returncode == 2 and frames == FRAMES
    assert "error: What this command says cannot be written: " in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_goes_away_stops_no_work(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        answer, frames = render(tmp_path, stdout=pipe, stderr=subprocess.PIPE)
    assert answer.returncode == 0 and frames == FRAMES and "Traceback" not in answer.stderr


def test_a_full_folder_for_temporary_files_is_not_used(tmp_path, monkeypatch):
    """Frames are written beside where they belong."""

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    (tmp_path / "rig.json").write_text(RIG_FILE)
    arguments = ["render", str(tmp_path / "rig.json"), "--output", str(tmp_path / "out"), "--format", "exr"]
    assert main.main(arguments, rig_loader=fake_rig.load) == 0
    assert len(list((tmp_path / "out").iterdir())) == 3
