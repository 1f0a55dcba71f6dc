"""NVIDIA's PyTorch pickles (stylegan2-ada-pytorch, stylegan3) as configuration and state.

Everything is taken from the records of the modules themselves, not from the arguments that
they were made with, so that files of any version and of most forks fit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.generators.checkpoints.pickles import ModuleRecord, TensorRecord
from models.generators.checkpoints.states import parameters_of, tensors_of
from models.generators.config import StyleGAN2Config
from models.generators.layers import blur_kernel
from models.generators.stylegan3_config import MOST_LAYERS, LayerConfig, StyleGAN3Config
from models.io.pickles import ArrayRecord, PickleError, shown


def is_nvidia(module: ModuleRecord) -> bool:
    return {"synthesis", "mapping"} <= set(module.part("_modules"))


def read_nvidia(module: ModuleRecord, most_numbers: int) -> tuple[str, StyleGAN2Config | StyleGAN3Config, dict[str, Tensor]]:
    """The family's name, the configuration and the state of a whole generator for which ``is_nvidia``.

    Raises PickleError or ConfigError, also for more than ``most_numbers`` numbers.
    """
    synthesis, mapping = child(module, "synthesis"), child(module, "mapping")
    channels = whole(module, "img_channels")
    if channels != 3:
        raise PickleError(f"it makes pictures of {channels} channels, not of red, green and blue")
    records = {name: record for name, record in parameters_of(module).items() if not name.endswith("resample_filter")}
    state = tensors_of(records, most_numbers)
    if "input" in synthesis.part("_modules"):
        return "StyleGAN3", stylegan3_config(module, synthesis, mapping), state
    if "b4" in synthesis.part("_modules"):
        return "StyleGAN2", stylegan2_config(module, synthesis, mapping, state), state
    raise PickleError(f"its network {shown(synthesis.class_name)} is neither a StyleGAN2 nor a StyleGAN3")


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


def stylegan2_config(module: ModuleRecord, synthesis: ModuleRecord, mapping: ModuleRecord, state: dict[str, Tensor]) -> StyleGAN2Config:
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


def is_blur(kernel: TensorRecord) -> bool:
    """Whether a resampling filter is the one that our layers use."""
    return kernel.shape == (4, 4) and torch.allclose(kernel.tensor(), blur_kernel(), atol=1e-6)


def check_layer(layer: ModuleRecord, name: str, size: int, state: dict[str, Tensor]) -> None:
    """Refuses a layer that computes something else than StyleGAN2's; ``size`` is its resolution."""
    activation = layer.state.get("activation", "lrelu")
    if activation != "lrelu":
        raise PickleError(f"its activation is {shown(activation)}, expected 'lrelu'")
    kernel = layer.part("_buffers").get("resample_filter")
    if isinstance(kernel, TensorRecord) and not is_blur(kernel):
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
    for index, (name, layer) in enumerate(zip(names, layers, strict=True)):
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
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value or abs(value) > 1e9:
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
