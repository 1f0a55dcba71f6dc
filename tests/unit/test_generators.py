"""Generators: the formulas against a literal implementation, files, truncation, damage."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig, latents_from_seed, load_generator, save_generator
from models.generators.layers import SynthesisLayer, upsample_image

ROOT = Path(__file__).resolve().parents[2]
SMALL = GeneratorConfig(resolution=32, channels={4: 24, 8: 16, 16: 16, 32: 8})


@pytest.fixture()
def small() -> Generator:
    return lively(Generator.create(SMALL, seed=3))


def lively(generator: Generator) -> Generator:
    """Noise and biases that matter, so that a formula that forgets them is caught."""
    draw = torch.Generator().manual_seed(5)
    for name, value in generator.state_dict().items():
        if name.endswith(("noise_strength", "bias", "w_avg")):
            value += torch.randn(value.shape, generator=draw) * 0.3
    return generator.eval().requires_grad_(False)


def literal_upfirdn(x: torch.Tensor, up: int, before: int, after: int, gain: float) -> torch.Tensor:
    """Insert zeros, pad, filter with [1, 3, 3, 1]: one loop per output pixel's tap."""
    n, c, h, w = x.shape
    stuffed = torch.zeros(n, c, h * up, w * up)
    stuffed[:, :, ::up, ::up] = x
    padded = F.pad(stuffed, (before, after, before, after))
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    height, width = padded.shape[2] - 3, padded.shape[3] - 3
    y = torch.zeros(n, c, height, width)
    for i in range(4):
        for j in range(4):
            y += padded[:, :, i : i + height, j : j + width] * taps[i] * taps[j] * gain
    return y


