"""The project's commands: environments, package, and that a failing test fails."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import pytest

from backend.project import blender as blenders
from backend.project import common, demo, environments, testing
from backend.project.common import BuildError
from backend.project.extension import package

MEGABYTE = 1_000_000


def imported(path: Path) -> set[str]:
    """Names of the top-level packages that a source file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(
    ("folder", "more"),
    [
        ("blender_addon", {"bpy", "bpy_extras", "addon_utils", "gpu", "gpu_extras", "mathutils", "numpy"}),
        ("backend/project", {"backend"}),
        ("backend/protocol", {"numpy"}),
    ],
)
def test_some_layers_need_nothing_installed(root, folder, more):
    allowed = sys.stdlib_module_names | more
    sources = [path for path in (root / folder).rglob("*.py") if path.parent.name != "protocol" or folder == "backend/protocol"]
    assert sources
    assert {} == {str(path): names for path in sources if (names := imported(path) - allowed)}


def test_pins_are_exact():
    pins = [pin for environment in environments.ENVIRONMENTS for pin in environment.pins()]
    assert [] == [pin for pin in pins if pin.count("==") != 1]


def test_versions_agree(root):
    manifest = common.read_toml(root / "blender_addon" / "blender_manifest.toml")
    assert manifest["version"] == common.read_toml(root / "pyproject.toml")["project"]["version"]


def test_shipped_weights_are_small_and_have_cards(root):
    weights = sorted((root / "models" / "weights").glob("*.safetensors"))
    assert weights
    assert sum(path.stat().st_size for path in weights) <= 40 * MEGABYTE
    assert [] == [path.name for path in weights if not path.with_suffix(".md").is_file()]


