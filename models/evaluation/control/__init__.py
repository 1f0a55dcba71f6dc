"""How well a rig follows its controls, as a network sees it that took no part in training.

Every axis is requested alone, over its range, for the same portraits; the judge reads the pictures.
Beside the axes: likeness, what changes outside the face, disentanglement, stability from frame to
frame, and which parameters the generator covers.
"""

from models.evaluation.control.axes import Axis, azimuth
from models.evaluation.control.judge import load_judge
from models.evaluation.control.run import SECTIONS, Results, evaluate
from models.evaluation.control.subjects import Subjects

__all__ = ["SECTIONS", "Axis", "Results", "Subjects", "azimuth", "evaluate", "load_judge"]
