"""The light of a rig: 27 coefficients, and above them strength, tint and direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..protocol import conversions, harmonics

NEUTRAL_STRENGTH = 1.0
NEUTRAL_TINT = (1.0, 1.0, 1.0)
FRONT_DIRECTION = (0.0, -1.0, 0.0)  # Blender axes: from where the face looks
EVEN_LIGHT = (np.sqrt(4 * np.pi),) * 3 + (0.0,) * 24  # radiance 1 from everywhere
BALL_SIZE = 96  # pixels of the ball that shows a light
BALL_ALBEDO = 0.45  # about skin's
BALL_MARGIN = 1.04  # half width of its picture in radii
FACE_BRIGHTNESS = 0.8  # what a preset gives a white face on average, in radiance

# Presets: far lights as (direction in Blender's axes of the rig, colour, strength) and an even part.
# The face looks along -Y; +X is its left, at the picture's right.
WARM, COOL, WHITE = (1.0, 0.72, 0.45), (0.55, 0.72, 1.0), (1.0, 1.0, 1.0)
PRESETS: dict[str, tuple[tuple, tuple]] = {
    "Even": ((), WHITE),
    "Studio": ((((-0.6, -0.7, 0.5), WHITE, 2.0), ((0.7, -0.7, 0.1), WHITE, 0.4)), (0.15, 0.15, 0.15)),
    "Butterfly": ((((0, -0.75, 0.65), WHITE, 2.5),), (0.2, 0.2, 0.2)),
    "Rembrandt": ((((-0.75, -0.45, 0.55), WHITE, 3.0),), (0.12, 0.12, 0.12)),
    "Split": ((((-0.9, -0.4, 0.15), WHITE, 2.5),), (0.25, 0.25, 0.25)),
    "Rim": ((((-0.8, 0.6, 0.3), WHITE, 1.5), ((0.8, 0.6, 0.3), WHITE, 1.5), ((0, -1, 0.2), WHITE, 1.2)), (0.15, 0.15, 0.15)),
    "Overcast": ((((0, 0, 1), (0.9, 0.95, 1.0), 2.0), ((0, 0, -1), (0.5, 0.45, 0.4), 0.4)), (0.4, 0.42, 0.45)),
    "Sunset": ((((-0.85, -0.45, 0.15), WARM, 3.0), ((0.3, 0.3, 0.9), COOL, 0.6)), (0.12, 0.15, 0.22)),
    "From Below": ((((0, -0.75, -0.6), WARM, 2.5),), (0.2, 0.22, 0.25)),
    "Two Colors": ((((-0.9, -0.4, 0.2), (1.0, 0.3, 0.35), 2.5), ((0.9, -0.4, 0.2), (0.25, 0.45, 1.0), 2.5)), (0.08, 0.08, 0.1)),
}  # fmt: skip


def final_light(coefficients: ArrayLike, strength: float, tint: ArrayLike, direction: ArrayLike) -> np.ndarray:
    """Light (9, 3) in the model frame from a rig's properties.

    ``coefficients``: 27 numbers, coefficient by coefficient, linear RGB, model frame.
    ``direction`` (3,), Blender axes of the rig: where the light should mainly come from; the
    coefficients are turned by the smallest rotation that brings it there. A zero direction, or a
    light without a main direction, is not turned. Strength 1, tint white and the light's own
    direction change nothing.
    """
    light = np.asarray(coefficients, dtype=float).reshape(harmonics.COUNT, 3)
    wanted = conversions.directions_blender_to_model(np.asarray(direction, dtype=float))
    length = np.linalg.norm(wanted)
    own = harmonics.main_direction(light)
    if length > 1e-6 and own is not None:
        light = harmonics.rotate(light, harmonics.rotation_between(own, wanted / length))
    return light * (strength * np.asarray(tint, dtype=float))


def preset(name: str) -> np.ndarray:
    """Light (9, 3) in the model frame of a preset; all give a face the same brightness."""
    lamps, even = PRESETS[name]
    light = harmonics.ambient(even)
    for direction, colour, strength in lamps:
        towards = conversions.directions_blender_to_model(np.array(direction) / np.linalg.norm(direction))
        light += harmonics.from_directions(towards, strength * np.array(colour))
    directions = harmonics.SAMPLES[harmonics.SAMPLES[:, 2] > 0.3]  # as a face's skin is turned, about
    brightness = harmonics.irradiance(light, directions).mean(axis=0) @ harmonics.LUMINANCE / np.pi
    return light * (FACE_BRIGHTNESS / brightness)


def ball_normals(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Normals (S, S, 3) in the model frame of a ball seen from the front, row 0 at the bottom, and its coverage (S, S)."""
    line = ((np.arange(size) + 0.5) / size * 2 - 1) * BALL_MARGIN
    x, y = np.meshgrid(line, line)
    radius = np.hypot(x, y)
    edge = np.maximum(radius, 1)  # outside, the nearest point of the rim
    depth = np.sqrt(np.maximum(1 - radius**2, 0))
    coverage = np.clip((1 - radius) * size / 2 + 0.5, 0, 1)
    return np.stack((x / edge, y / edge, depth), axis=-1), coverage


def ball(light: np.ndarray, size: int = BALL_SIZE) -> np.ndarray:
    """A grey ball under a light (9, 3) of the model frame: scene-linear (S, S, 4), straight alpha, row 0 at the bottom."""
    normals, coverage = ball_normals(size)
    shaded = harmonics.irradiance(light, normals) * (BALL_ALBEDO / np.pi)
    return np.concatenate((shaded, coverage[..., None]), axis=-1).astype(np.float32)


def own_direction(coefficients: ArrayLike) -> tuple[float, float, float]:
    """Where the light of 27 coefficients mainly comes from (Blender axes); the front if from nowhere."""
    own = harmonics.main_direction(np.asarray(coefficients, dtype=float).reshape(harmonics.COUNT, 3))
    if own is None:
        return FRONT_DIRECTION
    x, y, z = (float(value) for value in conversions.directions_model_to_blender(own))
    return x, y, z
