"""Time codes of a recording as seconds, whatever rate they count and with odd ones among them. numpy only."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

FRAMES = re.compile(r"([0-9]{1,9})[:;]([0-9]{1,9})[:;]([0-9]{1,9})([:;])([0-9]{1,9}(?:[.,][0-9]+)?)$")  # hours:minutes:seconds:frames.part
CLOCK = re.compile(r"([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9}(?:[.,][0-9]+)?)$")  # hours:minutes:seconds.part
SECONDS = re.compile(r"[0-9]{1,12}[.,][0-9]+$")
USUAL_RATES = (15, 20, 24, 25, 30, 48, 50, 60, 72, 75, 90, 96, 100, 120, 144, 240, 1000)  # frames per second; 1000: milliseconds
COMMON_RATES = (24, 25, 30, 60, 120, 240, 1000)  # of which the first that fits is taken where codes do not say
UNKNOWN_RATE = 60.0  # of rows without time codes: Live Link Face's own
DAY_SECONDS = 86400.0  # seconds
MAX_GAP_SECONDS = 60.0  # seconds without rows; after more, the clock was set
MIN_TOLD_GAP_SECONDS = 1.0  # seconds
NEIGHBOURS = 4  # rows on each side that say what the clock shows there
MAX_DRIFT = 0.75  # of a row's time
MIN_ROWS_PER_REPEAT = 4  # where more than one in so many rows repeats a code, codes are slower than rows, which is nothing odd
DROP_FRAME_SECOND = 1.001  # seconds that a second of drop-frame codes takes: 30 frames at 29.97


def keep_quiet(_template: str, **_values: object) -> None:
    """For callers who do not ask what was odd."""


def seconds_of(codes: list[str], rate: float = 0.0, odd: Callable[..., None] = keep_quiet) -> np.ndarray:
    """Seconds since the first row (F,), never backwards.

    ``codes`` are hh:mm:ss:ff.fff (with ; before the frames: drop-frame), hh:mm:ss.fff or seconds. The number
    of frames in their seconds is read from the codes; ``rate`` is the true rate where that is another, as for
    29.97 without drop-frame, or where they do not say. ``odd(template, **values)`` is told what is not as it
    should be: such rows lie between their neighbours, and the take keeps its speed.
    """
    whole, frames, dropping = parsed(codes)
    known = np.isfinite(whole)
    if 2 * known.sum() < len(codes):
        odd("It has no time codes: taken as {rate} frames per second, see Frame Rate.", rate=shown(rate or UNKNOWN_RATE))
        return np.arange(len(codes)) / (rate or UNKNOWN_RATE)
    counted: float | None = counted_rate(whole[known], frames[known])
    if counted is None and not rate:
        counted = next((common for common in COMMON_RATES if common > frames[known].max()), UNKNOWN_RATE)
        odd("It is shorter than a second: taken as {rate} frames per second, see Frame Rate.", rate=shown(counted))
    count = counted or round(rate) or 1
    rate = 1 if count == 1 else rate  # seconds already, whatever the rate
    number = whole * count + frames
    if 2 * dropping[known].sum() > known.sum() and count % 30 == 0:
        minutes = whole // 60
        number -= count // 15 * (minutes - minutes // 10)  # frames 0 and 1 (of 30) are left out in nine minutes of ten
        rate = rate or count / DROP_FRAME_SECOND
    return in_order(number / (rate or count), 1 / (rate or UNKNOWN_RATE), odd)


def parsed(codes: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each code its whole seconds (NaN where it cannot be read), its frames, and whether it is a drop-frame one."""
    table = np.array([parse(code.strip()) for code in codes], dtype=float).reshape(-1, 3)
    table[~np.isfinite(table).all(axis=1)] = np.nan
    return table[:, 0], table[:, 1], table[:, 2] > 0


def parse(code: str) -> tuple[float, float, float]:
    """(seconds, frames, 1 for drop-frame) of one code; NaN for what is none."""
    if match := FRAMES.match(code):
        hours, minutes, seconds = map(float, match.groups()[:3])
        return hours * 3600 + minutes * 60 + seconds, decimal(match[5]), float(match[4] == ";")
    if match := CLOCK.match(code):
        return float(match[1]) * 3600 + float(match[2]) * 60 + decimal(match[3]), 0.0, 0.0
    return decimal(code) if SECONDS.match(code) else np.nan, 0.0, 0.0


def decimal(text: str) -> float:
    """A number with a point or a comma."""
    return float(text.replace(",", "."))


