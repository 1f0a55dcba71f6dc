"""All numbers that a rig holds besides the portrait's w: shape, reflectance, light and pose."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from models.face.model import FaceModel

ROTATION_STD = 0.35  # radians: yaw and pitch before statistics are known


@dataclass(eq=False)
class RigParameters:
    """The parameters of N heads, each part a float tensor whose first dimension is N.

    Rotation is (yaw, pitch, roll) in radians, translation in cm in the world frame,
    light the spherical-harmonic coefficients of the radiance in linear RGB.
    """

    identity: Tensor  # (N, K) standard deviations
    reflectance: Tensor  # (N, B) standard deviations
    expression: Tensor  # (N, E) 0–1
    light: Tensor  # (N, 9, 3)
    rotation: Tensor  # (N, 3) yaw, pitch, roll
    translation: Tensor  # (N, 3)

    def __len__(self) -> int:
        return self.identity.shape[0]

    def __getitem__(self, rows: slice | Tensor | list[int]) -> RigParameters:
        """The heads at ``rows`` (a slice, a mask or indices; not a single number)."""
        return RigParameters(*(part[rows] for part in self.parts().values()))

    def parts(self) -> dict[str, Tensor]:
        """Name -> tensor in the order of ``vector``."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def replace(self, **parts: Tensor) -> RigParameters:
        """A copy with some parts exchanged."""
        return replace(self, **parts)

    def to(self, device: torch.device | str) -> RigParameters:
        """The same parameters on ``device``."""
        return RigParameters(*(part.to(device) for part in self.parts().values()))

    def vector(self) -> Tensor:
        """All parts one after another, (N, P); light is flattened coefficient by coefficient."""
        return torch.cat([part.flatten(1) for part in self.parts().values()], dim=1)

    @classmethod
    def from_vector(cls, vector: Tensor, face: FaceModel) -> RigParameters:
        """The inverse of ``vector`` for (N, P); ValueError when P does not belong to ``face``."""
        slices = cls.slices(face)
        size = slices["translation"].stop
        if vector.ndim != 2 or vector.shape[1] != size:
            raise ValueError(f"expected a vector of shape (N, {size}), not {tuple(vector.shape)}")
        parts = {name: vector[:, place] for name, place in slices.items()}
        parts["light"] = parts["light"].unflatten(1, (9, 3))
        return cls(**parts)

    @staticmethod
    def slices(face: FaceModel) -> dict[str, slice]:
        """Where each part lies in ``vector``."""
        identity, reflectance = face.identity.shape[0], face.albedo.shape[0]
        sizes = (identity, reflectance, face.expression.shape[0], 27, 3, 3)
        places, start = {}, 0
        for item, size in zip(fields(RigParameters), sizes, strict=True):
            places[item.name] = slice(start, start + size)
            start += size
        return places

    @classmethod
    def neutral(cls, face: FaceModel, n: int = 1) -> RigParameters:
        """The mean face, unmoved, under white light of radiance 1 from everywhere."""
        device = face.mean.device
        vector = torch.zeros(n, cls.slices(face)["translation"].stop, device=device)
        parameters = cls.from_vector(vector, face)
        parameters.light[:, 0] = math.sqrt(4 * math.pi)
        return parameters


def concatenate(items: list[RigParameters]) -> RigParameters:
    """Several sets of heads as one."""
    parts = [item.parts() for item in items]
    return RigParameters(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def part_sizes(face: FaceModel) -> dict[str, int]:
    """Part name -> number of parameters, in the order of ``RigParameters.vector``."""
    return {name: place.stop - place.start for name, place in RigParameters.slices(face).items()}


def default_std(face: FaceModel) -> Tensor:
    """Standard deviation (P,) of each parameter in a population, before any data is seen."""
    places = RigParameters.slices(face)
    std = torch.ones(places["translation"].stop)
    std[places["expression"]] = 0.25
    std[places["light"]] = 0.5
    std[places["rotation"]] = ROTATION_STD
    return std
