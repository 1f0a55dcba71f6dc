"""What somebody looks like, in the head's own space: three planes of features that w draws, read where a surface point lies.

The planes are those of EG3D (Chan et al., CVPR 2022), drawn by a small StyleGAN2: seen from the front, from above and from the
side. A point's features are the sum of what stands at its place on each. Hair, glasses and necklines are so learned where
they are on the head, whichever way it is turned, as VariTex (Buehler et al., ICCV 2021) learns them in a texture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.errors import bad_config
from models.generators.stylegan2 import SynthesisNetwork

AXES = ((0, 1), (0, 2), (1, 2))  # of a place: what each plane lies along
SPREAD = 1.4  # a place of 1, half a head, lies at 0.7 of a plane's half width, and shoulders still on it
MOST_FEATURES, LARGEST = 64, 256


@dataclass(frozen=True)
class PlanesConfig:
    """``features`` of a point; ``channels`` maps each resolution from 4 up to the planes' to the feature maps of what draws them."""

    features: int = 12
    channels: dict[int, int] = field(default_factory=lambda: {4: 128, 8: 128, 16: 96, 32: 64, 64: 48, 128: 24})
    w_dim: int = 512
    conv_clamp = None  # no field: activations are not limited

    def __post_init__(self) -> None:
        sizes = list(self.channels)
        if sizes != [4 * 2**power for power in range(len(sizes))] or not sizes or sizes[-1] > LARGEST:
            raise bad_config(f"the planes' resolutions are {sizes}, expected 4, 8 and so on up to {LARGEST}")
        if not all(isinstance(count, int) and 1 <= count <= 1024 for count in self.channels.values()):
            raise bad_config(f"the planes' channels are {self.channels}")
        if not isinstance(self.features, int) or not 1 <= self.features <= MOST_FEATURES:
            raise bad_config(f"a point of the planes has {self.features!r} features, expected 1 to {MOST_FEATURES}")

    @property
    def img_channels(self) -> int:
        return len(AXES) * self.features

    @property
    def block_resolutions(self) -> list[int]:
        return list(self.channels)

    @property
    def num_ws(self) -> int:
        return 2 * len(self.channels)

    @property
    def size(self) -> int:
        """How many numbers the network that draws the planes holds."""
        total, before = 16 * self.channels[4], 0
        for side, count in self.channels.items():
            for inputs in (before, count) if before else (count,):
                total += (self.w_dim + 1) * inputs + 9 * inputs * count + count + side**2 + 1
            total += (self.w_dim + 1) * count + (count + 1) * self.img_channels
            before = count
        return total


class Planes(nn.Module):
    """Draws the planes of people and reads them."""

    def __init__(self, config: PlanesConfig):
        super().__init__()
        self.features, self.num_ws = config.features, config.num_ws
        self.synthesis = SynthesisNetwork(config)

    def forward(self, ws: Tensor) -> Tensor:
        """The planes (N · 3, features, R, R) of people ``ws`` (N, num_ws or more, w_dim)."""
        return self.synthesis.raw(ws[:, : self.num_ws].float(), noise="none").flatten(0, 1).unflatten(0, (-1, self.features))

    def read(self, planes: Tensor, place: Tensor) -> Tensor:
        """Features (N, features, H, W): the sum of what stands on ``planes`` at each place (N, 3, H, W), in half heads."""
        on = SPREAD * place / (1 + place.abs())
        grid = torch.stack([on[:, axes] for axes in map(list, AXES)], dim=1).flatten(0, 1).movedim(1, -1)
        read = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
        return read.unflatten(0, (-1, len(AXES))).sum(dim=1)
