"""How long one frame takes: RigNet and synthesis alone, the portrait, and the portrait with its passes.

Also whole frames against the bare synthesis, of each model that ships and of a rig of the published 1024² StyleGAN2's size
with random weights: a turned head, an expression that changes from frame to frame, and both together.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from models.rigging import Controls, Rig
from models.rigging.folders import WEIGHTS, model_names
from models.rigging.frame_plan import plan_frame
from models.rigging.rignet import METHODS
from tests.bench.networks import bare_synthesis, stylegan2
from tests.bench.timing import milliseconds
from tests.helpers.untrained_rig import untrained_rig

PASSES = ("FaceMask", "Normal", "Albedo", "Shading", "Depth")


def median_milliseconds(work: Callable[[], object], repeats: int) -> float:
    return statistics.median(milliseconds(lambda _step: work(), repeats))


def ratios(rig: Rig, repeats: int) -> dict[str, float]:
    """The bare synthesis, and frames of each kind against it, shortest times."""
    portrait, synthesis = rig.new_portrait(seed=7), bare_synthesis(rig)

    def draw(step: int, turned: bool, moved: bool) -> None:
        rotation = (0.2 + 0.01 * step, 0.0, 0.0) if turned else None
        rig.frame(portrait, Controls(rotation=rotation, expression={"jawOpen": 0.3 + 0.6 * (step % 2)} if moved else {}), passes=())

    bare = min(milliseconds(lambda _step: synthesis(), repeats))
    kinds = {"turn": (True, False), "expression": (False, True), "both": (True, True)}
    times = {kind: min(milliseconds(lambda step, what=what: draw(step, *what), repeats)) for kind, what in kinds.items()}
    return {"synthesis_ms": bare, **{f"{kind}_x": time / bare for kind, time in times.items()}}


def rignet_times(rig: Rig, repeats: int) -> dict[str, float]:
    """Each way of editing w; nothing where maps steer the generator."""
    if rig.networks is None:
        return {}
    portrait = rig.new_portrait(seed=7)
    target = plan_frame(portrait, Controls(rotation=(0.2, 0.0, 0.0)), rig.face).target
    asked = (torch.as_tensor(portrait.w)[None], portrait.parameters, target, rig.reconstruction, rig.face)
    with torch.inference_mode():
        return {f"rignet_{name}_ms": median_milliseconds(lambda name=name: rig.networks(*asked, name), repeats) for name in METHODS}


def of_model(name: str, repeats: int, ratio_repeats: int) -> dict[str, float]:
    started = time.perf_counter()
    rig = Rig.load(name=name)
    loading = time.perf_counter() - started
    portrait, controls = rig.new_portrait(seed=7), Controls(rotation=(0.2, 0.0, 0.0))
    return {
        "resolution_px": float(rig.generator.resolution),
        "load_ms": 1e3 * loading,
        **rignet_times(rig, repeats),
        "portrait_ms": median_milliseconds(lambda: rig.frame(portrait, controls, passes=()), repeats),
        "portrait_and_passes_ms": median_milliseconds(lambda: rig.frame(portrait, controls, passes=PASSES), repeats),
        **ratios(rig, ratio_repeats),
    }


def run(quick: bool = False) -> dict[str, float]:
    repeats, ratio_repeats, large_repeats, large = (1, 1, 1, 64) if quick else (15, 40, 6, 1024)
    figures = {name: of_model(name, repeats, ratio_repeats) for name in model_names(WEIGHTS)}
    figures["large"] = ratios(untrained_rig(generator=stylegan2(large), localize_expressions=True), large_repeats)
    return {f"{name}_{figure}": value for name, found in figures.items() for figure, value in found.items()}
