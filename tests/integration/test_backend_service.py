"""The backend over real HTTP, in a process of its own, with a rig that needs no weights."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from backend.cli.serve import listen
from backend.files import images
from backend.protocol import frames, image_texts
from backend.server import schema, serialization
from backend.server.app import create_app
from backend.server.errors import status_of
from backend.server.inference import MAX_CONCURRENT, InferenceWorker, LazyRig, RigLibrary, enough_memory, rig_library
from backend.server.inference_queue import MAX_QUEUED, Ticket
from models.colour import srgb_to_linear
from models.errors import StyleRigError
from tests.helpers import fake_rig

try:
    import resource
except ImportError:  # on Windows
    resource = None

PASSES = list(frames.PASSES)


def client_of(backend, **headers: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {fake_rig.TOKEN}", **headers}
    return httpx.Client(base_url=backend.url, headers=headers, timeout=240, trust_env=False)


@pytest.fixture(scope="module")
def backend():
    with fake_rig.served() as running:
        yield running


@pytest.fixture(scope="module")
def client(backend):
    with client_of(backend) as opened:
        yield opened


@pytest.fixture
def portrait(client) -> dict:
    return client.post("/v1/portraits", json={"seed": 7}).json()


def error_of(answer: httpx.Response, status: int, code: str) -> dict:
    """The error in an answer, which must be of this kind and have all its parts."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "hint"} and error["message"] and error["hint"]
    assert error["code"] == code
    assert "Traceback" not in answer.text
    return error


def raw_frame(answer: httpx.Response) -> tuple[np.ndarray, list[str]]:
    assert answer.status_code == 200, answer.text
    shape = tuple(map(int, answer.headers["X-Array-Shape"].split(",")))
    array = np.frombuffer(answer.content, answer.headers["X-Array-Type"]).reshape(shape)
    return array, answer.headers["X-Array-Channels"].split(",")


# ---------------------------------------------------------------- what it answers


def test_health_and_models(backend, client):
    health = client.get("/v1/health").json()
    assert (health["status"], health["models"], health["problem"]) == ("ok", ["studio"], None)
    assert health["version"] == backend.ready["version"]
    [model] = client.get("/v1/models").json()
    assert (model["name"], model["w_shape"], model["passes"]) == ("studio", [6, 512], PASSES)
    assert model["expressions"] == [f"expression{i}" for i in range(5)]


def test_ready_line_names_the_process_and_keeps_a_given_token(backend):
    assert backend.ready["event"] == "ready" and backend.ready["pid"] == backend.process.pid
    assert "token" not in backend.ready and backend.ready["models"] == ["studio"]


