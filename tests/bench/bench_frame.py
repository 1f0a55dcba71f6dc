"""How long one frame takes: RigNet and synthesis alone, the portrait, and the portrait with its passes.

Also whole frames against the bare synthesis, of what ships and of a rig of the published 1024² StyleGAN2's size
with random weights: a turned head, an expression that changes from frame to frame, and both together.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from models.rigging import Controls, Rig
from models.rigging.frame_plan import plan_frame
from models.rigging.rignet import METHODS
from tests.bench.networks import stylegan2
from tests.bench.timing import milliseconds
from tests.helpers.untrained_rig import untrained_rig

PASSES = ("FaceMask", "Normal", "Albedo", "Shading", "Depth")


def median_milliseconds(work: Callable[[], object], repeats: int) -> float:
    return statistics.median(milliseconds(lambda _step: work(), repeats))


def ratios(rig: Rig, repeats: int) -> dict[str, float]:
    """The bare synthesis, and frames of each kind against it, shortest times."""
    portrait = rig.new_portrait(seed=7)
    w = torch.as_tensor(portrait.w)[None]

    def draw(step: int, turned: bool, moved: bool) -> None:
        rotation = (0.2 + 0.01 * step, 0.0, 0.0) if turned else None
        rig.frame(portrait, Controls(rotation=rotation, expression={"jawOpen": 0.3 + 0.6 * (step % 2)} if moved else {}), passes=())

    bare = min(milliseconds(lambda step: rig.engine().foreground(w), repeats))
    kinds = {"turn": (True, False), "expression": (False, True), "both": (True, True)}
    times = {kind: min(milliseconds(lambda step, what=what: draw(step, *what), repeats)) for kind, what in kinds.items()}
    return {"synthesis_ms": bare, **{f"{kind}_x": time / bare for kind, time in times.items()}}


def run(quick: bool = False) -> dict[str, float]:
    repeats, ratio_repeats, large_repeats, large = (1, 1, 1, 64) if quick else (15, 40, 6, 1024)
    started = time.perf_counter()
    rig = Rig.load()
    loading = time.perf_counter() - started
    portrait = rig.new_portrait(seed=7)
    controls = Controls(rotation=(0.2, 0.0, 0.0))
    w = torch.as_tensor(portrait.w)[None]
    target = plan_frame(portrait, controls, rig.face).target
    asked = (w, portrait.parameters, target, rig.reconstruction, rig.face)
    with torch.inference_mode():
        methods = {f"rignet_{name}_ms": median_milliseconds(lambda name=name: rig.networks(*asked, name), repeats) for name in METHODS}
    return {
        "resolution_px": float(rig.generator.resolution),
        "load_ms": 1e3 * loading,
        **methods,
        "portrait_ms": median_milliseconds(lambda: rig.frame(portrait, controls, passes=()), repeats),
        "portrait_and_passes_ms": median_milliseconds(lambda: rig.frame(portrait, controls, passes=PASSES), repeats),
        **ratios(rig, ratio_repeats),
        **{
            f"large_{name}": value
            for name, value in ratios(untrained_rig(generator=stylegan2(large), localize_expressions=True), large_repeats).items()
        },
    }
