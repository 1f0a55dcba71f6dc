"""Facial capture into the rig's terms: Live Link Face's CSV, and ARKit's names. numpy only."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from ..errors import Text, UserError
from .timecode import keep_quiet, seconds_of

HEAD_ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll")  # radians
TIMECODE, COUNT = "timecode", "blendshapecount"  # plain names of the columns that are no values
MAX_ROWS = 500_000  # two hours at 60 frames per second
MAX_FILE_BYTES = 1 << 29  # bytes
MAX_FRAMES = 1_048_574  # Blender's last frame
SEPARATORS = ",;\t"  # between a row's cells; where it is no comma, that may be the decimal sign
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # what a file may begin with
SIGNS = re.compile(r"[^0-9A-Za-z]+")
JOINTS = re.compile(r"[.|:/_-]+")  # between what a program writes before a name and the name


@dataclass(frozen=True)
class Capture:
    """A recording: ``seconds`` (F,) from its first row, ``values`` (F, C) of the columns ``names``."""

    seconds: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray

    def column(self, name: str) -> np.ndarray | None:
        places = [place for place, other in enumerate(self.names) if plain(other) == plain(name)]
        return self.values[:, places[0]] if places else None

    def expressions(self, known: Iterable[str]) -> dict[str, np.ndarray]:
        """The rig's expression names -> (F,) values 0 to 1; columns that it does not know are left out."""
        found = matched(self.names, known)
        return {expression: np.clip(self.values[:, self.names.index(name)], 0, 1) for expression, name in found.items()}

    def resampled(self, rate: float) -> Capture:
        """The same at whole frames of ``rate`` per second, by linear interpolation. Raises UserError."""
        count = round(float(self.seconds[-1]) * rate) + 1
        if count > MAX_FRAMES:
            raise UserError(
                "too_long", "The recording has {count} frames, Blender at most {most}.", "Cut it into parts.", count=count, most=MAX_FRAMES
            )
        seconds = np.arange(count) / rate
        values = np.stack([np.interp(seconds, self.seconds, column) for column in self.values.T], axis=1)
        return Capture(seconds, self.names, values)

    def trimmed(self, first: float, last: float) -> Capture:
        """Without ``first`` seconds at the beginning and ``last`` at the end. Raises UserError where nothing is left."""
        kept = (self.seconds >= first) & (self.seconds <= self.seconds[-1] - last)
        if not kept.any():
            raise UserError("nothing_left", "Trimmed so far, nothing is left of the recording.", "Trim less.")
        return Capture(self.seconds[kept] - self.seconds[kept][0], self.names, self.values[kept])

    def smoothed(self, frames: float) -> Capture:
        """Every column blurred by a Gaussian of this standard deviation in rows, which hold their ends."""
        if frames <= 0:
            return self
        reach = int(np.ceil(3 * frames))
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
        held = np.pad(self.values, ((reach, reach), (0, 0)), mode="edge")
        columns = [np.convolve(column, weights / weights.sum(), mode="valid") for column in held.T]
        return Capture(self.seconds, self.names, np.stack(columns, axis=1))

    @property
    def rate(self) -> float:
        """Rows per second; 0 where there is but one."""
        return (len(self.seconds) - 1) / float(self.seconds[-1]) if self.seconds[-1] > 0 else 0.0

    def unknown(self, known: Iterable[str]) -> list[str]:
        """Names of expressions that are none of the rig's: tongueOut, for a head without a tongue."""
        table = spellings(known)
        return [name for name in self.names if not meaning(name, table)[1] and not plain(name).endswith(("yaw", "pitch", "roll"))]


def plain(name: str) -> str:
    """A name without case and signs: "eyeBlink_L" and "EyeBlink.L" are one."""
    return SIGNS.sub("", name).lower()


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