def literal_layer(layer: SynthesisLayer, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """One sample at a time with modulated and demodulated weights, as the paper writes it."""
    results = []
    for sample, code in zip(x, w, strict=False):
        style = code @ layer.affine.weight.t() / math.sqrt(len(code)) + layer.affine.bias
        weight = layer.weight * style[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.up:
            y = F.conv_transpose2d(sample[None], weight.transpose(0, 1), stride=2)
            y = literal_upfirdn(y, 1, 1, 1, 4.0)
        else:
            y = F.conv2d(sample[None], weight, padding=1)
        y = y + layer.noise_const * layer.noise_strength + layer.bias[None, :, None, None]
        results.append(F.leaky_relu(y, 0.2) * math.sqrt(2))
    return torch.cat(results)


@pytest.mark.parametrize("up", [False, True])
def test_layer_equals_the_literal_formula(up):
    torch.manual_seed(0)
    layer = SynthesisLayer(6, 5, 12, 16, up=up).requires_grad_(False)
    layer.noise_strength.fill_(0.4)
    layer.bias.normal_()
    x, w = torch.randn(3, 6, 8 if up else 16, 8 if up else 16), torch.randn(3, 12)
    assert torch.allclose(layer(x, w), literal_layer(layer, x, w), atol=2e-5)


def test_image_upsampling_equals_zero_insertion_and_filter():
    x = torch.randn(2, 4, 6, 6)
    assert torch.allclose(upsample_image(x), literal_upfirdn(x, 2, 2, 1, 4.0), atol=1e-6)


def test_names_are_those_of_official_checkpoints():
    names = set(Generator.create(GeneratorConfig()).state_dict())
    assert {
        "mapping.fc0.weight",
        "mapping.w_avg",
        "synthesis.b4.const",
        "synthesis.b4.conv1.affine.bias",
        "synthesis.b128.conv0.noise_strength",
        "synthesis.b128.conv1.noise_const",
        "synthesis.b128.torgb.weight",
    } <= names
    assert not any("resample" in name or ("conv0" in name and ".b4." in name) for name in names)


def test_shapes_and_ranges(small):
    w = small.mapping(latents_from_seed(1, 3))
    assert (small.resolution, small.z_dim, small.c_dim, small.num_ws, small.w_dim) == (32, 512, 0, 8, 512)
    assert w.shape == (3, 8, 512)
    assert small.synthesis(w).shape == (3, 3, 32, 32)
    colour, alpha = small.foreground(w)
    assert colour.shape == (3, 3, 32, 32) and alpha.shape == (3, 1, 32, 32)
    assert colour.min() >= 0 and alpha.max() <= 1 and bool((colour <= alpha).all())
    assert torch.allclose(small.synthesis(w), (colour + (1 - alpha) * 0.5) * 2 - 1)


def test_a_generator_without_matte_is_opaque():
    config = GeneratorConfig(resolution=8, img_channels=3, channels={4: 8, 8: 8})
    generator = Generator.create(config).requires_grad_(False)
    w = generator.mapping(latents_from_seed(0, 2))
    colour, alpha = generator.foreground(w)
    assert bool((alpha == 1).all())
    assert torch.allclose(colour, (generator.synthesis(w) / 2 + 0.5).clamp(0, 1))


def test_truncation_moves_towards_the_average(small):
    z = latents_from_seed(2, 2)
    whole, cut = small.mapping(z), small.mapping(z, truncation_psi=0.7, truncation_cutoff=3)
    assert torch.allclose(cut[:, :3], small.w_avg + 0.7 * (whole[:, :3] - small.w_avg), atol=1e-6)
    assert torch.equal(cut[:, 3:], whole[:, 3:])
    assert torch.allclose(small.mapping(z, truncation_psi=0.0), small.w_avg.expand(2, 8, 512))


def test_noise_modes(small):
    w = small.mapping(latents_from_seed(2, 1))
    assert torch.equal(small.synthesis(w), small.synthesis(w, noise="const"))
    assert not torch.equal(small.synthesis(w), small.synthesis(w, noise="none"))
    assert not torch.equal(small.synthesis(w, noise="random"), small.synthesis(w, noise="random"))
    with pytest.raises(ValueError, match="noise"):
        small.synthesis(w, noise="loud")


def test_a_seed_is_the_same_face_everywhere():
    z = latents_from_seed(7, 2)
    assert z.shape == (2, 512) and torch.equal(z, latents_from_seed(7, 2))
    assert torch.equal(z[:1], latents_from_seed(7))
    assert z[0, :3].tolist() == pytest.approx([-0.8201, 0.3956, 0.8989], abs=1e-4)


def test_bf16_is_close_to_float32(small):
    w = small.mapping(latents_from_seed(4, 1))
    exact = small.synthesis(w)
    rough = small.set_precision("bf16").synthesis(w)
    error = (exact - rough).square().mean().sqrt()
    assert 0 < float(error) < 0.02
    assert small.precision == "bf16" and rough.dtype == torch.float32


def test_save_and_load(small, tmp_path):
    path = save_generator(small, tmp_path / "small.safetensors", {"name": "small"})
    loaded = load_generator(path)
    z = latents_from_seed(1, 2)
    assert loaded.metadata == {"name": "small"} and loaded.config == small.config
    assert torch.allclose(loaded.mapping(z), small.mapping(z), atol=2e-2)
    assert torch.allclose(loaded.synthesis(loaded.mapping(z)), small.synthesis(small.mapping(z)), atol=2e-2)
    assert not any(p.requires_grad for p in loaded.parameters())
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.safetensors"]


def damaged(tmp_path, small, change) -> str:
    """A saved generator whose header and tensors ``change(header, state)`` has altered."""
    path = save_generator(small, tmp_path / "g.safetensors")
    header = {"format": "stylerig-generator-1", "config": json.dumps(small.config.to_json()), "metadata": "{}"}
    state = load_file(path)
    change(header, state)
    save_file(state, path, header)
    return path


CHANGES = {
    "not numbers": lambda h, s: s["mapping.fc0.bias"].fill_(float("nan")),
    "shape": lambda h, s: s.update({"mapping.fc0.bias": torch.zeros(7)}),
    "missing": lambda h, s: s.pop("synthesis.b8.torgb.weight"),
    "belong": lambda h, s: s.update({"extra": torch.zeros(1)}),
    "has the shape": lambda h, s: h.update({"format": "pt"}),
    "JSON": lambda h, s: h.update({"config": "{"}),
    "resolution": lambda h, s: h.update({"config": '{"resolution": 1000000}'}),
    "unknown names": lambda h, s: h.update({"config": '{"layers": 3}'}),
    "channel count": lambda h, s: h.update({"config": '{"resolution": 64, "channels": {"4": 8}}'}),
}


@pytest.mark.parametrize("word", CHANGES)
def test_damaged_files_are_refused(word, tmp_path, small):
    path = damaged(tmp_path, small, CHANGES[word])
    with pytest.raises(StyleRigError, match=word):
        load_generator(path)


def test_truncated_and_missing_files_are_refused(tmp_path, small):
    path = save_generator(small, tmp_path / "g.safetensors")
    content = path.read_bytes()
    for length in (0, 4, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(StyleRigError, match=r"g\.safetensors"):
            load_generator(path)
    with pytest.raises(StyleRigError, match="no generator"):
        load_generator(tmp_path / "none.safetensors")


def test_weights_that_are_not_numbers_are_not_saved(tmp_path, small):
    small.mapping.fc0.weight[0, 0] = float("inf")
    with pytest.raises(StyleRigError, match="fc0"):
        save_generator(small, tmp_path / "g.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_loading_a_generator_imports_neither_the_studio_nor_its_tools():
    shipped = ROOT / "models" / "weights" / "stylerig-generator.safetensors"
    program = f"""
import sys
from models.generators import load_generator
load_generator({str(shipped)!r})
print(*sorted(sys.modules))
"""
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "models.generators.semantic_mapping.studio_v1" in loaded
    unwanted = ("cv2", "PIL", "numba", "models.synthetic", "models.training", "models.evaluation", "models.rigging")
    builders = {name for name in loaded if name.startswith("models.face.own_head.")} - {"models.face.own_head.storage"}
    assert not builders, "the head is loaded, not built"
    assert [name for name in loaded if name in unwanted or name.startswith(tuple(f"{part}." for part in unwanted))] == []
