"""The backend's log does not grow without end, and nothing that is said on standard error is missing from it."""

from __future__ import annotations

import sys

import pytest

from tests.helpers import fake_rig
from tests.integration.test_backend_service import client_of, error_of, post_frame

LARGEST = 4000
TALK = """
import logging, os, sys, warnings
from pathlib import Path
from backend.server import log

log.MAX_LOG = {largest}
log.start_logging(Path(sys.argv[1]))
logging.info("too small to be told")
for number in range(int(sys.argv[2])):
    logging.error("message %d", number)
warnings.warn("a warning")
print("printed", file=sys.stderr, flush=True)
os.write(2, b"a library's words\\n")
"""


@pytest.fixture
def talk(tmp_path, run_python):
    """talk(number): a process says so many messages and some more to its log; the log and the one before, as text."""

    def run(number: int) -> tuple[str, str]:
        log = tmp_path / "backend.log"
        answer = run_python([sys.executable, "-c", TALK.format(largest=LARGEST), log, number])
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
        older = log.with_name("backend.log.1")
        return log.read_text(), older.read_text() if older.exists() else ""

    return run


def test_all_that_is_said_is_in_the_log(talk):
    log, older = talk(3)
    assert older == "" and "too small" not in log
    assert [line.split()[-1] for line in log.splitlines() if "ERROR message" in line] == ["0", "1", "2"]
    assert "UserWarning: a warning" in log and log.endswith("printed\na library's words\n")


def test_a_long_log_is_cut_and_keeps_the_newest(talk):
    log, older = talk(1000)
    assert max(len(log), len(older)) < LARGEST + 500
    numbers = [int(line.split()[-1]) for line in (older + log).splitlines() if "ERROR message" in line]
    assert numbers == list(range(numbers[0], 1000)) and numbers[0] > 0
    assert log.endswith("printed\na library's words\n")


@pytest.mark.parametrize("name", ["folder", "missing/backend.log"])
def test_without_a_log_that_can_be_written_standard_error_has_it(tmp_path, run_python, name):
    (tmp_path / "folder").mkdir()
    answer = run_python([sys.executable, "-c", TALK.format(largest=LARGEST), tmp_path / name, 1])
    assert answer.returncode == 0 and "ERROR message 0" in answer.stderr and "a library's words" in answer.stderr


def test_the_server_logs_to_the_file_that_it_is_given(tmp_path):
    log = tmp_path / "backend.log"
    with fake_rig.served("--log", str(log), FAKE_RIG_FAULT="fault") as backend, client_of(backend) as client:
        portrait = client.post("/v1/portraits", json={"seed": 7}).json()
        error_of(post_frame(client, portrait), 500, "internal")
        backend.process.stdin.close()
        assert backend.process.wait(60) == 0 and backend.process.stderr.read() == ""
    assert "ZeroDivisionError: made to fail" in log.read_text()
