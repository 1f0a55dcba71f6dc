"""How far a command is, on standard error. Standard library only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

SHOW_SECONDS = 0.5  # between two lines


def counted(total: int, unit: str) -> Iterator[int]:
    """The numbers below ``total``; beside them it says how many of them are done and how long each takes."""
    started = shown = time.monotonic()
    for done in range(total):
        yield done
        now = time.monotonic()
        if now - shown >= SHOW_SECONDS or done + 1 == total:
            shown = now
            each = (now - started) / (done + 1)
            print(f"\r{done + 1}/{total} {unit}s, {each:.2f} s each", end="\n" if done + 1 == total else "", file=sys.stderr, flush=True)
