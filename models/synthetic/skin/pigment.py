"""Melanin and blood beyond what the face model's modes hold, each person's own pattern of them."""

from __future__ import annotations

import numpy as np

from models.synthetic.skin import makeup, tone
from models.synthetic.skin.age import grown
from models.synthetic.skin.chart import FINE, grid
from models.synthetic.skin.maps import SkinMaps
from models.synthetic.skin.weights import stubble_shadow
from models.synthetic.traits import Person

# Chart positions of scars: cheeks, brow, forehead, chin.
SCARS = np.array([(0.44, 0.30), (0.31, 0.50), (0.27, 0.63), (0.35, 0.80), (0.60, 0.88), (0.68, 0.58), (0.56, 0.31)])


def pattern(look: dict[str, float]) -> np.ndarray:
    """The numbers (3,) that make what is random on a skin a person's own."""
    return np.array([look["pattern_a"], look["pattern_b"], look["pattern_c"]])


def mixture(fields: np.ndarray, look: dict[str, float]) -> np.ndarray:
    """A person's own pattern (FINE²), of unit deviation, from three random fields."""
    weights = pattern(look) + 1e-6
    return np.tensordot((weights / np.linalg.norm(weights)).astype(np.float32), fields, axes=1)


def pigment(maps: SkinMaps, person: Person) -> np.ndarray:
    """Melanin (FINE²) beyond the person's tone: mottle, freckles, moles, age spots, stubble, lashes' roots."""
    look, fine, old = person.look, maps.fine, grown(person.age)
    light = tone.shown(person.reflectance)
    sun = max(0.0, look["sun"])
    specks, spots = mixture(maps.specks, look), mixture(maps.spots, look)
    amount = (0.06 + 0.02 * sun + 0.05 * old) * fine["mottle"] + (0.025 + 0.02 * old) * fine["grain"]
    freckles = np.clip(look["freckles"] - 0.6 + 0.3 * sun, 0, 2.0) * light
    if freckles > 0:
        amount += 0.30 * freckles * np.clip(specks - 1.2 + 0.35 * freckles, 0, 1.2) * np.clip(maps.fine["rosy"] + 0.25, 0, 1)
    aged = np.clip(1.3 * (old - 0.5) + 0.25 * look["age_spots"] + 0.2 * sun, 0, 1.2) * light
    if aged > 0:
        amount += 0.45 * aged * np.clip(1.1 * (spots - 2.3 + 0.25 * aged), 0, 1)
    moles = np.clip(3.3 - 0.2 * look["moles"], 2.8, 3.8)
    amount += 1.3 * np.clip(3.0 * (specks - moles - 0.25 * np.abs(spots)), 0, 1)
    shadow = stubble_shadow(look, person.masculine)
    return amount + 0.4 * shadow * fine["beard"] * np.clip(fine["pores"] - 0.6, 0, 2) + 1.1 * fine["lash_line"]


def blood(maps: SkinMaps, person: Person) -> np.ndarray:
    """Haemoglobin (FINE²) beyond the person's redness: mottle, flushed cheeks and their vessels, scars."""
    look, fine, old = person.look, maps.fine, grown(person.age)
    flushed = max(0.0, look["rosacea"] - 0.5)
    amount = (0.05 + 0.05 * fine["rosy"]) * fine["blood"] * (1 + 0.5 * flushed)
    light = tone.shown(person.reflectance)  # melanin hides blood
    amount += light * (0.25 * flushed + 0.18 * old) * fine["vessels"] * fine["rosy"]
    cheeks = 0.15 + 0.14 * max(0.0, tone.weight(person.reflectance, "cheeks"))
    amount += 0.35 * cheeks * fine["rosy"] * fine["patches"]  # a flush is blotched, not a disc
    return (0.4 + 0.6 * light) * amount - 0.35 * scar(maps, look)


def scar(maps: SkinMaps, look: dict[str, float]) -> np.ndarray:
    """A scar (FINE²), 0–1, on few faces: a short pale line on brow, cheek or chin."""
    strength = float(np.clip(1.5 * (look["scar"] - 1.4), 0, 1))
    if strength <= 0:
        return np.zeros((), np.float32)
    u, v = np.moveaxis(grid(FINE), -1, 0)
    at = makeup.picked(SCARS, look["scar_place"])
    turn = 3.0 * look["scar_place"]
    along, across = (u - at[0]) * np.cos(turn) + (v - at[1]) * np.sin(turn), (v - at[1]) * np.cos(turn) - (u - at[0]) * np.sin(turn)
    return strength * np.exp(-((along / 0.03) ** 4) - 0.5 * ((across - 6 * along**2) / 0.0022) ** 2).astype(np.float32)
