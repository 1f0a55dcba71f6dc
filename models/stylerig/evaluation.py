"""How well a rig follows its controls, as a network sees it that took no part in training.

Every axis is requested alone, over its range, for the same portraits; the judge reads the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.errors import StyleRigError
from models.face.alignment import align
from models.face.camera import rotation_matrix
from models.face.harmonics import luminance, rotate
from models.face.parameters import RigParameters
from models.generators import latents_from_seed
from models.metrics.control import leakage, response
from models.stylerig.estimator import Estimator
from models.stylerig.rig import BACKDROP, WEIGHTS, Rig

YAW = (-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0)  # degrees
PITCH = (-12.0, -6.0, 0.0, 6.0, 12.0)
WEIGHT = (0.0, 0.5, 1.0)  # of an expression
AZIMUTH = (-60.0, -30.0, 0.0, 30.0, 60.0)  # degrees, positive to the face's left
TOLERANCE = {"angle": 4.0, "expression": 0.15, "azimuth": 12.0, "light": 0.35}
READABLE = 0.3  # R² from which the judge can tell an expression at all
POPULATION = 48  # codes whose readings give the spread of each axis
LIGHTS = 8  # lights of other people that each portrait is put in
BATCH = 16
FIRST_SEED = 100_000  # portraits that nothing was trained on


@dataclass(eq=False)
class Axis:
    """Results of one axis: requested and achieved (N, K), with the figures."""

    requested: np.ndarray
    achieved: np.ndarray
    figures: dict


def load_judge(rig_folder: Path | None, path: Path | None, rig: Rig) -> Estimator:
    """The judge in ``path``, else the one beside the rig's weights.

    Raises StyleRigError for a network that learned from the rig's half of the pictures.
    """
    path = path or (rig_folder or WEIGHTS) / f"{rig.name}-judge.safetensors"
    judge = Estimator.load(path)
    if judge.header.get("half") != "evaluation":
        raise StyleRigError(
            f"{path} learned from the pictures that the rig was trained with and cannot judge it.",
            "Use the network that `python -m backend train rig --stage judge` makes.",
            code="bad_judge",
        )
    return judge


class Evaluation:
    """One rig, one judge, a set of portraits."""

    def __init__(self, rig: Rig, judge: Estimator, portraits: int, truncation: float, method: str | None = None):
        self.rig, self.judge, self.face, self.method = rig, judge, rig.face, method
        self.w = self.codes(portraits, FIRST_SEED, truncation)
        self.own = rig.reconstruction(self.w, rig.face)
        self.names = self.axis_names()
        self.before = self.readings(self.w)
        others = self.codes(POPULATION, FIRST_SEED + portraits, 1.0)
        self.other_light = rig.reconstruction(others[:LIGHTS], rig.face).light
        self.spreads = {name: float(values.std()) for name, values in self.readings(others).items()}

    def codes(self, count: int, seed: int, truncation: float) -> Tensor:
        """w of ``count`` seeds from ``seed`` on."""
        generator = self.rig.generator
        z = torch.cat([latents_from_seed(seed + i, 1, generator.z_dim) for i in range(count)])
        return generator.mapping(z, truncation_psi=truncation)

    def axis_names(self) -> list[str]:
        """The expressions that the judge can read."""
        place = RigParameters.slices(self.face)["expression"]
        trust = self.judge.reliability[place].tolist()
        return [name for name, value in zip(self.face.expression_names, trust, strict=True) if value >= READABLE]

    def readings(self, w: Tensor) -> dict[str, np.ndarray]:
        """What the judge sees in the pictures of codes (M, L, 512): axis name -> (M,)."""
        seen = torch.cat([self.look(part) for part in w.split(BATCH)])
        parameters = RigParameters.from_vector(seen, self.face)
        brightness = luminance(parameters.light)
        values = {"yaw": parameters.rotation[:, 0].rad2deg(), "pitch": parameters.rotation[:, 1].rad2deg()}
        index = {name: number for number, name in enumerate(self.face.expression_names)}
        values |= {name: parameters.expression[:, index[name]] for name in self.names}
        values |= {f"light_{number}": brightness[:, number] for number in range(9)}
        return {name: value.numpy() for name, value in values.items()}

    def look(self, w: Tensor) -> Tensor:
        colour, alpha = self.rig.picture(w, "exact")
        return self.judge(colour + (1 - alpha) * BACKDROP)[1]

    def request(self, **parts: Tensor) -> dict[str, np.ndarray]:
        """Readings after an edit of all portraits."""
        wanted = align(self.face, self.own.replace(**parts))
        edited = self.rig.networks(self.w, self.own, wanted, self.rig.reconstruction, self.face, self.method)
        return self.readings(edited)

    def axis(self, name: str, values, edit: Callable[[float], dict[str, Tensor]], tolerance: float,
             within: set[str], read: Callable[[dict], np.ndarray] | None = None) -> Axis:
        """Request each of ``values`` by ``edit``; ``read`` finds the achieved value in the readings."""
        found = [self.request(**edit(value)) for value in values]
        read = read or (lambda readings: readings[name])
        achieved = np.stack([read(readings) for readings in found], axis=1)
        requested = np.broadcast_to(np.array(values, float), achieved.shape)
        figures = response(requested, achieved, tolerance)
        self.add_leakage(figures, found, within)
        return Axis(requested, achieved, figures)

    def add_leakage(self, figures: dict, found: list[dict], within: set[str]) -> None:
        changes = {
            name: np.stack([readings[name] - before for readings in found], axis=1) for name, before in self.before.items()
        }
        figures["leakage"], figures["leaks_most_into"] = leakage(changes, self.spreads, within)

    def angle(self, name: str, column: int, values) -> Axis:
        def edit(degrees: float) -> dict[str, Tensor]:
            rotation = self.own.rotation.clone()
            rotation[:, column] = math.radians(degrees)
            return {"rotation": rotation}

        return self.axis(name, values, edit, TOLERANCE["angle"], {name})

    def expression(self, name: str) -> Axis:
        number = self.face.expression_names.index(name)

        def edit(weight: float) -> dict[str, Tensor]:
            expression = self.own.expression.clone()
            expression[:, number] = weight
            return {"expression": expression}

        return self.axis(name, WEIGHT, edit, TOLERANCE["expression"], {name})

    def light_direction(self) -> Axis:
        """The portrait's own light turned about the vertical."""
        start = azimuth(luminance(self.own.light).numpy().T)

        def edit(degrees: float) -> dict[str, Tensor]:
            turn = torch.zeros(len(self.own), 3)
            turn[:, 0] = torch.from_numpy(np.radians(degrees - start)).float()
            return {"light": rotate(self.own.light, rotation_matrix(turn))}

        lights = {f"light_{number}" for number in range(9)}
        read = lambda readings: azimuth([readings[f"light_{number}"] for number in range(9)])
        return self.axis("light_direction", AZIMUTH, edit, TOLERANCE["azimuth"], lights, read)

    def light_bands(self) -> dict[str, Axis]:
        """Other people's light on every portrait: the luminance of each coefficient, together by band."""
        lights = {f"light_{number}" for number in range(9)}
        found = [self.request(light=light.expand(len(self.own), 9, 3)) for light in self.other_light]
        wanted = luminance(self.other_light).numpy()
        axes = {}
        for band in range(3):
            numbers = range(band * band, (band + 1) ** 2)
            achieved = np.stack([[readings[f"light_{n}"] for readings in found] for n in numbers])
            requested = np.broadcast_to(wanted[:, numbers].T[:, :, None], achieved.shape)
            figures = response(requested.reshape(1, -1), achieved.reshape(1, -1), TOLERANCE["light"])
            figures["range"] = [round(float(requested.min()), 3), round(float(requested.max()), 3)]
            each = [response(r, a, TOLERANCE["light"])["r2"] for r, a in zip(requested, achieved, strict=True)]
            figures["coefficients_r2"] = each
            self.add_leakage(figures, found, lights)
            axes[f"light_band_{band}"] = Axis(requested, achieved, figures)
        return axes


