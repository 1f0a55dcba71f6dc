"""StyleGAN2 checkpoints of rosinality's stylegan2-pytorch, converted or from training.

They hold only states, so the configuration follows from the shapes. What the names mean:
https://github.com/rosinality/stylegan2-pytorch (model.py, convert_weight.py).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from models.generators.config import StyleGAN2Config
from models.generators.generator import Generator, latents_from_seed
from models.generators.layers import blur_kernel
from models.generators.pickles import TensorRecord
from models.io.pickles import PickleError

KIND = "StyleGAN2, rosinality's PyTorch checkpoint"
MAPPING_RATE = 0.01  # not in the file; never changed in the repository
AVERAGED = 4096  # the repository's own number of samples for the average of w
PARTS = {
    "conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength", "activate.bias": "bias", "bias": "bias",
}  # fmt: skip
LAYER = re.compile(r"(conv1|to_rgb1|convs\.(\d{1,2})|to_rgbs\.(\d{1,2}))\.([\w.]+)")


def read_rosinality(root: Any, most_numbers: int) -> tuple[StyleGAN2Config, dict[str, Tensor]]:
    """Configuration and state of the averaged generator; raises PickleError or ConfigError."""
    if not isinstance(root, dict):
        raise PickleError("it holds no checkpoint of a StyleGAN")
    theirs = root.get("g_ema", root.get("g"))
    if theirs is None and "d" in root:
        raise PickleError("it holds a discriminator only, which judges pictures but makes none")
    if not isinstance(theirs, dict) or not all(isinstance(value, TensorRecord) for value in theirs.values()):
        raise PickleError("it holds no StyleGAN generator")
    average = root.get("latent_avg")
    records = [*theirs.values(), *([average] if isinstance(average, TensorRecord) else [])]
    numbers = sum(torch.Size(record.shape).numel() for record in records)
    if numbers > most_numbers:
        raise PickleError(f"its tensors hold {numbers} numbers, more than the file")
    state = dict(renamed(str(name), record.tensor()) for name, record in theirs.items())
    state.pop("", None)
    config = shape_config(state)
    if isinstance(average, TensorRecord):
        state["mapping.w_avg"] = average.tensor().reshape(-1)
    else:
        state["mapping.w_avg"] = measured_average(config, state)
    return config, state


def renamed(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Our name and shape for one of their tensors; no name for the filters, which are only checked."""
    if name.endswith(".kernel"):
        if value.shape != (4, 4) or not torch.allclose(value, blur_kernel() * 4, atol=1e-5):
            raise PickleError("its resampling filter is not [1, 3, 3, 1]")
        return "", value
    if match := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", value
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.{place(int(match[1]))}.noise_const", without_batch(value, 2)
    if name == "input.input":
        return "synthesis.b4.const", without_batch(value, 3)
    match = LAYER.fullmatch(name)
    if not match or match[4] not in PARTS:
        raise PickleError(f"{name[:60]!r} is no part of a StyleGAN2")
    part = PARTS[match[4]]
    if match[1].startswith("conv"):
        layer = place(0 if match[2] is None else int(match[2]) + 1)
    else:
        layer = f"b{4 if match[3] is None else 8 << int(match[3])}.torgb"
    dimensions = {"weight": 4, "noise_strength": 0}.get(part, value.dim() if "affine" in part else 1)
    if part == "bias":
        value = value.flatten()
    return f"synthesis.{layer}.{part}", without_batch(value, dimensions)


def place(index: int) -> str:
    """The convolution with this number, counted through all resolutions."""
    return f"b{4 << (index + 1) // 2}.conv{1 - index % 2}"


def without_batch(value: Tensor, dimensions: int) -> Tensor:
    """``value`` without its leading dimensions of size 1."""
    extra = value.dim() - dimensions
    if extra < 0 or any(size != 1 for size in value.shape[:extra]):
        raise PickleError(f"a tensor has the shape {tuple(value.shape)}")
    return value.reshape(value.shape[extra:])


def shape_config(state: dict[str, Tensor]) -> StyleGAN2Config:
    channels = {}
    while (weight := state.get(f"synthesis.b{4 << len(channels)}.torgb.weight")) is not None and len(channels) < 12:
        channels[4 << len(channels)] = weight.shape[1]
    layers = sum(name.startswith("mapping.") and name.endswith(".weight") for name in state)
    first = state.get("mapping.fc0.weight")
    if not channels or first is None or first.dim() != 2:
        raise PickleError("it holds no StyleGAN generator")
    return StyleGAN2Config(
        resolution=max(channels), z_dim=first.shape[1], w_dim=first.shape[0], mapping_layers=layers,
        mapping_lr_multiplier=MAPPING_RATE, channels=channels,
    )  # fmt: skip


def measured_average(config: StyleGAN2Config, state: dict[str, Tensor]) -> Tensor:
    """w's average over fixed samples: training checkpoints do not keep it."""
    numbers = sum(value.numel() for value in state.values())
    if config.size > 2 * numbers + 1_000_000:
        raise PickleError(f"it has {numbers} numbers, but its shapes ask for {config.size}")
    mapping = Generator(config).mapping
    values = {name.removeprefix("mapping."): value for name, value in state.items() if name.startswith("mapping.")}
    try:
        mapping.load_state_dict(values | {"w_avg": mapping.w_avg})
    except RuntimeError as error:
        raise PickleError("its mapping network is not whole") from error
    with torch.no_grad():
        return mapping.single(latents_from_seed(0, AVERAGED, config.z_dim)).mean(0)
