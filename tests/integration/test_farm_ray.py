"""A real Ray cluster of two workers: whatever is killed, the frames are those of one process, byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.cli import main
from backend.farm.here import render_here
from backend.farm.jobs import RigFileJob
from backend.farm.on_ray import Libraries, render_on_ray
from backend.farm.ray_crew import own_token
from backend.farm.report import Report
from backend.farm.weights import Weights, missing_looks
from backend.protocol.frames import PASSES
from backend.server.inference import read_rig, rig_library
from backend.server.schema import parse_rig_file
from models.errors import StyleRigError
from models.evaluation.control import sheets
from models.generators import Generator, GeneratorConfig, save_generator
from models.synthetic import __main__ as synthetic
from models.synthetic.blender.process import default_python
from models.translation.files import digest
from models.translation.library import library
from tests.helpers import fake_rig
from tests.helpers.looks import library_in, write_look
from tests.helpers.untrained_rig import untrained_rig

FRAMES = 12
HAS_RAY = importlib.util.find_spec("ray") is not None  # it reads its variables when it is imported
CLUSTER = """
import sys
from backend.farm.ray_crew import cluster
with cluster("local", 2) as ray:
    print(ray.get_runtime_context().gcs_address, file=sys.__stdout__, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster with two processors, which ends with this module."""
    if not HAS_RAY:
        pytest.skip("needs the extra 'ray'")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own_token().items():  # drivers of this cluster need it too
            patch.setenv(name, value)
        variables = os.environ | {"FAKE_RIG_SECONDS": "0.1"}
        with subprocess.Popen([sys.executable, "-c", CLUSTER], cwd=fake_rig.ROOT, env=variables, **pipes) as process:
            yield process.stdout.readline().strip()
            process.stdin.close()
            process.wait(60)


def rig_file(folder: Path, count: int = FRAMES, **changed) -> Path:
    """``changed``: frame number as in f3 -> its controls."""
    frames = [changed.get(f"f{number}", {"rotation": [number / 200, 0, 0]}) for number in range(1, count + 1)]
    path = folder / "shot.json"
    path.write_text(json.dumps({"portrait": {"seed": 7}, "frames": frames, "output": {"size": 32, "passes": ["Normal"]}}))
    return path


def pixels(path: Path) -> bytes:
    return np.asarray(Image.open(path)).tobytes()


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.???"))}


def start(path: Path, out: Path, address: str) -> subprocess.Popen:
    return fake_rig.start("render", str(path), "--output", str(out), "--ray", address, "--workers", "2", "--json-log")


def next_event(driver: subprocess.Popen) -> dict:
    line = driver.stdout.readline()
    assert line, driver.stderr.read()
    return json.loads(line)


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def is_worker(pid: int, title: bytes = b"ray::") -> bool:
    """Whether this process is one of Ray's: numbers of processes that are gone are given again."""
    with contextlib.suppress(OSError):
        return title in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def kill_a_worker(event: dict) -> None:
    pid = int(event["worker"].rpartition(":")[2])
    assert is_worker(pid) or not Path("/proc/self").exists()
    os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(os.name == "nt", reason="Ray's workers are killed by a signal that Windows has not")
def test_workers_and_driver_are_killed_and_nothing_is_lost(tmp_path, address, capsys):
    path, out, alone = rig_file(tmp_path), tmp_path / "out", tmp_path / "alone"
    assert main.main(["render", str(path), "--output", str(alone)], rig_loader=fake_rig.load) == 0

    driver = start(path, out, address)
    assert next_event(driver)["event"] == "begin"
    kill_a_worker(next_event(driver))
    while (event := next_event(driver))["event"] == "frame":
        pass
    assert event["event"] == "notice" and "A worker was lost" in event["text"]
    driver.kill()
    driver.communicate()
    left = {name: (out / name).stat().st_mtime_ns for name in pictures(out)}
    assert 1 <= len(left) < FRAMES

    driver = start(path, out, address)
    told, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
    end = events(told)[-1]
    assert end["drawn"] + end["kept"] == FRAMES and end["kept"] >= len(left) and end["failed"] == []
    assert pictures(out) == pictures(alone)
    assert {name: (out / name).stat().st_mtime_ns for name in left} == left


def test_a_cluster_of_other_weights_is_refused_before_the_first_frame(tmp_path, address, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_RIG_WEIGHTS", "0" * 64)
    command = ["render", str(rig_file(tmp_path)), "--output", str(tmp_path / "out"), "--ray", address, "--workers", "1"]
    assert main.main(command, rig_loader=fake_rig.load) == 2
    errors = capsys.readouterr().err
    assert "A worker is not like this program: its weights_hash ffffffffffff instead of 000000000000." in errors
    assert pictures(tmp_path / "out") == {}


def tiny_weights(folder: Path) -> Path:
    """A folder with the files of a rig that draws 32 pixels, like no other."""
    generator = Generator.create(GeneratorConfig(resolution=32, channels={4: 16, 8: 16, 16: 16, 32: 16}), seed=random.randrange(2**31))
    rig = untrained_rig(generator=generator, hidden=8)
    save_generator(generator, folder / "tiny-generator.safetensors")
    rig.reconstruction.save(folder / "tiny-reconstruction.safetensors", {})
    rig.networks.save(folder / "tiny-rignet.safetensors", {})
    return folder


def test_workers_without_the_weights_get_those_of_the_driver(tmp_path, address, request):
    here, there = tiny_weights(tmp_path), tmp_path / "there"
    there.mkdir()
    shutil.copy(here / "tiny-rignet.safetensors", there)  # lacks two files
    (there / "tiny-generator.safetensors").write_bytes(b"others")
    frames = parse_rig_file(rig_file(tmp_path, 3).read_bytes(), "shot.json")
    job, alone = (RigFileJob(frames, tmp_path / name, "png", [1, 2, 3]) for name in ("farm", "alone"))
    library = rig_library(None, "cpu", read_rig, here)
    weights = Weights.of(library, library.named(None))
    request.addfinalizer(partial(shutil.rmtree, weights.brought(), ignore_errors=True))
    for folder in (job.folder, alone.folder):
        folder.mkdir()
    assert render_here(alone, library, False, Report(3, "frame", "")) == 0
    libraries = Libraries(*(partial(rig_library, None, load=read_rig, folder=folder) for folder in (here, there)))
    render = partial(render_on_ray, job, libraries, "cpu", address, 2)
    assert render(Report(3, "frame", "")) == 0
    assert pictures(job.folder) == pictures(alone.folder) and len(pictures(alone.folder)) == 3
    brought = {path.name: path.stat().st_mtime_ns for path in weights.brought().iterdir()}
    assert sorted(brought) == sorted(weights.hashes) and len(brought) == 3 and not weights.lacking_in(weights.brought())

    (job.folder / "frame_0002.png").unlink()  # another worker on this machine
    assert render(Report(3, "frame", "")) == 0
    assert pictures(job.folder) == pictures(alone.folder)
    assert {path.name: path.stat().st_mtime_ns for path in weights.brought().iterdir()} == brought


class Elsewhere(type(Path())):
    """A path that other processes cannot use, as it would be on another machine."""

    def __reduce__(self):
        return Path, (f"/elsewhere/{self.name}",)


@pytest.fixture
def looks_elsewhere(tmp_path, monkeypatch, request) -> Path:
    """A folder of looks that only this process has."""
    folder = Elsewhere(tmp_path / "looks")
    folder.mkdir()
    with library_in(folder):
        monkeypatch.setattr(library(), "folders", [folder])
        yield folder


def brought_looks(request, *files: Path) -> Path:
    """The folder to which these are brought, which is gone after the test."""
    folder = Weights.of_looks({digest(file): file for file in files}).brought()
    request.addfinalizer(partial(shutil.rmtree, folder, ignore_errors=True))
    return folder


def test_workers_without_the_looks_of_a_rig_file_get_those_of_the_driver(tmp_path, address, looks_elsewhere, request):
    painted = {"looks": [{"name": "painting", "strength": 0.7}, {"name": "attributes", "label": "beard"}]}
    frames = parse_rig_file(rig_file(tmp_path, 3, f1=painted, f2={"looks": painted["looks"][:1]}, f3={}).read_bytes(), "shot.json")
    job, alone = (RigFileJob(frames, tmp_path / name, "png", [1, 2, 3]) for name in ("farm", "alone"))
    for folder in (job.folder, alone.folder):
        folder.mkdir()
    brought = brought_looks(request, *(looks_elsewhere / f"{name}.safetensors" for name in ("painting", "attributes")))
    open_library = partial(rig_library, None, load=read_rig, folder=tiny_weights(tmp_path))
    assert render_here(alone, open_library("cpu"), False, Report(3, "frame", "")) == 0
    assert len(set(map(pixels, alone.folder.iterdir()))) == 3
    assert render_on_ray(job, Libraries(open_library, open_library), "cpu", address, 2, Report(3, "frame", "")) == 0
    assert pictures(job.folder) == pictures(alone.folder)
    assert sorted(path.name for path in brought.rglob("*.*")) == ["attributes.safetensors", "painting.safetensors"]


def test_a_worker_draws_with_the_look_of_the_driver_and_not_with_its_own_of_that_name(tmp_path, looks_elsewhere):
    job = RigFileJob(
        parse_rig_file(rig_file(tmp_path, 1, f1={"looks": [{"name": "painting"}]}).read_bytes(), "shot.json"), tmp_path, "png", [1]
    )
    [(known, file)] = job.looks().items()
    (tmp_path / "own").mkdir()
    with library_in(tmp_path / "own"):
        write_look(tmp_path / "own", "painting", seed=2)
        assert missing_looks(Weights.of_looks({known: tmp_path / "absent"})) == [f"{known}/absent"]
        with pytest.raises(StyleRigError, match=r"'painting' here .* is another"):
            job.looks()
        assert missing_looks(Weights.of_looks({known: file})) == []
        assert job.looks() == {known: file}


def test_weights_that_changed_on_their_way_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    weights = Weights({"a": tmp_path / "a"}, {"a": hashlib.sha256(b"whole").hexdigest()})
    with pytest.raises(StyleRigError, match="a arrived with other bytes"):
        weights.keep("a", b"half")
    assert weights.lacking_in(weights.brought()) == ["a"]
    weights.keep("a", b"whole")
    assert weights.lacking_in(weights.brought()) == []


def test_where_nothing_is_missing_no_cluster_is_asked(tmp_path, capsys):
    path, out = rig_file(tmp_path), tmp_path / "out"
    assert main.main(["render", str(path), "--output", str(out)], rig_loader=fake_rig.load) == 0
    command = ["render", str(path), "--output", str(out), "--ray", "192.0.2.1:1"]
    assert main.main(command, rig_loader=fake_rig.load) == 0
    assert f"0 frames rendered, {FRAMES} were there" in capsys.readouterr().out


def test_a_job_that_does_not_fit_is_told_before_any_cluster(tmp_path, capsys):
    path = rig_file(tmp_path, f3={"expression": {"smile": 1}})
    command = ["render", str(path), "--output", str(tmp_path / "out"), "--ray", "192.0.2.1:1"]
    assert main.main(command, rig_loader=fake_rig.load) == 2
    assert "no expression 'smile'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_frame_that_ends_its_worker_is_given_up(tmp_path, address, capsys):
    path = rig_file(tmp_path, f3={"rotation": [0, 0, fake_rig.DEADLY]})
    driver = start(path, tmp_path / "out", address)
    told, errors = driver.communicate(timeout=240)
    assert driver.returncode == 3, errors
    assert events(told)[-1]["failed"] == [3] and len(pictures(tmp_path / "out")) == FRAMES - 1
    [failed] = [event for event in events(told) if event["event"] == "failed"]
    assert failed["code"] == "worker_lost" and "ended its worker" in failed["message"]


@pytest.mark.slow
def test_samples_are_those_of_one_process(tmp_path, address):
    command = ["sample", "--seeds", "1", "2", "3", "4", "5", "--share", "light"]
    for name, options in (("alone", []), ("farm", ["--ray", address, "--workers", "2"])):
        assert main.main([*command, "--output", str(tmp_path / name), *options], rig_loader=fake_rig.load) == 0
    assert len(pictures(tmp_path / "alone")) == 5 and pictures(tmp_path / "alone") == pictures(tmp_path / "farm")


def test_a_look_that_is_not_here_is_told_before_any_cluster(tmp_path, capsys, looks_elsewhere):
    path = rig_file(tmp_path, f3={"looks": [{"name": "absent"}]})
    command = ["render", str(path), "--output", str(tmp_path / "out"), "--ray", "192.0.2.1:1"]
    assert main.main(command, rig_loader=fake_rig.load) == 2
    assert "There is no look called 'absent'." in capsys.readouterr().err


def test_looks_are_put_on_as_by_one_process(tmp_path, address, capsys, looks_elsewhere, request):
    brought = brought_looks(request, looks_elsewhere / "styles.safetensors")
    (tmp_path / "in").mkdir()
    for number in range(1, 6):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"f_{number:02}.png")
    look = ["--look", "styles", "--label", "old", "--style", "3", "--strength", "0.7"]
    command = ["look", str(tmp_path / "in"), *look, "--output"]
    assert main.main([*command, str(tmp_path / "alone")]) == 0
    farm = [*command, str(tmp_path / "farm"), "--ray", address, "--workers", "2", "--json-log"]
    assert main.main(farm) == 0
    assert len(pictures(tmp_path / "alone")) == 5 and pictures(tmp_path / "alone") == pictures(tmp_path / "farm")
    (tmp_path / "farm" / "f_03.png").write_bytes(b"cut off")
    assert [path.name for path in brought.rglob("*.*")] == ["styles.safetensors"]
    capsys.readouterr()
    assert main.main(farm) == 0  # goes on with what is missing
    assert events(capsys.readouterr().out)[-1]["drawn"] == 1
    assert pictures(tmp_path / "alone") == pictures(tmp_path / "farm")


def test_the_sheets_of_a_rig_are_those_of_one_process(tmp_path, address, capsys, monkeypatch):
    for name, number in (("PEOPLE", 5), ("ROWS", 1), ("SECONDS", 1)):
        monkeypatch.setattr(sheets, name, number)
    command = ["evaluate", "sheets", "--size", "16", "--film", "3", "--output"]
    assert main.main([*command, str(tmp_path / "alone")], rig_loader=fake_rig.load) == 0
    farm = [*command, str(tmp_path / "farm"), "--ray", address, "--workers", "2", "--json-log"]
    assert main.main(farm, rig_loader=fake_rig.load) == 0
    assert len(pictures(tmp_path / "alone")) == 7 and pictures(tmp_path / "alone") == pictures(tmp_path / "farm")
    (tmp_path / "farm" / "turns.jpg").unlink()
    (tmp_path / "farm" / "pictures" / "0007.png").write_bytes(b"cut off")
    capsys.readouterr()
    assert main.main(farm, rig_loader=fake_rig.load) == 0
    assert events(capsys.readouterr().out)[-1]["drawn"] == 1
    assert pictures(tmp_path / "alone") == pictures(tmp_path / "farm")


def test_people_need_a_blender_before_any_cluster_is_asked(tmp_path, capsys):
    command = ["data", "people", "--people", "1", "--output", str(tmp_path / "set"), "--blender-python", "no-such-python"]
    assert main.main([*command, "--ray", "192.0.2.1:1"]) == 2
    assert "No Blender answers at no-such-python" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not Path(default_python()).exists(), reason="needs the environment of Blender: python build.py setup")
