"""StyleGAN2 on a processor: torch's convolutions, and one pass over memory between any two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.generators.bias_act import LEAK
from models.generators.engines.convolution import Convolution, array, padded, whole
from models.generators.engines.kernels import LANES, activate_rows, blur_rows, dot_rows
from models.generators.engines.scheduler import WorkerSlot
from models.generators.guided import GuidedLayer, GuidedSynthesisNetwork
from models.generators.layers import GAIN, FullyConnectedLayer, SynthesisLayer, ToRGBLayer
from models.generators.roi import Box, drawn_parts
from models.generators.stylegan2 import SynthesisNetwork

UNLIMITED = 3e38
BAND = 1 << 21  # numbers that a convolution puts out at a time: they stay in the cache, and in memory once asked for


class Layer:
    """One modulated convolution, prepared. A layer that doubles the size holds its four phases."""

    def __init__(self, layer: SynthesisLayer | GuidedLayer, dtype: torch.dtype):
        weight = layer.weight.detach()
        self.up, self.size, self.channels = layer.up, layer.resolution, whole(len(weight), LANES)
        self.affine = affine(layer.affine)
        self.energy = padded(weight.square().sum(dim=(2, 3)), self.channels, whole(weight.shape[1], LANES))
        self.bias = array(padded(layer.bias.detach() * GAIN, self.channels))
        self.prepare_noise(layer)
        self.settings = np.array([LEAK, UNLIMITED if layer.clamp is None else layer.clamp], np.float32)
        if not layer.up:
            self.convolutions = [Convolution(weight, (0, 1), dtype, LANES)]
            return
        # A transposed convolution's even rows meet the kernel's rows 2 and 0, its odd rows row 1.
        even, odd = [2, 0], [1]
        self.convolutions = [
            Convolution(weight[:, :, rows][:, :, :, columns], (0, 0), dtype, LANES) for rows in (even, odd) for columns in (even, odd)
        ]

    def prepare_noise(self, layer: Any) -> None:
        """What is needed of the SynthesisLayer for its noise, or of another kind for what stands in its place."""
        self.strength = layer.noise_strength.detach() * GAIN
        self.noise_const = array(layer.noise_const * self.strength)

    def noise(self, drawn: Any, part: Box) -> np.ndarray:
        """What is added to a part of the picture: "const", "none", or ``drawn`` (R, R) times the layer's strength."""
        if isinstance(drawn, Tensor):
            values = array(drawn * self.strength)
        else:
            values = self.noise_const if drawn == "const" else np.zeros_like(self.noise_const)
        return np.ascontiguousarray(values[part.place])


class ToRGB:
    """A modulated 1x1 convolution to colours, prepared: groups of four."""

    def __init__(self, layer: ToRGBLayer, channels: int):
        self.affine = affine(layer.affine)
        self.groups = whole(len(layer.weight), 4) // 4
        weight = padded(layer.weight.detach()[:, :, 0, 0] * layer.weight_gain, 4 * self.groups, channels)
        self.weight = array(weight).reshape(self.groups, 4, channels)
        self.bias = array(padded(layer.bias.detach(), 4 * self.groups)).reshape(self.groups, 4)
        self.clamp = np.float32(UNLIMITED if layer.clamp is None else layer.clamp)


def affine(layer: FullyConnectedLayer) -> tuple[Tensor, Tensor]:
    """Weight (C, w_dim) and bias (C,), gains included, C a multiple of LANES; the padding gives style 0."""
    channels = whole(len(layer.weight), LANES)
    weight = padded(layer.weight.detach() * layer.weight_gain, channels)
    return weight, padded(layer.bias.detach() * layer.bias_gain, channels)


