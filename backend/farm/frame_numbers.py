"""Frame numbers as farms write them: "1-48,60". Standard library only."""

from __future__ import annotations

import argparse
import re
from itertools import pairwise

from models.errors import StyleRigError

LARGEST = 1_000_000


def frame_numbers(text: str) -> list[int]:
    """ "1-48,60" or "1..48,60" as numbers from 1 on, sorted, each once; for argparse, whose error it raises."""
    found: set[int] = set()
    for part in text.replace("..", "-").split(","):
        match = re.fullmatch(r"\s*([0-9]{1,7})\s*(?:-\s*([0-9]{1,7})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= LARGEST:
            raise argparse.ArgumentTypeError(f"{part.strip()!r} is no frame and no range of frames from 1 on, as in 1-48,60")
        found.update(range(first, last + 1))
    return sorted(found)


def chosen(count: int, asked: list[int] | None, step: int) -> list[int]:
    """Every ``step``-th of the frames that were asked for, of all ``count`` without. Raises StyleRigError for one that is not there."""
    if asked and asked[-1] > count:
        raise StyleRigError(
            f"There is no frame {asked[-1]}: the frames are 1 to {count}.", "Choose others with --frames.", code="bad_option"
        )
    if step < 1:
        raise StyleRigError(f"--step {step} leads nowhere.", "Give a step of 1 or more.", code="bad_option")
    return (asked or list(range(1, count + 1)))[::step]


def as_text(numbers: list[int]) -> str:
    """Sorted numbers, short: [1, 2, 3, 5] -> "1-3,5"."""
    starts = [numbers[0], *(b for a, b in pairwise(numbers) if b != a + 1)] if numbers else []
    ends = [*(a for a, b in pairwise(numbers) if b != a + 1), numbers[-1]] if numbers else []
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in zip(starts, ends, strict=True))
