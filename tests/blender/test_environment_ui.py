"""The button that makes the backend's environment, inside Blender; the making itself has its own tests outside."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import bpy
import pytest

ACTOR = """#!{python} -IS
import json, pathlib, shutil, sys, time
words = [word for word in sys.argv[1:] if word not in ("-I", "-u")]
if words[:1] == ["-c"]:
    print(json.dumps(["3.11.9", "/somewhere", 8, []]))
elif words[:2] == ["-m", "venv"]:
    (pathlib.Path(words[2]) / "bin").mkdir(parents=True)
    shutil.copy(__file__, pathlib.Path(words[2]) / "bin/python")
elif words[:2] == ["-m", "pip"]:
    time.sleep({delay})
elif words[:3] == ["-m", "backend", "doctor"]:
    print(json.dumps(dict(version="1", ok=True, checks=[dict(name="device", ok=True, message="torch 2.13.0 on cpu", hint="")]), indent=2))
"""


@pytest.fixture
def preferences(extension, part, tmp_path, no_backend_environment):
    """The extension's preferences, with a Python that acts and a folder of wheels."""
    settings = bpy.context.preferences.addons[extension.__name__].preferences
    settings.base_python, settings.wheels = str(actor(tmp_path)), str(tmp_path)
    (tmp_path / "a.whl").touch()
    yield settings
    installer = part("client.backend_manager").ENVIRONMENT
    installer.cancel()
    if installer._thread:
        installer._thread.join()
    installer.error, installer.cancelled = None, False
    part("install.environment").remove(part("client.backend_manager").environment_folder())
    settings.base_python = settings.wheels = settings.backend_python = ""


def actor(folder: Path, delay: float = 0) -> Path:
    path = folder / "python3.11"
    path.write_text(ACTOR.format(python=sys.executable, delay=delay))
    path.chmod(0o755)
    return path


def test_one_button(part, preferences):
    session = part("client.backend_manager")
    assert session.backend_python() is None and part("ui.status").backend_state() == "No environment"
    assert bpy.ops.stylerig.make_environment() == {"FINISHED"}
    assert session.backend_python() == part("install.environment").executable(session.environment_folder())
    assert part("ui.status").backend_state() == "Backend is off"
    assert bpy.ops.stylerig.remove_environment() == {"FINISHED"}
    assert session.backend_python() is None and not bpy.ops.stylerig.remove_environment.poll()


def test_it_lies_in_the_extensions_own_folder(part, preferences):
    spec = part("client.backend_manager").environment_spec()
    assert spec.folder.parent == part("settings").user_folder() == spec.log.parent
    assert spec.host == Path(bpy.utils.resource_path("LOCAL")) and not Path(sys.executable).is_relative_to(spec.host)
    assert spec.requirements.constraints.is_file() and spec.requirements.pins()


def test_blender_goes_on_meanwhile(part, preferences, tmp_path):
    actor(tmp_path, delay=30)
    session, environment = part("client.backend_manager"), part("ui.installation")
    environment.begin()  # what the button does in a window
    end = time.monotonic() + 20
    while session.ENVIRONMENT.progress.step != "Installing torch":
        assert time.monotonic() < end
        time.sleep(0.02)
    assert environment.watch() == environment.POLL_SECONDS
    assert part("ui.status").backend_state() == "Setting up…"
    assert not bpy.ops.stylerig.make_environment.poll() and not bpy.ops.stylerig.remove_environment.poll()
    assert bpy.ops.stylerig.cancel_environment() == {"FINISHED"}
    session.ENVIRONMENT.wait()
    assert session.ENVIRONMENT.cancelled and environment.watch() is None
    assert session.backend_python() is None  # half made is not there


def test_online_access_is_honoured(part, preferences):
    if bpy.app.online_access:
        bpy.context.preferences.system.use_online_access = False
    preferences.wheels = ""
    with pytest.raises(RuntimeError, match=r"not allowed to go online.*Allow Online Access"):
        bpy.ops.stylerig.make_environment()
    assert not part("client.backend_manager").environment_folder().exists()


def test_a_python_that_will_not_do(part, preferences, tmp_path):
    preferences.base_python = str(tmp_path / "none")
    with pytest.raises(RuntimeError, match="there is no such file"):
        bpy.ops.stylerig.make_environment()


class Drawn:
    """A layout that notes what is drawn into it."""

    def __init__(self, noted=None):
        self.__dict__["noted"] = [] if noted is None else noted

    def __setattr__(self, name, value):
        pass

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.noted.append((name, *arguments, options.get("text")))
            return (Drawn(self.noted), Drawn(self.noted)) if name == "panel" else Drawn(self.noted)

        return call


def test_the_panel_sets_up_at_once_where_nothing_needs_a_choice(part, preferences):
    def buttons() -> list[str]:
        layout = Drawn()
        part("ui.status").draw_backend(layout)
        return [name for kind, name, *_ in layout.noted if kind == "operator"]

    bpy.context.preferences.system.use_online_access = False
    assert buttons() == ["stylerig.make_environment"]  # from the wheels
    preferences.wheels = ""
    assert buttons() == ["preferences.addon_show"]  # where it can be allowed to go online
    preferences.wheels = str(preferences.base_python)
    part("client.backend_manager").ENVIRONMENT.cancelled = True
    assert buttons() == ["preferences.addon_show"]


def test_the_panel_says_what_will_be_downloaded(part, preferences, monkeypatch):
    monkeypatch.setattr(part("client.backend_manager"), "may_install", lambda: True)
    preferences.wheels = ""
    for device, size in (("cpu", "0.3 GB"), ("cuda", "3 GB")):
        preferences.device = device
        layout = Drawn()
        part("ui.status").draw_backend(layout)
        assert size in " ".join(str(entry[-1]) for entry in layout.noted)
    preferences.device = "cpu"


def test_preferences_tell_the_state(part, preferences):
    def words():
        layout = Drawn()
        part("ui.installation").draw(layout, bpy.context, preferences)
        return str(layout.noted)

    assert "not made yet" in words() and "Make Environment" in words()
    bpy.ops.stylerig.make_environment()
    assert "is ready" in words() and "torch 2.13.0 on cpu" in words() and "Open Log" in words()
    (part("client.backend_manager").environment_folder() / part("install.environment").MARKER).unlink()
    assert "half made" in words() and "Resume" in words()
    preferences.backend_python = "/elsewhere/python"
    assert "/elsewhere/python" in words()
