"""Photos over HTTP: a job that is begun, asked about and ended, while other requests go on."""

from __future__ import annotations

import base64
import threading
import time

import pytest
import torch
from fastapi.testclient import TestClient

from backend.server import photo_jobs
from backend.server.app import create_app
from backend.server.inference import RigLibrary, rig_library
from backend.server.middleware import LARGE_BODIES, MAX_BODY
from models.editing.inversion import invert as inversion
from models.editing.inversion.errors import cancelled, no_face
from models.editing.inversion.invert import Progress
from tests.helpers import fake_rig

TOKEN = "a token that only this test knows"
PHOTOS = "/v1/portraits/photos"


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr("models.editing.inversion.photo.read_photo", lambda data, name: data)
    app = create_app(rig_library(fake_rig.load), TOKEN)
    with TestClient(app, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def inverted(monkeypatch):
    """Replace the slow part by ``make(rig, watch)``."""

    def replace(make):
        monkeypatch.setattr(inversion, "invert", lambda rig, photos, effort, faces, watch: make(rig, watch))

    return replace


def begin(client, content: bytes = b"a person", **options) -> str:
    answer = client.post(PHOTOS, json={"photos": [{"name": "p.jpg", "file": base64.b64encode(content).decode()}], **options})
    assert answer.status_code == 200, answer.text
    return answer.json()["job"]


def state_of(client, job: str, until=lambda state: state["ended"]) -> dict:
    for _ in range(600):
        state = client.get(f"{PHOTOS}/{job}").json()
        if until(state):
            return state
        time.sleep(0.05)
    raise AssertionError(f"it stays as it is: {state}")


def test_a_job_tells_how_far_it_is_and_ends_in_a_portrait(client, inverted):
    go_on = threading.Event()

    def make(rig, watch):
        watch.say(Progress("Looking", 0.4, torch.full((3, 8, 8), 0.5)))
        assert go_on.wait(30)
        return rig.new_portrait(5)

    inverted(make)
    job = begin(client)
    state = state_of(client, job, lambda state: state["preview"])
    assert (state["stage"], state["done"], state["ended"]) == ("Looking", 0.4, False)
    assert base64.b64decode(state["preview"]).startswith(b"\x89PNG")
    drawn = client.post("/v1/portraits", json={"seed": 5})
    assert drawn.status_code == 200, "other requests go on meanwhile"
    go_on.set()
    assert state_of(client, job)["portrait"]["w"] == drawn.json()["w"]


def test_photos_are_fitted_on_the_processor_whatever_the_frames_are_drawn_on():
    devices = []
    library = RigLibrary({"fake": lambda device: devices.append(device) or fake_rig.load(device)}, "cuda")
    jobs = photo_jobs.PhotoJobs(library)
    jobs.library.named(None)
    assert devices == ["cpu"] and library.default.rig is None
    processor = RigLibrary({"fake": fake_rig.load}, "cpu")
    assert processor.on_processor() is processor, "one rig serves both there"


def test_what_goes_wrong_is_told(client, inverted):
    def fail(error):
        def make(rig, watch):
            raise error

        return make

    inverted(fail(no_face("p.jpg")))
    assert state_of(client, begin(client))["error"]["code"] == "no_face"
    inverted(fail(ZeroDivisionError("a fault")))
    assert state_of(client, begin(client))["error"]["code"] == "internal"
    assert client.get(f"{PHOTOS}/nothing").status_code == 404


def test_a_job_can_be_cancelled_and_one_too_many_is_refused(client, inverted):
    def wait(rig, watch):
        while not watch.cancelled():
            time.sleep(0.02)
        raise cancelled()

    inverted(wait)
    jobs = [begin(client) for _ in range(photo_jobs.MOST_JOBS)]
    refused = client.post(PHOTOS, json={"photos": [{"file": ""}]})
    assert refused.status_code == 429 and refused.json()["error"]["code"] == "busy"
    for job in jobs:
        client.delete(f"{PHOTOS}/{job}")
    assert state_of(client, jobs[-1])["error"]["code"] == "cancelled"
    begin(client)
    assert client.get(f"{PHOTOS}/{jobs[0]}").status_code == 404, "the oldest made room"


def test_photos_may_be_larger_than_other_requests(client, inverted):
    inverted(lambda rig, watch: rig.new_portrait(1))
    assert LARGE_BODIES[PHOTOS] > 20 * MAX_BODY
    assert state_of(client, begin(client, b"x" * (2 * MAX_BODY)))["error"] is None
    too_much = client.post("/v1/portraits", content=b"x" * (MAX_BODY + 1))
    assert too_much.status_code == 413


@pytest.mark.parametrize("body", [{}, {"photos": []}, {"photos": [{"file": "?"}]}, {"photos": [{"file": ""}], "effort": "best"},
                                  {"photos": [{"file": ""}], "faces": [0]}])  # fmt: skip
def test_what_is_no_request_is_refused(client, body):
    assert client.post(PHOTOS, json=body).status_code in (400, 422)
