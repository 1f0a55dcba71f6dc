"""NVIDIA's PyTorch pickles (stylegan2-ada-pytorch, stylegan3) as configuration and state.

Everything is taken from the records of the modules themselves, not from the arguments that
they were made with, so that files of any version and of most forks fit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.generators.config import StyleGAN2Config
from models.generators.layers import blur_kernel
from models.generators.pickles import ModuleRecord, TensorRecord
from models.generators.stylegan3_config import MOST_LAYERS, LayerConfig, StyleGAN3Config
from models.io.pickles import ArrayRecord, PickleError, shown

DEEPEST = 8
MOST_TENSORS = 4096
GENERATORS = ("G_ema", "G", "Gs")


def read_nvidia(root: Any, most_numbers: int) -> tuple[str, StyleGAN2Config | StyleGAN3Config, dict[str, Tensor]]:
    """The family's name, the configuration and the state of the generator in a pickle's object.

    Raises PickleError or ConfigError, also for more than ``most_numbers`` numbers.
    """
    module = find_generator(root)
    synthesis, mapping = child(module, "synthesis"), child(module, "mapping")
    channels = whole(module, "img_channels")
    if channels != 3:
        raise PickleError(f"it makes pictures of {channels} channels, not of red, green and blue")
    state = read_state(module, most_numbers)
    if "input" in synthesis.part("_modules"):
        return "StyleGAN3", stylegan3_config(module, synthesis, mapping), state
    if "b4" in synthesis.part("_modules"):
        return "StyleGAN2", stylegan2_config(module, synthesis, mapping, state), state
    raise PickleError(f"its network {shown(synthesis.class_name)} is neither a StyleGAN2 nor a StyleGAN3")


def find_generator(root: Any) -> ModuleRecord:
    """The averaged generator of a training snapshot, or the module itself."""
    if isinstance(root, dict):
        modules = {name: value for name, value in root.items() if isinstance(value, ModuleRecord)}
        found = next((modules[name] for name in GENERATORS if name in modules), None)
        if found is None and "D" in modules:
            raise PickleError("it holds a discriminator only, which judges pictures but makes none")
        if found is None:
            raise PickleError("it holds no StyleGAN generator")
        root = found
    if not isinstance(root, ModuleRecord):
        raise PickleError("it holds no network")
    if "Discriminator" in root.class_name:
        raise PickleError(f"its network is a {shown(root.class_name)}, which judges pictures but makes none")
    if not {"synthesis", "mapping"} <= set(root.part("_modules")):
        raise PickleError(f"its network {shown(root.class_name)} has no mapping and synthesis, so it is no StyleGAN")
    return root


def read_state(module: ModuleRecord, most_numbers: int) -> dict[str, Tensor]:
    """All parameters and buffers by their full names, as float32."""
    records: dict[str, TensorRecord] = {}
    collect(module, "", records, DEEPEST)
    numbers = sum(torch.Size(record.shape).numel() for record in records.values())
    if numbers > most_numbers:  # one storage can stand behind many tensors
        raise PickleError(f"its tensors hold {numbers} numbers, more than the file")
    return {name: record.tensor() for name, record in records.items()}


def collect(module: ModuleRecord, prefix: str, records: dict[str, TensorRecord], depth: int) -> None:
    for name, value in {**module.part("_parameters"), **module.part("_buffers")}.items():
        if value is None or name == "resample_filter":  # StyleGAN2's, the same everywhere
            continue
        if not isinstance(value, TensorRecord):
            raise PickleError(f"{shown(prefix + name)} is not a tensor")
        if len(records) >= MOST_TENSORS:
            raise PickleError(f"it has more than {MOST_TENSORS} tensors")
        records[prefix + name] = value
    for name, inner in module.part("_modules").items():
        if inner is None:
            continue
        if not isinstance(inner, ModuleRecord) or not depth:
            raise PickleError(f"{shown(prefix + name)} is not a module of a StyleGAN")
        collect(inner, f"{prefix}{name}.", records, depth - 1)


def common(module: ModuleRecord, mapping: ModuleRecord) -> dict[str, Any]:
    """The configuration values that both families share."""
    first = child(mapping, "fc0")
    return {
        "resolution": whole(module, "img_resolution"),
        "img_channels": whole(module, "img_channels"),
        **{name: whole(module, name) for name in ("z_dim", "w_dim", "c_dim")},
        "mapping_layers": whole(mapping, "num_layers"),
        "mapping_lr_multiplier": number(first, "bias_gain"),
    }


def stylegan2_config(module: ModuleRecord, synthesis: ModuleRecord, mapping: ModuleRecord,
                     state: dict[str, Tensor]) -> StyleGAN2Config:
    """Also completes ``state`` for layers that were trained without noise."""
    channels, clamps = {}, set()
    sizes = {f"b{2**power}": 2**power for power in range(2, 12)}
    for name, block in synthesis.part("_modules").items():
        if not isinstance(block, ModuleRecord) or name not in sizes:
            raise PickleError(f"its synthesis has a part {shown(name)}, which StyleGAN2 has not")
        if block.state.get("architecture", "skip") != "skip":
            raise PickleError(f"its architecture is {shown(block.state['architecture'])}, expected 'skip'")
        size = sizes[name]
        weight = state.get(f"synthesis.{name}.torgb.weight", torch.zeros(1, 0))
        channels[size] = weight.shape[1] if weight.dim() > 1 else 0
        for layer_name, layer in block.part("_modules").items():
            clamps.add(optional_number(layer, "conv_clamp"))
            if layer_name != "torgb":
                check_layer(layer, f"synthesis.{name}.{layer_name}", size, state)
    if len(clamps) != 1:
        raise PickleError(f"its layers are clamped in {len(clamps)} ways")
    return StyleGAN2Config(**common(module, mapping), channels=channels, conv_clamp=clamps.pop())


def check_layer(layer: ModuleRecord, name: str, size: int, state: dict[str, Tensor]) -> None:
    """Refuses a layer that computes something else than StyleGAN2's; ``size`` is its resolution."""
    activation = layer.state.get("activation", "lrelu")
    if activation != "lrelu":
        raise PickleError(f"its activation is {shown(activation)}, expected 'lrelu'")
    kernel = layer.part("_buffers").get("resample_filter")
    if isinstance(kernel, TensorRecord):
        if kernel.shape != (4, 4) or not torch.allclose(kernel.tensor(), blur_kernel(), atol=1e-6):
            raise PickleError("its resampling filter is not [1, 3, 3, 1]")
    if layer.state.get("use_noise", True) is False:
        state.setdefault(f"{name}.noise_const", torch.zeros(size, size))
        state.setdefault(f"{name}.noise_strength", torch.zeros([]))


