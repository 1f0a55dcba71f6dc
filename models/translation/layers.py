"""What several of the published networks share: norms, first weights, and the labels of domains."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def norm_layer(norm: str, channels: int) -> nn.Module:
    """ "batch" has weights and running statistics, "instance" neither, "none" nothing at all."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.Identity()


def has_bias(norm: str) -> bool:
    """Whether the convolutions before such a norm have a bias in the published networks."""
    return norm == "instance"


@torch.no_grad()
def initialise_normal(network: nn.Module, deviation: float = 0.02) -> nn.Module:
    """pix2pix's and CycleGAN's first weights: N(0, ``deviation``), biases 0, weights of batch norms N(1, ``deviation``)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            module.weight.normal_(0.0, deviation)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.normal_(1.0, deviation)
        else:
            continue
        if module.bias is not None:
            module.bias.zero_()
    return network


@torch.no_grad()
def initialise_he(network: nn.Module) -> nn.Module:
    """StarGAN v2's first weights: He et al. 2015 by what goes in, biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                module.bias.zero_()
    return network


@torch.no_grad()
def silence(layer: nn.Module) -> None:
    """Have a layer give 0 to begin with."""
    for value in layer.parameters():
        value.zero_()


@torch.no_grad()
def initialise_xavier(network: nn.Module) -> nn.Module:
    """CoGAN's first weights: Glorot and Bengio 2010, times the square root of 2, biases 0.1."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight, gain=math.sqrt(2))
            if module.bias is not None:
                module.bias.fill_(0.1)
    return network


def of_domain(every: Tensor, domain: Tensor) -> Tensor:
    """Each row's own domain: (N, domains, …) and (N,) whole numbers to (N, …)."""
    return every[torch.arange(len(every), device=every.device), domain]
