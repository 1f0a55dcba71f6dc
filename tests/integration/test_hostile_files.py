"""A campaign of hostile files: whatever is opened, soon it is read or refused in clear words, and the process lives on.

STYLERIG_CAMPAIGN=200 tries so many damages of each kind, not one, and builds the faces that are read.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models.face import load_face_model
from tests.helpers.hostile_files import DAMAGES, damaged, designed, good_files, small_mesh

ROOT = Path(__file__).resolve().parents[2]
EACH = int(os.environ.get("STYLERIG_CAMPAIGN", "1"))
PATIENCE = 600.0  # seconds without an answer: it waits for something; the process limits its own processor time


class Reader:
    """The process that reads; started again after it has died or been killed."""

    def __init__(self):
        self.process: subprocess.Popen | None = None
        self.lines: queue.Queue[str] = queue.Queue()

    def ask(self, reader: str, path: Path) -> str:
        """What came of a file: one line, HUNG, or DIED and how."""
        if self.process is None:
            self.start()
        self.process.stdin.write(f"{reader} {path}\n")
        self.process.stdin.flush()
        answer = self.answer()
        if answer.startswith(("HUNG", "DIED")):
            self.stop()
        return answer

    def start(self) -> None:
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.helpers.hostile_reader"]
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = queue.Queue()
        threading.Thread(target=self.listen, args=(self.process, self.lines), daemon=True).start()
        started = self.answer()
        if started != "ready":
            self.stop()
            pytest.fail(f"the reader did not start: {started}")

    @staticmethod
    def listen(process: subprocess.Popen, lines: queue.Queue[str]) -> None:
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(f"DIED {process.wait()}")

    def answer(self) -> str:
        try:
            return self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            return "HUNG"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def reader():
    process = Reader()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> tuple[dict[str, bytes], dict[str, str]]:
    """Small good files and their readers, by name."""
    mesh = load_face_model(None).proxy if EACH > 1 else small_mesh()
    files = list(good_files(tmp_path_factory.mktemp("good"), mesh))
    return {name: data for name, _, data in files}, {name: kind for name, kind, _ in files}


def test_good_files_are_read(reader, good, tmp_path):
    contents, kinds = good
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        assert reader.ask(kinds[name], tmp_path / name) == "read", name


def test_files_that_are_hostile_by_design(reader, tmp_path):
    for name, (kind, data) in designed().items():
        (tmp_path / name).write_bytes(data)
        answer = reader.ask(kind, tmp_path / name)
        assert answer.startswith("refused") and name in answer, f"{name}: {answer}"


@pytest.mark.parametrize("damage", DAMAGES)
def test_good_files_damaged(reader, good, tmp_path, damage):
    contents, kinds = good
    for seed in range(EACH):
        for name in contents:
            data = damaged(contents, name, damage, seed)
            (tmp_path / name).write_bytes(data)
            kind = "whole_face" if kinds[name] == "face" and EACH > 1 else kinds[name]
            answer = reader.ask(kind, tmp_path / name)
            assert answer == "read" or (answer.startswith("refused") and name in answer), f"{name} {seed}: {answer}"
