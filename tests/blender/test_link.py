"""Client, process, task and newest-only worker, over real HTTP and with real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import fake_backend
import numpy as np
import pytest

PORTRAIT = fake_backend.new_portrait(7, 0.7)
CONTROLS = {"rotation": [0.2, 0, 0], "expression": {"jawOpen": 0.5}, "light": None, "translation": None, "scale": 1.0}


@pytest.fixture(scope="module")
def backend():
    with fake_backend.FakeBackend() as server:
        yield server


@pytest.fixture
def client(part, backend):
    return part("client.http_client").Client(backend.port, backend.token)


@pytest.fixture
def settings(part, tmp_path):
    payload = fake_backend.make_payload(tmp_path / "payload")
    return part("client.process").LaunchSettings(Path(sys.executable), payload, tmp_path / "logs" / "backend.log", 30)


@pytest.fixture
def process(part):
    backend = part("client.process").BackendProcess()
    yield backend
    backend.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else True


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_health_portrait_and_mesh(client):
    assert client.health()["status"] == "ok"
    assert client.new_portrait(7, 0.7) == PORTRAIT
    arrays, expected = client.mesh(PORTRAIT), fake_backend.mesh_of(PORTRAIT)
    assert arrays.keys() == expected.keys()
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


def test_frame_is_cut_into_passes(client):
    passes = client.frame(PORTRAIT, CONTROLS, 32, ("FaceMask", "Normal", "Depth"))
    assert passes.pop("placement").tolist() == [0.2, 0, 0, 0, 0, 0]
    assert {name: pixels.shape for name, pixels in passes.items()} == {
        "Combined": (32, 32, 4), "FaceMask": (32, 32, 1), "Normal": (32, 32, 3), "Depth": (32, 32, 1)
    }  # fmt: skip
    assert np.array_equal(passes["Combined"], fake_backend.draw(CONTROLS, PORTRAIT, 32))
    assert passes["Depth"].max() == np.float32(1e10)


def test_png(client):
    assert client.frame_png(PORTRAIT, CONTROLS, 32).startswith(b"\x89PNG")


def test_a_request_is_written_as_json_whatever_kind_of_portrait_is_in_it(part):
    portrait = part("client.portrait")
    request = {"portrait": {"seed": 7, "w": 'a"b', "name": "Zoë"}, "controls": {}, "output": {"size": None, "passes": ["Depth"]}}
    known = portrait.Portrait(request["portrait"])
    for one in (request, request | {"portrait": known}, request | {"portrait": known}):
        assert json.loads(portrait.text_of(one)) == request
    assert known.text is known.text and json.loads(portrait.text_of({})) == {}


def test_wrong_token_is_told(part, backend):
    with pytest.raises(part("errors").UserError) as caught:
        part("client.http_client").Client(backend.port, "wrong").health()
    assert caught.value.code == "wrong_token"
    assert "start" in caught.value.hint


def test_the_backends_words_arrive(part, client):
    with pytest.raises(part("errors").UserError) as caught:
        client.frame({**PORTRAIT, "weights_hash": "other"}, CONTROLS)
    assert (caught.value.code, caught.value.hint) == ("weights_missing", "Install its model.")


def test_nobody_listening(part):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(part("errors").UserError) as caught:
        part("client.http_client").Client(port, "t").health()
    assert caught.value.code == "backend_gone"


@pytest.fixture
def impatient(part, monkeypatch):
    """Calls look every 50 ms whether the backend still answers, twice."""
    for name, value in {"POLL_SECONDS": 0.05, "POLLS_PER_CHECK": 1, "CHECK_SECONDS": 0.2, "MAX_SILENT_CHECKS": 2}.items():
        monkeypatch.setattr(part("client.http_client"), name, value)


def test_no_answer_at_all(part, impatient):
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(part("errors").UserError) as caught:
        part("client.http_client").Client(mute.getsockname()[1], "t", Path("/logs/b.log")).health()
    assert caught.value.code == "timeout" and str(Path("/logs/b.log")) in caught.value.hint


def test_a_slow_picture_is_waited_for_while_the_backend_answers(part, impatient):
    with fake_backend.FakeBackend(delay=2.0) as slow:
        frame = part("client.http_client").Client(slow.port, slow.token).frame(PORTRAIT, CONTROLS, 32)
        asked = [path for path, _body in slow.requests]
    assert np.array_equal(frame["Combined"], fake_backend.draw(CONTROLS, PORTRAIT, 32))
    assert asked.count("/v1/frames") == 1 and asked.count("/v1/health") >= 3


def test_a_call_that_was_given_up_ends(part):
    with fake_backend.FakeBackend(delay=20.0) as slow:
        client, cancelled, started = part("client.http_client").Client(slow.port, slow.token), threading.Event(), time.monotonic()
        threading.Timer(0.2, cancelled.set).start()
        with pytest.raises(part("errors").UserError) as caught:
            client.frame(PORTRAIT, CONTROLS, 32, cancelled=cancelled)
    assert caught.value.code == "cancelled" and time.monotonic() - started < 10


def test_a_backend_that_dies_while_it_draws_is_told_at_once(part, process, settings, monkeypatch):
    monkeypatch.setenv("STYLERIG_FAKE_DELAY", "100")
    client = process.client(settings)
    threading.Timer(0.5, os.kill, (process.pid, signal.SIGKILL)).start()
    started = time.monotonic()
    with pytest.raises(part("errors").UserError) as caught:
        client.frame(PORTRAIT, CONTROLS, 32)
    assert caught.value.code == "backend_gone" and str(settings.log) in caught.value.hint
    assert time.monotonic() - started < 10


def test_connections_are_kept_and_replaced(part):
    with fake_backend.FakeBackend() as server:
        client = part("client.http_client").Client(server.port, server.token)
        for _ in range(3):
            client.frame(PORTRAIT, CONTROLS, 16)
        assert server.connections == 1
        client._idle[0].sock.shutdown(socket.SHUT_RDWR)  # as when the server ends one that was idle for long
        assert client.health()["status"] == "ok" and server.connections == 2
        with pytest.raises(part("errors").UserError):
            client.frame({**PORTRAIT, "weights_hash": "other"}, CONTROLS)
        assert client.health()["status"] == "ok" and server.connections == 2  # a refusal is an answer
        kept = client._idle[0].sock
        client.close()
        assert kept.fileno() == -1 and not client._idle


def test_calls_at_the_same_time_have_connections_of_their_own(part):
    with fake_backend.FakeBackend(delay=0.5) as server:
        client = part("client.http_client").Client(server.port, server.token)
        tasks = [part("client.tasks").Task(lambda: client.frame(PORTRAIT, CONTROLS, 16)) for _ in range(3)]
        pictures = [task.result()["Combined"] for task in tasks]
        assert server.connections == 3 and all(np.array_equal(picture, pictures[0]) for picture in pictures)


@pytest.mark.parametrize(
    ("status", "body"), [(502, b"Bad Gateway"), (500, b'{"error": {"code": "internal", "message": "It failed {x}.", "hint": "?"}}')]
)
def test_faults_of_the_backend_name_its_log(part, status, body):
    error = part("client.http_client").error_from(status, body, Path("/logs/b.log"))
    assert str(Path("/logs/b.log")) in error.hint and ("502" in error.message or error.message == "It failed {x}.")
    assert part("translations").tr_error(error) == str(error)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"1234", {"x-array-shape": "1,1,2", "x-array-type": "<f4", "x-array-channels": "A.X,A.Y"}),
        (b"1234", {"x-array-shape": "1,1,1", "x-array-type": "rubbish", "x-array-channels": "A.X"}),
        (b"1234", {"x-array-shape": "1,1,1", "x-array-type": "<f4", "x-array-channels": "A.X,A.Y"}),
    ],
)
def test_pixels_that_do_not_fit_their_headers(part, body, headers):
    with pytest.raises(part("errors").UserError) as caught:
        part("client.http_client").split_passes(body, headers)
    assert caught.value.code == "bad_answer"


def test_pixels_cut_into_passes(part):
    pixels = np.arange(2 * 2 * 5, dtype="<f4").reshape(2, 2, 5)
    headers = {"x-array-shape": "2,2,5", "x-array-type": "<f4", "x-array-channels": "Combined.R,Combined.G,Combined.B,Combined.A,Depth.Z"}
    passes = part("client.http_client").split_passes(pixels.tobytes(), headers)
    assert np.array_equal(passes["Combined"], pixels[..., :4]) and np.array_equal(passes["Depth"], pixels[..., 4:])
    assert all(one.flags.c_contiguous for one in passes.values())


def test_placement_header(part):
    read = part("client.http_client").read_placement
    assert read({"x-stylerig-placement": "0.1,0.2,0.3,1,2,3"})["placement"].tolist() == [0.1, 0.2, 0.3, 1, 2, 3]
    for headers in ({}, {"x-stylerig-placement": "0.1,x"}, {"x-stylerig-placement": "0.1,0.2"}):
        with pytest.raises(part("errors").UserError, match="cannot be read"):
            read(headers)


def test_arrays_that_are_none(part):
    with pytest.raises(part("errors").UserError):
        part("client.http_client").read_arrays(b"PK\x03\x04 nonsense")


def test_start_use_stop(process, settings):
    client = process.client(settings)
    pid = process.pid
    assert client.health()["version"] == "fake"
    assert process.client(settings) is client  # no second one
    process.stop()
    assert not alive(pid) and not process.running


def test_old_logs_go(process, settings):
    folder = settings.log.parent
    folder.mkdir()
    old, young = folder / "backend-1.log", folder / "backend-2.log"
    older = folder / "backend-1.log.1"
    for log in (old, older, young):
        log.write_text("")
    for log in (old, older):
        os.utime(log, (0, 0))
    process.client(settings)
    assert young.exists() and not old.exists() and not older.exists()


@pytest.mark.parametrize("target", ["nowhere", "folder", "victim"])
def test_a_log_that_is_a_link_is_replaced(process, settings, tmp_path, target):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "folder").mkdir()
    settings.log.parent.mkdir()
    for log in (settings.log, settings.log.with_name("backend-1.log")):
        log.symlink_to(tmp_path / target)
    assert process.client(settings).health()["status"] == "ok"
    assert settings.log.is_file() and not settings.log.is_symlink() and victim.read_text() == "precious"


def test_a_log_that_cannot_be_written_is_done_without(part, process, settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings.log.mkdir(parents=True)
    for log in (settings.log, tmp_path / "file" / "backend.log"):
        without = part("client.process").LaunchSettings(settings.python, settings.payload, log, 30)
        assert process.client(without).health()["status"] == "ok"
        process.stop()


def test_the_folder_of_own_rigs_reaches_the_backend(part, process, settings, tmp_path, monkeypatch):
    preferences, manager = part("settings").preferences(), part("client.backend_manager")
    preferences.rigs = str(tmp_path / "rigs")
    chosen = manager.launch_settings().rigs
    preferences.rigs = ""
    assert chosen == tmp_path / "rigs" and manager.launch_settings().rigs is None
    started, launch = [], part("client.process").subprocess.Popen
    monkeypatch.setattr(part("client.process").subprocess, "Popen", lambda *a, **k: started.append(k["env"]) or launch(*a, **k))
    process.client(dataclasses.replace(settings, rigs=tmp_path / "rigs"))
    assert started[0]["STYLERIG_RIGS"] == str(tmp_path / "rigs")


HOST_VARIABLES = {
    "PYTHONSAFEPATH": "1", "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONPLATLIBDIR": "nowhere", "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2", "PYTHONIOENCODING": "utf-16", "PYTHONUNBUFFERED": "", "PYTHONVERBOSE": "3", "PYTHONCASEOK": "1",
    "PYTHONNOUSERSITE": "", "PYTHONUSERBASE": "/nowhere", "PYTHONPYCACHEPREFIX": "/nowhere", "__PYVENV_LAUNCHER__": "/nowhere", "VIRTUAL_ENV": "/nowhere",
}  # fmt: skip


def test_what_is_meant_for_the_hosts_python_does_not_reach_the_backend(part, process, settings, monkeypatch):
    for name, value in HOST_VARIABLES.items():
        monkeypatch.setenv(name, value)
    client = process.client(settings)
    assert client.health()["status"] == "ok"
    assert not HOST_VARIABLES.keys() & part("client.process").clean_environment().keys()
    own = Path(f"/proc/{process.pid}/environ")
    if own.exists():
        names = {entry.partition("=")[0] for entry in own.read_text().split("\0")}
        assert names & HOST_VARIABLES.keys() == {"PYTHONUNBUFFERED"}  # our own


def test_token_is_not_on_the_command_line(process, settings):
    client = process.client(settings)
    command = Path(f"/proc/{process.pid}/cmdline")
    if not command.exists():
        pytest.skip("needs /proc")
    assert client.token not in command.read_text()


def test_a_killed_backend_is_started_again(process, settings):
    first = process.client(settings)
    pid = process.pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not process.running)
    second = process.client(settings)
    assert second.health()["status"] == "ok" and process.pid != pid
    assert second.token != first.token


def test_the_backend_ends_with_its_parent(settings, extension):
    """As when Blender crashes: nothing but the closed pipe tells the backend."""
    import subprocess

    script = (
        "import sys, time, pathlib, importlib, types; sys.path.insert(0, sys.argv[1])\n"
        "package = types.ModuleType('addon'); package.__path__ = [sys.argv[1]]; sys.modules['addon'] = package\n"
        "from addon.client.process import BackendProcess, LaunchSettings\n"
        "backend = BackendProcess()\n"
        "backend.client(LaunchSettings(pathlib.Path(sys.executable), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), 30))\n"
        "print(backend.pid, flush=True); time.sleep(60)\n"
    )
    folder = Path(extension.__file__).parent
    arguments = [sys.executable, "-c", script, str(folder), str(settings.payload), str(settings.log)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    wait_for(lambda: not alive(pid))


def test_no_environment(part, process, settings):
    for python in (None, settings.payload / "no" / "python"):
        missing = part("client.process").LaunchSettings(python, settings.payload, settings.log)
        with pytest.raises(part("errors").UserError) as caught:
            process.client(missing)
        assert caught.value.code == "no_environment" and "preferences" in caught.value.hint


def test_no_payload(part, process, settings, tmp_path):
    with pytest.raises(part("errors").UserError) as caught:
        process.client(part("client.process").LaunchSettings(settings.python, tmp_path / "empty", settings.log))
    assert caught.value.code == "no_payload"


def test_not_a_python(part, process, settings, tmp_path):
    text = tmp_path / "python"
    text.write_text("not a program")
    with pytest.raises(part("errors").UserError) as caught:
        process.client(part("client.process").LaunchSettings(text, settings.payload, settings.log))
    assert caught.value.code == "cannot_start"


def test_a_backend_that_crashes_says_why(part, process, settings, monkeypatch):
    monkeypatch.setenv("STYLERIG_FAKE", "crash")
    with pytest.raises(part("errors").UserError) as caught:
        process.client(settings)
    assert caught.value.code == "start_failed"
    assert "torch" in caught.value.message and "environment" in caught.value.message
    monkeypatch.delenv("STYLERIG_FAKE")
    assert process.client(settings).health()["status"] == "ok"


def test_a_backend_that_is_never_ready(part, process, settings, monkeypatch):
    monkeypatch.setenv("STYLERIG_FAKE", "silent")
    patient = part("client.process").LaunchSettings(settings.python, settings.payload, settings.log, 1.0)
    with pytest.raises(part("errors").UserError) as caught:
        process.client(patient)
    assert caught.value.code == "start_timeout" and not process.running


def test_stopping_while_it_starts(part, process, settings, monkeypatch):
    monkeypatch.setenv("STYLERIG_FAKE", "silent")
    task = part("client.tasks").Task(lambda: process.client(settings))
    wait_for(lambda: process.starting and process._process is not None)
    started = time.monotonic()
    process.stop()
    with pytest.raises(part("errors").UserError):
        task.result()
    assert time.monotonic() - started < 10


def test_session_finds_the_environment(part, monkeypatch, no_backend_environment):
    session = part("client.backend_manager")
    assert session.backend_python() is None
    with pytest.raises(part("errors").UserError) as caught:
        session.backend_client()
    assert caught.value.code == "no_environment"
    monkeypatch.setenv("STYLERIG_PYTHON", sys.executable)
    assert session.backend_python() == Path(sys.executable)
    monkeypatch.setenv("STYLERIG_PAYLOAD", "/somewhere")
    assert session.payload_folder() == Path("/somewhere")
    monkeypatch.delenv("STYLERIG_PAYLOAD")
    assert (session.payload_folder() / "backend").is_dir()


def test_only_the_newest_request_is_answered(part):
    started, gate, worked = threading.Event(), threading.Event(), []

    def work(request):
        worked.append(request)
        started.set()
        gate.wait(10)
        return request

    worker = part("live.latest_only_worker").LatestOnlyWorker(work)
    worker.submit(0)
    started.wait(10)
    for request in range(1, 50):
        worker.submit(request)
    gate.set()
    wait_for(lambda: not worker.busy)
    assert worked == [0, 49]
    assert worker.take().value == 49 and worker.take() is None
    worker.stop()


def test_a_request_is_tried_again_when_the_backend_went_away(part):
    errors = [part("errors").UserError("backend_gone", "gone")]

    def work(request):
        if errors:
            raise errors.pop()
        return request

    worker = part("live.latest_only_worker").LatestOnlyWorker(work)
    worker.submit("a")
    wait_for(lambda: not worker.busy)
    assert worker.take().value == "a"
    worker.stop()


def test_faults_reach_the_person(part):
    worker = part("live.latest_only_worker").LatestOnlyWorker(lambda request: 1 / request)
    worker.submit(0)
    wait_for(lambda: not worker.busy)
    assert worker.take().error.code == "internal"
    worker.stop()
    with pytest.raises(part("errors").UserError, match="ZeroDivisionError"):
        part("client.tasks").Task(lambda: 1 / 0).result()