def test_openapi_is_published(client):
    published = client.get("/v1/openapi.json").json()
    assert {
        "/v1/health",
        "/v1/models",
        "/v1/portraits",
        "/v1/portraits/mesh",
        "/v1/portraits/photos",
        "/v1/portraits/photos/{job}",
        "/v1/frames",
        "/v1/directions",
        "/v1/directions/sefa",
        "/v1/looks",
        "/v1/looks/style",
        "/v1/looks/pictures",
    } == set(published["paths"])
    for path, operations in published["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"400", "401", "403", "404", "405", "408", "409", "413", "422", "429", "500"} < set(answers), (method, path)
    assert "within ±100" in json.dumps(published["components"]["schemas"]["Portrait"]["properties"]["w"], ensure_ascii=False)


def test_a_seed_is_the_same_portrait_each_time(client, portrait):
    again = client.post("/v1/portraits", json={"model": "studio", "seed": 7, "truncation": 0.7}).json()
    other = client.post("/v1/portraits", json={"seed": 8}).json()
    assert again == portrait != other
    w = np.frombuffer(base64.b64decode(portrait["w"]), "<f4").reshape(portrait["w_shape"])
    np.testing.assert_array_equal(w, fake_rig.load().new_portrait(7).w)


def test_raw_frame_is_the_rigs_own_arrays(client, portrait):
    controls = {"rotation": [0.3, 0, 0], "expression": {"expression1": 1.0}, "translation": [0.1, 0], "scale": 1.1}
    output = {"size": 40, "passes": PASSES, "format": "raw"}
    body = {"portrait": portrait, "controls": controls, "output": output}
    answer = client.post("/v1/frames", json=body)
    array, channels = raw_frame(answer)
    rig = fake_rig.load()
    asked = serialization.controls_from_schema(schema.Controls.model_validate(controls), rig.face)
    frame = rig.frame(rig.new_portrait(7), asked, size=40)
    frame["Portrait"] = srgb_to_linear(torch.from_numpy(frame["Portrait"])).numpy()
    wanted = np.concatenate([frame[name] for name in ["Combined", *PASSES]], axis=2)
    np.testing.assert_array_equal(array, wanted.astype(np.float32))
    assert channels[:5] == ["Combined.R", "Combined.G", "Combined.B", "Combined.A", "Portrait.R"]
    place = channels.index("UV.U")
    assert channels[place:][:5] == ["UV.U", "UV.V", "Position.X", "Position.Y", "Position.Z"] and len(channels) == array.shape[2]
    assert [float(part) for part in answer.headers["X-StyleRig-Placement"].split(",")] == list(frame.placement)


def test_png_is_the_raw_arrays_srgb(client, portrait):
    request = {"portrait": portrait, "controls": {"rotation": [-0.4, 0, 0]}}
    array, _ = raw_frame(client.post("/v1/frames", json={**request, "output": {"format": "raw"}}))
    answer = client.post("/v1/frames", json={**request, "output": {"format": "png"}})
    picture = Image.open(io.BytesIO(answer.content))
    alpha = array[..., 3:].astype(np.float64)
    linear = np.where(alpha > 0, array[..., :3] / np.maximum(alpha, 1e-12), 0).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    wanted = 255 * np.concatenate((srgb, alpha), axis=2)
    assert picture.mode == "RGBA"
    assert np.abs(np.asarray(picture) - wanted).max() <= 0.5001
    assert "does not show a real person" in picture.info["Description"]
    assert portrait["weights_hash"] in picture.info["Source"] and "seed 7" in picture.info["Source"]
    made_from = json.loads(image_texts.unpack_recipe(picture.info["StyleRigRecipe"]))
    without_offsets = {name: value for name, value in portrait.items() if name != "offsets"}
    assert made_from["portrait"] == without_offsets and made_from["frames"][0]["rotation"] == [-0.4, 0, 0]


def test_mesh_describes_the_portraits_head(client, portrait):
    answer = client.post("/v1/portraits/mesh", json={"portrait": portrait})
    mesh = dict(np.load(io.BytesIO(answer.content), allow_pickle=False))
    rig = fake_rig.load()
    own = rig.new_portrait(7).parameters
    neutral = rig.face.vertices(own.identity, own.expression * 0)[0].numpy()
    np.testing.assert_allclose(mesh["vertices"], neutral, atol=1e-6)
    shown = neutral + np.einsum("e,evc->vc", mesh["expression_values"], mesh["expression"])
    np.testing.assert_allclose(shown, rig.face.vertices(own.identity, own.expression)[0].numpy(), atol=1e-4)
    assert list(mesh["expression_names"]) == rig.face.expression_names
    corners, count = int(mesh["polygon_sizes"].sum()), len(mesh["vertices"])
    assert mesh["corners"].shape == (corners,) and mesh["uv"].shape == (corners, 2)
    assert mesh["corners"].min() >= 0 and mesh["corners"].max() < count
    assert mesh["groups"].shape == (len(mesh["group_names"]), count)
    assert mesh["landmarks"].shape == (68,) and mesh["eye_centers"].shape == (2, 3)


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {fake_rig.TOKEN}", fake_rig.TOKEN])
def test_wrong_token(backend, header):
    with client_of(backend, Authorization=header) as stranger:
        error_of(stranger.get("/v1/health"), 401, "wrong_token")
        error_of(stranger.post("/v1/portraits", json={"seed": 1}), 401, "wrong_token")


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", "localhost.example.org:{port}", "::1"])
def test_wrong_host(backend, client, host):
    host = host.format(port=backend.ready["port"])
    error_of(client.get("/v1/health", headers={"Host": host}), 403, "wrong_host")


@pytest.mark.parametrize("origin", ["http://example.org", "null", "", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "http://localhost"])
def test_a_page_of_another_origin_is_refused(backend, client, origin):
    origin = origin.format(port=backend.ready["port"])
    error_of(client.get("/v1/health", headers={"Origin": origin}), 403, "foreign_origin")
    own = f"http://localhost:{backend.ready['port']}"
    assert client.get("/v1/health", headers={"Origin": own}).status_code == 200
    both = [("Origin", own), ("Origin", origin), ("Authorization", f"Bearer {fake_rig.TOKEN}")]
    error_of(httpx.get(f"{backend.url}/v1/health", headers=both, trust_env=False), 403, "foreign_origin")


def test_localhost_is_a_name_of_this_server(backend, client):
    answer = client.get("/v1/health", headers={"Host": f"LOCALHOST:{backend.ready['port']}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("size", [(1 << 20) + 1, 20 << 20])
def test_body_too_large(client, size):
    error_of(client.post("/v1/frames", content=b" " * size), 413, "too_large")


def test_body_too_large_without_a_length(client):
    parts = (b" " * 65536 for _ in range(40))
    error_of(client.post("/v1/frames", content=parts), 413, "too_large")


@pytest.mark.parametrize("size", [15, 2049, 0, -1, 10**400, 64.5, "64", True])
def test_size_out_of_bounds(client, portrait, size):
    error = post_frame(client, portrait, output={"size": size})
    assert "output.size" in error_of(error, 422, "invalid")["message"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "11", '"0.1"', "true", "null"])
def test_numbers_must_be_numbers(client, portrait, value):
    body = f'{{"portrait": {json.dumps(portrait)}, "controls": {{"rotation": [0, {value}, 0]}}}}'
    answer = client.post("/v1/frames", content=body, headers={"Content-Type": "application/json"})
    assert "controls.rotation.1" in error_of(answer, 422, "invalid")["message"]


@pytest.mark.parametrize(
    ("controls", "place"),
    [
        ({"rotation": [0, 0]}, "controls.rotation"),
        ({"light": [[0, 0, 0]] * 8}, "controls.light"),
        ({"scale": 0}, "controls.scale"),
        ({"scael": 1}, "controls.scael"),
        ({"expression": {"a\n" * 40: 1}}, "controls.expression"),
        ([], "controls"),
    ],
)
def test_controls_of_a_wrong_form(client, portrait, controls, place):
    assert place in error_of(post_frame(client, portrait, controls=controls), 422, "invalid")["message"]


def test_unknown_expression_names_the_nearest(client, portrait):
    answer = post_frame(client, portrait, controls={"expression": {"expresion3": 1}})
    error = error_of(answer, 400, "unknown_expression")
    assert "'expresion3'" in error["message"] and "'expression3'" in error["hint"]


def test_unknown_pass_and_pass_named_twice(client, portrait):
    for passes in (["Normals"], ["Normal", "Normal"]):
        answer = post_frame(client, portrait, output={"format": "raw", "passes": passes})
        assert "output.passes" in error_of(answer, 422, "invalid")["message"]


def test_portrait_of_other_weights(client, portrait):
    portrait["weights_hash"] = "0" * 64
    for path in ("/v1/frames", "/v1/portraits/mesh"):
        error = error_of(client.post(path, json={"portrait": portrait}), 409, "weights_missing")
        assert "00000000" in error["message"] and "seed was 7" in error["hint"]


def test_unknown_model(client):
    error_of(client.post("/v1/portraits", json={"model": "ffhq", "seed": 1}), 404, "unknown_model")


def test_w_must_fit(client, portrait):
    one = np.frombuffer(base64.b64decode(portrait["w"]), "<f4").reshape(6, 512).copy()
    one[2, 3] = np.nan
    text = lambda array: base64.b64encode(array.astype("<f4").tobytes()).decode()
    for change in (
        {"w_shape": [18, 512]},
        {"w": text(one[:5])},
        {"w": text(one[:5]), "w_shape": [5, 512]},
        {"w": text(one)},
        {"w": "not base64 ä"},
        {"w": ""},
    ):
        answer = client.post("/v1/frames", json={"portrait": {**portrait, **change}})
        assert "its w" in error_of(answer, 400, "bad_portrait")["message"]


def test_parameters_of_another_face_model(client, portrait):
    portrait["parameters"]["identity"] += [0.0]
    error = error_of(post_frame(client, portrait), 400, "bad_portrait")
    assert "9 identity parameters, the face model 8" in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"portrait": {"model": "\\ud800"}}', b"7" * 9000])
def test_a_body_that_is_not_a_request(client, body):
    answer = client.post("/v1/frames", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    error_of(answer, answer.status_code, answer.json()["error"]["code"])


def test_unknown_path_and_method(client):
    error_of(client.get("/v1/nothing"), 404, "not_found")
    error_of(client.get("/docs"), 404, "not_found")
    error_of(client.get("/v1/health/"), 404, "not_found")
    error_of(client.get("/v1/frames"), 405, "method_not_allowed")


def test_it_still_works_after_all_that(client, portrait):
    assert post_frame(client, portrait).status_code == 200


def post_frame(client, portrait, **parts) -> httpx.Response:
    body = json.dumps({"portrait": portrait, **parts})
    return client.post("/v1/frames", content=body, headers={"Content-Type": "application/json"})


# ---------------------------------------------------------------- faults


def test_a_fault_is_answered_without_its_traceback_and_logged():
    with fake_rig.served(FAKE_RIG_FAULT="fault") as backend, client_of(backend) as client:
        portrait = client.post("/v1/portraits", json={"seed": 7}).json()
        error = error_of(post_frame(client, portrait), 500, "internal")
        assert "ZeroDivisionError" in error["message"] and "made to fail" not in error["message"]
        assert client.get("/v1/health").json()["status"] == "ok"
        backend.process.stdin.close()
        backend.process.wait(60)
        assert "ZeroDivisionError: made to fail" in backend.process.stderr.read()


def test_too_little_memory_is_an_error_of_the_request():
    with fake_rig.served(FAKE_RIG_FAULT="memory") as backend, client_of(backend) as client:
        portrait = client.post("/v1/portraits", json={"seed": 7}).json()
        assert "smaller size" in error_of(post_frame(client, portrait), 422, "out_of_memory")["hint"]


@pytest.mark.parametrize("allocate", [lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50), lambda: bytes(1 << 50)])
def test_whoever_runs_out_of_memory_it_is_told_in_one_way(allocate):
    with pytest.raises(StyleRigError) as told, enough_memory():
        allocate()
    assert (told.value.code, status_of(told.value)) == ("out_of_memory", 422)


def test_another_error_of_torch_stays_what_it_is():
    with pytest.raises(RuntimeError, match="must match"), enough_memory():
        torch.zeros(2) + torch.zeros(3)


def test_a_picture_that_is_not_numbers_is_not_sent():
    with fake_rig.served(FAKE_RIG_FAULT="nan") as backend, client_of(backend) as client:
        portrait = client.post("/v1/portraits", json={"seed": 7}).json()
        for output in ({"format": "png"}, {"format": "raw"}):
            assert "Portrait" in error_of(post_frame(client, portrait, output=output), 422, "not_finite")["message"]


def test_missing_weights_are_told_by_every_answer():
    with fake_rig.served(FAKE_RIG_MISSING="1") as backend, client_of(backend) as client:
        for _ in range(2):
            error_of(client.post("/v1/portraits", json={"seed": 7}), 400, "missing_weights")
        health = client.get("/v1/health").json()
        assert health["status"] == "ok" and health["problem"]["code"] == "missing_weights"


def test_the_rig_is_loaded_once():
    calls = []

    def loader(device: str):
        calls.append(device)
        time.sleep(0.05)
        return fake_rig.load()

    lazy_rig = LazyRig(loader, "cpu")
    with ThreadPoolExecutor(8) as pool:
        rigs = set(map(id, pool.map(lambda _: lazy_rig.get(), range(8))))
    assert calls == ["cpu"] and len(rigs) == 1


def test_loading_is_tried_again_after_a_failure():
    answers = [StyleRigError("no weights"), fake_rig.load()]

    def loader(device: str):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lazy_rig = LazyRig(loader)
    with pytest.raises(StyleRigError, match="no weights"):
        lazy_rig.get()
    assert lazy_rig.problem is not None
    assert lazy_rig.get().name == "studio" and lazy_rig.problem is None


# ---------------------------------------------------------------- two at a time, newest first


def test_newer_requests_of_a_stream_supersede_waiting_ones():
    with fake_rig.served(FAKE_RIG_SECONDS="1") as backend, client_of(backend) as client:
        portrait = client.post("/v1/portraits", json={"seed": 7}).json()

        def ask(stream: str, yaw: float) -> tuple[httpx.Response, float]:
            with client_of(backend, **{"X-StyleRig-Supersede": stream}) as own:
                answer = post_frame(own, portrait, controls={"rotation": [yaw, 0, 0]})
                return answer, time.monotonic()

        with ThreadPoolExecutor(8) as pool:
            asked = []
            for stream, yaw in [("b", 0.1), ("c", 0.2), ("a", 0.3), ("a", 0.4), ("a", 0.5)]:
                asked.append(pool.submit(ask, stream, yaw))
                time.sleep(0.2)
            begun = time.monotonic()
            assert client.get("/v1/health").status_code == 200
            assert time.monotonic() - begun < 0.8  # does not wait for the frame at work
            (first, _), (other, _), (old, when), (older, _), (newest, last) = [job.result() for job in asked]
        assert [answer.status_code for answer in (first, other, newest)] == [200, 200, 200]
        error_of(old, 409, "superseded")
        error_of(older, 409, "superseded")
        assert when < last - 0.5  # told at once, not when its turn came
        assert newest.headers["X-StyleRig-Placement"].startswith("0.5,")


def test_two_jobs_run_at_a_time():
    running, most = 0, 0
    lock = threading.Lock()

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    async def together() -> None:
        worker = InferenceWorker()
        await asyncio.gather(*(worker.run(job) for _ in range(8)))
        assert len(worker.queue) == 0 and worker.running == set()
        worker.close()

    asyncio.run(together())
    assert most == 2


def test_threads_in_which_onednn_makes_no_more_code_are_used_no_more():
    def fail() -> None:
        raise RuntimeError("could not create a primitive")

    async def story() -> tuple[set[threading.Thread], set[threading.Thread]]:
        worker, found, both = InferenceWorker(), [], threading.Barrier(2)

        def meet() -> threading.Thread:
            both.wait(30)
            return threading.current_thread()

        for _ in range(2):
            found.append(set(await asyncio.gather(worker.run(meet), worker.run(meet))))
            with pytest.raises(StyleRigError, match="memory"):
                await worker.run(fail)
        worker.close()
        return tuple(found)

    before, after = asyncio.run(story())
    assert len(before) == len(after) == 2 and before.isdisjoint(after)


def test_too_many_waiting_requests_are_refused():
    """And where a live view's request waits, the newest takes its place, however full the queue is."""

    async def crowd() -> list:
        worker, go_on = InferenceWorker(), threading.Event()
        views = [Ticket("view") for _ in range(2)]
        tickets = [*(Ticket(client="one") for _ in range(MAX_CONCURRENT + MAX_QUEUED)), *views, Ticket(client="one"), Ticket(client="two")]
        jobs = [asyncio.create_task(worker.run(lambda: go_on.wait(30), ticket)) for ticket in tickets]
        await until(lambda: all(ticket.turn is not None for ticket in tickets))
        go_on.set()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        worker.close()
        return [getattr(result, "code", result) for result in results]

    *served, given_way, older, newer, refused, other = asyncio.run(crowd())
    assert served == [True] * (MAX_CONCURRENT + MAX_QUEUED - 1)
    assert (given_way, older, newer, refused, other) == ("busy", "superseded", True, "busy", True)


def test_nothing_is_drawn_for_a_client_that_went_away_before_its_turn(monkeypatch):
    """As when a render is cancelled: what waits behind the two frames that are being drawn would keep the next render waiting."""
    rig, begun, go_on = fake_rig.load(), [], threading.Event()
    portrait = serialization.portrait_to_schema(rig.new_portrait(7), rig).model_dump()

    def draw(_portrait, controls, **_output):
        begun.append(controls.rotation[0])
        go_on.wait(30)
        raise MemoryError

    monkeypatch.setattr(rig, "frame", draw)
    app = create_app(rig_library(lambda _device: rig), fake_rig.TOKEN)

    async def story() -> list[dict]:
        async with app.router.lifespan_context(app):
            stays, leaves = asyncio.Event(), asyncio.Event()
            calls = [asyncio.create_task(post_directly(app, portrait, yaw, stays)) for yaw in (0.1, 0.2)]
            await until(lambda: len(begun) == 2)
            calls += [asyncio.create_task(post_directly(app, portrait, yaw, end)) for yaw, end in ((0.3, leaves), (0.4, stays))]
            await asyncio.sleep(0.1)
            leaves.set()
            await asyncio.sleep(0.1)
            go_on.set()
            return await asyncio.gather(*calls)

    codes = [answer["error"]["code"] for answer in asyncio.run(story())]
    assert codes == ["out_of_memory", "out_of_memory", "client_gone", "out_of_memory"] and sorted(begun) == [0.1, 0.2, 0.4]


async def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)