class TestSetup:
    def test_second_setup_is_quick_and_changes_nothing(self, root, run_python):
        before = os.times()
        answer = run_python([sys.executable, root / "build.py", "setup"])
        after = os.times()
        assert answer.returncode == 0
        assert ".venv" in answer.stdout and "Setting up" not in answer.stdout
        # Processor time: the clock on the wall also shows what else the machine does.
        assert (after.children_user + after.children_system) - (before.children_user + before.children_system) < 1

    def test_it_runs_where_python_leaves_out_the_scripts_folder(self, root, run_python):
        answer = run_python([sys.executable, root / "build.py", "bench", "--help"], env={**os.environ, "PYTHONSAFEPATH": "1"})
        assert answer.returncode == 0 and "usage: build.py bench" in answer.stdout, answer.stderr

    def test_variables_for_another_python_do_not_reach_the_environments(self, tmp_path, monkeypatch, run_python):
        (tmp_path / "json.py").write_text("raise SystemExit('another json')")
        for name, value in {
            "PYTHONSAFEPATH": "1",
            "PYTHONPATH": str(tmp_path),
            "PYTHONHOME": "/nowhere",
            "VIRTUAL_ENV": "/nowhere",
        }.items():
            monkeypatch.setenv(name, value)
        common.prepare_process()
        answer = run_python([sys.executable, "-m", "backend", "doctor", "--help"])
        assert answer.returncode == 0 and "usage: python -m backend doctor" in answer.stdout, answer.stderr

    def test_a_folder_that_the_terminal_cannot_show_is_no_reason_to_stop(self, root, tmp_path, run_python):
        code = f"from backend.project import common; common.prepare_process(); common.say({str(tmp_path / '日本')!r}); common.say('on')"
        answer = run_python([sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": "cp1252"})
        assert answer.returncode == 0 and answer.stdout.endswith("\\u65e5\\u672c\non\n"), answer.stderr

    def test_failed_setup_is_not_taken_for_whole(self, tmp_path, monkeypatch):
        monkeypatch.setattr(common, "ROOT", tmp_path)
        monkeypatch.setattr(common, "BUILD", tmp_path / "build")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        pins = '[project]\ndependencies = []\n[project.optional-dependencies]\nonly = ["{}"]\n'
        (tmp_path / "pyproject.toml").write_text(pins.format("no-such-distribution==1.0"))
        environment = environments.Environment(".venv-x", "3.11", ("only",), base=False, gigabytes=0)
        with pytest.raises(BuildError, match=r"Setting up .venv-x failed\."):
            environments.build_environment(environment, Path(sys.executable), "cpu")
        assert environment.executable.exists() and environment.state() == {}

    def test_full_disk_is_said_before_anything_is_done(self, tmp_path, monkeypatch):
        monkeypatch.setattr(common, "ROOT", tmp_path)
        usage = shutil.disk_usage(tmp_path)._replace(free=10)
        monkeypatch.setattr(environments.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(BuildError, match="needs about 3 GB"):
            environments.build_environment(environments.MAIN, Path(sys.executable), "cpu")
        assert list(tmp_path.iterdir()) == []

    def test_missing_python_is_said(self, monkeypatch):
        absent = dataclasses.replace(environments.MAIN, folder=".venv-absent", python="3.99")
        monkeypatch.setattr(environments, "ENVIRONMENTS", (absent,))
        with pytest.raises(BuildError, match="Install it so that python3.99 is on PATH"):
            environments.setup("cpu")

    def test_missing_optional_python_is_skipped(self, monkeypatch, capsys):
        absent = dataclasses.replace(environments.BPY_5_2, folder=".venv-absent", python="3.99")
        monkeypatch.setattr(environments, "ENVIRONMENTS", (absent,))
        assert environments.setup("cpu") == []
        assert "Skipping .venv-absent: Python 3.99 is not installed." in capsys.readouterr().out

    def test_changed_pins_are_noticed(self, tmp_path, monkeypatch):
        before = environments.MAIN.fingerprint("cpu")
        text = (common.ROOT / "pyproject.toml").read_text()
        (tmp_path / "pyproject.toml").write_text(text.replace('"tqdm==', '"tqdm==0.'))
        monkeypatch.setattr(common, "ROOT", tmp_path)
        assert environments.MAIN.fingerprint("cpu") != before
        assert environments.MAIN.fingerprint("cuda") != environments.MAIN.fingerprint("cpu")


class TestPackage:
    def test_holds_extension_and_payload_without_caches(self, extension_zip, root):
        names = set(zipfile.ZipFile(extension_zip).namelist())
        expected = {"blender_manifest.toml", "__init__.py", "LICENSE", "payload/pyproject.toml"}
        assert expected <= names
        for folder, prefix in [("blender_addon", ""), ("backend", "payload/backend/"), ("models", "payload/models/")]:
            sources = [path for path in (root / folder).rglob("*.py") if path.parent != root / "blender_addon" / "protocol"]
            assert {prefix + path.relative_to(root / folder).as_posix() for path in sources} <= names
        assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]

    def test_the_protocol_is_a_part_of_the_extension(self, extension_zip, root):
        archive = zipfile.ZipFile(extension_zip)
        wanted = {f"protocol/{path.name}": path.read_bytes() for path in (root / "backend" / "protocol").glob("*.py")}
        packed = {name: archive.read(name) for name in archive.namelist() if name.startswith("protocol/")}
        assert wanted and packed == wanted

    def test_the_protocol_is_the_backends_in_a_checkout(self, root):
        from backend.protocol import camera
        from tests.addon_modules import addon_module

        found = addon_module("protocol.camera")
        assert Path(found.__file__) == Path(camera.__file__) and found.FOCAL == camera.FOCAL

    def test_is_the_same_bytes_twice(self, extension_zip, tmp_path):
        assert package(tmp_path).read_bytes() == extension_zip.read_bytes()
        assert len(list(tmp_path.iterdir())) == 1

    def test_passes_blenders_own_validation(self, extension_zip, blender, run_python):
        packages = blender.executable.parent.parent
        [tool] = packages.glob("**/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
        answer = run_python([blender.executable, tool, "validate", extension_zip])
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "Success" in answer.stdout


class TestTest:
    def run(self, tmp_path, source: str) -> tuple[int, str]:
        (tmp_path / "test_it.py").write_text(source)
        arguments = ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
        return testing.run_pytest(environments.MAIN, arguments, tmp_path / "none.zip")

    def test_a_failing_test_fails_the_run(self, tmp_path):
        status, summary = self.run(tmp_path, "def test_a():\n    assert 1 == 2\n")
        assert status == 1
        assert summary.startswith("1 failed in")

    @pytest.mark.parametrize(
        ("statuses", "chosen", "expected"),
        [
            ([0, 0, 0], False, True),
            ([0, 1, 0], False, False),
            ([0, 0, -9], True, False),
            ([0, testing.NO_TESTS], False, False),
            ([0, testing.NO_TESTS], True, True),
            ([testing.NO_TESTS], True, False),
            ([], True, False),
        ],
    )
    def test_one_failed_run_fails_all(self, statuses, chosen, expected):
        assert testing.verdict(statuses, chosen) == expected

    def test_a_process_that_dies_fails_the_run(self, tmp_path):
        status, summary = self.run(tmp_path, "import os\ndef test_a():\n    os.kill(os.getpid(), 9)\n")
        assert status != 0
        assert summary == "no summary: it stopped early"

    def test_a_run_over_its_time_is_ended(self, tmp_path, monkeypatch):
        monkeypatch.setattr(testing, "RUN_LIMIT_SECONDS", 2)
        started = time.monotonic()
        status, _ = self.run(tmp_path, "import time\ndef test_a():\n    time.sleep(60)\n")
        assert status != 0 and time.monotonic() - started < 20

    @pytest.mark.parametrize(
        ("folder", "arguments", "expected"),
        [
            ("tests", [], ["tests"]),
            ("tests/blender", ["-k", "engine"], ["-k", "engine", "tests/blender"]),
            ("tests", ["tests/test_backend_video.py", "-x"], ["-x", "tests/test_backend_video.py"]),
            ("tests/blender", ["tests/test_backend_video.py"], None),
            ("tests", ["tests/blender/test_rig.py::test_a"], None),
            ("tests/blender", ["tests/blender/test_rig.py::test_a"], ["tests/blender/test_rig.py::test_a"]),
        ],
    )
    def test_paths_go_to_the_run_they_belong_to(self, folder, arguments, expected):
        assert testing.arguments_for(folder, arguments) == expected


class TestProgress:
    def test_reports_are_shown_and_the_rest_is_logged(self, tmp_path, capsys):
        lines = ["@step Rendering", "Fra:1 Mem:2M", "@progress 1 2", "@progress 2 2", '@result {"frames": 2}']
        script = f"print({chr(10).join(lines)!r})"
        progress = demo.Progress(tmp_path / "log")
        assert progress.run([sys.executable, "-c", script]) == 0
        shown = capsys.readouterr().out
        assert "Rendering" in shown and "2/2" in shown and "Fra:" not in shown
        assert (tmp_path / "log").read_text() == "Fra:1 Mem:2M\n"
        assert progress.result == {"frames": 2}

    def test_an_error_is_kept(self, tmp_path):
        progress = demo.Progress(tmp_path / "log")
        script = "print('@error No room.'); raise SystemExit(3)"
        assert progress.run([sys.executable, "-c", script]) == 3
        assert progress.error == "No room."


class TestBlender:
    def write_program(self, folder: Path, version: str) -> str:
        program = folder / "blender"
        program.write_text(f"#!/bin/sh\necho 'Blender {version}'\n")
        program.chmod(0o755)
        return str(program)

    @pytest.mark.skipif(common.WINDOWS, reason="stands in for Blender with a shell script")
    def test_old_blender_is_refused_when_named_and_passed_over_on_path(self, tmp_path, monkeypatch):
        program = self.write_program(tmp_path, "4.2.3 LTS")
        with pytest.raises(BuildError, match="not Blender 4.5 or newer"):
            blenders.choose_blender(program, [environments.MAIN, environments.BPY_4_5])
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        assert blenders.choose_blender(None, [environments.MAIN, environments.BPY_4_5]).label == "bpy 4.5"

    @pytest.mark.skipif(common.WINDOWS, reason="stands in for Blender with a shell script")
    def test_new_blender_on_path_is_taken(self, tmp_path, monkeypatch):
        self.write_program(tmp_path, "5.2.2 LTS")
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        chosen = blenders.choose_blender(None, [environments.MAIN, environments.BPY_4_5, environments.BPY_5_2])
        assert (chosen.label, chosen.wheel) == ("Blender 5.2.2", False)

    def test_newest_wheel_is_taken_otherwise(self, monkeypatch):
        monkeypatch.setattr(blenders.shutil, "which", lambda name: None)
        assert blenders.choose_blender(None, list(environments.ENVIRONMENTS)).label == "bpy 5.2"


def test_bench_measures_and_writes_json(root, tmp_path, run_python):
    code = "import runpy, sys, types; m = types.ModuleType('tests.bench.bench_frame'); "
    code += "m.run = lambda quick: {'portrait_ms': 12.5}; sys.modules[m.__name__] = m; "
    code += f"sys.argv = ['bench', 'frame', '--json', {str(tmp_path / 'b.json')!r}]; "
    code += "runpy.run_module('tests.bench', run_name='__main__')"
    answer = run_python([sys.executable, "-c", code])
    assert "portrait_ms" in answer.stdout
    assert json.loads((tmp_path / "b.json").read_text()) == {"frame": {"portrait_ms": 12.5}}
