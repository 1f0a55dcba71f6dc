"""Work that may block, off Blender's main thread. Standard library only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..errors import UserError
from .http_client import fault


class Task:
    """One call in a thread of its own. The function must not touch Blender's data."""

    def __init__(self, function: Callable[[], Any]):
        self._function = function
        self.cancelled = threading.Event()  # for functions that can look at it
        self._value: Any = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="StyleRig task", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Whether it is done; waits for that, at most so long."""
        self._thread.join(seconds)
        return self.done

    def cancel(self) -> None:
        """Say that nobody waits for it any more."""
        self.cancelled.set()

    def result(self) -> Any:
        """What the function returned, once, or what it raised; waits for it. The task keeps nothing: it may be many megabytes."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        value, self._value = self._value, None
        return value

    def _run(self) -> None:
        try:
            self._value = self._function()
        except UserError as error:
            self._error = error
        except Exception as error:  # a fault of ours must reach the person too, not end in a thread
            self._error = fault(error)
