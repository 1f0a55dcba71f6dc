"""Writes checkpoints in the format of NVIDIA's PyTorch pickles, for the tests.

The names that such a pickle holds are registered as empty modules while it is written: the
format needs no more of NVIDIA's code than its names.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch

from models.generators import Generator
from models.generators.stylegan3_config import LayerConfig, StyleGAN3Config

TRIPWIRE = "import pathlib, tempfile\npathlib.Path(tempfile.gettempdir(), 'checkpoint-source-was-executed').touch()\n"


def _reconstruct_persistent_obj(meta):
    raise AssertionError("only its name is written")


class EasyDict(dict):
    """dnnlib's dictionary, by name."""


class Network:
    """A network of the TensorFlow repositories: what ``state`` holds."""

    def __init__(self, **state):
        self.__dict__.update(state)


class OldNetwork(Network):
    """A network of the ProGAN repository."""


class Module:
    """One module: its class's name, parameters, buffers, modules and attributes."""

    def __init__(self, class_name: str, parameters=None, buffers=None, modules=None, **attributes):
        self.class_name = class_name
        self.state = {
            "training": False, "_parameters": parameters or {}, "_buffers": buffers or {},
            "_non_persistent_buffers_set": set(), "_modules": modules or {}, **attributes,
        }  # fmt: skip

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": TRIPWIRE, "class_name": self.class_name,
                "state": self.state}  # fmt: skip
        return _reconstruct_persistent_obj, (meta,)

    def find(self, path: str) -> Module:
        """The module at a dotted path."""
        found = self
        for name in path.split("."):
            found = found.state["_modules"][name]
        return found


@contextmanager
def official_names():
    """Within: the names of NVIDIA's repositories can be written into a pickle."""
    names = {"torch_utils": {}, "torch_utils.persistence": {"f": _reconstruct_persistent_obj},
             "dnnlib": {}, "dnnlib.util": {"c": EasyDict}, "dnnlib.tflib": {},
             "dnnlib.tflib.network": {"n": Network}, "tfutil": {"n": OldNetwork}}  # fmt: skip
    before = {name: sys.modules.get(name) for name in names}
    OldNetwork.__name__ = OldNetwork.__qualname__ = "Network"
    for name, values in names.items():
        sys.modules[name] = ModuleType(name)
        for value in values.values():
            value.__module__ = name
            setattr(sys.modules[name], value.__name__, value)
    try:
        yield
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def dumps(value: Any, protocol: int = 4) -> bytes:
    stream = io.BytesIO()
    with official_names():
        pickle.dump(value, stream, protocol)
    return stream.getvalue()


def snapshot(generator: Module | None, **others: Any) -> dict[str, Any]:
    """What a training run saves."""
    return {"G": None, "D": None, "G_ema": generator, "augment_pipe": None,
            "training_set_kwargs": EasyDict(path="faces.zip"), **others}  # fmt: skip


def tree(module: torch.nn.Module, attributes) -> Module:
    """A torch module with all inside of it; ``attributes(module)`` gives its other attributes."""
    return Module(
        type(module).__name__,
        dict(module._parameters),
        dict(module._buffers),
        {name: tree(inner, attributes) for name, inner in module._modules.items()},
        **attributes(module),
    )


def official(generator: Generator) -> Module:
    """Our generator as the official module."""
    config = generator.config

    def attributes(module: torch.nn.Module) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if module is generator:
            values = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim,
                      "img_resolution": config.resolution, "img_channels": config.img_channels}  # fmt: skip
        elif module is generator.mapping:
            values = {"num_layers": config.mapping_layers}
        elif module is generator.synthesis and isinstance(config, StyleGAN3Config):
            values = {"layer_names": module.layer_names, "output_scale": config.output_scale}
        elif hasattr(module, "bias_gain"):
            values = {"bias_gain": module.bias_gain, "weight_gain": np.float64(module.weight_gain)}
        elif isinstance(getattr(module, "config", None), LayerConfig):
            values = layer_attributes(module.config)
        elif hasattr(module, "bandwidth"):
            values = {"channels": len(module.freqs), "size": np.array([module.size] * 2),
                      "sampling_rate": np.float64(module.sampling_rate), "bandwidth": module.bandwidth}  # fmt: skip
        elif hasattr(module, "clamp"):
            values = {"conv_clamp": module.clamp, "activation": "lrelu", "use_noise": True}
        return values

    return tree(generator, attributes)


def layer_attributes(layer: LayerConfig) -> dict[str, Any]:
    sizes = {name: np.broadcast_to(np.asarray(getattr(layer, name)), [2]) for name in ("in_size", "out_size")}
    return {"is_torgb": layer.to_rgb, "in_channels": layer.in_channels, "out_channels": layer.out_channels,
            "conv_kernel": layer.kernel, "up_factor": layer.up, "down_factor": layer.down,
            "up_taps": layer.up_taps, "down_taps": layer.down_taps, "down_radial": layer.down_radial,
            "padding": list(layer.padding), "conv_clamp": layer.conv_clamp, **sizes}  # fmt: skip


def stylegan3_layer(inputs, outputs, in_size, out_size, in_rate, out_rate, kernel, radial, to_rgb=False) -> LayerConfig:
    """Factors, taps and padding as the paper's appendix lays them out (filters of 6 times the rate)."""
    middle = max(in_rate, out_rate) * (1 if to_rgb else 2)
    up, down = middle // in_rate, middle // out_rate
    kernel = 1 if to_rgb else kernel
    up_taps = 6 * up if up > 1 and not to_rgb else 1
    down_taps = 6 * down if down > 1 and not to_rgb else 1
    total = (out_size - 1) * down + 1 - (in_size + kernel - 1) * up + up_taps + down_taps - 2
    low = (total + up) // 2
    return LayerConfig(inputs, outputs, in_size, out_size, kernel, up, down, up_taps, down_taps,
                       radial and down_taps > 1, (low, total - low) * 2, to_rgb, 256.0)  # fmt: skip


def stylegan3_config(kernel: int = 1, radial: bool = True, c_dim: int = 0) -> StyleGAN3Config:
    """A small network with each kind of layer: same rate, twice the rate, critical, toRGB."""
    layers = (
        stylegan3_layer(8, 8, 36, 36, 16, 16, kernel, radial),
        stylegan3_layer(8, 6, 36, 52, 16, 32, kernel, radial),
        stylegan3_layer(6, 5, 52, 32, 32, 32, kernel, False),
        stylegan3_layer(5, 3, 32, 32, 32, 32, kernel, False, to_rgb=True),
    )
    return StyleGAN3Config(resolution=32, z_dim=10, w_dim=12, c_dim=c_dim, img_channels=3, mapping_layers=2,
                           mapping_lr_multiplier=0.01, input_channels=8, input_size=36, sampling_rate=16.0,
                           bandwidth=2.0, output_scale=0.25, layers=layers)  # fmt: skip


def lively(generator: Generator, seed: int = 5) -> Generator:
    """Every value matters: biases, noise, averages, filters that are not symmetric."""
    draw = torch.Generator().manual_seed(seed)
    for name, value in generator.state_dict().items():
        if name.endswith(("noise_strength", "bias", "w_avg", "affine.weight")):
            value += torch.randn(value.shape, generator=draw) * 0.3
        elif name.endswith("magnitude_ema"):
            value.fill_(1.7)
        elif name.endswith("_filter"):
            value.copy_(torch.rand(value.shape, generator=draw) / math.sqrt(value.numel()))
    return generator.eval().requires_grad_(False)