class RaggedMatVec:
    """Matrices of different sizes one after another, each row to be multiplied with a vector of its own."""

    def __init__(self, matrices: list[Tensor]):
        counts = [matrix.shape[1] for matrix in matrices for _ in range(len(matrix))]
        self.counts = np.array(counts)
        self.starts = np.cumsum(self.counts) - self.counts
        self.values = array(torch.cat([matrix.reshape(-1) for matrix in matrices]))
        self.ends = np.cumsum([len(matrix) for matrix in matrices])[:-1]

    def dot(self, x: np.ndarray, x_starts: np.ndarray, slot: WorkerSlot) -> np.ndarray:
        """One number for each row, whose vector begins at ``x_starts`` of it in x."""
        out = np.empty(len(self.counts), np.float32)
        slot.share(dot_rows, (self.values, self.starts, self.counts, x, x_starts, out), len(out), len(self.values))
        return out


class FusedStyleGAN2:
    """The synthesis network of ``network`` in ``dtype`` (float32 or bfloat16); one picture at a time in each slot."""

    layer_type: type[Layer] = Layer

    def __init__(self, network: SynthesisNetwork | GuidedSynthesisNetwork, dtype: torch.dtype):
        self.dtype = dtype
        self.outputs = len(network.get_parameter("b4.torgb.weight"))
        self.noise_sizes = [size for size in network.block_resolutions for _ in range(1 if size == 4 else 2)]
        self.shape = (self.outputs, network.block_resolutions[-1], network.block_resolutions[-1])
        self.layers: list[Layer] = []
        self.colours: list[ToRGB] = []
        self.scratch: dict[int, Tensor] = {}
        for size in network.block_resolutions:
            block = getattr(network, f"b{size}")
            self.layers += [self.layer_type(layer, dtype) for layer in ([] if block.first else [block.conv0]) + [block.conv1]]
            self.colours.append(ToRGB(block.torgb, self.layers[-1].channels))
        const = network.get_parameter("b4.const").detach()
        self.const = padded(const, whole(len(const), LANES)).permute(1, 2, 0).contiguous()
        # The styles of all layers and colours, in the order of the codes in w that they take.
        order = [layer.affine for layer in self.layers] + [colour.affine for colour in self.colours]
        codes = [*range(len(self.layers)), *(2 * index + 1 for index in range(len(self.colours)))]
        self.affines = RaggedMatVec([weight for weight, _ in order])
        self.biases = array(torch.cat([bias for _, bias in order]))
        self.codes = np.repeat(np.array(codes), [len(bias) for _, bias in order])
        self.energies = RaggedMatVec([layer.energy for layer in self.layers])
        begins = np.cumsum([0] + [layer.energy.shape[1] for layer in self.layers])[:-1]
        self.style_starts = np.repeat(begins, [layer.channels for layer in self.layers])

    def styles(self, w: Tensor, slot: WorkerSlot) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """w (num_ws, w_dim) -> styles of all layers and then colours, and what scales each layer's result."""
        w = w.contiguous()
        styles = self.affines.dot(array(w).reshape(-1), self.codes * w.shape[1], slot) + self.biases
        energies = self.energies.dot(np.square(styles), self.style_starts, slot)
        scales = GAIN / np.sqrt(energies + np.float32(1e-8))
        return np.split(styles, self.affines.ends), np.split(scales, self.energies.ends)

    def raw(self, w: Tensor, beside: Any, box: Box | None, slot: WorkerSlot) -> Tensor:
        """w (num_ws, w_dim), ``beside`` for each layer that draws what Layer.noise takes -> (outputs, R, R) float32, 0 outside ``box``."""
        sizes = [layer.size for layer in self.layers[: len(beside)] if not layer.up]
        box = box or Box.whole(sizes[-1])
        parts = drawn_parts(box, sizes)
        image = self.draw(*self.styles(w, slot), beside, parts, slot)
        picture = torch.zeros(self.outputs, sizes[-1], sizes[-1])
        drawn = torch.from_numpy(image[:, *box.inside(parts[-1]).place])
        picture[:, *box.place] = drawn.permute(0, 3, 1, 2).flatten(0, 1)[: self.outputs]
        return picture

    def draw(
        self, styles: list[np.ndarray], scales: list[np.ndarray], noises: Sequence[Any], parts: list[Box], slot: WorkerSlot
    ) -> np.ndarray:
        """The image (G, H, W, 4) of the last of ``parts``: what each block draws, each within twice the one before."""
        colours = styles[len(self.layers) :]
        groups = self.colours[0].groups
        image = np.empty((groups, 0, 0, 4), np.float32)
        x = self.scratch_buffer(slot, 0, parts[0].height, parts[0].width, len(styles[0]))
        torch.mul(self.const, torch.from_numpy(styles[0]), out=x[1:-1])
        for index, layer in enumerate(self.layers[: len(noises)]):
            block, last = (index + 1) // 2, index + 1 == len(noises)
            part = parts[block]
            out = self.scratch_buffer(slot, index + 1, 0 if last else part.height, part.width, layer.channels)
            after = scales[index] if last else styles[index + 1]
            changes = (scales[index], layer.bias, layer.noise(noises[index], part), after, array(out[1:-1]))
            if layer.up:
                x, image = crop(x, image, parts[block - 1], part)
                self.upsample_layer(layer, x, changes, slot)
            else:
                to_rgb = self.colours[block]
                before, image = image, np.empty((groups, part.height, part.width, 4), np.float32)
                weights = to_rgb.weight * colours[block]
                self.same_size_layer(layer, x, (*changes, weights, to_rgb.bias, before, image, layer.settings, to_rgb.clamp), slot)
            x = out
        return image

    def scratch_buffer(self, slot: WorkerSlot, index: int, height: int, width: int, channels: int) -> Tensor:
        """Where layer ``index`` finds its input: (height + 2, width, channels), a row of zeros above and below.

        Memory that is asked for anew is cleared by the system first, which costs as much as filling it.
        """
        if slot.index not in self.scratch:
            most = max((layer.size + 2) * layer.size * layer.channels for layer in self.layers)
            with torch.inference_mode(False):  # also those who call without it write there
                self.scratch[slot.index] = torch.empty(2, most, dtype=self.dtype)
        buffer = self.scratch[slot.index][index % 2, : (height + 2) * width * channels].view(height + 2, width, channels)
        buffer[0], buffer[-1] = 0, 0
        return buffer

    def same_size_layer(self, layer: Layer, x: Tensor, changes: tuple, slot: WorkerSlot) -> None:
        """A layer that keeps the size, band by band."""
        height, width = len(x) - 2, x.shape[1]
        rows = band_rows(width * layer.channels)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            result = array(layer.convolutions[0](x[top : bottom + 2]))
            slot.share(activate_rows, (result, top, *changes), bottom - top, result.size)

    def upsample_layer(self, layer: Layer, x: Tensor, changes: tuple, slot: WorkerSlot) -> None:
        """A layer that doubles the size, band by band: the filter needs a row more on either side."""
        height, width = len(x) - 2, x.shape[1]
        rows = band_rows(4 * width * layer.channels)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            low, high = max(top - 1, 0), min(bottom + 1, height)
            # Even row n of the transposed convolution comes from rows n - 1 and n, odd row n from row n; so do columns.
            # Their zeros are there to be read: those that oneDNN only thinks of, it adds up in another order for
            # another number of threads.
            wide = pad(x[top : bottom + 2], (0, 0, 1, 1))
            inputs = wide, x[top : bottom + 2], wide[low + 1 - top : high + 1 - top], x[low + 1 : high + 1]
            results = [array(convolve(part)) for convolve, part in zip(layer.convolutions, inputs, strict=False)]
            places = np.array([2 * top, top, low, height])
            slot.share(blur_rows, (*results, places, *changes, layer.settings), 2 * (bottom - top), 4 * results[0].size)


def crop(x: Tensor, image: np.ndarray, drawn: Box, part: Box) -> tuple[Tensor, np.ndarray]:
    """Of a block's result, with a row of zeros above and below, and its image what the next one needs to draw ``part``."""
    if part == drawn.doubled():
        return x, image
    rows, columns = part.halved().inside(drawn).place
    return pad(x[1:-1][rows, columns], (0, 0, 0, 0, 1, 1)), np.ascontiguousarray(image[:, rows, columns])


def band_rows(numbers: int) -> int:
    """How many rows of so many numbers are convolved at a time."""
    return max(BAND // numbers, 4)
