"""How deep a face's lines are: by age, by person, and by what the face is doing."""

from __future__ import annotations

import numpy as np

from models.face.model import FaceModel
from models.synthetic.traits import Person

AGE_NUMBERS = ("wrinkles", "lines_forehead", "lines_frown", "lines_eyes", "lines_mouth", "eye_bags", "lid_crease", "age_spots")
# Depth in cm at 80 years of a person with as many lines as most, and the age about which they come.
OLD = {"forehead": (0.092, 55), "frown": (0.085, 57), "crow": (0.100, 55), "bags": (0.125, 56), "smile": (0.125, 51), "marionette": (0.090, 62),
       "cheeks": (0.095, 67), "lip": (0.070, 66), "neck": (0.120, 58)}  # fmt: skip
YOUNG = {"smile": 0.018, "bags": 0.018, "neck": 0.012, "marionette": 0.010}  # there from the start
NUMBER_OF = {"forehead": "lines_forehead", "frown": "lines_frown", "crow": "lines_eyes", "bags": "eye_bags", "smile": "lines_mouth",
             "marionette": "lines_mouth"}  # fmt: skip
LID_CREASE = 0.05
# What an expression adds at full strength, cm by kind of line.
CREASES = {"raise": {"forehead": 0.035}, "frown": {"frown": 0.045}, "smile": {"crow": 0.030, "smile": 0.06, "bags": 0.03}}
EXPRESSIONS = {
    "raise": ("browInnerUp", "browOuterUp"),
    "frown": ("browDown", "noseSneer"),
    "smile": ("mouthSmile", "cheekSquint", "eyeSquint"),
}


def grown(age: float) -> float:
    """How old the skin is: 0 up to 25 years, 1 at 70, smooth between."""
    t = np.clip((age - 25) / 45, 0, 1.25)
    return float(t * t * (3 - 2 * t) if t < 1 else 1 + 0.6 * (t - 1))


def folds(person: Person) -> dict[str, float]:
    """Depth in cm of each kind of line in a resting face."""
    look = person.look
    depths = {}
    for kind, (full, middle) in OLD.items():
        came = 1 / (1 + np.exp(-(person.age - middle - 6 * look["wrinkles"]) / 10))
        own = np.exp(0.6 * np.tanh(look[NUMBER_OF[kind]]) if kind in NUMBER_OF else 0.0)
        depths[kind] = float(own * (YOUNG.get(kind, 0.0) + full * came))
    depths["lid"] = LID_CREASE * float(np.clip(0.55 + 0.6 * look["lid_crease"], 0, 1.3))
    return depths


def creases(face: FaceModel, expression: np.ndarray, age: float) -> np.ndarray:
    """How strongly (V, 3) raised brows, a frown and a smile fold the skin at each vertex; expression (E,), left and right apart."""
    value = dict(zip(face.expression_names, expression, strict=True))
    left = np.clip(0.5 + face.mean[:, 0].numpy() / 1.5, 0, 1)
    of = lambda names, side: max(value.get(name, value.get(f"{name}_{side}", 0.0)) for name in names)
    sides = [np.array([of(names, side) for names in EXPRESSIONS.values()]) for side in "RL"]
    return (0.6 + 0.8 * grown(age)) * (sides[0] + left[:, None] * (sides[1] - sides[0]))