def matched(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Which of ``names`` stands for each of the rig's expressions; those that none stands for are left out.

    What is written before a name is left off, as FBX brings it: blendShape1.jawOpen, CC_Base_Body|jawOpen.
    Of several, the one with the least before it counts, and that of one side before that of both.
    """
    table = spellings(known)
    found: dict[str, tuple[tuple[int, int], str]] = {}
    for name in names:
        before, expressions = meaning(name, table)
        for expression in expressions:
            rank = (before, len(expressions))
            if expression not in found or rank < found[expression][0]:
                found[expression] = (rank, name)
    return {expression: name for expression, (_rank, name) in found.items()}


def meaning(name: str, table: dict[str, list[str]]) -> tuple[int, list[str]]:
    """How much is written before an expression's name, and the rig's names for it.

    Behind another expression's name there is none: jawOpen_mouthClose corrects the two together.
    """
    for start in (0, *(joint.end() for joint in JOINTS.finditer(name))):
        if any(plain(word) in table for word in SIGNS.split(name[:start])):
            break
        if plain(name[start:]) in table:
            return start, table[plain(name[start:])]
    return 0, []


def read_live_link(path: Path, rate: float = 0.0, odd: Callable[..., None] = keep_quiet) -> Capture:
    """A CSV as Live Link Face records it, or a spreadsheet that saved it again. Raises UserError.

    ``rate`` and ``odd`` are those of ``timecode.seconds_of``.
    """
    try:
        if not path.is_file():
            raise no_capture(path, Text("it is no file"))
        if path.stat().st_size > MAX_FILE_BYTES:
            raise no_capture(path, Text("it is too large"))
        with open(path, encoding=encoding_of(path), errors="replace", newline="") as stream:
            names, codes, values = read_table(path, stream, odd)
    except (OSError, csv.Error, UnicodeError) as error:
        raise no_capture(path, Text("it cannot be read ({reason})", reason=error)) from error
    if not codes:
        raise no_capture(path, Text("it holds no whole row of numbers"))
    return Capture(seconds_of(codes, rate, odd), names, np.array(values))


def encoding_of(path: Path) -> str:
    """What the file is written in, by the mark at its beginning."""
    with open(path, "rb") as stream:
        start = stream.read(4)
    return next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), "utf-8")


def read_table(path: Path, stream: TextIO, odd: Callable[..., None]) -> tuple[tuple[str, ...], list[str], list[np.ndarray]]:
    """The columns' names, and of each whole row its time code and its values (C,). Raises UserError."""
    first = stream.readline()
    separator = max(SEPARATORS, key=first.count)
    rows = csv.reader(itertools.chain([first], stream), delimiter=separator, skipinitialspace=True)
    header = [cell.strip() for cell in next(rows, [])]
    while header and not header[-1]:
        header.pop()
    places = {place: name for place, name in enumerate(header) if plain(name) not in (TIMECODE, COUNT)}
    code = next((place for place, name in enumerate(header) if plain(name) == TIMECODE), None)
    if code is None or not places:
        raise no_capture(path, Text("it has no column Timecode"))
    codes, values, left_out = [], [], 0
    for row in whole_rows(rows):
        numbers = read_numbers(row, places, separator) if len(row) >= len(header) else None
        if numbers is None:
            left_out += 1
        else:
            codes.append(row[code])
            values.append(numbers)
        if len(codes) == MAX_ROWS:
            odd("It has more than {count} rows: the rest is left out.", count=MAX_ROWS)
            break
    if left_out and codes:
        odd("Rows that are cut off or hold no numbers: {count}.", count=left_out)
    return tuple(places.values()), codes, values


def whole_rows(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    """Rows that hold anything, with their cells stripped."""
    for row in rows:
        row = [cell.strip() for cell in row]
        if any(row):
            yield row


def read_numbers(row: list[str], places: Iterable[int], separator: str) -> np.ndarray | None:
    """The values (C,) at ``places`` of a row, 0 where a cell is empty; None where one is no number."""
    written = [row[place] or "0" for place in places]
    if separator != ",":
        written = [number.replace(",", ".") for number in written]
    try:
        numbers = np.array(written, dtype=np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def no_capture(path: Path, reason: Text) -> UserError:
    return UserError(
        "no_capture",
        "{name} is not a recording of Live Link Face: {reason}.",
        "Choose the .csv file of a take.",
        name=path.name,
        reason=reason,
    )
