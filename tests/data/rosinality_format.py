"""Writes checkpoints in the layouts of rosinality's stylegan2-pytorch and of the tools built on it, for the tests."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor, nn

from models.generators import Generator
from models.generators.config import StyleGAN2Config
from models.generators.layers import blur_kernel

SMALL = StyleGAN2Config(resolution=16, z_dim=6, w_dim=6, mapping_layers=3, mapping_lr_multiplier=0.01,
                        channels={4: 5, 8: 4, 16: 3})  # fmt: skip


def theirs(ours: Generator) -> dict[str, Tensor]:
    """The state of a generator of ``SMALL`` under rosinality's names and in its shapes, written out layer by layer."""
    state = ours.state_dict()
    result = {"input.input": state["synthesis.b4.const"][None]}
    for index in range(3):
        for part in ("weight", "bias"):
            result[f"style.{index + 1}.{part}"] = state[f"mapping.fc{index}.{part}"]
    convolutions = [("conv1", "b4.conv1"), ("convs.0", "b8.conv0"), ("convs.1", "b8.conv1"),
                    ("convs.2", "b16.conv0"), ("convs.3", "b16.conv1")]  # fmt: skip
    for index, (name, layer) in enumerate(convolutions):
        source = f"synthesis.{layer}"
        result[f"noises.noise_{index}"] = state[f"{source}.noise_const"][None, None]
        result[f"{name}.conv.weight"] = state[f"{source}.weight"][None]
        result[f"{name}.conv.modulation.weight"] = state[f"{source}.affine.weight"]
        result[f"{name}.conv.modulation.bias"] = state[f"{source}.affine.bias"]
        result[f"{name}.noise.weight"] = state[f"{source}.noise_strength"][None]
        result[f"{name}.activate.bias"] = state[f"{source}.bias"]
        if layer.endswith("conv0"):
            result[f"{name}.conv.blur.kernel"] = blur_kernel() * 4
    for name, size in (("to_rgb1", 4), ("to_rgbs.0", 8), ("to_rgbs.1", 16)):
        source = f"synthesis.b{size}.torgb"
        result[f"{name}.conv.weight"] = state[f"{source}.weight"][None]
        result[f"{name}.conv.modulation.weight"] = state[f"{source}.affine.weight"]
        result[f"{name}.conv.modulation.bias"] = state[f"{source}.affine.bias"]
        result[f"{name}.bias"] = state[f"{source}.bias"][None, :, None, None]
        if size > 4:
            result[f"{name}.upsample.kernel"] = blur_kernel() * 4
    return result


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def encoder_of_psp() -> dict[str, Tensor]:
    """A few of the other numbers that pSp, e4e, ReStyle and HyperStyle keep beside the generator."""
    return {"encoder.input_layer.0.weight": torch.zeros(4, 3, 3, 3), "encoder.styles.0.linear.weight": torch.zeros(6, 6),
            "hypernet.conv1.weight": torch.zeros(2, 6, 3, 3), "face_pool.x": torch.zeros(1)}  # fmt: skip


class StyledConv(nn.Module):
    """Any part of a network: the layout of the file knows only names."""


class Whole(nn.Module):
    """The network itself, which is named Generator while it is written."""


@contextmanager
def their_classes():
    """Within: whole networks can be written as objects of classes of a module ``model``."""
    module = ModuleType("model")
    for kind, name in ((StyledConv, "StyledConv"), (Whole, "Generator")):
        kind.__module__, kind.__name__, kind.__qualname__ = "model", name, name
        setattr(module, name, kind)
    before = sys.modules.get("model")
    sys.modules["model"] = module
    try:
        yield
    finally:
        del sys.modules["model"]
        if before is not None:
            sys.modules["model"] = before


def whole_network(state: dict[str, Tensor]) -> nn.Module:
    """A network with these numbers: weights as parameters, the rest as buffers."""
    root = Whole()
    for name, value in state.items():
        *path, last = name.split(".")
        place = root
        for part in path:
            if part not in place._modules:
                place.add_module(part, StyledConv())
            place = place._modules[part]
        if last in ("weight", "bias", "input"):
            place.register_parameter(last, nn.Parameter(value))
        else:
            place.register_buffer(last, value)
    return root
