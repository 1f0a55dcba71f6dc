"""Sharing a compiled kernel's rows or tiles among threads, and threads among pictures."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch
from torch import Tensor

PARTS = 4  # for each thread: one that is held up leaves its parts to the others
WORTH_SHARING = 1 << 17  # numbers; below, waking a thread costs more than it gives


HERE = threading.local()  # each thread that draws has helpers of its own


def helpers(count: int) -> ThreadPoolExecutor:
    if getattr(HERE, "count", 0) != count:
        HERE.executor, HERE.count = ThreadPoolExecutor(count, "generator-kernels"), count
    return HERE.executor


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


given = 0  # threads that callers of engines gave up for them


def give_threads() -> None:
    """Leave all threads to the engines: what this thread, and threads to come, do with tensors themselves uses one.

    For a process in which several threads draw. OpenMP would start helpers for each of them, and where there are
    more threads than processors, those that share a picture put each other to sleep: it takes a quarter longer.
    """
    global given
    given = max(given, torch.get_num_threads())
    torch.set_num_threads(1)


def engine_threads() -> int:
    """How many threads an engine that is called from here may use."""
    return max(given, torch.get_num_threads())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """What is computed with tensors inside is the same, to the last bit, however many threads torch may use.

    Where a sum or a loop is cut into as many parts as there are threads, each part's end is rounded in another way.
    """
    outer, HERE.before = getattr(HERE, "before", None), torch.get_num_threads()
    try:
        with torch_threads(1):
            yield
    finally:
        HERE.before = outer


def all_threads() -> contextlib.AbstractContextManager[None]:
    """Inside ``one_thread``: as many threads as outside, for an engine, which cuts its work so that nothing depends on them."""
    return torch_threads(getattr(HERE, "before", None) or torch.get_num_threads())


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch uses ``count`` threads for what this thread asks of it."""
    before = torch.get_num_threads()
    if before != count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if before != count:
            torch.set_num_threads(before)


def spoils_thread(error: BaseException | None) -> bool:
    """Whether oneDNN, which makes code as it goes, makes no more in the thread in which this error came up, ever.

    So it is where memory ran out meanwhile: each picture of a size that it has not seen would fail.
    """
    return "could not create a primitive" in str(error)


class Lanes:
    """``count`` threads that work beside each other, each with its part of the engine's threads."""

    def __init__(self, count: int, first: int = 0):
        self.count, self.first = count, first  # the first of their places
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.here = threading.local()
        self.busy = 0

    def map(self, function: Callable[..., Tensor], *arguments: Iterable[Any]) -> list[Tensor]:
        """function(*one of each of ``arguments``, place) for all of them, without gradients; each lane has its place."""
        with self.lock:
            executor = self.executor = self.executor or self.start()
            results = executor.map(functools.partial(self.work, function), *arguments)
            self.busy += 1
        try:
            return list(results)
        except RuntimeError as error:
            if spoils_thread(error):
                self.end(executor)
            raise
        finally:
            with self.lock:
                self.busy -= 1

    def end(self, executor: ThreadPoolExecutor) -> None:
        """Others come in these threads' place."""
        with self.lock:
            if self.executor is executor:
                executor.shutdown()  # their places in memory are in use until then
                self.executor = None

    @torch.no_grad()
    def work(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        return function(*arguments, self.here.place)

    def start(self) -> ThreadPoolExecutor:
        before, each = torch.get_num_threads(), max(1, engine_threads() // self.count)
        places = iter(range(self.first, self.first + self.count))
        here = threading.Barrier(self.count + 1)

        def settle() -> None:
            torch.get_num_threads()  # the first time in a thread, torch sets its number anew
            torch.set_num_threads(each)
            self.here.place = next(places)
            here.wait()

        executor = ThreadPoolExecutor(self.count, "generator-lane", settle)
        for _ in range(self.count):
            executor.submit(int)
        here.wait()
        torch.set_num_threads(before)  # what a lane sets for itself, threads to come would take over
        return executor
