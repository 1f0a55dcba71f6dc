"""The environments of the checkout, made from the pins in pyproject.toml by the extension's own installer."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from backend.project import common
from backend.project.common import BuildError, say
from blender_addon.errors import UserError
from blender_addon.install import environment as installed
from blender_addon.install import python_discovery
from blender_addon.install.installer import EnvironmentInstaller, InstallSpec, Progress
from blender_addon.install.requirements import Requirements

LOOK_SECONDS = 0.1  # between two looks at how far the installer is
EVERYTHING = ("importers", "video", "ray", "train", "test", "dev")  # extras


@dataclass(frozen=True)
class Environment:
    """A virtual environment of the checkout, made from pins in pyproject.toml."""

    folder: str
    pythons: tuple[str, ...]  # versions of the interpreter that will do, as in "3.11"
    extras: tuple[str, ...]  # lists of [project.optional-dependencies] it holds
    base: bool  # whether it holds [project] dependencies too
    gigabytes: float  # free space that building it needs, pip's cache included
    optional: bool = False  # left out, with a word, where its Python is not installed

    @property
    def path(self) -> Path:
        return common.ROOT / self.folder

    @property
    def executable(self) -> Path:
        return installed.executable(self.path)

    @property
    def log(self) -> Path:
        """What was called to make it, and what that printed."""
        return common.BUILD / f"{self.folder.lstrip('.')}.log"

    @property
    def requirements(self) -> Requirements:
        return Requirements(common.ROOT, self.extras, self.base)

    def state(self) -> dict[str, str]:
        """What the marker says, or {} for an environment that is absent or unfinished."""
        return installed.read_marker(self.path)

    def is_ready(self, device: str) -> bool:
        """Whether it is made, from the pins of today and with the torch for ``device``."""
        fitting = not self.base or self.state().get("device") == device
        return fitting and installed.state(self.path, self.requirements) == "ready"

    def spec(self, device: str) -> InstallSpec:
        """What makes it. The Python that runs build.py is taken if it will do."""
        return InstallSpec(
            folder=self.path,
            requirements=self.requirements,
            log=self.log,
            cache=common.BUILD / "pip-cache" / self.folder,
            versions=self.pythons,
            preferred=Path(getattr(sys, "_base_executable", sys.executable)),
            device=device,
            check=False,
            gigabytes=self.gigabytes if device == "cpu" or not self.base else None,
        )


MAIN = Environment(".venv", python_discovery.VERSIONS, EVERYTHING, base=True, gigabytes=3)
BPY_4_5 = Environment(".venv-bpy-4.5", ("3.11",), ("blender-4-5",), base=False, gigabytes=2, optional=True)
BPY_5_2 = Environment(".venv-bpy-5.2", ("3.13",), ("blender-5-2",), base=False, gigabytes=2, optional=True)
ENVIRONMENTS = (MAIN, BPY_4_5, BPY_5_2)


def default_device() -> str:
    """What .venv was made for; else cuda where NVIDIA's driver is installed, else cpu."""
    return MAIN.state().get("device") or ("cuda" if shutil.which("nvidia-smi") else "cpu")


def setup(device: str | None = None) -> list[Environment]:
    """Make every environment that is not there as pinned. Returns those that are there."""
    device = device or default_device()
    ready = []
    for environment in ENVIRONMENTS:
        try:
            if not environment.is_ready(device):
                build_environment(environment, device)
            ready.append(environment)
        except UserError as error:
            if error.code != "no_python" or not environment.optional:
                raise BuildError(f"Setting up {environment.folder} failed. {error}") from error
            say(f"Skipping {environment.folder}: Python {environment.pythons[0]} is not installed.")
    return ready


def build_environment(environment: Environment, device: str) -> None:
    """Make or renew one environment. Raises UserError; Ctrl-C leaves what is there for the next attempt."""
    installer = EnvironmentInstaller()
    say(f"Setting up {environment.folder} (log: {environment.log})")
    installer.start(environment.spec(device))
    try:
        show_progress(installer)
    except KeyboardInterrupt:
        installer.cancel()
        installer.wait()
        raise
    installer.wait()
    say(f"{environment.folder} is ready: Python {environment.state()['python']} ({installer.elapsed:.0f} s)")


def show_progress(installer: EnvironmentInstaller) -> None:
    """Print the steps while the installer is busy; on a terminal also how far each is."""
    shown, width = Progress(), 0
    while installer.busy:
        progress = installer.progress
        if progress.step != shown.step:
            print(f"\r{'':{width}}\r" if width else "", end="")
            say(f"  {progress.step}")
            width = 0
        elif sys.stdout.isatty() and str(progress.detail) != str(shown.detail):
            text = f"    {progress.detail}"
            print(f"\r{text:{width}}", end="", flush=True)
            width = len(text)
        shown = progress
        time.sleep(LOOK_SECONDS)
    print("\n" * bool(width), end="")
