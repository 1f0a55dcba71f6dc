"""The rig of this process: loaded once, when it is first needed, and used by a few requests at a time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.server.inference_queue import InferenceQueue, Ticket
from models.errors import StyleRigError

if TYPE_CHECKING:
    from models.generators import CpuScheduler
    from models.rigging import Controls, Frame, Portrait, Rig
    from models.rigging.folders import RigPlace

LOG = logging.getLogger(__name__)
MODEL = "studio"  # the one that is meant where none is named
MAX_CONCURRENT = 2  # while one frame is drawn, the next is prepared and the last one encoded; small ones are drawn side by side
SLOW_SECONDS = 1.5
# Of torch on the CPU, on Windows, on the GPU; of C++; of oneDNN, which makes its code as it goes; of Python's threads.
MEMORY_SIGNS = (
    "can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "could not create a primitive", "can't start new thread",
)  # fmt: skip
COMPILING = "Preparing the generator for this processor: some seconds, once where it can be kept."


@functools.lru_cache(maxsize=1)
def cpu_scheduler() -> CpuScheduler:
    """The one of this process, made once however often a rig is loaded: requests are answered in threads of their own."""
    from models.generators import CpuScheduler

    return CpuScheduler.reserve()


def read_rig(device: str = "cpu", name: str | None = None, folder: Path | None = None, called: str | None = None) -> Rig:
    """A rig that ships, or one of ``folder``, on ``device``, which says that it is ``called`` so (None: ``name``).

    Raises StyleRigError when its weights are not there.
    """
    from models.rigging import Rig

    rig = Rig.load(folder, device=device, scheduler=cpu_scheduler(), name=name)
    rig.name = called or rig.name
    return rig


def load_rig(device: str = "cpu", name: str | None = None, folder: Path | None = None, called: str | None = None) -> Rig:
    """The same, ready to draw: with all that has to be compiled for it."""
    rig = read_rig(device, name, folder, called)
    slow = threading.Timer(SLOW_SECONDS, LOG.warning, args=(COMPILING,))
    slow.start()
    try:
        rig.prepare()
    finally:
        slow.cancel()
    if notice := rig.engine().notice:
        LOG.warning(notice)
    return rig


def render_frame(
    rig: Rig, portrait: Portrait, controls: Controls, size: int | None, passes: Sequence[str], precision: str = "exact"
) -> Frame:
    """``rig.frame``; raises StyleRigError when memory runs out and when anything in the frame is not a number."""
    import torch

    with enough_memory(), torch.inference_mode():  # a frame is many small operations, and each is quicker in it
        frame = rig.frame(portrait, controls, size=size, passes=tuple(passes), precision=precision)
    check_finite(frame)
    return frame


def check_finite(frame: Frame) -> None:
    """Raise StyleRigError unless all values are numbers: no picture of anything else is sent or written."""
    import numpy as np

    broken = [name for name, array in frame.items() if not np.isfinite(array).all()]
    if broken or not np.isfinite(frame.placement).all():
        raise StyleRigError(
            f"This frame would hold values that are not numbers ({', '.join(broken) or 'placement'}).",
            "Its portrait or its controls are far outside what the rig was made for: bring them nearer to those of a new portrait.",
            code="not_finite",
        )


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Running out of memory inside becomes a StyleRigError and leaves the process usable."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory_shortage(error):
            raise
        traceback.clear_frames(error.__traceback__)  # what was made so far is freed now, not when somebody forgets the error
        free_device_memory()
        raise out_of_memory() from error


def is_memory_shortage(error: BaseException) -> bool:
    """Whether memory ran out: Python and numpy have a class for it, torch and its libraries only words."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in MEMORY_SIGNS)


def free_device_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory() -> StyleRigError:
    return StyleRigError(
        "There is not enough memory for this frame.",
        "Ask for a smaller size or fewer passes, or close other programs.",
        code="out_of_memory",
    )


class LazyRig:
    """Loads the rig at the first ``get``. A failed attempt is tried again, so that weights can be put right."""

    def __init__(self, loader: Callable[[str], Rig], device: str = "cpu"):
        self.loader = loader
        self.device = device
        self.rig: Rig | None = None
        self.problem: StyleRigError | None = None
        self.lock = threading.Lock()

    def get(self) -> Rig:
        """The rig; callers on other threads wait while it loads. Raises StyleRigError."""
        with self.lock:
            if self.rig is None:
                try:
                    self.rig, self.problem = self.loader(self.device), None
                except StyleRigError as error:
                    self.problem = error
                    raise
            return self.rig


