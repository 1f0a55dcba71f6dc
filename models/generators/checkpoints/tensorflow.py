"""Legacy TensorFlow pickles of NVIDIA's repositories, read without TensorFlow.

A pickle is (G, D, Gs), each a Network: its arguments, its components (from StyleGAN on), and
its variables as (name, array). What the names mean: https://github.com/NVlabs/stylegan2
(training/networks_stylegan2.py); StyleGAN 1 and ProGAN are in tensorflow_older.py.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from models.generators.checkpoints.naming import conv_name, without_batch
from models.generators.checkpoints.pickles import NetworkRecord
from models.generators.checkpoints.tensorflow_legacy import number, optional_number, read_progan, read_stylegan1
from models.generators.config import GeneratorConfig, StyleGAN2Config
from models.io.pickles import ArrayRecord, PickleError, shown

MOST_VARIABLES = 4096
EXPECTED = {"architecture": "skip", "nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu",
            "resample_kernel": [1, 3, 3, 1]}  # fmt: skip
LAYER = re.compile(r"synthesis/(\d{1,4})x\1/(Conv|Conv0_up|Conv1|ToRGB)/(\w+)")
LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}
PARTS = {"weight": "weight", "bias": "bias", "mod_weight": "affine.weight", "mod_bias": "affine.bias",
         "noise_strength": "noise_strength"}  # fmt: skip


def is_tensorflow(root: Any) -> bool:
    return isinstance(root, NetworkRecord) or (
        isinstance(root, tuple) and bool(root) and all(isinstance(network, NetworkRecord) for network in root)
    )


def read_tensorflow(root: Any, most_numbers: int) -> tuple[str, GeneratorConfig, dict[str, Tensor]]:
    """The family's name, configuration and state of the averaged generator; raises PickleError or ConfigError."""
    network = root[-1] if isinstance(root, tuple) else root
    variables = table(network, "")
    if any("FromRGB" in name for name in variables):
        raise PickleError("it holds a discriminator only, which judges pictures but makes none")
    arguments = arguments_of(network)
    if network.content().get("components"):
        for name in ("mapping", "synthesis"):
            component = part(network, name)
            variables.update(table(component, f"{name}/"))
            arguments.update(arguments_of(component))
    numbers = sum(torch.Size(value.shape).numel() for value in variables.values() if isinstance(value, ArrayRecord))
    if numbers > most_numbers:
        raise PickleError(f"its arrays hold {numbers} numbers, more than the file")
    tensors = {name: as_tensor(name, value) for name, value in variables.items()}
    if any("/StyleMod/" in name for name in tensors):
        return "StyleGAN 1", *read_stylegan1(tensors, arguments)
    if "4x4/Dense/weight" in tensors:
        return "ProGAN", *read_progan(tensors, arguments)
    return "StyleGAN2", *read_stylegan2(tensors, arguments)


def read_stylegan2(variables: dict[str, Tensor], arguments: dict[str, Any]) -> tuple[StyleGAN2Config, dict[str, Tensor]]:
    for name, expected in EXPECTED.items():
        if arguments.get(name) not in (None, expected):
            raise PickleError(f"its {name} is {shown(arguments[name])}, expected {expected!r}")
    state = {}
    for name, value in variables.items():
        if name.rpartition("/")[2] != "lod":  # the training's progress
            ours, tensor = renamed(name, value)
            state[ours] = tensor
    return read_config(arguments, state), state


def arguments_of(network: NetworkRecord) -> dict[str, Any]:
    arguments = network.content().get("static_kwargs", {})
    if not isinstance(arguments, dict):
        raise PickleError("its network has no arguments")
    return dict(arguments)


def part(network: NetworkRecord, name: str) -> NetworkRecord:
    components = network.content().get("components")
    found = components.get(name) if isinstance(components, dict) else None
    if not isinstance(found, NetworkRecord):
        raise PickleError(f"its network has no {name}, so it is no StyleGAN")
    return found


def table(network: NetworkRecord, prefix: str) -> dict[str, Any]:
    variables = network.content().get("variables")
    if not isinstance(variables, list) or len(variables) > MOST_VARIABLES:
        raise PickleError("its network has no list of variables")
    if not all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in variables):
        raise PickleError("its network's variables are not names and arrays")
    return {prefix + name: value for name, value in variables}


def as_tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, ArrayRecord):
        return torch.from_numpy(value.array()).float()
    if type(value) in (int, float):
        return torch.tensor(float(value))
    raise PickleError(f"{name[:60]!r} is not an array")


def renamed(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Our name for a variable, and its value in torch's order of dimensions."""
    if name == "dlatent_avg":
        return "mapping.w_avg", value
    if match := re.fullmatch(r"mapping/(Dense(\d{1,2})|LabelEmbed)/(weight|bias)", name):
        layer = "embed" if match[2] is None else f"fc{int(match[2])}"
        return f"mapping.{layer}.{match[3]}", value.t() if match[3] == "weight" and value.dim() == 2 else value
    if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        return f"synthesis.{conv_name(int(match[1]))}.noise_const", without_batch(value, 2)
    if name == "synthesis/4x4/Const/const":
        return "synthesis.b4.const", without_batch(value, 3)
    match = LAYER.fullmatch(name)
    if not match or match[3] not in PARTS:
        raise PickleError(f"{name[:60]!r} is no part of a StyleGAN2 with skip connections")
    if match[3] == "weight" and value.dim() == 4:
        value = value.permute(3, 2, 0, 1)
        # TensorFlow's up-sampling convolution runs over the mirrored weights.
        value = value.flip((2, 3)) if match[2] == "Conv0_up" else value
    elif match[3] == "mod_weight" and value.dim() == 2:
        value = value.t()
    elif match[3] == "mod_bias":
        value = value + 1
    return f"synthesis.b{match[1]}.{LAYERS[match[2]]}.{PARTS[match[3]]}", value.contiguous()


def read_config(arguments: dict[str, Any], state: dict[str, Tensor]) -> StyleGAN2Config:
    """From the shapes, and what shapes do not tell from the arguments."""
    channels, image = {}, 0
    for size in (4 << power for power in range(10)):
        weight = state.get(f"synthesis.b{size}.torgb.weight")
        if weight is not None and weight.dim() == 4:
            image, channels[size] = weight.shape[:2]
    first, average = state.get("mapping.fc0.weight"), state.get("mapping.w_avg")
    if not channels or first is None or first.dim() != 2 or average is None:
        raise PickleError("its variables are not those of a StyleGAN2")
    if image != 3:
        raise PickleError(f"it makes pictures of {image} channels, not of red, green and blue")
    embed = state.get("mapping.embed.weight", torch.zeros(0, 0))
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in state)
    return StyleGAN2Config(
        resolution=max(channels), z_dim=first.shape[1] - len(embed), w_dim=average.numel(), c_dim=embed.shape[-1],
        mapping_layers=layers, channels=channels, mapping_lr_multiplier=number(arguments, "mapping_lrmul", 0.01),
        conv_clamp=optional_number(arguments, "conv_clamp"),
    )  # fmt: skip
