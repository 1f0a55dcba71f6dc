"""The backend as a process of its own: starting, watching, stopping. Standard library only."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import secrets
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import Text, UserError
from ..install.child_process import clean_environment, kill_group, own_group
from .http_client import Client

START_TIMEOUT = 180.0  # seconds; importing torch from a cold disk takes most of a minute
STOP_TIMEOUT = 3.0  # seconds to end by itself once its standard input is closed
LOG_DAYS = 7  # how long the log of a run is kept
LOG_TAIL = 4000  # bytes of the log that are searched for a known failure
# A line of the log -> what it means and what to do.
KNOWN_FAILURES = {
    "No module named": ("A package is missing in the backend's environment", "Make the environment again, or choose another Python."),
    "SyntaxError": ("The backend's Python is too old", "Make the environment, or choose a Python of at least 3.11 in the preferences."),
    "DLL load failed": ("A package of the backend's environment does not run", "Make the environment again."),
    "out of memory": ("The device ran out of memory", "Close other programs that use it, or choose the CPU."),
    "MemoryError": ("The computer ran out of memory", "Close other programs and start the backend again."),
    "No space left": ("The disk is full", "Free some space and start the backend again."),
    "Permission denied": ("A file or folder may not be read or written", "Change its permissions; the log names it."),
}
UNKNOWN_FAILURE = ("The backend ended before it was ready", "The log says more.")


@dataclass(frozen=True)
class LaunchSettings:
    """Where the backend is and what runs it."""

    python: Path | None  # None: no environment was found
    payload: Path  # the folder that holds the packages backend and models
    log: Path
    start_timeout: float = START_TIMEOUT
    version: str = ""  # that the backend must have; empty: any
    rigs: Path | None = None  # folder of a person's own rigs; None: the system's usual one


class BackendProcess:
    """At most one running backend. Methods may be called from any thread.

    The process ends with this one, however that ends: it exits when its standard input closes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held while starting or stopping
        self._process: subprocess.Popen | None = None
        self._client: Client | None = None
        self._registered = False
        self.starting = False
        self.models: list[str] = []  # that the last one has, by name

    @property
    def running(self) -> bool:
        process = self._process
        return process is not None and process.poll() is None and self._client is not None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if self.running and process else None

    def client(self, settings: LaunchSettings) -> Client:
        """A client of the running backend; starts it if it is not there or has died. Blocks."""
        with self._lock:
            client = self._client
            if client is None or not self.running:
                self.starting = True
                try:
                    client = self._client = self._start(settings)
                finally:
                    self.starting = False
            return client

    def stop(self) -> None:
        """End the backend, kindly first; returns when it is gone. Does nothing without one."""
        process = self._process
        if self.starting and process is not None:
            kill_group(process)  # whoever is starting it holds the lock and learns of it
        with self._lock:
            self._end()

    def _start(self, settings: LaunchSettings) -> Client:
        self._end()
        if not self._registered:
            atexit.register(self.stop)
            self._registered = True
        check_settings(settings)
        token = secrets.token_urlsafe(32)
        self._process = launch(settings, token)
        try:
            ready = wait_until_ready(self._process, settings)
            check_version(ready.get("version"), settings)
            self.models = [str(name) for name in ready.get("models", ())]
        except BaseException:
            self._end()
            raise
        return Client(ready["port"], token, settings.log)

    def _end(self) -> None:
        process, client, self._process, self._client = self._process, self._client, None, None
        if process is None:
            return
        if client is not None:
            client.close()
        close_quietly(cast(BinaryIO, process.stdin))
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            kill_group(process)
            process.wait()


def check_settings(settings: LaunchSettings) -> None:
    """UserError when the environment or the payload is not there."""
    if settings.python is None or not settings.python.is_file():
        raise UserError(
            "no_environment",
            "The backend's Python environment is missing at {path}." if settings.python else "The backend's Python environment is missing.",
            "Make it in the add-on's preferences, or choose its Python there.",
            path=settings.python,
        )
    if not (settings.payload / "backend").is_dir():
        raise UserError("no_payload", "There is no backend in {folder}.", "Install the extension again.", folder=settings.payload)


