"""The terms of the losses: rerendering through the rasteriser, landmarks, agreement of parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from models.colour import linear_to_srgb
from models.face import FaceModel
from models.face.alignment import align, project_landmarks
from models.face.parameters import RigParameters
from models.face.rasterizer import render

READ_PARTS = ("identity", "reflectance", "expression", "light", "rotation")


def landmark_term(face: FaceModel, parameters: RigParameters, landmarks: Tensor) -> Tensor:
    """Mean squared distance, NDC, between the projected landmarks and ``landmarks`` (N, 68, 2)."""
    projected = project_landmarks(face, parameters)[..., :2]
    return (projected - landmarks).square().sum(dim=-1).mean()


def photometric_term(face: FaceModel, parameters: RigParameters, images: Tensor) -> Tensor:
    """‖M ⊙ (I − render(p))‖² per covered pixel and channel, in sRGB; images (N, 3, S, S) over the backdrop.

    M is the face mask of the rendering, without gradient, so that a face cannot win by hiding.
    """
    drawn = render(face.proxy or face, parameters, images.shape[-1], outputs=("colour", "face_mask"))
    mask = drawn["face_mask"].detach()
    difference = mask * (linear_to_srgb(drawn["colour"]) - images.permute(0, 2, 3, 1))
    return difference.square().sum() / (3 * mask.sum()).clamp(min=1.0)


def prior_term(parameters: RigParameters) -> Tensor:
    """The statistical regulariser: identity and reflectance are N(0, 1), expressions mostly rest."""
    return parameters.identity.square().mean() + parameters.reflectance.square().mean() + 4 * parameters.expression.square().mean()


def part_weights(face: FaceModel, spread: Tensor, reliability: Tensor) -> Tensor:
    """Weight (P,) of a squared difference of parameters: each part counts the same, within it a
    parameter by how well it can be read from a picture; roll and translation do not count."""
    weights = torch.zeros_like(spread)
    for name, place in RigParameters.slices(face).items():
        if name not in READ_PARTS:
            continue
        trust = reliability[place].clone()
        if name == "rotation":
            trust[2] = 0.0  # roll follows from the alignment
        weights[place] = trust / trust.sum().clamp(min=1e-6) / spread[place].square()
    return weights


def parameter_term(found: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Weighted squared difference of vectors (N, P), summed over parts."""
    return ((found - wanted).square() * weights).sum(dim=1).mean()


def exchange(face: FaceModel, base: RigParameters, source: RigParameters, parts: tuple[str, ...]) -> RigParameters:
    """``base`` with ``parts`` from ``source``, aligned again."""
    return align(face, base.replace(**{part: getattr(source, part) for part in parts}))
