"""What the generator itself can do: the scene's numbers in its z are changed, and the judge reads the pictures.

No rig can follow where the generator that it steers does not: for a generator that the studio
taught, these figures are what its rig is to be compared with, and they show before a rig is trained
what it will be limited by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.evaluation.control import axes as measured
from models.evaluation.control.axes import Axis
from models.evaluation.control.judge import VARIES, expressions, reading_r2
from models.evaluation.control.response import response
from models.evaluation.control.run import Results
from models.evaluation.control.subjects import FIRST_SEED, Reading, Subjects
from models.face.gaze import is_gaze
from models.face.harmonics import luminance
from models.face.parameters import RigParameters
from models.generators import latents_from_seed
from models.generators.semantic_mapping.scene_edits import (
    check_scenes,
    codes_of,
    kept_gaze,
    parameters_of,
    with_expression,
)
from models.generators.semantic_mapping.studio_v1 import PITCH, YAW, layout
from models.perception.face_regressor import Estimator
from models.rigging.rig import Rig


@torch.no_grad()
def measure_upper_bound(rig: Rig, judge: Estimator, portraits: int, report: Callable[[str], None]) -> Results:
    """The axes of a generator taught by scenes. Raises StyleRigError for one whose z is too small to hold a scene."""
    check_scenes(rig.generator, rig.face)
    upper_bound = UpperBound(Subjects(rig, judge, portraits, 1.0))
    axes = {"yaw": upper_bound.angle("yaw", 0, measured.YAW), "pitch": upper_bound.angle("pitch", 1, measured.PITCH)}
    names = [name for name in expressions(judge, rig.face, VARIES) if not is_gaze(name)]
    for number, name in enumerate(names, 1):
        axes[name] = upper_bound.expression(name)
        if number % 10 == 0 or number == len(names):
            report(f"{number} of {len(names)} expressions done")
    axes |= upper_bound.light_bands()
    trust = reading_r2(judge, rig.face)
    for name, axis in axes.items():
        axis.figures["judge_r2"] = trust[name]
    return Results(axes, {"measured": {"method": "scene", "portraits": portraits, "truncation": 1.0}})


class UpperBound:
    """The same portraits as an evaluation's, edited by their z."""

    def __init__(self, subjects: Subjects):
        self.subjects, self.face = subjects, subjects.face
        count = len(subjects.w)
        self.z = torch.cat([latents_from_seed(FIRST_SEED + i, 1, subjects.rig.generator.z_dim) for i in range(count)])
        self.places = layout()
        mood = self.places["mood"]
        self.z[:, mood.start : mood.stop - 1] = 0.0  # as every edited scene has it
        subjects.w = codes_of(subjects.rig.generator, self.z)
        subjects.before = subjects.readings(subjects.w)

    def axis(
        self,
        group: str,
        scenes: list[Tensor],
        requested: Callable[[RigParameters], np.ndarray],
        read: Callable[[Reading], np.ndarray],
        tolerance: float,
        within: set[str] | frozenset[str],
    ) -> Axis:
        """Pictures of ``scenes`` (K of z (N, z_dim)); what is requested is each scene's own truth."""
        found = [self.subjects.readings(codes_of(self.subjects.rig.generator, z)) for z in scenes]
        wanted = np.stack([requested(parameters_of(z, self.face).to("cpu")) for z in scenes], axis=1)
        achieved = np.stack([read(reading) for reading in found], axis=1)
        axis = Axis(group, wanted, achieved, response(wanted, achieved, tolerance), found=found)
        measured.add_leakage(self.subjects, axis, within)
        return axis

    def angle(self, name: str, column: int, values: Sequence[float]) -> Axis:
        def scene(degrees: float) -> Tensor:
            z = self.z.clone()
            z[:, self.places["pose"].start + column] = math.radians(degrees) / (YAW, PITCH)[column]
            z[:, self.places["gaze"]] = kept_gaze(self.z, z, self.places)
            return z

        truth = lambda parameters: parameters.rotation[:, column].rad2deg().numpy()
        read = lambda reading: reading.values[name]
        return self.axis(name, [scene(value) for value in values], truth, read, measured.TOLERANCE["angle"], {name})

    def expression(self, name: str) -> Axis:
        number = self.face.expression_names.index(name)
        scenes = [with_expression(self.z, name, weight, self.face) for weight in measured.WEIGHT]
        truth = lambda parameters: parameters.expression[:, number].numpy()
        read = measured.read_expression(self.subjects, number)
        return self.axis("expression", scenes, truth, read, measured.TOLERANCE["expression"], {name})

    def light_bands(self) -> dict[str, Axis]:
        scenes = []
        for number in range(measured.LIGHTS):
            z = self.z.clone()
            z[:, self.places["light"]] = self.z.roll(number + 1, dims=0)[:, self.places["light"]]
            scenes.append(z)
        axes = {}
        for band in range(3):
            numbers = range(band * band, (band + 1) ** 2)
            truth = lambda parameters, numbers=numbers: luminance(parameters.light)[:, numbers].flatten().numpy()
            read = lambda reading, numbers=numbers: np.stack([reading.values[f"light_{n}"] for n in numbers], axis=1).ravel()
            axes[f"light_band_{band}"] = self.axis("light", scenes, truth, read, measured.TOLERANCE["light"], measured.LIGHT_NUMBERS)
        return axes
