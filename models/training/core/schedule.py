"""The learning rate over a training."""

from __future__ import annotations

import math


def warmup_cosine(progress: float, warmup: float = 1.0, final: float = 0.0) -> float:
    """Factor of the learning rate at ``progress`` 0–1: times ``warmup`` (0–1), along half a cosine from 1 to ``final``."""
    return min(1.0, warmup) * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))
