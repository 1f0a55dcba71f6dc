"""SeFa: which layers there are in every network, and that the directions are the eigenvectors of the published method."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.editing.layers import parse_layers, style_layers, ws_places
from models.editing.sefa import factorize, find_directions, stacked_weights
from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig, load_generator, save_generator
from models.generators.config import ProGANConfig, StyleGAN1Config, StyleGAN2Config
from models.generators.guided import GuidedConfig
from tests.data.official_format import lively, stylegan3_config

CHANNELS = {4: 10, 8: 8, 16: 6}
SIZES = {"resolution": 16, "z_dim": 12, "w_dim": 12, "mapping_layers": 2}
CONFIGS = {
    "studio": GeneratorConfig(channels=CHANNELS, **SIZES),
    "stylegan1": StyleGAN1Config(channels=CHANNELS, **SIZES),
    "stylegan2": StyleGAN2Config(channels=CHANNELS, **SIZES),
    "stylegan3": stylegan3_config(),
    "progan": ProGANConfig(channels=CHANNELS, **SIZES),
    "guided": GuidedConfig(channels=CHANNELS, guide_channels=3, mattes=("skin",), **SIZES),
}
STYLEGAN2_LAYERS = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
LAYERS = {
    "studio": STYLEGAN2_LAYERS,
    "stylegan1": ["b4.conv0", "b4.conv1", *STYLEGAN2_LAYERS[1:]],
    "stylegan2": STYLEGAN2_LAYERS,
    "stylegan3": ["L0_36_8", "L1_52_6", "L2_32_5"],
    "progan": ["b4.conv0"],
    "guided": STYLEGAN2_LAYERS,
}


@pytest.fixture(scope="module", params=CONFIGS)
def generator(request, tmp_path_factory) -> Generator:
    """A generator of each kind, as it comes out of its file."""
    path = tmp_path_factory.mktemp(request.param) / "g.safetensors"
    save_generator(lively(Generator.create(CONFIGS[request.param], seed=2)), path)
    generator = load_generator(path)
    generator.kind = request.param
    return generator


def synthesis_of(kind: str) -> torch.nn.Module:
    return Generator.create(CONFIGS[kind], seed=2).eval().requires_grad_(False).synthesis


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_the_convolutions_with_styles_coarse_ones_first(kind):
    assert [layer.name for layer in style_layers(synthesis_of(kind))] == LAYERS[kind]


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "progan"])
def test_each_layer_reads_w_at_its_place(kind):
    """What each affine is given while a picture is drawn is the w at the place that the layer names."""
    synthesis, config = synthesis_of(kind), CONFIGS[kind]
    ws = torch.randn(1, config.num_ws, config.w_dim, generator=torch.Generator().manual_seed(1))
    modules, given = dict(synthesis.named_modules()), {}
    layers = style_layers(synthesis)
    for layer in layers:
        modules[layer.name].affine.register_forward_hook(lambda _, inputs, __, name=layer.name: given.update({name: inputs[0]}))
    synthesis.raw(ws, **({"guide": torch.zeros(1, 3, 16, 16)} if kind == "guided" else {}))
    for layer in layers:
        assert torch.equal(given[layer.name], ws[:, layer.place]), layer.name
        assert layer.weight.shape[1] == config.w_dim


def published(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """factorize_weight of genforce/sefa: weight (w_dim, K) -> eigenvalues and rows of eigenvectors, in LAPACK's order."""
    weight = weight / np.linalg.norm(weight, axis=0, keepdims=True)
    values, vectors = np.linalg.eig(weight.dot(weight.T))
    return values, vectors.T


def published_weight(generator: Generator, layers) -> np.ndarray:
    """The matrix (w_dim, K) that it factorises, from our state."""
    state = {name: value.numpy() for name, value in generator.state_dict().items()}
    if generator.kind == "progan":
        ours = state["synthesis.b4.conv0.weight"]  # (out, 16, in)
        weight = ours.transpose(0, 2, 1).reshape(ours.shape[0], ours.shape[2], 4, 4)
        return np.flip(weight, axis=(2, 3)).transpose(1, 0, 2, 3).reshape(ours.shape[2], -1)
    return np.concatenate([state[f"synthesis.{LAYERS[generator.kind][layer]}.affine.weight"].T for layer in layers], axis=1)


