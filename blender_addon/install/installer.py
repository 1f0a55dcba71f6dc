"""Making the backend's Python environment: venv, pip, doctor. No bpy; standard library only.

An environment is finished when its marker is there, which is written last. One without it is
half made: making goes on where it stopped, or begins anew where that cannot be.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..client.http_client import BackendError, fault
from ..client.process import WINDOWS, clean_environment, kill_group, own_group
from . import python_discovery
from .errors import doctor_failure, explain, file_failure

MARKER = "stylerig-environment.json"
TORCH_INDEX = "https://download.pytorch.org/whl/"
CUDA = "cu130"  # the build of torch for NVIDIA's cards that Windows is given
PIP = "pip==25.3"  # the one that comes with Python 3.11 reports no progress
GIGABYTE = 1 << 30
NEEDED_GIGABYTES = {"cpu": 2.5, "cuda": 9.0}  # installed, and what pip keeps meanwhile
TORCH_BYTES = {"cpu": 220e6, "cuda": 3200e6}  # to download, about
PACKAGES_BYTES = 130e6
# Settings of a person's pip that would lead packages elsewhere than into the environment.
MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PIP_PYTHON", "PIP_LOG")
LOG_TEXT = {"encoding": "utf-8", "errors": "backslashreplace"}  # names of files may be no text
KEPT_LINES = 200  # of a step's output, searched for a known failure
# step -> (what it says, where its progress begins and ends)
STEPS = {
    "python": ("Looking for Python 3.11", 0.0, 0.02),
    "venv": ("Making the environment", 0.02, 0.06),
    "pip": ("Updating pip", 0.06, 0.08),
    "torch": ("Installing torch", 0.08, 0.60),
    "packages": ("Installing the other packages", 0.60, 0.90),
    "doctor": ("Checking the backend", 0.90, 1.0),
}


@dataclass(frozen=True)
class Recipe:
    """What to make, of what, and where."""

    folder: Path  # the environment
    payload: Path  # holds pyproject.toml with the pins, and the package backend
    log: Path
    cache: Path  # pip's downloads; removed when all is done
    python: Path | None = None  # None: searched
    host: Path | None = None  # folder of the host's own Python, never used
    wheels: Path | None = None  # a folder to install from instead of the network
    device: str = "cpu"  # or "cuda": which build of torch
    online: bool = True  # whether the network may be used


@dataclass(frozen=True)
class Progress:
    """How far it is: a fraction from 0 to 1, and two texts for the person."""

    fraction: float = 0.0
    step: str = ""
    detail: str = ""


class Cancelled(Exception):
    """The person stopped it."""


def executable(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``."""
    return folder / ("Scripts/python.exe" if WINDOWS else "bin/python")


