"""What every way to steer a generator can be asked for: a portrait, and its picture under controls."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from models.evaluation.control.axes import azimuth
from models.face import FaceModel
from models.face.alignment import align
from models.face.harmonics import luminance
from models.face.parameters import RigParameters
from models.rigging.controls import Controls

TRUNCATION = 0.7
EXPRESSIONS = {  # axis -> the expressions that it moves together
    "smile": ("mouthSmile_L", "mouthSmile_R"),
    "blink": ("eyeBlink_L", "eyeBlink_R"),
    "jaw": ("jawOpen",),
}
SIDEWAYS = 3  # the harmonic that grows with light from the face's left


class Method(ABC):
    """One way to steer a generator.

    ``face`` is the face model whose parameters it takes, ``training`` says what it was trained on and for how long.
    """

    title: str
    training: str
    face: FaceModel

    @abstractmethod
    def portrait(self, seed: int) -> Any:
        """The person of a seed, at a truncation of 0.7."""

    @abstractmethod
    def own(self, portrait: Any) -> RigParameters:
        """What the method takes for the portrait's own parameters, N = 1, aligned."""

    @abstractmethod
    def picture(self, portrait: Any, controls: Controls) -> Tensor:
        """The FFHQ crop of the portrait under controls: (4, R, R), premultiplied sRGB and alpha, 0–1."""

    def wanted(self, portrait: Any, controls: Controls) -> RigParameters:
        """The portrait's parameters with those that the controls name, N = 1, aligned."""
        return asked(self.face, self.own(portrait), controls)


def asked(face: FaceModel, own: RigParameters, controls: Controls) -> RigParameters:
    """Parameters (N = 1) with what controls name, aligned; unchanged where they name nothing."""
    changed = own.replace(expression=own.expression.clone())
    for name, value in controls.expression.items():
        changed.expression[:, face.expression_names.index(name)] = float(value)
    if controls.rotation is not None:
        changed = changed.replace(rotation=own.rotation.new_tensor([controls.rotation]))
    if controls.light is not None:
        changed = changed.replace(light=own.light.new_tensor(controls.light)[None])
    return align(face, changed)


def scalars(parameters: RigParameters, names: list[str]) -> dict[str, Tensor]:
    """What the axes are read as, (N,) each: degrees, weights of the expressions ``names`` say, and "sideways", how much more light
    comes from the face's left."""
    values = {name: parameters.rotation[:, column] * (180 / math.pi) for column, name in enumerate(("yaw", "pitch"))}
    values |= {axis: parameters.expression[:, [names.index(each) for each in of]].mean(dim=1) for axis, of in EXPRESSIONS.items()}
    return values | {"sideways": luminance(parameters.light)[:, SIDEWAYS]}


def light_azimuth(parameters: RigParameters) -> Tensor:
    """Degrees (N,) from the front to the face's left from which most light comes."""
    return torch.from_numpy(azimuth(luminance(parameters.light).cpu().numpy().T))
