"""What everything in the studio is told of a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Person:
    """Identity (K,) and reflectance (B,) of the face model, age in years, masculine −1 … 1, and all other numbers by name."""

    identity: np.ndarray
    reflectance: np.ndarray
    age: float
    masculine: float
    look: dict[str, float]
