"""Making the backend's environment as the extension's button does, with an interpreter and a pip that only act."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from blender_addon.errors import UserError
from blender_addon.install import environment, pip, python_discovery
from blender_addon.install import installer as install
from blender_addon.install.errors import explain, read_doctor
from blender_addon.install.installer import EnvironmentInstaller, InstallSpec
from blender_addon.install.requirements import Requirements

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the acting interpreter is a script with a shebang")

ACTOR = '''#!{python} -IS
"""An interpreter that acts as venv, pip and doctor; STYLERIG_ACT says what shall go wrong."""
import json, os, pathlib, shutil, sys, time
act = os.environ.get("STYLERIG_ACT", "")
words = [word for word in sys.argv[1:] if word not in ("-I", "-u")]
if words[:1] == ["-c"]:
    print("a greeting of sitecustomize")
    print(json.dumps([{version!r} + ".9", {prefix!r}, 8, {missing!r}]))
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
    elif act.startswith("without: ") and " ".join(words).endswith(act[9:]) or act == "without: +cpu" and "+cpu" in " ".join(words):
        print("ERROR: No matching distribution found for torch==2.13.0+cpu")
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
    words = dict.fromkeys(names, "torch 2.13.0 on cpu") | {{wrong: "undefined symbol"}}
    checks = [dict(name=name, ok=name != wrong, message=words[name], hint="") for name in names]
    print("a warning of some library")
    print(json.dumps(dict(version="1", ok=not wrong, checks=checks), indent=2))
    sys.exit(1 if wrong else 0)
'''


def actor(path: Path, version: str = "3.11", prefix: str = "/somewhere", missing: tuple[str, ...] = ()) -> Path:
    """Write an acting interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ACTOR.format(python=sys.executable, version=version, prefix=prefix, missing=list(missing)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def spec(tmp_path):
    payload = tmp_path / "payload"
    (payload / "backend").mkdir(parents=True)
    (payload / "pyproject.toml").write_text('[project]\ndependencies = ["torch==2.13.0", "numpy==2.4.6"]\n')
    return InstallSpec(
        folder=tmp_path / "user" / "backend-env", requirements=Requirements(payload), log=tmp_path / "user" / "environment.log",
        cache=tmp_path / "user" / "pip-cache", python=actor(tmp_path / "python" / "python3.11"),
    )  # fmt: skip


@pytest.fixture
def installer():
    installer = EnvironmentInstaller()
    yield installer
    installer.cancel()


def make(installer, spec):
    installer.start(spec)
    installer.wait()


def state(spec) -> str:
    return environment.state(spec.folder, spec.requirements)


def change(spec, **parts):
    return dataclasses.replace(spec, **parts)


def pip_calls(spec) -> list[list[str]]:
    return [json.loads(line) for line in (spec.folder / "pip.json").read_text().splitlines()]


def test_making_it(installer, spec):
    assert state(spec) == "absent"
    make(installer, spec)
    assert state(spec) == "ready"
    assert installer.progress.fraction == 1 and not installer.busy and installer.warning == ""
    [torch, *_] = pip.torch_choices("torch==2.13.0", "cpu", wheels=False, room_for_cuda=True)
    assert pip_calls(spec)[1][-len(torch) :] == torch
    assert pip_calls(spec)[2][-1] == "numpy==2.4.6" and "raw" in pip_calls(spec)[2] and "--constraint" not in pip_calls(spec)[2]
    marker = environment.read_marker(spec.folder)
    assert marker["torch"] == "torch 2.13.0 on cpu" and marker["python"] == "3.11.9"
    assert "$ " in spec.log.read_text() and not spec.cache.exists()


def test_constraints_hold_for_every_package_and_are_part_of_what_it_is_made_from(installer, spec):
    constraints = spec.requirements.project / "backend" / "constraints.txt"
    constraints.write_text("mpmath==1.3.0\n")
    make(installer, spec)
    for call in pip_calls(spec):
        assert call[call.index("--constraint") + 1] == str(constraints)
    constraints.write_text("mpmath==1.4.0\n")
    assert state(spec) == "outdated"


def test_without_doctor(installer, spec, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "doctor: packages")
    make(installer, change(spec, check=False))
    assert state(spec) == "ready"


def test_a_mark_of_an_earlier_version_is_read_and_replaced(installer, spec):
    make(installer, spec)
    (spec.folder / environment.MARKER).unlink()
    (spec.folder / environment.OLD_MARKER).write_text('{"fingerprint": "0", "device": "cuda"}')
    assert environment.read_marker(spec.folder)["device"] == "cuda" and state(spec) == "outdated"
    make(installer, spec)
    assert state(spec) == "ready" and not (spec.folder / environment.OLD_MARKER).exists()


def test_a_person_s_own_cache_is_used_and_stays(installer, spec, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path))
    make(installer, spec)
    assert not any("--cache-dir" in call for call in pip_calls(spec)) and tmp_path.is_dir()


