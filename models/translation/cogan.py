"""CoGAN: one latent, one image in each domain, without pairs (Liu and Tuzel, NIPS 2016), written from the paper.

What an image means is decided early in a generator and late in a discriminator; there the domains share their layers.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.translation.config import CoGANConfig

START = 4  # pixels from which the generator grows
HIDDEN = 64  # times the width: the discriminator's layer before its two answers
WIDE_KERNELS = 3  # of the discriminator's first convolutions


class Grow(nn.Sequential):
    """Doubles the size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.PReLU(outputs))


class FirstFeatures(nn.Module):
    """Latents (N, latent_dim) to features (N, channels, 4, 4)."""

    def __init__(self, latent_dim: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(latent_dim, channels * START * START)
        self.norm, self.activation = nn.BatchNorm2d(channels), nn.PReLU(channels)

    def forward(self, latent: Tensor) -> Tensor:
        features = self.linear(latent).unflatten(1, (-1, START, START))
        return self.activation(self.norm(features))


class ToImage(nn.Sequential):
    def __init__(self, inputs: int):
        super().__init__(nn.ConvTranspose2d(inputs, 3, 3, 1, 1), nn.Tanh())


def one_hot(domains: int, like: Tensor) -> Tensor:
    """(domains, domains): what tells a network each domain."""
    return torch.eye(domains, dtype=like.dtype, device=like.device)


class CoGANGenerator(nn.Module):
    """Latents (N, latent_dim) in [-1, 1] to images (N, domains, 3, S, S) in [-1, 1]: early layers are shared."""

    def __init__(self, config: CoGANConfig):
        super().__init__()
        doublings = int(math.log2(config.image_size // START))
        widths = [config.width * 2**step for step in range(doublings, -1, -1)]
        own = config.own_layers - 1
        steps = list(pairwise(widths))
        shared, separate = steps[: len(steps) - own], steps[len(steps) - own :]
        self.domains, self.told = len(config.domains), config.told
        self.shared = nn.Sequential(FirstFeatures(config.latent_dim + self.told, widths[0]), *(Grow(*step) for step in shared))
        self.own = nn.ModuleList(
            nn.Sequential(*(Grow(*step) for step in separate), ToImage(widths[-1])) for _ in range(1 if self.told else self.domains)
        )

    def forward(self, latent: Tensor) -> Tensor:
        if self.told:
            told = one_hot(self.domains, latent)
            rows = torch.cat([latent.repeat_interleave(self.domains, 0), told.repeat(len(latent), 1)], dim=1)
            return self.own[0](self.shared(rows)).unflatten(0, (-1, self.domains))
        features = self.shared(latent)
        return torch.stack([layers(features) for layers in self.own], dim=1)


class Shrink(nn.Sequential):
    """Halves the size; dropout in all but the first."""

    def __init__(self, index: int, inputs: int, outputs: int, dropout: float):
        kernel = 5 if index < WIDE_KERNELS else 3
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2), nn.BatchNorm2d(outputs), nn.PReLU(outputs)]
        super().__init__(*layers, *([nn.Dropout(dropout)] if index else []))


class CoGANDiscriminator(nn.Module):
    """Images (N, domains, 3, S, S), one of each domain, to logits (N, domains, 2) of "fake" and "real": late layers are shared."""

    def __init__(self, config: CoGANConfig):
        super().__init__()
        count = int(math.log2(config.image_size)) - 1
        self.domains, self.told = len(config.domains), config.told
        widths = [3 + self.told, *(config.width * 2**step for step in range(count))]
        steps = list(enumerate(pairwise(widths)))
        own = config.own_layers
        self.own = nn.ModuleList(
            nn.Sequential(*(Shrink(index, *step, config.dropout) for index, step in steps[:own]))
            for _ in range(1 if self.told else self.domains)
        )
        self.shared = nn.Sequential(*(Shrink(index, *step, config.dropout) for index, step in steps[own:]))
        hidden = HIDDEN * config.width
        self.hidden = nn.Sequential(nn.Linear(widths[-1] * 4, hidden), nn.BatchNorm1d(hidden), nn.PReLU(hidden), nn.Dropout(config.dropout))
        self.answer = nn.Linear(hidden, 2)

    def forward(self, images: Tensor) -> Tensor:
        if self.told:
            told = one_hot(self.domains, images)[None, :, :, None, None].expand(len(images), -1, -1, *images.shape[-2:])
            own = self.own[0](torch.cat([images, told], dim=2).flatten(0, 1)).unflatten(0, (-1, self.domains))
        else:
            own = torch.stack([layers(images[:, domain]) for domain, layers in enumerate(self.own)], dim=1)
        features = self.shared(own.flatten(0, 1)).flatten(1)
        return self.answer(self.hidden(features)).unflatten(0, own.shape[:2])
