"""DiscoFaceGAN: a StyleGAN2 whose z says what a 3DMM shows, factor by factor.

Deng et al., "Disentangled and Controllable Face Image Generation via 3D Imitative-Contrastive Learning" (CVPR 2020):
z is one part for each factor (who it is, expression, light, rotation) and noise for all else. The decoder of a VAE turns each
part into coefficients of the face model; coefficients and noise go into the mapping network.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from models.face.alignment import align
from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.generators.config import GeneratorConfig, mapping_size
from models.generators.errors import bad_config
from models.generators.guided import OUR_HEADS
from models.generators.layers import FullyConnectedLayer
from models.generators.stylegan2 import truncate

FACTORS = {  # name -> the rig's parts whose coefficients it decodes to; z has them in this order, and the noise last
    "identity": ("identity", "reflectance"),
    "expression": ("expression",),
    "light": ("light",),
    "rotation": ("rotation",),
}
NUMBERS = {"identity": 128, "expression": 32, "light": 16, "rotation": 3}  # of z, as published
HIDDEN = {"identity": 512, "expression": 256, "light": 128, "rotation": 32}
LAYERS = 3  # hidden ones of a decoder
NOISE = 32  # numbers of z that no factor has
TRUNCATED = 8  # layers that truncation moves, as published
LARGEST = 4096


@dataclass(frozen=True)
class DiscoConfig(GeneratorConfig):
    """``parts`` says how many coefficients of the face model ``head`` each part has, ``numbers`` and ``hidden`` how many of z
    a factor takes and how wide its decoder is. What z has beyond the factors is noise."""

    z_dim: int = sum(NUMBERS.values()) + NOISE
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    head: str = "head-2"
    parts: dict[str, int] = field(
        default_factory=lambda: {"identity": 130, "reflectance": 32, "expression": 58, "light": 27, "rotation": 3}
    )
    numbers: dict[str, int] = field(default_factory=lambda: dict(NUMBERS))
    hidden: dict[str, int] = field(default_factory=lambda: dict(HIDDEN))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.head, str) or self.head not in OUR_HEADS:
            raise bad_config(f"head is {self.head!r}, expected one of {OUR_HEADS}")
        wanted = {"parts": [part for parts in FACTORS.values() for part in parts], "numbers": list(FACTORS), "hidden": list(FACTORS)}
        for name, names in wanted.items():
            values = getattr(self, name)
            if not isinstance(values, dict) or sorted(values) != sorted(names):
                raise bad_config(f"{name} is not a table of {', '.join(names)}")
            if not all(isinstance(value, int) and 1 <= value <= LARGEST for value in values.values()):
                raise bad_config(f"{name} has values that are not 1 to {LARGEST}")
        if self.z_dim < sum(self.numbers.values()):
            raise bad_config(f"z has {self.z_dim} numbers, the factors take {sum(self.numbers.values())}")

    @property
    def noise(self) -> int:
        """How many numbers of z belong to no factor."""
        return self.z_dim - sum(self.numbers.values())

    @property
    def coefficients(self) -> dict[str, int]:
        """How many coefficients each factor has."""
        return {name: sum(self.parts[part] for part in parts) for name, parts in FACTORS.items()}

    @property
    def inputs(self) -> int:
        """What the mapping network takes."""
        return sum(self.coefficients.values()) + self.noise

    @property
    def size(self) -> int:
        """How many numbers a generator of this configuration holds."""
        mapping = mapping_size(self, self.inputs) - mapping_size(self, self.z_dim)
        return super().size + mapping + sum(decoder_size(self, name) for name in FACTORS)


def decoder_size(config: DiscoConfig, name: str) -> int:
    """How many numbers the decoder of a factor holds."""
    hidden, outputs = config.hidden[name], config.coefficients[name]
    return (config.numbers[name] + 1) * hidden + (LAYERS - 1) * (hidden + 1) * hidden + (hidden + 1) * outputs + 2 * outputs


class FactorDecoder(nn.Module):
    """z of one factor (N, numbers) -> its coefficients (N, C), standardised; ``mean`` and ``std`` say of what."""

    mean: Tensor
    std: Tensor

    def __init__(self, numbers: int, coefficients: int, hidden: int):
        super().__init__()
        self.network = dense(numbers, hidden, coefficients)
        self.register_buffer("mean", torch.zeros(coefficients))
        self.register_buffer("std", torch.ones(coefficients))

    def forward(self, z: Tensor) -> Tensor:
        return self.network(z)


def dense(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """``LAYERS`` hidden layers with ReLU and a linear one."""
    widths = [inputs, *[hidden] * LAYERS]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def new_decoders(config: DiscoConfig) -> nn.ModuleDict:
    """Untrained decoders by factor."""
    return nn.ModuleDict({name: FactorDecoder(config.numbers[name], config.coefficients[name], config.hidden[name]) for name in FACTORS})


class DiscoMapping(nn.Module):
    """z (N, z_dim) -> w (N, num_ws, w_dim), by way of standardised coefficients (N, C) and noise (N, M).

    ``w_avg`` is the mean w of people who show nothing but who they are.
    """

    w_avg: Tensor

    def __init__(self, config: DiscoConfig):
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = config.z_dim, 0, config.num_ws, config.mapping_layers
        self.decoders = new_decoders(config)
        inputs = config.inputs
        for index in range(self.num_layers):
            setattr(self, f"fc{index}", FullyConnectedLayer(inputs, config.w_dim, "lrelu", config.mapping_lr_multiplier))
            inputs = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def split(self, z: Tensor) -> dict[str, Tensor]:
        """z by factor, and its "noise"."""
        sizes = [*(self.config.numbers[name] for name in FACTORS), self.config.noise]
        return dict(zip((*FACTORS, "noise"), z.float().split(sizes, dim=1), strict=True))

    def coefficients(self, z: Tensor) -> Tensor:
        """The coefficients (N, C) that z says, standardised, one factor after another."""
        parts = self.split(z)
        return torch.cat([self.decoders[name](parts[name]) for name in FACTORS], dim=1)

    def from_coefficients(self, coefficients: Tensor, noise: Tensor) -> Tensor:
        """One w (N, w_dim) for standardised coefficients (N, C) and noise (N, M)."""
        x = torch.cat((coefficients, noise), dim=1)
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)
        return x

    def single(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation: (N, w_dim)."""
        return self.from_coefficients(self.coefficients(z), self.split(z)["noise"])

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float | Sequence[float] = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """w (N, num_ws, w_dim); see ``truncated``."""
        return self.truncated(self.single(z), z, truncation_psi, truncation_cutoff)

    def truncated(self, w: Tensor, z: Tensor, psi: float | Sequence[float] = 1.0, cutoff: int | None = None) -> Tensor:
        """w (N, w_dim) of the people of z for all layers, with who they are drawn towards the mean, as published.

        Pose, expression, light and noise stay: only the difference is added that truncation makes to people who show nothing
        else. ``cutoff`` None are ``TRUNCATED`` layers.
        """
        repeated = w[:, None].repeat(1, self.num_ws, 1)
        if psi == 1.0:
            return repeated
        plain = self.single(only(self.config, z, ("identity",)))[:, None].repeat(1, self.num_ws, 1)
        cutoff = min(TRUNCATED, self.num_ws) if cutoff is None else cutoff
        return repeated + (truncate(plain, self.w_avg, psi, cutoff) - plain)

    def parameters_of(self, coefficients: Tensor, face: FaceModel) -> RigParameters:
        """The aligned heads that standardised coefficients (N, C) describe."""
        decoders = [cast(FactorDecoder, self.decoders[name]) for name in FACTORS]
        mean, std = torch.cat([each.mean for each in decoders]), torch.cat([each.std for each in decoders])
        return parameters_of(mean + std * coefficients, self.config.parts, face)

    def coefficients_of(self, parameters: RigParameters) -> Tensor:
        """The inverse of ``parameters_of``: (N, C)."""
        decoders = cast("dict[str, FactorDecoder]", self.decoders)
        values = {name: factor_values(parameters, name) for name in FACTORS}
        return torch.cat([(values[name] - decoders[name].mean) / decoders[name].std for name in FACTORS], dim=1)


