"""A shutter: when portraits are drawn while it is open, and the mean of them, which is motion blur. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from . import cryptomatte
from .compositing import MATTES

ShutterPosition = Literal["START", "CENTER", "END"]  # where the frame's own time is while it is open, as Blender calls it
OPENS: dict[str, float] = {"START": 0.0, "CENTER": -0.5, "END": -1.0}  # from the frame's time, in times that it is open
BLURRED = {*MATTES, "FaceMask"}  # passes whose mean is what a shutter sees; all others are of the frame's own time
MAX_SAMPLES = 256  # of a frame
LONGEST_SHUTTER = 100  # frames
SHUTTER = 0.5  # frames that it is open, where nobody says


def offsets(samples: int, shutter: float, position: str, curve: Sequence[float] = ()) -> list[float]:
    """Times from a frame's own, in frames, at which as many portraits are drawn: each stands for an equal part of the light.

    ``shutter``: frames that it is open. ``curve``: how far it is open, at even steps from its opening to its closing, 0 or
    more; none, or all 0: as far all the while. No times where nothing is to be blurred.
    """
    if samples < 2 or shutter <= 0:
        return []
    parts = (np.arange(samples) + 0.5) / samples
    return [(OPENS[position] + part) * shutter for part in when_let_in(parts, curve).tolist()]


def when_let_in(parts: np.ndarray, curve: Sequence[float]) -> np.ndarray:
    """When, 0 to 1 of its time, a shutter that opens by the curve has let in these parts (N,) of its light."""
    openness = np.maximum(np.asarray(curve, dtype=float), 0)
    if openness.size < 2 or not openness.any() or np.ptp(openness) == 0:
        return parts
    light = np.concatenate(([0.0], np.cumsum(openness[1:] + openness[:-1])))
    return np.interp(parts * light[-1], light, np.linspace(0, 1, light.size))


class Exposure:
    """What is seen of a view at some moments."""

    def __init__(self) -> None:
        self.count = 0
        self.pixels: dict[str, np.ndarray] = {}  # sums
        self.coverages: cryptomatte.Coverages = {}

    def add(self, pixels: dict[str, np.ndarray], coverages: cryptomatte.Coverages) -> None:
        """Another moment, of the same part of the picture."""
        self.count += 1
        add_to(self.pixels, {name: pixels[name] for name in BLURRED & pixels.keys()})
        for layer, names in coverages.items():
            add_to(self.coverages.setdefault(layer, {}), names)

    def mean(self) -> tuple[dict[str, np.ndarray], cryptomatte.Coverages]:
        share = np.float32(1 / self.count)
        means = [{name: total * share for name, total in sums.items()} for sums in (self.pixels, *self.coverages.values())]
        return means[0], dict(zip(self.coverages, means[1:], strict=True))


def add_to(sums: dict[str, np.ndarray], pictures: dict[str, np.ndarray]) -> None:
    for name, picture in pictures.items():
        sums[name] = sums[name] + picture if name in sums else picture
