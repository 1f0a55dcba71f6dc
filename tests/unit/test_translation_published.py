"""Checkpoints in the published layouts: read, and computed as the slow literal networks compute them."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from models.errors import StyleRigError
from models.translation import is_look, load_look, save_look
from models.translation.face_alignment_network import FaceAlignmentNetwork, masks_of
from models.translation.files import filled
from models.translation.published import NO_MASKS, read_published
from tests.helpers import translation_reference as reference

CLOSE = 2e-5


def images(size: int, count: int = 1, height: int | None = None, seed: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, height or size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.05  # not all alike
    assert (ours - theirs).abs().max() < CLOSE


def prefixed(state: dict, prefix: str = "module.") -> dict:
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_unet(tmp_path, norm, zipped):
    state = reference.unet_state(levels=5, width=3, norm=norm)
    look = load_look(reference.save_published(state, tmp_path / "latest_net_G.pth", zipped))
    assert (look.kind, look.config.norm, look.config.levels, look.config.width) == ("pix2pix", norm, 5, 3)
    image = images(64, height=32)
    assert_same(look(image), reference.unet(state, image, 5, norm))


def test_unet_as_its_test_run_computes(tmp_path):
    """Batch statistics of the images at hand; the file's own statistics are left as they were."""
    state = reference.unet_state(levels=6, width=2)
    path = reference.save_published(state, tmp_path / "latest_net_G.pth")
    image = images(64, 2)
    look = load_look(path, as_tested=True, dropout=False)
    assert_same(look(image), reference.unet(state, image, 6, "batch", training=True))
    assert_same(look(image[:1]), reference.unet(state, image[:1], 6, "batch", training=True))
    assert all(torch.equal(value, state[name]) for name, value in look.network.state_dict().items())
    with_dropout = load_look(path, as_tested=True)  # as pix2pix was trained
    assert (with_dropout(image) - with_dropout(image)).abs().max() > 0.01
    evaluated = load_look(path)
    assert torch.equal(evaluated(image), evaluated(image))


def test_colouriser(tmp_path):
    """Lightness in, colours out, in Lab; grey pictures and coloured ones of the same lightness come out alike."""
    state = reference.unet_state(levels=5, width=3, inputs=1, outputs=2)
    look = load_look(reference.save_published(state, tmp_path / "latest_net_G.pth"))
    assert look.config.colourises
    image = images(32)
    lab = torch.stack([torch.tensor([lab_of(*map(float, colour)) for colour in row]) for row in (image[0].permute(1, 2, 0) + 1) / 2])
    lightness = (lab[..., 0] / 50 - 1)[None, None]
    colours = reference.unet(state, lightness, 5, "batch")
    result = look(image)
    back = torch.stack([torch.tensor([lab_of(*map(float, colour)) for colour in row]) for row in (result[0].permute(1, 2, 0) + 1) / 2])
    inside = ((result[0] > -0.999) & (result[0] < 0.999)).all(dim=0)  # colours that sRGB has
    assert inside.float().mean() > 0.2
    assert (back[..., 0] - lab[..., 0])[inside].abs().max() < 0.01
    assert (back[..., 1:] - colours[0].permute(1, 2, 0) * 110)[inside].abs().max() < 0.05


