"""Facial capture into the rig's terms: Live Link Face's CSV, and ARKit's names. numpy only."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .controls import RigError

HEAD_ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll")  # radians
NOT_EXPRESSIONS = ("Timecode", "BlendShapeCount", *HEAD_ANGLES)
RATES = (24, 25, 30, 60)  # frames per second that a take's timecode counts
MOST_ROWS = 500_000  # two hours at 60 frames per second
TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)$")


@dataclass(frozen=True)
class Capture:
    """A recording: ``seconds`` (F,) from its first row, ``values`` (F, C) of the columns ``names``."""

    seconds: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray

    def column(self, name: str) -> np.ndarray | None:
        return self.values[:, self.names.index(name)] if name in self.names else None

    def expressions(self, known: Iterable[str]) -> dict[str, np.ndarray]:
        """The rig's expression names -> (F,) values 0 to 1; columns that it does not know are left out."""
        table = spellings(known)
        found = {}
        for index, name in enumerate(self.names):
            for expression in table.get(plain(name), ()):
                found[expression] = np.clip(self.values[:, index], 0, 1)
        return found

    def resampled(self, rate: float) -> Capture:
        """The same at whole frames of ``rate`` per second, by linear interpolation."""
        count = int(round(self.seconds[-1] * rate)) + 1
        seconds = np.arange(count) / rate
        values = np.stack([np.interp(seconds, self.seconds, column) for column in self.values.T], axis=1)
        return Capture(seconds, self.names, values)


def plain(name: str) -> str:
    """A name without case and signs: "eyeBlink_L" and "EyeBlink.L" are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def spellings(known: Iterable[str]) -> dict[str, list[str]]:
    """Every plain spelling of an expression -> the rig's names that it stands for.

    eyeBlink_L is also eyeBlinkLeft. A name without a side stands for both where the rig has only
    the two sides: ARKit's browInnerUp and cheekPuff.
    """
    table: dict[str, list[str]] = {}
    known = tuple(known)
    for name in known:
        base, _, side = name.rpartition("_")
        written = [plain(name)]
        if side in ("L", "R"):
            written.append(plain(base + {"L": "Left", "R": "Right"}[side]))
            written += [plain(base)] if base not in known else []
        for spelling in written:
            table.setdefault(spelling, []).append(name)
    return table


def read_live_link(path: Path) -> Capture:
    """A CSV as Live Link Face records it. Raises RigError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream)
            header = [name.strip() for name in next(rows, [])]
            table = [row for _, row in zip(range(MOST_ROWS), rows) if len(row) == len(header)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise no_capture(path, f"it cannot be read ({error})") from error
    if "Timecode" not in header or len(header) < 3:
        raise no_capture(path, "it has no column Timecode")
    names = tuple(name for name in header if name not in ("Timecode", "BlendShapeCount"))
    places = [header.index(name) for name in names]
    try:
        values = np.array([[float(row[place] or 0) for place in places] for row in table])
    except ValueError as error:
        raise no_capture(path, f"it holds something that is no number ({error})") from error
    if not len(values) or not np.isfinite(values).all():
        raise no_capture(path, "it holds no whole row of numbers")
    return Capture(seconds_of([row[header.index("Timecode")] for row in table]), names, values)


def no_capture(path: Path, reason: str) -> RigError:
    message = "{name} is not a recording of Live Link Face: {reason}."
    return RigError("no_capture", message, "Choose the .csv file of a take.", name=path.name, reason=reason)


def seconds_of(timecodes: list[str]) -> np.ndarray:
    """Seconds since the first row (F,) of "hh:mm:ss:ff.fff"; the rate is the one that the frames fit.

    Where timecodes are missing or go backwards, rows are taken as evenly spaced at 60 per second.
    """
    parts = [TIMECODE.match(code.strip()) for code in timecodes]
    even = np.arange(len(timecodes)) / 60
    if not all(parts):
        return even
    hours, minutes, whole, frames = np.array([part.groups() for part in parts], dtype=float).T
    rate = next((rate for rate in RATES if rate > np.floor(frames.max())), RATES[-1])
    seconds = hours * 3600 + minutes * 60 + whole + frames / rate
    seconds = seconds + 86400 * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -43200)  # over midnight
    return seconds - seconds[0] if (np.diff(seconds) > 0).all() else even
