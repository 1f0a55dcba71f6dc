"""People seen in a mirror: a second picture of each, for nothing.

A rendered set holds a few thousand people, whom a generator learns by heart. Nothing of the studio prefers a side, so the mirror image
of a picture shows a person who might have been drawn as well. The maps that pose her are mirrored alike; of what describes her only
the side of the parting changes.
"""

from __future__ import annotations

from torch import Tensor

from models.face.model import FaceModel
from models.generators.guide import SIDEWAYS
from models.training.guided_generator.palette import columns_of

SIDED = "part"  # of the amounts of ``models.synthetic.description``: where the hair parts, cm to the left


def column_of_side(face: FaceModel) -> int:
    """Where a description (F,) holds the side of the parting."""
    names, before = columns_of(face)
    return before + names.index(SIDED)


def mirrored_images(images: Tensor, chosen: Tensor) -> Tensor:
    """Images (N, C, R, R), those that are ``chosen`` (N,) left to right, in the same layout in memory."""
    shown = images.clone()
    shown[chosen] = images[chosen].flip(3)
    return shown


def mirrored_maps(maps: Tensor, chosen: Tensor) -> Tensor:
    """The same of guide maps (N, CHANNELS, R, R)."""
    shown = mirrored_images(maps, chosen)
    shown[:, list(SIDEWAYS)] *= signs(chosen)[:, None, None, None]
    return shown


def mirrored_features(features: Tensor, chosen: Tensor, column: int) -> Tensor:
    """Descriptions (N, F) of people, the parting (``column``) of those that are ``chosen`` on the other side."""
    shown = features.clone()
    shown[:, column] *= signs(chosen)
    return shown


def mirrored_landmarks(landmarks: Tensor, chosen: Tensor) -> Tensor:
    """Points (N, P, 2), x from -1 to 1; each keeps its number, whichever side it comes to lie on."""
    shown = landmarks.clone()
    shown[..., 0] *= signs(chosen)[:, None]
    return shown


def signs(chosen: Tensor) -> Tensor:
    """-1 for those that are ``chosen`` (N,), else 1."""
    return 1.0 - 2.0 * chosen
