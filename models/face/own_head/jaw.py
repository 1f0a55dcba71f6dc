"""How skull and jaw carry what is in the mouth."""

from __future__ import annotations

import numpy as np

from models.face.own_head.parts import TEETH_BACK


class Jaw:
    """How upper and lower row go: rows of displacement (M, 3) each, and the lower row's turn under jawOpen."""

    def __init__(self, motion: tuple[np.ndarray, np.ndarray], open_row: int, figures: dict):
        self.motion = {"upper": motion[0], "lower": motion[1].copy()}
        self.open_row = open_row
        boxes = figures["teeth_boxes"][16:].astype(float)
        rest = boxes.mean(axis=1)[:, 1:] - [0, TEETH_BACK]
        moved = rest + figures["teeth_jaw_open"][16:, 1:]
        self.rest, self.moved = rest.mean(axis=0), moved.mean(axis=0)
        u, _, v = np.linalg.svd((rest - self.rest).T @ (moved - self.moved))
        self.turn = u @ np.diag([1, np.sign(np.linalg.det(u @ v))]) @ v

    def carried(self, points: np.ndarray, row: str, follow: float | np.ndarray = 1.0) -> np.ndarray:
        """Figures (M, n, 3) of points (n, 3) that go with a row; ``follow`` (n,) says how far they go with the jaw's opening."""
        figures = np.repeat(self.motion[row][:, None], len(points), axis=1)
        figures[0] = points
        if row == "lower":
            opened = (points[:, 1:] - self.rest) @ self.turn + self.moved - points[:, 1:]
            figures[self.open_row] = np.column_stack((0 * points[:, 0], np.reshape(follow, (-1, 1)) * opened))
        return figures
