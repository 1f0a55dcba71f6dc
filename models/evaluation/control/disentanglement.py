"""DiscoFaceGAN's disentanglement score of the rig's factors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.evaluation.control.response import disentanglement
from models.evaluation.control.subjects import Subjects
from models.face.parameters import RigParameters
from models.rigging.rignet import CONTROLS

DRAWS = 6  # values of other people's that each portrait is given


def measure_factors(subjects: Subjects) -> dict:
    """Scores of pose, expression and light, each varied alone, and the deviations they come from.

    A factor's coefficients are normalised by their deviation as read among the generator's people;
    those that the judge cannot read do not count.
    """
    places = coefficient_places(subjects)
    std = subjects.population.vector.std(dim=0).clamp(min=1e-6)
    deviations = {}
    for control, parts in CONTROLS.items():
        read = [subjects.request(**taken(subjects, parts, draw)).vector / std for draw in range(DRAWS)]
        varied = torch.stack(read).std(dim=0)  # (N, P) over the draws
        deviations[control] = {name: level(varied[:, rows]) for name, rows in places.items()}
    return {"scores": disentanglement(deviations), "deviations": deviations}


def taken(subjects: Subjects, parts: tuple[str, ...], draw: int) -> dict[str, Tensor]:
    """Components of other people, another one for each portrait and draw."""
    count = len(subjects.w)
    rows = (torch.arange(count, device=subjects.w.device) + draw * count) % len(subjects.others)
    return {part: getattr(subjects.others, part)[rows] for part in parts}


def coefficient_places(subjects: Subjects) -> dict[str, Tensor]:
    """Factor -> where its readable coefficients lie in a vector; roll follows from the alignment."""
    slices, trust = RigParameters.slices(subjects.face), subjects.judge.reliability.cpu()
    parts = {"pose": ("rotation",), "expression": ("expression",), "light": ("light",), "identity": ("identity",)}
    places = {}
    for name, of in parts.items():
        rows = torch.cat([torch.arange(slices[part].start, slices[part].stop) for part in of])
        rows = rows[:2] if name == "pose" else rows
        places[name] = rows[trust[rows] >= min(0.3, float(trust[rows].max()))]
    return places


def level(deviation: Tensor) -> float:
    """Root mean square of normalised deviations (N, C)."""
    return round(float(np.sqrt(deviation.square().mean())), 4)
