"""Child processes: their variables, a group of their own, and how they are ended. Standard library only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

WINDOWS = os.name == "nt"
CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW = 0x200, 0x8000000  # subprocess has these on Windows only
# What variables that begin with PYTHON say is meant for this process's own Python and would mislead another; so do these.
FOREIGN_ENVIRONMENT = ("VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def clean_environment() -> dict[str, str]:
    """This process's environment variables without what is meant for its own Python."""
    return {name: value for name, value in os.environ.items() if not (name.startswith("PYTHON") or name in FOREIGN_ENVIRONMENT)}


def own_group() -> dict[str, Any]:
    """Options of Popen: a group of its own, so that all of it can be ended, and no console."""
    if WINDOWS:
        return {"creationflags": CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW}
    return {"start_new_session": True}


def hidden() -> dict[str, Any]:
    """Options of subprocess that keep Windows from opening a console."""
    return {"creationflags": CREATE_NO_WINDOW} if WINDOWS else {}


def kill_group(process: subprocess.Popen) -> None:
    """End the process and all that it started, without asking."""
    try:
        if sys.platform == "win32":  # an environment's python.exe only starts the real one, which would live on
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, **own_group())
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended already
