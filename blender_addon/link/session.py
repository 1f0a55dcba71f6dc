"""This Blender's backend: found by the preferences, started when first needed, stopped with Blender."""

from __future__ import annotations

import os
from pathlib import Path

from ..preferences import preferences, user_folder
from .client import Client
from .process import WINDOWS, BackendProcess, LaunchSettings

BACKEND = BackendProcess()
ADDON_FOLDER = Path(__file__).resolve().parent.parent
ENVIRONMENT = "backend-env"


def backend_client() -> Client:
    """A client of the backend, which is started if it is not running. Blocks; raises BackendError.

    From a thread that must not read Blender's data, use ``BACKEND.client(settings)`` with the
    ``launch_settings()`` taken before.
    """
    return BACKEND.client(launch_settings())


def launch_settings() -> LaunchSettings:
    """What starts the backend, from preferences and environment variables."""
    return LaunchSettings(python=backend_python(), payload=payload_folder(), log=log_file())


def backend_python() -> Path | None:
    """The preference, else STYLERIG_PYTHON, else the environment in the extension's folder; None without any."""
    chosen = getattr(preferences(), "backend_python", "")
    if chosen:
        import bpy

        return Path(bpy.path.abspath(chosen))
    if os.environ.get("STYLERIG_PYTHON"):
        return Path(os.environ["STYLERIG_PYTHON"])
    own = user_folder() / ENVIRONMENT / ("Scripts/python.exe" if WINDOWS else "bin/python")
    return own if own.is_file() else None


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
    """Stop the backend when the extension is disabled."""
    BACKEND.stop()
