"""Make-up: how much a person wears of each kind, and its colours."""

from __future__ import annotations

import math

import numpy as np

NUMBERS = (
    "make_up",
    "foundation",
    "lipstick",
    "lipstick_hue",
    "lipstick_depth",
    "lip_gloss",
    "eye_shadow",
    "eye_shadow_hue",
    "eye_liner",
    "blush",
)
# Colours round a wheel, linear; numbers lead once round, the middle ones most often.
LIPSTICKS = np.array(
    [(0.14, 0.02, 0.04), (0.34, 0.02, 0.025), (0.40, 0.13, 0.10), (0.40, 0.18, 0.14), (0.36, 0.11, 0.13), (0.26, 0.04, 0.09)]
)
SHADOWS = np.array([(0.06, 0.06, 0.09), (0.10, 0.12, 0.22), (0.16, 0.09, 0.07), (0.30, 0.18, 0.12), (0.20, 0.10, 0.16), (0.08, 0.12, 0.09)])


def share_of(number: float) -> float:
    """The share (0–1) of people whose number is below."""
    return 0.5 * (1 + math.erf(number / math.sqrt(2)))


def picked(colours: np.ndarray, number: float) -> np.ndarray:
    """The colour (3,) at a standard-normal number, even among the colours (n, 3)."""
    at = share_of(number) * (len(colours) - 1)
    low = min(int(at), len(colours) - 2)
    return colours[low] + (at - low) * (colours[low + 1] - colours[low])


def amounts(look: dict[str, float], masculine: float) -> dict[str, float]:
    """How much (0–1) there is of foundation, lipstick, eye_shadow, eye_liner, blush and lip_gloss.

    Most who look feminine wear some, few who look masculine; nobody is forced to.
    """
    worn = float(np.clip(0.8 * (look["make_up"] + 0.3 - 1.0 * (masculine + 1)), 0, 1))
    of = lambda name, usual: worn * float(np.clip(usual + 0.55 * look[name], 0, 1))
    return {"foundation": of("foundation", 0.5), "lipstick": of("lipstick", 0.45), "eye_shadow": of("eye_shadow", 0.25), "eye_liner": of("eye_liner", 0.5),
            "blush": of("blush", 0.35), "lip_gloss": of("lip_gloss", 0.1)}  # fmt: skip


def lipstick_colour(look: dict[str, float], skin: np.ndarray) -> np.ndarray:
    """Linear colour (3,) of the lipstick on skin of colour ``skin`` (3,): seldom lighter than the skin itself."""
    colour = picked(LIPSTICKS, look["lipstick_hue"]) * math.exp(-0.25 * look["lipstick_depth"])
    return colour / (1 + 0.6 * colour.mean() / skin.mean())


def shadow_colour(look: dict[str, float]) -> np.ndarray:
    """Linear colour (3,) of the eye shadow."""
    return picked(SHADOWS, look["eye_shadow_hue"])
