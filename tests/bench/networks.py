"""The published StyleGAN networks with random weights: their sizes, layers and filters.

Sizes as in NVIDIA's stylegan2-ada-pytorch (paper256 and stylegan2) and stylegan3 (stylegan3-t
and stylegan3-r); the layers of StyleGAN3 and its filters by Karras et al., "Alias-Free
Generative Adversarial Networks" (2021), section 3 and appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from models.generators import Generator
from models.generators.config import StyleGAN2Config
from models.generators.stylegan3_config import LayerConfig, StyleGAN3Config
from models.rigging import Controls, Rig
from models.rigging.guided_renderer import plan_head

STUDIO = Path(__file__).resolve().parents[2] / "models" / "weights" / "stylerig-generator.safetensors"
LAYERS, CRITICAL, MARGIN, TAPS = 14, 2, 10, 6
FIRST_CUTOFF, FIRST_STOPBAND, LAST_STOPBAND = 2.0, 2.0**2.1, 2.0**0.3


def stylegan2(resolution: int, seed: int = 0) -> Generator:
    """256² has half the feature maps that 1024² has; 24.8 and 30.4 million weights."""
    base = 16384 if resolution <= 256 else 32768
    sizes = [2**power for power in range(2, resolution.bit_length())]
    channels = {size: min(base // size, 512) for size in sizes}
    config = StyleGAN2Config(resolution=resolution, mapping_layers=8, mapping_lr_multiplier=0.01, channels=channels)
    generator = Generator.create(config, seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in generator.synthesis.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.1)
            elif name.endswith(".bias") and "affine" not in name:
                value.copy_(torch.randn(value.shape, generator=draw) * 0.1)
    return generator.eval().requires_grad_(False)


def stylegan3(resolution: int, radial: bool = False, seed: int = 0, base: int = 32768, most: int = 512, c_dim: int = 0) -> Generator:
    """Configuration T, or R for ``radial`` (1x1 convolutions, twice the feature maps)."""
    if radial:
        base, most = 2 * base, 2 * most
    bands = band_limits(resolution)
    channels = [int(n) for n in np.rint(np.minimum(base / 2 / bands["cutoff"], most))]
    channels[-1] = 3
    layers, filters = [], []
    for index in range(LAYERS + 1):
        layer, taps = make_layer(bands, channels, index, radial, index == LAYERS)
        layers.append(layer)
        filters.append(taps)
    config = StyleGAN3Config(
        resolution=resolution, z_dim=512, w_dim=512, c_dim=c_dim, img_channels=3, mapping_layers=2,
        mapping_lr_multiplier=0.01, input_channels=channels[0], input_size=int(bands["size"][0]),
        sampling_rate=float(bands["rate"][0]), bandwidth=float(bands["cutoff"][0]), output_scale=0.25,
        layers=tuple(layers),
    )  # fmt: skip
    generator = Generator.create(config, seed)
    for name, (up, down) in zip(generator.synthesis.layer_names, filters, strict=False):
        layer = getattr(generator.synthesis, name)
        for buffer, values in (("up_filter", up), ("down_filter", down)):
            if values is not None:
                getattr(layer, buffer).copy_(torch.from_numpy(values))
    return generator.eval().requires_grad_(False)


def band_limits(resolution: int) -> dict[str, np.ndarray]:
    """Cutoff, half of the transition band, sampling rate and size after each layer, the input first."""
    last = resolution / 2
    exponents = np.minimum(np.arange(LAYERS + 1) / (LAYERS - CRITICAL), 1)
    cutoff = FIRST_CUTOFF * (last / FIRST_CUTOFF) ** exponents
    stopband = FIRST_STOPBAND * (last * LAST_STOPBAND / FIRST_STOPBAND) ** exponents
    rate = np.exp2(np.ceil(np.log2(np.minimum(stopband * 2, resolution))))
    size = rate + 2 * MARGIN
    size[-2:] = resolution
    return {"cutoff": cutoff, "half_width": np.maximum(stopband, rate / 2) - cutoff, "rate": rate, "size": size}


def make_layer(
    bands: dict[str, np.ndarray], channels: list[int], index: int, radial: bool, to_rgb: bool
) -> tuple[LayerConfig, tuple[np.ndarray | None, np.ndarray | None]]:
    """Layer ``index`` and its two filters."""
    before = max(index - 1, 0)
    rates = int(bands["rate"][before]), int(bands["rate"][index])
    sizes = int(bands["size"][before]), int(bands["size"][index])
    kernel = 1 if to_rgb or radial else 3
    middle = max(rates) * (1 if to_rgb else 2)
    up, down = middle // rates[0], middle // rates[1]
    up_taps = TAPS * up if up > 1 and not to_rgb else 1
    down_taps = TAPS * down if down > 1 and not to_rgb else 1
    # NVIDIA's radial filters are used where the layer is not critically sampled.
    is_radial = radial and down_taps > 1 and bands["cutoff"][index] * 2 < rates[1]
    total = (sizes[1] - 1) * down + 1 - (sizes[0] + kernel - 1) * up + up_taps + down_taps - 2
    low = (total + up) // 2
    layer = LayerConfig(
        in_channels=channels[before], out_channels=channels[index], in_size=sizes[0], out_size=sizes[1],
        kernel=kernel, up=up, down=down, up_taps=up_taps, down_taps=down_taps, down_radial=bool(is_radial),
        padding=(low, total - low, low, total - low), to_rgb=to_rgb, conv_clamp=256.0,
    )  # fmt: skip
    cutoffs, widths = bands["cutoff"], bands["half_width"]
    return layer, (
        lowpass(up_taps, cutoffs[before], widths[before], middle, False),
        lowpass(down_taps, cutoffs[index], widths[index], middle, is_radial),
    )


def lowpass(taps: int, cutoff: float, half_width: float, rate: float, radial: bool) -> np.ndarray | None:
    """Kaiser-windowed ideal low-pass filter, (taps,) or (taps, taps) if ``radial``; None for one tap."""
    if taps == 1:
        return None
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width / (rate / 2)) + 7.95
    window = np.kaiser(taps, kaiser_beta(attenuation))
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        radius = np.hypot(*np.meshgrid(x, x))
        values = bessel_j1(2 * cutoff * math.pi * radius) / (math.pi * radius) * np.outer(window, window)
    else:
        values = 2 * cutoff * np.sinc(2 * cutoff * x) * window
    return (values / values.sum()).astype(np.float32)


def kaiser_beta(attenuation: float) -> float:
    """Kaiser's window parameter for a stop-band attenuation in dB."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21) if attenuation > 21 else 0.0


def bessel_j1(x: np.ndarray) -> np.ndarray:
    """Bessel's function of the first kind and order 1, by its integral."""
    angles = (np.arange(512) + 0.5) * math.pi / 512
    return np.cos(angles - x[..., None] * np.sin(angles)).mean(axis=-1)


def bare_synthesis(rig: Rig, seed: int = 7) -> Callable[[], object]:
    """Draws the portrait of a seed by the rig's engine alone: maps, where they steer it, are there before."""
    portrait = rig.new_portrait(seed)
    w = torch.as_tensor(portrait.w)[None]
    if not rig.generator.guide_channels:
        return lambda: rig.engine().foreground(w)
    plan = plan_head(portrait, Controls(), rig.face)
    maps = rig.generator.synthesis.guide.maps(plan.target, plan.camera, plan.body, rig.generator.resolution)
    return lambda: rig.engine().raw(w, guide=maps)
