"""Expressions as people make them, and each slider of the rig alone in a known share."""

from __future__ import annotations

import math

import numpy as np

from models.face.gaze import is_gaze
from models.face.own_head.measurements import GAZE_DEGREES

# What a face does in a picture, and how often.
SHARES = {"neutral": 0.20, "slight": 0.20, "natural": 0.34, "single": 0.18, "several": 0.08}
# Natural combinations at full strength; a name without a side means both.
COMBINATIONS = {
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.3, "mouthDimple": 0.2},
    "polite_smile": {"mouthSmile": 0.45, "mouthPress": 0.25, "mouthDimple": 0.3},
    "open_smile": {
        "mouthSmile": 0.85,
        "mouthUpperUp": 0.35,
        "mouthLowerDown": 0.25,
        "cheekSquint": 0.6,
        "eyeSquint": 0.35,
        "jawOpen": 0.08,
    },
    "laugh": {"mouthSmile": 0.9, "jawOpen": 0.35, "cheekSquint": 0.7, "eyeSquint": 0.55, "mouthUpperUp": 0.4, "mouthLowerDown": 0.3},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.8, "eyeWide": 0.8, "jawOpen": 0.4},
    "fear": {"browInnerUp": 0.8, "browOuterUp": 0.4, "browDown": 0.3, "eyeWide": 0.9, "mouthStretch": 0.6, "jawOpen": 0.2},
    "anger": {"browDown": 0.9, "eyeSquint": 0.4, "noseSneer": 0.4, "mouthPress": 0.5, "mouthFrown": 0.3},
    "shout": {"browDown": 0.7, "jawOpen": 0.75, "mouthUpperUp": 0.4, "mouthLowerDown": 0.6, "noseSneer": 0.4, "eyeSquint": 0.3},
    "sadness": {"browInnerUp": 0.8, "mouthFrown": 0.6, "mouthShrugLower": 0.4, "eyeSquint": 0.15},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.5, "browDown": 0.4, "mouthFrown": 0.3, "cheekRaiser": 0.3},
    "concentration": {"browDown": 0.5, "eyeSquint": 0.35, "mouthPress": 0.4, "mouthRollLower": 0.2},
    "doubt": {"browOuterUp": 0.3, "browDown": 0.2, "mouthShrugUpper": 0.5, "mouthShrugLower": 0.4, "mouthFrown": 0.3},
    "pain": {"browDown": 0.7, "eyeSquint": 0.9, "cheekSquint": 0.6, "mouthStretch": 0.5, "mouthUpperUp": 0.3, "jawOpen": 0.1},
    "tired": {"eyeBlink": 0.35, "browInnerUp": 0.2, "mouthFrown": 0.15},
    "yawn": {"jawOpen": 0.95, "eyeBlink": 0.7, "browInnerUp": 0.4, "mouthStretch": 0.2},
    "kiss": {"mouthPucker": 0.9, "mouthFunnel": 0.1},
    "puffed": {"cheekPuff": 0.8, "mouthPress": 0.3},
    "bite_lip": {"mouthRollLower": 0.8, "mouthUpperUp": 0.15},
    "speak_a": {"jawOpen": 0.5, "mouthLowerDown": 0.25},
    "speak_e": {"jawOpen": 0.15, "mouthStretch": 0.4, "mouthSmile": 0.2, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15},
    "speak_i": {"jawOpen": 0.1, "mouthSmile": 0.3, "mouthUpperUp": 0.25, "mouthLowerDown": 0.25},
    "speak_o": {"jawOpen": 0.35, "mouthFunnel": 0.6},
    "speak_u": {"jawOpen": 0.12, "mouthPucker": 0.6, "mouthFunnel": 0.3},
    "speak_m": {"mouthPress": 0.3, "mouthRollLower": 0.3, "mouthRollUpper": 0.3},
    "speak_f": {"jawOpen": 0.08, "mouthRollLower": 0.5, "mouthUpperUp": 0.3},
    "speak_sh": {"jawOpen": 0.06, "mouthFunnel": 0.5, "mouthLowerDown": 0.25, "mouthUpperUp": 0.25},
}
OFTEN = {"smile": 3.0, "polite_smile": 3.0, "open_smile": 3.0, "laugh": 1.5, "concentration": 1.5, "surprise": 1.5}
BLINK, HALF_BLINK = 0.05, 0.07  # shares of pictures with closed and with half-closed lids, whatever else the face does
LOOKS_AT_CAMERA = 0.6  # share of pictures
EYES_FOLLOW = 0.85  # of the head's turn that eyes on the camera undo; the rest is the head's own way of looking
SPREAD_AT_CAMERA, SPREAD_ELSEWHERE = (1.5, 1.0), (14.0, 8.0)  # degrees, sideways and up


def draw_expression(random: np.random.Generator, names: list[str], rotation: np.ndarray) -> np.ndarray:
    """Weights (E,) 0–1 of the expressions ``names`` on a head of ``rotation`` (yaw, pitch, roll) in radians."""
    kind = random.choice(list(SHARES), p=list(SHARES.values()))
    weights = dict.fromkeys(names, 0.0)
    DRAWS[kind](random, weights)
    draw_blink(random, weights)
    draw_gaze(random, weights, rotation)
    return np.array([min(max(weights[name], 0.0), 1.0) for name in names])