def lab_of(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """CIE Lab of one sRGB colour, by the book."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (red, green, blue)]
    rows = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
    xyz = [sum(a * b for a, b in zip(row, linear, strict=True)) / white for row, white in zip(rows, (0.95047, 1.0, 1.08883), strict=True)]
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_grey_images_go_in_and_come_out(tmp_path):
    state = reference.unet_state(levels=5, width=2, inputs=1, outputs=1)
    image = images(32)
    grey = (0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2])[:, None]
    result = load_look(reference.save_published(state, tmp_path / "g.pth"))(image)
    assert_same(result, reference.unet(state, grey, 5, "batch").repeat(1, 3, 1, 1))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("norm", "dropout", "old"), [("instance", False, False), ("instance", False, True),
                                                      ("instance", True, True), ("batch", True, False),
                                                      ("batch", False, False), ("none", False, False)])  # fmt: skip
def test_resnet(tmp_path, norm, dropout, old, prefix):
    state = reference.resnet_state(blocks=2, width=4, norm=norm, dropout=dropout, old=old)
    path = reference.save_published(prefixed(state, prefix), tmp_path / "latest_net_G_A.pth")
    look = load_look(path)
    assert (look.kind, look.config.norm, look.config.dropout, look.config.blocks) == ("cyclegan", norm, dropout, 2)
    image = images(20, height=32)
    assert_same(look(image), reference.resnet(state, image, 2, norm, dropout))
    if not dropout:
        assert_same(load_look(path, as_tested=True)(image), reference.resnet(state, image, 2, norm, training=True))


def test_a_state_as_torch_keeps_it(tmp_path):
    """With the versions of its modules, as parameters, of a network within DataParallel."""
    look = load_look(reference.save_published(reference.resnet_state(2, 2), tmp_path / "a.pth"))
    theirs = torch.nn.DataParallel(look.network).state_dict(keep_vars=True)
    assert theirs._metadata and isinstance(theirs["module.model.1.weight"], torch.nn.Parameter)
    for zipped in (True, False):
        loaded = load_look(reference.save_published(theirs, tmp_path / "b.pth", zipped))
        assert all(torch.equal(value, theirs[f"module.{name}"]) for name, value in loaded.network.state_dict().items())


def test_cut(tmp_path):
    state = reference.resnet_state(blocks=2, width=4, blurred=True)
    look = load_look(reference.save_published(state, tmp_path / "latest_net_G.pth"))
    assert (look.kind, look.config.antialias_down, look.config.antialias_up) == ("cut", True, True)
    image = images(20, height=16)
    assert_same(look(image), reference.resnet(state, image, 2, "instance", blurred=True))


@pytest.mark.parametrize("zipped", [True, False])
def test_stargan(tmp_path, zipped):
    state = reference.stargan_state(width=4, label_size=5)
    path = reference.save_published(state, tmp_path / "200000-G.ckpt", zipped)
    look = load_look(path)
    assert look.kind == "stargan"
    assert look.labels == ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
    image, label = images(24, 2), torch.tensor([[0.0, 1, 0, 1, 1], [1, 0, 0, 0, 1]])
    assert_same(look(image, label), reference.stargan(state, image, label))
    assert_same(look(image, ["Blond_Hair", "Male", "Young"])[:1], reference.stargan(state, image, label)[:1])
    tested = load_look(path, as_tested=True)
    assert_same(tested(image, label), reference.stargan(state, image, label, training=True))
    assert all(torch.equal(value, state[name]) for name, value in tested.network.state_dict().items())


def test_stargan_of_joint_sets_has_a_mask(tmp_path):
    state = reference.stargan_state(width=2, label_size=15)
    look = load_look(reference.save_published(state, tmp_path / "200000-G.ckpt"))
    image = images(16)
    happy = torch.zeros(1, 15)
    happy[0, [9, 14]] = 1  # CelebA's 5, "happy" is the fifth of RaFD's 8, the mask says RaFD
    assert_same(look(image, "happy"), reference.stargan(state, image, happy))
    young = torch.zeros(1, 15)
    young[0, [4, 13]] = 1
    assert_same(look(image, {"Young": 1}), reference.stargan(state, image, young))


def test_starganv2(tmp_path):
    tables = reference.starganv2_state(image_size=32, width=4, most=12, downs=1, domains=3)
    look = load_look(reference.save_published(tables, tmp_path / "100000_nets_ema.ckpt"))
    assert (look.kind, look.domains, look.config.image_size) == ("starganv2", ("cat", "dog", "wild"), 32)
    image, latent = images(32, 2), torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    style = look.style(latent, domain="dog")
    assert_same(style, reference.starganv2_mapped(tables["mapping_network"], latent, 1))
    assert_same(look.style(latent, domain=[2, 0])[:1], reference.starganv2_mapped(tables["mapping_network"], latent, 2)[:1])
    assert_same(look.style_of(image, domain=2), reference.starganv2_encoded(tables["style_encoder"], image, 2, 3))
    assert_same(look(image, style=style), reference.starganv2(tables["generator"], image, style, 1))
    middle = reference.starganv2_mapped(tables["mapping_network"], torch.zeros(1, 5), 0).repeat(2, 1)
    assert_same(look(image, "cat"), reference.starganv2(tables["generator"], image, middle, 1))


def test_starganv2_with_masks(tmp_path):
    high_pass = 2.5
    tables = reference.starganv2_state(image_size=64, width=3, most=6, downs=3, high_pass=high_pass)
    tables["fan"] = reference.fan_state(8)
    look = load_look(reference.save_published(tables, tmp_path / "100000_nets_ema.ckpt"))
    assert look.config.masks and look.config.high_pass == pytest.approx(high_pass)
    assert NO_MASKS not in look.metadata["notes"]
    image, style = images(64), torch.randn(1, 6, generator=torch.Generator().manual_seed(2))
    masks = reference.fan_masks(tables["fan"], F.interpolate(image, size=256, mode="bilinear"))
    assert all(0.05 < mask.mean() < 0.99 for mask in masks)
    result = look(image, style=style)
    assert_same(result, reference.starganv2(tables["generator"], image, style, 3, masks))
    assert (result - reference.starganv2(tables["generator"], image, style, 3)).abs().max() > 0.01


def test_starganv2_of_before_the_filter_was_saved(tmp_path):
    """Older files lack the filter: `fan`, or one more step down than there is without it, says that it was there."""
    tables = reference.starganv2_state(image_size=64, width=3, most=6, downs=3, high_pass=1.0)
    image, style = images(64), torch.ones(1, 6)
    expected = reference.starganv2(tables["generator"], image, style, 3)
    del tables["generator"]["hpf.filter"]
    look = load_look(reference.save_published(tables, tmp_path / "100000_nets_ema.ckpt"))
    assert (look.config.high_pass, look.config.masks) == (1.0, False)
    assert look.metadata["notes"][-1] == NO_MASKS
    assert_same(look(image, style=style), expected)


def test_masks_point_by_point():
    """Maps with one blob each, so that every shift and power shows."""
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    draw = torch.Generator().manual_seed(4)
    middles = torch.rand(98, 2, generator=draw) * 255
    maps = torch.stack([0.5 * torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 40) for y, x in middles])
    for ours, theirs in zip(masks_of(maps[None]), reference.masks_of_points(maps), strict=True):
        assert (ours - theirs).abs().max() < 1e-5
        assert 0.01 < theirs.mean() < 0.5


def test_the_network_of_a_face_s_parts_by_itself(tmp_path):
    state, image = reference.fan_state(16), images(256)
    network = FaceAlignmentNetwork(16)
    network.load_state_dict(state)
    with torch.no_grad():
        assert_same(network.eval()(image * 0.5 + 0.5), reference.fan_maps(state, image))
    assert not network.train().bn1.training  # its statistics stay


def every_layout() -> dict[str, dict]:
    """A small file of each kind: its name and content."""
    starganv2 = reference.starganv2_state(image_size=32, width=2, most=4, downs=3, high_pass=1.0)
    return {
        "pix2pix_net_G.pth": reference.unet_state(5, 2),
        "colour_net_G.pth": reference.unet_state(5, 2, inputs=1, outputs=2),
        "cyclegan_net_G_A.pth": reference.resnet_state(2, 2, old=True),
        "dropout_net_G.pth": reference.resnet_state(2, 2, norm="batch", dropout=True),
        "cut_net_G.pth": reference.resnet_state(2, 2, blurred=True),
        "9-G.ckpt": reference.stargan_state(2, 5),
        "9_nets_ema.ckpt": starganv2 | {"fan": reference.fan_state(8)},
    }


@pytest.mark.parametrize("name", every_layout())
def test_what_was_converted_computes_the_same(tmp_path, name, capsys):
    from backend.cli import main

    path = reference.save_published(every_layout()[name], tmp_path / name)
    assert is_look(path)
    assert main.main(["convert", str(path), str(tmp_path / "out.safetensors")]) == 0
    look, converted = load_look(path), load_look(tmp_path / "out.safetensors")
    assert converted.config == look.config
    state = look.network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in converted.network.state_dict().items())
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        header = json.loads(file.metadata()["stylerig"])
    assert header["format"] == "look-1" and header["config"]["kind"] == look.kind
    metadata = header["metadata"]
    assert metadata["source"] == name and metadata["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "licence" in metadata["licence"] or "Creative Commons" in metadata["licence"]
    assert "published layout" in metadata["kind"]
    printed = capsys.readouterr().out
    assert look.kind in printed and metadata["sha256"] in printed
    assert is_look(tmp_path / "out.safetensors") and converted.metadata == look.metadata


def test_half_the_bytes_for_looks_that_ship(tmp_path):
    look = load_look(reference.save_published(every_layout()["cyclegan_net_G_A.pth"], tmp_path / "latest_net_G.pth"))
    whole, half = save_look(look, tmp_path / "a.safetensors"), save_look(look, tmp_path / "b.safetensors", half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    image = images(16)
    assert (load_look(half)(image) - look(image)).abs().max() < 0.05
    from backend.cli import main

    assert main.main(["convert", str(whole), str(tmp_path / "c.safetensors"), "--half"]) == 0
    converted = load_look(tmp_path / "c.safetensors")
    assert (tmp_path / "c.safetensors").stat().st_size < 0.8 * whole.stat().st_size
    assert torch.equal(converted(image), load_look(half)(image))


def test_numbers_in_safetensors_of_others(tmp_path):
    from safetensors.torch import save_file

    state = reference.resnet_state(2, 4)
    save_file(state, tmp_path / "monet.safetensors")
    image = images(16)
    assert_same(load_look(tmp_path / "monet.safetensors")(image), reference.resnet(state, image, 2, "instance"))


def test_names_of_labels_can_be_given(tmp_path):
    path = reference.save_published(reference.stargan_state(2, 15), tmp_path / "9-G.ckpt")
    names = [f"attribute {index}" for index in range(13)]
    look = load_look(path, labels=names)
    assert look.labels == tuple(names) and len(look.config.label_sets) == 2
    save_look(look, tmp_path / "named.safetensors")
    assert load_look(tmp_path / "named.safetensors").labels == tuple(names)
    with pytest.raises(StyleRigError, match="13 different ones"):
        load_look(path, labels=names[:3])


def test_a_file_cannot_ask_for_a_network_larger_than_itself(tmp_path):
    published = read_published(reference.resnet_state(2, 2))
    large = published.config.model_copy(update={"width": 1024, "blocks": 32})
    with pytest.raises(StyleRigError, match="is missing"):
        filled(tmp_path / "x.pth", large, published.state)
