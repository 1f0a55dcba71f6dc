"""Official checkpoints: outputs that NVIDIA's code recorded, and literal formulas for the rest."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.generators import Generator, latents_from_seed, load_engine, load_generator, save_generator
from models.generators.config import StyleGAN2Config
from tests.bench import networks, reference
from tests.data.official_format import dumps, lively, official, snapshot, stylegan3_config

PICKLES = Path(__file__).parents[1] / "data" / "stylegan-pickles"
SMALL = StyleGAN2Config(resolution=16, z_dim=10, w_dim=12, mapping_lr_multiplier=0.01,
                        channels={4: 6, 8: 5, 16: 4}, conv_clamp=1.5)  # fmt: skip


def recorded(name: str) -> tuple[Generator, dict[str, torch.Tensor]]:
    values = {key: torch.from_numpy(value) for key, value in np.load(PICKLES / f"{name}.npz").items()}
    return load_generator(PICKLES / f"{name}.pkl"), values


@pytest.mark.parametrize("name", ["stylegan2-64", "stylegan3t-64"])
def test_outputs_equal_those_that_nvidia_recorded(name):
    generator, expected = recorded(name)
    assert (generator.mapping(expected["z"], expected["c"]) - expected["w"]).abs().max() < 1e-5
    w = generator.mapping(expected["z"], expected["c"], truncation_psi=0.7, truncation_cutoff=8)
    assert (w - expected["w_psi07_cut8"]).abs().max() < 1e-5
    image = generator.synthesis(expected["w_psi07_cut8"], noise="const")
    assert image.dtype == torch.float32
    assert (image - expected["image_psi07_cut8_const"]).abs().max() < 1e-4
    assert not any(p.requires_grad for p in generator.parameters()) and not generator.training


def test_noise_modes_equal_those_that_nvidia_recorded():
    generator, expected = recorded("stylegan2-64")
    assert (generator.synthesis(expected["w"], noise="none") - expected["image_nonoise"]).abs().max() < 1e-4
    assert (generator.synthesis(expected["w"], noise="const") - expected["image_nonoise"]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["stylegan2-64", "stylegan3t-64"])
def test_engine_and_bench_reference_equal_what_nvidia_recorded(name):
    generator, expected = recorded(name)
    w, truth = expected["w_psi07_cut8"], expected["image_psi07_cut8_const"]
    assert (load_engine(generator, "exact").synthesis(w) - truth).abs().max() < 1e-4
    assert (reference.synthesis(generator, w[:1]) - truth[:1]).abs().max() < 1e-4


def test_the_layout_of_1024_with_labels(tmp_path):
    sizes = [4 << power for power in range(9)]
    config = StyleGAN2Config(resolution=1024, z_dim=8, w_dim=8, c_dim=3, mapping_layers=8, mapping_lr_multiplier=0.01,
                             channels={size: 2 + (size < 64) for size in sizes}, conv_clamp=256.0)  # fmt: skip
    generator = lively(Generator.create(config, seed=3))
    loaded = written(generator, tmp_path / "network.pkl")
    assert loaded.config == config and loaded.num_ws == 18
    w = loaded.mapping(latents_from_seed(1, 1, 8), torch.eye(3)[1:2], truncation_psi=0.5, truncation_cutoff=8)
    assert not torch.equal(w, loaded.mapping(latents_from_seed(1, 1, 8), truncation_psi=0.5, truncation_cutoff=8))
    truth = reference.synthesis(generator, w)
    assert truth.shape == (1, 3, 1024, 1024)
    assert torch.allclose(load_engine(loaded, "exact").synthesis(w), truth, atol=1e-4 * float(truth.abs().max()))


def test_the_layout_of_stylegan3_r_with_labels_and_a_users_transform(tmp_path):
    generator = networks.stylegan3(128, radial=True, base=512, most=16, c_dim=2)
    generator.synthesis.input.transform.copy_(torch.tensor([[0.9, -0.2, 0.1], [0.2, 0.9, -0.3], [0.0, 0.0, 1.0]]))
    loaded = written(generator, tmp_path / "network.pkl")
    assert loaded.config == generator.config and loaded.num_ws == 16 and loaded.c_dim == 2
    assert torch.equal(loaded.synthesis.input.transform, generator.synthesis.input.transform)
    assert any(layer.down_radial for layer in loaded.config.layers)
    w = loaded.mapping(latents_from_seed(1, 1), torch.eye(2)[:1])
    truth = reference.synthesis(generator, w)
    assert torch.allclose(loaded.synthesis(w), truth, atol=1e-5)
    assert torch.allclose(load_engine(loaded, "exact").synthesis(w), truth, atol=1e-5)


def test_what_the_object_says():
    two, three = load_generator(PICKLES / "stylegan2-64.pkl"), load_generator(PICKLES / "stylegan3t-64.pkl")
    assert (two.resolution, two.z_dim, two.c_dim, two.num_ws, two.w_dim, two.img_channels) == (64, 64, 0, 10, 64, 3)
    assert (three.resolution, three.z_dim, three.c_dim, three.num_ws, three.w_dim) == (64, 64, 0, 16, 64)
    assert two.config.conv_clamp == 256
    w = three.mapping(latents_from_seed(0, 1, 64))
    colour, alpha = three.foreground(w)
    assert colour.min() >= 0 and colour.max() <= 1 and bool((alpha == 1).all())
    with pytest.raises(ValueError, match="noise"):
        three.synthesis(w, noise="loud")


@pytest.mark.parametrize("name", ["stylegan2-64", "stylegan3t-64"])
def test_conversion_changes_nothing(name, tmp_path):
    generator, _ = recorded(name)
    converted = load_generator(save_generator(generator, tmp_path / "converted.safetensors"))
    assert converted.config == generator.config
    assert all(torch.equal(a, b) for a, b in zip(converted.state_dict().values(), generator.state_dict().values(), strict=True))
    data = (PICKLES / f"{name}.pkl").read_bytes()
    assert converted.metadata["sha256"] == hashlib.sha256(data).hexdigest()
    assert converted.metadata["source"] == f"{name}.pkl" and "NVIDIA" in converted.metadata["licence"]


def written(generator: Generator, path: Path, protocol: int = 4) -> Generator:
    path.write_bytes(dumps(snapshot(official(generator)), protocol))
    return load_generator(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("config", [SMALL, stylegan3_config()], ids=["stylegan2", "stylegan3"])
def test_all_protocols(protocol, config, tmp_path):
    generator = lively(Generator.create(config, seed=3))
    loaded = written(generator, tmp_path / "network.pkl", protocol)
    assert loaded.config == config
    w = loaded.mapping(latents_from_seed(1, 2, 10))
    assert torch.equal(loaded.synthesis(w), generator.synthesis(w))


@pytest.mark.parametrize("config", [SMALL, stylegan3_config()], ids=["stylegan2", "stylegan3"])
def test_size_counts_every_number(config):
    for c_dim in (0, 5):
        config = dataclasses.replace(config, c_dim=c_dim)
        assert config.size == sum(value.numel() for value in Generator.create(config).state_dict().values())


@pytest.mark.parametrize("config", [SMALL, stylegan3_config()], ids=["stylegan2", "stylegan3"])
def test_conditional_mapping_equals_the_literal_formula(config, tmp_path):
    generator = lively(Generator.create(dataclasses.replace(config, c_dim=4), seed=2))
    loaded = written(generator, tmp_path / "conditional.pkl")
    z, c = latents_from_seed(1, 3, 10), torch.eye(4)[:3]
    state = {name: value.double() for name, value in generator.state_dict().items()}
    unit = lambda x: x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
    embedded = c.double() @ state["mapping.embed.weight"].t() / math.sqrt(4) + state["mapping.embed.bias"]
    x = torch.cat((unit(z.double()), unit(embedded)), 1)
    for index in range(2):
        weight, bias = (state[f"mapping.fc{index}.{part}"] for part in ("weight", "bias"))
        x = F.leaky_relu(x @ weight.t() * (0.01 / math.sqrt(x.shape[1])) + bias * 0.01, 0.2) * math.sqrt(2)
    w = loaded.mapping(z, c)
    assert loaded.c_dim == 4 and w.shape == (3, loaded.num_ws, 12)
    assert torch.allclose(w[:, -1].double(), x, atol=1e-5)
    assert not torch.allclose(loaded.mapping(z, c.flip(0)), w)


def test_truncation_of_each_layer():
    generator = lively(Generator.create(SMALL, seed=3))
    z = latents_from_seed(1, 2, 10)
    whole, psi = generator.mapping(z), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    expected = [generator.w_avg + p * (whole[:, k] - generator.w_avg) for k, p in enumerate(psi)]
    assert torch.allclose(generator.mapping(z, truncation_psi=psi), torch.stack(expected, 1), atol=1e-6)
    cut = generator.mapping(z, truncation_psi=psi, truncation_cutoff=2)
    assert torch.allclose(cut[:, :2], torch.stack(expected[:2], 1), atol=1e-6) and torch.equal(cut[:, 2:], whole[:, 2:])
    with pytest.raises(ValueError, match="5 values for 6 layers"):
        generator.mapping(z, truncation_psi=psi[:5])


def test_clamping_limits_every_layer():
    generator = lively(Generator.create(SMALL, seed=3))
    w = generator.mapping(latents_from_seed(1, 2, 10))
    free = lively(Generator.create(dataclasses.replace(SMALL, conv_clamp=None), seed=3))
    x = torch.randn(2, 4, 16, 16) * 10
    layer, unlimited = generator.synthesis.b16.conv1, free.synthesis.b16.conv1
    assert unlimited(x, w[:, 0]).abs().max() > 2
    assert torch.allclose(layer(x, w[:, 0]), unlimited(x, w[:, 0]).clamp(-1.5, 1.5))
    to_rgb, unlimited = generator.synthesis.b16.torgb, free.synthesis.b16.torgb
    assert torch.allclose(to_rgb(x, w[:, 0]), unlimited(x, w[:, 0]).clamp(-1.5, 1.5), atol=1e-6)
    assert unlimited(x, w[:, 0]).abs().max() > 2


def literal_resample(x, taps, up, down, padding):
    """Zero insertion, padding (cropping where negative), convolution with each tap, decimation."""
    n, c, h, w = x.shape
    stuffed = x.new_zeros(n, c, h * up, w * up)
    stuffed[:, :, ::up, ::up] = x
    stuffed = F.pad(stuffed, padding)
    taps = torch.outer(taps, taps) if taps.dim() == 1 else taps
    height, width = stuffed.shape[2] - len(taps) + 1, stuffed.shape[3] - len(taps) + 1
    y = x.new_zeros(n, c, height, width)
    for i in range(len(taps)):
        for j in range(len(taps)):
            # Convolution: the first tap meets the last sample under the filter.
            y += stuffed[:, :, len(taps) - 1 - i :, len(taps) - 1 - j :][:, :, :height, :width] * taps[i, j]
    return y[:, :, ::down, ::down] * up**2


def literal_layer(config, state, name, x, w):
    """One sample at a time with modulated weights, as the paper writes it."""
    style = w @ state[f"{name}.affine.weight"].t() / math.sqrt(len(w)) + state[f"{name}.affine.bias"]
    weight = state[f"{name}.weight"]
    if config.to_rgb:
        weight = weight * (style / math.sqrt(weight[0].numel()))[None, :, None, None]
    else:
        weight = weight * style[None, :, None, None]
        weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
    weight = weight / state[f"{name}.magnitude_ema"].sqrt()
    x = F.conv2d(x, weight, padding=config.kernel - 1) + state[f"{name}.bias"][None, :, None, None]
    one = torch.ones(1, dtype=torch.float64)
    x = literal_resample(x, state.get(f"{name}.up_filter", one), config.up, 1, config.padding)
    if not config.to_rgb:
        x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    x = x.clamp(-config.conv_clamp, config.conv_clamp)
    return literal_resample(x, state.get(f"{name}.down_filter", one), 1, config.down, (0, 0, 0, 0))


def literal_features(config, state, w):
    """The Fourier features of one sample, pixel by pixel."""
    part = lambda name: state[f"synthesis.input.{name}"]
    c, s, tx, ty = w @ part("affine.weight").t() / math.sqrt(len(w)) + part("affine.bias")
    length = (c * c + s * s).sqrt()
    c, s, tx, ty = c / length, s / length, tx / length, ty / length
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    shift = torch.tensor([[1, 0, -tx], [0, 1, -ty], [0, 0, 1]], dtype=torch.float64)
    place = turn @ shift @ part("transform")
    size, rate = config.input_size, config.sampling_rate
    result = torch.zeros(len(part("phases")), size, size, dtype=torch.float64)
    for row in range(size):
        for column in range(size):
            pixel = torch.tensor([(column + 0.5) / size - 0.5, (row + 0.5) / size - 0.5, 1 * rate / size])
            point = place[:2] @ (pixel.double() * size / rate)
            result[:, row, column] = torch.sin(2 * math.pi * (part("freqs") @ point + part("phases")))
    reach = (part("freqs") @ place[:2, :2]).norm(dim=1)
    fade = (1 - (reach - config.bandwidth) / (rate / 2 - config.bandwidth)).clamp(0, 1)
    weight = part("weight") / math.sqrt(len(fade))
    return torch.einsum("oc,c,chw->ohw", weight, fade, result)[None]


@pytest.mark.parametrize("kernel, radial", [(1, True), (3, False)], ids=["R", "T"])
def test_stylegan3_equals_the_literal_formula(kernel, radial, tmp_path):
    config = stylegan3_config(kernel, radial)
    loaded = written(lively(Generator.create(config, seed=3)), tmp_path / "network.pkl")
    assert loaded.config == config
    angle = 0.3  # turned, shifted and shrunk so far that frequencies fade out
    loaded.synthesis.input.transform.copy_(torch.tensor(
        [[2.5 * math.cos(angle), -2.5 * math.sin(angle), 0.2], [2.5 * math.sin(angle), 2.5 * math.cos(angle), -0.1],
         [0, 0, 1]]))  # fmt: skip
    w = loaded.mapping(latents_from_seed(4, 2, 10))
    state = {name: value.double() for name, value in loaded.state_dict().items()}
    for sample, image in zip(w.double(), loaded.synthesis(w), strict=True):
        x = literal_features(config, state, sample[0])
        for index, layer in enumerate(config.layers):
            x = literal_layer(layer, state, f"synthesis.{layer.name(index)}", x, sample[index + 1])
        assert image.shape == (3, 32, 32) and image.std() > 1e-3
        assert torch.allclose(image.double(), x[0] * 0.25, atol=1e-4)


def test_the_users_transform_comes_with_the_file_and_moves_the_picture(tmp_path):
    config = stylegan3_config(kernel=3, radial=False)
    generator = lively(Generator.create(config, seed=3))
    w = generator.mapping(latents_from_seed(4, 1, 10))
    still = generator.synthesis(w)
    generator.synthesis.input.transform[0, 2] = 4 / 16  # four samples of the input
    moved = written(generator, tmp_path / "moved.pkl").synthesis(w)
    assert torch.equal(moved, generator.synthesis(w))
    # The inverse transform looks to the right, so the picture moves to the left: 8 of its pixels.
    inside = (slice(None), slice(None), slice(8, 24))
    assert (moved[*inside, 8:16] - still[*inside, 16:24]).abs().mean() < 0.2 * still.std()
    assert (moved - still).abs().mean() > 0.3 * still.std()


def test_bf16_is_close_to_float32():
    generator, expected = recorded("stylegan3t-64")
    rough = generator.set_precision("bf16").synthesis(expected["w_psi07_cut8"][:1])
    error = (rough - expected["image_psi07_cut8_const"][:1]).square().mean().sqrt()
    assert 0 < float(error) < 0.02
