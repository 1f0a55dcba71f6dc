"""Sharing a compiled kernel's rows or tiles among threads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch

PARTS = 4  # for each thread: one that is held up leaves its parts to the others
WORTH_SHARING = 1 << 17  # numbers; below, waking a thread costs more than it gives


@functools.lru_cache(maxsize=1)
def helpers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "generator-kernels")


def share(kernel: Callable[..., None], arguments: tuple[Any, ...], tiles: int, numbers: int) -> None:
    """kernel(*arguments, first, last) over all ``tiles``; ``numbers`` says how much work that is.

    As many threads as torch uses; the kernel must let go of Python's lock.
    """
    threads = torch.get_num_threads()
    if threads == 1 or tiles == 1 or numbers < WORTH_SHARING:
        kernel(*arguments, 0, tiles)
        return
    parts = min(tiles, threads * PARTS)
    waiting = iter([(tiles * part // parts, tiles * (part + 1) // parts) for part in range(parts)])

    def work() -> None:
        for first, last in waiting:
            kernel(*arguments, first, last)

    others = [helpers(threads - 1).submit(work) for _ in range(min(threads, parts) - 1)]
    work()
    wait(others)
    for other in others:
        other.result()
