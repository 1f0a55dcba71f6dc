"""The environments of the checkout, made from the pins in pyproject.toml."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from backend.project import common
from backend.project.common import WINDOWS, BuildError, read_toml, say

TORCH_INDEX = "https://download.pytorch.org/whl/"
GIGABYTE = 1 << 30
CUDA_TORCH_GIGABYTES = 9  # 5 installed, 3 of downloads meanwhile


@dataclass(frozen=True)
class Environment:
    """A virtual environment of the checkout, made from pins in pyproject.toml."""

    folder: str
    python: str  # the version of the interpreter, as in "3.11"
    extras: tuple[str, ...]  # lists of [project.optional-dependencies] it holds
    base: bool  # whether it holds [project] dependencies too
    gigabytes: float  # free space that building it needs, pip's cache included
    optional: bool = False  # left out, with a word, where its Python is not installed

    @property
    def path(self) -> Path:
        return common.ROOT / self.folder

    @property
    def executable(self) -> Path:
        return self.path / ("Scripts/python.exe" if WINDOWS else "bin/python")

    @property
    def marker(self) -> Path:
        """Written last: an environment without it is unfinished and is built anew."""
        return self.path / "stylerig-setup.json"

    def pins(self) -> list[str]:
        project = read_toml(common.ROOT / "pyproject.toml")["project"]
        pins = list(project["dependencies"]) if self.base else []
        for extra in self.extras:
            pins += project["optional-dependencies"][extra]
        return pins

    def fingerprint(self, device: str) -> str:
        content = json.dumps([self.python, self.pins(), device if self.base else ""])
        return hashlib.sha256(content.encode()).hexdigest()

    def state(self) -> dict:
        """What the marker says, or {} for an environment that is absent or unfinished."""
        try:
            return json.loads(self.marker.read_text()) if self.executable.exists() else {}
        except (OSError, ValueError):
            return {}


MAIN = Environment(".venv", "3.11", ("test",), base=True, gigabytes=3)
BPY_4_5 = Environment(".venv-bpy-4.5", "3.11", ("blender-4-5",), base=False, gigabytes=2)
BPY_5_2 = Environment(".venv-bpy-5.2", "3.13", ("blender-5-2",), base=False, gigabytes=2, optional=True)
ENVIRONMENTS = (MAIN, BPY_4_5, BPY_5_2)


def python_candidates(version: str) -> list[Path]:
    """Places where an interpreter of ``version`` may be, this one first."""
    name = f"python{version}"
    candidates = [Path(getattr(sys, "_base_executable", sys.executable))]
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    for folder in map(Path, os.get_exec_path()):
        candidates += [folder / f"{name}.exe", folder / "python.exe"] if WINDOWS else [folder / name]
        if folder.name == "shims":
            roots.append(folder.parent)
    for root in roots:
        candidates += sorted(root.glob(f"versions/{version}*/bin/{name}"), reverse=True)
    return candidates


def find_python(version: str) -> Path | None:
    """The first candidate that runs, is of this version and can make environments."""
    check = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in python_candidates(version):
        if not candidate.is_file():
            continue
        try:
            answer = subprocess.run([candidate, "-I", "-c", check], capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.stdout.strip() == version:
            return candidate
    return None


def default_device() -> str:
    """What .venv was made for; else cuda where NVIDIA's driver is installed, else cpu."""
    return MAIN.state().get("device") or ("cuda" if shutil.which("nvidia-smi") else "cpu")


def setup(device: str | None = None) -> list[Environment]:
    """Make every environment that is not there as pinned. Returns those that are there."""
    device = device or default_device()
    ready, built = [], False
    for environment in ENVIRONMENTS:
        if environment.state().get("fingerprint") != environment.fingerprint(device):
            python = find_python(environment.python)
            if python is None and environment.optional:
                say(f"Skipping {environment.folder}: Python {environment.python} is not installed.")
                continue
            if python is None:
                raise BuildError(
                    f"Python {environment.python} with venv is not installed."
                    f" Install it so that python{environment.python} is on PATH, then run this again."
                )
            build_environment(environment, python, device)
            built = True
        ready.append(environment)
    if built:
        shutil.rmtree(common.BUILD / "pip-cache", ignore_errors=True)
    return ready


