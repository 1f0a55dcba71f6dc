"""StyleGAN 1 and ProGAN against a slow, literal implementation, through files in the legacy structure.

The implementation below follows the published TensorFlow code operation by operation, in numpy
and float64, with the variables as that code names and shapes them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.generators import Generator, load_engine, load_generator, mix_styles, save_generator
from tests.data.official_format import TRIPWIRE, EasyDict, Network, OldNetwork, dumps
from tests.helpers.damage import refused_flips

Variables = dict[str, np.ndarray]


# TensorFlow's operations -------------------------------------------------------------------


def conv2d(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """tf.nn.conv2d, NCHW, stride 1, SAME, w (k, k, in, out)."""
    k = len(w)
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    y = np.zeros((len(x), w.shape[3], *x.shape[2:]))
    for row in range(k):
        for column in range(k):
            window = padded[:, :, row : row + x.shape[2], column : column + x.shape[3]]
            y += np.einsum("nihw,io->nohw", window, w[row, column])
    return y


def conv2d_transpose(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """tf.nn.conv2d_transpose, NCHW, stride 2, SAME, w (4, 4, out, in): the gradient of a convolution."""
    n, _, height, width = x.shape
    full = np.zeros((n, w.shape[2], 2 * height + 2, 2 * width + 2))
    for row in range(4):
        for column in range(4):
            full[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] += np.einsum("nihw,oi->nohw", x, w[row, column])
    return full[:, :, 1:-1, 1:-1]


def weight(variables: Variables, name: str, gain: float = np.sqrt(2), fan_in: int | None = None, lrmul: float = 1.0):
    """get_weight with use_wscale."""
    w = variables[f"{name}/weight"].astype(np.float64)
    return w * gain / np.sqrt(fan_in or np.prod(w.shape[:-1])) * lrmul


def lrelu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.2 * x)


def pixel_norm(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(np.square(x), axis=1, keepdims=True) + 1e-8)


def bias(variables: Variables, name: str, x: np.ndarray) -> np.ndarray:
    b = variables[f"{name}/bias"].astype(np.float64)
    return x + (b if x.ndim == 2 else b[None, :, None, None])


def fused_weight(w: np.ndarray) -> np.ndarray:
    """(3, 3, …) spread over the four places that a sample is copied to: (4, 4, …)."""
    w = np.pad(w, ((1, 1), (1, 1), (0, 0), (0, 0)))
    return w[1:, 1:] + w[:-1, 1:] + w[1:, :-1] + w[:-1, :-1]


def upscale2d(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, axis=2).repeat(2, axis=3)


def blur2d(x: np.ndarray) -> np.ndarray:
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return sum(taps[i, j] * padded[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i in range(3) for j in range(3))


# StyleGAN 1 --------------------------------------------------------------------------------


def literal_mapping(mapping: Variables, z: np.ndarray, c: np.ndarray | None, lrmul: float) -> np.ndarray:
    x = z if c is None else np.concatenate([z, c @ mapping["LabelConcat/weight"]], axis=1)
    x = pixel_norm(x)
    for index in range(sum("Dense" in name for name in mapping) // 2):
        x = x @ weight(mapping, f"Dense{index}", lrmul=lrmul) + mapping[f"Dense{index}/bias"] * lrmul
        x = lrelu(x)
    return x


def epilogue(variables: Variables, name: str, x: np.ndarray, layer: int, w: np.ndarray, noise: bool) -> np.ndarray:
    if noise:
        x = x + variables[f"noise{layer}"] * variables[f"{name}/Noise/weight"][None, :, None, None]
    x = lrelu(bias(variables, name, x))
    x = x - x.mean(axis=(2, 3), keepdims=True)
    x = x / np.sqrt(np.mean(np.square(x), axis=(2, 3), keepdims=True) + 1e-8)
    style = bias(variables, f"{name}/StyleMod", w[:, layer] @ weight(variables, f"{name}/StyleMod", gain=1))
    style = style.reshape(len(w), 2, -1, 1, 1)
    return x * (style[:, 0] + 1) + style[:, 1]


def literal_stylegan1(variables: Variables, w: np.ndarray, sizes: list[int], fused, noise: bool = True) -> np.ndarray:
    x = np.repeat(variables["4x4/Const/const"].astype(np.float64), len(w), axis=0)
    x = epilogue(variables, "4x4/Const", x, 0, w, noise)
    x = epilogue(variables, "4x4/Conv", conv2d(x, weight(variables, "4x4/Conv")), 1, w, noise)
    for level, size in enumerate(sizes[1:], 1):
        name = f"{size}x{size}/Conv0_up"
        if size >= 128 if fused == "auto" else fused:
            x = conv2d_transpose(x, fused_weight(weight(variables, name).transpose(0, 1, 3, 2)))
        else:
            x = conv2d(upscale2d(x), weight(variables, name))
        x = epilogue(variables, name, blur2d(x), 2 * level, w, noise)
        name = f"{size}x{size}/Conv1"
        x = epilogue(variables, name, conv2d(x, weight(variables, name)), 2 * level + 1, w, noise)
    return bias(variables, "ToRGB_lod0", conv2d(x, weight(variables, "ToRGB_lod0", gain=1)))


def draw(shape: tuple[int, ...], rng: np.random.Generator, spread: float = 1.0) -> np.ndarray:
    return (rng.standard_normal(shape) * spread).astype(np.float32)


def stylegan1_variables(channels: dict[int, int], z_dim: int, w_dim: int, labels: int) -> tuple[Variables, Variables]:
    """Of the mapping and of the synthesis, every one of them with an effect."""
    rng = np.random.default_rng(1)
    inputs = z_dim * (2 if labels else 1)
    mapping = {"LabelConcat/weight": draw((labels, z_dim), rng)} if labels else {}
    for index in range(3):
        mapping[f"Dense{index}/weight"] = draw((inputs, w_dim), rng, 100)
        mapping[f"Dense{index}/bias"] = draw((w_dim,), rng, 9)
        inputs = w_dim
    synthesis, before = {"lod": np.float32(0), "4x4/Const/const": draw((1, channels[4], 4, 4), rng)}, 0
    for level, (size, count) in enumerate(channels.items()):
        for place, kind in enumerate(("Const", "Conv") if size == 4 else ("Conv0_up", "Conv1")):
            name = f"{size}x{size}/{kind}"
            synthesis |= {f"noise{2 * level + place}": draw((1, 1, size, size), rng),
                          f"{name}/bias": draw((count,), rng), f"{name}/Noise/weight": draw((count,), rng),
                          f"{name}/StyleMod/bias": draw((2 * count,), rng), f"{name}/StyleMod/weight": draw((w_dim, 2 * count), rng)}  # fmt: skip
            if kind != "Const":
                synthesis[f"{name}/weight"] = draw((3, 3, count if place else before, count), rng)
        lod = max(channels).bit_length() - size.bit_length()
        synthesis |= {f"ToRGB_lod{lod}/weight": draw((1, 1, count, 3), rng), f"ToRGB_lod{lod}/bias": draw((3,), rng)}
        before = count
    return mapping, synthesis


def stylegan1_file(mapping: Variables, synthesis: Variables, average: np.ndarray, **arguments) -> tuple:
    """(G, D, Gs) as StyleGAN 1 pickles it."""

    def network(name: str, variables: Variables, components=None) -> Network:
        return Network(
            version=3,
            name=name,
            static_kwargs=EasyDict(arguments),
            components=EasyDict(components or {}),
            build_module_src=TRIPWIRE,
            build_func_name=name,
            variables=list(variables.items()),
        )

    parts = {"synthesis": network("G_synthesis", synthesis), "mapping": network("G_mapping", mapping)}
    whole = network("G_style", {"lod": np.float32(0), "dlatent_avg": average}, parts)
    return whole, network("D_basic", {"FromRGB_lod0/weight": np.zeros((1, 1, 3, 2), "f4")}), whole


SMALL = {4: 6, 8: 5, 16: 4}


@pytest.mark.parametrize("fused, labels, channels", [
    ("auto", 0, SMALL), (True, 3, SMALL), (False, 3, SMALL),
    ("auto", 0, {4: 3, 8: 3, 16: 2, 32: 2, 64: 2, 128: 2}),
], ids=["auto", "fused", "not fused", "128"])  # fmt: skip
def test_stylegan1_equals_the_literal_formula(fused, labels, channels, tmp_path):
    mapping, synthesis = stylegan1_variables(channels, 7, 9, labels)
    average = draw((9,), np.random.default_rng(2))
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps(stylegan1_file(mapping, synthesis, average, fused_scale=fused, mapping_lrmul=0.02)))
    generator = load_generator(path)
    assert generator.metadata["kind"] == "StyleGAN 1, NVIDIA's TensorFlow pickle"
    assert (generator.z_dim, generator.w_dim, generator.c_dim) == (7, 9, labels)
    assert (generator.num_ws, generator.resolution) == (2 * len(channels), max(channels))
    z = torch.randn(2, 7, generator=torch.Generator().manual_seed(3))
    c = torch.eye(3)[:2] if labels else None
    expected = literal_mapping(mapping, z.double().numpy(), None if c is None else c.double().numpy(), 0.02)
    w = generator.mapping(z, c, truncation_psi=0.7, truncation_cutoff=3)
    codes = np.repeat(expected[:, None], generator.num_ws, axis=1)
    codes[:, :3] = average + 0.7 * (codes[:, :3] - average)
    assert np.abs(w.numpy() - codes).max() < 1e-5
    for noise in ("const", "none"):
        picture = literal_stylegan1(synthesis, codes, list(channels), fused, noise == "const")
        assert picture.std() > 0.1
        assert np.abs(generator.synthesis(w, noise).numpy() - picture).max() < 1e-4


# ProGAN ------------------------------------------------------------------------------------


def progan_variables(channels: dict[int, int], width: int, fused: bool) -> Variables:
    rng = np.random.default_rng(4)
    variables, before = {"lod": np.float32(0)}, width
    for size, count in channels.items():
        first, second = ("Dense", "Conv") if size == 4 else ("Conv0_up" if fused else "Conv0", "Conv1")
        shape = (width, 16 * count) if size == 4 else (3, 3, count, before) if fused else (3, 3, before, count)
        lod = max(channels).bit_length() - size.bit_length()
        variables |= {
            f"{size}x{size}/{first}/weight": draw(shape, rng),
            f"{size}x{size}/{first}/bias": draw((count,), rng),
            f"{size}x{size}/{second}/weight": draw((3, 3, count, count), rng),
            f"{size}x{size}/{second}/bias": draw((count,), rng),
            f"ToRGB_lod{lod}/weight": draw((1, 1, count, 3), rng),
            f"ToRGB_lod{lod}/bias": draw((3,), rng),
        }
        before = count
    return variables


def literal_progan(variables: Variables, z: np.ndarray, sizes: list[int], fused: bool) -> np.ndarray:
    def finish(name: str, x: np.ndarray) -> np.ndarray:
        return pixel_norm(lrelu(bias(variables, name, x)))

    x = pixel_norm(z) @ weight(variables, "4x4/Dense", gain=np.sqrt(2) / 4)
    x = finish("4x4/Dense", x.reshape(len(z), -1, 4, 4))
    x = finish("4x4/Conv", conv2d(x, weight(variables, "4x4/Conv")))
    for size in sizes[1:]:
        if fused:
            name = f"{size}x{size}/Conv0_up"
            w = weight(variables, name, fan_in=9 * x.shape[1])
            x = finish(name, conv2d_transpose(x, fused_weight(w)))
        else:
            name = f"{size}x{size}/Conv0"
            x = finish(name, conv2d(upscale2d(x), weight(variables, name)))
        name = f"{size}x{size}/Conv1"
        x = finish(name, conv2d(x, weight(variables, name)))
    return bias(variables, "ToRGB_lod0", conv2d(x, weight(variables, "ToRGB_lod0", gain=1)))


def progan_file(variables: Variables, **arguments) -> tuple:
    common = {"version": 2, "static_kwargs": arguments, "build_module_src": TRIPWIRE}
    network = OldNetwork(**common, name="Gs", build_func_name="G_paper", variables=list(variables.items()))
    judge = OldNetwork(**common, name="D", build_func_name="D_paper",
                       variables=[("FromRGB_lod0/weight", np.zeros((1, 1, 3, 2), "f4"))])  # fmt: skip
    return network, judge, network


@pytest.mark.parametrize("fused, labels", [(True, 0), (False, 2)])
def test_progan_equals_the_literal_formula(fused, labels, tmp_path):
    variables = progan_variables(SMALL, 7 + labels, fused)
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps(progan_file(variables, label_size=labels, resolution=16)))
    generator = load_generator(path)
    assert generator.metadata["kind"] == "ProGAN, NVIDIA's TensorFlow pickle"
    assert (generator.z_dim, generator.c_dim, generator.num_ws, generator.resolution) == (7, labels, 1, 16)
    z = torch.randn(2, 7, generator=torch.Generator().manual_seed(3))
    c = torch.eye(2) if labels else None
    inputs = torch.cat((z, c), dim=1) if labels else z
    expected = literal_progan(variables, inputs.double().numpy(), list(SMALL), fused)
    w = generator.mapping(z, c)
    assert expected.std() > 0.1 and np.abs(generator.synthesis(w).numpy() - expected).max() < 1e-4
    assert torch.allclose(generator.mapping(z, c, truncation_psi=0.5), w / 2)


# Files and use -----------------------------------------------------------------------------


def small_file(kind: str, **changes) -> tuple:
    """A good file with some variables changed; None leaves one out."""
    if kind == "progan":
        variables = progan_variables(SMALL, 7, True) | changes
        return progan_file({name: value for name, value in variables.items() if value is not None})
    mapping, synthesis = stylegan1_variables(SMALL, 7, 9, 0)
    synthesis = {name: value for name, value in (synthesis | changes).items() if value is not None}
    return stylegan1_file(mapping, synthesis, np.zeros(9, "f4"))


def loaded(kind: str, folder: Path) -> Generator:
    path = folder / f"{kind}.pkl"
    path.write_bytes(dumps(small_file(kind)))
    return load_generator(path)


@pytest.mark.parametrize("kind", ["stylegan1", "progan"])
def test_conversion_and_engine_change_nothing(kind, tmp_path):
    generator = loaded(kind, tmp_path)
    converted = load_generator(save_generator(generator, tmp_path / "converted.safetensors"))
    assert converted.config == generator.config and converted.metadata["sha256"] == generator.metadata["sha256"]
    w = generator.mapping(torch.ones(2, 7))
    engine = load_engine(converted, "exact")
    assert engine.name == "plain torch, float32"
    assert torch.equal(engine.synthesis(w), generator.synthesis(w))


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", ["stylegan1", "progan"])
def test_protocols(kind, protocol, tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps(small_file(kind), protocol))
    assert load_generator(path).config == loaded(kind, tmp_path).config


def test_noise_by_seed_and_mixed_styles(tmp_path):
    generator = loaded("stylegan1", tmp_path)
    w, other = generator.mapping(torch.ones(1, 7)), generator.mapping(-torch.ones(1, 7))
    drawn = [generator.synthesis(w, "random", seed) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    mixed = mix_styles(w, other, range(4, 6))
    assert torch.equal(mixed[:, :4], w[:, :4]) and torch.equal(mixed[:, 4:], other[:, 4:])
    assert not torch.equal(generator.synthesis(mixed), generator.synthesis(w))


@pytest.mark.parametrize("kind, changes, reason", [
    ("stylegan1", {"8x8/Conv1/bias": None}, "b8.conv1.bias is missing"),
    ("stylegan1", {"8x8/Conv1/weight": np.zeros((3, 3, 5, 9), "f4")}, "has the shape (5,), expected (9,)"),
    ("stylegan1", {"8x8/Conv1/StyleMod/scale": np.zeros(3, "f4")}, "is no part of a StyleGAN 1"),
    ("stylegan1", {"ToRGB_lod0/weight": np.zeros((1, 1, 4, 1), "f4")}, "pictures of 1 channels"),
    ("stylegan1", {"lod": np.float32(1.5)}, "before it had grown"),
    ("progan", {"4x4/Dense/weight": np.zeros((7, 15), "f4")}, "does not make pictures of 4 x 4"),
    ("progan", {"16x16/Conv1/bias": np.full(4, np.inf, "f4")}, "not numbers"),
    ("progan", {"16x16/Blur/bias": np.zeros(4, "f4")}, "is no part of a ProGAN"),
    ("progan", {"ToRGB_lod0/bias": None}, "torgb.bias is missing"),
])  # fmt: skip
def test_variables_that_do_not_fit(kind, changes, reason, tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps(small_file(kind, **changes)))
    with pytest.raises(StyleRigError) as caught:
        load_generator(path)
    assert reason in caught.value.message and str(path) in caught.value.message


@pytest.mark.parametrize("name, value", [("use_pixel_norm", True), ("use_noise", False), ("fused_scale", "never"),
                                         ("blur_filter", [1, 1])])  # fmt: skip
def test_arguments_that_change_the_network_are_refused_by_name(name, value, tmp_path):
    mapping, synthesis = stylegan1_variables(SMALL, 7, 9, 0)
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps(stylegan1_file(mapping, synthesis, np.zeros(9, "f4"), **{name: value})))
    with pytest.raises(StyleRigError, match=name):
        load_generator(path)


@pytest.mark.parametrize("kind", ["stylegan1", "progan"])
def test_truncated_and_flipped(kind, tmp_path):
    data, path = dumps(small_file(kind)), tmp_path / "damaged.pkl"
    for part in range(20):
        path.write_bytes(data[: len(data) * part // 20])
        with pytest.raises(StyleRigError, match=r"damaged.pkl"):
            load_generator(path)
    assert refused_flips(path, data, 150) > 15