def factor_values(parameters: RigParameters, name: str) -> Tensor:
    """The coefficients (N, C) of one factor of heads."""
    return torch.cat([getattr(parameters, part).flatten(1) for part in FACTORS[name]], dim=1)


def parameters_of(values: Tensor, parts: dict[str, int], face: FaceModel) -> RigParameters:
    """Aligned heads of coefficients (N, C), factor after factor. Gradients pass where an expression is kept within 0–1."""
    names = [part for each in FACTORS.values() for part in each]
    found = dict(zip(names, values.split([parts[name] for name in names], dim=1), strict=True))
    found["light"] = found["light"].unflatten(1, (9, 3))
    found["expression"] = found["expression"].clamp(0, 1)
    return align(face, RigParameters(**found, translation=values.new_zeros(len(values), 3)))


def only(config: DiscoConfig, z: Tensor, factors: Collection[str]) -> Tensor:
    """z with nothing but ``factors``: all other numbers are 0, the noise too."""
    return mix(config, torch.zeros_like(z), z, factors)


def mix(config: DiscoConfig, z: Tensor, other: Tensor, factors: Collection[str]) -> Tensor:
    """z (N, z_dim) with ``factors`` (or "noise") from ``other``: DiscoFaceGAN's style mixing."""
    chosen = torch.zeros(z.shape[1], dtype=torch.bool, device=z.device)
    start = 0
    for name, size in {**{name: config.numbers[name] for name in FACTORS}, "noise": config.noise}.items():
        chosen[start : start + size] = name in factors
        start += size
    return torch.where(chosen, other, z)
