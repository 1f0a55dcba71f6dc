"""backend/constraints.txt: one version of every package that the pinned ones need in turn, for all environments and Pythons."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

from backend.project import common
from backend.project.common import BuildError, say
from backend.project.environments import ENVIRONMENTS, MAIN
from blender_addon.install.python_discovery import VERSIONS
from blender_addon.install.requirements import CONSTRAINTS

HEADER = """# What the packages pinned in pyproject.toml need in turn, for Python 3.11 to 3.13 and every environment alike.
# Made by "python build.py lock" from what is installed; torch pins its own CUDA packages.
"""
ELSEWHERE = ("colorama",)  # needed on Windows only, so not seen when this is made on another system
UNLOCKED = {"pip", "setuptools"}  # come with an environment
LARGE = {"torch", "bpy"}  # not asked of the index: what they need is installed already


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock() -> int:
    """Write the constraints, after seeing that wheels for every Python agree with them."""
    pins = dict(pin.split("==") for environment in ENVIRONMENTS for pin in environment.requirements.pins())
    direct = {normal(name) for name in pins}
    found = {name: version for name, version in installed().items() if name not in direct | UNLOCKED}
    for version in VERSIONS:
        say(f"Asking the package index for Python {version}")
        found |= {name: at for name, at in resolve(version, found).items() if name not in direct | UNLOCKED}
    path = common.ROOT / CONSTRAINTS
    path.write_text(HEADER + "".join(f"{name}=={found[name]}\n" for name in sorted(found)), encoding="utf-8")
    say(f"{path}: {len(found)} packages")
    return 0


def installed() -> dict[str, str]:
    """Name -> version of what the environments hold. BuildError where two hold different versions of what no pin decides."""
    found: dict[str, str] = {}
    direct = {normal(pin.partition("==")[0]) for environment in ENVIRONMENTS for pin in environment.requirements.pins()}
    for environment in (environment for environment in ENVIRONMENTS if environment.state()):
        command = [str(environment.executable), "-I", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
        for entry in json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout):
            name, version = normal(entry["name"]), entry["version"]
            if found.setdefault(name, version) != version and name not in direct | UNLOCKED:
                raise BuildError(f"{name} is {found[name]} in one environment and {version} in {environment.folder}. Make both again.")
    return found


def resolve(python: str, known: dict[str, str]) -> dict[str, str]:
    """Name -> version of all that the pins need on this Python, with the versions that are known; nothing is installed."""
    pins = [pin for pin in MAIN.requirements.pins() if pin.partition("==")[0] not in LARGE]
    wanted = [*pins, *(f"{name}=={version}" for name, version in known.items()), *(name for name in ELSEWHERE if name not in known)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [str(MAIN.executable), "-I", "-m", "pip", "install", "--dry-run", "--ignore-installed", "--only-binary=:all:"]
        command += ["--python-version", python, "--target", folder, "--report", str(report), "--quiet", "--disable-pip-version-check"]
        answer = subprocess.run([*command, *wanted], capture_output=True, text=True)
        if answer.returncode:
            raise BuildError(f"The pins do not fit together for Python {python}:\n{answer.stderr[-2000:]}")
        packages = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {normal(package["metadata"]["name"]): package["metadata"]["version"] for package in packages}
