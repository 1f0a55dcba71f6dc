"""The colours that a guided generator's palette is taught: of clothes and hair, as what describes a person has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from models.face.model import FaceModel
from models.synthetic.description import CHOICES, amounts_of
from models.synthetic.person import latent_size, person_from_latent

WHITE_HAIR = 0.8  # root of what white hair reflects


@dataclass(frozen=True)
class Palette:
    """Where a person's description (F,) holds colours (3,), each the roots of linear ones."""

    shirt: Tensor
    jacket: Tensor
    hair: Tensor
    white: int  # share of white hair
    wears_jacket: int

    @classmethod
    def of(cls, face: FaceModel) -> Self:
        names, before = columns_of(face)
        colour = lambda name: torch.tensor([before + names.index(f"{name}_{channel}") for channel in "rgb"])
        chosen = list(CHOICES)
        jackets = sum(len(CHOICES[name]) for name in chosen[: chosen.index("jacket")])
        wears = jackets + CHOICES["jacket"].index("jacket")
        return cls(colour("shirt"), colour("jacket_colour"), colour("hair_colour"), before + names.index("white"), wears)

    def colours(self, features: Tensor) -> Tensor:
        """(N, 3, 3) of people (N, F), as ``GuidedSynthesisNetwork.colours``."""
        shirt = features[:, self.shirt]
        jacket = torch.where(features[:, self.wears_jacket, None] > 0.5, features[:, self.jacket], shirt)
        white = features[:, self.white, None].clamp(0, 1)
        return torch.stack((shirt, jacket, features[:, self.hair].lerp(torch.full_like(shirt, WHITE_HAIR), white)), dim=1)


def columns_of(face: FaceModel) -> tuple[list[str], int]:
    """The names of the amounts of a description, and how many columns stand before them."""
    return list(amounts_of(person_from_latent(torch.zeros(latent_size(face)), face))), sum(map(len, CHOICES.values()))
