"""The same scene in light of another colour and strength.

Light adds up: what a scene gives back to light that is twice as red is twice as red. So an image, brought back to linear radiance,
multiplied and developed again, is a photograph of the same scene in tinted light, and a set of a few thousand lights teaches every colour.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.colour import linear_to_srgb, srgb_to_linear
from models.device_rng import DeviceRng
from models.synthetic import tonemap

STRENGTH, TINT, STRONG_TINT = 0.2, 0.15, 0.6  # standard deviations of the logarithms of gains: of all channels, of each, of each of a few
STRONG = 0.2  # how many of the tinted have a strong tint: a red lamp, a night scene
LEAST, MOST = 0.3, 1.8  # gain: beyond, eight bits and white highlights show
LEAST_ALPHA = 1 / 255


def tints(count: int, share: float, rng: DeviceRng) -> Tensor:
    """The gains (N, 3) of the light of N scenes; 1 but for a ``share`` of them."""
    strong = torch.where(rng.rand(count, 1) < STRONG, STRONG_TINT, TINT)
    gains = torch.exp(STRENGTH * rng.randn(count, 1) + strong * rng.randn(count, 3)).clamp(LEAST, MOST)
    return torch.where(rng.rand(count, 1) < share, gains, torch.ones_like(gains))


def tinted(images: Tensor, gains: Tensor) -> Tensor:
    """Premultiplied images (N, 4, R, R) in [-1, 1] of the studio, on the CPU, in light that is ``gains`` (N, 3) times as strong."""
    changed = (gains != 1).any(dim=1).nonzero()[:, 0]
    unit = images[changed] * 0.5 + 0.5
    alpha = unit[:, 3:]
    display = srgb_to_linear((unit[:, :3] / alpha.clamp(min=LEAST_ALPHA)).clamp(max=1))
    radiance = tonemap.untone(display.numpy()) * gains[changed, :, None, None].numpy()
    colour = linear_to_srgb(torch.from_numpy(tonemap.tone(radiance))) * alpha
    return images.index_copy(0, changed, torch.cat((colour, alpha), dim=1) * 2 - 1)
