"""What a training says while it runs: a file of JSON lines, and a bar or lines with the time left."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import StyleRigError
from models.io.atomic_write import write_atomic

BAR = "{desc} {percentage:3.0f}%|{bar}| {postfix}"


class TrainingLog:
    """A file of JSON lines, ended by each call; a half-written last line is dropped on reading."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, **values: Any) -> None:
        """Add a line; raises StyleRigError where it cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as error:
            raise StyleRigError(
                f"Cannot write {self.path}: {error.strerror or error}.",
                "Make room on the disk and run the same command again: the last checkpoint is kept.",
                code="cannot_write",
            ) from error

    def forget_after(self, step: int) -> None:
        """Drop what was written after the checkpoint that a training continues from."""
        lines = [json.dumps(entry) + "\n" for entry in self.read() if entry.get("step", 0) <= step]
        # Also shows before hours are spent whether one may write here.
        write_atomic(self.path, "".join(lines).encode())

    def read(self) -> list[dict[str, Any]]:
        entries = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []:
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return entries

    def losses(self) -> dict[str, list[tuple[float, float]]]:
        """Name of a loss or figure -> its points (step, value)."""
        points: dict[str, list[tuple[float, float]]] = {}
        for entry in self.read():
            for name, value in entry.get("losses", {}).items():
                points.setdefault(name, []).append((entry["step"], value))
        return points


class ProgressBar:
    """On a terminal a bar that stays in its line, elsewhere a line by ``say`` every time."""

    def __init__(self, name: str, say: Callable[[str], None]):
        from tqdm import tqdm

        self.name, self.say = name, say
        self.bar = tqdm(total=1.0, desc=name, bar_format=BAR, file=sys.stderr, disable=None, leave=False)

    def show(self, fraction: float, text: str) -> None:
        """``fraction`` 0–1 of the whole training is done."""
        if self.bar.disable:
            self.say(f"{self.name}: {100 * fraction:3.0f} %  {text}")
            return
        self.bar.n = fraction
        self.bar.set_postfix_str(text)

    def close(self) -> None:
        self.bar.close()


def clock(seconds: float) -> str:
    """A span of time as 1:02:03 or 2:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
