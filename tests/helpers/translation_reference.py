"""The published translation networks, written out step by step from their files' names, and files in their layouts.

Slow and literal on purpose: a state is a table of names and numbers, each network one function of it. For the tests.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


class Numbers:
    """Draws the numbers of a network, name by name, in the published shapes."""

    def __init__(self, seed: int = 0):
        self.random = torch.Generator().manual_seed(seed)
        self.state: State = {}

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random)

    def bias(self, name: str, outputs: int) -> None:
        self.state[f"{name}.bias"] = self.draw(outputs) * 0.2

    def conv(self, name: str, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        self.state[f"{name}.weight"] = self.draw(outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2)
        if bias:
            self.bias(name, outputs)

    def transposed(self, name: str, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        self.state[f"{name}.weight"] = self.draw(inputs, outputs, kernel, kernel) / math.sqrt(inputs * 4)
        if bias:
            self.bias(name, outputs)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self.state[f"{name}.weight"] = self.draw(outputs, inputs) / math.sqrt(inputs)
        self.bias(name, outputs)

    def affine(self, name: str, channels: int) -> None:
        self.state[f"{name}.weight"] = 1 + 0.3 * self.draw(channels)
        self.bias(name, channels)

    def statistics(self, name: str, channels: int) -> None:
        self.state[f"{name}.running_mean"] = self.draw(channels) * 0.2
        self.state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=self.random)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def norm(self, name: str, channels: int, norm: str, old: bool = False) -> None:
        """``old``: an instance norm as of 2018, which kept statistics."""
        if norm == "batch":
            self.affine(name, channels)
        if norm == "batch" or (norm == "instance" and old):
            self.statistics(name, channels)


def instance_normed(features: Tensor) -> Tensor:
    mean = features.mean(dim=(2, 3), keepdim=True)
    return (features - mean) / (features.var(dim=(2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()


def per_channel(values: Tensor) -> Tensor:
    return values[None, :, None, None]


def by_statistics(state: State, name: str, features: Tensor) -> Tensor:
    mean, variance = per_channel(state[f"{name}.running_mean"]), per_channel(state[f"{name}.running_var"])
    return (features - mean) / (variance + 1e-5).sqrt()


def scaled(state: State, name: str, features: Tensor) -> Tensor:
    return features * per_channel(state[f"{name}.weight"]) + per_channel(state[f"{name}.bias"])


def batch_norm(state: State, name: str, features: Tensor, training: bool = False) -> Tensor:
    if training:
        mean = features.mean(dim=(0, 2, 3), keepdim=True)
        return scaled(state, name, (features - mean) / (features.var(dim=(0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt())
    return scaled(state, name, by_statistics(state, name, features))


def normed(state: State, name: str, features: Tensor, norm: str, training: bool = False) -> Tensor:
    if norm == "none":
        return features
    return batch_norm(state, name, features, training) if norm == "batch" else instance_normed(features)


def conv(state: State, name: str, features: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(features, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding)


def up_conv(state: State, name: str, features: Tensor, padding: int = 1, output_padding: int = 0) -> Tensor:
    return F.conv_transpose2d(features, state[f"{name}.weight"], state.get(f"{name}.bias"), 2, padding, output_padding)


def reflected(features: Tensor, by: int) -> Tensor:
    return F.pad(features, (by, by, by, by), "reflect")


# pix2pix


def unet_state(levels: int, width: int, inputs: int = 3, outputs: int = 3, norm: str = "batch", old: bool = False) -> State:
    numbers, bias = Numbers(1), norm == "instance"
    widths = [width, 2 * width, 4 * width, *[8 * width] * (levels - 3)]
    numbers.conv("model.model.0", inputs, width, 4, bias)
    place = "model.model.1"
    for level in range(1, levels):
        outer, inner, last = widths[level - 1], widths[level], level == levels - 1
        numbers.conv(f"{place}.model.1", outer, inner, 4, bias)
        if not last:
            numbers.norm(f"{place}.model.2", inner, norm, old)
        numbers.transposed(f"{place}.model.{3 if last else 5}", inner if last else 2 * inner, outer, 4, bias)
        numbers.norm(f"{place}.model.{4 if last else 6}", outer, norm, old)
        place += ".model.3"
    numbers.transposed("model.model.3", 2 * width, outputs, 4)
    return numbers.state


def unet(state: State, image: Tensor, levels: int, norm: str, training: bool = False) -> Tensor:
    """Without dropout."""

    def level(features: Tensor, place: str, depth: int) -> Tensor:
        inner = conv(state, f"{place}.model.1", F.leaky_relu(features, 0.2), 2, 1)
        if depth == levels - 1:
            inner = up_conv(state, f"{place}.model.3", F.relu(inner))
            inner = normed(state, f"{place}.model.4", inner, norm, training)
        else:
            inner = normed(state, f"{place}.model.2", inner, norm, training)
            inner = level(inner, f"{place}.model.3", depth + 1)
            inner = up_conv(state, f"{place}.model.5", F.relu(inner))
            inner = normed(state, f"{place}.model.6", inner, norm, training)
        return torch.cat([features, inner], dim=1)

    inner = level(conv(state, "model.model.0", image, 2, 1), "model.model.1", 1)
    return torch.tanh(up_conv(state, "model.model.3", F.relu(inner)))


# CycleGAN and CUT


def binomial(channels: int, row: list[float], gain: float) -> Tensor:
    taps = torch.tensor(row)
    square = taps[:, None] * taps[None, :]
    return (square / square.sum() * gain).repeat(channels, 1, 1, 1)


def resnet_state(
    blocks: int, width: int, norm: str = "instance", dropout: bool = False, old: bool = False, blurred: bool = False, inputs: int = 3
) -> State:
    numbers, bias = Numbers(2), norm == "instance"
    numbers.conv("model.1", inputs, width, 7, bias)
    numbers.norm("model.2", width, norm, old)
    index = 4
    for channels in (width, 2 * width):
        numbers.conv(f"model.{index}", channels, 2 * channels, 3, bias)
        numbers.norm(f"model.{index + 1}", 2 * channels, norm, old)
        index += 3
        if blurred:
            numbers.state[f"model.{index}.filt"] = binomial(2 * channels, [1, 2, 1], 1)
            index += 1
    for _ in range(blocks):
        second = 6 if dropout else 5
        for place in (1, second):
            numbers.conv(f"model.{index}.conv_block.{place}", 4 * width, 4 * width, 3, bias)
            numbers.norm(f"model.{index}.conv_block.{place + 1}", 4 * width, norm, old)
        index += 1
    for channels in (4 * width, 2 * width):
        if blurred:
            numbers.state[f"model.{index}.filt"] = binomial(channels, [1, 3, 3, 1], 4)
            index += 1
            numbers.conv(f"model.{index}", channels, channels // 2, 3, bias)
        else:
            numbers.transposed(f"model.{index}", channels, channels // 2, 3, bias)
        numbers.norm(f"model.{index + 1}", channels // 2, norm, old)
        index += 3
    numbers.conv(f"model.{index + 1}", width, 3, 7)
    return numbers.state


def blur_down(features: Tensor) -> Tensor:
    """Each output pixel by itself: the 3 x 3 around every second pixel, mirrored at the edges."""
    padded = reflected(features, 1)
    taps = [1, 2, 1]
    height, width = features.shape[2] // 2, features.shape[3] // 2
    result = torch.zeros(*features.shape[:2], height, width)
    for row in range(3):
        for column in range(3):
            result += taps[row] * taps[column] / 16 * padded[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2]
    return result


def blur_up(features: Tensor) -> Tensor:
    """Along each axis an output pixel is three quarters of its own pixel and one of the neighbour on its side."""

    def along_rows(values: Tensor) -> Tensor:
        before = torch.cat([values[:, :, :1], values[:, :, :-1]], dim=2)
        after = torch.cat([values[:, :, 1:], values[:, :, -1:]], dim=2)
        return torch.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], dim=3).flatten(2, 3)

    return along_rows(along_rows(features).transpose(2, 3)).transpose(2, 3)


def resnet(
    state: State, image: Tensor, blocks: int, norm: str, dropout: bool = False, blurred: bool = False, training: bool = False
) -> Tensor:
    """``dropout`` tells the names only."""

    def step(features: Tensor, norm_name: str) -> Tensor:
        return F.relu(normed(state, norm_name, features, norm, training))

    features = step(conv(state, "model.1", reflected(image, 3)), "model.2")
    index = 4
    for _ in range(2):
        features = step(conv(state, f"model.{index}", features, 1 if blurred else 2, 1), f"model.{index + 1}")
        features = blur_down(features) if blurred else features
        index += 4 if blurred else 3
    for _ in range(blocks):
        second = 6 if dropout else 5
        place = f"model.{index}.conv_block"
        inner = step(conv(state, f"{place}.1", reflected(features, 1)), f"{place}.2")
        inner = normed(state, f"{place}.{second + 1}", conv(state, f"{place}.{second}", reflected(inner, 1)), norm, training)
        features = features + inner
        index += 1
    for _ in range(2):
        if blurred:
            index += 1
            features = conv(state, f"model.{index}", blur_up(features), 1, 1)
        else:
            features = up_conv(state, f"model.{index}", features, 1, 1)
        features = step(features, f"model.{index + 1}")
        index += 3
    return torch.tanh(conv(state, f"model.{index + 1}", reflected(features, 3)))


# StarGAN


def stargan_state(width: int, label_size: int, blocks: int = 2) -> State:
    numbers = Numbers(3)

    def norm(name: str, channels: int) -> None:
        numbers.affine(name, channels)
        numbers.statistics(name, channels)

    numbers.conv("main.0", 3 + label_size, width, 7, False)
    norm("main.1", width)
    for index, channels in ((3, width), (6, 2 * width)):
        numbers.conv(f"main.{index}", channels, 2 * channels, 4, False)
        norm(f"main.{index + 1}", 2 * channels)
    for index in range(9, 9 + blocks):
        for place in (0, 3):
            numbers.conv(f"main.{index}.main.{place}", 4 * width, 4 * width, 3, False)
            norm(f"main.{index}.main.{place + 1}", 4 * width)
    for index, channels in ((9 + blocks, 4 * width), (12 + blocks, 2 * width)):
        numbers.transposed(f"main.{index}", channels, channels // 2, 4, False)
        norm(f"main.{index + 1}", channels // 2)
    numbers.conv(f"main.{15 + blocks}", width, 3, 7, False)
    return numbers.state


def stargan(state: State, image: Tensor, label: Tensor, blocks: int = 2, training: bool = False) -> Tensor:
    def norm(name: str, features: Tensor) -> Tensor:
        return scaled(state, name, instance_normed(features) if training else by_statistics(state, name, features))

    planes = torch.stack([torch.stack([torch.full(image.shape[2:], float(value)) for value in row]) for row in label])
    features = F.relu(norm("main.1", conv(state, "main.0", torch.cat([image, planes], dim=1), 1, 3)))
    for index in (3, 6):
        features = F.relu(norm(f"main.{index + 1}", conv(state, f"main.{index}", features, 2, 1)))
    for index in range(9, 9 + blocks):
        place = f"main.{index}.main"
        inner = F.relu(norm(f"{place}.1", conv(state, f"{place}.0", features, 1, 1)))
        features = features + norm(f"{place}.4", conv(state, f"{place}.3", inner, 1, 1))
    for index in (9 + blocks, 12 + blocks):
        features = F.relu(norm(f"main.{index + 1}", up_conv(state, f"main.{index}", features)))
    return torch.tanh(conv(state, f"main.{15 + blocks}", features, 1, 3))


# StarGAN v2


def widths_of(width: int, most: int, steps: int) -> list[int]:
    widths = [width]
    for _ in range(steps):
        widths.append(min(2 * widths[-1], most))
    return widths


def starganv2_state(
    image_size: int,
    width: int,
    most: int,
    downs: int,
    domains: int = 2,
    style_dim: int = 6,
    latent_dim: int = 5,
    hidden: int = 8,
    high_pass: float = 0.0,
) -> dict[str, State]:
    """The tables of a ``*_nets_ema.ckpt`` without `fan`."""
    maker, widths = Numbers(4), widths_of(width, most, downs)
    maker.conv("from_rgb", 3, width, 3)
    blocks = [*pairwise(widths), *[(widths[-1], widths[-1])] * 2]
    for index, (inputs, outputs) in enumerate(blocks):
        maker.conv(f"encode.{index}.conv1", inputs, inputs, 3)
        maker.conv(f"encode.{index}.conv2", inputs, outputs, 3)
        maker.affine(f"encode.{index}.norm1", inputs)
        maker.affine(f"encode.{index}.norm2", inputs)
        if inputs != outputs:
            maker.conv(f"encode.{index}.conv1x1", inputs, outputs, 1, False)
    for index, (outputs, inputs) in enumerate(reversed(blocks)):
        maker.conv(f"decode.{index}.conv1", inputs, outputs, 3)
        maker.conv(f"decode.{index}.conv2", outputs, outputs, 3)
        maker.linear(f"decode.{index}.norm1.fc", style_dim, 2 * inputs)
        maker.linear(f"decode.{index}.norm2.fc", style_dim, 2 * outputs)
        if inputs != outputs:
            maker.conv(f"decode.{index}.conv1x1", inputs, outputs, 1, False)
    maker.affine("to_rgb.0", width)
    maker.conv("to_rgb.2", width, 3, 1)
    if high_pass:
        maker.state["hpf.filter"] = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / high_pass

    mapping = Numbers(5)
    for index in (0, 2, 4, 6):
        mapping.linear(f"shared.{index}", hidden if index else latent_dim, hidden)
        for domain in range(domains):
            mapping.linear(f"unshared.{domain}.{index}", hidden, style_dim if index == 6 else hidden)

    encoder, widths = Numbers(6), widths_of(width, most, int(math.log2(image_size)) - 2)
    encoder.conv("shared.0", 3, width, 3)
    for index, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        encoder.conv(f"shared.{index}.conv1", inputs, inputs, 3)
        encoder.conv(f"shared.{index}.conv2", inputs, outputs, 3)
        if inputs != outputs:
            encoder.conv(f"shared.{index}.conv1x1", inputs, outputs, 1, False)
    encoder.conv(f"shared.{len(widths) + 1}", widths[-1], widths[-1], 4)
    for domain in range(domains):
        encoder.linear(f"unshared.{domain}", widths[-1], style_dim)
    return {"generator": maker.state, "mapping_network": mapping.state, "style_encoder": encoder.state}


def halved(features: Tensor) -> Tensor:
    return (features[:, :, ::2, ::2] + features[:, :, 1::2, ::2] + features[:, :, ::2, 1::2] + features[:, :, 1::2, 1::2]) / 4


def doubled(features: Tensor) -> Tensor:
    return features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def down_block(state: State, place: str, features: Tensor, normalise: bool, halve: bool) -> Tensor:
    def norm(name: str, values: Tensor) -> Tensor:
        return scaled(state, f"{place}.{name}", instance_normed(values)) if normalise else values

    shrink = halved if halve else lambda values: values
    shortcut = conv(state, f"{place}.conv1x1", features) if f"{place}.conv1x1.weight" in state else features
    inner = shrink(conv(state, f"{place}.conv1", F.leaky_relu(norm("norm1", features), 0.2), 1, 1))
    inner = conv(state, f"{place}.conv2", F.leaky_relu(norm("norm2", inner), 0.2), 1, 1)
    return (shrink(shortcut) + inner) / math.sqrt(2)


def style_normed(state: State, name: str, features: Tensor, style: Tensor) -> Tensor:
    both = style @ state[f"{name}.fc.weight"].T + state[f"{name}.fc.bias"]
    half = both.shape[1] // 2
    return (1 + both[:, :half, None, None]) * instance_normed(features) + both[:, half:, None, None]


def starganv2(state: State, image: Tensor, style: Tensor, downs: int, masks: tuple[Tensor, Tensor] | None = None) -> Tensor:
    features = conv(state, "from_rgb", image, 1, 1)
    kept = {}
    for index in range(downs + 2):
        kept[features.shape[2]] = features
        features = down_block(state, f"encode.{index}", features, True, index < downs)
    for index in range(downs + 2):
        place = f"decode.{index}"
        grow = doubled if index >= 2 else lambda values: values
        inner = conv(state, f"{place}.conv1", grow(F.leaky_relu(style_normed(state, f"{place}.norm1", features, style), 0.2)), 1, 1)
        inner = conv(state, f"{place}.conv2", F.leaky_relu(style_normed(state, f"{place}.norm2", inner, style), 0.2), 1, 1)
        if "hpf.filter" not in state:
            shortcut = grow(features)
            shortcut = conv(state, f"{place}.conv1x1", shortcut) if f"{place}.conv1x1.weight" in state else shortcut
            inner = (inner + shortcut) / math.sqrt(2)
        features = inner
        size = features.shape[2]
        if masks is not None and size in (32, 64, 128):
            mask = F.interpolate(masks[0 if size == 32 else 1], size=size, mode="bilinear")
            detail = mask * kept[size]
            filtered = [F.conv2d(detail[:, c : c + 1], state["hpf.filter"][None, None], padding=1) for c in range(detail.shape[1])]
            features = features + torch.cat(filtered, dim=1)
    features = F.leaky_relu(scaled(state, "to_rgb.0", instance_normed(features)), 0.2)
    return conv(state, "to_rgb.2", features)


def starganv2_mapped(state: State, latent: Tensor, domain: int) -> Tensor:
    features = latent
    for name in [*(f"shared.{index}" for index in (0, 2, 4, 6)), *(f"unshared.{domain}.{index}" for index in (0, 2, 4, 6))]:
        features = features @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        features = features if name.startswith("unshared") and name.endswith("6") else F.relu(features)
    return features


def starganv2_encoded(state: State, image: Tensor, domain: int, steps: int) -> Tensor:
    features = conv(state, "shared.0", image, 1, 1)
    for index in range(1, steps + 1):
        features = down_block(state, f"shared.{index}", features, False, True)
    features = F.leaky_relu(conv(state, f"shared.{steps + 2}", F.leaky_relu(features, 0.2)), 0.2)[:, :, 0, 0]
    return features @ state[f"unshared.{domain}.weight"].T + state[f"unshared.{domain}.bias"]


# the parts of a face, for StarGAN v2's masks


def fan_state(width: int) -> State:
    numbers = Numbers(7)

    def block(name: str, inputs: int, outputs: int) -> None:
        sizes = [(inputs, outputs // 2), (outputs // 2, outputs // 4), (outputs // 4, outputs // 4)]
        for index, (coming, going) in enumerate(sizes, start=1):
            numbers.norm(f"{name}.bn{index}", coming, "batch")
            numbers.conv(f"{name}.conv{index}", coming, going, 3, False)
        if inputs != outputs:
            numbers.norm(f"{name}.downsample.0", inputs, "batch")
            numbers.conv(f"{name}.downsample.2", inputs, outputs, 1, False)

    numbers.conv("conv1.conv", 6, width // 4, 7)
    numbers.norm("bn1", width // 4, "batch")
    block("conv2", width // 4, width // 2)
    block("conv3", width // 2, width // 2)
    block("conv4", width // 2, width)
    numbers.conv("m0.coordconv.conv", width + 3, width, 1)
    for name in ("b1_4", "b2_4", "b3_4", "b1_3", "b2_3", "b3_3", "b1_2", "b2_2", "b3_2", "b1_1", "b2_1", "b2_plus_1", "b3_1"):
        block(f"m0.{name}", width, width)
    block("top_m_0", width, width)
    numbers.conv("conv_last0", width, width, 1)
    numbers.norm("bn_end0", width, "batch")
    numbers.conv("l0", width, 99, 1)
    numbers.state["l0.bias"] -= 4  # so that most of each map is empty, as those of real faces are
    return numbers.state


def fan_maps(state: State, image: Tensor) -> Tensor:
    def relu_norm(name: str, features: Tensor) -> Tensor:
        return F.relu(batch_norm(state, name, features))

    def with_place(features: Tensor) -> Tensor:
        size = features.shape[2]
        place = torch.zeros(len(features), 3, size, size)
        columns = torch.tensor([2 * column / (size - 1) - 1 for column in range(size)])
        for row in range(size):
            y = 2 * row / (size - 1) - 1
            place[:, 0, row], place[:, 1, row], place[:, 2, row] = y, columns, (columns**2 + y**2).sqrt() / math.sqrt(2)
        return torch.cat([features, place], dim=1)

    def block(name: str, features: Tensor) -> Tensor:
        first = conv(state, f"{name}.conv1", relu_norm(f"{name}.bn1", features), 1, 1)
        second = conv(state, f"{name}.conv2", relu_norm(f"{name}.bn2", first), 1, 1)
        third = conv(state, f"{name}.conv3", relu_norm(f"{name}.bn3", second), 1, 1)
        if f"{name}.downsample.0.weight" in state:
            features = conv(state, f"{name}.downsample.2", relu_norm(f"{name}.downsample.0", features))
        return torch.cat([first, second, third], dim=1) + features

    def hourglass(level: int, features: Tensor) -> Tensor:
        low = block(f"m0.b2_{level}", halved(features))
        low = hourglass(level - 1, low) if level > 1 else block("m0.b2_plus_1", low)
        return block(f"m0.b1_{level}", features) + doubled(block(f"m0.b3_{level}", low))

    features = relu_norm("bn1", conv(state, "conv1.conv", with_place(image * 0.5 + 0.5), 2, 3))
    features = block("conv4", block("conv3", halved(block("conv2", features))))
    features = hourglass(4, conv(state, "m0.coordconv.conv", with_place(features)))
    features = relu_norm("bn_end0", conv(state, "conv_last0", block("top_m_0", features)))
    return conv(state, "l0", features)


def fan_masks(state: State, image: Tensor) -> tuple[Tensor, Tensor]:
    """Point by point, of an image (1, 3, 256, 256)."""
    maps = F.interpolate(fan_maps(state, image)[:, :98], scale_factor=4, mode="bilinear", align_corners=True)[0]
    return masks_of_points(maps)


def masks_of_points(maps: Tensor) -> tuple[Tensor, Tensor]:
    every, inner = torch.zeros(1, 1, 256, 256), torch.zeros(1, 1, 256, 256)
    for point in range(98):
        values = torch.where(maps[point] < 0.1, torch.zeros(256, 256), maps[point])
        values = (values - values.min()) / (values.max() - values.min() + 1e-6)

        def up(by: int, values: Tensor = values) -> Tensor:
            return values[[(row + by) % 256 for row in range(256)]]

        if point in (33, 46, 76, 82) or point < 8 or 25 <= point < 33:
            continue
        if point < 25:
            values = values**3
        elif point < 51:
            values = up(-7) ** 2
        elif 52 <= point < 55:
            values = up(4)
        elif 55 <= point < 60:
            values = up(8) ** 4
        elif 60 <= point < 76:
            values = up(-8) ** 3 + up(-24)
        elif 77 <= point < 82:
            values = up(-8) ** 4
        elif 83 <= point < 88:
            values = up(8) ** 4
        elif 88 <= point < 96:
            values = up(-2) ** 3
        every[0, 0] += values
        if point == 51 or 52 <= point < 76 or point >= 96:
            inner[0, 0] += values
    return every.clamp(0, 1), inner.clamp(0, 1)


def save_published(content: dict, path: Path, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path
