"""How often OpenCV's frontal-face cascade finds the face: a judge that no training has seen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from models.evaluation.generator.samples import over

if TYPE_CHECKING:
    import cv2

SIZE = 256  # pixels that pictures are brought to, so that rates compare
SMALLEST = 0.3  # of the frame: in an aligned portrait the face fills more


def detection_rate(batches: Iterable[Tensor]) -> float | None:
    """Share of premultiplied pictures (N, 4, R, R) in [-1, 1], over grey, with a face found; None without OpenCV."""
    found = [found_faces(batch) for batch in batches]
    return None if None in found else float(np.mean([one for batch in found for one in batch or ()]))


def found_faces(pictures: Tensor) -> list[bool] | None:
    """Whether a face is found in each of a batch; None without OpenCV."""
    cascade = face_cascade()
    return None if cascade is None else [is_found(cascade, picture) for picture in greys(pictures)]


@lru_cache(maxsize=1)
def face_cascade() -> cv2.CascadeClassifier | None:
    try:
        import cv2
        from cv2.data import haarcascades
    except ModuleNotFoundError:
        return None
    return cv2.CascadeClassifier(haarcascades + "haarcascade_frontalface_default.xml")


def greys(batch: Tensor) -> np.ndarray:
    """Luma (N, 256, 256) uint8."""
    pictures = over(batch, 0.5)
    if pictures.shape[-1] != SIZE:
        pictures = F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", antialias=True)
    weights = pictures.new_tensor((0.299, 0.587, 0.114))[:, None, None]
    return ((pictures * weights).sum(1) * 255 + 0.5).byte().numpy()


def is_found(cascade: cv2.CascadeClassifier, picture: np.ndarray) -> bool:
    smallest = int(SIZE * SMALLEST)
    return len(cascade.detectMultiScale(picture, 1.1, 3, minSize=(smallest, smallest))) > 0
