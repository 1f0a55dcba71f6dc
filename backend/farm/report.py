"""What a command that draws many pictures says, for people or for machines, and the exit status that follows from it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

from backend import __version__
from backend.cli.terminal import one_line
from backend.farm.frame_numbers import as_text
from backend.farm.worker import Drawn, Failed

ALL_DRAWN, SOME_FAILED = 0, 3  # exit statuses
SHOW_SECONDS = 0.5  # between two lines of progress


class Report:
    """Takes what becomes of each picture. ``noun`` is what a picture is called, ``place`` where they are."""

    def __init__(self, total: int, noun: str, place: str):
        self.total, self.noun, self.place = total, noun, place
        self.drawn = self.kept = 0
        self.failed: list[Failed] = []
        self.started, self.out = time.monotonic(), sys.stdout

    @property
    def done(self) -> int:
        return self.drawn + self.kept + len(self.failed)

    def take(self, outcome: Drawn | Failed) -> None:
        if isinstance(outcome, Failed):
            self.failed.append(outcome)
            self.say_failed(outcome)
        else:
            self.kept += outcome.kept
            self.drawn += not outcome.kept
            self.say_drawn(outcome)

    def end(self) -> int:
        """Say how it went; the exit status."""
        status = SOME_FAILED if self.failed else ALL_DRAWN
        self.say_end(status)
        return status

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def failed_numbers(self) -> list[int]:
        return sorted(failed.number for failed in self.failed)

    def say_begin(self, **what: Any) -> None:
        """``what``: model, weights_hash, workers."""

    def say_drawn(self, drawn: Drawn) -> None: ...
    def say_failed(self, failed: Failed) -> None: ...
    def notice(self, text: str) -> None: ...
    def say_end(self, status: int) -> None: ...


class TextReport(Report):
    """Lines as Blender writes them, which farms read, where standard output is no terminal; progress on standard error."""

    shown = 0.0

    def say_drawn(self, drawn: Drawn) -> None:
        if not self.out.isatty():
            saved = f"Saved: '{drawn.path}'\nTime: {drawn.seconds:.2f}"
            print(f"skipping existing frame '{drawn.path}'" if drawn.kept else saved, file=self.out)
        self.progress()

    def progress(self) -> None:
        now = time.monotonic()
        if now - self.shown >= SHOW_SECONDS or self.done == self.total:
            self.shown, end = now, "\n" if self.done == self.total else ""
            print(f"\r{self.done}/{self.total} {self.noun}s{self.speed()}", end=end, file=sys.stderr, flush=True)

    def speed(self) -> str:
        """How many a second, and how long the rest takes; of those that had to be drawn."""
        if not self.drawn:
            return ""
        rate = self.drawn / max(self.seconds, 1e-6)
        return f", {rate:.2f} a second, {(self.total - self.done) / rate:.0f} s left"

    def say_failed(self, failed: Failed) -> None:
        print(f"\nerror: {self.noun} {failed.number}: {one_line(failed.message)}", file=sys.stderr)
        print(f"hint: {one_line(failed.hint)}", file=sys.stderr)
        self.progress()

    def notice(self, text: str) -> None:
        print(f"\n{one_line(text)}", file=sys.stderr, flush=True)

    def say_end(self, status: int) -> None:
        made = f"{self.drawn} {self.noun}s rendered" + (f", {self.kept} were there" if self.kept else "")
        print(f"{made}: {self.place} ({self.seconds / max(self.drawn, 1):.2f} s per {self.noun})", file=self.out)
        if self.failed:
            numbers = as_text(self.failed_numbers())
            print(f"error: {len(self.failed)} of {self.total} {self.noun}s failed: {numbers}", file=sys.stderr)


class JsonReport(Report):
    """One JSON object a line on standard output; docs/farm.md lists them."""

    def say(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event, **values}), file=self.out, flush=True)

    def say_begin(self, **what: Any) -> None:
        self.say("begin", total=self.total, version=__version__, output=self.place, **what)

    def say_drawn(self, drawn: Drawn) -> None:
        self.say("frame", **asdict(drawn))

    def say_failed(self, failed: Failed) -> None:
        self.say("failed", **asdict(failed))

    def notice(self, text: str) -> None:
        self.say("notice", text=text)

    def say_end(self, status: int) -> None:
        counts = {"drawn": self.drawn, "kept": self.kept, "failed": self.failed_numbers()}
        self.say("end", **counts, seconds=round(self.seconds, 3), status=status)
