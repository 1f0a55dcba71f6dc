"""Checkpoints of a training, malloc settings for it, and requests to stop."""

from __future__ import annotations

import ctypes
import io
import pickle
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Self

import torch

from models.errors import StyleRigError
from models.io.atomic_write import remove_temporaries, write_atomic


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` whole; on a full disk a StyleRigError, and the checkpoint before stays."""
    # In memory first: torch's own writer turns a full disk into errors of other kinds.
    stream = io.BytesIO()
    torch.save(state, stream)
    write_atomic(path, lambda temporary: temporary.write_bytes(stream.getbuffer()))


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed process had begun to write beside its checkpoint, weights and images."""
    remove_temporaries(folder, ".pt", ".safetensors", ".png", ".jsonl")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain values only; raises StyleRigError for a damaged file."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise StyleRigError(
            f"The checkpoint {path} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}.",
            "Delete it to start this training again, or choose another output folder.",
            code="bad_checkpoint",
        ) from error


def tune_malloc() -> None:
    """Let freed memory stay with the process (glibc only; harmless elsewhere).

    Feature maps are larger than malloc's threshold for fresh pages from the kernel, and
    clearing such pages at every step costs a third of the training's time.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 64 * 2**20)
        mallopt(mmap_max, 0)


class Stopped(Exception):
    """A training was asked to stop; its state is saved, and the same command continues it."""


class StopRequest:
    """Within: SIGTERM and SIGINT only set ``requested``, so that the loop can end between two steps."""

    def __init__(self) -> None:
        self.requested = False
        self.before: dict[int, Any] = {}

    def request(self, *_: Any) -> None:
        self.requested = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.before[number] = signal.signal(number, self.request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
