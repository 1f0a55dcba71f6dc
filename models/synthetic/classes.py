"""The classes of the segmentation, and one label a pixel from what Cycles saw of each."""

from __future__ import annotations

import numpy as np

# In the order of the channels that the materials write (three to a pass); "face" overlaps with the others.
CHANNELS = ("skin", "neck", "hair", "brows", "eyes", "mouth", "clothes", "glasses", "face")
CLASSES = ("background", "skin", "hair", "brows", "eyes", "mouth", "neck", "clothes", "glasses")


def labels(shares: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Number in ``CLASSES`` (H, W) uint8 of what most of each pixel shows.

    ``shares`` (H, W, 9) are those of ``CHANNELS``, ``alpha`` (H, W) the picture's matte, uint8.
    """
    seen = np.stack([shares[..., CHANNELS.index(name)] for name in CLASSES[1:]], axis=-1)
    return np.where(alpha < 128, 0, 1 + seen.argmax(axis=-1)).astype(np.uint8)
