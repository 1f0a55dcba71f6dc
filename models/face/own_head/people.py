"""How much people differ in edition 2's identity modes, and what keeps a random person within what there is."""

from __future__ import annotations

import torch
from torch import Tensor

from models.face.model import FaceModel

# Statistical modes hold the light-stage population's own spread of nearly every measure; named ones widen it.
NAMED_SPREAD = 0.6
OPENING = (0.55, 1.2)  # cm between the lids, on average over an eye: what people's eyes keep to
SOFT = 0.12  # cm over which an opening is bent into these limits
UPPER_LIDS, LOWER_LIDS = (37, 38, 43, 44), (41, 40, 47, 46)  # landmarks


def spread(face: FaceModel) -> Tensor:
    """Standard deviation (K,) of each identity mode among people; age and sex, which are drawn otherwise, have 1.

    A face model without named modes has 1 everywhere.
    """
    values = torch.ones(len(face.identity))
    if "weight" in face.identity_names:
        values[face.identity_names.index("weight") + 1 :] = NAMED_SPREAD
    return values


def plausible(face: FaceModel, identity: Tensor) -> Tensor:
    """Identity weights (N, K) with eyes no further closed or open than people's at rest, by ``eye_size``.

    Many modes open and close the lids a little; all at once they could shut an eye that a linear model cannot keep open.
    A face model without that mode keeps its weights.
    """
    if "eye_size" not in face.identity_names:
        return identity
    rows = lambda marks: face.landmarks[list(marks)]
    gap = lambda shapes: (shapes[..., rows(UPPER_LIDS), 1] - shapes[..., rows(LOWER_LIDS), 1]).mean(dim=-1)
    size, each = face.identity_names.index("eye_size"), gap(face.identity)
    opening = gap(face.mean) + identity @ each
    result = identity.clone()
    result[:, size] += (bent(opening) - opening) / each[size]
    return result


def bent(opening: Tensor) -> Tensor:
    """Openings (N,) smoothly kept within the limits; what lies well within them hardly changes."""
    low, high = OPENING
    above = low + SOFT * torch.nn.functional.softplus((opening - low) / SOFT)
    return high - SOFT * torch.nn.functional.softplus((high - above) / SOFT)
