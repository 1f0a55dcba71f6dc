"""Workers that are actors of Ray, one process each, on this machine or on those of a cluster."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backend.farm.jobs import Job
from backend.farm.scheduler import Event, Finished, Lost, Ready
from backend.farm.weights import Lacking, Weights, missing_looks
from backend.farm.worker import Drawn, Failed, Identity, Worker
from models.errors import StyleRigError
from models.extras import extra_needed

ROOT = Path(__file__).resolve().parents[2]
LOCAL = "local"  # in place of an address: a cluster of this command alone, on this machine
# As backend/__main__.py has them: what draws must not depend on the number of processors.
SAME_BITS = {"OPENBLAS_NUM_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}  # it would tell a server of Ray's makers
NICENESS = {"RAY_worker_niceness": "0"}  # Ray's 15 lets workers starve beside any other program
OBJECT_STORE = 100 << 20  # bytes; a job goes through it, and weights that a machine lacks; never a picture


class RayWorker:
    """The actor. Answers are values, errors of ours too, so that what is raised is Ray's own."""

    def open(
        self, job: Job, open_library: Callable[..., Any], device: str, weights: Weights, looks: Weights, brought: dict[str, Any]
    ) -> Identity | Lacking | tuple[str, str, str]:
        """Load the rig and read the job; or say which files are needed for it; or message, hint and code of the error.

        ``brought``: references to the bytes of files.
        """
        try:
            library = open_library(device=device)
            still = self.take(looks, brought, missing_looks)
            if not weights.are_of(library):
                still += self.take(weights, brought, lambda files: files.lacking_in(files.brought()))
                library = open_library(device=device, folder=weights.brought(), called=weights.called)
            if still:
                return Lacking(still)
            self.worker = Worker(job, library, keep=True)
        except StyleRigError as error:
            return error.message, error.hint, error.code
        return self.worker.identity

    def take(self, weights: Weights, brought: dict[str, Any], lacking: Callable[[Weights], list[str]]) -> list[str]:
        """Keep the files that this machine is ``lacking``; the names of those that were not brought yet."""
        import ray

        for name in (name for name in lacking(weights) if name in brought):
            weights.keep(name, ray.get(brought[name]))
        return lacking(weights)

    def draw(self, number: int) -> Drawn | Failed:
        return self.worker.draw(number)