@pytest.mark.parametrize("target", ["nowhere", "victim"])
def test_a_log_that_is_a_link_is_replaced(installer, spec, tmp_path, target):
    (tmp_path / "victim").write_text("precious")
    spec.log.parent.mkdir()
    spec.log.symlink_to(tmp_path / target)
    make(installer, spec)
    assert "$ " in spec.log.read_text() and not spec.log.is_symlink()
    assert (tmp_path / "victim").read_text() == "precious"


def test_new_pins_make_it_outdated_and_keep_the_folder(installer, spec):
    make(installer, spec)
    (spec.requirements.project / "pyproject.toml").write_text('[project]\ndependencies = ["torch==2.14.0"]\n')
    assert state(spec) == "outdated"
    make(installer, spec)
    assert state(spec) == "ready"
    assert len(pip_calls(spec)) == 6  # the same environment, gone on with


CPU = "torch==2.13.0+cpu --retries 2"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("platform", "cpu", "cuda"),
    [
        ("linux", [CPU, f"{CPU} --extra-index-url https://download.pytorch.org/whl/cpu", "torch===2.13.0"], ["torch===2.13.0"]),
        ("win32", ["torch==2.13.0"], ["torch==2.13.0+cu130 --extra-index-url https://download.pytorch.org/whl/cu130"]),
        ("darwin", ["torch==2.13.0"], ["torch===2.13.0"]),
    ],
)
def test_which_torch(monkeypatch, platform, cpu, cuda, device):
    monkeypatch.setattr(sys, "platform", platform)
    choices = pip.torch_choices("torch==2.13.0", device, wheels=False, room_for_cuda=True)
    assert [" ".join(choice) for choice in choices] == {"cpu": cpu, "cuda": cuda}[device]
    smaller = pip.torch_choices("torch==2.13.0", device, wheels=False, room_for_cuda=False)
    assert smaller == choices[: 2 if (platform, device) == ("linux", "cpu") else 1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the other systems have one build for a device")
@pytest.mark.parametrize(("fails", "calls"), [("+cpu --retries 2", 2), ("+cpu", 3)])
def test_the_next_build_of_torch_is_taken_where_one_cannot_be_had(installer, spec, monkeypatch, fails, calls):
    monkeypatch.setattr(environment, "free_gigabytes", lambda folder: 100.0)
    monkeypatch.setenv("STYLERIG_ACT", f"without: {fails}")
    make(installer, spec)
    torch = [call for call in pip_calls(spec) if any(word.startswith("torch=") for word in call)]
    assert len(torch) == calls and state(spec) == "ready"


def test_from_a_folder_of_wheels_without_a_network(installer, spec, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "torch-2.13.0-py3-none-any.whl").touch()
    make(installer, change(spec, wheels=wheels, online=False))
    assert len(pip_calls(spec)) == 2  # pip itself stays as it is
    for call in pip_calls(spec):
        assert call[call.index("--no-index") :][:3] == ["--no-index", "--find-links", str(wheels)]
        assert "--extra-index-url" not in call


def test_the_python_is_one_that_the_torch_in_the_folder_of_wheels_is_built_for(installer, spec, only, tmp_path):
    actor(only / "path" / "python3.13", version="3.13")
    actor(only / "path" / "python3.11")
    searched = change(spec, python=None)
    assert install.choose_python(searched).minor == "3.13"
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    make(installer, change(searched, wheels=wheels))
    assert environment.read_marker(spec.folder)["python"] == "3.11.9"
    (wheels / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").rename(wheels / "torch-2.13.0-cp312-cp312-win_amd64.whl")
    assert "no usable Python 3.12 on" in str(fails(installer, change(searched, wheels=wheels)))


def fails(installer, spec) -> object:
    installer.start(spec)
    with pytest.raises(Exception) as caught:
        installer.wait()
    assert caught.value is installer.error and installer.error.hint
    return caught.value


def test_without_leave_to_go_online(installer, spec):
    error = fails(installer, change(spec, online=False))
    assert error.code == "offline" and "Allow Online Access" in error.hint
    assert not spec.folder.exists()


def test_a_folder_without_wheels(installer, spec, tmp_path):
    assert fails(installer, change(spec, wheels=tmp_path)).code == "no_wheels"


def test_payload_without_pins(installer, spec):
    (spec.requirements.project / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    assert fails(installer, spec).code == "no_payload"


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
def test_what_pip_complains_of_is_told_in_plain_words(words, code):
    for offline in (False, True):
        error = explain("pip", words, Path("the.log"), offline)
        assert error.code == code and error.hint and "{" not in str(error)


@pytest.mark.parametrize(("words", "left"), [("No space left on device", "absent"), ("Read timed out", "half made")])
def test_the_next_attempt_goes_on(installer, spec, monkeypatch, words, left):
    monkeypatch.setenv("STYLERIG_ACT", f"pip: {words}")
    fails(installer, spec)
    assert state(spec) == left
    monkeypatch.delenv("STYLERIG_ACT")
    make(installer, spec)
    assert state(spec) == "ready"


def test_names_what_is_missing():
    def told(words, offline=False):
        return str(explain("pip", words, Path("the.log"), offline))

    assert told("No matching distribution found for h5py==3.16.0").startswith("h5py==3.16.0 is not in the package index.")
    assert told("No matching distribution found for h5py==3.16.0", True).startswith("h5py==3.16.0 is not in the folder of wheels.")
    assert told("No matching distribution found for torch==2.13.0+cpu").startswith("There is no build of torch 2.13.0 for this computer (")


def test_a_venv_that_fails_leaves_nothing(installer, spec, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "no room for venv")
    assert fails(installer, spec).code == "disk_full" and not spec.folder.exists()


def test_too_little_space_is_told_before_anything_is_made(installer, spec, monkeypatch):
    monkeypatch.setitem(install.NEEDED_GIGABYTES, "cpu", 1e9)
    error = fails(installer, spec)
    assert error.code == "disk_full" and "are free" in error.message and not spec.folder.exists()


@pytest.mark.parametrize("act", ["killed", "doctor: device", "doctor: packages"])
def test_a_torch_that_does_not_run(installer, spec, monkeypatch, act):
    monkeypatch.setenv("STYLERIG_ACT", act)
    error = fails(installer, spec)
    assert error.code == "wrong_torch" and "make it again" in error.hint
    assert state(spec) == "half made"


def test_weights_are_not_the_environments_fault(installer, spec, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "doctor: weights")
    make(installer, spec)
    assert state(spec) == "ready"
    assert installer.warning.startswith("weights: ")


@pytest.mark.parametrize(
    ("number", "code", "left"),
    [("ENOSPC", "disk_full", "absent"), ("EDQUOT", "disk_full", "absent"), ("EACCES", "not_writable", "half made")],
)
def test_a_file_of_ours_that_cannot_be_written(installer, spec, monkeypatch, number, code, left):
    def refuse(*_arguments):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)), "/the/file")

    monkeypatch.setattr(environment, "write_marker", refuse)
    error = fails(installer, spec)
    assert error.code == code and "/the/file" in error.message
    assert state(spec) == left


