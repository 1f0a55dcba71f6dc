"""The light of a rig: 27 coefficients, and above them strength, tint and direction."""

from __future__ import annotations

import numpy as np

from . import conversions, harmonics

NEUTRAL_STRENGTH = 1.0
NEUTRAL_TINT = (1.0, 1.0, 1.0)
FRONT = (0.0, -1.0, 0.0)  # Blender axes: from where the face looks
EVEN = (np.sqrt(4 * np.pi),) * 3 + (0.0,) * 24  # radiance 1 from everywhere


def final_light(coefficients, strength: float, tint, direction) -> np.ndarray:
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


def own_direction(coefficients) -> tuple[float, float, float]:
    """Where the light of 27 coefficients mainly comes from (Blender axes); the front if from nowhere."""
    own = harmonics.main_direction(np.asarray(coefficients, dtype=float).reshape(harmonics.COUNT, 3))
    if own is None:
        return FRONT
    return tuple(float(value) for value in conversions.directions_model_to_blender(own))
