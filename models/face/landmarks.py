"""The 68 landmarks of iBUG 300-W, in the order of the jaw, brows, nose, eyes and lips."""

from __future__ import annotations

N_LANDMARKS = 68
# For each landmark of a mirrored picture the landmark of the picture itself: left and right change places.
MIRRORED_LANDMARKS = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