def stylegan3_config(module: ModuleRecord, synthesis: ModuleRecord, mapping: ModuleRecord) -> StyleGAN3Config:
    names = synthesis.state.get("layer_names")
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_LAYERS:
        raise PickleError("its synthesis has no list of layers")
    source = child(synthesis, "input")
    layers = [layer_config(child(synthesis, name)) for name in names]
    for index, (name, layer) in enumerate(zip(names, layers)):
        if name != layer.name(index):
            raise PickleError(f"its layer {shown(name)} should be {layer.name(index)}")
    return StyleGAN3Config(
        **common(module, mapping), input_channels=whole(source, "channels"), input_size=side(source, "size"),
        sampling_rate=number(source, "sampling_rate"), bandwidth=number(source, "bandwidth"),
        output_scale=number(synthesis, "output_scale"), layers=tuple(layers),
    )  # fmt: skip


def layer_config(layer: ModuleRecord) -> LayerConfig:
    padding = layer.state.get("padding")
    counts = {"in_channels": "in_channels", "out_channels": "out_channels", "kernel": "conv_kernel",
              "up": "up_factor", "down": "down_factor", "up_taps": "up_taps", "down_taps": "down_taps"}  # fmt: skip
    return LayerConfig(
        **{name: whole(layer, theirs) for name, theirs in counts.items()},
        in_size=side(layer, "in_size"), out_size=side(layer, "out_size"),
        down_radial=switch(layer, "down_radial"), to_rgb=switch(layer, "is_torgb"),
        padding=tuple(padding) if isinstance(padding, list) else (),
        conv_clamp=optional_number(layer, "conv_clamp"),
    )  # fmt: skip


def child(module: ModuleRecord, name: Any) -> ModuleRecord:
    inner = module.part("_modules").get(name) if isinstance(name, str) else None
    if not isinstance(inner, ModuleRecord):
        raise PickleError(f"its {shown(module.class_name)} has no {shown(name)}")
    return inner


def number(module: ModuleRecord, name: str) -> float:
    value = module.state.get(name)
    if type(value) not in (int, float) or value != value or abs(value) > 1e9:
        raise PickleError(f"its {shown(module.class_name)} has no usable {name}")
    return float(value)


def optional_number(module: Any, name: str) -> float | None:
    if not isinstance(module, ModuleRecord):
        raise PickleError("its synthesis holds something that is not a module")
    return None if module.state.get(name) is None else number(module, name)


def whole(module: ModuleRecord, name: str) -> int:
    value = number(module, name)
    if value != int(value):
        raise PickleError(f"its {shown(module.class_name)} has {value} as {name}")
    return int(value)


def switch(module: ModuleRecord, name: str) -> bool:
    value = module.state.get(name)
    if type(value) is not bool:
        raise PickleError(f"its {shown(module.class_name)} has no usable {name}")
    return value


def side(module: ModuleRecord, name: str) -> int:
    """The side of a square, given as a number or as numpy's [width, height]."""
    value = module.state.get(name)
    if not isinstance(value, ArrayRecord):
        return whole(module, name)
    if value.shape != (2,) or len(set(value.array().tolist())) != 1:
        raise PickleError(f"its {shown(module.class_name)} is not square")
    return int(value.array()[0])
