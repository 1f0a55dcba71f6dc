"""Convolutions as the fused engine runs them: channels last, channels padded, weights packed."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.generators.cpu import packs_weights


def whole(channels: int, unit: int) -> int:
    """The next multiple of ``unit``."""
    return -(-channels // unit) * unit


def padded(values: Tensor, *sizes: int) -> Tensor:
    """``values`` with zeros after them, so that their first dimensions have ``sizes``."""
    result = values.new_zeros(*sizes, *values.shape[len(sizes) :])
    result[tuple(slice(0, size) for size in values.shape[: len(sizes)])] = values
    return result


class Convolution:
    """A convolution of one picture at stride 1: weight (O, I, h, w), zeros ``padding`` (rows, columns) around.

    O and I are padded to multiples of ``unit``.
    """

    def __init__(self, weight: Tensor, padding: tuple[int, int], dtype: torch.dtype, unit: int):
        weight = padded(weight.detach(), whole(len(weight), unit), whole(weight.shape[1], unit))
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.padding, self.packs = list(padding), packs_weights(dtype)
        self.packed: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """x (H, W, I) -> (h, w, O), contiguous."""
        x = x.permute(2, 0, 1)[None]
        return self.run(x).contiguous(memory_format=torch.channels_last)[0].permute(1, 2, 0)

    def run(self, x: Tensor) -> Tensor:
        # Packed once, oneDNN need not bring the weights into its own order for each picture.
        if not self.packs:
            return F.conv2d(x, self.weight, padding=self.padding)
        if self.packed is None:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self.packed = pack(self.weight, self.padding, [1, 1], [1, 1], 1, list(x.shape))
        return torch.ops.mkldnn._convolution_pointwise(x, self.packed, None, self.padding, [1, 1], [1, 1], 1, "none", [], "")


def array(values: Tensor) -> np.ndarray:
    """A contiguous tensor as the array that kernels take: bfloat16 as uint16."""
    values = values.detach()
    return (values.view(torch.uint16) if values.dtype == torch.bfloat16 else values).numpy()