def read_pins(payload: Path) -> list[str]:
    """The packages that the payload asks for, as "name==version". Raises BackendError."""
    try:
        pins = tomllib.loads((payload / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
        torch_pin(pins)
        return pins
    except (OSError, ValueError, LookupError, StopIteration) as error:
        raise BackendError("no_payload", f"There is no list of packages in {payload}.", "Install the extension again.") from error


def torch_pin(pins: list[str]) -> str:
    return next(pin for pin in pins if pin.startswith("torch=="))


def read_marker(folder: Path) -> dict:
    """What is written of a finished environment; {} for one that is absent or half made."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return marker if executable(folder).is_file() and isinstance(marker, dict) else {}
    except (OSError, ValueError):
        return {}


def state(folder: Path, payload: Path) -> str:
    """ "absent", "half made", "outdated" (made for other pins) or "ready"."""
    if not folder.is_dir():
        return "absent"
    marker = read_marker(folder)
    if not marker:
        return "half made"
    try:
        return "ready" if marker.get("pins") == fingerprint(read_pins(payload)) else "outdated"
    except BackendError:
        return "ready"  # nothing to compare it with


def fingerprint(pins: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(pins)).encode()).hexdigest()[:16]


def remove(folder: Path) -> None:
    """Remove the environment, whole or half made. Raises BackendError."""
    if not folder.exists():
        return
    try:
        (folder / MARKER).unlink(missing_ok=True)  # first, so that what is left of a failure is no environment
        shutil.rmtree(folder)
    except OSError as error:
        raise BackendError(
            "cannot_remove",
            f"The environment in {folder} cannot be removed: {error.strerror or error}.",
            "Stop the backend and close programs that use the folder, then try again.",
        ) from error


class EnvironmentMaker:
    """Makes one environment at a time, in a thread. Methods are for the main thread; none blocks but ``wait``."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.error: BackendError | None = None  # of the last attempt
        self.cancelled = False  # whether the person stopped the last attempt
        self.warning = ""  # what doctor found wrong besides the environment
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen | None = None
        self._stop = threading.Event()
        self._started = self._ended = 0.0
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._registered = False

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def elapsed(self) -> float:
        """Seconds since the start, or that it took."""
        return (time.monotonic() if self.busy else self._ended) - self._started

    def start(self, recipe: Recipe) -> None:
        """Begin making; does nothing while another attempt is under way."""
        if self.busy:
            return
        if not self._registered:
            atexit.register(self.cancel)
            self._registered = True
        self._stop.clear()
        self.error, self.cancelled, self.warning, self.progress = None, False, "", Progress()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(recipe,), name="StyleRig environment", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop it; what is there already is kept for the next attempt."""
        self._stop.set()
        process = self._process
        if process is not None and process.poll() is None:
            kill_group(process)

    def wait(self) -> None:
        """Until the attempt has ended; raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self, recipe: Recipe) -> None:
        try:
            self._make(recipe)
        except Cancelled:
            self.cancelled = True
        except BackendError as error:
            self.error = error
        except OSError as error:
            self.error = file_failure(error)
        except Exception as error:  # a fault of ours must reach the person too, not end in a thread
            self.error = fault(error)
        finally:
            if self.error is not None and self.error.code == "disk_full":
                give_space_back(recipe)
            self._ended = time.monotonic()
            self._process = None

    def _make(self, recipe: Recipe) -> None:
        pins = read_pins(recipe.payload)
        check_sources(recipe)
        recipe.folder.parent.mkdir(parents=True, exist_ok=True)
        check_space(recipe)
        with only_one(recipe.folder.with_name(recipe.folder.name + ".lock")):
            recipe.log.unlink(missing_ok=True)  # which may be a link to somewhere else, or to nothing
            self._at("python")
            python = python_discovery.find(recipe.python, recipe.host)
            self._note(recipe, f"Python {python.version}: {python.program}")
            self._venv(recipe, python)
            self._install(recipe, pins)
            found = self._doctor(recipe)
            write_marker(recipe, pins, python, found)
        shutil.rmtree(recipe.cache, ignore_errors=True)
        self.progress = Progress(1.0, "Ready", "")

    def _venv(self, recipe: Recipe, python: python_discovery.Interpreter) -> None:
        """The bare environment; one that is there and works is kept."""
        self._at("venv")
        (recipe.folder / MARKER).unlink(missing_ok=True)
        if recipe.folder.exists() and python_discovery.examine(executable(recipe.folder), recipe.host)[0] and has_pip(recipe.folder):
            self._note(recipe, f"Going on with {recipe.folder}")
            return
        shutil.rmtree(recipe.folder, ignore_errors=True)
        try:
            self._call(recipe, [python.program, "-I", "-m", "venv", recipe.folder], "venv")
        except BaseException:
            shutil.rmtree(recipe.folder, ignore_errors=True)
            raise

    def _install(self, recipe: Recipe, pins: list[str]) -> None:
        if recipe.wheels is None:
            self._at("pip")
            self._pip(recipe, [PIP], may_fail=True)
        self._at("torch")
        self._pip(recipe, torch_arguments(recipe, torch_pin(pins)), expected=TORCH_BYTES[recipe.device])
        self._at("packages")
        others = [pin for pin in pins if not pin.startswith("torch==")]
        self._pip(recipe, others, expected=PACKAGES_BYTES)

    def _pip(self, recipe: Recipe, arguments: list[str], expected: float = 1.0, may_fail: bool = False) -> None:
        command = [executable(recipe.folder), "-u", "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        command += ["--cache-dir", recipe.cache]
        if recipe.wheels is not None:
            command += ["--no-index", "--find-links", recipe.wheels]
        if pip_version(recipe.folder) >= (24, 1):
            command += ["--progress-bar", "raw"]
        reader = PipReader(expected)
        self._call(recipe, [*command, *arguments], "pip", lambda line: self._show(*reader.take(line)), may_fail)

    def _doctor(self, recipe: Recipe) -> dict:
        """What the backend's doctor says. Raises BackendError where the environment is to blame."""
        self._at("doctor")
        self._call(recipe, [executable(recipe.folder), "-m", "backend", "doctor", "--json"], "doctor", may_fail=True)
        error, warning, found = doctor_failure("".join(self._lines), self._process.returncode, recipe.log)
        if error is not None:
            raise error
        self.warning = warning
        return found

    def _call(self, recipe: Recipe, command: list, kind: str, watch: Callable[[str], None] | None = None, may_fail=False) -> None:
        """Run a command to its end; its output goes to the log, its lines to ``watch``."""
        if self._stop.is_set():
            raise Cancelled
        self._lines.clear()
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **own_group()}
        command = [str(word) for word in command]
        with open(recipe.log, "a", **LOG_TEXT) as log:
            log.write(f"\n$ {' '.join(command)}\n")
            log.flush()
            with subprocess.Popen(command, cwd=recipe.payload, env=command_environment(), **options) as self._process:
                if self._stop.is_set():  # between the question above and the start
                    kill_group(self._process)
                for line in self._process.stdout:
                    self._line(line.decode(errors="replace"), log, watch)
        if self._stop.is_set():
            raise Cancelled
        if self._process.returncode and not may_fail:
            raise explain(kind, "".join(self._lines), recipe.log, offline=recipe.wheels is not None)

    def _line(self, line: str, log, watch: Callable[[str], None] | None) -> None:
        if watch is not None:
            watch(line)
        if not RAW_PROGRESS.match(line):
            self._lines.append(line)
            log.write(line)
            log.flush()

    def _at(self, step: str) -> None:
        if self._stop.is_set():
            raise Cancelled
        text, begin, _end = STEPS[step]
        self._step = step
        self.progress = Progress(begin, text, "")

    def _show(self, fraction: float, detail: str) -> None:
        """Progress inside the current step."""
        _text, begin, end = STEPS[self._step]
        self.progress = replace(self.progress, fraction=begin + (end - begin) * fraction, detail=detail)

    def _note(self, recipe: Recipe, text: str) -> None:
        with open(recipe.log, "a", **LOG_TEXT) as log:
            log.write(text + "\n")


RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
FILE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.]*?)-\d")
MEGABYTE = 1e6
INSTALLING = 0.9  # of a step: all is downloaded