def test_directions_are_the_published_ones_sorted(generator):
    layers = range(len(style_layers(generator.synthesis)))
    for chosen in {tuple(layers), tuple(layers)[:2], tuple(layers)[-1:]}:
        values, vectors = published(published_weight(generator, chosen).astype(np.float64))
        order = np.argsort(-values.real)
        count = min(5, int((values.real > 1e-3).sum()))  # those of no eigenvalue are any
        found = find_directions(generator, chosen, count)
        assert np.allclose(found.eigenvalues, values.real[order][:count], rtol=1e-4)
        cosines = np.abs((found.rows.numpy() * vectors.real[order][:count]).sum(axis=1))
        assert np.allclose(cosines, 1, atol=1e-4), generator.kind
        assert found.header.layers == chosen


def test_eigenvalues_say_how_much_the_styles_change(generator):
    layers = range(len(style_layers(generator.synthesis)))
    found = find_directions(generator, layers, generator.w_dim)
    unit = torch.nn.functional.normalize(stacked_weights(generator.synthesis, layers), dim=1)
    assert torch.allclose((unit @ found.rows.mT).square().sum(dim=0), found.eigenvalues, rtol=1e-3, atol=1e-5)
    assert (found.eigenvalues.diff() <= 0).all()
    assert torch.allclose(found.rows @ found.rows.mT, torch.eye(generator.w_dim), atol=1e-5)


def test_every_channel_counts_the_same_and_signs_are_fixed():
    """Three channels along −e2, of very different sizes, two along e5, and one that is zero."""
    weight = torch.zeros(6, 8)
    weight[0, 2], weight[1, 2], weight[2, 2], weight[3, 5], weight[4, 5] = -1.0, -100.0, -0.01, 7.0, -7.0
    rows, eigenvalues = factorize(weight, 3)
    assert torch.equal(rows[:2], torch.eye(8)[[2, 5]])
    assert torch.allclose(eigenvalues, torch.tensor([3.0, 2.0, 0.0]))


def test_signs_and_results_do_not_change_from_run_to_run(generator):
    first, second = (find_directions(generator, [0], 4) for _ in range(2))
    assert torch.equal(first.rows, second.rows) and torch.equal(first.eigenvalues, second.eigenvalues)
    assert first.header == second.header
    largest = first.rows.gather(1, first.rows.abs().argmax(dim=1, keepdim=True))
    assert (largest > 0).all()


@pytest.mark.parametrize("count", [0, -1, 13])
def test_a_count_that_w_does_not_have_is_refused(count):
    generator = Generator.create(CONFIGS["stylegan2"])
    with pytest.raises(StyleRigError, match="w has 12") as error:
        find_directions(generator, [0], count)
    assert error.value.code == "bad_count"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", range(8)),
        (" all ", range(8)),
        ("0-1,4", (0, 1, 4)),
        ("4,0-1,1", (0, 1, 4)),
        ("7", (7,)),
        ("3-3", (3,)),
        (" 1 - 2 , 5 ", (1, 2, 5)),
    ],
)
def test_layers_are_numbers_and_ranges(text, expected):
    assert parse_layers(text, 8) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither a number"),
        ("0,,1", "neither a number"),
        ("-1", "neither a number"),
        ("1-", "neither a number"),
        ("1.5", "neither a number"),
        ("ALL", "neither a number"),
        ("٣", "neither a number"),
        ("3-1", "runs backwards"),
        ("8", "no layer 8; this generator has 8, from 0 to 7"),
        ("0-8", "no layer 8"),
        ("99999999", "neither a number"),
        ("0," * 600, "1200 characters"),
    ],
)
def test_other_choices_of_layers_are_refused(text, words):
    with pytest.raises(StyleRigError, match=words) as error:
        parse_layers(text, 8)
    assert error.value.code == "bad_layers"


def test_an_edit_of_all_layers_moves_all_of_w_and_of_some_only_theirs():
    for kind, some in (("stylegan1", [1, 2]), ("stylegan2", [1, 2]), ("stylegan3", [2, 3])):
        synthesis, count = synthesis_of(kind), CONFIGS[kind].num_ws
        assert ws_places(synthesis, [1, 2], count) == some
        assert ws_places(synthesis, range(len(LAYERS[kind])), count) == list(range(count))
