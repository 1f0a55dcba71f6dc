"""Who draws with which threads: images share the processor's threads, and an image's kernels share those of its slot."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch
from torch import Tensor

PARTS = 4  # for each thread: one that is held up leaves its parts to the others
MIN_SHARED = 1 << 17  # numbers; below, waking a thread costs more than it gives


class WorkerSlot:
    """What draws one image at a time: ``threads`` threads, and memory of its own, which engines keep by ``index``."""

    def __init__(self, index: int, threads: int):
        self.index, self.threads = index, threads
        self.helpers: ThreadPoolExecutor | None = None

    def share(self, kernel: Callable[..., None], arguments: tuple[Any, ...], tiles: int, numbers: int) -> None:
        """kernel(*arguments, first, last) over all ``tiles``; ``numbers`` says how much work that is.

        The kernel must let go of Python's lock.
        """
        if self.threads == 1 or tiles == 1 or numbers < MIN_SHARED:
            kernel(*arguments, 0, tiles)
            return
        parts = min(tiles, self.threads * PARTS)
        waiting = iter([(tiles * part // parts, tiles * (part + 1) // parts) for part in range(parts)])

        def work() -> None:
            for first, last in waiting:
                kernel(*arguments, first, last)

        self.helpers = self.helpers or ThreadPoolExecutor(self.threads - 1, "generator-kernels")
        others = [self.helpers.submit(work) for _ in range(min(self.threads, parts) - 1)]
        work()
        wait(others)
        for other in others:
            other.result()


class WorkerGroup:
    """A thread for each of ``slots``, which work beside each other."""

    def __init__(self, slots: Sequence[WorkerSlot]):
        self.slots = slots
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.here = threading.local()
        self.busy = 0

    def map(self, draw: Callable[..., Tensor], images: Sequence[tuple[Any, ...]]) -> list[Tensor]:
        """draw(*image, slot) for all of them, without gradients."""
        with self.lock:
            executor = self.executor = self.executor or self.start()
            results = executor.map(functools.partial(self.work, draw), images)
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
                executor.shutdown()  # their slots are in use until then
                self.executor = None

    @torch.no_grad()
    def work(self, draw: Callable[..., Tensor], image: tuple[Any, ...]) -> Tensor:
        return draw(*image, self.here.slot)

    def start(self) -> ThreadPoolExecutor:
        before, slots = torch.get_num_threads(), iter(self.slots)
        settled = threading.Barrier(len(self.slots) + 1)

        def settle() -> None:
            self.here.slot = next(slots)
            torch.get_num_threads()  # the first time in a thread, torch sets its number anew
            torch.set_num_threads(self.here.slot.threads)
            settled.wait()

        executor = ThreadPoolExecutor(len(self.slots), "generator-slot", settle)
        for _ in self.slots:
            executor.submit(int)
        settled.wait()
        torch.set_num_threads(before)  # what a worker sets for itself, threads to come would take over
        return executor


class CpuScheduler:
    """Gives an engine's images their threads: ``total`` of them (None: as many as torch uses here, now).

    Of small images, ``small_image_workers`` are drawn at the same time, each with its part of the threads, where more than
    one is wanted: threads that share a small image mostly wait for each other. Which way an image went cannot be seen in it.
    An image with all threads is drawn in the caller's own, or, if ``dedicated``, in one for all callers: OpenMP then has one
    team of threads. Safe to call from several threads, and for several engines.
    """

    def __init__(self, total: int | None = None, small_image_workers: int = 2, dedicated: bool = False):
        self.total, self.dedicated = total or torch.get_num_threads(), dedicated
        each = max(1, self.total // small_image_workers)
        self.whole = WorkerGroup([WorkerSlot(0, self.total)])
        self.small = WorkerGroup([WorkerSlot(1 + number, each) for number in range(small_image_workers)])
        self.exclusive = threading.Lock()  # an image with all threads

    @classmethod
    def reserve(cls) -> CpuScheduler:
        """One to which this thread, and threads to come, leave theirs: what they do with tensors themselves uses one.

        For a process in which several threads draw. OpenMP would start helpers for each of them, and where there are
        more threads than processors, those that share a picture put each other to sleep: it takes a quarter longer.
        """
        scheduler = cls(dedicated=True)
        torch.set_num_threads(1)
        return scheduler

    def map(self, draw: Callable[..., Tensor], images: Sequence[tuple[Any, ...]], small: bool = False) -> list[Tensor]:
        """draw(*image, slot) for each of ``images``; ``small`` ones may be drawn side by side."""
        if small and self.total > 1 and (len(images) > 1 or self.exclusive.locked() or self.small.busy):
            return self.small.map(draw, images)
        with self.exclusive:
            if self.dedicated:
                return self.whole.map(draw, images)
            with torch_threads(self.total):
                return [draw(*image, self.whole.slots[0]) for image in images]


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch uses ``count`` threads for what this thread asks of it.

    With one, what is computed is the same to the last bit on every machine: where a sum or a loop is cut into as many parts
    as there are threads, each part's end is rounded in another way.
    """
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
