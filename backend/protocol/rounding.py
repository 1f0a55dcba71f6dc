"""Numbers of a request, rounded: the float noise of an evaluation is no new request. numpy only."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

DIGITS, PLACE_DIGITS = 6, 9


def rounded_light(light: np.ndarray) -> list[list[float]]:
    """A light (9, 3) of finite numbers, rounded."""
    return (light.round(DIGITS) + 0.0).tolist()


def rounded_place(place: complex) -> complex:
    """A place or a factor, x + iy, finer than any pixel."""
    return complex(round(place.real, PLACE_DIGITS), round(place.imag, PLACE_DIGITS))


def rounded(values: Iterable[float]) -> list[float]:
    finite = (value if math.isfinite(value) else 0.0 for value in map(float, values))
    return [round(value, DIGITS) + 0.0 for value in finite]  # + 0.0: no negative zero
