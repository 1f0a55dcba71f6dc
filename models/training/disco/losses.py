"""What DiscoFaceGAN is taught with: it imitates the face model, and pairs that differ in one factor differ in nothing else.

Weights and units are those of the published training (microsoft/DiscoFaceGAN): landmarks count in widths of the picture, and
light in its coefficients, which are ours over pi. Networks read the image over grey, 0–1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.colour import BACKDROP, linear_to_srgb
from models.face import FaceModel
from models.face.alignment import project_landmarks
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.perception.face_regressor import Estimator, Prediction
from models.training.disco.flow import correspondence
from models.training.generator.perceptual import over_grey

LEAST_IDENTITY = 0.3  # a likeness nearer than this is near enough
SAME_PERSON, SAME_PLACE = 2.0, 1000.0  # of identity and landmarks beside hair, where only light changed
BLUR, BLUR_STD = 5, 2.0  # pixels


@dataclass(eq=False)
class Drawn:
    """N heads as the face model draws them."""

    parameters: RigParameters
    colour: Tensor  # (N, 3, H, W) sRGB 0–1
    mask: Tensor  # (N, 1, H, W) the face, 0–1
    landmarks: Tensor  # (N, 68, 2) NDC


@torch.no_grad()
def draw(face: FaceModel, parameters: RigParameters, size: int) -> Drawn:
    """The pictures that are imitated."""
    shown = render(face.proxy or face, parameters, size, outputs=("colour", "face_mask"))
    colour, mask = (shown[name].permute(0, 3, 1, 2) for name in ("colour", "face_mask"))
    return Drawn(parameters, linear_to_srgb(colour), mask, project_landmarks(face, parameters)[..., :2])


def colour_loss(images: Tensor, drawn: Drawn) -> Tensor:
    """Mean distance of colours where the face is, of images (N, 4, H, W) in [-1, 1]."""
    distance = (over_grey(images) - drawn.colour).square().sum(dim=1, keepdim=True).clamp(min=1e-8).sqrt()
    return (drawn.mask * distance).sum() / drawn.mask.sum().clamp(min=1.0)


def imitation(images: Tensor, drawn: Drawn, regressor: Estimator) -> dict[str, Tensor]:
    """The four terms by name, without their weights, of images (N, 4, H, W) in [-1, 1]."""
    shown = over_grey(images)
    found = regressor.predict(shown)
    with torch.no_grad():
        wanted = regressor.predict(masked(drawn.colour, drawn.mask)).embedding
    likeness = F.cosine_similarity(regressor.predict(masked(shown, drawn.mask)).embedding, wanted)
    return {
        "identity": (1 - likeness).clamp(min=LEAST_IDENTITY).mean(),
        "landmark": landmark_distance(found.landmarks, drawn.landmarks),
        "light": (light_of(found, regressor) - drawn.parameters.light.flatten(1)).abs().mean() / math.pi,
        "skin": (mean_colour(shown, drawn.mask) - mean_colour(drawn.colour, drawn.mask)).square().sum(dim=1).clamp(min=1e-8).sqrt().mean(),
    }


def masked(images: Tensor, mask: Tensor) -> Tensor:
    """Only the face, over grey."""
    return mask * images + (1 - mask) * BACKDROP


def mean_colour(images: Tensor, mask: Tensor) -> Tensor:
    """(N, 3) of images (N, 3, H, W) where the mask is."""
    return (mask * images).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp(min=1.0)


def landmark_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean square of landmarks' (N, 68, 2) differences, in widths of the picture."""
    return ((first - second) / 2).square().mean()


def light_of(found: Prediction, regressor: Estimator) -> Tensor:
    """The harmonics (N, 27) that a regressor reads."""
    start = 0
    for name, size in regressor.sizes.items():
        if name == "light":
            return found.parameters[:, start : start + size]
        start += size
    raise KeyError("light")


def expression_contrast(face: FaceModel, images: Tensor, parameters: RigParameters) -> Tensor:
    """Of pairs that differ in expression: images (2 M, 4, H, W) in [-1, 1], the first of each pair before all the second.

    The first is warped upon the second by the mesh; they shall then be the same wherever both show the same.
    """
    count = len(images) // 2
    before, after = parameters[:count], parameters[count:]
    grid, valid = correspondence(face.proxy or face, before, after, images.shape[-1])
    soft = blurred(over_grey(images))
    warped = F.grid_sample(soft[:count], grid, padding_mode="border", align_corners=False)
    distance = (warped - soft[count:]).square().sum(dim=1, keepdim=True).clamp(min=1e-8).sqrt()
    return (valid * distance).sum() / valid.sum().clamp(min=1.0)


def light_contrast(images: Tensor, regressor: Estimator) -> Tensor:
    """Of pairs that differ in light, arranged as above: hair's outline (here the matte), person and landmarks stay."""
    (first, second), found = images.chunk(2), regressor.predict(over_grey(images))
    outline = ((first[:, 3] - second[:, 3]) / 2).square().mean()
    one, other = found.embedding.chunk(2)
    person = 1 - F.cosine_similarity(one, other).mean()
    return outline + SAME_PERSON * person + SAME_PLACE * landmark_distance(*found.landmarks.chunk(2))


def blurred(images: Tensor) -> Tensor:
    """(N, C, H, W) softened, so that a warp's last fraction of a pixel does not count."""
    offsets = torch.arange(BLUR, device=images.device) - BLUR // 2
    taps = torch.exp(-(offsets**2) / (2 * BLUR_STD**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    padded = F.pad(images, (BLUR // 2,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.expand(images.shape[1], 1, BLUR, BLUR), groups=images.shape[1])
