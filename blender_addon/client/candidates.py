"""Candidates for a portrait: drawn one after another in a thread, kept for this session. No bpy."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from .http_client import Client, fault

THUMBNAIL_SIZE = 128  # pixels
OWN_CONTROLS: dict[str, Any] = {"rotation": None, "expression": {}, "light": None, "translation": None, "scale": 1.0}


class Face(NamedTuple):
    """What a face is asked for by; ``model`` empty is the backend's first."""

    seed: int
    truncation: float
    model: str = ""


@dataclass(frozen=True)
class Candidate:
    """A face that may be picked."""

    face: Face  # as it was asked for
    portrait: dict
    combined: np.ndarray  # (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 4) scene-linear, premultiplied, row 0 at the top


def draw_candidate(client: Client, face: Face) -> Candidate:
    """Ask the backend for one candidate. Blocks; raises UserError."""
    portrait = client.new_portrait(face.seed, face.truncation, face.model or None)
    return Candidate(face, portrait, thumbnail(client, portrait))


def thumbnail(client: Client, portrait: dict, attributes: dict[str, float] | None = None) -> np.ndarray:
    """A small picture of the portrait as it is, but for its ``attributes``."""
    return client.frame(portrait, {**OWN_CONTROLS, "attributes": attributes or {}}, THUMBNAIL_SIZE)["Combined"]


def both_ends(client: Client, portrait: dict, directions: dict) -> dict[tuple[str, str], np.ndarray]:
    """(name, "minimum" or "maximum") -> a small picture of the portrait there, for each of ``directions``. Blocks."""
    trial = {**portrait, "directions": directions}
    each = [(entry["name"], end, entry[end]) for entry in directions["directions"] for end in ("minimum", "maximum")]
    return {(name, end): thumbnail(client, trial, {name: amount}) for name, end, amount in each}


class Gallery:
    """Draws candidates off the main thread; ``take`` hands over those that have come."""

    def __init__(self) -> None:
        self.error: UserError | None = None
        self._come: queue.Queue[Candidate] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, connect: Callable[[], Client], wanted: list[Face]) -> None:
        """Draw these; what was still being drawn is given up."""
        self.stop()
        self.error, self._stop, self._come = None, threading.Event(), queue.Queue()
        arguments = (connect, wanted, self._stop, self._come)
        self._thread = threading.Thread(target=self._run, args=arguments, name="StyleRig gallery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up after the candidate it is at. Does not block."""
        self._stop.set()

    def take(self) -> list[Candidate]:
        """The candidates that have come since the last call."""
        come = []
        while not self._come.empty():
            come.append(self._come.get())
        return come

    def _run(
        self,
        connect: Callable[[], Client],
        wanted: Iterable[Face],
        stop: threading.Event,
        come: queue.Queue,
    ) -> None:
        try:
            for face in wanted:
                if stop.is_set():
                    return
                candidate = draw_candidate(connect(), face)
                if not stop.is_set():
                    come.put(candidate)
        except UserError as error:
            problem = error
        except Exception as error:  # a fault of ours is shown too
            problem = fault(error)
        else:
            return
        if not stop.is_set():
            self.error = problem
