"""Finding a Blender, the program or the bpy wheel, and installing the extension in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from backend.project.common import BuildError, say
from backend.project.environments import MAIN, Environment

EXTENSION = "bl_ext.user_default.stylerig"
OLDEST_BLENDER = (4, 5)
INSTALL_IN_WHEEL = """
import os, shutil, sys
import bpy
bpy.ops.extensions.package_install_files(
    filepath=sys.argv[1], repo="user_default", enable_on_install=True)
bpy.ops.wm.save_userpref()
enabled = sys.argv[2] in bpy.context.preferences.addons
shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
sys.stdout.flush()
os._exit(0 if enabled else 1)  # Blender 4.5 waits for ever at exit while an engine is registered
"""


@dataclass(frozen=True)
class Blender:
    """A Blender that runs scripts: the program, or the bpy wheel in its environment."""

    label: str
    executable: Path
    wheel: bool

    def command(self, script: Path, *arguments: str) -> list[str]:
        """The command that runs ``script`` with ``arguments`` after a ``--``."""
        if self.wheel:
            return [str(self.executable), str(script), "--", *arguments]
        head = [str(self.executable), "--background", "--python-exit-code", "1"]
        return [*head, "--python", str(script), "--", *arguments]

    def environment(self, user_folder: Path) -> dict[str, str]:
        """Environment variables for a process with a private user folder."""
        backend = {"STYLERIG_PYTHON": str(MAIN.executable)}
        return {**os.environ, "BLENDER_USER_RESOURCES": str(user_folder), **backend}

    def install(self, extension: Path, user_folder: Path) -> None:
        """Install and enable the zip as a person would, in an empty private user folder."""
        shutil.rmtree(user_folder, ignore_errors=True)
        user_folder.mkdir(parents=True)
        command = [self.executable, "--command", "extension", "install-file"]
        command += ["-r", "user_default", "--enable", extension]
        if self.wheel:
            command = [self.executable, "-c", INSTALL_IN_WHEEL, extension, EXTENSION]
        answer = subprocess.run(
            list(map(str, command)),
            env=self.environment(user_folder),
            timeout=300,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        there = any(user_folder.rglob("user_default/stylerig/blender_manifest.toml"))
        if answer.returncode or not there:  # Blender's own command may end with 0 without installing
            raise BuildError(f"{self.label} cannot install {extension}:\n{answer.stdout[-3000:]}")


def blender_program(path: str, must_work: bool) -> Blender | None:
    """The Blender program at ``path`` if it is new enough; None or an error otherwise."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        if must_work:
            raise BuildError(f"{path} does not run as Blender: {error}") from error
        return None
    found = re.search(r"Blender (\d+)\.(\d+)\S*", answer.stdout)
    if found and (int(found[1]), int(found[2])) >= OLDEST_BLENDER:
        return Blender(found[0], Path(path), wheel=False)
    if must_work:
        raise BuildError(f"{path} is not Blender 4.5 or newer.")
    say(f"{path} is older than Blender 4.5 and is left alone.")
    return None


def wheels(environments: list[Environment]) -> list[Blender]:
    """The bpy wheels among these environments, newest first."""
    bpys = [environment for environment in environments if not environment.base]
    return [Blender(f"bpy {environment.folder.rpartition('-')[2]}", environment.executable, wheel=True) for environment in reversed(bpys)]


def choose_blender(path: str | None, environments: list[Environment]) -> Blender:
    """The Blender at ``path``, else the one on PATH, else the newest wheel. Raises BuildError."""
    on_path = shutil.which("blender")
    found = blender_program(path, must_work=True) if path else on_path and blender_program(on_path, must_work=False)
    for blender in (found, *wheels(environments)):
        if blender:
            return blender
    raise BuildError(
        "There is no Blender 4.5 or newer. Install one, or Python 3.11 or 3.13, for which bpy is a package; then run this again."
    )
