"""Running the tests: those of .venv, then those inside each Blender, side by side."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from backend.project.common import ROOT, say
from backend.project.environments import ENVIRONMENTS, MAIN, Environment, setup
from backend.project.extension import package
from blender_addon.install.child_process import kill_group, own_group

RUN_LIMIT_SECONDS = 35 * 60
NO_TESTS = 5  # pytest's exit status when nothing was collected


@dataclass(frozen=True)
class Run:
    """A run of pytest in one environment."""

    label: str
    environment: Environment
    arguments: list[str]

    def start(self, extension: Path, output: int | IO[str]) -> subprocess.Popen:
        """The process, which writes to ``output``."""
        colour = ["--color=yes"] if sys.stdout.isatty() else []
        return subprocess.Popen(
            [str(self.environment.executable), "-u", "-m", "pytest", *colour, *self.arguments],
            cwd=ROOT,
            env={**os.environ, "STYLERIG_ZIP": str(extension), "PYTHONUNBUFFERED": "1"},
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **own_group(),
        )


def test(arguments: list[str]) -> int:
    """Run the tests of .venv, then those inside all Blenders at once. 0 only if every run passed."""
    environments = setup()
    extension = package()
    main = [("backend and models", MAIN, "tests")]
    blenders = [(f"inside bpy {e.folder.rpartition('-')[2]}", e, "tests/blender") for e in environments[1:]]
    results: list[tuple[tuple[int, str], Run]] = []
    for runs in (main, blenders):
        chosen = ((label, environment, arguments_for(folder, arguments)) for label, environment, folder in runs)
        wanted = [Run(label, environment, given) for label, environment, given in chosen if given is not None]
        results += zip(run_at_once(wanted, extension), wanted, strict=True)
    say("\n=== All runs")
    words = {0: "passed ", NO_TESTS: "nothing"}
    for (status, summary), run in results:
        say(f"{words.get(status, 'FAILED ')} {run.label}: {summary}")
    for absent in (environment for environment in ENVIRONMENTS if environment not in environments):
        say(f"skipped inside bpy {absent.folder.rpartition('-')[2]}: Python {absent.pythons[0]} is not installed")
    return 0 if verdict([status for (status, _), _ in results], chosen=bool(arguments)) else 1


def verdict(statuses: list[int], chosen: bool) -> bool:
    """Whether runs with these exit statuses passed: tests ran, and all of them did.

    ``chosen``: the arguments pick tests, so that a run may have none of them, but not every run.
    """
    fine = (0, NO_TESTS) if chosen else (0,)
    return 0 in statuses and all(status in fine for status in statuses)


def arguments_for(folder: str, arguments: list[str]) -> list[str] | None:
    """pytest's arguments for the run of ``folder``; None if the paths given are all elsewhere."""
    paths = [a for a in arguments if Path(a).parts[:1] == ("tests",)]
    inside = [p for p in paths if (Path(p).parts[:2] == ("tests", "blender")) == (folder != "tests")]
    others = [a for a in arguments if a not in paths]
    if paths and not inside:
        return None
    return others + (inside or [folder])


def run_at_once(runs: Sequence[Run], extension: Path) -> list[tuple[int, str]]:
    """Exit status and summary line of each of the runs, which go side by side: one alone waits much.

    What the first says is shown as it comes, what the others say when those before have ended.
    """
    with ExitStack() as stack:
        kept = [stack.enter_context(TemporaryFile("w+", encoding="utf-8", errors="replace")) for _ in runs[1:]]
        processes = []
        for index, run in enumerate(runs):
            processes.append(run.start(extension, kept[index - 1] if index else subprocess.PIPE))
            stack.callback(Watchdog(processes[-1], RUN_LIMIT_SECONDS).stop)
        results = []
        for index, (run, process) in enumerate(zip(runs, processes, strict=True)):
            say(f"\n=== {run.label} ({run.environment.folder})")
            summary = show(lines_at_end(process, kept[index - 1]) if index else process.stdout or ())
            results.append((process.wait(), summary))
        return results


def lines_at_end(process: subprocess.Popen, output: IO[str]) -> Iterator[str]:
    """What the process has written to a file, when it has ended."""
    process.wait()
    output.seek(0)
    yield from output


def show(lines: Iterable[str]) -> str:
    """Print lines of pytest; returns its summary."""
    summary = "no summary: it stopped early"
    for line in lines:
        print(line, end="", flush=True)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line).strip("= \n")
        if re.match(r"(\d+ \w+|no tests ran).* in [\d.]+s", plain):
            summary = plain
    return summary


class Watchdog:
    """Ends a process and its children when it is over its time or when we are stopped."""

    def __init__(self, process: subprocess.Popen, seconds: float):
        self.process = process
        self.timer = threading.Timer(seconds, self.end)
        self.timer.daemon = True
        self.timer.start()

    def end(self) -> None:
        if self.process.poll() is None:
            kill_group(self.process)

    def stop(self) -> None:
        self.timer.cancel()
        self.end()
