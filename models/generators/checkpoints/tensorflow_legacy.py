"""TensorFlow pickles of StyleGAN 1 and ProGAN: their variables as our configuration and state.

What the names mean: https://github.com/NVlabs/stylegan (training/networks_stylegan.py) and
https://github.com/tkarras/progressive_growing_of_gans (networks.py).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from models.generators.checkpoints.naming import without_batch
from models.generators.config import ProGANConfig, StyleGAN1Config
from models.io.pickles import PickleError, shown

STYLEGAN1 = {"use_styles": True, "const_input_layer": True, "use_noise": True, "use_instance_norm": True,
             "use_pixel_norm": False, "use_wscale": True, "normalize_latents": True, "nonlinearity": "lrelu",
             "mapping_nonlinearity": "lrelu", "blur_filter": [1, 2, 1]}  # fmt: skip
PROGAN = {"normalize_latents": True, "use_wscale": True, "use_pixelnorm": True, "use_leakyrelu": True}
FUSED_FROM = 128  # the size from which "auto" up-samples and convolves at once
LAYER = re.compile(r"synthesis/(\d{1,4})x\1/(Const|Conv|Conv0_up|Conv1)/(weight|bias|Noise/weight|StyleMod/\w+)")
PROGAN_LAYER = re.compile(r"(\d{1,4})x\1/(Dense|Conv|Conv0_up|Conv0|Conv1)/(weight|bias)")
LAYERS = {"Const": "conv0", "Dense": "conv0", "Conv0": "conv0", "Conv0_up": "conv0", "Conv": "conv1",
          "Conv1": "conv1"}  # fmt: skip
PARTS = {"weight": "weight", "bias": "bias", "Noise/weight": "noise_strength", "StyleMod/weight": "affine.weight",
         "StyleMod/bias": "affine.bias"}  # fmt: skip


def read_stylegan1(variables: dict[str, Tensor], arguments: dict[str, Any]) -> tuple[StyleGAN1Config, dict[str, Tensor]]:
    """Configuration and state; raises PickleError or ConfigError."""
    check_arguments(arguments, STYLEGAN1)
    fused = arguments.get("fused_scale", "auto")
    if fused != "auto" and type(fused) is not bool:
        raise PickleError(f"its fused_scale is {shown(fused)}, expected 'auto', True or False")
    state = rename_all(variables, lambda name, value: stylegan1_name(name, value, arguments))
    first, average = state.get("mapping.fc0.weight"), state.get("mapping.w_avg")
    if first is None or first.dim() != 2 or average is None:
        raise PickleError("its variables are not those of a StyleGAN 1")
    embed = state.get("mapping.embed", torch.zeros(0, 0))
    channels = channel_counts(state, "synthesis.b{}.conv1.weight")
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in state)
    config = StyleGAN1Config(
        resolution=max(channels), z_dim=first.shape[1] - len(embed), w_dim=average.numel(), c_dim=embed.shape[-1],
        mapping_layers=layers, mapping_lr_multiplier=number(arguments, "mapping_lrmul", 0.01), channels=channels,
    )  # fmt: skip
    return config, state


def stylegan1_name(name: str, value: Tensor, arguments: dict[str, Any]) -> tuple[str, Tensor]:
    """Our name for a variable, and its value in torch's order of dimensions."""
    if name == "dlatent_avg":
        return "mapping.w_avg", value
    if match := re.fullmatch(r"mapping/Dense(\d{1,2})/(weight|bias)", name):
        return f"mapping.fc{int(match[1])}.{match[2]}", transposed(value)
    if name == "mapping/LabelConcat/weight":
        return "mapping.embed", transposed(value)
    if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        layer = int(match[1])
        return f"synthesis.b{4 << layer // 2}.conv{layer % 2}.noise_const", without_batch(value, 2)
    if name == "synthesis/4x4/Const/const":
        return "synthesis.b4.const", without_batch(value, 3)
    if name.startswith("synthesis/ToRGB_lod"):
        return to_rgb_name(name.removeprefix("synthesis/"), value)
    match = LAYER.fullmatch(name)
    if not match or match[3] not in PARTS:
        raise PickleError(f"{name[:60]!r} is no part of a StyleGAN 1")
    if match[3] == "weight" and value.dim() == 4:
        value = value.permute(3, 2, 0, 1)
        fused = arguments.get("fused_scale", "auto")
        if match[2] == "Conv0_up" and not (int(match[1]) >= FUSED_FROM if fused == "auto" else fused):
            value = value.flip((2, 3))  # there the weights run over enlarged pictures, not the other way about
    return f"synthesis.b{match[1]}.{LAYERS[match[2]]}.{PARTS[match[3]]}", transposed(value)


