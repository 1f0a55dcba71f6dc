"""This Blender's backend: found by the preferences, started when first needed, stopped with Blender."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import bpy

from ..install.environment import MARKER, executable
from ..install.installer import EnvironmentInstaller, InstallSpec
from ..install.requirements import Requirements
from ..settings import preferences, user_folder
from .http_client import Client
from .process import BackendProcess, LaunchSettings

BACKEND = BackendProcess()
ENVIRONMENT = EnvironmentInstaller()
ADDON_FOLDER = Path(__file__).resolve().parent.parent


def connector() -> Callable[[], Client]:
    """What gives a client of the backend, in any thread, and starts it if it is not running: blocks, raises UserError.

    What it needs of Blender's data is read now.
    """
    return partial(BACKEND.client, launch_settings())


def backend_client() -> Client:
    """A client of the backend, which is started if it is not running. Blocks; raises UserError."""
    return connector()()


def launch_settings() -> LaunchSettings:
    """What starts the backend, from preferences and environment variables."""
    rigs = preferred_path("rigs")
    return LaunchSettings(python=backend_python(), payload=payload_folder(), log=log_file(), version=addon_version(), rigs=rigs)


@cache
def addon_version() -> str:
    """The extension's version as its manifest has it."""
    return tomllib.loads((ADDON_FOLDER / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]


def backend_python() -> Path | None:
    """The preference, else STYLERIG_PYTHON, else the environment in the extension's folder; None without any."""
    chosen = chosen_python()
    if chosen is not None:
        return chosen
    folder = environment_folder()
    return executable(folder) if (folder / MARKER).is_file() else None


def chosen_python() -> Path | None:
    """The Python that a person or STYLERIG_PYTHON names instead of the extension's own environment."""
    return preferred_path("backend_python") or (Path(os.environ["STYLERIG_PYTHON"]) if os.environ.get("STYLERIG_PYTHON") else None)


def preferred_path(name: str) -> Path | None:
    """A path of the preferences; None when it is empty."""
    path = getattr(preferences(), name, "")
    return Path(bpy.path.abspath(path)) if path else None


def environment_folder() -> Path:
    """Where the extension makes the backend's environment."""
    return user_folder() / "backend-env"


def environment_spec() -> InstallSpec:
    """What makes the environment, from preferences. Blender's own Python is never used for it."""
    return InstallSpec(
        folder=environment_folder(),
        requirements=Requirements(payload_folder()),
        log=environment_log(),
        cache=user_folder() / "pip-cache",
        python=preferred_path("base_python"),
        host=Path(bpy.utils.resource_path("LOCAL")),  # not sys.base_prefix: a distribution's Blender uses the system's Python
        wheels=preferred_path("wheels"),
        device=getattr(preferences(), "device", "cpu"),
        online=bpy.app.online_access,
    )


def may_install() -> bool:
    """Whether the environment's packages can be had: from the network, or from a folder of wheels."""
    return bpy.app.online_access or preferred_path("wheels") is not None


def environment_log() -> Path:
    return user_folder() / "environment.log"


def payload_folder() -> Path:
    """The folder that holds ``backend`` and ``models``: STYLERIG_PAYLOAD, in the extension, or the source tree."""
    if os.environ.get("STYLERIG_PAYLOAD"):
        return Path(os.environ["STYLERIG_PAYLOAD"])
    packed = ADDON_FOLDER / "payload"
    return packed if packed.is_dir() else ADDON_FOLDER.parent


def log_file() -> Path:
    """The backend's log; one per Blender, so that two of them do not write into each other's."""
    return user_folder() / f"backend-{os.getpid()}.log"


def unregister() -> None:
    """Stop what runs when the extension is disabled."""
    ENVIRONMENT.cancel()
    BACKEND.stop()