def test_a_folder_that_cannot_be_made(installer, spec):
    spec.folder.parent.write_text("a file in the way")
    error = fails(installer, spec)
    assert error.code == "not_writable" and str(spec.folder.parent) in error.message


@pytest.mark.parametrize("name", ["a folder  with spaces", "Größe Äöü", "emoji 🙂 顔", "100% (x) 'q' & $HOME", "/".join(3 * ["y" * 200])])
def test_folders_of_any_name(installer, spec, tmp_path, name):
    folder = tmp_path / name
    (folder / "payload" / "backend").mkdir(parents=True)
    (folder / "payload" / "pyproject.toml").write_text((spec.requirements.project / "pyproject.toml").read_text())
    user = folder / "user"
    there = change(
        spec, folder=user / "backend-env", requirements=Requirements(folder / "payload"), log=user / "environment.log",
        cache=user / "pip-cache", python=actor(folder / "python" / "python3.11"),
    )  # fmt: skip
    make(installer, there)
    assert state(there) == "ready" and installer.error is None
    assert str(there.folder) in there.log.read_text(encoding="utf-8")


def test_a_folder_whose_name_is_too_long(installer, spec, tmp_path):
    error = fails(installer, change(spec, folder=tmp_path / ("x" * 300) / "backend-env"))
    assert error.code == "path_too_long" and "short path" in error.hint


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_progress_and_cancel(installer, spec, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "slow")
    installer.start(spec)
    wait_for(lambda: "of 200 MB" in str(installer.progress.detail) and installer.progress.fraction > 0.08)
    assert installer.progress.step == "Installing torch" and str(installer.progress.detail).startswith("torch: ")
    assert 0.08 < installer.progress.fraction < 0.6 and installer.elapsed > 0 and installer.busy
    started = time.monotonic()
    installer.cancel()
    installer.wait()
    assert time.monotonic() - started < 5 and installer.cancelled and installer.error is None
    assert state(spec) == "half made"
    assert "Progress" not in spec.log.read_text()


