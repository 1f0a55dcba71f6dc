"""A campaign against the backend: hostile requests to a running server, and kills of a render.

Short in the suite. Long, with the real rig, by the number of requests:

    STYLERIG_CAMPAIGN=20000 .venv/bin/python -m pytest -s tests/integration/test_campaign.py
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

from backend.files import images
from tests.helpers import fake_rig
from tests.helpers.hostile_requests import Service, case
from tests.integration.test_backend_render import pictures, write_rig_file

LONG = "STYLERIG_CAMPAIGN" in os.environ
REQUESTS = int(os.environ.get("STYLERIG_CAMPAIGN", 400))
KILLS = 20 if LONG else 2
SEED = 15
AT_ONCE = 8
HANG_SECONDS = 120.0  # no answer and no end of the connection for so long
ENDED, LEFT = "ended without an answer", "left without waiting for it"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[SimpleNamespace]:
    log = tmp_path_factory.mktemp("campaign") / "backend.log"
    with fake_rig.served("--log", str(log), FAKE_RIG_REAL="1" if LONG else "", FAKE_RIG_PATIENCE="1") as backend:
        headers = {"Authorization": f"Bearer {fake_rig.TOKEN}"}
        with httpx.Client(base_url=backend.url, headers=headers, timeout=240, trust_env=False) as client:
            portrait = client.post("/v1/portraits", json={"seed": 7}).json()
            service = Service(backend.ready["port"], fake_rig.TOKEN, portrait, client.get("/v1/models").json()[0]["expressions"])
            yield SimpleNamespace(service=service, client=client, log=log, process=backend.process)


def outcome(content: bytes, port: int, leaves: bool) -> int | str:
    """The status that this is answered with, or how the connection ended without one. Checks what the answer holds."""
    with socket.create_connection(("127.0.0.1", port), HANG_SECONDS) as connection:
        try:
            connection.sendall(content)
            if leaves:
                return LEFT
            answer = http.client.HTTPResponse(connection, method=content.partition(b" ")[0].decode("latin-1"))
            answer.begin()
            body = answer.read()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            return ENDED
    check(answer, body)
    return answer.status


def check(answer: http.client.HTTPResponse, body: bytes) -> None:
    """An error says what is wrong, a picture is one, and all its numbers are numbers."""
    kind = answer.headers["Content-Type"]
    if answer.status >= 400 and kind == "application/json" and body:
        error = json.loads(body)["error"]
        assert set(error) == {"code", "message", "hint"} and error["message"] and error["hint"] and b"Traceback" not in body
    elif answer.status >= 400:
        assert not body or (answer.status == 400 and body == b"Invalid HTTP request received.")  # HEAD; what is no HTTP
    elif kind == "image/png" and body:
        assert Image.open(io.BytesIO(body)).mode == "RGBA"
    elif answer.headers["X-Array-Shape"] and body:
        assert np.isfinite(np.frombuffer(body, "<f4")).all()


def frame_of(server: SimpleNamespace) -> bytes:
    request = {"portrait": server.service.portrait, "controls": {"rotation": [0.2, 0, 0]}, "output": {"format": "raw", "size": 64}}
    answer = server.client.post("/v1/frames", json=request)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_no_request_hangs_the_server_or_is_a_fault_of_its_own(server):
    before = frame_of(server)

    def send(number: int) -> tuple[int | str, int]:
        try:
            return outcome(case(SEED, number, server.service), server.service.port, leaves=number % 20 == 0), number
        except (TimeoutError, AssertionError) as error:
            return f"{type(error).__name__}: {error}", number

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(send, range(REQUESTS)))
    tally = Counter(status for status, _ in outcomes)
    print(f"\n{REQUESTS} requests: {dict(tally.most_common())}")
    bad = [(status, number) for status, number in outcomes if status not in (ENDED, LEFT) and (isinstance(status, str) or status >= 500)]
    assert bad == [], "(outcome, number): case(SEED, number, service) is the request"
    assert tally[200] > REQUESTS / 10 and len(tally) > 8
    assert server.process.poll() is None and frame_of(server) == before
    assert "Traceback" not in server.log.read_text()


def test_nothing_finished_is_lost_by_kills_of_a_render(tmp_path):
    draw = random.Random(SEED)
    rig_file, out = (
        write_rig_file(tmp_path, frames=[{"rotation": [yaw, 0, 0]} for yaw in np.linspace(-0.5, 0.5, 3 * KILLS)]),
        tmp_path / "out",
    )
    for _ in range(KILLS):
        before = finished(out)
        process = fake_rig.start("render", str(rig_file), "--output", str(out), "--resume", FAKE_RIG_SECONDS="0.1")
        wanted, end = len(before) + draw.randint(0, 2), time.monotonic() + HANG_SECONDS
        while process.poll() is None and len(finished(out)) < wanted and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        process.kill()
        process.communicate()
        after = finished(out)
        assert before.items() <= after.items(), "a finished frame was drawn anew or is gone"
        assert all(images.request_of(path) for path in after), "a frame that is there is whole"
    print(f"\n{KILLS} kills: {len(after)} of {3 * KILLS} frames were finished meanwhile")
    for folder, options in ((out, ["--resume"]), (tmp_path / "undisturbed", [])):
        process = fake_rig.start("render", str(rig_file), "--output", str(folder), *options)
        _, errors = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, errors
    whole = pictures(tmp_path / "undisturbed")
    assert len(whole) == 3 * KILLS and {path.name: path.read_bytes() for path in finished(out)} == whole
    assert after.items() <= finished(out).items()


def finished(folder: Path) -> dict[Path, tuple[int, int]]:
    """The frames in a folder: what shows that a file is the same as before."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(folder.glob("frame_*.png"))}
