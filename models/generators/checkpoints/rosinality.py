"""StyleGAN2 checkpoints of rosinality's stylegan2-pytorch, converted or from training.

They hold only states, so the configuration follows from the shapes. What the names mean:
https://github.com/rosinality/stylegan2-pytorch (model.py, convert_weight.py).
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from models.generators.checkpoints.naming import MAPPING_RATE, check_labels, conv_name, without_batch
from models.generators.config import StyleGAN2Config
from models.generators.latents import latents_from_seed
from models.generators.layers import blur_kernel
from models.generators.stylegan2 import MappingNetwork
from models.io.pickles import PickleError

KIND = "StyleGAN2, rosinality's PyTorch checkpoint"
AVERAGED = 4096  # the repository's own number of samples for the average of w
NO_NOISE = "The file keeps no noise maps: fixed ones stand in, so fine detail differs from other programs'."
NO_AVERAGE = f"The file keeps no average of w for all layers: it was measured over {AVERAGED} samples."
PARTS = {
    "conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength", "activate.bias": "bias", "bias": "bias",
}  # fmt: skip
LAYER = re.compile(r"(conv1|to_rgb1|convs\.(\d{1,2})|to_rgbs\.(\d{1,2}))\.([\w.]+)")


def read_rosinality(theirs: dict[str, Tensor], average: Tensor | None) -> tuple[StyleGAN2Config, dict[str, Tensor], list[str]]:
    """Configuration, state and notes of a generator by rosinality's names; raises PickleError or ConfigError.

    ``average`` is w's, once or for each layer, where the file keeps it.
    """
    notes = []
    state = dict(renamed(name, value) for name, value in theirs.items())
    state.pop("", None)
    config = shape_config(state)
    if not any(name.endswith("noise_const") for name in state):
        state.update(drawn_noise(config))
        notes.append(NO_NOISE)
    one = single(average)
    if one is None:
        one = measured_average(config, state)
        notes.append(NO_AVERAGE)
    state["mapping.w_avg"] = one
    return config, state, notes


def single(average: Tensor | None) -> Tensor | None:
    """The average (w_dim,) out of one that may be repeated for each layer; None where layers differ."""
    if average is None or not average.numel() or not average.dim():
        return None
    rows = average.reshape(-1, average.shape[-1])
    return rows[0].clone() if torch.equal(rows, rows[:1].expand_as(rows)) else None


def drawn_noise(config: StyleGAN2Config) -> dict[str, Tensor]:
    """Noise maps for a file without: the repository drew them anew for each picture then."""
    layers = [conv_name(index) for index in range(config.num_ws - 1)]
    maps = {layer: int(layer.removeprefix("b").partition(".")[0]) for layer in layers}
    return {f"synthesis.{layer}.noise_const": latents_from_seed(index, size, size)
            for index, (layer, size) in enumerate(maps.items())}  # fmt: skip


def renamed(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Our name and shape for one of their tensors; no name for the filters, which are only checked."""
    if name.endswith(".kernel"):
        if value.shape != (4, 4) or not torch.allclose(value, blur_kernel() * 4, atol=1e-5):
            raise PickleError("its resampling filter is not [1, 3, 3, 1]")
        return "", value
    if match := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", value
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.{conv_name(int(match[1]))}.noise_const", without_batch(value, 2)
    if name == "input.input":
        return "synthesis.b4.const", without_batch(value, 3)
    match = LAYER.fullmatch(name)
    if not match or match[4] not in PARTS:
        raise PickleError(f"{name[:60]!r} is no part of a StyleGAN2")
    part = PARTS[match[4]]
    if match[1].startswith("conv"):
        layer = conv_name(0 if match[2] is None else int(match[2]) + 1)
    else:
        layer = f"b{4 if match[3] is None else 8 << int(match[3])}.torgb"
    dimensions = {"weight": 4, "noise_strength": 0}.get(part, value.dim() if "affine" in part else 1)
    if part == "bias":
        value = value.flatten()
    return f"synthesis.{layer}.{part}", without_batch(value, dimensions)


def shape_config(state: dict[str, Tensor]) -> StyleGAN2Config:
    channels: dict[int, int] = {}
    while (weight := state.get(f"synthesis.b{4 << len(channels)}.torgb.weight")) is not None and len(channels) < 12:
        channels[4 << len(channels)] = weight.shape[1]
    layers = sum(name.startswith("mapping.") and name.endswith(".weight") for name in state)
    first = state.get("mapping.fc0.weight")
    if not channels or first is None or first.dim() != 2:
        raise PickleError("it is not the whole of a StyleGAN2")
    check_labels(first.shape[1], first.shape[0])
    return StyleGAN2Config(
        resolution=max(channels), z_dim=first.shape[1], w_dim=first.shape[0], mapping_layers=layers,
        mapping_lr_multiplier=MAPPING_RATE, channels=channels,
    )  # fmt: skip


def measured_average(config: StyleGAN2Config, state: dict[str, Tensor]) -> Tensor:
    """w's average over fixed samples: training checkpoints do not keep it."""
    numbers = sum(value.numel() for value in state.values())
    if config.size > 2 * numbers + 1_000_000:
        raise PickleError(f"it has {numbers} numbers, but its shapes ask for {config.size}")
    mapping = MappingNetwork(config)
    values = {name.removeprefix("mapping."): value for name, value in state.items() if name.startswith("mapping.")}
    try:
        mapping.load_state_dict(values | {"w_avg": mapping.w_avg})
    except RuntimeError as error:
        raise PickleError("its mapping network is not whole") from error
    with torch.no_grad():
        return mapping.single(latents_from_seed(0, AVERAGED, config.z_dim)).mean(0)
