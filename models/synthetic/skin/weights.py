"""A person's skin in the face model's own reflectance modes: what the rig shows."""

from __future__ import annotations

import numpy as np

from models.face.own_head.reflectance import HAEMOGLOBIN, MODE_NAMES
from models.synthetic import eyes
from models.synthetic.skin import makeup, tone
from models.synthetic.skin.age import grown
from models.synthetic.skin.makeup import amounts

PALEST_LIPS = -0.8  # further along the mode lips would turn green


def reflectance(numbers: np.ndarray, look: dict[str, float], age: float, masculine: float) -> np.ndarray:
    """The face model's reflectance weights (B,) of a person, from standard-normal numbers (B,)."""
    draw = dict(zip(MODE_NAMES, numbers, strict=True))
    weights = {name: 0.85 * value for name, value in draw.items()}
    weights["tone"] = tone.tone_weight(draw["tone"])
    light, old, worn = tone.lightness(weights["tone"]), grown(age), amounts(look, masculine)
    weights["tone_warmth"] = 0.9 * draw["tone_warmth"] + tone.paleness(weights["tone"])
    weights["redness"] = 0.8 * draw["redness"] + 0.3 * max(0.0, look["rosacea"] - 0.5)
    weights["cheeks"] = 0.6 * draw["cheeks"] + 1.3 * max(0.0, look["rosacea"] - 0.7) + 1.8 * worn["blush"]
    weights["nose_ears"] = 0.7 * draw["nose_ears"] + 1.0 * max(0.0, look["rosacea"] - 0.7) + 0.4 * old
    weights["under_eyes"] = 0.7 * draw["under_eyes"] + 0.35 + 0.6 * old - 1.2 * worn["foundation"]
    weights["beard"] = 0.15 * draw["beard"] + 2.1 * stubble_shadow(look, masculine)
    weights["brows"] = 0.5 * draw["brows"] + brow_darkness(look)
    weights["lips_red"] = max(PALEST_LIPS, 0.8 * draw["lips_red"] + 0.2 - 0.7 * old)
    weights["lips_dark"] = 0.7 * draw["lips_dark"] - 0.4 * old + 0.8 * max(0.0, 0.8 - light)
    for name in (*tone.REGION_OF_MODE, *(name for name in MODE_NAMES if name.startswith("blotch")), "tone_warmth", "redness"):
        weights[name] *= min(1.0, light)  # the modes are added: on dark skin they would do too much
    for name in MODE_NAMES:
        if name.startswith("blotch"):
            weights[name] *= (1 - 0.6 * worn["foundation"]) * (1 + 0.25 * max(0.0, look["sun"]) + 0.4 * old)
    weights |= eyes.weights(draw["iris_blue"], draw["iris_light"], weights["tone"])
    result = np.array([weights[name] for name in MODE_NAMES])
    return with_lipstick(result, look, worn["lipstick"])


def with_lipstick(reflectance: np.ndarray, look: dict[str, float], amount: float) -> np.ndarray:
    """Weights whose lips come as near to the lipstick as the modes can."""
    if amount <= 0:
        return reflectance
    names, plain = ("lips_red", "lips_dark"), tone.base_colour(reflectance)
    modes = np.stack([tone.mode_colours()[name] for name in names], axis=1)
    wanted = makeup.lipstick_colour(look, plain) - plain * np.exp(-0.75 * HAEMOGLOBIN)
    fitted = np.clip(np.linalg.lstsq(modes, wanted, rcond=None)[0], PALEST_LIPS, 4.0)
    result = reflectance.copy()
    for name, value in zip(names, fitted, strict=True):
        at = MODE_NAMES.index(name)
        result[at] += amount * (value - result[at])
    return result


def stubble_shadow(look: dict[str, float], masculine: float) -> float:
    """How dark shaven or short beard hair makes the skin, 0–1."""
    return float(np.clip(0.45 * look["stubble"] + 0.4 * max(0.0, look.get("beard", 0.0)) + 0.1, 0, 1) * np.clip(masculine + 0.3, 0, 1))


def brow_darkness(look: dict[str, float]) -> float:
    """How much darker than the mean brows are, by the hair's colour."""
    return 0.5 * np.tanh(look.get("brow_dark", 0.0)) + 0.4 * np.tanh(look.get("hair_dark", 0.0))
