"""Making an environment in a thread: venv, pip, doctor. No bpy; standard library only."""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from ..errors import Text, UserError
from . import environment, pip, python_discovery
from .child_process import kill_group, own_group
from .environment import executable
from .errors import DoctorReport, explain, file_failure, read_doctor
from .python_discovery import Interpreter
from .requirements import Requirements, torch_pin

NEEDED_GIGABYTES = {"cpu": 2.5, "cuda": 9.0}  # with torch: installed, and what pip keeps meanwhile
TORCH_BYTES = {"cpu": 220e6, "cuda": 3200e6}  # to download, about
PACKAGES_BYTES = 130e6
LOG_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}  # names of files may be no text
KEPT_LINES = 200  # of a step's output, searched for a known failure
# step -> (what it says, where its progress begins and ends)
STEPS = {
    "python": ("Looking for Python", 0.0, 0.02),
    "venv": ("Making the environment", 0.02, 0.06),
    "pip": ("Updating pip", 0.06, 0.08),
    "torch": ("Installing torch", 0.08, 0.60),
    "packages": ("Installing the other packages", 0.60, 0.90),
    "doctor": ("Checking the backend", 0.90, 1.0),
}


@dataclass(frozen=True)
class InstallSpec:
    """What to make, of what, and where."""

    folder: Path  # the environment
    requirements: Requirements
    log: Path
    cache: Path  # pip's downloads; removed when all is done
    versions: tuple[str, ...] = python_discovery.VERSIONS  # of Python, the preferred first
    python: Path | None = None  # this program and no other; None: searched
    preferred: Path | None = None  # a Python that is taken if it will do
    host: Path | None = None  # folder of the host's own Python, never used
    wheels: Path | None = None  # a folder to install from instead of the network
    device: str = "cpu"  # or "cuda": which build of torch
    online: bool = True  # whether the network may be used
    check: bool = True  # whether the backend's doctor must find it working
    gigabytes: float | None = None  # free space that it needs; None: what torch for the device does


@dataclass(frozen=True)
class Progress:
    """How far it is: a fraction from 0 to 1, and two texts for the person."""

    fraction: float = 0.0
    step: str = ""
    detail: Text = field(default_factory=partial(Text, ""))


class Cancelled(Exception):
    """The person stopped it."""


class EnvironmentInstaller:
    """Makes one environment at a time, in a thread. Methods are for the main thread; none blocks but ``wait``."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.error: UserError | None = None  # of the last attempt
        self.cancelled = False  # whether the person stopped the last attempt
        self.warning = ""  # what doctor found wrong besides the environment
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
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

    def start(self, spec: InstallSpec) -> None:
        """Begin making; does nothing while another attempt is under way."""
        if self.busy:
            return
        if not self._registered:
            atexit.register(self.cancel)
            self._registered = True
        self._stop.clear()
        self.error, self.cancelled, self.warning, self.progress = None, False, "", Progress()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(spec,), name="StyleRig environment", daemon=True)
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

    def _run(self, spec: InstallSpec) -> None:
        try:
            self._make(spec)
        except Cancelled:
            self.cancelled = True
        except UserError as error:
            self.error = error
        except OSError as error:
            self.error = file_failure(error)
        except Exception as error:  # a fault of ours must reach the person too, not end in a thread
            self.error = unforeseen(error, spec)
        finally:
            if self.error is not None and self.error.code == "disk_full":
                remove_partial(spec)
            self._ended = time.monotonic()
            self._process = None

    def _make(self, spec: InstallSpec) -> None:
        pins = spec.requirements.pins()
        check_sources(spec)
        spec.folder.parent.mkdir(parents=True, exist_ok=True)
        environment.check_space(spec.folder, NEEDED_GIGABYTES[spec.device] if spec.gigabytes is None else spec.gigabytes)
        with environment.file_lock(spec.folder.with_name(spec.folder.name + ".lock")):
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            spec.log.unlink(missing_ok=True)  # which may be a link to somewhere else, or to nothing
            python = self._venv(spec)
            self._install(spec, pins)
            torch = self._doctor(spec).torch if spec.check else ""
            marker = {"pins": spec.requirements.fingerprint(), "device": spec.device, "python": python.version, "torch": torch}
            environment.write_marker(spec.folder, marker)
        shutil.rmtree(spec.cache, ignore_errors=True)
        self.progress = Progress(1.0, "Ready")

    def _venv(self, spec: InstallSpec) -> Interpreter:
        """The interpreter of the bare environment; one that is there and works is kept."""
        self._at("python")
        python = choose_python(spec)
        write_log(spec, f"Python {python.version}: {python.program}")
        self._at("venv")
        environment.remove_marker(spec.folder)
        if python.program == executable(spec.folder):
            write_log(spec, f"Going on with {spec.folder}")
            return python
        shutil.rmtree(spec.folder, ignore_errors=True)
        try:
            self._call(spec, [python.program, "-I", "-m", "venv", spec.folder], "venv")
        except BaseException:
            shutil.rmtree(spec.folder, ignore_errors=True)
            raise
        return python

    def _install(self, spec: InstallSpec, pins: list[str]) -> None:
        if spec.wheels is None:
            self._at("pip")
            self._pip(spec, [pip.PIP], may_fail=True)
        torch = torch_pin(pins)
        if torch is not None:
            self._at("torch")
            room = environment.free_gigabytes(spec.folder) >= NEEDED_GIGABYTES["cuda"]
            self._torch(spec, pip.torch_choices(torch, spec.device, wheels=spec.wheels is not None, room_for_cuda=room))
        self._at("packages")
        self._pip(spec, [pin for pin in pins if pin != torch], expected=PACKAGES_BYTES)

    def _torch(self, spec: InstallSpec, choices: list[list[str]]) -> None:
        """Install the first build of torch that can be had."""
        for arguments in choices:
            try:
                self._pip(spec, arguments, expected=TORCH_BYTES[spec.device])
                return
            except UserError as error:
                if arguments is choices[-1] or error.code not in {"wrong_platform", "no_network"}:
                    raise

    def _pip(self, spec: InstallSpec, arguments: list[str], expected: float = 1.0, may_fail: bool = False) -> None:
        command: list[str | Path] = [executable(spec.folder), "-u", "-I", "-m", "pip", "install", "--no-input"]
        command += ["--disable-pip-version-check", *pip.source_arguments(spec.cache, spec.wheels)]
        if spec.requirements.constraints is not None:
            command += ["--constraint", spec.requirements.constraints]
        if environment.pip_version(spec.folder) >= (24, 1):
            command += ["--progress-bar", "raw"]
        reader = pip.PipReader(expected)
        self._call(spec, [*command, *arguments], "pip", lambda line: self._show(*reader.take(line)), may_fail)

    def _doctor(self, spec: InstallSpec) -> DoctorReport:
        """What the backend's doctor says. Raises UserError where the environment is to blame."""
        self._at("doctor")
        status = self._call(spec, [executable(spec.folder), "-m", "backend", "doctor", "--json"], "doctor", may_fail=True)
        report = read_doctor("".join(self._lines), status, spec.log)
        if report.error is not None:
            raise report.error
        self.warning = report.warning
        return report

    def _call(
        self, spec: InstallSpec, command: list[str | Path], kind: str, watch: Callable[[str], None] | None = None, may_fail: bool = False
    ) -> int:
        """Run a command to its end, and return its exit status; its output goes to the log, its lines to ``watch``."""
        if self._stop.is_set():
            raise Cancelled
        self._lines.clear()
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **own_group()}
        words = [str(word) for word in command]
        with open(spec.log, "a", **LOG_TEXT) as log:
            log.write(f"\n$ {' '.join(words)}\n")
            log.flush()
            with subprocess.Popen(words, cwd=spec.requirements.project, env=pip.command_environment(), **options) as process:
                self._process = process
                if self._stop.is_set():  # between the question above and the start
                    kill_group(process)
                for line in process.stdout or ():
                    self._line(line.decode(errors="replace"), log, watch)
        if self._stop.is_set():
            raise Cancelled
        if process.returncode and not may_fail:
            raise explain(kind, "".join(self._lines), spec.log, offline=spec.wheels is not None)
        return process.returncode

    def _line(self, line: str, log: IO[str], watch: Callable[[str], None] | None) -> None:
        if watch is not None:
            watch(line)
        if not pip.RAW_PROGRESS.match(line):
            self._lines.append(line)
            log.write(line)
            log.flush()

    def _at(self, step: str) -> None:
        if self._stop.is_set():
            raise Cancelled
        text, begin, _end = STEPS[step]
        self._step = step
        self.progress = Progress(begin, text)

    def _show(self, fraction: float, detail: Text) -> None:
        """Progress inside the current step."""
        _text, begin, end = STEPS[self._step]
        self.progress = replace(self.progress, fraction=begin + (end - begin) * fraction, detail=detail)


