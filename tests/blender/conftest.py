"""Tests inside Blender: the extension is installed from the built zip, in a private user folder.

Installing happens in a process of its own, as for a person who then starts Blender anew.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from backend.project.blender import EXTENSION, Blender
from backend.project.extension import package

STARTED = {}


def pytest_sessionstart(session: pytest.Session) -> None:
    folder = Path(tempfile.mkdtemp(prefix="stylerig-test-"))
    made = os.environ.get("STYLERIG_ZIP")
    extension = Path(made) if made else package(folder)
    user_folder = folder / "user"
    blender = Blender("bpy", Path(sys.executable), wheel=True)
    blender.install(extension, user_folder)
    os.environ.update(blender.environment(user_folder))

    import bpy  # noqa: F401  (makes addon_utils importable)

    # isort: split
    import addon_utils

    STARTED.update(folder=folder, status=1)
    addon_utils.enable(EXTENSION, default_set=True)
    if EXTENSION not in sys.modules:
        raise pytest.UsageError(f"{EXTENSION} is installed but cannot be enabled")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    STARTED["status"] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without Blender's own way out: 4.5 waits there for ever while an engine is registered."""
    if not STARTED:
        return
    import addon_utils
    import bpy

    addon_utils.disable(EXTENSION)
    for folder in (STARTED["folder"], bpy.app.tempdir):
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STARTED["status"])


@pytest.fixture(scope="session")
def extension():
    """The extension's package, as Blender enabled it."""
    return importlib.import_module(EXTENSION)


@pytest.fixture(scope="session")
def part(extension):
    """A module of the installed extension by its name: part("rig.build")."""
    return lambda name: importlib.import_module(f"{extension.__name__}.{name}")


@pytest.fixture
def empty_scene():
    """A new file without objects, before and after the test."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    yield bpy.context.scene
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)


@pytest.fixture
def no_backend_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the backend's environment was never made."""
    monkeypatch.delenv("STYLERIG_PYTHON", raising=False)


@pytest.fixture
def client(extension, monkeypatch):
    """Requests are kept and answered with random frames, without a backend."""
    from output_shot import KnownClient, random_frame, use_client

    client = KnownClient(random_frame)
    use_client(extension, monkeypatch, client)
    return client


@pytest.fixture
def rig(part, empty_scene):
    """A rig built from the fake backend's face, without a backend."""
    import bpy
    import fake_backend

    portrait = fake_backend.new_portrait(7, 0.7)
    return part("rig.build").build_rig(bpy.context, portrait, fake_backend.mesh_of(portrait))


@pytest.fixture
def server(part, monkeypatch):
    """The fake backend in this process, whose delay and refusals a test may change."""
    import fake_backend

    with fake_backend.FakeBackend() as backend:
        client = part("client.http_client").Client(backend.port, backend.token)
        monkeypatch.setattr(part("client.backend_manager").BACKEND, "client", lambda _settings: client)
        yield backend


@pytest.fixture
def backend(part, monkeypatch, tmp_path):
    """The extension's own backend process is the fake one."""
    import fake_backend

    monkeypatch.setenv("STYLERIG_PYTHON", sys.executable)
    monkeypatch.setenv("STYLERIG_PAYLOAD", str(fake_backend.make_payload(tmp_path / "payload")))
    yield part("client.backend_manager").BACKEND
    part("live.controller").VIEW.stop()
    part("client.backend_manager").BACKEND.stop()