def build_environment(environment: Environment, python: Path, device: str) -> None:
    """Make or renew one environment; its marker goes first and comes back last."""
    started = time.monotonic()
    finished_before = bool(environment.state())
    require_space(environment, environment.gigabytes)
    say(f"Setting up {environment.folder} (Python {environment.python}, {python})")
    environment.marker.unlink(missing_ok=True)
    if not finished_before:
        shutil.rmtree(environment.path, ignore_errors=True)
        run_checked([python, "-m", "venv", environment.path], f"Cannot make {environment.folder}")
    if environment.base:
        install_torch(environment, device)
    pip_install(environment, [pin for pin in environment.pins() if not pin.startswith("torch==")])
    content = {"fingerprint": environment.fingerprint(device), "device": device}
    environment.marker.write_text(json.dumps(content))
    say(f"{environment.folder} is ready ({time.monotonic() - started:.0f} s)")


def require_space(environment: Environment, gigabytes: float) -> None:
    free = shutil.disk_usage(common.ROOT).free / GIGABYTE
    if free < gigabytes:
        raise BuildError(
            f"{environment.folder} needs about {gigabytes:g} GB; the disk of {common.ROOT} has {free:.1f} GB free."
            " Free some space and run this again."
        )


def install_torch(environment: Environment, device: str) -> None:
    """Install the build of torch for ``device``.

    On Linux the package index holds the CUDA build, and CPU builds (version +cpu) come from
    the person's own pip configuration or from PyTorch's index. Where neither has one, the CUDA
    build serves: it runs on the CPU too. Elsewhere the package index holds the CPU build.
    """
    pin = next(pin for pin in environment.pins() if pin.startswith("torch=="))
    linux = sys.platform.startswith("linux")
    wanted = [pin]
    if linux and device == "cpu":
        index = ["--retries", "0", "--timeout", "15", "--extra-index-url", TORCH_INDEX + "cpu"]
        if not try_pip(environment, [f"{pin}+cpu"], quiet=True):
            return
        if not try_pip(environment, [f"{pin}+cpu", *index], quiet=True):
            return
        say("No CPU build of torch can be reached: taking the CUDA build, about 5 GB installed.")
    elif linux:
        wanted = [pin.replace("==", "===")]  # exactly this version: not a +cpu build
    elif WINDOWS and device == "cuda":
        wanted = [f"{pin}+cu130", "--extra-index-url", TORCH_INDEX + "cu130"]
    if linux or device == "cuda":
        require_space(environment, CUDA_TORCH_GIGABYTES)
    pip_install(environment, wanted)


def try_pip(environment: Environment, arguments: list[str], quiet: bool = False) -> str:
    """Run pip install with its progress shown. Returns what it complained of, "" if it worked."""
    cache = os.environ.get("PIP_CACHE_DIR") or str(common.BUILD / "pip-cache")
    command = [environment.executable, "-m", "pip", "install", "--no-input", "--progress-bar", "on"]
    command += ["--disable-pip-version-check", "--cache-dir", cache, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        complaints = ""
        for line in process.stderr:
            complaints += line
            if not quiet:
                print(line, end="", file=sys.stderr, flush=True)
    return "" if process.returncode == 0 else complaints or "pip stopped without a word"


def pip_install(environment: Environment, arguments: list[str]) -> None:
    complaints = try_pip(environment, arguments)
    if not complaints:
        return
    reason = "pip could not install what pyproject.toml pins (its words are above)."
    if "No space left" in complaints or "Disk quota" in complaints:
        reason = "The disk is full. Free some space and run this again."
    elif re.search(r"connection broken|resolve|timed out|Max retries|ProxyError|SSLError", complaints):
        reason = "The package index cannot be reached. Check the network or pip's settings and run this again."
    raise BuildError(f"Setting up {environment.folder} failed. {reason}")


def run_checked(command: list, failure: str, **options) -> None:
    if subprocess.run(list(map(str, command)), **options).returncode:
        raise BuildError(f"{failure} (see above).")
