"""Where a person keeps what the product shall find beside what ships."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")  # what may be called by its file's or folder's name


def user_folder(kind: str, variable: str) -> Path:
    """A person's own folder of a ``kind``, "looks" or "rigs": the system's usual one, or what the environment's ``variable`` names.

    It need not be there.
    """
    if own := os.environ.get(variable):
        return Path(own).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "StyleRig" / kind
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "StyleRig" / kind
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "stylerig" / kind