def test_people_are_photographed_as_by_one_process(tmp_path, address, capsys):
    set_of = lambda name: ["--people", "2", "--size", "32", "--large-size", "32", "--seed", "3", "--output", str(tmp_path / name)]
    assert synthetic.main([*set_of("alone"), "--workers", "1"]) == 0
    farm = ["data", "people", *set_of("farm"), "--ray", address, "--workers", "2", "--json-log"]
    assert main.main(farm) == 0
    made = lambda name: {path.name: path.read_bytes() for path in (tmp_path / name).rglob("0*.*")}
    assert len(made("alone")) == 16 and made("alone") == made("farm")  # pictures and their truth
    next((tmp_path / "farm").rglob("000005.png")).unlink()
    capsys.readouterr()
    assert main.main(farm) == 0
    end = events(capsys.readouterr().out)[-1]
    assert (end["drawn"], end["kept"]) == (1, 1) and made("alone") == made("farm")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_cluster_of_this_command_alone_ends_with_it(tmp_path):
    if not HAS_RAY:
        pytest.skip("needs the extra 'ray'")
    out = tmp_path / "out"
    driver = fake_rig.start(
        "render", str(rig_file(tmp_path)), "--output", str(out), "--ray", "local", "--workers", "1", "--json-log", FAKE_RIG_SECONDS="1"
    )
    next_event(driver)
    worker = int(next_event(driver)["worker"].rpartition(":")[2])
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=60)
    assert driver.returncode == 128 + signal.SIGTERM
    ended = time.monotonic() + 30
    while is_worker(worker) and time.monotonic() < ended:
        time.sleep(0.1)
    assert not is_worker(worker)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds workers in /proc")