def test_two_at_once(installer, spec, monkeypatch):
    monkeypatch.setenv("STYLERIG_ACT", "slow")
    installer.start(spec)
    wait_for(lambda: str(installer.progress.detail))
    other = EnvironmentInstaller()
    assert fails(other, spec).code == "in_use"


def test_a_broken_half_is_made_anew(installer, spec):
    (spec.folder / "bin").mkdir(parents=True)
    (spec.folder / "bin" / "python").write_text("not a program")
    make(installer, spec)
    assert state(spec) == "ready"


def test_removing(installer, spec):
    make(installer, spec)
    environment.remove(spec.folder)
    environment.remove(spec.folder)  # nothing there
    assert state(spec) == "absent"


def test_settings_that_lead_pip_astray_are_left_out(monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror")
    variables = pip.command_environment()
    assert not {"PIP_TARGET", "PYTHONPATH"} & variables.keys() and variables["PIP_INDEX_URL"] == "https://mirror"


def test_which_python(tmp_path):
    assert python_discovery.find(given=actor(tmp_path / "good" / "python3.11")).version == "3.11.9"
    cases = {
        "there is no such file": tmp_path / "nothing",
        r"it is Python 3.14.9\. .*3.11, 3.12 or 3.13": actor(tmp_path / "newer" / "python3", version="3.14"),
        "it is Python 3.10.9": actor(tmp_path / "older" / "python3", version="3.10"),
        "Blender's own": actor(tmp_path / "host" / "python3.11", prefix=str(tmp_path / "blender" / "python")),
        "module ensurepip .*python3.12-venv": actor(tmp_path / "bare" / "python3.12", version="3.12", missing=("ensurepip",)),
    }
    for reason, program in cases.items():
        with pytest.raises(UserError, match=reason) as caught:
            python_discovery.find(given=program, host=tmp_path / "blender")
        assert caught.value.code == "wrong_python"


@pytest.fixture
def only(tmp_path, monkeypatch):
    """The only places with Pythons: a folder on the PATH, and pyenv's."""
    monkeypatch.setattr(python_discovery, "USUAL_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


@pytest.mark.parametrize(("platform", "words"), [("linux", "apt install python3"), ("darwin", "brew install"), ("win32", "python.org")])
def test_no_python_is_told_with_the_way_to_one(only, monkeypatch, platform, words):
    old = actor(only / "path" / "python3", version="3.9")
    monkeypatch.setattr(python_discovery, "candidates", lambda version: [old])  # shutil would ask the platform's own modules
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(UserError, match=r"no usable Python 3.11, 3.12 or 3.13 .*python3: it is Python 3.9.9\.") as caught:
        python_discovery.find()
    assert caught.value.code == "no_python" and words in caught.value.hint


def test_searching_a_python(only):
    actor(only / "pyenv/versions/3.11.4/bin/python3.11")
    newest = actor(only / "pyenv/versions/3.11.10/bin/python3.11")
    assert python_discovery.find().program == newest
    actor(only / "path" / "python3.11", version="3.10")  # says it is another: passed over
    assert python_discovery.find().program == newest
    launcher = only / "path" / "py"
    actor(only / "launched" / "python.exe")
    launcher.write_text(f"#!/bin/sh\necho {only / 'launched' / 'python.exe'}\n")
    launcher.chmod(0o755)
    assert only / "launched" / "python.exe" in python_discovery.candidates("3.11")


def test_the_newest_python_is_taken_but_for_a_preferred_one(only):
    old = actor(only / "path" / "python3.11")
    new = actor(only / "path" / "python3.12", version="3.12")
    actor(only / "path" / "python3.14", version="3.14")
    assert python_discovery.find().program == new
    assert python_discovery.find(preferred=old).program == old
    assert python_discovery.find(preferred=only / "path" / "python3.14").program == new
    assert python_discovery.find(versions=("3.11",), preferred=new).program == old
    plain = actor(only / "path" / "python3", version="3.13")  # of a system whose only Python has no number
    assert python_discovery.find().program == plain


def test_an_environment_of_an_older_python_goes_on_but_for_a_chosen_one(installer, spec, tmp_path):
    make(installer, spec)
    newer = actor(tmp_path / "newer" / "python3.13", version="3.13")
    make(installer, change(spec, python=None, preferred=newer))
    assert environment.read_marker(spec.folder)["python"] == "3.11.9"
    make(installer, change(spec, python=newer))
    assert environment.read_marker(spec.folder)["python"] == "3.13.9"


def test_reading_pip():
    reader = pip.PipReader(expected=100e6)

    def take(line):
        fraction, detail = reader.take(line)
        return fraction, str(detail)

    assert take("Collecting torch==2.13.0") == (0.0, "")
    assert take("  Downloading https://x/torch-2.13.0%2Bcpu-cp311.whl (80.0 MB)") == (0.0, "Downloading torch")
    assert take("Progress 40000000 of 80000000") == (pytest.approx(0.36), "torch: 40 of 80 MB")
    take("Progress 80000000 of 80000000")
    assert take("Downloading sympy-1.14.0-py3-none-any.whl (6.3 MB)") == (pytest.approx(0.72), "Downloading sympy")
    assert take("Installing collected packages: mpmath, torch") == (0.9, "Unpacking")


def test_doctor_of_this_project_is_understood(backend_python, run_python):
    """The JSON of the real doctor, with a loader that spares it the weights."""
    script = (
        "import argparse, sys; from backend.cli import doctor; doctor.CHECKS = {'Python': doctor.check_python}\n"
        "sys.exit(doctor.run(argparse.Namespace(json=True, device='cpu', rig_loader=None)))"
    )
    answer = run_python([backend_python, "-c", script])
    report = read_doctor("noise\n" + answer.stdout, answer.returncode, Path("log"))
    assert report.error is None and report.warning == "" and report.checks[0]["name"] == "Python"
