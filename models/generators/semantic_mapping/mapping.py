"""The mapping of a generator that rendered people taught: z -> scene -> what its numbers mean -> w."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.errors import StyleRigError
from models.generators.config import GeneratorConfig
from models.generators.layers import FullyConnectedLayer
from models.generators.semantic_mapping.studio_v1 import WEIGHT, scene_features
from models.generators.stylegan2 import MappingNetwork

POPULATION = 8192  # scenes that means and spreads are taken from
LEAST_SPREAD = 0.05  # of a meaning that hardly varies
STRAIGHT = 1.0  # bias of a unit that stays on the straight side of its leaky ReLU, in spreads


class SemanticMapping(MappingNetwork):
    """The first numbers of z are a scene (see ``studio_v1``); the others do nothing.

    A scene's numbers reach its picture by thresholds (an expression shows only above one), by choices (of
    sixteen haircuts, the one of the highest number) and by turns (the light's), and rare ones reach few
    pictures: a mapping that learns from pictures alone is slow to find them. But what they mean is known
    exactly. So it is computed, by the formulas that the pictures were made with, and the layers begin there.
    The rig's parameters are thereby nearly linear in w.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, config: GeneratorConfig):
        super().__init__(config, config.meanings)
        self.register_buffer("mean", torch.zeros(config.meanings))
        self.register_buffer("spread", torch.ones(config.meanings))

    def inputs(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Features (N, M), each with mean 0 and its weight as spread. Raises StyleRigError for a count that is not studio-v1's."""
        features = joined(features_of(z))
        if features.shape[1] != len(self.mean):
            raise StyleRigError(
                f"This generator's mapping begins with {len(self.mean)} features of a scene; this version knows {features.shape[1]}.",
                "Use the version of StyleRig that trained it, or train it anew.",
                code="bad_generator",
            )
        return (features.to(self.mean.device) - self.mean) / self.spread

    @torch.no_grad()
    def begin(self, seed: int) -> None:
        """Weights to begin a training with: w holds the meanings by turned axes, half of each hidden layer bent; spread 1."""
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(POPULATION, self.z_dim, generator=random)
        features = features_of(z)
        weights = torch.cat([torch.full((part.shape[1],), WEIGHT[name]) for name, part in features.items()])
        self.mean.copy_(joined(features).mean(0))
        self.spread.copy_(joined(features).std(0).clamp(min=LEAST_SPREAD) / weights)
        x = self.inputs(z)
        layers = [getattr(self, f"fc{index}") for index in range(self.num_layers)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight, 1 / layer.weight_gain, random)
            y = x @ layer.weight.mT * layer.weight_gain
            straight = torch.full_like(layer.bias, STRAIGHT)
            if layer is not layers[-1]:
                straight[::2] = 0.0
            layer.bias.copy_((straight * y.std(0) - y.mean(0)) / layer.bias_gain)
            x = layer(x)
        spread = x.std(0).mean()
        layers[-1].weight.div_(spread)  # leaky ReLU keeps factors
        layers[-1].bias.div_(spread)
        self.w_avg.copy_((x / spread).mean(0))

    @torch.no_grad()
    def centre_styles(self, synthesis: nn.Module) -> None:
        """Let the styles of the mean w be 1, as those of a new generator are."""
        for name, layer in synthesis.named_modules():
            if isinstance(layer, FullyConnectedLayer) and name.endswith("affine"):
                layer.bias.sub_(layer.weight @ self.w_avg * (layer.weight_gain / layer.bias_gain))


@torch.no_grad()
def features_of(z: Tensor) -> dict[str, Tensor]:
    """What z (N, z_dim) mean, by kind, on the processor."""
    return scene_features(z.float().cpu())


def joined(features: dict[str, Tensor]) -> Tensor:
    """All features (N, M) side by side."""
    return torch.cat(tuple(features.values()), dim=1)
