"""Where things are, and how the commands speak."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
DIST = ROOT / "dist"
WINDOWS = os.name == "nt"


class BuildError(Exception):
    """Something the person at the keyboard can put right; the message says how."""


def say(text: str) -> None:
    print(text, flush=True)


def read_toml(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))
