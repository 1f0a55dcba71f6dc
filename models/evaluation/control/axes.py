"""The axes that the judge reads: yaw, pitch, expressions, the direction of light and its bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.evaluation.control.judge import VARIES, expressions, reading_r2
from models.evaluation.control.response import leakage, leaks, response
from models.evaluation.control.subjects import Reading, Subjects
from models.face.camera import rotation_matrix
from models.face.gaze import moves_with, set_expression
from models.face.harmonics import luminance, rotate
from models.face.parameters import RigParameters

YAW = (-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0)  # degrees
PITCH = (-12.0, -6.0, 0.0, 6.0, 12.0)
WEIGHT = (0.0, 0.5, 1.0)  # of an expression
AZIMUTH = (-60.0, -30.0, 0.0, 30.0, 60.0)  # degrees, positive to the face's left
TOLERANCE = {"angle": 4.0, "expression": 0.15, "azimuth": 12.0, "light": 0.35}
LIGHTS = 8  # lights of other people that each portrait is put in
LIGHT_NUMBERS = frozenset(f"light_{number}" for number in range(9))


@dataclass(eq=False)
class Axis:
    """Results of one axis: requested and achieved (N, K), figures, and leakage into each other axis."""

    group: str  # yaw, pitch, expression, light or placement
    requested: np.ndarray
    achieved: np.ndarray
    figures: dict
    leaks: dict[str, float] = field(default_factory=dict)
    found: list[Reading] = field(default_factory=list)


def measure_axes(subjects: Subjects, report: Callable[[str], None]) -> dict[str, Axis]:
    """All axes that the judge reads; expressions are those that its training pictures vary."""
    axes = {"yaw": angle(subjects, "yaw", 0, YAW), "pitch": angle(subjects, "pitch", 1, PITCH)}
    report("yaw and pitch done")
    names = expressions(subjects.judge, subjects.face, VARIES)
    for number, name in enumerate(names, 1):
        axes[name] = expression(subjects, name)
        if number % 10 == 0 or number == len(names):
            report(f"{number} of {len(names)} expressions done")
    axes["light_direction"] = light_direction(subjects)
    axes |= light_bands(subjects)
    trust = reading_r2(subjects.judge, subjects.face)
    for name, axis in axes.items():
        if name in trust:
            axis.figures["judge_r2"] = trust[name]
    return axes


def measure(
    subjects: Subjects,
    group: str,
    values: Sequence[float],
    edit: Callable[[float], dict[str, Tensor]],
    tolerance: float,
    within: set[str] | frozenset[str],
    read: Callable[[Reading], np.ndarray],
) -> Axis:
    """Request each of ``values`` by ``edit``; ``read`` finds the achieved value in the readings."""
    found = [subjects.request(**edit(value)) for value in values]
    achieved = np.stack([read(reading) for reading in found], axis=1)
    requested = np.broadcast_to(np.array(values, float), achieved.shape)
    axis = Axis(group, requested, achieved, response(requested, achieved, tolerance), found=found)
    add_leakage(subjects, axis, within)
    return axis


def add_leakage(subjects: Subjects, axis: Axis, within: set[str] | frozenset[str]) -> None:
    """Leakage into the axes outside ``within``, beside what the judge's own reading shows of it."""
    axis.leaks = leaks(subjects.changes(axis.found), subjects.stds, within)
    floor = subjects.judge.floors.get("leakage", {}).get(axis.group)
    # In the same standard deviations: the people of the floors' pictures are at rest, so theirs would make the floor too high.
    floor = floor and {name: value / subjects.stds[name] for name, value in floor.items() if subjects.stds.get(name)}
    axis.figures |= leakage(axis.leaks, floor)


def angle(subjects: Subjects, name: str, column: int, values: Sequence[float]) -> Axis:
    def edit(degrees: float) -> dict[str, Tensor]:
        rotation = subjects.own.rotation.clone()
        rotation[:, column] = math.radians(degrees)
        return {"rotation": rotation}

    return measure(subjects, name, values, edit, TOLERANCE["angle"], {name}, lambda reading: reading.values[name])


def expression(subjects: Subjects, name: str) -> Axis:
    """One expression alone, but for the eyes: both are asked to look the same way, as every picture shows them."""
    names = subjects.face.expression_names

    def edit(weight: float) -> dict[str, Tensor]:
        return {"expression": set_expression(subjects.own.expression, name, weight, names)}

    read = read_expression(subjects, names.index(name))
    return measure(subjects, "expression", WEIGHT, edit, TOLERANCE["expression"], moves_with(name), read)


def read_expression(subjects: Subjects, number: int) -> Callable[[Reading], np.ndarray]:
    """What a reading says of one expression, readable or not: (N,)."""
    place = RigParameters.slices(subjects.face)["expression"].start + number
    return lambda reading: reading.vector[:, place].numpy()


def light_direction(subjects: Subjects) -> Axis:
    """The portrait's own light turned about the vertical."""

    def edit(degrees: float) -> dict[str, Tensor]:
        return {"light": turned_to(subjects.own.light, degrees)}

    read = lambda reading: azimuth([reading.values[f"light_{number}"] for number in range(9)])
    return measure(subjects, "light", AZIMUTH, edit, TOLERANCE["azimuth"], LIGHT_NUMBERS, read)


def turned_to(light: Tensor, degrees: float) -> Tensor:
    """Light (N, 9, 3) turned about the vertical so that most of it comes from ``degrees``."""
    turn = light.new_zeros(len(light), 3)
    turn[:, 0] = torch.from_numpy(np.radians(degrees - azimuth(luminance(light).cpu().numpy().T))).to(light)
    return rotate(light, rotation_matrix(turn))


def azimuth(brightness: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Degrees from the front to the face's left of the nine coefficients (9, N) of luminance."""
    return np.degrees(np.arctan2(brightness[3], brightness[2]))


def light_bands(subjects: Subjects) -> dict[str, Axis]:
    """Other people's light on every portrait: the luminance of each coefficient, together by band."""
    lights = subjects.others.light[:LIGHTS]
    found = [subjects.request(light=light.expand(len(subjects.w), 9, 3)) for light in lights]
    wanted, axes = luminance(lights).cpu().numpy(), {}
    for band in range(3):
        numbers = range(band * band, (band + 1) ** 2)
        achieved = np.stack([[reading.values[f"light_{n}"] for reading in found] for n in numbers])
        requested = np.broadcast_to(wanted[:, numbers].T[:, :, None], achieved.shape)
        figures = response(requested.reshape(1, -1), achieved.reshape(1, -1), TOLERANCE["light"])
        figures["range"] = [round(float(requested.min()), 3), round(float(requested.max()), 3)]
        each = [response(r, a, TOLERANCE["light"])["r2"] for r, a in zip(requested, achieved, strict=True)]
        figures["coefficients_r2"] = each
        axes[f"light_band_{band}"] = Axis("light", requested, achieved, figures, found=found)
        add_leakage(subjects, axes[f"light_band_{band}"], LIGHT_NUMBERS)
    return axes