def counted_rate(whole: np.ndarray, frames: np.ndarray) -> int | None:
    """How many frames a second of these codes has; None where no second ends in them.

    Rows may be lost and single codes odd: what is counted on is what the highest frames but the last
    hundredth, and most ends of seconds but the last tenth, agree on.
    """
    if not frames.any() and (whole % 1).any():
        return 1  # seconds with decimals
    second, frame = np.floor(whole), np.floor(frames)
    ahead, passed = np.diff(frame), np.diff(second) % DAY_SECONDS
    ends = passed == 1
    if not ends.any():
        return None
    steps = ahead[(passed == 0) & (ahead > 0)]
    step = max(1, round(np.median(steps))) if len(steps) else 1
    highest = int(np.quantile(frame, 0.99, method="lower")) + 1
    count = max(highest, int(np.quantile(step - ahead[ends], 0.9, method="lower")))
    if count in USUAL_RATES:
        return count
    return next((usual for usual in USUAL_RATES if highest <= usual <= count + 1), count)


def in_order(times: np.ndarray, usual_step: float, odd: Callable[..., None]) -> np.ndarray:
    """Times (F,) of rows, NaN where unknown, as seconds since the first one that only grow.

    ``usual_step`` is the time from row to row where the times do not say.
    """
    rows, step = trusted(times, usual_step, odd)
    passed, expected = forward(np.diff(times[rows])), step * np.diff(rows)
    set_anew = (passed <= 0) | (passed > MAX_GAP_SECONDS)
    tell(odd, "Jumps of its clock: {count}.", set_anew.sum())
    passed[set_anew] = expected[set_anew]
    gap = float((passed - expected).max(initial=0))
    if gap > MIN_TOLD_GAP_SECONDS:
        odd("Longest gap without rows: {seconds} s.", seconds=shown(gap))
    seconds = np.interp(np.arange(len(times)), rows, np.concatenate(([0.0], np.cumsum(passed))))
    seconds[: rows[0]] = step * np.arange(-rows[0], 0)
    seconds[rows[-1] + 1 :] += step * np.arange(1, len(times) - rows[-1])
    return seconds - seconds[0]


def trusted(times: np.ndarray, usual_step: float, odd: Callable[..., None]) -> tuple[np.ndarray, float]:
    """The rows whose times count, and the time from row to row."""
    rows = np.flatnonzero(np.isfinite(times))
    tell(odd, "Time codes that cannot be read: {count}.", len(times) - len(rows))
    repeats = np.diff(times[rows], prepend=np.nan) == 0
    tell(odd, "Time codes that repeat: {count}.", repeats.sum() if MIN_ROWS_PER_REPEAT * repeats.sum() < len(rows) else 0)
    rows = rows[~repeats]
    step = typical_step(rows, times[rows]) or usual_step
    wrong = out_of_order(rows, times[rows], step)
    tell(odd, "Time codes out of order: {count}.", wrong.sum())
    return rows[~wrong], step


def typical_step(rows: np.ndarray, times: np.ndarray) -> float:
    """The usual time from row to row; 0 where none goes forward."""
    passed = forward(np.diff(times))
    steps = (passed / np.diff(rows))[(passed > 0) & (passed <= MAX_GAP_SECONDS)]
    return float(np.median(steps)) if len(steps) else 0.0


def out_of_order(rows: np.ndarray, times: np.ndarray, step: float) -> np.ndarray:
    """Which times go back, or make the next one go back, and are not what the rows around them say."""
    drift = np.pad(times - step * rows, NEIGHBOURS, mode="reflect")
    around = np.median(np.lib.stride_tricks.sliding_window_view(drift, 2 * NEIGHBOURS + 1), axis=1)
    back = np.diff(times) <= 0
    beside = np.concatenate((back, [False])) | np.concatenate(([False], back))
    return beside & (np.abs(drift[NEIGHBOURS:-NEIGHBOURS] - around) > MAX_DRIFT * step)


def forward(passed: np.ndarray) -> np.ndarray:
    """Steps in time (F,) with those over midnight made forward."""
    return np.where(passed < -DAY_SECONDS / 2, passed + DAY_SECONDS, passed)


def tell(odd: Callable[..., None], template: str, count: int) -> None:
    if count:
        odd(template, count=int(count))


def shown(number: float) -> str:
    """A number for a person: 30, 29.97, 0.5."""
    return f"{number:.4g}"
