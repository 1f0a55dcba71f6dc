"""Modules of the add-on that need no Blender, imported without the package's own ``__init__``, which needs one."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

PACKAGE = "addon_without_blender"


def addon_module(name: str) -> types.ModuleType:
    """addon_module("live.policy"): the module of this name."""
    if PACKAGE not in sys.modules:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(Path(__file__).resolve().parents[2] / "blender_addon")]
        sys.modules[PACKAGE] = package
    return importlib.import_module(f"{PACKAGE}.{name}")