def neutral(random: np.random.Generator, weights: dict[str, float]) -> None:
    """Nothing but the last trace of a mood."""
    add_combination(random, weights, str(random.choice(list(COMBINATIONS))), random.uniform(0, 0.06))


def slight(random: np.random.Generator, weights: dict[str, float]) -> None:
    """A mood that shows a little."""
    add_combination(random, weights, draw_name(random), random.uniform(0.08, 0.35))


def natural(random: np.random.Generator, weights: dict[str, float]) -> None:
    """A mood at any strength, sometimes with speech or a second one over it."""
    add_combination(random, weights, draw_name(random), 0.25 + 0.75 * random.beta(1.6, 1.2))
    if random.random() < 0.35:
        add_combination(random, weights, draw_name(random), random.uniform(0.1, 0.6))


def single(random: np.random.Generator, weights: dict[str, float]) -> None:
    """One slider: full, half or anything, on one side or both."""
    names = [name for name in weights if not is_gaze(name)]
    name = str(random.choice(names))
    amount = float(random.choice([1.0, 0.5, random.uniform(0.1, 1.0)], p=(0.35, 0.3, 0.35)))
    weights[name] = amount
    if (other := other_side(name)) in weights and random.random() < 0.5:
        weights[other] = amount
    if name == "mouthClose":  # the lips can only close over an open jaw
        weights["jawOpen"] = random.uniform(amount, 1.0)
    if name == "tongueOut":
        weights["jawOpen"] = random.uniform(0.1, 0.5)


def several(random: np.random.Generator, weights: dict[str, float]) -> None:
    """Two to four sliders that need not belong together, as an artist may ask."""
    for _ in range(random.integers(2, 5)):
        name = str(random.choice([name for name in weights if not is_gaze(name)]))
        amount = random.uniform(0.15, 0.75)
        for each in {name, other_side(name)} & set(weights):
            weights[each] = amount
    weights["mouthClose"] *= weights["jawOpen"]


DRAWS = {"neutral": neutral, "slight": slight, "natural": natural, "single": single, "several": several}


def draw_name(random: np.random.Generator) -> str:
    """A natural combination, the usual ones more often."""
    share = np.array([OFTEN.get(name, 1.0) for name in COMBINATIONS])
    return str(random.choice(list(COMBINATIONS), p=share / share.sum()))


def add_combination(random: np.random.Generator, weights: dict[str, float], name: str, strength: float) -> None:
    """Add a combination, no two faces and no two sides quite alike."""
    lean = 0.12 * random.normal()
    for stem, weight in COMBINATIONS[name].items():
        amount = strength * weight * random.uniform(0.75, 1.15)
        for each, sign in ((stem, 0.0), (f"{stem}_L", 1.0), (f"{stem}_R", -1.0)):
            if each in weights:
                weights[each] += amount * (1 + sign * lean)


def other_side(name: str) -> str:
    """The name of the same expression on the other side of the face; the name itself for one without sides."""
    return {"_L": f"{name[:-2]}_R", "_R": f"{name[:-2]}_L"}.get(name[-2:], name)


def draw_blink(random: np.random.Generator, weights: dict[str, float]) -> None:
    """Lids that are caught closed or half closed; a shut eye is not wide."""
    chance = random.random()
    amount = 1.0 if chance < BLINK else random.uniform(0.15, 0.8) if chance < BLINK + HALF_BLINK else 0.0
    for end in ("_L", "_R"):
        weights[f"eyeBlink{end}"] = max(weights[f"eyeBlink{end}"], amount)
        weights[f"eyeWide{end}"] *= 1 - weights[f"eyeBlink{end}"]


def draw_gaze(random: np.random.Generator, weights: dict[str, float], rotation: np.ndarray) -> None:
    """Eyes on the camera as far as they reach, or anywhere; both look the same way."""
    at_camera = random.random() < LOOKS_AT_CAMERA
    sideways, upward = np.radians(SPREAD_AT_CAMERA if at_camera else SPREAD_ELSEWHERE) * random.normal(size=2)
    if at_camera:
        sideways, upward = sideways - EYES_FOLLOW * rotation[0], upward + EYES_FOLLOW * rotation[1]
    weights.update(gaze_weights(sideways, upward))


def gaze_weights(leftward: float, upward: float) -> dict[str, float]:
    """Weights of the eight eyeLook expressions for eyes that look ``leftward`` (to the face's left) and ``upward``, radians."""
    part = lambda angle, way: min(max(angle / math.radians(GAZE_DEGREES[way]), 0.0), 1.0)
    weights = {}
    for end, outward in (("_L", leftward), ("_R", -leftward)):
        weights[f"eyeLookOut{end}"], weights[f"eyeLookIn{end}"] = part(outward, "Out"), part(-outward, "In")
        weights[f"eyeLookUp{end}"], weights[f"eyeLookDown{end}"] = part(upward, "Up"), part(-upward, "Down")
    return weights
