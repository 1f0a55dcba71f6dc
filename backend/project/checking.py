"""Checking the sources: ruff's format and lint, mypy's types."""

from __future__ import annotations

import subprocess

from backend.project.common import ROOT, say
from backend.project.environments import MAIN, setup

TOOLS = (["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"])
MENDING = (["ruff", "check", "--fix", "--quiet", "."], ["ruff", "format", "--quiet", "."])


def check(fix: bool = False) -> int:
    """Run every tool, also after one that found something. 0 only if none did; ``fix``: let ruff mend what it can first."""
    setup()
    for tool in MENDING if fix else ():
        run(tool)
    found = [" ".join(tool[:2]) for tool in TOOLS if run(tool)]
    say(f"Found something: {', '.join(found)}. Some of it is mended by: python build.py check --fix" if found else "All clean.")
    return 1 if found else 0


def run(tool: list[str]) -> int:
    """A tool's exit status; what it is told stands in pyproject.toml."""
    say(f"$ {' '.join(tool)}")
    return subprocess.run([str(MAIN.executable), "-m", *tool], cwd=ROOT).returncode
