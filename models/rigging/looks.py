"""Looks on a portrait: what a frame asks of them, and how they change the generator's picture before it is moved into place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from models.colour import BACKDROP
from models.errors import StyleRigError
from models.face import FaceModel
from models.face.camera import PORTRAIT_CAMERA, Camera
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.translation.library import LookLibrary
from models.translation.look import Look
from models.translation.request import label_of, style_of_seed

MASKS = ("head", "face", "hair")
MOST_LOOKS = 8  # of a frame
DRAWN = 128  # pixels of a mask of the face, which is softer than these
SOFTNESS = 3  # of these pixels: half the width of each of the two averages that soften its rim
FAINTEST = 1e-4  # alpha below which nothing is


@dataclass(frozen=True)
class LookUse:
    """A look of the library, and how it is put on a portrait.

    ``sha256`` of its file says which file is meant whatever it is called now; None: the one of the name. ``strength`` is
    0 to 1. ``label`` is as in ``label_of``. A look with styles takes that of ``seed``, or ``style`` itself, as ``Look.style`` and
    ``Look.style_of`` have it; neither: that of latent 0. ``mask``: the whole "head" with all that the portrait shows, the "face", or
    the "hair", which only generators with a matte of it know.
    """

    name: str
    sha256: str | None = None
    strength: float = 1.0
    label: str | None = None
    seed: int | None = None
    style: tuple[float, ...] | None = None
    mask: str = "head"


def resolved(looks: Sequence[LookUse], library: LookLibrary) -> tuple[LookUse, ...]:
    """Those that change anything, each with the hash of its file: equal ones draw the same. Raises StyleRigError."""
    return tuple(replace(use, sha256=library.digest_of(use.name, use.sha256)) for use in looks if use.strength > 0)


def wear(colour: Tensor, alpha: Tensor, looks: Sequence[LookUse], library: LookLibrary, mask: Callable[[str], Tensor]) -> Tensor:
    """Premultiplied sRGB (1, 3, R, R), 0 to 1, with the looks on it, one after the other; ``alpha`` (1, 1, R, R) stays.

    A look sees straight colours, and grey where nothing is. ``mask``: "face" or "hair" -> (1, 1, R, R), how much of each pixel is it.
    """
    if not looks:
        return colour
    shown = torch.where(alpha > FAINTEST, colour / alpha.clamp(min=FAINTEST), BACKDROP).clamp(0, 1)
    for use in looks:
        look = library.get(use.name, use.sha256, str(colour.device))
        looked = look.at_own_size(shown * 2 - 1, label_of(look, use.label), style_for(look, use)).clamp(-1, 1) * 0.5 + 0.5
        share = use.strength if use.mask == "head" else use.strength * mask(use.mask)
        shown = shown + share * (looked - shown)
    return shown * alpha


def style_for(look: Look, use: LookUse) -> Tensor | None:
    if use.style is not None:
        return torch.tensor([use.style])
    return None if use.seed is None else style_of_seed(look, use.seed, label_of(look, use.label))


def face_area(face: FaceModel, target: RigParameters, size: int, camera: Camera = PORTRAIT_CAMERA, body: Tensor | None = None) -> Tensor:
    """Where the face model's face is seen, (1, 1, size, size), soft at its rim; ``body`` as in ``render``."""
    area = render(face, target, DRAWN, camera, ("face_mask",), body)["face_mask"].permute(0, 3, 1, 2)
    for _ in range(2):
        area = avg_pool2d(pad(area, (SOFTNESS,) * 4, mode="replicate"), 2 * SOFTNESS + 1, stride=1)
    return interpolate(area, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def no_hair_matte() -> StyleRigError:
    return StyleRigError(
        "This portrait's model draws no matte of the hair for a look's mask.",
        "Choose the mask head or face, or a portrait of a model that draws whole heads.",
        code="no_matte",
    )
