"""Running the tests: those of .venv, then those inside each Blender."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from backend.project.common import ROOT, say
from backend.project.environments import ENVIRONMENTS, MAIN, Environment, setup
from backend.project.extension import package
from blender_addon.install.child_process import kill_group, own_group

RUN_LIMIT_SECONDS = 35 * 60
NO_TESTS = 5  # pytest's exit status when nothing was collected


def test(arguments: list[str]) -> int:
    """Run the tests of .venv, then those inside each Blender. 0 only if every run passed."""
    environments = setup()
    extension = package()
    runs = [("backend and models", MAIN, "tests")]
    runs += [(f"inside bpy {e.folder.rpartition('-')[2]}", e, "tests/blender") for e in environments[1:]]
    results = []
    for label, environment, folder in runs:
        chosen = arguments_for(folder, arguments)
        if chosen is None:
            continue
        say(f"\n=== {label} ({environment.folder})")
        started = time.monotonic()
        status, summary = run_pytest(environment, chosen, extension)
        results.append((status, label, summary, time.monotonic() - started))
    say("\n=== All runs")
    words = {0: "passed ", NO_TESTS: "nothing"}
    for status, label, summary, seconds in results:
        say(f"{words.get(status, 'FAILED ')} {label}: {summary} [{seconds:.0f} s]")
    for absent in (environment for environment in ENVIRONMENTS if environment not in environments):
        say(f"skipped inside bpy {absent.folder.rpartition('-')[2]}: Python {absent.pythons[0]} is not installed")
    return 0 if verdict([status for status, *_ in results], chosen=bool(arguments)) else 1


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


def run_pytest(environment: Environment, arguments: list[str], extension: Path) -> tuple[int, str]:
    """Run pytest in one environment. Returns its exit status and its summary line."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    command = [str(environment.executable), "-u", "-m", "pytest", *colour, *arguments]
    variables = {**os.environ, "STYLERIG_ZIP": str(extension), "PYTHONUNBUFFERED": "1"}
    summary = "no summary: it stopped early"
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **own_group(),
    )
    watchdog = Watchdog(process, RUN_LIMIT_SECONDS)
    try:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line).strip("= \n")
            if re.match(r"(\d+ \w+|no tests ran).* in [\d.]+s", plain):
                summary = plain
        return process.wait(), summary
    finally:
        watchdog.stop()


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
