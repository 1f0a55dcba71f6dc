"""Motion blur by accumulation: the mean of portraits drawn at moments while the scene's shutter is open. numpy only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..protocol import cryptomatte
from ..protocol.compositing import MATTES

if TYPE_CHECKING:
    import bpy

BLURRED = {*MATTES, "FaceMask"}  # passes whose mean is what a shutter sees; all others are of the frame's own time
OPENS = {"START": 0.0, "CENTER": -0.5, "END": -1.0}  # before the frame, in times that the shutter is open


def moments(scene: bpy.types.Scene) -> list[tuple[int, float]]:
    """Frames and subframes (0 to 1) in the middles of equal parts of the shutter's time; none where nothing is to be blurred."""
    render, count = scene.render, scene.stylerig.motion_samples
    if not render.use_motion_blur or count < 2 or render.motion_blur_shutter <= 0:
        return []
    shutter = render.motion_blur_shutter
    opened = scene.frame_current + scene.frame_subframe + OPENS[render.motion_blur_position] * shutter
    times = (opened + (number + 0.5) / count * shutter for number in range(count))
    return [(math.floor(time), time - math.floor(time)) for time in times]


class Exposure:
    """What a view has seen of some of the moments."""

    def __init__(self) -> None:
        self.count = 0
        self.pixels: dict[str, np.ndarray] = {}  # sums
        self.coverages: cryptomatte.Coverages = {}

    def add(self, pixels: dict[str, np.ndarray], coverages: cryptomatte.Coverages) -> None:
        """Another moment, of the same part of the frame."""
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
