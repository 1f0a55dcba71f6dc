"""The StyleGAN3 synthesis network, configurations T and R.

Formulas: Karras et al., "Alias-Free Generative Adversarial Networks" (2021), sections 3 and
appendix F. Module and parameter names follow NVIDIA's stylegan3, so that the state of an
official checkpoint fits name by name; filters are part of the state, as they are there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.generators.filtered_lrelu import filtered_leaky_relu, modulated_convolution, sine
from models.generators.layers import FullyConnectedLayer
from models.generators.noise import check_noise
from models.generators.stylegan3_config import LayerConfig, StyleGAN3Config


class SynthesisInput(nn.Module):
    """Fourier features that w turns and shifts: w (N, w_dim) -> (N, channels, size, size).

    ``transform`` (3, 3) is the user's: the inverse of what shall happen to the picture, in
    units of its width, x to the right and y down.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        channels = config.input_channels
        self.size, self.sampling_rate, self.bandwidth = config.input_size, config.sampling_rate, config.bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnectedLayer(config.w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.randn(channels, 2) * config.bandwidth / 2)
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def placement(self, w: Tensor) -> Tensor:
        """(N, 3, 3): the learned rotation and translation, then the user's transform."""
        t = self.affine(w)
        cosine, sin, x, y = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        rotation = torch.stack((cosine, -sin, zero, sin, cosine, zero, zero, zero, one), 1).view(-1, 3, 3)
        translation = torch.stack((one, zero, -x, zero, one, -y, zero, zero, one), 1).view(-1, 3, 3)
        return rotation @ translation @ self.transform

    def forward(self, w: Tensor) -> Tensor:
        placement = self.placement(w)
        phases = self.phases + (self.freqs @ placement[:, :2, 2:]).squeeze(2)  # (N, C)
        freqs = self.freqs @ placement[:, :2, :2]  # (N, C, 2)
        # A transform that shrinks the picture raises frequencies: fade out what cannot be sampled.
        room = self.sampling_rate / 2 - self.bandwidth
        amplitudes = (1 - (freqs.norm(dim=2) - self.bandwidth) / room).clamp(0, 1)
        # Sample positions in units of the picture's width, 0 at the centre.
        steps = (torch.arange(self.size, device=w.device) + 0.5 - self.size / 2) / self.sampling_rate
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        grid = torch.stack((x, y), dim=2)  # (H, W, 2)
        turns = torch.einsum("hwd,ncd->nhwc", grid, freqs) + phases[:, None, None]
        features = sine(turns) * amplitudes[:, None, None]
        return (features @ (self.weight / math.sqrt(len(self.weight))).t()).permute(0, 3, 1, 2)


class FilteredLayer(nn.Module):
    """x (N, I, in, in), w (N, w_dim) -> (N, O, out, out)."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, w_dim: int, config: LayerConfig):
        super().__init__()
        self.config = config
        shape = (config.out_channels, config.in_channels, config.kernel, config.kernel)
        self.affine = FullyConnectedLayer(w_dim, config.in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(config.out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", box(config.up_taps, False))
        self.register_buffer("down_filter", box(config.down_taps, config.down_radial))

    def forward(self, x: Tensor, w: Tensor, dtype: torch.dtype) -> Tensor:
        config = self.config
        styles = self.affine(w)
        if config.to_rgb:
            styles = styles / math.sqrt(config.in_channels * config.kernel**2)
        gain = self.magnitude_ema.rsqrt()
        x = modulated_convolution(x, self.weight, styles, gain, not config.to_rgb, dtype)
        return filtered_leaky_relu(
            x, self.bias, self.up_filter, self.down_filter, config.up, config.down, config.padding, config.conv_clamp, linear=config.to_rgb
        )


def box(taps: int, radial: bool) -> Tensor | None:
    """A filter of the right shape until the real one is loaded: None for one tap."""
    if taps == 1:
        return None
    shape = (taps, taps) if radial else (taps,)
    return torch.full(shape, 1.0 / math.prod(shape))


class SynthesisNetwork(nn.Module):
    """w (N, num_ws, w_dim) -> picture float32 (N, 3, R, R) in [-1, 1]; the first w places the features."""

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.num_ws = config.num_ws
        self.output_scale = config.output_scale
        self.dtype = torch.float32
        self.input = SynthesisInput(config)
        self.layer_names = [layer.name(index) for index, layer in enumerate(config.layers)]
        for name, layer in zip(self.layer_names, config.layers, strict=True):
            setattr(self, name, FilteredLayer(config.w_dim, layer))

    noise_sizes: tuple[int, ...] = ()

    def raw(self, ws: Tensor, noise: str = "const", seed: int | None = None) -> Tensor:
        """The picture; ``noise`` is only checked, for this network draws none."""
        check_noise(noise)
        first, *others = ws.float().unbind(1)
        x = self.input(first)
        for name, w in zip(self.layer_names, others, strict=True):
            x = getattr(self, name)(x, w, self.dtype)
        return x * self.output_scale

    forward = raw
