"""Leaky ReLU between two changes of sampling rate, as StyleGAN3 needs it against aliasing.

Karras et al., "Alias-Free Generative Adversarial Networks" (2021), section 3.2. This is the
plain and exact path: each output is the sum that zero insertion, padding, convolution and
decimation define, without the products with inserted zeros.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.generators.bias_act import LEAK
from models.generators.layers import GAIN

ROWS, COLUMNS = 2, 3


def upsample_axis(x: Tensor, taps: Tensor, up: int, before: int, after: int, axis: int) -> Tensor:
    """Insert up - 1 zeros after each sample along ``axis``, pad, convolve with ``taps`` (k,), valid part.

    Negative padding crops. x (N, C, H, W).
    """
    shape, stride = ((-1, 1), (up, 1)) if axis == ROWS else ((1, -1), (1, up))
    # The transposed convolution is the full one; the valid part begins k - 1 samples later.
    full = F.conv_transpose2d(x, depthwise(taps.reshape(shape), x), stride=stride, groups=x.shape[1])
    low, high = before - (len(taps) - 1), after - (len(taps) - 1) + up - 1
    return F.pad(full, (0, 0, low, high) if axis == ROWS else (low, high, 0, 0))


def depthwise(kernel: Tensor, x: Tensor) -> Tensor:
    """The kernel (h, w) once for every channel of ``x``: (C, 1, h, w)."""
    return kernel.expand(x.shape[1], 1, *kernel.shape)


def upsample(x: Tensor, taps: Tensor | None, up: int, padding: tuple[int, int, int, int]) -> Tensor:
    """To ``up`` times the rate; ``padding`` (left, right, top, bottom) counts in the new rate."""
    left, right, top, bottom = padding
    if taps is None:
        if up != 1:
            raise ValueError("a change of rate needs a filter")
        return F.pad(x, padding)
    taps = taps * up
    x = upsample_axis(x, taps, up, left, right, COLUMNS)
    return upsample_axis(x, taps, up, top, bottom, ROWS)


def downsample(x: Tensor, taps: Tensor | None, down: int) -> Tensor:
    """Convolve with ``taps``, (k,) separable or (k, k), valid part, and keep every ``down``-th sample."""
    if taps is None:
        return x[:, :, ::down, ::down]
    channels = x.shape[1]
    # torch correlates: the filter is mirrored.
    if taps.dim() == 2:
        return F.conv2d(x, depthwise(taps.flip((0, 1)), x), stride=down, groups=channels)
    taps = taps.flip(0)
    x = F.conv2d(x, depthwise(taps[None], x), stride=(1, down), groups=channels)
    return F.conv2d(x, depthwise(taps[:, None], x), stride=(down, 1), groups=channels)


def filtered_leaky_relu(
    x: Tensor,
    bias: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    up: int,
    down: int,
    padding: tuple[int, int, int, int],
    clamp: float | None,
    linear: bool = False,
) -> Tensor:
    """x (N, C, H, W) + bias (C,), up, leaky ReLU times sqrt(2) limited to +-clamp, down.

    ``linear`` (toRGB) leaves out the leaky ReLU and its gain.
    """
    x = upsample(x + bias[None, :, None, None], up_filter, up, padding)
    if not linear:
        x = F.leaky_relu(x, LEAK) * GAIN
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return downsample(x, down_filter, down)


def modulated_convolution(x: Tensor, weight: Tensor, styles: Tensor, gain: Tensor, demodulate: bool, dtype: torch.dtype) -> Tensor:
    """Convolution with full padding, weights (O, I, k, k) scaled by styles (N, I), then by ``gain``.

    Weights and styles are brought to mean square 1 before demodulation (appendix C.1), which
    changes nothing but keeps half precision in range. Scales sit on activations, so that a
    batch shares one convolution. float32 in and out; the convolution itself is in ``dtype``.
    """
    after = gain.reshape(1, 1, 1, 1)
    if demodulate:
        weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        styles = styles * styles.square().mean(1, keepdim=True).rsqrt()
        energy = styles.square() @ weight.square().sum((2, 3)).t()
        after = after * (energy + 1e-8).rsqrt()[:, :, None, None]
    x = (x * styles[:, :, None, None]).to(dtype)
    return F.conv2d(x, weight.to(dtype), padding=weight.shape[-1] - 1).float() * after


def sine(turns: Tensor) -> Tensor:
    """sin of an angle in whole turns."""
    return torch.sin(turns * (2 * math.pi))
