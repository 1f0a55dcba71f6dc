"""A small network that says of a square of a picture whether it shows a face, and where its 68 landmarks are.

Other than the regressor, which knows aligned portraits only, it has seen faces anywhere in the square, turned and zoomed:
a search asks it about many squares, and its answers lead to the aligned crop.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.io.weights_file import channels_last, fill_network, read_network, save_network

SIDE = 48  # pixels of the squares it sees
CHANNELS = (16, 32, 64, 96)
HIDDEN = 192
LANDMARKS = 136


def stage(inputs: int, outputs: int) -> nn.Sequential:
    """Halves the picture; where there are many pixels, one convolution is enough."""
    layers = [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()]
    if inputs > CHANNELS[0]:
        layers += [nn.Conv2d(outputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()]
    return nn.Sequential(*layers)


class FaceFinder(nn.Module):
    """Squares (N, 3, H, H) sRGB 0–1 -> how likely each shows a face (N,), as a logit, and landmarks (N, 68, 2) NDC, y up."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.header: dict = {}
        before = 3
        stages = []
        for channels in CHANNELS:
            stages.append(stage(before, channels))
            before = channels
        self.trunk = nn.Sequential(*stages, nn.Flatten(), nn.Linear(before * (SIDE >> len(CHANNELS)) ** 2, HIDDEN), nn.SiLU())
        self.out = nn.Linear(HIDDEN, 1 + LANDMARKS)
        self.register_buffer("mean", torch.zeros(LANDMARKS))  # the landmarks of the mean face

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        if squares.shape[-1] != SIDE:
            squares = interpolate(squares, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        middle = squares.mean(dim=(1, 2, 3), keepdim=True)
        spread = squares.std(dim=(1, 2, 3), keepdim=True).clamp(min=0.02)
        found = self.out(self.trunk(((squares - middle) / spread).contiguous(memory_format=torch.channels_last)))
        return found[:, 0], (self.mean + found[:, 1:]).unflatten(1, (68, 2))

    def save(self, path: Path, header: dict) -> Path:
        return save_network(self, path, "face-finder", header)

    @classmethod
    def load(cls, path: Path) -> FaceFinder:
        """Raises StyleRigError for a file that cannot be used."""
        header, state = read_network(path, "face-finder")
        network = cls()
        network.header = header
        return channels_last(fill_network(network, state, path))
