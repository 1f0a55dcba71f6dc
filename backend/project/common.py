"""Where things are, and how the commands speak."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
DIST = ROOT / "dist"
WINDOWS = os.name == "nt"
# What these say was meant for another Python than those of the environments, which are started from here.
FOREIGN_ENVIRONMENT = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONSAFEPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "PYTHONINSPECT",
    "PYTHONOPTIMIZE", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__",
)  # fmt: skip


class BuildError(Exception):
    """Something the person at the keyboard can put right; the message says how."""


def prepare_process() -> None:
    """Output that takes every text, and no variables for the environments' Pythons to stumble over."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")
    for name in FOREIGN_ENVIRONMENT:
        os.environ.pop(name, None)


def say(text: str) -> None:
    print(text, flush=True)


def read_toml(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))
