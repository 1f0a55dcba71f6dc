"""A network of NVIDIA's of which only the numbers were saved: state_dict() of stylegan2-ada-pytorch or stylegan3.

The configuration follows from names and shapes; what they do not tell is as the repositories have it.
"""

from __future__ import annotations

import re
from typing import TypedDict

import torch
from torch import Tensor

from models.generators.checkpoints.naming import MAPPING_RATE, check_labels
from models.generators.config import StyleGAN2Config
from models.generators.layers import blur_kernel
from models.generators.stylegan3_config import MOST_LAYERS, LayerConfig, StyleGAN3Config
from models.io.pickles import PickleError

KIND2, KIND3 = (f"StyleGAN{version}, the numbers of NVIDIA's PyTorch network" for version in (2, 3))
LAYER = re.compile(r"synthesis\.(L(\d{1,2})_(\d{1,4})_(\d{1,4}))\.weight")
TAPS = 6  # of a filter for each step of the rate
MARGIN = 10  # pixels that a StyleGAN3's layers have beyond the picture on each side, but for the last ones
BANDWIDTH, OUTPUT_SCALE, CLAMP = 2.0, 0.25, 256.0  # of a StyleGAN3: stylegan3's defaults, which all its files have
AS_PUBLISHED = "The file does not say its input's bandwidth, its clamp and its scale: they are as NVIDIA's networks have them."
NOT_CLAMPED = "The file does not say whether its layers are clamped: they are not."


def read_stylegan2_state(state: dict[str, Tensor]) -> tuple[StyleGAN2Config, dict[str, Tensor], list[str]]:
    """Configuration, state and notes; raises PickleError or ConfigError."""
    for name in [name for name in state if name.endswith("resample_filter")]:
        kernel = state.pop(name)
        if kernel.shape != (4, 4) or not torch.allclose(kernel, blur_kernel(), atol=1e-6):
            raise PickleError("its resampling filter is not [1, 3, 3, 1]")
    if any(re.search(r"^synthesis\.b\d+\.skip\.", name) for name in state):
        raise PickleError("its architecture is 'resnet', expected 'skip'")
    channels = {}
    for size in (4 << power for power in range(10)):
        weight = state.get(f"synthesis.b{size}.torgb.weight")
        if weight is not None and weight.dim() == 4:
            channels[size] = weight.shape[1]
    if not channels:
        raise PickleError("it is not the whole of a StyleGAN2")
    config = StyleGAN2Config(resolution=max(channels), channels=channels, **mapping_of(state))
    return config, state, [NOT_CLAMPED]


class MappingSizes(TypedDict):
    """The part of a configuration that is the same for StyleGAN2 and 3."""

    z_dim: int
    w_dim: int
    c_dim: int
    mapping_layers: int
    mapping_lr_multiplier: float


def mapping_of(state: dict[str, Tensor]) -> MappingSizes:
    """The part of a configuration that the mapping network tells."""
    first, average = state.get("mapping.fc0.weight"), state.get("mapping.w_avg")
    if first is None or first.dim() != 2 or average is None:
        raise PickleError("it is not the whole of a StyleGAN: its mapping network is missing")
    embed = state.get("mapping.embed.weight", torch.zeros(0, 0))
    z_dim, w_dim = first.shape[1] - len(embed), average.numel()
    check_labels(z_dim, w_dim)
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in state)
    return {"z_dim": z_dim, "w_dim": w_dim, "c_dim": embed.shape[-1], "mapping_layers": layers,
            "mapping_lr_multiplier": MAPPING_RATE}  # fmt: skip


def read_stylegan3_state(state: dict[str, Tensor]) -> tuple[StyleGAN3Config, dict[str, Tensor], list[str]]:
    """Configuration, state and notes of a StyleGAN3; raises PickleError or ConfigError."""
    names = sorted((match for match in map(LAYER.fullmatch, state) if match), key=lambda match: int(match[2]))
    if not 2 <= len(names) <= MOST_LAYERS:
        raise PickleError("it is not the whole of a StyleGAN3: its layers are missing")
    sizes = [int(match[3]) for match in names]
    rates = [sampling_rate(size) for size in sizes]
    layers = [layer_of(state, match[1], sizes[max(index - 1, 0)], size, rates[max(index - 1, 0)], rates[index],
                       to_rgb=index == len(names) - 1)
              for index, (match, size) in enumerate(zip(names, sizes, strict=False))]  # fmt: skip
    config = StyleGAN3Config(
        resolution=sizes[-1], img_channels=int(names[-1][4]), input_channels=layers[0].in_channels, input_size=sizes[0],
        sampling_rate=float(rates[0]), bandwidth=BANDWIDTH, output_scale=OUTPUT_SCALE, layers=tuple(layers),
        **mapping_of(state),
    )  # fmt: skip
    return config, state, [AS_PUBLISHED]


def sampling_rate(size: int) -> int:
    """Samples for the width of the picture in a layer of ``size``: a power of two, without or with the margin."""
    for rate in (size, size - 2 * MARGIN):
        if rate > 0 and rate & (rate - 1) == 0:
            return rate
    raise PickleError(f"its layers of {size} pixels are not a StyleGAN3's as published")


def layer_of(state: dict[str, Tensor], name: str, in_size: int, out_size: int, in_rate: int, out_rate: int, to_rgb: bool) -> LayerConfig:
    """A layer from its weight, its filters and its neighbours' sizes (Karras et al. 2021, appendix)."""
    weight = state[f"synthesis.{name}.weight"]
    if weight.dim() != 4:
        raise PickleError(f"its {name} is no convolution")
    middle = max(in_rate, out_rate) * (1 if to_rgb else 2)
    up, down, kernel = middle // in_rate, middle // out_rate, weight.shape[2]
    up_taps, down_taps = (TAPS * factor if factor > 1 and not to_rgb else 1 for factor in (up, down))
    filters = [state.get(f"synthesis.{name}.{way}_filter", torch.zeros(1)) for way in ("up", "down")]
    if [len(values) if values.dim() else 0 for values in filters] != [up_taps, down_taps]:
        raise PickleError(f"the filters of its {name} are not a StyleGAN3's as published")
    total = (out_size - 1) * down + 1 - (in_size + kernel - 1) * up + up_taps + down_taps - 2
    low = (total + up) // 2
    return LayerConfig(
        in_channels=weight.shape[1], out_channels=weight.shape[0], in_size=in_size, out_size=out_size, kernel=kernel,
        up=up, down=down, up_taps=up_taps, down_taps=down_taps, down_radial=filters[1].dim() == 2,
        padding=(low, total - low) * 2, to_rgb=to_rgb, conv_clamp=CLAMP,
    )  # fmt: skip
