"""Expressions of models whose eyes and jaw turn about joints instead of having modes."""

from __future__ import annotations

import numpy as np

from models.face.own_head.measurements import gaze_turn

GAZES = tuple(f"eyeLook{way}_{side}" for way in ("Down", "In", "Out", "Up") for side in ("L", "R"))
JAW_OPEN = 0.35  # radians about x: as far as a jaw turns with ease


def gaze_expressions(mean: np.ndarray, centres: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> np.ndarray:
    """Displacements (8, V, 3) of the expressions ``GAZES``: each eye turned about its centre as far as ours turn.

    ``centres`` and ``weights`` (V,) go by side, "L" and "R" of the face.
    """
    turned = [weights[name[-1]][:, None] * gaze_turn(name, name[-1], mean - centres[name[-1]]) for name in GAZES]
    return np.stack(turned).astype(np.float32)


def jaw_open(mean: np.ndarray, joint: np.ndarray, weights: np.ndarray, correctives: np.ndarray | None) -> np.ndarray:
    """Displacement (V, 3) of the jaw turned by ``JAW_OPEN`` about ``joint`` (3,), skinned by ``weights`` (V,).

    ``correctives`` (V, 3, 9) are added for the nine entries of the rotation minus identity, before it turns.
    """
    c, s = np.cos(JAW_OPEN), np.sin(JAW_OPEN)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) - np.eye(3)
    added = 0 if correctives is None else correctives @ turn.ravel()
    return (added + weights[:, None] * ((mean + added - joint) @ turn.T)).astype(np.float32)
