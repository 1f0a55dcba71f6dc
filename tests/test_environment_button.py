"""Making the backend's environment as the extension's button does, with an interpreter and a pip that only act."""

from __future__ import annotations

import errno
import importlib
import json
import os
import stat
import sys
import time
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the acting interpreter is a script with a shebang")

ACTOR = '''#!{python} -IS
"""An interpreter that acts as venv, pip and doctor; STYLERIG_ACT says what shall go wrong."""
import json, os, pathlib, shutil, sys, time
act = os.environ.get("STYLERIG_ACT", "")
words = [word for word in sys.argv[1:] if word not in ("-I", "-u")]
if words[:1] == ["-c"]:
    print("a greeting of sitecustomize")
    print(json.dumps([{version!r}, {version!r} + ".9", {prefix!r}, 8]))
elif words[:2] == ["-m", "venv"]:
    if act == "no room for venv":
        sys.exit("OSError: [Errno 28] No space left on device")
    folder = pathlib.Path(words[2])
    (folder / "bin").mkdir(parents=True)
    (folder / "lib/python3.11/site-packages/pip-24.0.dist-info").mkdir(parents=True)
    shutil.copy(__file__, folder / "bin/python")
elif words[:2] == ["-m", "pip"]:
    folder = pathlib.Path(__file__).parent.parent
    with open(folder / "pip.json", "a") as file:
        file.write(json.dumps(words) + "\\n")
    if words[-1].startswith("pip=="):
        (folder / "lib/python3.11/site-packages/pip-25.3.dist-info").mkdir(exist_ok=True)
    elif act.startswith("pip: "):
        print(act[5:])
        sys.exit(1)
    elif act == "slow" and any(word.startswith("torch") for word in words):
        print("Downloading https://index/torch-2.13.0-cp311.whl (190.1 MB)")
        for part in range(0, 200_000_001, 10_000_000):
            print(f"Progress {{part}} of 200000000", flush=True)
            time.sleep(1 if part > 100_000_000 else 0)
elif words[:3] == ["-m", "backend", "doctor"]:
    if act == "killed":
        os.kill(os.getpid(), 4)
    wrong = act[8:] if act.startswith("doctor: ") else ""
    names = ("Python", "packages", "device", "weights")
    checks = [dict(name=name, ok=name != wrong, message="torch 2.13.0 on cpu" if name != wrong else "undefined symbol", hint="") for name in names]
    print("a warning of some library")
    print(json.dumps(dict(version="1", ok=not wrong, checks=checks), indent=2))
    sys.exit(1 if wrong else 0)
'''