async def post_directly(app, portrait: dict, yaw: float, end: asyncio.Event) -> dict:
    """The answer to a request for a frame, handed to the application without a server; ``end``: its client goes away."""
    request = {"portrait": portrait, "controls": {"rotation": [yaw, 0.0, 0.0]}, "output": {"format": "raw"}}
    come = [{"type": "http.request", "body": json.dumps(request).encode(), "more_body": False}]
    answer = []

    async def receive() -> dict:
        if not come:
            await end.wait()
            return {"type": "http.disconnect"}
        return come.pop()

    async def send(message: dict) -> None:
        answer.append(message.get("body", b""))

    headers = {"host": "127.0.0.1:1", "authorization": f"Bearer {fake_rig.TOKEN}", "content-type": "application/json"}
    scope = {
        "type": "http", "method": "POST", "path": "/v1/frames", "raw_path": b"/v1/frames", "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "scheme": "http", "http_version": "1.1",
        "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)
    return json.loads(b"".join(answer))


# ---------------------------------------------------------------- the process


def test_it_ends_when_stdin_closes():
    with fake_rig.served() as backend:
        backend.process.stdin.close()
        assert backend.process.wait(60) == 0
        assert backend.process.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly_when_told_to(number):
    with fake_rig.served() as backend:
        backend.process.send_signal(number)
        # 0 where this process was started with the signal ignored, as shells do for what runs behind.
        assert backend.process.wait(60) in (0, 128 + number)
        assert backend.process.stderr.read() == ""


def ask_in_vain(client, portrait) -> None:
    """Ask for a frame that is never answered."""
    with pytest.raises(httpx.HTTPError):
        post_frame(client, portrait)


def test_it_ends_when_stdin_closes_during_a_long_frame():
    with fake_rig.served(FAKE_RIG_SECONDS="60") as backend, client_of(backend) as client:
        portrait = client.post("/v1/portraits", json={"seed": 7}).json()
        asked = threading.Thread(target=ask_in_vain, args=(client, portrait))
        asked.start()
        time.sleep(0.3)
        backend.process.stdin.close()
        assert backend.process.wait(60) == 0
        asked.join()


def test_it_ends_with_the_process_that_started_it(tmp_path):
    """As when Blender is killed: nobody closes the pipe but the system."""
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'tests.helpers.fake_rig', 'serve', '--exit-with-stdin'],\n"
        "    stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "print(child.stdout.readline().decode(), end='', flush=True)\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=fake_rig.ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    ready = json.loads(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while accepts(ready["port"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not accepts(ready["port"])


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_without_a_token_one_is_made_and_works():
    with fake_rig.served(STYLERIG_TOKEN="") as backend:
        token = backend.ready["token"]
        assert len(token) >= 32
        with client_of(backend, Authorization=f"Bearer {token}") as client:
            assert client.get("/v1/health").status_code == 200
        with client_of(backend) as stranger:
            error_of(stranger.get("/v1/health"), 401, "wrong_token")


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements():
    """Nagle's algorithm is off, which asyncio does only for sockets that say they are TCP's."""

    async def accepted() -> int:
        options = asyncio.get_running_loop().create_future()

        async def note(_reader, writer) -> None:
            options.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = listen(0)
        async with await asyncio.start_server(note, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            no_delay = await options
            writer.close()
        return no_delay

    assert asyncio.run(accepted())


def test_it_listens_on_loopback_only():
    listener = listen(0)
    try:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(StyleRigError, match="cannot be used"):
            listener.listen()
            listen(listener.getsockname()[1])
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["--port", "70000"], {}, "There is no port 70000"),
        ([], {"STYLERIG_TOKEN": "short"}, "token in STYLERIG_TOKEN cannot be used"),
    ],
)
def test_serve_says_what_is_wrong(arguments, variables, message):
    process = fake_rig.start("serve", *arguments, **variables)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and out == ""
    assert message in errors and "hint: " in errors and "Traceback" not in errors


# ---------------------------------------------------------------- the real rig


@pytest.fixture(scope="module")
def real_backend():
    with fake_rig.served(FAKE_RIG_REAL="1") as running:
        yield running


@pytest.fixture
def real_client(real_backend):
    with client_of(real_backend) as opened:
        yield opened


@pytest.mark.slow
def test_the_real_rig_answers_every_request(real_client):
    [model] = real_client.get("/v1/models").json()
    portrait = real_client.post("/v1/portraits", json={"seed": 7}).json()
    output = {"format": "raw", "size": 64, "passes": PASSES}
    controls = {"expression": {"jawOpen": 0.5}, "rotation": [0.2, 0, 0]}
    answer = post_frame(real_client, portrait, controls=controls, output=output)
    array, channels = raw_frame(answer)
    npz = real_client.post("/v1/portraits/mesh", json={"portrait": portrait}).content
    mesh = np.load(io.BytesIO(npz), allow_pickle=False)
    expressions = len(model["expressions"])
    assert expressions == len(portrait["parameters"]["expression"]) >= 57
    assert array.shape == (64, 64, 34) == (64, 64, len(channels)) and np.isfinite(array).all()
    assert np.count_nonzero(array[..., channels.index("FaceMask.X")]) > 300
    assert mesh["polygon_sizes"].max() == 4 and mesh["expression"].shape[0] == expressions
    assert mesh["corners"].shape[0] == mesh["uv"].shape[0] == mesh["polygon_sizes"].sum()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_frame_that_memory_does_not_suffice_for_is_an_error_of_the_request(real_backend, real_client):
    portrait = real_client.post("/v1/portraits", json={"seed": 7}).json()
    small, large = ({"format": "raw", "size": size, "passes": PASSES} for size in (64, 2048))
    before = post_frame(real_client, portrait, output=small).content
    pid = real_backend.process.pid
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.prlimit(pid, resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
    try:
        for _ in range(2):
            answer = post_frame(real_client, portrait, output=large)
            assert "smaller size" in error_of(answer, 422, "out_of_memory")["hint"]
            assert post_frame(real_client, portrait, output=small).content == before
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("value", [1e3, -1e30, 3e38])
def test_a_latent_of_huge_numbers_is_refused(real_client, value):
    portrait = real_client.post("/v1/portraits", json={"seed": 7}).json()
    w = np.full(portrait["w_shape"], value, "<f4")
    huge = {"w": base64.b64encode(w.tobytes()).decode(), "w_shape": portrait["w_shape"]}
    for path, body in (("/v1/portraits", {"seed": 7, **huge}), ("/v1/frames", {"portrait": {**portrait, **huge}})):
        assert "within ±100" in error_of(real_client.post(path, json=body), 400, "bad_portrait")["message"]


def test_the_largest_latent_and_controls_give_a_picture_or_say_why_not(real_client):
    portrait = real_client.post("/v1/portraits", json={"seed": 7}).json()
    signs = np.sign(np.random.default_rng(0).standard_normal(portrait["w_shape"]))
    w = base64.b64encode((schema.MAX_LATENT * signs).astype("<f4").tobytes()).decode()
    answer = real_client.post("/v1/portraits", json={"seed": 7, "w": w, "w_shape": portrait["w_shape"]})
    # A model that maps of the rig steer cannot make a portrait of a latent alone.
    code = answer.json().get("error", {}).get("code")
    assert answer.status_code == 200 or (code in ("bad_portrait", "no_reconstruction") and error_of(answer, 400, code))
    controls = {"light": [[1000, -1000, 1000]] * 9, "rotation": [10, -10, 10], "scale": 8, "translation": [100, -100]}
    answer = post_frame(real_client, {**portrait, "w": w}, controls=controls, output={"format": "raw", "size": 64, "passes": PASSES})
    assert (answer.status_code == 422 and error_of(answer, 422, "not_finite")) or np.isfinite(raw_frame(answer)[0]).all()


def test_the_shipped_weights_are_served():
    from models.rigging.folders import WEIGHTS, model_names

    if not list(WEIGHTS.glob("*-generator.safetensors")):
        pytest.skip("no weights are there yet: the real rig was tested untrained")
    rig = fake_rig.real_rig()
    assert rig.name == model_names(WEIGHTS)[0] and len(rig.weights_hash) == 64
    frame = rig.frame(rig.new_portrait(seed=7), fake_rig.Controls(rotation=(0.3, 0.0, 0.0)), passes=())
    assert images.straight_srgb(frame["Combined"]).std() > 10


# ---------------------------------------------------------------- several models


def two_models() -> tuple[RigLibrary, list[str]]:
    """A library of two fake rigs and the names of those that were loaded."""
    loaded = []

    def load(name: str, weights_hash: str):
        loaded.append(name)
        rig = fake_rig.load()
        rig.name, rig.weights_hash = name, weights_hash
        return rig

    loaders = {"studio": lambda _device: load("studio", "a" * 64), "stylerig": lambda _device: load("stylerig", "b" * 64)}
    return RigLibrary(loaders), loaded


def test_a_portrait_finds_its_weights_whatever_they_are_called_now():
    library, loaded = two_models()
    assert library.of_weights("b" * 64, "studio").name == "stylerig" and loaded == ["studio", "stylerig"]
    assert library.of_weights("c" * 64, "stylerig").name == "stylerig"  # which tells what is missing
    assert library.of_weights(None, None).name == "studio" and len(loaded) == 2


def test_a_model_is_chosen_by_name_or_is_the_first():
    library, loaded = two_models()
    assert library.named(None).name == "studio" and library.named("stylerig").name == "stylerig" and loaded == ["studio", "stylerig"]
    with pytest.raises(StyleRigError, match="no model 'ffhq'") as caught:
        library.named("ffhq")
    assert caught.value.hint == "Use 'studio' or 'stylerig'."
