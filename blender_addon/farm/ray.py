"""A render on a Ray cluster by the backend's command line, a process that goes on without Blender. Standard library only."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..client.process import LaunchSettings, check_settings
from ..errors import Text, UserError
from ..install.child_process import WINDOWS, clean_environment, kill_group, own_group
from .job import State

LOG, ERRORS = "farm.jsonl", "farm.log"  # beside the frames: what the command says, for machines and for people


class RayJob:
    """See ``job.Job``. Raises UserError where the command cannot be started.

    The same command again draws what is missing, so nothing is lost when it is ended.
    """

    link = ""

    def __init__(self, settings: LaunchSettings, name: str, rig_file: Path, folder: Path, options: list[str]):
        check_settings(settings)
        self.name, self.log, self.errors = name, folder / LOG, folder / ERRORS
        self.done = self.total = self.failed = self.read_bytes = 0
        self.problem: Text | str = ""  # of the last frame that failed
        command = [str(settings.python), str(settings.payload / "backend"), "render", str(rig_file), "--output", str(folder)]
        self.process = self.start([*command, "--json-log", *options])

    def start(self, command: list[str]) -> subprocess.Popen:
        try:
            with open(self.log, "wb") as log, open(self.errors, "wb") as errors:
                return subprocess.Popen(
                    command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=errors, **own_group()
                )
        except OSError as error:
            raise UserError(
                "cannot_start", "The backend cannot be started: {error}.", "Check its Python in the preferences: {python}",
                error=error, python=command[0],
            ) from error  # fmt: skip

    def look(self) -> State:
        status = self.process.poll()  # first, so that all it had said is read below
        for event in self.news():
            self.take(event)
        if status in (None, 0):
            return State(self.progress(), ended=status == 0, failed=self.failed > 0)
        return State(Text("{name}: {problem}", name=self.name, problem=self.why(status)), ended=True, failed=True)

    def news(self) -> Iterator[dict]:
        """What the command has said since the last look, whole lines of it."""
        with contextlib.suppress(OSError), open(self.log, "rb") as log:
            log.seek(self.read_bytes)
            lines = log.read().splitlines(keepends=True)
            for line in lines:
                if line.endswith(b"\n"):
                    self.read_bytes += len(line)
                    with contextlib.suppress(ValueError):  # of a library that speaks where it should not
                        yield json.loads(line)

    def take(self, event: dict) -> None:
        kind = event.get("event")
        if kind == "begin":
            self.total = event["total"]
        elif kind == "frame":
            self.done += 1
        elif kind == "failed":
            self.failed += 1
            self.problem = event["message"]

    def progress(self) -> Text:
        if not self.total:
            return Text("{name}: being prepared", name=self.name)
        return Text("{name}: {done} of {total} frames done", name=self.name, done=self.done, total=self.total)

    def why(self, status: int) -> Text | str:
        """Why the command ended otherwise than with all frames."""
        if self.failed:
            return Text("{failed} of {total} frames failed: {problem}", failed=self.failed, total=self.total, problem=self.problem)
        said = self.errors.read_text(encoding="utf-8", errors="replace").splitlines() if self.errors.is_file() else []
        words = [line.partition(": ")[2] for line in said if line.startswith(("error: ", "hint: "))]
        return " ".join(words) or Text("The command has ended with status {status}.", status=status)

    def cancel(self) -> None:
        if self.process.poll() is not None:
            return
        if WINDOWS:
            kill_group(self.process)
        else:
            self.process.send_signal(signal.SIGTERM)  # it removes what it was writing, and ends its workers