class RigLibrary:
    """Rigs by name, each loaded when it is first needed: ``loaders`` from names to loader(device); the first is the default.

    ``places`` are where the files of those lie that have any.
    """

    def __init__(self, loaders: Mapping[str, Callable[[str], Rig]], device: str = "cpu", places: Mapping[str, RigPlace] | None = None):
        self.loaders = loaders
        self.rigs = {name: LazyRig(loader, device) for name, loader in loaders.items()}
        self.default = next(iter(self.rigs.values()))
        self.device, self.places = device, dict(places or {})

    def named(self, name: str | None) -> Rig:
        """The rig called so; None is the default. Raises StyleRigError."""
        if name is not None and name not in self.rigs:
            there = " or ".join(map(repr, self.rigs))
            raise StyleRigError(f"There is no model {name!r} here.", f"Use {there}.", code="unknown_model")
        return (self.rigs[name] if name else self.default).get()

    def on_processor(self) -> RigLibrary:
        """The same rigs, for what is computed on the processor alone."""
        return self if self.device == "cpu" else RigLibrary(self.loaders, "cpu", self.places)

    def of_weights(self, weights_hash: str | None, name: str | None) -> Rig:
        """The rig of these weights, whatever it was called once; else the one called so. Raises StyleRigError."""
        for lazy in sorted(self.rigs.values() if weights_hash else (), key=lambda lazy: lazy.rig is None):  # those that are there first
            if lazy.get().weights_hash == weights_hash:
                return lazy.get()
        return self.named(name)


def rig_library(
    loader: Callable[[str], Rig] | None = None,
    device: str = "cpu",
    load: Callable[..., Rig] = load_rig,
    folder: Path | None = None,
    called: str | None = None,
) -> RigLibrary:
    """The rigs of ``folder``, None for those that ship and the person's own, each as ``load`` has it; or the one that ``loader`` loads.

    The first of a folder is ``called`` so, where that is given.
    """
    if loader:
        return RigLibrary({MODEL: loader}, device)
    places = places_in(folder, called)
    loaders = {name: functools.partial(load, name=place.name, folder=place.folder, called=name) for name, place in places.items()}
    return RigLibrary(loaders or {MODEL: functools.partial(load, folder=folder)}, device, places)  # the first to ask is told what is wrong


def places_in(folder: Path | None, called: str | None) -> dict[str, RigPlace]:
    """The rigs of a folder, None for those that ship and the person's own; none where there is nothing."""
    from models.rigging import folders

    try:
        if folder is None:
            return folders.all_rigs()
        names = folders.model_names(folder)
    except StyleRigError as error:
        LOG.warning(error.message)
        return {}
    return {called if called and not number else name: folders.RigPlace(folder, name) for number, name in enumerate(names)}


class InferenceWorker:
    """Runs jobs on threads of its own, ``MAX_CONCURRENT`` at a time, in the order of an ``InferenceQueue``.

    For one event loop: all methods are for its thread.
    """

    def __init__(self) -> None:
        self.executor = self.new_threads()
        self.queue = InferenceQueue()
        self.running: set[Ticket] = set()

    async def run(self, job: Callable[[], Any], ticket: Ticket | None = None) -> Any:
        """The result of ``job()`` when it has had its turn. Raises StyleRigError, also where it gets none."""
        ticket = ticket or Ticket()
        ticket.turn = asyncio.get_running_loop().create_future()
        loser = self.queue.put(ticket)
        if loser is not None:
            self.refuse(loser, busy(len(self.queue)) if loser is ticket or not loser.stream else superseded())
        self.call_next()
        try:
            await ticket.turn
            with enough_memory():  # for a new thread as well
                return await asyncio.get_running_loop().run_in_executor(self.executor, job)
        except StyleRigError as error:
            self.leave_spoilt_threads(error)
            raise
        finally:
            self.queue.discard(ticket)
            self.running.discard(ticket)
            self.call_next()

    def new_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="rig")

    def leave_spoilt_threads(self, error: StyleRigError) -> None:
        """Have other threads for the next jobs where the one in which ``error`` came up is of no more use."""
        if error.__cause__ is None:
            return
        from models.generators import spoils_thread  # which the job has imported: nothing waits for it

        if spoils_thread(error.__cause__):
            self.executor.shutdown(wait=False)
            self.executor = self.new_threads()

    def call_next(self) -> None:
        """Give as many tickets their turn as may run at once."""
        while self.queue and len(self.running) < MAX_CONCURRENT:
            ticket = self.queue.take()
            if not ticket.turn.done():  # it is when the server stops
                self.running.add(ticket)
                ticket.turn.set_result(None)

    def refuse(self, ticket: Ticket, error: StyleRigError) -> None:
        """Answer a ticket that waits with ``error``; one that has had its turn goes on."""
        self.queue.discard(ticket)
        if not ticket.turn.done():
            ticket.turn.set_exception(error)

    def close(self) -> None:
        """Drop the jobs that wait; one that runs finishes by itself."""
        self.executor.shutdown(wait=False, cancel_futures=True)


def busy(waiting: int) -> StyleRigError:
    return StyleRigError(f"{waiting} requests are waiting already.", "Wait for answers first.", code="busy")


def superseded() -> StyleRigError:
    return StyleRigError(
        "A newer request of the same stream took this one's place.",
        "Nothing is wrong; use the newer answer.",
        code="superseded",
    )