def check_version(version: object, settings: LaunchSettings) -> None:
    """UserError when the backend is not of the extension's version, as after an update without a restart."""
    if settings.version and version != settings.version:
        raise UserError(
            "wrong_version",
            "The backend in {folder} is of version {version}, the extension of version {expected}.",
            "Restart Blender; if that does not help, install the extension again.",
            folder=settings.payload,
            version=version,
            expected=settings.version,
        )


def launch(settings: LaunchSettings, token: str) -> subprocess.Popen:
    """Start the process in a group of its own; what it says on stderr goes to the log."""
    environment = clean_environment()
    environment.update(STYLERIG_TOKEN=token, PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")
    if settings.rigs is not None:
        environment["STYLERIG_RIGS"] = str(settings.rigs)
    command = [str(settings.python), "-m", "backend", "serve", "--port", "0", "--exit-with-stdin", "--log", str(settings.log)]
    remove_old_logs(settings.log)
    try:
        with open_log(settings.log) as log:
            return subprocess.Popen(
                command, cwd=settings.payload, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, **own_group()
            )
    except OSError as error:
        raise UserError(
            "cannot_start",
            "The backend cannot be started: {error}.",
            "Check its Python in the preferences: {python}",
            error=error, python=settings.python,
        ) from error  # fmt: skip


def open_log(path: Path) -> BinaryIO:
    """A new log to write; nowhere where none can be made: the backend draws without one too.

    What is in the way is removed first, so that nothing is written through a link.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        return open(path, "xb")
    except OSError:
        return open(os.devnull, "wb")


def remove_old_logs(log: Path) -> None:
    """Logs of other runs beside ``log`` that nobody will read any more."""
    with contextlib.suppress(OSError):  # one that is gone, or may not be removed, is no reason not to start
        for other in log.parent.glob("backend-*.log*"):  # .log.1 is the older half of a long one
            if time.time() - other.lstat().st_mtime > LOG_DAYS * 24 * 3600:
                other.unlink(missing_ok=True)


def wait_until_ready(process: subprocess.Popen, settings: LaunchSettings) -> dict:
    """The event that the backend prints once it listens. UserError when it ends or takes too long."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=drain, args=(process, lines), name="StyleRig backend output", daemon=True).start()
    end = time.monotonic() + settings.start_timeout
    while True:
        try:
            line = lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise UserError(
                "start_timeout",
                "The backend was not ready after {seconds} s.",
                "Try again. What kept it is in its log: {log}",
                seconds=f"{settings.start_timeout:g}", log=settings.log,
            ) from None  # fmt: skip
        if line is None:
            raise failure(settings.log)
        event = parse_event(line)
        if event is not None:
            return event


def drain(process: subprocess.Popen, lines: queue.Queue) -> None:
    """Pass on the lines up to the first event, read and drop all others: a full pipe would stop the backend."""
    ready = False
    with cast(BinaryIO, process.stdout) as stream:
        for line in stream:
            if not ready:
                lines.put(line)
                ready = parse_event(line) is not None
    lines.put(None)


def parse_event(line: bytes) -> dict | None:
    """The ready event, or None for any other line."""
    try:
        event = json.loads(line)
        return event if event["event"] == "ready" and isinstance(event["port"], int) else None
    except (ValueError, LookupError, TypeError):
        return None


def failure(log: Path) -> UserError:
    """Why the backend ended before it was ready, from the end of its log."""
    tail = log_tail(log)
    reason, hint = next((known for sign, known in KNOWN_FAILURES.items() if sign in tail), UNKNOWN_FAILURE)
    last = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")
    message = Text("{reason}: {last_line}", reason=Text(reason), last_line=last) if last else Text("{reason}.", reason=Text(reason))
    return UserError("start_failed", message, Text("{hint} Log: {log}", hint=Text(hint), log=log))


def log_tail(log: Path) -> str:
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, os.path.getsize(log) - LOG_TAIL))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def close_quietly(stream: BinaryIO) -> None:
    with contextlib.suppress(OSError):  # the other end is gone
        stream.close()