class PipReader:
    """Reads how far pip is from its lines (``--progress-bar raw``)."""

    def __init__(self, expected: float):
        self.expected = expected  # bytes that will be downloaded, about
        self.before = 0.0  # bytes of the files that are done
        self.now = 0.0  # bytes of the file under way
        self.name = ""
        self.fraction = 0.0
        self.detail = ""

    def take(self, line: str) -> tuple[float, str]:
        """(fraction of the step, a few words) after this line."""
        words = line.split()
        progress = RAW_PROGRESS.match(line)
        if progress:
            self.now, total = float(progress[1]), float(progress[2])
            self.detail = f"{self.name}: {self.now / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB"
        elif words[:1] == ["Downloading"] and len(words) > 1:  # a file's name or address, its size
            self.before, self.now = self.before + self.now, 0.0
            file = FILE_NAME.match(words[1].rpartition("/")[2])
            self.name = self.detail = file[1] if file else ""
        elif words[:2] == ["Installing", "collected"]:
            self.fraction, self.detail = INSTALLING, "Unpacking"
        done = min((self.before + self.now) / self.expected, 1.0) * INSTALLING
        self.fraction = max(self.fraction, done)
        return self.fraction, self.detail


def check_sources(recipe: Recipe) -> None:
    """BackendError where there is nothing to install from."""
    if recipe.wheels is not None:
        if not recipe.wheels.is_dir() or not any(recipe.wheels.glob("*.whl")):
            raise BackendError(
                "no_wheels",
                f"There are no wheels in {recipe.wheels}.",
                "Choose the folder that holds the .whl files, or leave the field empty to download them.",
            )
    elif not recipe.online:
        raise BackendError(
            "offline",
            "Blender is not allowed to go online.",
            "Enable Allow Online Access in the preferences under System, or choose a folder of wheels.",
        )


