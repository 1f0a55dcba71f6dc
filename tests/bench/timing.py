"""Timing that also runs inside Blender: standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable


def milliseconds(work: Callable[[int], object], repeats: int, warm: int = 3) -> list[float]:
    """Wall-clock times of ``work(step)``, without the first ``warm``; only one is timed as it is."""
    times, warm = [], warm if repeats > 1 else 0
    for step in range(warm + repeats):
        started = time.perf_counter()
        work(step)
        times.append(1e3 * (time.perf_counter() - started))
    return times[warm:]
