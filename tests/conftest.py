"""What all tests share. Also loaded inside Blender's Python: standard library and pytest only."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from backend.project.blender import Blender, wheels  # noqa: E402
from backend.project.environments import ENVIRONMENTS, MAIN  # noqa: E402
from backend.project.extension import package  # noqa: E402

# tests/blender needs bpy and runs in Blender's own environments: see build.py test.
collect_ignore = [] if importlib.util.find_spec("bpy") else ["blender"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of tests/blender are marked, so that ``-m blender`` and ``-m "not blender"`` pick by where they run."""
    for item in items:
        if ROOT / "tests" / "blender" in item.path.parents:
            item.add_marker(pytest.mark.blender)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared(root: Path) -> Path:
    """The folder of reference material beside the checkout; skips where there is none."""
    folder = root.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared")
    return folder


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension's zip: the one build.py made for this run, else a new one."""
    made = os.environ.get("STYLERIG_ZIP")
    return Path(made) if made else package(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def backend_python() -> Path:
    """The interpreter of the backend's environment."""
    if not MAIN.executable.exists():
        pytest.skip("needs .venv: run python build.py setup")
    return MAIN.executable


def blenders() -> list[Blender]:
    """The bpy wheels of this checkout, newest first."""
    return wheels([environment for environment in ENVIRONMENTS if environment.state()])


@pytest.fixture(scope="session")
def blender(tmp_path_factory: pytest.TempPathFactory) -> Blender:
    """The newest Blender of this checkout."""
    found = blenders()
    if not found:
        pytest.skip("needs a bpy environment: run python build.py setup")
    return found[0]


@pytest.fixture
def run_python(root: Path):
    """run_python(arguments, **options): runs an interpreter from the root, output captured as text."""

    def run(arguments: list, timeout: float = 300, **options) -> subprocess.CompletedProcess:
        command = list(map(str, arguments))
        options = {"cwd": root, "stdin": subprocess.DEVNULL, **options}
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)

    return run
