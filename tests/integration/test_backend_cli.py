"""The command line: help, doctor, convert, and errors in one line."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend import __version__
from backend.cli import doctor, main, sample, serve, train_rig
from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig, load_generator, save_generator
from models.rigging import folders
from tests.helpers import fake_rig


def call(capsys, *arguments, rig_loader=fake_rig.load) -> tuple[int, str, str]:
    status = main.main(list(map(str, arguments)), rig_loader=rig_loader)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_version_is_the_projects(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]


def test_help_names_every_command_and_needs_no_package(root):
    """-S: without site-packages, as in an environment where nothing is installed."""
    answer = subprocess.run([sys.executable, "-S", "-m", "backend", "--help"], cwd=root, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    listed = re.findall(r"^  ([\w-]+(?: [\w-]+)?)  ", answer.stdout, re.MULTILINE)
    assert set(listed) == set(main.COMMANDS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP says what it was told")
def test_waiting_threads_give_way_to_other_programs(root):
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    answer = subprocess.run(
        [sys.executable, "-m", "backend", "doctor"], cwd=root, env=variables | {"OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert re.search(r"OMP_WAIT_POLICY = 'PASSIVE'", answer.stderr) and re.search(r"GOMP_SPINCOUNT = '2000'", answer.stderr)


@pytest.mark.skipif(not serve.OWN_SCORE.exists(), reason="only Linux has such a score")
def test_memory_that_runs_out_ends_the_backend_before_its_host():
    with fake_rig.served() as backend:
        score = Path(f"/proc/{backend.process.pid}/oom_score_adj").read_text()
    assert int(score) == 1000 > int(serve.OWN_SCORE.read_text())


@pytest.mark.parametrize("command", sorted(main.COMMANDS))
def test_each_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main.main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"usage: python -m backend {command}" in capsys.readouterr().out


def test_a_missing_package_is_said_in_one_line(root):
    answer = subprocess.run(
        [sys.executable, "-S", "-m", "backend", "convert", "a", "b.safetensors"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 2
    assert re.match(r"error: No module named '\w+': a package is missing.*\nhint: .*build\.py setup` makes .*\n$", answer.stderr)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["train"], ["train", "nothing"]])
def test_unknown_commands_show_the_known_ones(capsys, arguments):
    status, _, errors = call(capsys, *arguments)
    assert status == 2
    assert "train generator" in errors and "error: " in errors


def test_convert_keeps_the_generator(capsys, tmp_path):
    config = GeneratorConfig(resolution=16, channels={4: 8, 8: 8, 16: 8}, img_channels=3)
    save_generator(Generator.create(config, seed=3), tmp_path / "a.safetensors")
    status, out, _ = call(capsys, "convert", tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert status == 0 and "resolution 16" in out
    before, after = (load_generator(tmp_path / f"{name}.safetensors").state_dict() for name in "ab")
    assert all((before[name] == after[name]).all() for name in before)


def test_convert_says_what_is_wrong(capsys, tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"not a checkpoint")
    for source, target in (("a.pkl", "b.safetensors"), ("missing.pkl", "b.safetensors"), ("a.pkl", "b.bin")):
        status, _, errors = call(capsys, "convert", tmp_path / source, tmp_path / target)
        assert status == 2 and errors.startswith("error: ") and len(errors.splitlines()) == 2
        assert not (tmp_path / target).exists()
    config = GeneratorConfig(resolution=16, channels={4: 8, 8: 8, 16: 8}, img_channels=3)
    save_generator(Generator.create(config, seed=3), tmp_path / "a.safetensors")
    status, _, errors = call(capsys, "convert", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--half")
    assert status == 2 and "looks" in errors and not (tmp_path / "b.safetensors").exists()


def test_doctor_reports_every_check(capsys, monkeypatch):
    monkeypatch.setitem(doctor.CHECKS, "weights", lambda arguments: "there")
    monkeypatch.setitem(doctor.CHECKS, "packages", lambda arguments: "as pinned")
    status, out, _ = call(capsys, "doctor", "--json")
    report = json.loads(out)
    assert [finding["name"] for finding in report["checks"]] == list(doctor.CHECKS)
    assert [finding for finding in report["checks"] if not finding["ok"]] == []
    assert (status, report["ok"], report["version"]) == (0, True, __version__)


def test_doctor_says_what_is_wrong_and_goes_on(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "pinned", lambda: {"numpy": "0.1", "no-such-package": "1"})
    monkeypatch.setattr("models.rigging.folders.WEIGHTS", tmp_path)
    monkeypatch.setenv("FAKE_RIG_MISSING", "1")
    status, out, _ = call(capsys, "doctor")
    assert status == 1
    assert "WRONG packages: missing: no-such-package; numpy" in out
    assert f"WRONG weights: There are no weights in {tmp_path}." in out
    assert "WRONG rig: The weights are not there." in out and "ok    loopback" in out
    assert f"3 of {len(doctor.CHECKS)} checks found something wrong." in out


def test_doctor_compares_with_the_projects_pins():
    pins = doctor.pinned()
    assert {"torch", "numpy", "fastapi", "safetensors", "OpenEXR"} <= set(pins)
    assert all(re.fullmatch(r"[\d.]+", version) for version in pins.values())


def test_backend_never_imports_bpy_and_starts_nothing(root):
    """Every module imports without a thread or a socket left behind."""
    modules = [f"backend.{path.stem}" for path in sorted((root / "backend").glob("*.py")) if path.stem[:2] != "__"]
    script = (
        "import importlib, sys, threading, socket\n"
        "class Refused(socket.socket):\n"
        "    def __init__(self, *a, **k): raise AssertionError('a socket was opened')\n"
        "socket.socket = Refused\n"
        f"[importlib.import_module(name) for name in {modules!r}]\n"
        "assert 'bpy' not in sys.modules and threading.active_count() == 1, threading.enumerate()\n"
        "print('clean')\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=240)
    assert answer.stdout == "clean\n", answer.stderr


@pytest.mark.slow
def test_what_numba_is_told_stops_neither_pictures_nor_doctor(root):
    answer = subprocess.run(
        [sys.executable, "-m", "backend", "doctor", "--device", "cpu", "--json"], cwd=root,
        env=os.environ | {"NUMBA_NUM_THREADS": "0"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    checks = {check["name"]: check for check in json.loads(answer.stdout)["checks"]}
    assert not checks["kernels"]["ok"] and checks["kernels"]["hint"] == "Unset NUMBA_NUM_THREADS."
    assert checks["rig"]["ok"] and checks["rig"]["message"].endswith("by plain torch, float32"), answer.stderr
    assert "numba cannot compile" in answer.stderr, "whoever draws is told"


def test_doctor_says_where_compiled_kernels_can_be_kept(capsys, monkeypatch):
    monkeypatch.setattr("models.generators.engines.kernels_place", lambda: None)
    monkeypatch.setattr(doctor, "CHECKS", {"kernels": doctor.check_kernels, "temporary folder": doctor.check_temporary})
    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", lambda: os.open(f"{os.devnull}/none", os.O_RDONLY))
    status, out, _ = call(capsys, "doctor", "--device", "cpu")
    assert status == 1 and "ok    kernels: compiled at each start" in out and "NUMBA_CACHE_DIR" in out
    assert re.search(r"WRONG temporary folder: .*\n +Free some space there, or set TMPDIR", out)


def test_options_of_earlier_versions_are_taken_and_not_shown(capsys):
    parser = argparse.ArgumentParser()
    sample.add_arguments(parser)
    seeds = ["--seeds", "1", "2", "--output", "out"]
    for new, old in (("--share", "--take"), ("--from-seed", "--of"), ("--interpolate", "--between")):
        value = "light" if new == "--share" else "3"
        assert parser.parse_args([*seeds, new, value]) == parser.parse_args([*seeds, old, value]) != parser.parse_args(seeds)
        assert new in parser.format_help() and f"{old} " not in parser.format_help()


def test_variations_are_rendered_with_the_options(capsys, monkeypatch, tmp_path):
    asked = []
    photograph = lambda series, *values: asked.append((series.name, *values)) or values[0]
    monkeypatch.setattr("models.synthetic.series.Series.photograph", photograph)
    assert call(capsys, "data", "variations", "--output", tmp_path, "--people", 3)[:2] == (0, f"{tmp_path}\n")
    assert call(capsys, "data", "motions", "--output", tmp_path, "--size", 128)[:2] == (0, f"{tmp_path}\n")
    assert call(capsys, "data", "makeovers", "--output", tmp_path)[:2] == (0, f"{tmp_path}\n")
    assert asked == [("variations", tmp_path, 3, 256, 77), ("motions", tmp_path, 2, 128, 78), ("makeovers", tmp_path, 600, 256, 79)]


def test_the_judges_noise_is_measured_on_variations(capsys, monkeypatch, tmp_path):
    asked = []
    judge = SimpleNamespace(floors={"people": 3})
    monkeypatch.setattr("models.evaluation.control.judge_calibration.add_floors", lambda *values: asked.append(values) or judge)
    monkeypatch.setattr("models.face.load_face_model", lambda name: f"face {name}")
    options = ["--judge", tmp_path / "judge.safetensors", "--variations", tmp_path, "--device", "cpu"]
    status, out, _ = call(capsys, "evaluate", "judge-noise", *options)
    assert status == 0 and '{"people": 3}' in out
    assert asked == [(tmp_path / "judge.safetensors", tmp_path, "face none", "cpu")]


def test_ablations_are_made_of_what_a_training_left(capsys, monkeypatch, tmp_path):
    asked, run = [], SimpleNamespace(say=print)
    monkeypatch.setattr("backend.cli.evaluate_ablations.open_run", lambda arguments, folder, world: asked.append(folder) or run)
    monkeypatch.setattr("models.training.rig.ablations.ablate", lambda *values: asked.append(values) or "ablations.md")
    options = ["--rig", tmp_path, "--generator", "g.safetensors", "--device", "cpu"]
    status, out, _ = call(capsys, "evaluate", "ablations", *options)
    assert (status, out) == (0, "Results: ablations.md\n")
    assert asked == [tmp_path, (run, Path("g.safetensors"), None, None)]


def test_a_part_of_the_rigs_training_by_its_new_and_its_old_name():
    parser = argparse.ArgumentParser()
    train_rig.add_arguments(parser)
    new, old = (parser.parse_args(["--output", "out", option, "judge"]) for option in ("--only", "--stage"))
    assert new == old and new.only == "judge"
    assert parser.parse_args(["--output", "out"]).only is None and "--stage" not in parser.format_help()


def test_the_doctor_sees_a_model_of_which_a_file_is_missing(tmp_path, monkeypatch):
    weights = folders.WEIGHTS
    if not list(weights.glob("stylerig-*.safetensors")):
        pytest.skip("no weights are there")
    for path in weights.glob("stylerig-*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(folders, "WEIGHTS", tmp_path)
    assert "stylerig: " in doctor.check_weights(argparse.Namespace())
    (tmp_path / "stylerig-rignet.safetensors").unlink()
    with pytest.raises(StyleRigError, match=r"lacks stylerig-rignet\.safetensors"):
        doctor.check_weights(argparse.Namespace())
