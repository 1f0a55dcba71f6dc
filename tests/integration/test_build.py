"""The project's commands: environments, package, and that a failing test fails."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

import backend
from backend.project import blender as blenders
from backend.project import checking, common, demo, environments, lock, testing
from backend.project.common import ROOT, BuildError
from backend.project.extension import package
from blender_addon.install import environment as installed
from blender_addon.install import python_discovery
from blender_addon.install.installer import Progress
from blender_addon.install.requirements import CONSTRAINTS

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
        ("backend/project", {"backend", "blender_addon"}),
        ("backend/protocol", {"numpy"}),
    ],
)
def test_some_layers_need_nothing_installed(root, folder, more):
    allowed = sys.stdlib_module_names | more
    sources = [path for path in (root / folder).rglob("*.py") if path.parent.name != "protocol" or folder == "backend/protocol"]
    assert sources
    assert {str(path): names for path in sources if (names := imported(path) - allowed)} == {}


def test_pins_are_exact():
    pins = [pin for environment in environments.ENVIRONMENTS for pin in environment.requirements.pins()]
    assert [pin for pin in pins if pin.count("==") != 1] == []


def test_versions_agree(root):
    manifest = common.read_toml(root / "blender_addon" / "blender_manifest.toml")
    assert manifest["version"] == common.read_toml(root / "pyproject.toml")["project"]["version"] == backend.__version__


def test_shipped_weights_are_small_and_have_cards(root):
    weights = sorted((root / "models" / "weights").glob("*.safetensors"))
    assert weights
    assert sum(path.stat().st_size for path in weights) <= 70 * MEGABYTE
    assert [path.name for path in weights if not path.with_suffix(".md").is_file()] == []


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
        environment = environments.Environment(".venv-x", ("3.11",), ("only",), base=False, gigabytes=0)
        monkeypatch.setattr(environments, "ENVIRONMENTS", (environment,))
        with pytest.raises(BuildError, match=r"Setting up .venv-x failed\. no-such-distribution==1.0 is not in the package index"):
            environments.setup("cpu")
        assert environment.executable.exists() and environment.state() == {}
        assert "no-such-distribution" in environment.log.read_text()

    def test_full_disk_is_said_before_anything_is_done(self, tmp_path, monkeypatch):
        monkeypatch.setattr(common, "ROOT", tmp_path)
        monkeypatch.setattr(common, "BUILD", tmp_path / "build")
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        monkeypatch.setattr(installed, "free_gigabytes", lambda folder: 0.1)
        with pytest.raises(BuildError, match=r"needs 3 GB, 0\.1 GB are free"):
            environments.setup("cpu")
        assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]

    def test_missing_python_is_said(self, monkeypatch, tmp_path):
        monkeypatch.setattr(common, "BUILD", tmp_path)
        absent = dataclasses.replace(environments.MAIN, folder=f"{tmp_path}/.venv-absent", pythons=("3.98", "3.99"))
        monkeypatch.setattr(environments, "ENVIRONMENTS", (absent,))
        with pytest.raises(BuildError, match=r"no usable Python 3\.98 or 3\.99 on this computer\..* Install one"):
            environments.setup("cpu")

    def test_missing_optional_python_is_skipped(self, monkeypatch, capsys, tmp_path):
        monkeypatch.setattr(common, "BUILD", tmp_path)
        absent = dataclasses.replace(environments.BPY_5_2, folder=f"{tmp_path}/.venv-absent", pythons=("3.99",))
        monkeypatch.setattr(environments, "ENVIRONMENTS", (absent,))
        assert environments.setup("cpu") == []
        assert ".venv-absent: Python 3.99 is not installed." in capsys.readouterr().out

    def test_changed_pins_and_another_device_are_noticed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(common, "ROOT", tmp_path)
        for name in ("pyproject.toml", CONSTRAINTS):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
        environment = environments.MAIN
        environment.executable.parent.mkdir(parents=True)
        environment.executable.touch()
        installed.write_marker(environment.path, {"pins": environment.requirements.fingerprint(), "device": "cpu"})
        assert environment.is_ready("cpu") and not environment.is_ready("cuda")
        for name in ("pyproject.toml", CONSTRAINTS):
            text = (tmp_path / name).read_text()
            (tmp_path / name).write_text(text.replace("==", "==0.", 1))
            assert not environment.is_ready("cpu")
            (tmp_path / name).write_text(text)
        assert environment.is_ready("cpu")

    def test_progress_is_printed_step_by_step(self, capsys):
        steps = iter([Progress(0.0, "One"), Progress(0.1, "One"), Progress(0.5, "Two"), Progress(1.0, "Two")])

        class Installer:
            progress, busy = Progress(), True

            def __getattribute__(self, name):
                if name == "progress":
                    return next(steps)
                return next(busy)

        busy = iter([True, True, True, True, False])
        environments.show_progress(Installer())
        assert capsys.readouterr().out == "  One\n  Two\n"


def test_every_python_that_is_supported_is_one_of_the_installers():
    oldest, too_new = re.findall(r"3\.(\d+)", common.read_toml(ROOT / "pyproject.toml")["project"]["requires-python"])
    assert sorted(python_discovery.VERSIONS) == [f"3.{minor}" for minor in range(int(oldest), int(too_new))]


def test_constraints_decide_all_that_the_pins_need():
    lines = (ROOT / CONSTRAINTS).read_text().splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = environments.MAIN.requirements.pins()
    pinned = {lock.normal(pin.partition("==")[0]) for pin in pins}
    assert locked.keys() & pinned == set()
    needed = needed_by(pinned) - pinned - lock.UNLOCKED
    assert {"sympy", "anyio", "llvmlite"} <= needed
    assert {name: importlib.metadata.version(name) for name in needed} == {name: locked.get(name) for name in needed}


def needed_by(names: set[str]) -> set[str]:
    """The names of all installed distributions that these need in turn."""
    needed, found = set(), set(names)
    while found:
        name = found.pop()
        needed.add(name)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # an extra that this environment lacks
            requirements = map(Requirement, importlib.metadata.requires(name) or [])
            asked = {lock.normal(r.name) for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}
            found |= {other for other in asked - needed if any(importlib.metadata.distributions(name=other))}
    return needed


def test_constraints_are_for_every_system():
    text = (ROOT / CONSTRAINTS).read_text()
    assert "colorama==" in text and "nvidia" not in text and "torch==" not in text and "numpy==" not in text


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
        from tests.helpers.addon_modules import addon_module

        found = addon_module("protocol.camera")
        assert Path(found.__file__) == Path(camera.__file__) and found.FFHQ.focal == camera.FFHQ.focal

    def test_links_and_pictures_of_the_guide_are_there(self, extension_zip):
        archive = zipfile.ZipFile(extension_zip)
        pages = {name: archive.read(name).decode() for name in archive.namelist() if re.fullmatch(r"docs/[^/]+\.html", name)}
        places = {name: set(re.findall(r'id="([^"]+)"', text)) for name, text in pages.items()}
        assert "docs/user-guide.html" in pages and len(places["docs/user-guide.html"]) > 15
        for name, text in pages.items():
            for link in re.findall(r'(?:href|src)="(?!https?:)([^"]+)"', text):
                page, _, place = link.partition("#")
                target = f"docs/{page}" if page else name
                assert target in archive.namelist() and (not place or place in places[target]), (name, link)

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
        [result] = testing.run_at_once([self.written(tmp_path, source)], tmp_path / "none.zip")
        return result

    def written(self, folder, source: str) -> testing.Run:
        folder.mkdir(exist_ok=True)
        (folder / "test_it.py").write_text(source)
        arguments = ["-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
        return testing.Run(folder.name, environments.MAIN, arguments)

    def test_runs_go_side_by_side_and_are_shown_in_their_order(self, tmp_path, capsys):
        meets = "import time\nfrom pathlib import Path\ndef test_meets():\n    Path({mine!r}).touch()\n    end = time.monotonic() + 60\n"
        meets += "    while not Path({other!r}).exists():\n        assert time.monotonic() < end\n        time.sleep(0.05)\n{last}"
        first, second = str(tmp_path / "a.txt"), str(tmp_path / "b.txt")
        runs = [
            self.written(tmp_path / "one", meets.format(mine=first, other=second, last="")),
            self.written(tmp_path / "two", meets.format(mine=second, other=first, last="    assert False, 'seen later'\n")),
        ]
        (status, summary), (failed, other) = testing.run_at_once(runs, tmp_path / "none.zip")
        assert (status, failed) == (0, 1) and summary.startswith("1 passed") and other.startswith("1 failed")
        shown = capsys.readouterr().out
        assert shown.index("=== one") < shown.index("1 passed") < shown.index("=== two") < shown.index("seen later")

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
            ("tests", ["tests/integration/test_backend_video.py", "-x"], ["-x", "tests/integration/test_backend_video.py"]),
            ("tests/blender", ["tests/integration/test_backend_video.py"], None),
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
        with pytest.raises(BuildError, match=r"not Blender 4\.5 or newer"):
            blenders.choose_blender(program, [environments.MAIN, environments.BPY_4_5])
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        assert blenders.choose_blender(None, [environments.MAIN, environments.BPY_4_5]).label == "bpy 4.5"

    @pytest.mark.skipif(common.WINDOWS, reason="stands in for Blender with a shell script")
    def test_new_blender_on_path_is_taken(self, tmp_path, monkeypatch):
        self.write_program(tmp_path, "5.2.2 LTS")
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        chosen = blenders.choose_blender(None, [environments.MAIN, environments.BPY_4_5, environments.BPY_5_2])
        assert (chosen.label, chosen.wheel) == ("Blender 5.2.2", False)

    def test_no_blender_at_all_is_said(self, monkeypatch):
        monkeypatch.setattr(blenders.shutil, "which", lambda name: None)
        with pytest.raises(BuildError, match=r"no Blender 4\.5 or newer"):
            blenders.choose_blender(None, [environments.MAIN])

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


class TestChecks:
    """python build.py check, with tools that only act."""

    @pytest.fixture
    def tools(self, monkeypatch):
        monkeypatch.setattr(checking, "setup", list)
        calls, failing = [], set()

        def run(command, **_options):
            calls.append(command[2:])
            return SimpleNamespace(returncode=int(" ".join(command[2:4]) in failing))

        monkeypatch.setattr(checking.subprocess, "run", run)
        return SimpleNamespace(calls=calls, failing=failing)

    def test_every_tool_runs_over_the_whole_tree_also_after_one_that_finds_something(self, tools, capsys):
        tools.failing.add("ruff format")
        assert checking.check() == 1
        assert tools.calls == [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"]]
        assert "Found something: ruff format." in capsys.readouterr().out

    def test_nothing_found(self, tools, capsys):
        assert checking.check() == 0 and "All clean." in capsys.readouterr().out

    def test_what_can_be_mended_is_mended_first(self, tools):
        assert checking.check(fix=True) == 0
        assert tools.calls[:2] == [["ruff", "check", "--fix", "--quiet", "."], ["ruff", "format", "--quiet", "."]] and len(tools.calls) == 5

    def test_the_same_commands_run_before_a_commit_and_on_the_forge(self, root):
        assert "entry: python build.py check" in (root / ".pre-commit-config.yaml").read_text()
        workflow = (root / ".github" / "workflows" / "ci.yml").read_text()
        for words in ("python build.py check", "python build.py test", "ubuntu-latest, macos-latest, windows-latest", '"3.11", "3.13"'):
            assert words in workflow


def test_the_table_of_moves_leads_to_what_is_there(root):
    moves = re.findall(r"^\| `(\S+)` \| `(\S+)` \|$", (root / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(moves) > 100
    assert [new for _old, new in moves if not (root / new).exists()] == []


def test_markers_pick_tests(root, run_python):
    """Each marker is registered, and some test has it; --strict-markers refuses any other."""
    marked = "\n".join(path.read_text(encoding="utf-8") for path in (root / "tests").rglob("*.py"))
    for marker in common.read_toml(root / "pyproject.toml")["tool"]["pytest"]["ini_options"]["markers"]:
        assert f"pytest.mark.{marker.partition(':')[0]}" in marked
    answer = run_python([sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "gpu", "tests/unit/test_rasterizer.py"])
    assert re.search(r"^1/\d+ tests collected", answer.stdout, re.MULTILINE), answer.stdout
