"""Colours inside the mouth of edition 2, linear RGB. Harmonics cast no shadows: what lies deep is painted darker."""

from __future__ import annotations

import numpy as np

from models.face.own_head.reflectance import smooth_step

ENAMEL, NECK_OF_TOOTH = np.array([0.66, 0.60, 0.50]), np.array([0.58, 0.49, 0.36])
GUMS, TONGUE, LINING = np.array([0.42, 0.17, 0.15]), np.array([0.44, 0.17, 0.155]), np.array([0.32, 0.10, 0.085])
GUM_LINE = 0.24  # of a tooth's height with its neck: what lies below stands in the gums
FRONT, BACK = 10.2, 4.5  # cm: z of the front teeth and of the throat
DARKEST = {"teeth": 0.25, "gums": 0.2, "tongue": 0.15, "mouth": 0.05}  # in the throat, of the colour at the front


def paint_mouth(albedo: np.ndarray, mean: np.ndarray, spans: dict) -> None:
    """Colour teeth, gums, tongue and the mouth's lining of the head's vertices (V, 3); ``albedo`` (V, 3) in place."""
    colours = {"teeth": teeth_colours(mean[spans["teeth"]]), "gums_upper": GUMS, "gums_lower": GUMS, "tongue": TONGUE, "mouth": LINING}
    for part, colour in colours.items():
        darkest = DARKEST[part.removesuffix("_upper").removesuffix("_lower")]
        forward = smooth_step((mean[spans[part], 2:] - BACK) / (FRONT - BACK))
        albedo[spans[part]] = colour * (darkest + (1 - darkest) * forward)


def teeth_colours(points: np.ndarray) -> np.ndarray:
    """Linear RGB of the teeth's vertices (28 n, 3), upper row first: yellower toward the gums, and like these within them."""
    height = points.reshape(28, -1, 3)[..., 1] * np.repeat((-1, 1), 14)[:, None]
    low, high = height.min(axis=1, keepdims=True), height.max(axis=1, keepdims=True)
    share = ((height - low) / (high - low)).reshape(-1, 1)
    enamel = NECK_OF_TOOTH + smooth_step((share - GUM_LINE) / 0.5) * (ENAMEL - NECK_OF_TOOTH)
    return GUMS + smooth_step((share - GUM_LINE) / 0.06 + 0.5) * (enamel - GUMS)
