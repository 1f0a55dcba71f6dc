"""Colours of hair: two pigments, what age takes, and dye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.hair.roots import smoothstep

# Absorption of a fibre in R, G, B per unit of pigment (d'Eon et al. 2011), and what light many fibres give back.
EUMELANIN, PHEOMELANIN = np.array([0.419, 0.697, 1.37]), np.array([0.187, 0.40, 1.05])
SCATTER = 5.0  # colour = exp(−SCATTER · √absorption), after Chiang et al. 2016
DARKEST = 0.003
WHITE = np.array([0.66, 0.635, 0.59])
BLEACHED = np.array([0.50, 0.385, 0.23])
VIVID = np.array([[0.42, 0.02, 0.03], [0.45, 0.06, 0.20], [0.16, 0.03, 0.28], [0.02, 0.08, 0.30], [0.01, 0.20, 0.22], [0.42, 0.385, 0.34]])


@dataclass(frozen=True)
class Pigment:
    """Linear colour (3,) of a person's hair, the share 0–1 that has turned white, how uneven the rest is."""

    colour: np.ndarray
    white: float
    uneven: float


def pigment_colour(eumelanin: float, pheomelanin: float) -> np.ndarray:
    """Linear colour (3,) of hair with so much of each: 4 is black, 1 brown, 0.1 fair; 0.5 pheomelanin alone is ginger."""
    return np.exp(-SCATTER * np.sqrt(eumelanin * EUMELANIN + pheomelanin * PHEOMELANIN)) + DARKEST


def natural_colour(look: dict[str, float], tone: float) -> np.ndarray:
    """Linear colour (3,) that hair grows in; who has dark skin (``tone`` below 0) mostly has dark hair."""
    eumelanin = float(np.exp(-0.1 + 0.95 * look["hair_dark"] - 0.45 * np.clip(tone, -2, 2)))
    red = float(smoothstep((look["hair_red"] - 0.9) / 1.2))
    return pigment_colour(np.clip(eumelanin, 0.045, 5) * (1 - 0.85 * red), 0.06 + 0.04 * look["hair_red"] ** 2 + 0.35 * red)


def white_share(look: dict[str, float], age: float) -> float:
    """How much hair has no pigment: none before the thirties, at fifty a quarter, at seventy most; people differ by decades."""
    return float(np.clip((age + 9 * look["grey"] - 36) / 42, 0, 1) ** 1.3)


def pigment(look: dict[str, float], age: float, masculine: float, tone: float) -> Pigment:
    """A person's hair colour; some cover the white, few bleach, fewer wear a colour that does not grow."""
    colour, white = natural_colour(look, tone), white_share(look, age)
    covered = float(smoothstep((look["dye"] - 0.55 * masculine - 0.2) / 0.8)) * (1 - masculine) / 2
    bleached = float(smoothstep((look["dye"] - 0.3 * masculine - 1.55) / 0.3))
    vivid = float(smoothstep((look["dye"] - 2.15) / 0.2))
    hue = (look["dye_hue"] + 2) / 4 * (len(VIVID) - 1)
    strange = np.stack([np.interp(hue, np.arange(len(VIVID)), channel) for channel in VIVID.T])
    colour = colour * (1 - bleached) + BLEACHED * (0.8 + 0.2 * np.tanh(look["dye_hue"])) * bleached
    return Pigment(colour * (1 - vivid) + strange * vivid, white * (1 - max(covered, bleached, vivid)), 0.25)


def strand_colours(pigment: Pigment, chance: np.ndarray, early: np.ndarray) -> np.ndarray:
    """Colours (R, 3) from random numbers (R, 3); ``early`` (R,) −1 … 1 is where hair whitens first."""
    varied = pigment.colour * np.exp(pigment.uneven * 2 * (chance[:, :1] - 0.5))
    share = np.clip(pigment.white * (1 + 0.5 * early), 0, 1)
    white = smoothstep((share - chance[:, 1]) / 0.12 + 0.5 * share)[:, None] if pigment.white > 0 else 0.0
    return varied * (1 - white) + white * WHITE * (0.85 + 0.25 * chance[:, 2:3])
