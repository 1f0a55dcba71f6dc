"""Looks on images as they come: any size, and clear words where something does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.errors import StyleRigError
from models.translation import Look, make_look
from models.translation.config import CoGANConfig, ResNetConfig, StarGANConfig, StarGANv2Config, UNetConfig
from models.translation.lab import coloured, colours_of, lab_to_rgb, lightness_of, rgb_to_lab
from models.translation.padding import pad_by_reflection

STARGAN = StarGANConfig(width=2, blocks=1, label_sets=(("black", "blond"), ("happy", "sad")))
STARGANV2 = StarGANv2Config(image_size=32, width=2, max_width=4, downs=2, hidden=4, style_dim=4, domains=("short", "long"))
CONFIGS = {
    "pix2pix": (UNetConfig(levels=5, width=1), None),
    "colouriser": (UNetConfig(levels=5, width=1, inputs=1, outputs=2), None),
    "cyclegan": (ResNetConfig(width=2, blocks=1), None),
    "cut": (ResNetConfig(kind="cut", width=2, blocks=1, antialias_down=True, antialias_up=True), None),
    "stargan": (STARGAN, "blond"),
    "starganv2": (STARGANV2, "long"),
    "starganv2 with masks": (STARGANV2.model_copy(update={"high_pass": 1.0, "masks": True, "fan_width": 8}), "long"),
}


def look_of(name: str) -> Look:
    torch.manual_seed(1)
    return make_look(CONFIGS[name][0])


@pytest.mark.parametrize("name", CONFIGS)
def test_any_size_comes_back_as_it_was(name):
    look, label = look_of(name), CONFIGS[name][1]
    for height, width in ((1, 1), (7, 3), (33, 65)):
        image = torch.rand(1, 3, height, width) * 2 - 1
        result = look(image, label)
        assert result.shape == image.shape and result.isfinite().all()
        assert result.dtype == image.dtype and not result.requires_grad
    assert look(torch.zeros(1, 3, 32, 32, dtype=torch.float16), label).dtype == torch.float16


def test_what_changes_at_the_own_size_is_brought_to_larger_images():
    look = look_of("starganv2")
    small = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(look.at_own_size(small, "long"), look(small, "long"))  # not larger: nothing to bring
    large = F.interpolate(small, size=(64, 96), mode="bicubic").clamp(-1, 1) + 0.1 * torch.randn(1, 3, 64, 96)
    seen = F.interpolate(large, size=(32, 48), mode="bilinear", antialias=True)
    change = look.at_own_size(large, "long") - large
    assert change.shape == large.shape
    assert torch.equal(change, look.at_own_size(large, "long") - large)
    expected = F.interpolate(look(seen, "long") - seen, size=(64, 96), mode="bicubic")
    assert torch.allclose(change, expected, atol=1e-5)


def test_a_label_is_seen_everywhere_without_norms():
    """As published, norms by the image take away nearly all that it adds, but for the padded edges."""
    images = torch.cat((torch.rand(1, 3, 64, 64) * 2 - 1, torch.zeros(1, 2, 64, 64)), dim=1).repeat(2, 1, 1, 1)
    images[0, 3], images[1, 4] = 1.0, 1.0
    for norm, most in (("instance", 0.2), ("none", 1.0)):
        torch.manual_seed(1)
        convolve, normalise = make_look(StarGANConfig(width=4, blocks=1, label_sets=(("black", "blond"),), norm=norm)).network.main[:2]
        plain = convolve(images)
        scale = plain.std(dim=(2, 3)).mean() if norm == "instance" else 1.0
        added, left = ((one - other)[:, 30, 30].abs().mean() for one, other in (plain, normalise.train()(plain)))
        assert left <= most * added / scale
        assert norm == "instance" or left == added


def test_the_own_size_is_the_trained_one():
    assert look_of("starganv2").own_size == 32
    look = look_of("stargan")
    assert look.own_size is None  # published files do not say it
    for said, size in ((128, 128), (3, None), ("128", None), (10**9, None)):
        look.metadata["size"] = said
        assert look.own_size == size
    assert look_of("cyclegan").own_size is None and look_of("pix2pix").own_size is None


def test_padding_mirrors_and_is_cut_back():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    padded, (rows, columns) = pad_by_reflection(image, 8, 8)
    assert padded.shape == (1, 1, 8, 8) and torch.equal(padded[:, :, rows, columns], image)
    expected = np.pad(image[0, 0].numpy(), ((2, 3), (2, 2)), "reflect")
    assert np.array_equal(padded[0, 0].numpy(), expected)
    assert pad_by_reflection(torch.zeros(1, 1, 8, 16), 8, 8)[0].shape == (1, 1, 8, 16)
    assert pad_by_reflection(torch.zeros(1, 1, 9, 16), 8, 24)[0].shape == (1, 1, 24, 24)
    assert torch.equal(pad_by_reflection(torch.full((1, 1, 1, 1), 3.0), 4, 8)[0], torch.full((1, 1, 8, 8), 3.0))


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(1, 4, 32, 32),
        torch.zeros(1, 1, 32, 32),
        torch.zeros(3, 32, 32),
        torch.zeros(0, 3, 32, 32),
        torch.zeros(1, 3, 0, 32),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
        torch.full((1, 3, 32, 32), float("nan")),
        np.zeros((1, 3, 32, 32)),
        None,
    ],
)
def test_other_images_are_refused(image):
    for act in (look_of("cyclegan"), lambda image: look_of("starganv2").style_of(image, 0)):
        with pytest.raises(StyleRigError) as caught:
            act(image)
        assert caught.value.code == "bad_image" and caught.value.hint


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "missing"),
        ("red", "'red'"),
        (["blond", "red"], "'red'"),
        ({"blond": "yes"}, "'yes'"),
        ({"blond": float("nan")}, "nan"),
        ({}, "names nothing"),
        (["blond", "happy"], "several sets"),
        ([1.0, 0.0], "shape (1, 2)"),
        (torch.zeros(3, 6), "shape (3, 6)"),
        (torch.full((6,), float("nan")), "not numbers"),
        (object(), "neither"),
        ([["blond"]], "neither"),
    ],
)
def test_wrong_labels_of_stargan(label, message):
    with pytest.raises(StyleRigError) as caught:
        look_of("stargan")(torch.zeros(1, 3, 16, 16), label)
    assert caught.value.code == "bad_label" and message in caught.value.message and caught.value.hint


def test_labels_of_stargan_in_every_way():
    look, image = look_of("stargan"), torch.rand(2, 3, 16, 16)
    assert look.labels == ("black", "blond", "happy", "sad")
    expected = look(image, [0.0, 1, 0, 0, 1, 0])  # the mask of the first set comes last
    for label in ("blond", ["blond"], {"blond": 1, "black": 0}, torch.tensor([[0, 1, 0, 0, 1, 0]] * 2)):
        assert torch.equal(look(image, label), expected)
    assert not torch.equal(look(image, "sad"), expected)


@pytest.mark.parametrize(("domain", "message"), [(None, "missing"), ("none", "'none'"), (2, "[2]"), (-1, "[-1]"), (0.5, "whole number"),
                                                 ([0, 1, 0], "2 of them"), (object(), "neither"), (True, "whole number")])  # fmt: skip
def test_wrong_domains_of_starganv2(domain, message):
    look, image = look_of("starganv2"), torch.zeros(2, 3, 32, 32)
    acts = [lambda: look.style(torch.zeros(2, 16), domain=domain), lambda: look.style_of(image, domain=domain)]
    acts += [lambda: look(image, domain, torch.zeros(1, 4))] if domain is not None else []
    for act in acts:
        with pytest.raises(StyleRigError) as caught:
            act()
        assert caught.value.code == "bad_label" and message in caught.value.message and "0 short, 1 long" in caught.value.hint


@pytest.mark.parametrize("style", [torch.zeros(4), torch.zeros(1, 5), torch.zeros(3, 4), torch.full((1, 4), float("inf")), "long", 3])
def test_wrong_styles_of_starganv2(style):
    with pytest.raises(StyleRigError) as caught:
        look_of("starganv2")(torch.zeros(2, 3, 32, 32), style=style)
    assert caught.value.code == "bad_style" and "(2, 4)" in caught.value.hint


def test_styles_of_starganv2():
    look, image = look_of("starganv2"), torch.rand(2, 3, 40, 24) * 2 - 1
    style = look.style(torch.randn(1, 16), domain="long")
    assert torch.equal(look(image, style=style), look(image, 1, style.expand(2, -1)))
    assert look.style_of(image, domain="short").shape == (2, 4)  # brought to the trained size
    assert torch.equal(look(image, "long"), look(image, style=look.style(torch.zeros(1, 16), 1)))


def test_looks_without_labels_or_styles_refuse_them():
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(StyleRigError, match="has no labels"):
        look_of("cyclegan")(image, "blond")
    with pytest.raises(StyleRigError, match="has no styles"):
        look_of("cyclegan")(image, style=torch.zeros(1, 4))
    with pytest.raises(StyleRigError, match="has no styles"):
        look_of("stargan")(image, "blond", torch.zeros(1, 4))
    assert look_of("cyclegan").labels == look_of("cyclegan").domains == ()


def test_a_cogan_draws_and_does_not_translate():
    look = make_look(CoGANConfig(image_size=32, width=1, latent_dim=3))
    with pytest.raises(StyleRigError, match="makes images from latents"):
        look(torch.zeros(1, 3, 32, 32))
    with pytest.raises(StyleRigError, match="shape is"):
        look.draw(torch.zeros(1, 4))
    assert look.draw(torch.zeros(2, 3)).shape == (2, 2, 3, 32, 32)


def test_lab_of_known_colours_and_back():
    """Red, green, blue, white, black and a grey, in CIE Lab as tables of D65 have them."""
    known = {(1, 0, 0): (53.24, 80.09, 67.20), (0, 1, 0): (87.73, -86.18, 83.18), (0, 0, 1): (32.30, 79.19, -107.86),
             (1, 1, 1): (100, 0, 0), (0, 0, 0): (0, 0, 0), (0.5, 0.5, 0.5): (53.39, 0, 0)}  # fmt: skip
    colours = torch.tensor(list(known), dtype=torch.float32).T[None, :, None]
    lab = rgb_to_lab(colours)
    assert torch.allclose(lab[0, :, 0].T, torch.tensor(list(known.values())), atol=0.02)
    many = torch.rand(1, 3, 20, 20)
    assert torch.allclose(lab_to_rgb(rgb_to_lab(many)), many, atol=1e-4)
    image = many * 2 - 1
    assert torch.allclose(coloured(lightness_of(image), colours_of(image)), image, atol=2e-4)
