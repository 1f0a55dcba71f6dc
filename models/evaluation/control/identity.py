"""Whether the person stays the same: our own embedding, between the floors of same and other people."""

from __future__ import annotations

import numpy as np

from models.evaluation.control.axes import Axis
from models.evaluation.control.subjects import Reading, Subjects

GROUPS = {"pose": ("yaw", "pitch"), "expression": ("expression",), "light": ("light",)}


def measure_identity(subjects: Subjects, axes: dict[str, Axis]) -> dict:
    """Mean cosine similarity to the unedited portrait under each kind of edit, with its floors.

    The embedding is what the judge tells of the person (identity, skin, attributes), from which the mean of
    the generator's people is taken. ``normalized_identity`` puts the similarity between another
    person's (0) and the same one's (1). The same person is one rendered in another pose, expression or light
    where the judge was made with such pictures, else the portrait mirrored.
    """
    middle = subjects.population.embedding.mean(axis=0)
    own = subjects.before.embedding - middle
    other = other_people(own)
    known = subjects.judge.floors.get("likeness", {})
    mirrored = similarity(own, mirror(subjects).embedding - middle)
    edits = {}
    for name, groups in GROUPS.items():
        found = [reading for axis in axes.values() if axis.group in groups for reading in axis.found]
        if not found:
            continue
        edited = float(np.mean([similarity(own, reading.embedding - middle) for reading in found]))
        same = float(known.get(name, mirrored))
        normalized = (edited - other) / max(same - other, 1e-6)
        edits[name] = {"similarity": round(edited, 4), "same_person": round(same, 4), "normalized_identity": round(normalized, 4)}
    return {"other_person": round(other, 4), "same_person_from": "renders" if known else "mirror", "edits": edits}


def mirror(subjects: Subjects) -> Reading:
    """The portraits left to right exchanged: the same people, near enough."""
    crops = subjects.crops(subjects.w).flip(3)
    return Reading.of(subjects.judge, crops, subjects.face, subjects.readable)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Mean cosine of the rows of two (N, D)."""
    product = (first * second).sum(axis=1)
    return float((product / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1) + 1e-12)).mean())


def other_people(rows: np.ndarray) -> float:
    """Mean cosine between different rows of (N, D); 0 for a single one."""
    if len(rows) < 2:
        return 0.0
    unit = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)
    cosines = unit @ unit.T
    return float(cosines[~np.eye(len(rows), dtype=bool)].mean())
