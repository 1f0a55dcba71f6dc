"""Who somebody is: z -> what can be seen of a person, the rig's identity and reflectance, and w.

The studio's people follow from standard-normal numbers by thresholds and choices (``models.synthetic.description``). A
network that was taught those rules, on as many people as one likes and without a picture, stands before the mapping: so
the mapping begins with what a picture shows, and nothing here depends on the studio's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generators.config import GeneratorConfig
from models.generators.errors import bad_config
from models.generators.layers import FullyConnectedLayer
from models.generators.stylegan2 import truncate

HIDDEN, LAYERS = 384, 3  # of the network that describes people
SHARP = 4.0  # a choice of 0.6 to 0.4 becomes 0.84 to 0.16: people wear one haircut, not two
LEAST_STD = 0.15  # of a feature that few people have
MOST = 4096


@dataclass(frozen=True)
class PersonConfig:
    """How many of z's ``numbers`` make a person, the sizes of the ``choices``, and how many ``amounts``, identity and reflectance weights follow."""

    numbers: int = 0
    choices: tuple[int, ...] = ()
    amounts: int = 0
    identity: int = 0
    reflectance: int = 0

    def __post_init__(self) -> None:
        sizes = {
            "numbers": self.numbers,
            "amounts": self.amounts,
            "identity": self.identity,
            "reflectance": self.reflectance,
            "choices": sum(self.choices),
        }
        for name, value in sizes.items():
            if not isinstance(value, int) or not 0 <= value <= MOST:
                raise bad_config(f"a person's {name} are {value!r}, expected 0 to {MOST}")
        if any(value < 2 for value in self.choices):
            raise bad_config("a choice needs two things to choose from")

    @property
    def features(self) -> int:
        """How many numbers describe somebody."""
        return sum(self.choices) + self.amounts

    @property
    def outputs(self) -> int:
        return self.features + self.identity + self.reflectance

    @property
    def size(self) -> int:
        """How many numbers the describing network and what belongs to it hold."""
        if not self.outputs:
            return 2 * self.features
        hidden = (self.numbers + 1) * HIDDEN + (HIDDEN + 1) * HIDDEN * (LAYERS - 1) + HIDDEN * self.outputs
        return hidden + (self.numbers + 1) * self.outputs + 2 * self.features


class PersonNetwork(nn.Module):
    """z (N, Z) -> what the studio's rules make of a person."""

    def __init__(self, config: PersonConfig):
        super().__init__()
        self.config = config
        inputs = config.numbers
        for index in range(LAYERS):
            setattr(self, f"fc{index}", nn.Linear(inputs, HIDDEN))
            inputs = HIDDEN
        self.out = nn.Linear(HIDDEN, config.outputs, bias=False)
        self.straight = nn.Linear(config.numbers, config.outputs)

    def forward(self, z: Tensor) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Logits (N, n) of each choice, amounts (N, A), identity (N, K) and reflectance (N, B) of the rig."""
        numbers = x = z[:, : self.config.numbers].float()
        for index in range(LAYERS):
            x = F.leaky_relu(getattr(self, f"fc{index}")(x), 0.2)
        sizes = (*self.config.choices, self.config.amounts, self.config.identity, self.config.reflectance)
        *logits, amounts, identity, reflectance = (self.out(x) + self.straight(numbers)).split(sizes, dim=1)
        return logits, amounts, identity, reflectance

    def features(self, z: Tensor) -> Tensor:
        """The description (N, F) of people: each choice as shares that sum to 1, then the amounts."""
        logits, amounts, *_ = self(z)
        return torch.cat([*((SHARP * values).softmax(dim=1) for values in logits), amounts], dim=1)


def features_of_choices(choices: Tensor, amounts: Tensor, sizes: Sequence[int]) -> Tensor:
    """The description (N, F) of people whose choices (N, C) int64 and amounts (N, A) are known."""
    chosen = [F.one_hot(choices[:, index], size).float() for index, size in enumerate(sizes)]
    return torch.cat([*chosen, amounts], dim=1)


class PersonMapping(nn.Module):
    """z (N, z_dim) -> w (N, num_ws, w_dim). Where nothing describes people (no features), z itself goes in."""

    mean: Tensor
    std: Tensor
    w_avg: Tensor

    def __init__(self, config: GeneratorConfig, person: PersonConfig):
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = config.z_dim, 0, config.num_ws, config.mapping_layers
        inputs = person.features or person.numbers or config.z_dim
        self.person = PersonNetwork(person) if person.features else None
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))
        for index in range(self.num_layers):
            setattr(self, f"fc{index}", FullyConnectedLayer(inputs, config.w_dim, "lrelu", config.mapping_lr_multiplier))
            inputs = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def features(self, z: Tensor) -> Tensor:
        """What w is made of (N, F)."""
        return self.person.features(z) if self.person is not None else z[:, : len(self.mean)].float()

    def from_features(self, features: Tensor) -> Tensor:
        """One w (N, w_dim) for each description (N, F)."""
        x = (features - self.mean) / self.std
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)
        return x

    def single(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation: (N, w_dim)."""
        return self.from_features(self.features(z))

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float | Sequence[float] = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """As ``stylegan2.truncate`` says."""
        w = self.single(z)[:, None].repeat(1, self.num_ws, 1)
        return truncate(w, self.w_avg, truncation_psi, truncation_cutoff)

    def shape(self, z: Tensor, truncation_psi: float | Sequence[float] = 1.0) -> tuple[Tensor, Tensor]:
        """The rig's identity (N, K) and reflectance (N, B) of z, as near to the mean as w is; empty where nothing describes people."""
        if self.person is None:
            return z.new_zeros(len(z), 0), z.new_zeros(len(z), 0)
        psi = truncation_psi if isinstance(truncation_psi, int | float) else truncation_psi[0]
        *_, identity, reflectance = self.person(z)
        return psi * identity, psi * reflectance

    @torch.no_grad()
    def set_population(self, features: Tensor) -> None:
        """Take mean and standard deviation of the features from people (N, F)."""
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0).clamp(min=LEAST_STD))