def read_progan(variables: dict[str, Tensor], arguments: dict[str, Any]) -> tuple[ProGANConfig, dict[str, Tensor]]:
    """Configuration and state; raises PickleError or ConfigError."""
    check_arguments(arguments, PROGAN)
    state = rename_all(variables, progan_name)
    first = state.get("synthesis.b4.conv0.weight")
    if first is None or first.dim() != 3:
        raise PickleError("its variables are not those of a ProGAN")
    channels = channel_counts(state, "synthesis.b{}.conv1.weight")
    width, labels = first.shape[2], int(number(arguments, "label_size", 0))
    state["mapping.w_avg"] = torch.zeros(width)
    config = ProGANConfig(resolution=max(channels), z_dim=width - labels, w_dim=width, c_dim=labels, channels=channels)
    return config, state


def progan_name(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Our name for a variable, and its value in torch's order of dimensions."""
    if name.startswith("ToRGB_lod"):
        return to_rgb_name(name, value)
    match = PROGAN_LAYER.fullmatch(name)
    if not match:
        raise PickleError(f"{name[:60]!r} is no part of a ProGAN")
    if match[2] == "Dense" and value.dim() == 2:
        if value.shape[1] % 16:
            raise PickleError(f"{name!r} does not make pictures of 4 x 4")
        value = value.t().unflatten(0, (-1, 16))
    elif value.dim() == 4:
        # Conv0_up is transposed, with its weights as (height, width, out, in); Conv0 is not.
        value = value.permute(2, 3, 0, 1) if match[2] == "Conv0_up" else value.permute(3, 2, 0, 1)
        value = value.flip((2, 3)) if match[2] == "Conv0" else value
    return f"synthesis.b{match[1]}.{LAYERS[match[2]]}.{match[3]}", value.contiguous()


def rename_all(variables: dict[str, Tensor], rename: Any) -> dict[str, Tensor]:
    """All variables by our names, but the training's progress and the colours of smaller pictures."""
    state = {}
    for name, value in variables.items():
        if name.rpartition("/")[2] == "lod":
            if value.numel() != 1 or float(value) != 0:
                raise PickleError("it was saved before it had grown to its full size")
            continue
        ours, tensor = rename(name, value)
        if ours:
            state[ours] = tensor
    return state


def to_rgb_name(name: str, value: Tensor) -> tuple[str, Tensor]:
    match = re.fullmatch(r"ToRGB_lod(\d{1,2})/(weight|bias)", name)
    if not match:
        raise PickleError(f"{name[:60]!r} is no part of a generator")
    if int(match[1]):
        return "", value
    if value.shape[-1:] != (3,):
        raise PickleError(f"it makes pictures of {value.shape[-1] if value.dim() else 0} channels, not of red, green and blue")
    return f"synthesis.torgb.{match[2]}", value.reshape(-1, 3).t().contiguous() if match[2] == "weight" else value


def channel_counts(state: dict[str, Tensor], form: str) -> dict[int, int]:
    sizes = [4 << power for power in range(10)]
    found = {size: len(state[form.format(size)]) for size in sizes if form.format(size) in state}
    if not found:
        raise PickleError("it has no layers")
    return found


def transposed(value: Tensor) -> Tensor:
    """(in, out) -> (out, in); other shapes as they are."""
    return (value.t() if value.dim() == 2 else value).contiguous()


def check_arguments(arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if arguments.get(name) not in (None, value):
            raise PickleError(f"its {name} is {shown(arguments[name])}, expected {value!r}")


def number(arguments: dict[Any, Any], name: str, default: float) -> float:
    found = optional_number(arguments, name)
    return default if found is None else found


def optional_number(arguments: dict[Any, Any], name: str) -> float | None:
    value = arguments.get(name)
    if value is not None and type(value) not in (int, float):
        raise PickleError(f"its {name} is not a number")
    return None if value is None else float(value)
