"""`evaluate look`: figures of every kind of look, and that they say what they mean to."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from backend.cli import main
from models.evaluation.looks import measures
from models.evaluation.looks.classifier import Classifier, balanced, train_classifier
from models.training.core.config import parse_settings
from models.training.translation.config import CoGANPlan
from models.translation import load_look, make_look, save_look
from models.translation.cogan import CoGANDiscriminator, CoGANGenerator
from models.translation.config import CoGANConfig, ResNetConfig, StarGANConfig, StarGANv2Config, UNetConfig
from models.translation.look import ResNetLook
from tests.helpers.picture_sets import write_people

SIZE, PEOPLE = 32, 128
CONFIGS = {
    "colourise": UNetConfig(levels=5, width=1, inputs=1, outputs=2, dropout=False),
    "drawing": ResNetConfig(width=2, blocks=1),
    "attributes": StarGANConfig(width=2, blocks=1, label_sets=(("black hair", "beard"),)),
    "styles": StarGANv2Config(image_size=32, width=2, max_width=4, downs=2, hidden=4, style_dim=4, domains=("no beard", "beard")),
    "pairs": CoGANConfig(image_size=32, width=1, latent_dim=4, domains=("no glasses", "glasses")),
    "conditional": CoGANConfig(image_size=32, width=1, latent_dim=4, domains=("no glasses", "glasses"), conditional=True),
}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("studio"), PEOPLE, SIZE)


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    torch.manual_seed(1)
    return {name: str(save_look(make_look(config), folder / f"{name}.safetensors")) for name, config in CONFIGS.items()}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("colourise", [], {"psnr", "ssim", "input_psnr"}),
        ("drawing", ["--domains", "photo", "drawing", "--back", "drawing"], {"domain_accuracy", "cycle_error", "judge_drawing"}),
        ("attributes", [], {"accuracy", "reconstruction_error", "accuracy_beard", "judge_black hair"}),
        ("pairs", ["--beside", "conditional"], {"pair_agreement", "agreement_of_strangers", "pair_distance", "beside_pair_agreement"}),
    ],
)
def test_each_kind_has_its_published_figures(studio, looks, tmp_path, name, options, expected):
    options = [looks.get(option, option) if previous in ("--back", "--beside") else option
               for previous, option in zip(["", *options], options, strict=False)]  # fmt: skip
    file = tmp_path / "figures.json"
    command = ["evaluate", "look", "--look", looks[name], "--data", str(studio), "--size", str(SIZE), "--classifier-steps", "2"]
    assert main.main([*command, *options, "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert expected <= figures.keys() and all(np.isfinite(value) for value in figures.values())


def test_what_is_missing_is_told(studio, looks, capsys):
    command = ["evaluate", "look", "--look", looks["drawing"]]
    assert main.main(command) == 2 and "Give --data or --sequence" in capsys.readouterr().err
    assert main.main([*command, "--data", str(studio), "--size", str(SIZE)]) == 2
    assert "--domains photo drawing" in capsys.readouterr().err
    few = ["evaluate", "look", "--look", looks["attributes"], "--data", str(studio), "--size", "24"]
    assert main.main(few) == 2 and "cannot become 24" in capsys.readouterr().err


def test_a_classifier_learns_what_can_be_seen():
    colours = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images_of = lambda rows: colours[rows][:, :, None, None].expand(-1, -1, 16, 16)
    labels = (colours[:, :2] > 0).float()
    judged = train_classifier(images_of, labels, np.arange(150), np.arange(150, 200), steps=60)
    assert min(judged.accuracy) > 0.85
    again = train_classifier(images_of, labels, np.arange(150), np.arange(150, 200), steps=60)
    assert torch.equal(judged.network(images_of(np.arange(4))), again.network(images_of(np.arange(4))))


def test_yes_and_no_count_alike_however_rare():
    said, true = torch.zeros(10, 1, dtype=torch.bool), torch.zeros(10, 1, dtype=torch.bool)
    true[0] = True
    assert balanced(said, true) == [0.5]


def test_likeness_is_1_for_itself_and_falls_with_noise():
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noisy = [image + amount * torch.randn(image.shape, generator=torch.Generator().manual_seed(1)) for amount in (0.1, 0.5)]
    assert measures.ssim(image, image) == pytest.approx(1.0, abs=1e-6)
    assert 1 > measures.ssim(image, noisy[0]) > measures.ssim(image, noisy[1])


class Mirror(ResNetLook):
    def translate(self, image, label, style):
        return image.flip(3)


def test_there_and_back_is_measured_against_what_went_in():
    look, judge = Mirror(CONFIGS["drawing"]), Classifier(2).eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert measures.of_cycle(look, look, images, 1, judge)["cycle_error"] == 0
    assert "cycle_error" not in measures.of_cycle(look, None, images, 1, judge)


@torch.no_grad()
def test_styles_are_measured_by_latents_and_by_references(looks):
    look, judge = load_look(looks["styles"]), Classifier(2).eval()
    images = [torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in range(2)]
    figures = measures.of_styles(look, images, images, judge)
    assert figures.keys() == {f"{way}_{what}" for way in ("latent", "reference") for what in ("diversity", "frechet")}
    assert all(value >= 0 for value in figures.values())


@torch.no_grad()
def test_a_conditional_gan_shares_all_layers_and_is_told_the_domain():
    config = CONFIGS["conditional"]
    generator, discriminator = CoGANGenerator(config).eval(), CoGANDiscriminator(config).eval()
    images = generator(torch.rand(3, 4) * 2 - 1)
    assert images.shape == (3, 2, 3, 32, 32) and not torch.allclose(images[:, 0], images[:, 1])
    same = images[:, :1].expand(-1, 2, -1, -1, -1)
    logits = discriminator(same)
    assert logits.shape == (3, 2, 2) and not torch.allclose(logits[:, 0], logits[:, 1])
    sizes = [sum(value.numel() for value in CoGANGenerator(CoGANConfig(conditional=told)).parameters()) for told in (False, True)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)
    assert parse_settings(CoGANPlan, {"generator": {"conditional": True}}).generator.conditional


def test_a_sequence_is_measured_without_the_look_with_it_and_made_steady(looks, tmp_path):
    import OpenEXR

    _, columns = np.mgrid[:32, :32].astype(np.float32)
    for number in range(3):
        wave = 0.5 + 0.3 * np.sin((columns - 2 * number) * 0.3)
        channels = dict.fromkeys("RGB", wave.astype(np.float32))
        channels |= {"Vector.X": np.full_like(wave, -2, np.float32), "Vector.Y": np.zeros_like(wave, np.float32)}
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, channels) as file:
            file.write(str(tmp_path / f"f_{number}.exr"))
    file = tmp_path / "figures.json"
    assert main.main(["evaluate", "look", "--look", looks["drawing"], "--sequence", str(tmp_path), "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert figures["flicker_input"] < 0.01 and figures["flicker_steady"] <= figures["flicker_look"]
