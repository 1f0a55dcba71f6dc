"""The networks of looks at their published sizes, counted without memory, and what CoGAN's domains share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.translation import load_look, make_look, save_look
from models.translation.cogan import CoGANDiscriminator, CoGANGenerator
from models.translation.config import (
    CoGANConfig,
    PatchConfig,
    ResNetConfig,
    StarGANConfig,
    StarGANv2Config,
    UNetConfig,
    read_config,
)
from models.translation.errors import ConfigError
from models.translation.layers import initialise_he, initialise_normal, initialise_xavier
from models.translation.patch_discriminator import PatchDiscriminator, make_discriminator
from models.translation.resnet import ResNetGenerator
from models.translation.stargan import StarGANDiscriminator, StarGANGenerator
from models.translation.starganv2 import StarGANv2, StarGANv2Discriminator
from models.translation.unet import UNetGenerator

CELEBA = StarGANConfig(label_sets=(("a", "b", "c", "d", "e"),))
CELEBA_HQ = StarGANv2Config(high_pass=1.0, masks=True, downs=5)
AFHQ = StarGANv2Config(domains=("cat", "dog", "wild"))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("make", "config", "parameters"),
    [  # as the published programs print them
        (UNetGenerator, UNetConfig(), 54_413_955),
        (ResNetGenerator, ResNetConfig(), 11_378_179),
        (make_discriminator, PatchConfig(inputs=6, norm="batch"), 2_768_705),
        (make_discriminator, PatchConfig(), 2_764_737),
        (lambda config: StarGANv2(config).generator, CELEBA_HQ, 43_467_395),
        (lambda config: StarGANv2(config).mapping_network, CELEBA_HQ, 2_438_272),
        (lambda config: StarGANv2(config).style_encoder, CELEBA_HQ, 20_916_928),
        (lambda config: StarGANv2(config).fan, CELEBA_HQ, 6_333_603),
        (StarGANv2Discriminator, CELEBA_HQ, 20_852_290),
        (lambda config: StarGANv2(config).generator, AFHQ, 33_892_995),
    ],
)
def test_published_sizes(make, config, parameters):
    with torch.device("meta"):
        assert count(make(config)) == parameters


@pytest.mark.parametrize(
    ("make", "inputs", "output"),
    [
        (lambda: UNetGenerator(UNetConfig()), [(1, 3, 256, 256)], (1, 3, 256, 256)),
        (lambda: UNetGenerator(UNetConfig(levels=7, inputs=1, outputs=2)), [(1, 1, 128, 128)], (1, 2, 128, 128)),
        (lambda: ResNetGenerator(ResNetConfig(blocks=6)), [(1, 3, 128, 128)], (1, 3, 128, 128)),
        (lambda: make_discriminator(PatchConfig()), [(1, 3, 256, 256)], (1, 1, 30, 30)),
        (lambda: make_discriminator(PatchConfig(layers=0)), [(1, 3, 64, 64)], (1, 1, 64, 64)),
        (lambda: StarGANGenerator(CELEBA), [(2, 3, 128, 128), (2, 5)], (2, 3, 128, 128)),
        (lambda: StarGANv2(AFHQ).generator, [(1, 3, 256, 256), (1, 64)], (1, 3, 256, 256)),
        (lambda: CoGANGenerator(CoGANConfig()), [(2, 100)], (2, 2, 3, 128, 128)),
        (lambda: CoGANDiscriminator(CoGANConfig()), [(3, 2, 3, 128, 128)], (3, 2, 2)),
    ],
)
def test_shapes(make, inputs, output):
    with torch.device("meta"):
        assert make()(*(torch.zeros(shape) for shape in inputs)).shape == output


def test_discriminators_of_stargan():
    with torch.device("meta"):
        scores, attributes = StarGANDiscriminator(CELEBA)(torch.zeros(2, 3, 128, 128))
        assert scores.shape == (2, 1, 2, 2) and attributes.shape == (2, 5)
        joint = StarGANConfig(label_sets=(("a", "b"), ("c",)))
        assert (joint.label_size, StarGANDiscriminator(joint)(torch.zeros(1, 3, 128, 128))[1].shape) == (5, (1, 3))


def test_names_of_discriminators():
    with torch.device("meta"):
        patch = make_discriminator(PatchConfig(norm="batch")).state_dict()
        pixel = make_discriminator(PatchConfig(norm="batch", layers=0)).state_dict()
        stargan = StarGANDiscriminator(CELEBA).state_dict()
    convolutions = {name for name, value in patch.items() if value.dim() == 4}
    assert convolutions == {f"model.{index}.weight" for index in (0, 2, 5, 8, 11)} and "model.3.running_mean" in patch
    assert {name for name, value in pixel.items() if value.dim() == 4} == {"net.0.weight", "net.2.weight", "net.5.weight"}
    named = {f"main.{index}.{part}" for index in range(0, 12, 2) for part in ("weight", "bias")}
    assert set(stargan) == named | {"conv1.weight", "conv2.weight"}


def test_a_patch_is_70_pixels():
    """A score changes with the 70 x 70 pixels under it and no others."""
    judge = PatchDiscriminator(PatchConfig(width=2, norm="none")).double()
    image = torch.zeros(1, 3, 256, 256, dtype=torch.double, requires_grad=True)
    judge(image)[0, 0, 15, 15].backward()
    touched = image.grad.abs().sum(dim=(0, 1)) > 0
    assert [int(touched.any(dim=axis).sum()) for axis in (0, 1)] == [70, 70]


def test_each_domain_has_its_own_answer():
    """Of a mapping, an encoder and a discriminator, row by row."""
    torch.manual_seed(0)
    config = StarGANv2Config(image_size=16, width=2, max_width=4, downs=1, hidden=4, domains=("a", "b", "c"), style_dim=3)
    networks, judge = StarGANv2(config), StarGANv2Discriminator(config)
    image, latent = torch.randn(2, 3, 16, 16), torch.randn(2, 16)
    for network, given in ((networks.mapping_network, latent), (networks.style_encoder, image), (judge, image)):
        each = [network(given, torch.full((2,), domain)) for domain in range(3)]
        mixed = network(given, torch.tensor([2, 0]))
        assert torch.allclose(mixed[0], each[2][0]) and torch.allclose(mixed[1], each[0][1])
        assert not torch.allclose(each[0], each[1])


@pytest.mark.parametrize("own_layers", [1, 2])
def test_cogan_shares_what_means(own_layers):
    """Early layers of generators and late ones of discriminators are the same numbers for all domains, the others are not."""
    torch.manual_seed(0)
    config = CoGANConfig(image_size=32, width=2, latent_dim=4, domains=("a", "b", "c"), own_layers=own_layers)
    maker, judge = CoGANGenerator(config), CoGANDiscriminator(config)
    assert len(maker.own) == len(judge.own) == 3
    assert all(len(layers) == own_layers for layers in (*maker.own, *judge.own))
    images = maker(torch.rand(2, 4) * 2 - 1)
    images[:, 1].sum().backward()
    assert all(parameter.grad is not None for parameter in maker.shared.parameters())
    moved = [any(parameter.grad is not None and parameter.grad.any() for parameter in layers.parameters()) for layers in maker.own]
    assert moved == [False, True, False]
    assert judge(images.detach()).shape == (2, 3, 2)


def test_cogan_is_saved_and_draws_the_same(tmp_path):
    look = make_look(CoGANConfig(image_size=32, width=2, domains=("with glasses", "without"), latent_dim=6))
    loaded = load_look(save_look(look, tmp_path / "pairs.safetensors", {"licence": "ours"}))
    z = torch.rand(2, 6) * 2 - 1
    assert torch.equal(loaded.draw(z), look.draw(z)) and loaded.draw(z).shape == (2, 2, 3, 32, 32)
    assert loaded.domains == ("with glasses", "without") and loaded.metadata == {"licence": "ours"}


def test_first_weights():
    torch.manual_seed(0)
    network = initialise_normal(UNetGenerator(UNetConfig(levels=5, width=4)))
    assert float(network.model.model[1].model[1].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert not network.model.model[3].bias.any()
    layer = initialise_xavier(nn.Sequential(nn.Linear(200, 300)))[0]
    assert float(layer.weight.detach().abs().max()) == pytest.approx((2 * 6 / 500) ** 0.5, rel=0.01) and (layer.bias == 0.1).all()
    layer = initialise_he(nn.Sequential(nn.Linear(200, 300)))[0]
    assert float(layer.weight.detach().std()) == pytest.approx((2 / 200) ** 0.5, rel=0.05) and not layer.bias.any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "pix2pix", "levels": 4}, "levels"),
        ({"kind": "pix2pix", "levels": "8"}, "levels"),
        ({"kind": "pix2pix", "outputs": 2}, "Lab"),
        ({"kind": "cyclegan", "bogus": 1}, "bogus"),
        ({"kind": "stargan"}, "label_sets"),
        ({"kind": "stargan", "label_sets": []}, "label_sets"),
        ({"kind": "starganv2", "image_size": 100}, "power of two"),
        ({"kind": "starganv2", "high_pass": -1.0}, "high_pass"),
        ({"kind": "cogan", "image_size": 256}, "image_size"),
        ({"kind": "gpt"}, "gpt"),
        ({}, "kind"),
        ([], ""),
        (None, ""),
    ],
)
def test_configurations_that_no_network_has(values, message):
    with pytest.raises(ConfigError) as caught:
        read_config(values)
    assert message in caught.value.message
