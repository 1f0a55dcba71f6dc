"""The generator's trainer learns pairs, continues where it stopped, and refuses bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import signal

import pytest
import torch

from backend.train_generator import PLAN
from models.errors import StyleRigError
from models.generators import GeneratorConfig, load_generator
from models.generators.layers import SynthesisLayer
from models.generators.pointwise import gathered_passes
from models.training import losses
from models.training.config import Stage, TrainingConfig, config_from_json, load_config
from models.training.data import PictureSet
from models.training.discriminator import Discriminator
from models.training.generator import GeneratorTraining
from tests.picture_sets import LATENTS, write_set

SIZE = 16
TINY = TrainingConfig(
    generator=GeneratorConfig(
        resolution=SIZE, z_dim=32, w_dim=32, mapping_lr_multiplier=1.0, channels={4: 32, 8: 24, 16: 16}
    ),
    discriminator_channels={4: 16, 8: 16, 16: 8},
    compile=False,
    ema_images=200.0,
    stages=(
        Stage(resolution=8, batch=8, images=400, learning_rate=0.01),
        Stage(resolution=16, batch=8, images=800, learning_rate=0.01),
    ),
)


@pytest.fixture()
def folder(tmp_path):
    return write_set(tmp_path / "data", range(192), SIZE, count=256)


def training(folder, output, config=TINY, said=None) -> GeneratorTraining:
    return GeneratorTraining(folder, config, output, say=(said if said is not None else []).append)


def held_out_error(generator, data: PictureSet) -> float:
    target, latents = data.batch(data.rows(held_out=True), SIZE)
    z = torch.cat((latents, torch.randn(len(latents), 32 - LATENTS, generator=torch.Generator().manual_seed(1))), dim=1)
    with torch.no_grad():
        return float((generator.synthesis.raw(generator.mapping(z)) - target).abs().mean())


def test_pairs_are_learned_and_reported(folder, tmp_path):
    output = tmp_path / "out"
    run = training(folder, output)
    before = held_out_error(run.generator, run.data)
    assert run.run()
    generator = load_generator(output / "generator.safetensors")
    assert held_out_error(generator, run.data) < before / 3
    assert generator.metadata["scene_latents"] == LATENTS and float(generator.w_avg.abs().sum()) > 0
    assert (output / "results.html").read_text().count("<svg") >= 1
    assert {path.name for path in output.glob("sheet*.png")} >= {"sheet.png", "sheet-0001200.png"}
    entries = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert any("pair" in entry["losses"] for entry in entries)


class StopAt:
    """Asks the training to stop once it has seen so many pictures."""

    def __init__(self, run: GeneratorTraining, images: int):
        self.run, self.images, self.inner = run, images, run.habits

    def __enter__(self):
        def habits(stage, values):
            self.inner(stage, values)
            if self.run.images == self.images:
                os.kill(os.getpid(), signal.SIGTERM)

        self.run.habits = habits
        return self

    def __exit__(self, *_):
        self.run.habits = self.inner


def test_a_stopped_training_continues_to_the_same_result(folder, tmp_path):
    stages = (Stage(resolution=16, batch=8, images=120), Stage(kind="adversarial", batch=8, images=80, r1_interval=4, resolution=16))
    config = dataclasses.replace(TINY, stages=stages)
    whole = training(folder, tmp_path / "whole", config)
    assert whole.run()
    first = training(folder, tmp_path / "parts", config)
    with StopAt(first, 160):
        assert not first.run()
    second = training(folder, tmp_path / "parts", config)
    assert second.images == 160 and second.stage_number == 1
    assert second.run()
    for name, value in whole.generator.state_dict().items():
        assert torch.allclose(value, second.generator.state_dict()[name], atol=1e-5), name


def test_new_pictures_are_taken_in_while_it_runs(folder, tmp_path):
    config = dataclasses.replace(TINY, rescan_minutes=0.0, stages=(Stage(resolution=8, batch=8, images=64),))
    run = training(folder, tmp_path / "out", config)
    write_set(folder, range(192, 256), SIZE)
    assert run.run()
    assert len(run.data) == 256


def test_adversarial_step_moves_both_networks(folder, tmp_path):
    stage = Stage(kind="adversarial", batch=8, resolution=SIZE, images=8, adversarial_ramp=1)
    run = training(folder, tmp_path / "out", dataclasses.replace(TINY, stages=(stage,)))
    run.stage_images = 10
    before = [run.generator.synthesis.b16.conv1.weight.clone(), run.discriminator.b16.conv0.weight.clone()]
    values = run.adversarial_step(stage, losses.focus_map(SIZE, stage.focus))
    assert set(values) == {"pair", "generator", "features", "discriminator", "r1"}
    assert not torch.equal(before[0], run.generator.synthesis.b16.conv1.weight)
    assert not torch.equal(before[1], run.discriminator.b16.conv0.weight)


def test_gathered_gradients_equal_plain_ones():
    torch.manual_seed(0)
    layer = SynthesisLayer(6, 5, 12, 8)
    torch.nn.init.constant_(layer.noise_strength, 0.3)
    x, w = torch.randn(3, 6, 8, 8, requires_grad=True), torch.randn(3, 12, requires_grad=True)
    target = torch.randn(3, 5, 8, 8)

    def gradients():
        loss = (layer(x, w) * target).sum()
        return torch.autograd.grad(loss, [x, w, *layer.parameters()])

    plain = gradients()
    with gathered_passes(compiled=False):
        gathered = gradients()
    for a, b in zip(plain, gathered):
        assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)


def test_pair_loss_is_zero_for_equal_pictures_and_focuses_on_the_middle():
    picture, focus = torch.zeros(1, 4, 32, 32), losses.focus_map(32, 2.0)
    middle, corner = picture.clone(), picture.clone()
    middle[..., 15:19, 14:18] = 1
    corner[..., :4, :4] = 1
    assert float(losses.pair_loss(picture, picture, focus)) == 0
    assert float(losses.pair_loss(middle, picture, focus)) > 1.5 * float(losses.pair_loss(corner, picture, focus))


def test_r1_is_the_squared_gradient():
    discriminator = Discriminator(SIZE, 4, TINY.discriminator_channels)
    real = torch.randn(2, 4, SIZE, SIZE, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(real)[0].sum(), real)
    assert float(losses.r1_penalty(discriminator, real).detach()) == pytest.approx(float(gradient.square().sum() / 2), rel=1e-4)


def test_shipped_plan_is_valid():
    config = load_config(PLAN)
    assert config.generator.resolution == 128
    assert [(s.kind, s.resolution) for s in config.stages] == [("pairs", 64), ("pairs", 128), ("pairs", 128)]


@pytest.mark.parametrize("values, word", [
    ({"stages": []}, "no stages"),
    ({"stages": [{"kind": "magic", "images": 1}]}, "magic"),
    ({"stages": [{"kind": "pairs"}]}, "minutes or images"),
    ({"stages": [{"images": 1, "resolution": 100}]}, "100"),
    ({"stages": [{"images": "many"}]}, "images"),
    ({"speed": 3}, "speed"),
    ({"generator": {"img_channels": 3}}, "matte"),
    ([1], "table"),
])
def test_bad_plans_are_refused(values, word):
    with pytest.raises(StyleRigError, match=word):
        config_from_json(values)


def test_bad_plan_files_are_refused(tmp_path):
    (tmp_path / "plan.toml").write_text("a = = 1")
    with pytest.raises(StyleRigError, match="TOML"):
        load_config(tmp_path / "plan.toml")
    with pytest.raises(StyleRigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_an_empty_folder_and_a_foreign_or_broken_checkpoint_are_refused(folder, tmp_path):
    with pytest.raises(StyleRigError, match="no folder"):
        training(tmp_path / "none", tmp_path / "out")
    run = training(folder, tmp_path / "out")
    run.checkpoint()
    other = dataclasses.replace(TINY, generator=dataclasses.replace(TINY.generator, mapping_layers=3))
    with pytest.raises(StyleRigError, match="another generator"):
        training(folder, tmp_path / "out", other)
    run.checkpoint_path.write_bytes(run.checkpoint_path.read_bytes()[:5000])
    with pytest.raises(StyleRigError, match="checkpoint.pt cannot be read"):
        training(folder, tmp_path / "out")


def test_a_loss_that_is_no_number_ends_it_with_a_hint(folder, tmp_path):
    run = training(folder, tmp_path / "out")
    with pytest.raises(StyleRigError, match="learning rate"):
        run.check_values({"pair": float("nan")})
