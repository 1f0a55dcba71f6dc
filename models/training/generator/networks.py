"""The networks of a training with their optimisers, and their beginning."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from models.generators import Generator
from models.generators.cpu import usable_precision
from models.training.generator.config import TrainingConfig
from models.training.generator.discriminator import Discriminator, PatchDiscriminator

AVERAGED_CODES = 4096
PARTS = ("generator", "average", "discriminator", "generator_optimizer", "discriminator_optimizer")


class Networks:
    """Generator, its running average, discriminator; the same beginning for a seed everywhere.

    ``notice`` says where they do not compute as the plan asks for, or is empty.
    """

    def __init__(self, config: TrainingConfig, latent_dim: int, device: torch.device):
        self.generator = Generator.create(config.generator, config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + 1)
            self.discriminator = create_discriminator(config)
            if latent_dim:
                self.prepare_for_pairs(config, latent_dim)
        precision, self.notice = usable_precision(config.precision, device)
        self.generator.set_precision(precision)
        self.discriminator.dtype = self.generator.synthesis.dtype
        self.generator.to(device)
        self.discriminator.to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        mapping, synthesis = self.generator.mapping.parameters(), self.generator.synthesis.parameters()
        groups = [{"params": mapping, "share": config.mapping_rate}, {"params": synthesis, "share": 1.0}]
        self.generator_optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), betas=(0.0, 0.99), fused=True)

    @torch.no_grad()
    def prepare_for_pairs(self, config: TrainingConfig, latent_dim: int) -> None:
        """Noise must not matter: it begins unseen. What the scene's numbers say must reach w: where the
        mapping begins with z, an orthogonal one keeps more of it linearly readable than a random one. The
        picture begins almost plain, not as many random ones above each other, and blocks to come begin silent."""
        for size in config.generator.block_resolutions:
            later = size > config.stages[0].resolution
            getattr(self.generator.synthesis, f"b{size}").torgb.weight.mul_(0.0 if later else 0.1)
        mapping = self.generator.mapping
        if config.generator.meanings:
            mapping.begin(config.seed)
            mapping.centre_styles(self.generator.synthesis)
            return
        for index in range(mapping.num_layers):
            layer = getattr(mapping, f"fc{index}")
            gain = math.sqrt(layer.weight.shape[1]) / config.generator.mapping_lr_multiplier
            nn.init.orthogonal_(layer.weight, gain)
        mapping.fc0.weight[:, latent_dim : config.generator.z_dim] = 0

    @torch.no_grad()
    def update_average(self, images: int, batch: int, half_life: float) -> None:
        """Exponential average of the weights; its half-life grows to ``half_life`` pictures at the start."""
        keep = 0.5 ** (batch / max(min(half_life, 0.05 * (images + batch)), 1e-6))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - keep)

    @torch.no_grad()
    def refresh_w_avg(self) -> None:
        """w_avg: the mean w over z ~ N(0, 1), which truncation pulls towards."""
        z = torch.randn(AVERAGED_CODES, self.generator.z_dim, generator=torch.Generator().manual_seed(0))
        mapping = self.average.mapping
        mapping.w_avg.copy_(mapping.single(z.to(mapping.w_avg.device)).mean(0))

    def are_finite(self) -> bool:
        """Whether all weights are still numbers."""
        networks = (self.generator, self.average, self.discriminator)
        return all(bool(torch.isfinite(p).all()) for network in networks for p in network.parameters())

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in PARTS}

    def load(self, state: dict[str, Any]) -> None:
        shares = [group["share"] for group in self.generator_optimizer.param_groups]
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        for group, share in zip(self.generator_optimizer.param_groups, shares, strict=True):
            group["share"] = share  # the plan's, which may have changed


def create_discriminator(config: TrainingConfig) -> Discriminator | PatchDiscriminator:
    if config.discriminator == "patches":
        return PatchDiscriminator(config.generator.img_channels)
    return Discriminator(config.generator.resolution, config.generator.img_channels, config.discriminator_channels)