def azimuth(brightness) -> np.ndarray:
    """Degrees from the front to the face's left of the nine coefficients (9, N) of luminance."""
    return np.degrees(np.arctan2(brightness[3], brightness[2]))


@torch.no_grad()
def evaluate(rig: Rig, judge: Estimator, portraits: int = 12, truncation: float = 0.7, method: str | None = None,
             report: Callable[[str], None] = print) -> dict[str, Axis]:
    """All axes: yaw, pitch, every expression the judge can read, light direction, light bands."""
    evaluation = Evaluation(rig, judge, portraits, truncation, method)
    axes = {"yaw": evaluation.angle("yaw", 0, YAW), "pitch": evaluation.angle("pitch", 1, PITCH)}
    report("yaw and pitch done")
    for number, name in enumerate(evaluation.names):
        axes[name] = evaluation.expression(name)
        if number % 10 == 9:
            report(f"{number + 1} of {len(evaluation.names)} expressions done")
    axes["light_direction"] = evaluation.light_direction()
    axes |= evaluation.light_bands()
    trust = reading_r2(judge, rig)
    for name, axis in axes.items():
        if name in trust:
            axis.figures["judge_r2"] = trust[name]
    return axes


def reading_r2(judge: Estimator, rig: Rig) -> dict[str, float]:
    """How well the judge itself reads rendered pictures with known truth, by axis."""
    places = RigParameters.slices(rig.face)
    values = judge.reliability
    result = dict(zip(("yaw", "pitch"), values[places["rotation"]][:2].tolist(), strict=True))
    result |= dict(zip(rig.face.expression_names, values[places["expression"]].tolist(), strict=True))
    light = values[places["light"]].view(9, 3).mean(dim=1)
    result |= {f"light_band_{band}": float(light[band * band : (band + 1) ** 2].mean()) for band in range(3)}
    return {name: round(value, 4) for name, value in result.items()}