def choose_python(spec: InstallSpec) -> Interpreter:
    """The interpreter of the environment that is there, if it is one to go on with, else one to make it with. Raises UserError."""
    versions = fitting_versions(spec)
    there = python_discovery.examine(executable(spec.folder), spec.host)
    usable = isinstance(there, Interpreter) and there.minor in versions and environment.pip_version(spec.folder) > (0,)
    if isinstance(there, Interpreter) and usable and spec.python is None:
        return there
    found = python_discovery.find(versions, spec.python, spec.preferred, spec.host)
    return there if isinstance(there, Interpreter) and usable and there.version == found.version else found


def fitting_versions(spec: InstallSpec) -> tuple[str, ...]:
    """The versions of Python that will do: with a folder of wheels those that its torch is built for."""
    wheels = spec.wheels.glob("torch-*.whl") if spec.wheels is not None else ()
    built_for = {f"3.{minor}" for wheel in wheels for minor in re.findall(r"-cp3(\d+)-", wheel.name)}
    return tuple(version for version in spec.versions if version in built_for) or spec.versions


def check_sources(spec: InstallSpec) -> None:
    """UserError where there is nothing to install from."""
    if spec.wheels is not None:
        if not spec.wheels.is_dir() or not any(spec.wheels.glob("*.whl")):
            raise UserError(
                "no_wheels",
                "There are no wheels in {folder}.",
                "Choose the folder that holds the .whl files, or leave the field empty to download them.",
                folder=spec.wheels,
            )
    elif not spec.online:
        raise UserError(
            "offline",
            "Blender is not allowed to go online.",
            "Enable Allow Online Access in the preferences under System, or choose a folder of wheels.",
        )


def remove_partial(spec: InstallSpec) -> None:
    """Remove what is half made: nothing else can be done with it on a full disk."""
    shutil.rmtree(spec.cache, ignore_errors=True)
    shutil.rmtree(spec.folder, ignore_errors=True)


def write_log(spec: InstallSpec, text: str) -> None:
    with open(spec.log, "a", **LOG_TEXT) as log:
        log.write(text + "\n")


def unforeseen(error: Exception, spec: InstallSpec) -> UserError:
    """For an exception that nobody foresaw: where it came from goes to the console and the log."""
    traceback.print_exception(error)
    with suppress(OSError):  # the console has it
        write_log(spec, "".join(traceback.format_exception(error)))
    return UserError(
        "internal",
        "{kind}: {error}.",
        "This is a fault of StyleRig. The log says more: {log}",
        kind=type(error).__name__,
        error=error,
        log=spec.log,
    )
