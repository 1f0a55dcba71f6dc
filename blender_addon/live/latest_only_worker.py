"""A worker thread that answers only the newest request. No bpy; standard library only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..client.http_client import fault
from ..errors import UserError

RETRY_SECONDS = 0.3  # a process that was killed closes its connections some moments before it is gone


@dataclass(frozen=True)
class Answer:
    """What became of a request: a value, or the error that came instead."""

    value: Any = None
    error: UserError | None = None
    seconds: float = 0.0


class LatestOnlyWorker:
    """Calls ``work`` with the newest request; requests that came meanwhile are dropped.

    A request whose backend went away is tried once more (``work`` starts a new one). ``submit``,
    ``take`` and ``stop`` never block.
    """

    def __init__(self, work: Callable[[Any], Any]):
        self._work = work
        self._wake = threading.Condition()
        self._request: Any = None
        self._answer: Answer | None = None
        self._stopped = False
        self.busy = False
        threading.Thread(target=self._run, name="StyleRig live view", daemon=True).start()

    def submit(self, request: Any) -> None:
        """Ask for ``request`` instead of any that still waits."""
        with self._wake:
            self._request = request
            self.busy = True
            self._wake.notify()

    def take(self) -> Answer | None:
        """The newest answer that was not taken yet, or None."""
        with self._wake:
            answer, self._answer = self._answer, None
            return answer

    def stop(self) -> None:
        """End the thread after the request it is at; its answer is dropped."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _run(self) -> None:
        while (request := self._next()) is not None:
            answer = self._try(request)
            if answer.error is not None and answer.error.code == "backend_gone":
                self._put(answer, busy=True)
                time.sleep(RETRY_SECONDS)
                answer = self._try(self._newest_of(request))
            self._put(answer, busy=False)

    def _next(self) -> Any:
        """The next request; None when stopped."""
        with self._wake:
            while self._request is None and not self._stopped:
                self._wake.wait()
            if self._stopped:
                return None
            request, self._request = self._request, None
            return request

    def _newest_of(self, request: Any) -> Any:
        with self._wake:
            newer, self._request = self._request, None
            return request if newer is None else newer

    def _try(self, request: Any) -> Answer:
        started = time.perf_counter()
        try:
            return Answer(value=self._work(request), seconds=time.perf_counter() - started)
        except UserError as error:
            return Answer(error=error)
        except Exception as error:  # a fault of ours is shown, and the live view goes on
            return Answer(error=fault(error))

    def _put(self, answer: Answer, busy: bool) -> None:
        with self._wake:
            self._answer = None if self._stopped else answer
            self.busy = busy or self._request is not None
