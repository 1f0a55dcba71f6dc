"""StyleGAN3 on a processor: torch's convolutions, and the filtered activation in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.generators.bias_act import LEAK
from models.generators.engines.convolution import Convolution, array, padded, whole
from models.generators.engines.kernels import BAND, CHUNK, STRIP, TAPS, filter_tiles, parts
from models.generators.engines.scheduler import WorkerSlot
from models.generators.filtered_lrelu import downsample, upsample
from models.generators.layers import GAIN
from models.generators.roi import Box
from models.generators.stylegan3 import FilteredLayer, SynthesisNetwork

UNLIMITED = 3e38


class Layer:
    """One layer of StyleGAN3, prepared."""

    def __init__(self, layer: FilteredLayer, dtype: torch.dtype):
        self.layer, self.config = layer, layer.config
        weight = layer.weight.detach()
        self.to_rgb, self.size = layer.config.to_rgb, layer.config.out_size
        self.channels = whole(len(weight), CHUNK)
        if not self.to_rgb:
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        self.energy = weight.square().sum((2, 3))
        self.convolve = Convolution(weight, (layer.config.kernel - 1,) * 2, dtype, CHUNK)
        self.gain = layer.magnitude_ema.rsqrt()
        self.fused = fits(layer)
        if layer.up_filter is not None and layer.down_filter is not None and self.fused:
            self.prepare_filters(layer, layer.up_filter, layer.down_filter)

    def prepare_filters(self, layer: FilteredLayer, up: Tensor, down: Tensor) -> None:
        config = layer.config
        clamp = UNLIMITED if config.conv_clamp is None else config.conv_clamp
        self.settings = np.array([LEAK, clamp], np.float32)
        self.bias = array(padded(layer.bias.detach() * GAIN, self.channels))
        self.up_taps = array((up * config.up).view(TAPS, config.up).t().contiguous())
        self.down_taps = array(down.flip(tuple(range(down.dim()))).contiguous())
        left, _, top, _ = config.padding
        self.geometry = np.array([top - (config.up_taps - 1), left - (config.up_taps - 1)])

    def style(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """w (w_dim,) -> what scales the input (I,) and the convolution's result (O,)."""
        style = self.layer.affine(w[None])[0]
        if self.to_rgb:
            return style / math.sqrt(self.layer.weight[0].numel()), self.gain.expand(len(self.energy))
        style = style * style.square().mean().rsqrt()
        return style, self.gain * (self.energy @ style.square() + 1e-8).rsqrt()

    def filter(self, x: Tensor, scale: Tensor, after: Tensor, out: Tensor, slot: WorkerSlot) -> None:
        """x (H, W, C), the convolution's result -> out (h, w, C), the next one's input."""
        if not self.fused:
            self.filter_plainly(x, scale, after, out)
            return
        vectors = (array(padded(scale * GAIN, self.channels)), self.bias, array(padded(after, self.channels)))
        rows, columns = out.shape[:2]
        tiles = parts(rows, BAND) * parts(columns, STRIP) * (self.channels // CHUNK)
        slot.share(filter_tiles, (array(x), *vectors, self.up_taps, self.down_taps, self.geometry, self.settings,
                             array(out)), tiles, out.numel())  # fmt: skip

    def filter_plainly(self, x: Tensor, scale: Tensor, after: Tensor, out: Tensor) -> None:
        """The same for filters that the kernel is not made for."""
        layer, config = self.layer, self.config
        count = len(scale)
        y = (x[:, :, :count].float() * scale + layer.bias).permute(2, 0, 1)[None]
        y = upsample(y, layer.up_filter, config.up, config.padding)
        y = y if self.to_rgb else torch.nn.functional.leaky_relu(y, LEAK) * GAIN
        y = y if config.conv_clamp is None else y.clamp(-config.conv_clamp, config.conv_clamp)
        y = downsample(y, layer.down_filter, config.down)[0].permute(1, 2, 0)
        out[:, :, :count] = y * after
        out[:, :, count:] = 0


def fits(layer: FilteredLayer) -> bool:
    """Whether the kernel computes this layer: NVIDIA's own filters do, a fork's may not."""
    config = layer.config
    up = config.up in (2, 4) and config.up_taps == TAPS * config.up
    return up and config.down == 2 and config.down_taps == 2 * TAPS


class FusedStyleGAN3:
    """The synthesis network of ``network`` in ``dtype`` (float32 or bfloat16); one picture at a time in each slot."""

    def __init__(self, network: SynthesisNetwork, dtype: torch.dtype):
        self.network, self.dtype = network, dtype
        self.noise_sizes: tuple[int, ...] = ()
        self.layers = [Layer(getattr(network, name), dtype) for name in network.layer_names]
        self.shape = (3, self.layers[-1].size, self.layers[-1].size)
        self.scratch: dict[int, Tensor] = {}

    def raw(self, w: Tensor, noises: Sequence[Tensor | str], box: Box | None, slot: WorkerSlot) -> Tensor:
        """w (num_ws, w_dim) -> (3, R, R) float32; there is no noise. Always the whole picture."""
        styles = [layer.style(code) for layer, code in zip(self.layers, w[1:], strict=False)]
        features = self.network.input(w[:1])[0].permute(1, 2, 0)
        x = features.new_zeros(*features.shape[:2], whole(features.shape[2], CHUNK), dtype=self.dtype)
        x[:, :, : features.shape[2]] = features * styles[0][0]
        for index, layer in enumerate(self.layers):
            last = index + 1 == len(self.layers)
            after = torch.ones(layer.config.out_channels) if last else styles[index + 1][0]
            out = self.scratch_buffer(slot, index, layer)
            layer.filter(layer.convolve(x), styles[index][1], after, out, slot)
            x = out
        return x[:, :, : layer.config.out_channels].permute(2, 0, 1).float() * self.network.output_scale

    def scratch_buffer(self, slot: WorkerSlot, index: int, layer: Layer) -> Tensor:
        """Where layer ``index`` puts its result: (size, size, channels)."""
        if slot.index not in self.scratch:
            most = max(layer.size**2 * layer.channels for layer in self.layers)
            with torch.inference_mode(False):  # also those who call without it write there
                self.scratch[slot.index] = torch.empty(2, most, dtype=self.dtype)
        return self.scratch[slot.index][index % 2, : layer.size**2 * layer.channels].view(layer.size, layer.size, layer.channels)
