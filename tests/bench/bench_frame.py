"""How long one frame takes: RigNet and synthesis alone, the portrait, and the portrait with its passes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from models.stylerig import Controls, Rig
from models.stylerig.rignet import METHODS

PASSES = ("FaceMask", "Normal", "Albedo", "Shading", "Depth")


def median_milliseconds(work: Callable[[], object], repeats: int = 15, warm: int = 3) -> float:
    """Median wall-clock time of ``work()`` in milliseconds, after ``warm`` calls not counted."""
    times = []
    for _ in range(warm + repeats):
        started = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[warm:])


def run() -> dict[str, float]:
    started = time.perf_counter()
    rig = Rig.load()
    loading = time.perf_counter() - started
    portrait = rig.new_portrait(seed=7)
    controls = Controls(rotation=(0.2, 0.0, 0.0))
    w = torch.as_tensor(portrait.w)[None]
    request = rig.request(portrait, controls)
    asked = (w, portrait.parameters, request.parameters, rig.reconstruction, rig.face)
    with torch.inference_mode():
        synthesis = median_milliseconds(lambda: rig.engine().synthesis(w))
        methods = {
            f"rignet_{name}_ms": median_milliseconds(lambda name=name: rig.networks(*asked, name))
            for name in METHODS
        }
    return {
        "resolution_px": float(rig.generator.resolution),
        "load_ms": 1e3 * loading,
        "synthesis_ms": synthesis,
        **methods,
        "portrait_ms": median_milliseconds(lambda: rig.frame(portrait, controls, passes=())),
        "portrait_and_passes_ms": median_milliseconds(lambda: rig.frame(portrait, controls, passes=PASSES)),
    }
