"""Going on with a generator that has fewer parts than the plan's."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from models.errors import StyleRigError
from models.generators import Generator
from models.generators.guided import GuidedConfig


def check_growth(begun: Generator, config: GuidedConfig) -> None:
    """Raises StyleRigError unless ``begun`` is of ``config``, or would be with strands and finer planes."""
    has = begun.config
    if isinstance(has, GuidedConfig) and has == without_new_parts(config, has):
        return
    raise StyleRigError(
        "The generator to begin with has other sizes than the plan's.",
        "Name the file of a guided generator, and a plan with its channels, mapping layers and head.",
        code="weights_do_not_fit",
    )


def without_new_parts(config: GuidedConfig, has: GuidedConfig) -> GuidedConfig:
    """``config`` without what ``has`` has not."""
    planes = config.planes
    if planes and has.planes:
        coarse = {side: count for side, count in planes.channels.items() if side in has.planes.channels}
        planes = dataclasses.replace(planes, channels=coarse)
    return dataclasses.replace(config, planes=planes, strands=config.strands and has.strands)


@torch.no_grad()
def take_weights(network: nn.Module, known: nn.Module) -> None:
    """Give ``network`` the weights of ``known``; inputs that only it has weigh nothing yet, and new blocks add nothing to images."""
    weights = known.state_dict()
    for name, value in network.state_dict().items():
        if name in weights:
            value.zero_()[tuple(map(slice, weights[name].shape))] = weights[name]
        elif name.endswith(("torgb.weight", "torgb.bias")):
            value.zero_()
