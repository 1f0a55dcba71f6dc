"""From linear light to a picture: a film-like tone curve, premultiplied sRGB of 8 bits."""

from __future__ import annotations

import cv2
import numpy as np

SHOULDER = 0.62  # linear radiance from which on highlights are rolled off
WHITE = 6.0  # radiance that becomes 1
NEAR, FAR, FAR_SHARE = 0.8, 4.0, 0.03  # pixels, and the weight of the farther neighbours, that an edge takes its colour from
OPAQUE = 0.985  # alpha below which a pixel belongs to an edge
CONTRAST, PIVOT = 1.08, 0.18  # a little more contrast about middle grey than the scene had


def develop(colour: np.ndarray, matte: np.ndarray | None = None) -> np.ndarray:
    """Premultiplied linear RGBA (H, W, 4) float -> premultiplied sRGB RGBA (H, W, 4) uint8 with the alpha ``matte`` (H, W), else its own.

    The curve acts on the colour as it would stand alone (alpha divided out), so that a matte's edge
    has the same colour as what it bounds.
    """
    linear, sampled = np.clip(np.nan_to_num(colour[..., :3]), 0, 1e4), np.clip(np.nan_to_num(colour[..., 3:]), 0, 1)
    alpha = sampled if matte is None else matte[..., None]
    # The few samples of an edge do not meet all that is there: its colour is that of the samples about it.
    premultiplied = np.concatenate((linear, sampled), axis=-1)
    soft = cv2.GaussianBlur(premultiplied, (0, 0), NEAR) + FAR_SHARE * cv2.GaussianBlur(premultiplied, (0, 0), FAR)
    edge = np.minimum(soft[..., 3:] / (1 + FAR_SHARE), alpha) < OPAQUE
    straight = np.where(edge, soft[..., :3] / np.maximum(soft[..., 3:], 1e-5), linear / np.maximum(sampled, 1e-4))
    display = encode(tone(straight)) * alpha
    return np.rint(np.concatenate((display, alpha), axis=-1) * 255).astype(np.uint8)


def tone(linear: np.ndarray) -> np.ndarray:
    """Linear radiance -> linear display 0–1: contrast about middle grey, then a smooth shoulder up to ``WHITE``.

    The shoulder is the logarithm that leaves ``SHOULDER`` with slope one and reaches 1 at ``WHITE``.
    """
    x = PIVOT * (linear / PIVOT) ** CONTRAST
    rolled = SHOULDER + np.log1p(np.maximum(x - SHOULDER, 0) * RATE) / RATE
    return np.clip(np.where(x > SHOULDER, rolled, x), 0, 1)


def untone(display: np.ndarray) -> np.ndarray:
    """Linear display 0–1 -> the linear radiance that ``tone`` makes it of."""
    x = np.where(display > SHOULDER, SHOULDER + np.expm1(np.maximum(display - SHOULDER, 0) * RATE) / RATE, display)
    return PIVOT * (x / PIVOT) ** (1 / CONTRAST)


def shoulder_rate(room: float, reach: float) -> float:
    """The rate k with log(1 + k · reach) / k = room."""
    low, high = 1e-6, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.log1p(middle * reach) / middle > room else (low, middle)
    return middle


RATE = shoulder_rate(1 - SHOULDER, WHITE - SHOULDER)


def encode(linear: np.ndarray) -> np.ndarray:
    """The sRGB transfer curve (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)