@pytest.fixture(scope="module")
def addon():
    """addon("install.installer"): a module of the add-on that needs no Blender."""
    package = types.ModuleType("addon_parts")
    package.__path__ = [str(ROOT / "blender_addon")]
    sys.modules["addon_parts"] = package
    yield lambda name: importlib.import_module(f"addon_parts.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "addon_parts"]:
        del sys.modules[name]


def actor(path: Path, version: str = "3.11", prefix: str = "/somewhere") -> Path:
    """Write an acting interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ACTOR.format(python=sys.executable, version=version, prefix=prefix))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def recipe(addon, tmp_path):
    payload = tmp_path / "payload"
    (payload / "backend").mkdir(parents=True)
    (payload / "pyproject.toml").write_text('[project]\ndependencies = ["torch==2.13.0", "numpy==2.4.6"]\n')
    return addon("install.installer").Recipe(
        folder=tmp_path / "user" / "backend-env", payload=payload, log=tmp_path / "user" / "environment.log",
        cache=tmp_path / "user" / "pip-cache", python=actor(tmp_path / "python" / "python3.11"),
    )  # fmt: skip


@pytest.fixture
def maker(addon):
    maker = addon("install.installer").EnvironmentMaker()
    yield maker
    maker.cancel()


def make(maker, recipe):
    maker.start(recipe)
    maker.wait()


def change(recipe, **parts):
    import dataclasses

    return dataclasses.replace(recipe, **parts)


def pip_calls(recipe) -> list[list[str]]:
    return [json.loads(line) for line in (recipe.folder / "pip.json").read_text().splitlines()]


def test_making_it(addon, maker, recipe):
    environment = addon("install.installer")
    assert environment.state(recipe.folder, recipe.payload) == "absent"
    make(maker, recipe)
    assert environment.state(recipe.folder, recipe.payload) == "ready"
    assert maker.progress.fraction == 1 and not maker.busy and maker.warning == ""
    torch = environment.torch_arguments(recipe, "torch==2.13.0")
    assert [call[-len(torch) :] for call in pip_calls(recipe)[1:2]] == [torch]
    assert pip_calls(recipe)[2][-1] == "numpy==2.4.6" and "raw" in pip_calls(recipe)[2]
    assert environment.read_marker(recipe.folder)["torch"] == "torch 2.13.0 on cpu"
    assert "$ " in recipe.log.read_text() and not recipe.cache.exists()


@pytest.mark.parametrize("target", ["nowhere", "victim"])
def test_a_log_that_is_a_link_is_replaced(maker, recipe, tmp_path, target):
    (tmp_path / "victim").write_text("precious")
    recipe.log.parent.mkdir()
    recipe.log.symlink_to(tmp_path / target)
    make(maker, recipe)
    assert "$ " in recipe.log.read_text() and not recipe.log.is_symlink()
    assert (tmp_path / "victim").read_text() == "precious"


def test_new_pins_make_it_outdated_and_keep_the_folder(addon, maker, recipe):
    make(maker, recipe)
    (recipe.payload / "pyproject.toml").write_text('[project]\ndependencies = ["torch==2.14.0"]\n')
    assert addon("install.installer").state(recipe.folder, recipe.payload) == "outdated"
    make(maker, recipe)
    assert addon("install.installer").state(recipe.folder, recipe.payload) == "ready"
    assert len(pip_calls(recipe)) == 6  # the same environment, gone on with


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("platform", "cpu", "cuda"),
    [
        ("linux", "torch==2.13.0+cpu --retries 2 --extra-index-url https://download.pytorch.org/whl/cpu", "torch===2.13.0"),
        ("win32", "torch==2.13.0", "torch==2.13.0+cu130 --extra-index-url https://download.pytorch.org/whl/cu130"),
        ("darwin", "torch==2.13.0", "torch===2.13.0"),
    ],
)
def test_which_torch(addon, recipe, monkeypatch, platform, cpu, cuda, device):
    monkeypatch.setattr(sys, "platform", platform)
    arguments = addon("install.installer").torch_arguments(change(recipe, device=device), "torch==2.13.0")
    assert " ".join(arguments) == {"cpu": cpu, "cuda": cuda}[device]


def test_from_a_folder_of_wheels_without_a_network(maker, recipe, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "torch-2.13.0-py3-none-any.whl").touch()
    make(maker, change(recipe, wheels=wheels, online=False))
    assert len(pip_calls(recipe)) == 2  # pip itself stays as it is
    for call in pip_calls(recipe):
        assert call[call.index("--no-index") :][:3] == ["--no-index", "--find-links", str(wheels)]
        assert "--extra-index-url" not in call


def fails(maker, recipe) -> object:
    maker.start(recipe)
    with pytest.raises(Exception) as caught:
        maker.wait()
    assert caught.value is maker.error and maker.error.hint
    return caught.value


def test_without_leave_to_go_online(maker, recipe):
    error = fails(maker, change(recipe, online=False))
    assert error.code == "offline" and "Allow Online Access" in error.hint
    assert not recipe.folder.exists()


def test_a_folder_without_wheels(maker, recipe, tmp_path):
    assert fails(maker, change(recipe, wheels=tmp_path)).code == "no_wheels"


def test_payload_without_pins(maker, recipe):
    (recipe.payload / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    assert fails(maker, recipe).code == "no_payload"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk_full"),
        (
            "WARNING: Retrying: NewConnectionError: Temporary failure in name resolution\nERROR: No matching distribution found for torch",
            "no_network",
        ),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", "certificate"),
        ("ERROR: torch-2.13.0-cp311-win_amd64.whl is not a supported wheel on this platform.", "wrong_platform"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "wrong_platform"),
        ("ERROR: No matching distribution found for h5py==3.16.0", "no_package"),
        ("ERROR: [Errno 13] Permission denied: '/x'", "not_writable"),
        (
            "ERROR: [Errno 2] No such file or directory: 'C:\\\\x'\nHINT: this system does not have Windows Long Path support",
            "path_too_long",
        ),
        ("ERROR: Something new\nmore", "pip_failed"),
    ],
)
def test_what_pip_complains_of_is_told_in_plain_words(addon, words, code):
    for offline in (False, True):
        error = addon("install.errors").explain("pip", words, Path("the.log"), offline)
        assert error.code == code and error.hint and "{" not in str(error)


@pytest.mark.parametrize(("words", "left"), [("No space left on device", "absent"), ("Read timed out", "half made")])
def test_the_next_attempt_goes_on(addon, maker, recipe, monkeypatch, words, left):
    monkeypatch.setenv("STYLERIG_ACT", f"pip: {words}")
    fails(maker, recipe)
    assert addon("install.installer").state(recipe.folder, recipe.payload) == left
    monkeypatch.delenv("STYLERIG_ACT")
    make(maker, recipe)
    assert addon("install.installer").state(recipe.folder, recipe.payload) == "ready"


def test_names_what_is_missing(addon):
    def told(words, offline=False):
        return str(addon("install.errors").explain("pip", words, Path("the.log"), offline))

    assert told("No matching distribution found for h5py==3.16.0").startswith("h5py==3.16.0 is not in the package index.")
    assert told("No matching distribution found for h5py==3.16.0", True).startswith("h5py==3.16.0 is not in the folder of wheels.")
    assert told("No matching distribution found for torch==2.13.0+cpu").startswith("There is no build of torch 2.13.0 for this computer (")


def test_a_venv_that_fails_leaves_nothing(maker, recipe, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "no room for venv")
    assert fails(maker, recipe).code == "disk_full" and not recipe.folder.exists()


def test_too_little_space_is_told_before_anything_is_made(addon, maker, recipe, monkeypatch):
    monkeypatch.setitem(addon("install.installer").NEEDED_GIGABYTES, "cpu", 1e9)
    error = fails(maker, recipe)
    assert error.code == "disk_full" and "are free" in error.message and not recipe.folder.exists()


@pytest.mark.parametrize("act", ["killed", "doctor: device", "doctor: packages"])
def test_a_torch_that_does_not_run(addon, maker, recipe, monkeypatch, act):
    monkeypatch.setenv("STYLERIG_ACT", act)
    error = fails(maker, recipe)
    assert error.code == "wrong_torch" and "make it again" in error.hint
    assert addon("install.installer").state(recipe.folder, recipe.payload) == "half made"


def test_weights_are_not_the_environments_fault(addon, maker, recipe, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "doctor: weights")
    make(maker, recipe)
    assert addon("install.installer").state(recipe.folder, recipe.payload) == "ready"
    assert maker.warning.startswith("weights: ")


@pytest.mark.parametrize(
    ("number", "code", "left"),
    [("ENOSPC", "disk_full", "absent"), ("EDQUOT", "disk_full", "absent"), ("EACCES", "not_writable", "half made")],
)
def test_a_file_of_ours_that_cannot_be_written(addon, maker, recipe, monkeypatch, number, code, left):
    def refuse(*_arguments):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)), "/the/file")

    monkeypatch.setattr(addon("install.installer"), "write_marker", refuse)
    error = fails(maker, recipe)
    assert error.code == code and "/the/file" in error.message
    assert addon("install.installer").state(recipe.folder, recipe.payload) == left


def test_a_folder_that_cannot_be_made(maker, recipe):
    recipe.folder.parent.write_text("a file in the way")
    error = fails(maker, recipe)
    assert error.code == "not_writable" and str(recipe.folder.parent) in error.message


@pytest.mark.parametrize("name", ["a folder  with spaces", "Größe Äöü", "emoji 🙂 顔", "100% (x) 'q' & $HOME", "/".join(3 * ["y" * 200])])
def test_folders_of_any_name(addon, maker, recipe, tmp_path, name):
    folder = tmp_path / name
    (folder / "payload" / "backend").mkdir(parents=True)
    (folder / "payload" / "pyproject.toml").write_text((recipe.payload / "pyproject.toml").read_text())
    user = folder / "user"
    there = change(
        recipe, folder=user / "backend-env", payload=folder / "payload", log=user / "environment.log", cache=user / "pip-cache",
        python=actor(folder / "python" / "python3.11"),
    )  # fmt: skip
    make(maker, there)
    assert addon("install.installer").state(there.folder, there.payload) == "ready" and maker.error is None
    assert str(there.folder) in there.log.read_text(encoding="utf-8")


def test_a_folder_whose_name_is_too_long(maker, recipe, tmp_path):
    error = fails(maker, change(recipe, folder=tmp_path / ("x" * 300) / "backend-env"))
    assert error.code == "path_too_long" and "short path" in error.hint


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_progress_and_cancel(addon, maker, recipe, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "slow")
    maker.start(recipe)
    wait_for(lambda: "of 200 MB" in maker.progress.detail and maker.progress.fraction > 0.08)
    assert maker.progress.step == "Installing torch" and maker.progress.detail.startswith("torch: ")
    assert 0.08 < maker.progress.fraction < 0.6 and maker.elapsed > 0 and maker.busy
    started = time.monotonic()
    maker.cancel()
    maker.wait()
    assert time.monotonic() - started < 5 and maker.cancelled and maker.error is None
    assert addon("install.installer").state(recipe.folder, recipe.payload) == "half made"
    assert "Progress" not in recipe.log.read_text()


def test_two_at_once(addon, maker, recipe, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "slow")
    maker.start(recipe)
    wait_for(lambda: maker.progress.detail)
    other = addon("install.installer").EnvironmentMaker()
    assert fails(other, recipe).code == "in_use"


def test_a_broken_half_is_made_anew(addon, maker, recipe):
    (recipe.folder / "bin").mkdir(parents=True)
    (recipe.folder / "bin" / "python").write_text("not a program")
    make(maker, recipe)
    assert addon("install.installer").state(recipe.folder, recipe.payload) == "ready"


def test_removing(addon, maker, recipe):
    environment = addon("install.installer")
    make(maker, recipe)
    environment.remove(recipe.folder)
    environment.remove(recipe.folder)  # nothing there
    assert environment.state(recipe.folder, recipe.payload) == "absent"


def test_settings_that_lead_pip_astray_are_left_out(addon, monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror")
    variables = addon("install.installer").command_environment()
    assert not {"PIP_TARGET", "PYTHONPATH"} & variables.keys() and variables["PIP_INDEX_URL"] == "https://mirror"


def test_which_python(addon, tmp_path, monkeypatch):
    interpreters = addon("install.python_discovery")
    good = actor(tmp_path / "good" / "python3.11")
    assert interpreters.find(good).version == "3.11.9"
    cases = {
        "there is no such file": tmp_path / "nothing",
        "3.12.9, not 3.11": actor(tmp_path / "other" / "python3.11", version="3.12"),
        "Blender's own": actor(tmp_path / "host" / "python3.11", prefix=str(tmp_path / "blender" / "python")),
    }
    for reason, program in cases.items():
        with pytest.raises(Exception, match=reason) as caught:
            interpreters.find(program, host=tmp_path / "blender")
        assert caught.value.code == "wrong_python"


def test_searching_a_python(addon, tmp_path, monkeypatch):
    interpreters = addon("install.python_discovery")
    monkeypatch.setattr(interpreters, "USUAL_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    with pytest.raises(Exception) as caught:
        interpreters.find()
    assert caught.value.code == "no_python" and "python.org" in caught.value.hint
    actor(tmp_path / "pyenv/versions/3.11.4/bin/python3.11")
    newest = actor(tmp_path / "pyenv/versions/3.11.10/bin/python3.11")
    assert interpreters.find().program == newest
    actor(tmp_path / "path" / "python3.11", version="3.10")  # says it is another: passed over
    assert interpreters.find().program == newest
    launcher = tmp_path / "path" / "py"
    actor(tmp_path / "launched" / "python.exe")
    launcher.write_text(f"#!/bin/sh\necho {tmp_path / 'launched' / 'python.exe'}\n")
    launcher.chmod(0o755)
    assert tmp_path / "launched" / "python.exe" in interpreters.candidates()


def test_reading_pip(addon):
    reader = addon("install.installer").PipReader(expected=100e6)
    assert reader.take("Collecting torch==2.13.0") == (0.0, "")
    assert reader.take("  Downloading https://x/torch-2.13.0%2Bcpu-cp311.whl (80.0 MB)") == (0.0, "torch")
    assert reader.take("Progress 40000000 of 80000000") == (pytest.approx(0.36), "torch: 40 of 80 MB")
    reader.take("Progress 80000000 of 80000000")
    assert reader.take("Downloading sympy-1.14.0-py3-none-any.whl (6.3 MB)") == (pytest.approx(0.72), "sympy")
    assert reader.take("Installing collected packages: mpmath, torch") == (0.9, "Unpacking")


def test_doctor_of_this_project_is_understood(addon, backend_python, run_python):
    """The JSON of the real doctor, with a loader that spares it the weights."""
    script = (
        "import argparse, sys; from backend.cli import doctor; doctor.CHECKS = {'Python': doctor.check_python}\n"
        "sys.exit(doctor.run(argparse.Namespace(json=True, device='cpu', rig_loader=None)))"
    )
    answer = run_python([backend_python, "-c", script])
    error, warning, found = addon("install.errors").doctor_failure("noise\n" + answer.stdout, answer.returncode, Path("log"))
    assert error is None and warning == "" and found["checks"][0]["name"] == "Python"
