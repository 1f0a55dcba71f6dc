"""Both sides of a face asked together: a smile, not half of one.

The axes ask for each expression alone, also where it has a side. Pictures of people seldom show one
side alone, so what an artist asks for most, both, is measured here besides.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from models.evaluation.control.axes import TOLERANCE, WEIGHT, read_expression
from models.evaluation.control.judge import VARIES, expressions
from models.evaluation.control.response import response
from models.evaluation.control.subjects import Subjects
from models.face.gaze import is_gaze

SIDES = ("_L", "_R")


def measure_pairs(subjects: Subjects) -> dict[str, dict]:
    """Expression -> its figures where its other side is asked for by the same weight; gaze is an axis already."""
    names = subjects.face.expression_names
    known = set(expressions(subjects.judge, subjects.face, VARIES))
    stems = [name[:-2] for name in names if name.endswith(SIDES[0]) and not is_gaze(name) and name[:-2] + SIDES[1] in names]
    figures = {}
    for stem in stems:
        numbers = {stem + side: names.index(stem + side) for side in SIDES if stem + side in known}
        if not numbers:
            continue
        found = [subjects.request(expression=both_sides(subjects, stem, weight)) for weight in WEIGHT]
        for name, number in numbers.items():
            achieved = np.stack([read_expression(subjects, number)(reading) for reading in found], axis=1)
            requested = np.broadcast_to(np.array(WEIGHT), achieved.shape)
            figures[name] = response(requested, achieved, TOLERANCE["expression"])
    return figures


def both_sides(subjects: Subjects, stem: str, weight: float) -> Tensor:
    """The portraits' own expressions (N, E) with both sides of one at ``weight``."""
    weights = subjects.own.expression.clone()
    for side in SIDES:
        weights[:, subjects.face.expression_names.index(stem + side)] = weight
    return weights
