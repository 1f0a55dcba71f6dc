"""Job types for the managers of farms: what they make is run as a worker runs it, over the fake rig."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.cli import main
from tests.helpers import fake_rig

ROOT = fake_rig.ROOT
JOB_TYPES = ROOT / "backend" / "farm" / "job_types"
NODE = shutil.which("node")
FRAMES = 5
needs_node = pytest.mark.skipif(not NODE, reason="needs node, to run the job type's JavaScript")
BACKEND = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from backend.cli.main import main
from tests.helpers import fake_rig
sys.exit(main(sys.argv[1:], rig_loader=fake_rig.load))
"""


@pytest.fixture
def stylerig(tmp_path) -> Path:
    """A folder that stands for that of StyleRig: its backend draws with the fake rig."""
    (tmp_path / "stylerig" / "backend").mkdir(parents=True)
    (tmp_path / "stylerig" / "backend" / "__main__.py").write_text(BACKEND)
    return tmp_path / "stylerig"


@pytest.fixture
def shot(tmp_path) -> Path:
    path = tmp_path / "shot.json"
    frames = [{"rotation": [number / 10, 0, 0]} for number in range(FRAMES)]
    path.write_text(json.dumps({"portrait": {"seed": 7}, "frames": frames, "output": {"size": 32}}))
    return path


def compiled(**settings) -> dict:
    """Job type and tasks, as the manager has them of these settings."""
    harness = ROOT / "tests" / "helpers" / "flamenco.js"
    command = [NODE, harness, JOB_TYPES / "stylerig_render.js", json.dumps(settings)]
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    if answer.returncode:
        raise ValueError(answer.stderr)
    return json.loads(answer.stdout)


def arguments_of(command: dict, variables: dict[str, str]) -> list[str]:
    """The command line that a Flamenco worker starts: exe, exeArgs, argsBefore, blendfile if there is one, args."""
    given = command["parameters"]
    words = [given["exe"], *given.get("argsBefore", []), *filter(None, [given.get("blendfile")]), *given["args"]]
    return [re.sub(r"\{(\w+)\}", lambda found: variables[found[1]], word) for word in words]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


@needs_node
def test_flamencos_tasks_draw_the_frames_and_the_film(tmp_path, stylerig, shot):
    out = tmp_path / "out"
    tasks = compiled(rig_file=str(shot), frames="1-5", chunk_size=3, render_output=str(out), size=48)["tasks"]
    assert [(task["name"], task["type"]) for task in tasks] == [("render-1-3", "misc"), ("render-4,5", "misc"), ("film", "misc")]
    assert tasks[2]["dependencies"] == ["render-1-3", "render-4,5"]
    assert [task["commands"][0]["totalStepCount"] for task in tasks] == [3, 2, 0]
    variables = {"stylerigPython": sys.executable, "stylerig": str(stylerig)}
    for task in tasks:
        answer = run(arguments_of(task["commands"][0], variables), tmp_path)
        assert answer.returncode == 0, answer.stderr
    assert len(list(out.glob("frame_*.png"))) == FRAMES
    assert {path.name for path in (out / "film").iterdir()} == {"film.mp4", "contact-sheet.png"}

    first = arguments_of(tasks[0]["commands"][0], variables)
    (out / "frame_0002.png").unlink()
    told = run(first, tmp_path).stdout  # a task that is queued again draws what is missing
    assert re.findall(r"^Saved: '(.*)'$", told, re.MULTILINE) == [str(out / "frame_0002.png")]  # as Flamenco's worker reads it
    assert len(re.findall(r"^skipping existing frame", told, re.MULTILINE)) == 2
    assert re.search(r"^Time: ([0-9:.]+)", told, re.MULTILINE)


@needs_node
def test_flamenco_renders_scenes_with_blender():
    tasks = compiled(renderer="Blender", blendfile="/shots/a.blend", frames="8-12,20", chunk_size=10, render_output="/out")["tasks"]
    assert [task["type"] for task in tasks] == ["blender", "misc"]
    given = tasks[0]["commands"][0]["parameters"]
    assert (given["exe"], given["exeArgs"], given["blendfile"]) == ("{blender}", "{blenderArgs}", "/shots/a.blend")
    assert given["args"][given["args"].index("--render-frame") + 1] == "8..12,20"
    assert given["args"].count("--python-expr") == 3 and "StyleRig Check" in given["args"][-1]
    assert given["args"].index("--render-frame") > given["args"].index("--render-output") > 0 and "--scene" not in given["args"]
    assert "use_overwrite = render.use_placeholder = False" in " ".join(given["args"])  # a task that is queued again goes on


@needs_node
def test_flamenco_renders_what_blender_submits():
    asked = {"renderer": "Blender", "blendfile": "/shots/a.blend", "frames": "1,4,7", "render_output": "/out", "chunk_size": 2}
    own = {"own_output": True, "scene": "Shot 2"}
    first, second = compiled(**asked, **own, format="exr")["tasks"]  # no film of EXR files
    given = first["commands"][0]["parameters"]["args"]
    assert given[:2] == ["--scene", "Shot 2"] and not {"--render-output", "--render-format"} & set(given)
    assert given[given.index("--render-frame") + 1] == "1,4" and second["name"] == "render-7"
    assert [task["name"] for task in compiled(**asked, **own, format="png")["tasks"]][-1] == "film"
    assert [task["name"] for task in compiled(**asked, format="exr")["tasks"]][-1] == "film"  # written as PNG


@needs_node
@pytest.mark.parametrize("settings", [{"renderer": "Blender"}, {"renderer": "rig file"}])
def test_flamenco_is_told_what_is_missing(settings):
    with pytest.raises(ValueError, match=r"needs a (scene|rig file)"):
        compiled(frames="1", render_output="/out", **settings)


@needs_node
def test_flamencos_settings_are_of_its_kinds():
    settings = compiled(rig_file="a", frames="1", render_output="/out")["type"]["settings"]
    assert {setting["type"] for setting in settings} <= {"string", "int32", "float", "bool"}
    assert {setting.get("subtype", "dir_path") for setting in settings} <= {"dir_path", "file_path", "file_name", "hashed_file_path"}
    assert all(setting["description"] for setting in settings)


def test_open_job_description_runs_the_template(tmp_path, stylerig, shot):
    pytest.importorskip("openjd", reason="needs the extra 'test'")
    values = {"RigFile": shot, "Frames": "1,3", "Output": tmp_path / "out", "Size": 32, "Python": sys.executable, "StyleRig": stylerig}
    options = [word for name, value in values.items() for word in ("--job-param", f"{name}={value}")]
    command = [sys.executable, "-m", "openjd", "run", str(JOB_TYPES / "stylerig-render.yaml"), "--step", "Frames", *options]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=os.environ)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-2000:]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"frame_{number:04}.png" for number in (1, 3)]


@pytest.mark.parametrize("manager", ["flamenco", "openjd"])
def test_job_types_are_installed_by_a_command(tmp_path, capsys, manager):
    assert main.main(["job-type", manager, str(tmp_path / "scripts")]) == 0
    [made] = (tmp_path / "scripts").iterdir()
    assert made.read_bytes() == (JOB_TYPES / made.name).read_bytes() and capsys.readouterr().out == f"{made}\n"


def test_job_types_are_in_the_zip():
    from backend.project.extension import extension_files

    assert {f"payload/backend/farm/job_types/{path.name}" for path in JOB_TYPES.iterdir()} <= {name for _, name in extension_files()}
