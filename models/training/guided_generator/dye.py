"""Clothes dyed another colour, in an image and in what describes its person.

A rendered set holds a few thousand outfits, each in one colour; a generator learns them by heart. Cloth reflects light in
proportion to its colour, so multiplying its linear pixels by a gain for each channel shows it in another one, but for its gloss
and for the light that it throws on its surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from models.colour import linear_to_srgb, srgb_to_linear
from models.device_rng import DeviceRng
from models.face.model import FaceModel
from models.training.guided_generator.palette import columns_of

WORN = ("shirt", "second", "jacket_colour")  # amounts of ``models.synthetic.description``: roots of linear colours
LEAST, MOST = 0.25, 3.0  # gain: darker, and the image's eight bits show; brighter, and the cloth's gloss does
BRIGHTEST = 0.9  # what cloth reflects
DARKEST = 0.01


@dataclass(frozen=True)
class Dye:
    """Where a person's description (F,) holds the colours of clothes."""

    columns: Tensor  # (3 of WORN, 3 channels) int64

    @classmethod
    def of(cls, face: FaceModel) -> Self:
        names, before = columns_of(face)
        return cls(torch.tensor([[before + names.index(f"{name}_{channel}") for channel in "rgb"] for name in WORN]))

    def gains(self, features: Tensor, share: float, rng: DeviceRng) -> Tensor:
        """For each of the people (N, F) the gain (N, 3) of their clothes: the colour of another's shirt, for a ``share`` of them."""
        clothes = features[:, self.columns] ** 2
        shirts = clothes[:, 0].clamp(min=DARKEST)
        gain = (shirts[rng.randperm(len(shirts))] / shirts).clamp(LEAST, MOST)
        gain = torch.minimum(gain, BRIGHTEST / clothes.amax(dim=1).clamp(min=DARKEST))
        return torch.where(rng.rand(len(gain), 1) < share, gain, torch.ones_like(gain))

    def describe(self, features: Tensor, gains: Tensor) -> Tensor:
        """The description (N, F) of the same people in dyed clothes."""
        dyed = features.clone()
        dyed[:, self.columns] *= gains.sqrt()[:, None]
        return dyed


def dye_images(images: Tensor, matte: Tensor, gains: Tensor) -> Tensor:
    """Premultiplied sRGB ``images`` (N, 4, R, R) whose clothes, (N, 1, R, R) of each pixel, reflect ``gains`` (N, 3) as much; all in [-1, 1]."""
    unit, cloth = images * 0.5 + 0.5, matte * 0.5 + 0.5
    share = cloth / unit[:, 3:].clamp(min=1e-3)
    colour = torch.minimum(dyed(unit[:, :3], share.clamp(max=1), gains), unit[:, 3:])
    return torch.cat((torch.where(cloth > 0, colour, unit[:, :3]), unit[:, 3:]), dim=1) * 2 - 1


def dyed(colour: Tensor, share: Tensor, gains: Tensor) -> Tensor:
    """sRGB ``colour`` (N, 3, R, R), 0 to 1, of which a ``share`` (N, 1, R, R) of each pixel gives back ``gains`` (N, 3) as much light."""
    return linear_to_srgb(srgb_to_linear(colour) * (1 + share * (gains[:, :, None, None] - 1)))
