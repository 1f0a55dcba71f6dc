"""Display and linear colour, and the grey that a generator's whole picture lies over."""

from __future__ import annotations

import numpy as np

BACKDROP = 0.5  # sRGB grey that a portrait lies over where nothing else is behind it
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear RGB (Rec. 709)


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """The sRGB transfer function (IEC 61966-2-1), display values 0 to 1 of any shape to linear ones, float32."""
    srgb = np.asarray(srgb, dtype=np.float32)
    curve = ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.where(srgb <= 0.04045, srgb / 12.92, curve).astype(np.float32)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """The inverse of ``srgb_to_linear``."""
    linear = np.asarray(linear, dtype=np.float32)
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curve).astype(np.float32)


def over_backdrop(premultiplied: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Display colour (…, 3), premultiplied by ``alpha`` (…, 1), over the backdrop."""
    return premultiplied + (1 - alpha) * BACKDROP


def combined_over_backdrop(combined: np.ndarray) -> np.ndarray:
    """Scene-linear (H, W, 3) of a portrait (H, W, 4; scene-linear, premultiplied) over the backdrop.

    The generator lays them over each other in sRGB, so the edge of the hair is mixed there too.
    """
    alpha = combined[..., 3:]
    straight = combined[..., :3] / np.maximum(alpha, 1e-4)
    return srgb_to_linear(over_backdrop(linear_to_srgb(np.clip(straight, 0, 1)) * alpha, alpha))
