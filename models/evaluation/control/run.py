"""A whole evaluation: all axes, and what belongs to no axis."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from models.evaluation.control.axes import LIGHT_NUMBERS, Axis, measure_axes
from models.evaluation.control.background import measure_outside
from models.evaluation.control.coverage import measure_coverage
from models.evaluation.control.disentanglement import measure_factors
from models.evaluation.control.goals import goals
from models.evaluation.control.identity import measure_identity
from models.evaluation.control.pairs import measure_pairs
from models.evaluation.control.placement import measure_placement
from models.evaluation.control.stability import measure_stability
from models.evaluation.control.subjects import Subjects, renderer_of
from models.perception.face_regressor import Estimator
from models.rigging.rig import Rig

SECTIONS = ("placement", "both_sides", "identity", "outside_face", "disentanglement", "stability", "coverage")
WHOLE = "rig"  # the key in the JSON of everything that is no axis


@dataclass(eq=False)
class Results:
    """The axes by name, the other sections, and the values behind the plot of what is covered."""

    axes: dict[str, Axis]
    sections: dict[str, Any] = field(default_factory=dict)
    covered: dict[float, dict[str, np.ndarray]] = field(default_factory=dict)

    def figures(self) -> dict:
        """For JSON: {axis: figures, …, "rig": {section: …}}."""
        return {name: axis.figures for name, axis in self.axes.items()} | {WHOLE: self.sections}

    def leakage_matrix(self) -> tuple[list[str], list[str], np.ndarray]:
        """Names of the axes requested, of the axes read, and the leakage of each into each (A, B); nan within."""
        rows = [name for name, axis in self.axes.items() if axis.leaks]
        read = self.axes[rows[0]].found[0].values if rows else {}
        columns = [name for name in read if any(name in self.axes[row].leaks for row in rows)]
        matrix = [[self.axes[row].leaks.get(column, np.nan) for column in columns] for row in rows]
        return rows, columns, np.array(matrix).reshape(len(rows), len(columns))


@torch.no_grad()
def evaluate(
    rig: Rig,
    judge: Estimator,
    portraits: int = 12,
    truncation: float = 0.7,
    method: str | None = None,
    report: Callable[[str], None] = print,
    sections: Collection[str] = SECTIONS,
) -> Results:
    """All axes, and the ``sections`` (of SECTIONS). ``method`` is another way to edit than the rig's own."""
    if method:
        renderer_of(rig).networks.method = method
    subjects = Subjects(rig, judge, portraits, truncation, method)
    results = Results(measure_axes(subjects, report))
    measures = {
        "both_sides": lambda: measure_pairs(subjects),
        "identity": lambda: measure_identity(subjects, results.axes),
        "outside_face": lambda: measure_outside(subjects),
        "disentanglement": lambda: measure_factors(subjects),
        "stability": lambda: measure_stability(subjects),
    }
    if "placement" in sections:
        results.axes |= measure_placement(subjects)
        report("placement done")
    for name, measure in measures.items():
        if name in sections:
            results.sections[name] = measure()
            report(f"{name} done")
    if "coverage" in sections:
        results.sections["coverage"], results.covered = measure_coverage(rig)
        report("coverage done")
    results.sections["measured"] = facts(subjects)
    results.sections["goals"] = goals(results.axes, results.sections)
    return results


def facts(subjects: Subjects) -> dict:
    """How this was measured."""
    return {
        "method": subjects.method,
        "localize_expressions": subjects.renderer.networks.localize_expressions,
        "portraits": len(subjects.w),
        "truncation": subjects.truncation,
        "weights": subjects.rig.weights_hash,
        "readable_axes": len(subjects.readable) + 2 + len(LIGHT_NUMBERS),
        "floors": bool(subjects.judge.floors),
    }
