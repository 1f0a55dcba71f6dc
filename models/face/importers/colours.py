"""Skin colours of imported models, as linear albedo."""

from __future__ import annotations

import numpy as np

from models.face.own_head.reflectance import DARK, HAEMOGLOBIN, LIGHT

PLAIN = {  # mask -> linear RGB, as on our head; later ones lie on earlier ones
    "mouth": (0.10, 0.02, 0.018), "teeth": (0.62, 0.57, 0.47), "eyes": (0.62, 0.57, 0.54),
    "iris": (0.085, 0.045, 0.022), "pupil": (0.006, 0.006, 0.006),
}  # fmt: skip


def linear_modes(mean: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Display colours (V, 3) in 0–1 and their modes (B, V, 3) -> linear albedo and its modes.

    Modes are multiplied by the slope of the sRGB curve at the mean, which is exact for small weights.
    """
    mean = np.clip(mean, 0, 1)
    low = mean <= 0.04045
    lifted = (mean + 0.055) / 1.055
    linear = np.where(low, mean / 12.92, lifted**2.4)
    slope = np.where(low, 1 / 12.92, 2.4 / 1.055 * lifted**1.4)
    return linear.astype(np.float32), modes * slope.astype(np.float32)


def plain_skin(masks: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Albedo (V, 3), modes (3, V, 3) and their names, the same all over the skin; eyes, teeth and mouth plain.

    Mean and modes are those of our head without their pattern (see ``reflectance.py``).
    """
    middle = np.exp(0.62 * np.log(LIGHT) + 0.38 * np.log(DARK))
    skin = masks["skin"][:, None].astype(float)
    albedo = np.tile(middle, (len(skin), 1))
    for name, colour in PLAIN.items():
        if name in masks:
            albedo[masks[name] > 0.5] = colour
    changes = ((LIGHT - DARK) * 0.25, middle * (0.06, 0.0, -0.12), -middle * HAEMOGLOBIN * 0.11)
    modes = np.stack([skin * change for change in changes])
    return albedo.astype(np.float32), modes.astype(np.float32), ["tone", "tone_warmth", "redness"]