def give_space_back(recipe: Recipe) -> None:
    """Remove what is half made: nothing else can be done with it on a full disk."""
    shutil.rmtree(recipe.cache, ignore_errors=True)
    shutil.rmtree(recipe.folder, ignore_errors=True)


def check_space(recipe: Recipe) -> None:
    needed = NEEDED_GIGABYTES[recipe.device]
    free = shutil.disk_usage(recipe.folder.parent).free / GIGABYTE
    if recipe.folder.is_dir():
        return  # much of it is there: the disk itself will tell
    if free < needed:
        raise BackendError(
            "disk_full",
            f"The environment needs {needed:g} GB, {free:.1f} GB are free at {recipe.folder.parent}.",
            "Free some space and try again.",
        )


@contextmanager
def only_one(path: Path):
    """Hold a lock file, which the system lets go of when this process ends however it ends."""
    with open(path, "a+b") as stream:
        try:
            lock(stream)
        except OSError as error:
            raise BackendError(
                "in_use", "Another Blender is making the environment.", "Wait until it has finished; this one will use it too."
            ) from error
        yield


def lock(stream) -> None:
    """Lock an open file, without waiting. OSError when another process holds it."""
    if WINDOWS:
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def has_pip(folder: Path) -> bool:
    return pip_version(folder) > (0,)


def pip_version(folder: Path) -> tuple[int, ...]:
    """The version of the environment's pip from its folder's name; (0,) without one."""
    places = [*folder.glob("lib/python*/site-packages/pip-*.dist-info"), *folder.glob("Lib/site-packages/pip-*.dist-info")]
    versions = [tuple(int(n) for n in re.findall(r"\d+", place.name)) for place in places]
    return max(versions, default=(0,))


def command_environment() -> dict[str, str]:
    """Environment variables for pip, venv and doctor; what a person set for pip's index and proxy stays."""
    variables = {name: value for name, value in clean_environment().items() if name not in MISLEADING}
    return {**variables, "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}


def torch_arguments(recipe: Recipe, pin: str) -> list[str]:
    """pip's arguments for the build of torch that fits the device.

    PyPI's own wheel is the CUDA build on Linux and the CPU build elsewhere; PyTorch's indexes hold
    the others, marked by a local version (+cpu). A folder of wheels has the one that is wanted.
    """
    if recipe.wheels is not None:
        return [pin]
    linux, windows = sys.platform.startswith("linux"), sys.platform == "win32"
    if recipe.device == "cpu" and linux:
        return [f"{pin}+cpu", "--retries", "2", "--extra-index-url", TORCH_INDEX + "cpu"]
    if recipe.device == "cuda" and windows:
        return [f"{pin}+{CUDA}", "--extra-index-url", TORCH_INDEX + CUDA]
    if recipe.device == "cuda":
        return [pin.replace("==", "===")]  # exactly: not a +cpu build of a person's own index
    return [pin]


def write_marker(recipe: Recipe, pins: list[str], python: python_discovery.Interpreter, found: dict) -> None:
    marker = {"pins": fingerprint(pins), "device": recipe.device, "python": python.version, "torch": torch_words(found)}
    beside = recipe.folder / f"{MARKER}.new"
    beside.write_text(json.dumps(marker), encoding="utf-8")
    os.replace(beside, recipe.folder / MARKER)


def torch_words(found: dict) -> str:
    """doctor's words for torch and its device."""
    return next((check["message"] for check in found.get("checks", []) if check["name"] == "device"), "")