class RayCrew:
    """See ``scheduler.Crew``."""

    def __init__(self, ray: Any, job: Job, open_library: Callable[..., Any], device: str, weights: Weights, looks: Weights):
        self.ray, self.files = ray, weights.files | looks.files
        self.brought: dict[str, Any] = {}  # references to the files that some machine lacked
        self.order = (ray.put(job), open_library, device, weights, looks)
        # Ray itself neither begins an actor again nor repeats a call: which picture is drawn again is not its decision.
        resources = {"num_gpus": 1} if device == "cuda" else {"num_cpus": 1}
        self.actors = ray.remote(RayWorker).options(max_restarts=0, max_task_retries=0, **resources)
        self.handles: dict[int, Any] = {}
        self.calls: dict[Any, tuple[int, int | None]] = {}  # what is under way: (worker, picture), in the order of asking
        self.started = 0

    def start(self) -> int:
        self.started += 1
        self.handles[self.started] = actor = self.actors.remote()
        self.calls[actor.open.remote(*self.order, self.brought)] = self.started, None
        return self.started

    def bring(self, worker: int, names: list[str]) -> None:
        """Let a worker begin again with files of ours. Ray sends each to a machine once, however many workers take it there."""
        for name in names:
            self.brought[name] = self.brought.get(name) or self.ray.put(self.files[name].read_bytes())
        self.calls[self.handles[worker].open.remote(*self.order, self.brought)] = worker, None

    def give(self, worker: int, number: int) -> None:
        self.calls[self.handles[worker].draw.remote(number)] = worker, number

    def end(self, worker: int) -> None:
        self.ray.kill(self.handles[worker])
        self.forget(worker)

    def forget(self, worker: int) -> None:
        del self.handles[worker]
        self.calls = {call: what for call, what in self.calls.items() if what[0] != worker}

    def now(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> list[Event]:
        if not self.calls:
            time.sleep(seconds)
            return []
        first, others = self.ray.wait(list(self.calls), num_returns=1, timeout=seconds)
        more = self.ray.wait(others, num_returns=len(others), timeout=0)[0] if first and others else []
        done = {*first, *more}
        # In the order of asking: what a worker had finished counts before its death does.
        return [event for call in list(self.calls) if call in done and (event := self.event(call))]

    def event(self, call: Any) -> Event | None:
        """What a call that is over says; None for one of a worker whose death was told already, or that needs files first."""
        if call not in self.calls:
            return None
        worker, number = self.calls[call]
        errors = self.ray.exceptions
        try:
            answer = self.ray.get(call)
        except errors.RayTaskError as error:
            return self.fault(call, reason_of(error))
        except errors.RayError as error:
            self.forget(worker)
            return Lost(worker, reason_of(error))
        del self.calls[call]
        if number is not None:
            return Finished(worker, answer)
        if isinstance(answer, Lacking):
            self.bring(worker, answer.names)
            return None
        return Ready(worker, answer if isinstance(answer, Identity) else StyleRigError(*answer))

    def fault(self, call: Any, reason: str) -> Event:
        """What our own code, or reading it on the other machine, raised there."""
        worker, number = self.calls.pop(call)
        if number is not None:
            return Finished(worker, Failed(number, reason, "Look at the cluster's logs.", "fault", ""))
        hint = f"StyleRig must be at {ROOT} on every machine, with the same Python and packages; else set PYTHONPATH there."
        return Ready(worker, StyleRigError(f"A worker cannot begin: {reason}", hint, code="worker_broken"))


def reason_of(error: BaseException) -> str:
    """The last line of what Ray says that is not empty, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]


@contextlib.contextmanager
def cluster(address: str, workers: int | None) -> Iterator[Any]:
    """Ray, connected. ``address``: of a cluster, "auto" for that of this machine or of RAY_ADDRESS, or "local". Raises StyleRigError."""
    with variables_set(QUIET | (local_variables() if address == LOCAL else {})):
        with extra_needed():
            import ray
        try:
            with own_signals():
                connect(ray, address, workers)
        except (ConnectionError, ValueError, OSError, RuntimeError) as error:
            raise StyleRigError(
                f"There is no Ray cluster to use at {address!r}: {str(error).splitlines()[0]}",
                "Start one with `ray start --head`, name its address, or use --ray local.",
                code="no_cluster",
            ) from error
        with contextlib.redirect_stdout(sys.stderr):  # what Ray says itself belongs there, until it has ended
            try:
                yield ray
            finally:
                ray.shutdown()


def connect(ray: Any, address: str, workers: int | None) -> None:
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == LOCAL:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
    else:
        # Workers find this code where it is here, else by a PYTHONPATH of their own.
        there = {**SAME_BITS, "PYTHONPATH": os.pathsep.join([str(ROOT), "${PYTHONPATH}"])}
        ray.init(address=address, runtime_env={"env_vars": there}, **quiet)


def local_variables() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**SAME_BITS, **NICENESS, "PYTHONPATH": path} | ({} if "RAY_AUTH_TOKEN" in os.environ else own_token())


@functools.cache  # Ray reads its token once in a process
def own_token() -> dict[str, str]:
    """What keeps a cluster that ends with this process to itself: it listens to the network, as all of Ray's do."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextlib.contextmanager
def variables_set(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables of this process, and of those that it begins."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Signal handlers are afterwards as they were: Ray's own end the process without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def device_of(ray: Any, asked: str) -> str:
    """cpu or cuda; for "auto" cuda where the cluster has GPUs."""
    if asked != "auto":
        return asked
    return "cuda" if ray.cluster_resources().get("GPU") else "cpu"


def workers_in(ray: Any, device: str) -> int:
    """As many workers as the cluster has GPUs or processors for."""
    return max(1, int(ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 1)))
