"""How kernels are compiled: by numba, for this processor, and kept for later processes where there is a place for it.

Importing this raises ImportError where numba cannot compile for this processor, or was told not to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding
from numba import config, njit
from numba.core.caching import FunctionCache

SETTINGS = vars(config)  # numba puts them there as it is imported


class Kept(FunctionCache):
    """numba's files of what it compiled. A full disk, or a file that is cut short or another user's, stops nothing.

    numba compiles anew when the kernels' file changes. They also hold constants of other modules, as numbers in the machine's code.
    """

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        self._cache_file._source_stamp = self._cache_file._source_stamp, digest_of_constants(function)

    def load_overload(self, *arguments: Any) -> Any:
        try:
            return super().load_overload(*arguments)
        except Exception:  # what unpickling raises
            with contextlib.suppress(OSError):
                self.flush()  # else what is compiled now could not be kept either
            return None

    def save_overload(self, *arguments: Any) -> None:
        with contextlib.suppress(Exception):  # of what lies there already, too
            super().save_overload(*arguments)


def digest_of_constants(function: Callable[..., Any]) -> str:
    """SHA-256 of the numbers and arrays that the module of ``function`` holds when that is defined."""
    found = hashlib.sha256()
    for name, value in sorted(function.__globals__.items()):
        if isinstance(value, int | float | tuple | np.generic | np.ndarray):
            found.update(f"{name} {value!r} ".encode())
            found.update(np.asarray(value).tobytes() if isinstance(value, np.ndarray) else b"")
    return found.hexdigest()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as numba compiles it when it is called, which then runs without Python's lock.

    No fast maths: what it fuses depends on what is compiled together, and a process that finds the kernels
    compiled has to draw the very picture of the one that compiled them.
    """
    kernel: Any = njit(nogil=True)(function)  # other options: change the kernels' file too, else numba takes what it has compiled
    with contextlib.suppress(RuntimeError):  # no folder can be written: each process compiles
        kernel._cache = Kept(function)
    return kernel


def place_of(kernel: Any) -> Path | None:
    """The folder in which a compiled kernel is kept, if any."""
    folder = kernel._cache.cache_path
    return Path(folder) if folder else None


def choose_places() -> None:
    """Leave out the user's folder where there is no user: numba would make one called ~ in the current folder."""
    if not os.path.isabs(os.path.expanduser("~")) and not SETTINGS["CACHE_LOCATOR_CLASSES"]:
        SETTINGS["CACHE_LOCATOR_CLASSES"] = "UserProvidedCacheLocator,InTreeCacheLocator"


def check_switches() -> None:
    """Raise ImportError where numba's settings leave no kernel that this processor can run."""
    cpu = SETTINGS["CPU_NAME"]
    if SETTINGS["DISABLE_JIT"]:
        raise ImportError("NUMBA_DISABLE_JIT is set")
    if cpu and cpu.lower() not in ("generic", binding.get_host_cpu_name().lower()):
        raise ImportError(f"NUMBA_CPU_NAME is {cpu!r}, which this processor is not")
    here = {f"+{name}" for name, there in binding.get_host_cpu_features().items() if there}
    for feature in filter(None, (SETTINGS["CPU_FEATURES"] or "").split(",")):
        if feature not in here and not feature.startswith("-"):  # LLVM ends the process over one without a sign
            raise ImportError(f"NUMBA_CPU_FEATURES has {feature!r}, which this processor lacks")


choose_places()
check_switches()
