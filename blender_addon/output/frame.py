"""Pixels of a portrait in the picture of a scene: conversion, placing, layering. numpy only.

Pictures from the backend are float32 (H, W, C) with row 0 at the top; what these functions make
from them has row 0 at the bottom, as Blender's render passes have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..rig import conversions
from .passes import COMBINED, FAR, PASSES

SMALLEST, LARGEST = 16, 2048  # sizes that the backend renders
BACKDROP = 0.5  # sRGB grey that a generator's whole picture lies over


@dataclass(frozen=True)
class Rectangle:
    """Pixels of a picture, origin at its lower left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.x, self.x + self.width)


def portrait_square(width: int, height: int) -> Rectangle:
    """Where the portrait goes in a picture: a centred square as large as the shorter side."""
    side = min(width, height)
    return Rectangle((width - side) // 2, (height - side) // 2, side, side)


def border_rectangle(width: int, height: int, border: tuple[float, float, float, float]) -> Rectangle:
    """Pixels of a render border (left, bottom, right, top, 0 to 1), cut off as Blender cuts them."""
    left, bottom, right, top = (np.float32(value) for value in border)
    x, y = int(left * np.float32(width)), int(bottom * np.float32(height))
    return Rectangle(x, y, int(right * np.float32(width)) - x, int(top * np.float32(height)) - y)


def backend_size(side: int) -> int:
    """The size to ask the backend for, to fill a square of ``side`` pixels."""
    return min(max(side, SMALLEST), LARGEST)


def to_blender(passes: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    """The backend's passes in Blender's units, axes and row order, at ``side`` by ``side`` pixels.

    Colours are scene-linear, normals in Blender's axes, depth in metres.
    """
    passes = {**passes, "Portrait": over_backdrop(passes["Combined"])}
    converted = {}
    for entry in (COMBINED, *PASSES):
        if entry.name in passes:
            pixels = convert(entry.name, passes[entry.name])[::-1]
            converted[entry.name] = resample(pixels, side, smooth=entry.kind == "COLOR")
    return converted


def convert(name: str, pixels: np.ndarray) -> np.ndarray:
    """One pass (H, W, C) from the backend's conventions to Blender's."""
    if name == "Normal":
        return conversions.directions_model_to_blender(pixels).astype(np.float32)
    if name == "Depth":
        metres = pixels / np.float32(conversions.CENTIMETRES_PER_METRE)
        return np.where(pixels < FAR, metres, np.float32(FAR)).astype(np.float32)
    return pixels


def over_backdrop(combined: np.ndarray) -> np.ndarray:
    """Scene-linear (H, W, 3) of a portrait (H, W, 4) over the grey that its generator was trained on.

    The generator lays them over each other in sRGB, so the edge of the hair is mixed there too.
    """
    alpha = combined[..., 3:]
    straight = combined[..., :3] / np.maximum(alpha, 1e-4)
    display = linear_to_srgb(np.clip(straight, 0, 1)) * alpha + (1 - alpha) * BACKDROP
    return srgb_to_linear(display)


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """The sRGB transfer function (IEC 61966-2-1), display value to linear, float32."""
    srgb = np.asarray(srgb, dtype=np.float32)
    curve = ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.where(srgb <= 0.04045, srgb / 12.92, curve).astype(np.float32)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """The inverse of ``srgb_to_linear``."""
    linear = np.asarray(linear, dtype=np.float32)
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curve).astype(np.float32)


def resample(pixels: np.ndarray, side: int, smooth: bool) -> np.ndarray:
    """A square picture (S, S, C) at another size: by a triangle filter, or its nearest pixels."""
    size = pixels.shape[0]
    if size == side:
        return pixels
    if not smooth:
        nearest = ((np.arange(side) + 0.5) * size / side).astype(int)
        return pixels[nearest][:, nearest]
    weights = triangle_weights(size, side)
    return np.einsum("yr,rcn,xc->yxn", weights, pixels, weights, optimize=True).astype(np.float32)


def triangle_weights(size: int, side: int) -> np.ndarray:
    """(side, size) weights of a triangle filter, as wide as the larger of the two pixels."""
    scale = size / side
    centres = (np.arange(side) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(size)[None] - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def layer(front: dict[str, np.ndarray], back: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """One portrait over another: Combined by its alpha, other passes where that is at least half."""
    if back is None:
        return front
    alpha = front["Combined"][..., 3:]
    result = {"Combined": front["Combined"] + (1 - alpha) * back["Combined"]}
    for name in front.keys() & back.keys() - {"Combined"}:
        result[name] = np.where(alpha >= 0.5, front[name], back[name])
    return result


def place(pixels: np.ndarray, size: tuple[int, int], square: Rectangle, outside: float) -> np.ndarray:
    """A square picture (S, S, C) set into an otherwise empty one of ``size`` (width, height)."""
    if square == Rectangle(0, 0, *size):
        return pixels
    picture = np.full((size[1], size[0], pixels.shape[2]), outside, dtype=np.float32)
    picture[square.rows, square.columns] = pixels
    return picture
