"""A StyleGAN2 of NVIDIA's of which only the numbers were saved: state_dict() of stylegan2-ada-pytorch or stylegan3.

The configuration follows from the shapes; what shapes do not tell is as the repositories have it.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from models.generators.config import StyleGAN2Config
from models.generators.layers import blur_kernel
from models.generators.rosinality import MAPPING_RATE, check_labels
from models.io.pickles import PickleError

KIND = "StyleGAN2, the numbers of NVIDIA's PyTorch network"
NOT_CLAMPED = "The file does not say whether its layers are clamped: they are not."


def read_nvidia_state(state: dict[str, Tensor]) -> tuple[StyleGAN2Config, dict[str, Tensor], list[str]]:
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
    first, average = state.get("mapping.fc0.weight"), state.get("mapping.w_avg")
    if not channels or first is None or first.dim() != 2 or average is None:
        raise PickleError("it is not the whole of a StyleGAN2")
    embed = state.get("mapping.embed.weight", torch.zeros(0, 0))
    z_dim, w_dim = first.shape[1] - len(embed), average.numel()
    check_labels(z_dim, w_dim)
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in state)
    config = StyleGAN2Config(
        resolution=max(channels), z_dim=z_dim, w_dim=w_dim, c_dim=embed.shape[-1], mapping_layers=layers,
        channels=channels, mapping_lr_multiplier=MAPPING_RATE,
    )  # fmt: skip
    return config, state, [NOT_CLAMPED]
