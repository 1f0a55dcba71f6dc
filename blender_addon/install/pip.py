"""pip's variables and arguments, and how far it is by what it prints. Standard library only."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ..errors import Text
from .child_process import clean_environment

PIP = "pip==25.3"  # the one that comes with Python 3.11 reports no progress
TORCH_INDEX = "https://download.pytorch.org/whl/"
CUDA = "cu130"  # the build of torch for NVIDIA's cards that Windows is given
# Settings of a person's pip that would lead packages elsewhere than into the environment.
PIP_OVERRIDES = ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PIP_PYTHON", "PIP_LOG")
RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
FILE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.]*?)-\d")
MEGABYTE = 1e6
INSTALLING = 0.9  # of a step: all is downloaded


def command_environment() -> dict[str, str]:
    """Environment variables for pip, venv and doctor; what a person set for pip's index, cache and proxy stays."""
    variables = {name: value for name, value in clean_environment().items() if name not in PIP_OVERRIDES}
    return {**variables, "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}


def source_arguments(cache: Path, wheels: Path | None) -> list[str]:
    """Where pip takes packages from and keeps downloads."""
    found = [] if "PIP_CACHE_DIR" in command_environment() else ["--cache-dir", str(cache)]
    return [*found, "--no-index", "--find-links", str(wheels)] if wheels is not None else found


def torch_choices(pin: str, device: str, wheels: bool, room_for_cuda: bool) -> list[list[str]]:
    """pip's arguments for the builds of torch that would do for the device, the best first.

    PyPI's own wheel is the CUDA build on Linux and the CPU build elsewhere; PyTorch's indexes hold
    the others, marked by a local version (+cpu), and so may a person's own index. Where no CPU build
    can be had, the CUDA build serves if there is room: it runs on the CPU too. A folder of wheels has the one that is wanted.
    """
    exactly = pin.replace("==", "===")  # not a +cpu build of a person's own index
    linux, windows = sys.platform.startswith("linux"), sys.platform == "win32"
    if wheels:
        return [[pin]]
    if device == "cpu" and linux:
        once = [f"{pin}+cpu", "--retries", "2"]
        return [once, [*once, "--extra-index-url", TORCH_INDEX + "cpu"], *[[exactly]] * room_for_cuda]
    if device == "cuda" and windows:
        return [[f"{pin}+{CUDA}", "--extra-index-url", TORCH_INDEX + CUDA]]
    return [[exactly if device == "cuda" else pin]]


class PipReader:
    """Reads how far pip is from its lines (``--progress-bar raw``)."""

    def __init__(self, expected: float):
        self.expected = expected  # bytes that will be downloaded, about
        self.before = 0.0  # bytes of the files that are done
        self.now = 0.0  # bytes of the file under way
        self.name = ""
        self.fraction = 0.0
        self.detail = Text("")

    def take(self, line: str) -> tuple[float, Text]:
        """(fraction of the step, a few words) after this line."""
        words = line.split()
        progress = RAW_PROGRESS.match(line)
        if progress:
            self.now, total = float(progress[1]), float(progress[2])
            done = {"done": round(self.now / MEGABYTE), "total": round(total / MEGABYTE)}
            self.detail = Text("{package}: {done} of {total} MB", package=self.name, **done)
        elif words[:1] == ["Downloading"] and len(words) > 1:  # a file's name or address, its size
            self.before, self.now = self.before + self.now, 0.0
            file = FILE_NAME.match(words[1].rpartition("/")[2])
            self.name = file[1] if file else ""
            self.detail = Text("Downloading {package}", package=self.name)
        elif words[:2] == ["Installing", "collected"]:
            self.fraction, self.detail = INSTALLING, Text("Unpacking")
        downloaded = min((self.before + self.now) / self.expected, 1.0) * INSTALLING
        self.fraction = max(self.fraction, downloaded)
        return self.fraction, self.detail
