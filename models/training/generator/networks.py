"""The networks of a training with their optimisers, and their beginning."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from models.generators import Generator
from models.generators.cpu import usable_precision
from models.generators.semantic_mapping import SemanticMapping
from models.training.core.trainer import set_learning_rate
from models.training.generator.config import GeneratorPlan, Stage
from models.training.generator.discriminator import Discriminator, PatchDiscriminator

AVERAGED_CODES = 4096


class Networks:
    """Generator, its running average, discriminator; the same beginning for a seed everywhere.

    ``notice`` says where they do not compute as the plan asks for, or is empty.
    """

    def __init__(self, config: GeneratorPlan, latent_dim: int, device: torch.device):
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
        groups = [{"params": part.parameters()} for part in (self.generator.mapping, self.generator.synthesis)]
        self.generator_optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), betas=(0.0, 0.99), fused=True)

    @torch.no_grad()
    def prepare_for_pairs(self, config: GeneratorPlan, latent_dim: int) -> None:
        """Noise must not matter: it begins unseen. What the scene's numbers say must reach w: where the
        mapping begins with z, an orthogonal one keeps more of it linearly readable than a random one. The
        image begins almost plain, not as many random ones above each other, and blocks to come begin silent."""
        for size in config.generator.block_resolutions:
            later = size > config.stages[0].resolution
            getattr(self.generator.synthesis, f"b{size}").torgb.weight.mul_(0.0 if later else 0.1)
        mapping = self.generator.mapping
        if isinstance(mapping, SemanticMapping):
            mapping.begin(config.seed)
            mapping.centre_styles(self.generator.synthesis)
            return
        for index in range(config.generator.mapping_layers):
            layer = getattr(mapping, f"fc{index}")
            gain = math.sqrt(layer.weight.shape[1]) / config.generator.mapping_lr_multiplier
            nn.init.orthogonal_(layer.weight, gain)
        mapping.get_parameter("fc0.weight")[:, latent_dim : config.generator.z_dim] = 0

    @torch.no_grad()
    def refresh_w_avg(self) -> None:
        """w_avg: the mean w over z ~ N(0, 1), which truncation pulls towards."""
        z = torch.randn(AVERAGED_CODES, self.generator.z_dim, generator=torch.Generator().manual_seed(0))
        mapping = self.average.mapping
        mapping.w_avg.copy_(mapping.single(z.to(mapping.w_avg.device)).mean(0))

    def set_learning_rates(self, plan: GeneratorPlan, stage: Stage) -> None:
        """The rates and momenta that ``stage`` begins with."""
        set_learning_rate(self.generator_optimizer, plan.mapping_rate * stage.learning_rate, stage.learning_rate)
        set_learning_rate(self.discriminator_optimizer, stage.discriminator_learning_rate)
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["betas"] = (stage.beta1, 0.99)


@torch.no_grad()
def update_ema(average: nn.Module, module: nn.Module, images: int, batch: int, half_life: float) -> None:
    """Exponential moving average of the weights; its half-life grows to ``half_life`` images at the start."""
    decay = 0.5 ** (batch / max(min(half_life, 0.05 * images), 1e-6))
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - decay)


def create_discriminator(config: GeneratorPlan) -> Discriminator | PatchDiscriminator:
    if config.discriminator == "patches":
        return PatchDiscriminator(config.generator.img_channels)
    return Discriminator(config.generator.resolution, config.generator.img_channels, config.discriminator_channels)
