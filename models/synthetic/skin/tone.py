"""Skin tones: evenly over the classes of the individual typology angle, with undertones; in the face model's own modes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from models.face.own_head.reflectance import BLOOD, HAEMOGLOBIN, MIDDLE, MODE_NAMES, skin_modes

# Bounds of the classes dark, brown, tan, intermediate, light, very light, degrees; see docs/face.md.
CLASS_BOUNDS = (-52.0, -30.0, 10.0, 28.0, 41.0, 55.0, 66.0)
REGION_OF_MODE = {"lips_red": "lips", "lips_dark": "lips", "cheeks": "cheeks", "nose_ears": "nose", "under_eyes": "under_eyes", "brows": "brow",
                  "beard": "beard", "lids": "lids", "forehead": "forehead"}  # fmt: skip
WHOLE_SKIN = ("tone", "tone_warmth", "redness")
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of linear sRGB, D65


@lru_cache(maxsize=1)
def mode_colours() -> dict[str, np.ndarray]:
    """What one unit of each mode adds (3,) to plain skin where its region is full."""
    modes = {name: np.zeros((1, 3)) for name in MODE_NAMES}
    skin_modes(modes, {name: np.ones(1) for name in {*REGION_OF_MODE.values(), "scalp"}}, np.ones((1, 3)))
    return {name: colour[0] for name, colour in modes.items()}


def weight(reflectance: np.ndarray, name: str) -> float:
    """The weight of one mode."""
    return float(reflectance[MODE_NAMES.index(name)])


def base_colour(reflectance: np.ndarray) -> np.ndarray:
    """Linear colour (3,) of plain skin: what the whole head has in common."""
    return MIDDLE + sum(weight(reflectance, name) * mode_colours()[name] for name in WHOLE_SKIN)


def lightness(tone: float) -> float:
    """How light skin of that tone is beside the mean skin."""
    return float((MIDDLE + tone * mode_colours()["tone"]).sum() / MIDDLE.sum())


def shown(reflectance: np.ndarray) -> float:
    """How much of what lies in skin is seen, 0–1: all of it up to the mean tone, less the more melanin hides it."""
    return min(1.0, lightness(weight(reflectance, "tone")))


def typology_angle(colour: np.ndarray) -> np.ndarray:
    """Individual typology angle (…) in degrees of linear sRGB colours (…, 3): arctan((L* − 50) / b*)."""
    x = colour @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.degrees(np.arctan2(116 * f[..., 1] - 66, 200 * (f[..., 1] - f[..., 2])))


def paleness(tone: float) -> float:
    """How much less yellow the lightest skins are: the weight that goes with ``tone`` along tone_warmth."""
    return -1.3 * max(0.0, tone - 1.2) ** 1.2


@lru_cache(maxsize=1)
def tone_table() -> tuple[np.ndarray, np.ndarray]:
    """Typology angles in rising order and the tone weights that have them."""
    tones = np.linspace(-2.4, 3.3, 200)
    colours = mode_colours()
    angles = typology_angle(np.stack([MIDDLE + t * colours["tone"] + paleness(t) * colours["tone_warmth"] for t in tones]))
    return np.maximum.accumulate(angles), tones


def tone_weight(number: float) -> float:
    """The tone's weight of a standard-normal number: as many people in each class of skin."""
    share = 0.5 * (1 + math.erf(number / math.sqrt(2)))
    angle = np.interp(share, np.linspace(0, 1, len(CLASS_BOUNDS)), CLASS_BOUNDS)
    return float(np.interp(angle, *tone_table()))


def mean_pattern(region: dict[str, np.ndarray], brows: float) -> np.ndarray:
    """The mean face over plain skin (…, 3): blood where skin is thin, brows darkened by ``brows``, nostrils dark."""
    blood = np.sum([amount * region[name] for name, amount in BLOOD.items()], axis=0)
    return np.exp(-blood[..., None] * HAEMOGLOBIN) * ((1 - brows * region["brow"]) * (1 - 0.8 * region["nostrils"]))[..., None]
