"""Strands: a fixed pattern of fine lines that lies round the head and turns with it; hair is made brighter and darker along them.

Where each hair lies nobody can be told, so something random has to stand for it. StyleGAN makes hair of its noise, which sticks to the
screen while the head moves (Karras et al. 2021, "Alias-Free Generative Adversarial Networks"). These lines run down from the crown, as hair
does, and are called by the canonical place, so they stay on the head. How strong they are on somebody is of w.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.layers import FullyConnectedLayer

OCTAVES = (120, 240, 480)  # lines round the head, each a channel
STRONGEST = 0.07  # how much brighter an octave may make hair: what is stronger looks painted on
ROWS = 12  # places down the head, between which a line fades into another
HIGHEST, LOWEST = 1.6, -2.4  # of the canonical place, in half heads, that the first and the last row lie at
SHARPEST = 1.0  # lines a pixel: finer ones are not seen, and from half of that on they fade out
FACE_TURN, FACE_TOP, FACE_EDGE = 0.55, 0.25, 0.2  # radians to a side, half heads; and how soft: no strands hang before the face
EAR, EAR_SIZE, EAR_EDGE = (0.1, -0.03), (0.32, 0.27), 0.3  # y and z, half heads: on ears, which the shell has too, lines would be rings


class Strands(nn.Module):
    """Reads the pattern, the same for everybody; w says how strong each octave is, at first not at all."""

    pattern: Tensor

    def __init__(self, w_dim: int) -> None:
        super().__init__()
        self.gains = FullyConnectedLayer(w_dim, len(OCTAVES))
        nn.init.zeros_(self.gains.weight)
        rng, finest = torch.Generator().manual_seed(0), max(OCTAVES)
        lines = [torch.randn(1, 1, ROWS, count, generator=rng) for count in OCTAVES]
        closed = [
            F.interpolate(torch.cat((line, line[..., :1]), dim=3), size=(ROWS, finest + 1), align_corners=True, mode="bilinear")
            for line in lines
        ]
        self.register_buffer("pattern", torch.cat(closed, dim=1), persistent=False)  # (1, OCTAVES, ROWS, finest + 1)

    def strength(self, w: Tensor) -> Tensor:
        """How strong each octave is (N, OCTAVES) on people w (N, w_dim)."""
        return STRONGEST * torch.tanh(self.gains(w.float()) / STRONGEST)

    def read(self, place: Tensor, width: Tensor) -> Tensor:
        """Lines (N, OCTAVES, H, W) at canonical places (N, 3, H, W) in half heads, y up and z ahead.

        ``width`` (N, 1, H, W) is how much of a turn round the head a pixel there is wide: what is too fine for it fades out.
        """
        x, y, z = place.unbind(dim=1)
        turn, down = torch.atan2(x, z), (HIGHEST - y) / (HIGHEST - LOWEST) * 2 - 1
        grid = torch.stack((turn / math.pi, down), dim=-1)
        lines = F.grid_sample(self.pattern.expand(len(place), -1, -1, -1), grid, padding_mode="border", align_corners=True)
        count = width.new_tensor(OCTAVES)[:, None, None]
        off_face = torch.maximum((turn.abs() - FACE_TURN) / FACE_EDGE, (y - FACE_TOP) / FACE_EDGE).clamp(0, 1)
        from_ear = torch.hypot((y - EAR[0]) / EAR_SIZE[0], (z - EAR[1]) / EAR_SIZE[1])
        off_ears = ((from_ear - 1) / EAR_EDGE).clamp(0, 1)
        return lines * (2 - 2 / SHARPEST * count * width).clamp(0, 1) * (off_face * off_ears)[:, None]


def widths(place: Tensor) -> Tensor:
    """How much of a turn round the head each pixel of canonical places (N, 3, H, W) is wide (N, 1, H, W)."""
    ahead = F.normalize(place[:, ::2], dim=1)  # x and z
    across = F.pad(ahead, (0, 1, 0, 0), mode="replicate").diff(dim=3).norm(dim=1, keepdim=True)
    down = F.pad(ahead, (0, 0, 0, 1), mode="replicate").diff(dim=2).norm(dim=1, keepdim=True)
    return torch.maximum(across, down) / (2 * math.pi)