def test_twenty_kills_of_workers_and_two_of_the_driver(tmp_path, address, capsys):
    """200 frames; a kill comes at any moment of the frame that is being drawn."""
    path, out, alone, lot = rig_file(tmp_path, 200), tmp_path / "out", tmp_path / "alone", random.Random(1)
    assert main.main(["render", str(path), "--output", str(alone)], rig_loader=fake_rig.load) == 0
    worker_kills, driver_kills, drawn, began = sorted(lot.sample(range(5, 180), 20)), [66, 133], 0, time.monotonic()
    driver = start(path, out, address)
    while (event := next_event(driver))["event"] != "end":
        drawn += event["event"] == "frame" and not event["kept"]
        if worker_kills and drawn >= worker_kills[0]:
            time.sleep(lot.uniform(0, 0.2))
            del worker_kills[: kill_any_worker(lot)]
        if driver_kills and drawn >= driver_kills[0]:
            del driver_kills[0]
            driver.kill()
            driver.communicate()
            driver = start(path, out, address)
    assert driver.wait(60) == 0 and not worker_kills and not driver_kills
    driver.communicate()
    assert pictures(out) == pictures(alone) and len(pictures(out)) == 200
    assert drawn <= 200  # none twice; those that a killed driver was not told of are there
    with capsys.disabled():
        print(f"\n20 workers and 2 drivers killed, {drawn} of 200 frames told as drawn, {time.monotonic() - began:.0f} s")


def kill_any_worker(lot: random.Random) -> int:
    """How many were killed: one, if there is one."""
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and is_worker(int(path.name), b"ray::RayWorker")]
    if found:
        os.kill(lot.choice(sorted(found)), signal.SIGKILL)
    return min(len(found), 1)


@pytest.mark.slow
def test_the_rig_that_ships_draws_the_same_on_ray(tmp_path, run_python):
    """All passes; a worker has one processor, one process has all."""
    if not HAS_RAY:
        pytest.skip("needs the extra 'ray'")
    path = rig_file(tmp_path, 3)
    for name, options in (("alone", []), ("farm", ["--ray", "local", "--workers", "2"])):
        command = [sys.executable, "-m", "backend", "render", path, "--output", tmp_path / name, "--size", 64, "--format", "exr"]
        answer = run_python([*command, "--device", "cpu", "--passes", *PASSES, *options])
        if "no weights" in answer.stderr:
            pytest.skip("no weights are there yet")
        assert answer.returncode == 0, answer.stderr
    assert len(pictures(tmp_path / "alone")) == 3 and pictures(tmp_path / "alone") == pictures(tmp_path / "farm")
