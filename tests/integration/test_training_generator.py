"""The generator's trainer learns pairs, continues where it stopped, and refuses bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from backend.cli.train_generator import PLAN
from models.data.image_set import ImageSet
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.generators import GeneratorConfig, load_generator
from models.generators.bias_act import gathered_passes
from models.generators.layers import SynthesisLayer
from models.perception.face_regressor import Estimator
from models.training.core.checkpoint import Stopped
from models.training.core.config import parse_settings
from models.training.core.distributed import World
from models.training.core.trainer import Trainer
from models.training.generator import losses
from models.training.generator.config import GeneratorPlan, Stage, load_plan
from models.training.generator.discriminator import Discriminator, PatchDiscriminator
from models.training.generator.gan_step import discriminator_step
from models.training.generator.perceptual import perceptual_loss
from models.training.generator.task import open_training, train_generator
from tests.helpers import picture_sets
from tests.helpers.picture_sets import LATENTS, ellipse, write_set

SIZE = 16
TINY = GeneratorPlan(
    generator=GeneratorConfig(resolution=SIZE, z_dim=32, w_dim=32, mapping_lr_multiplier=1.0, channels={4: 32, 8: 24, 16: 16}),
    discriminator_channels={4: 16, 8: 16, 16: 8},
    compile=False,
    ema_images=200.0,
    stages=(
        Stage(resolution=8, batch=8, images=400, learning_rate=0.01),
        Stage(resolution=16, batch=8, images=800, learning_rate=0.01),
    ),
)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small lose time to more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture()
def folder(tmp_path):
    return write_set(tmp_path / "data", range(192), SIZE, count=256)


def training(folder, output, plan=TINY, said=None) -> Trainer:
    return open_training(folder, plan, output, say=(said if said is not None else []).append)


def held_out_error(generator, data: ImageSet) -> float:
    target, latents = data.batch(data.rows(held_out=True), SIZE)
    z = torch.cat((latents, torch.randn(len(latents), 32 - LATENTS, generator=torch.Generator().manual_seed(1))), dim=1)
    with torch.no_grad():
        return float((generator.synthesis.raw(generator.mapping(z)) - target).abs().mean())


def test_pairs_are_learned_and_reported(folder, tmp_path):
    output = tmp_path / "out"
    run = training(folder, output)
    before = held_out_error(run.task.networks.generator, run.task.data)
    train_generator(run)
    generator = load_generator(output / "generator.safetensors")
    assert held_out_error(generator, run.task.data) < before / 3
    assert generator.metadata["scene_latents"] == LATENTS and float(generator.w_avg.abs().sum()) > 0
    assert "![generator](loss-generator.png)" in (output / "results.md").read_text()
    assert (output / "samples.png").is_file() and (output / "samples" / "00001200.jpg").is_file()
    entries = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert any("pair" in entry["losses"] for entry in entries)


def stop_at(run: Trainer, images: int) -> None:
    """Ask the training to stop once it has seen so many images."""
    inner = run.write_what_is_due

    def write_what_is_due(losses):
        inner(losses)
        if run.progress.images == images:
            os.kill(os.getpid(), signal.SIGTERM)

    run.write_what_is_due = write_what_is_due


MIXED = TINY.replace(checkpoint_minutes=0.0, stages=(
    Stage(resolution=8, batch=8, images=32),
    Stage(kind="adversarial", resolution=8, batch=8, images=32),
    Stage(kind="adversarial", batch=8, images=80, r1_interval=4, resolution=16, pair_skip=1, path_weight=2.0, path_interval=3,
          ada_target=0.1, ada_images=200),
))  # fmt: skip


def assert_same(first: Trainer, second: Trainer) -> None:
    for name, value in first.task.networks.generator.state_dict().items():
        assert torch.allclose(value, second.task.networks.generator.state_dict()[name], atol=1e-5), name
    assert first.task.path_mean == pytest.approx(second.task.path_mean, rel=1e-4)
    assert first.task.adaptive.state() == second.task.adaptive.state()


def test_a_stopped_training_continues_to_the_same_result(folder, tmp_path):
    whole = training(folder, tmp_path / "whole", MIXED)
    whole.run()
    first = training(folder, tmp_path / "parts", MIXED)
    stop_at(first, 112)
    with pytest.raises(Stopped):
        first.run()
    second = training(folder, tmp_path / "parts", MIXED)
    assert second.progress.images == 112 and second.progress.stage_number == 2
    second.run()
    assert_same(whole, second)


CHILD = """
import os, signal, sys
from tests.integration.test_training_generator import MIXED, training
run = training(sys.argv[1], sys.argv[2], MIXED)
inner, replace = run.save, os.replace
def save():
    if run.progress.images == 112:  # in the middle of writing this one
        os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
    inner()
run.save = save
run.run()
"""


def test_a_killed_training_continues_to_the_same_result(folder, tmp_path, run_python):
    output = tmp_path / "killed"
    answer = run_python([sys.executable, "-c", CHILD, folder, output])
    assert answer.returncode == -signal.SIGKILL and list(output.glob(".stylerig-*.pt"))
    second = training(folder, output, MIXED)
    assert second.progress.images == 104 and not list(output.glob(".stylerig-*"))
    assert max(entry["images"] for entry in second.log.read()) <= 104
    whole = training(folder, tmp_path / "whole", MIXED)
    second.run()
    whole.run()
    assert_same(whole, second)


def test_a_full_disk_ends_it_and_keeps_the_last_state(folder, tmp_path, monkeypatch):
    output = tmp_path / "out"
    first = training(folder, output, MIXED)
    write = Path.write_bytes

    def full_at_last(path, data):
        if first.progress.images == 72 and path.suffix == ".pt":
            write(path, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_at_last)
    with pytest.raises(StyleRigError, match=r"checkpoint\.pt: No space left"):
        first.run()
    assert training(folder, output, MIXED).progress.images == 64
    assert not list(output.glob(".stylerig-*"))


@pytest.mark.slow
def test_two_processes_train_one_generator(folder, tmp_path, run_python):
    """torchrun with two processes: one result, which learned from both halves of each batch."""
    plan = {"seed": 1, "compile": False, "generator": dataclasses.asdict(TINY.generator),
            "discriminator_channels": TINY.discriminator_channels,
            "stages": [{"resolution": 16, "batch": 8, "images": 560, "learning_rate": 0.01},
                       {"kind": "adversarial", "resolution": 16, "batch": 8, "images": 32, "path_weight": 1.0}]}  # fmt: skip
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "backend",
               "train", "generator", "--data", folder, "--config", tmp_path / "plan.json", "--output", tmp_path / "out",
               "--device", "cpu"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = run_python(command, env=environment, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("generator: done") == 1
    generator = load_generator(tmp_path / "out" / "generator.safetensors")
    assert generator.metadata["processes"] == 2 and generator.metadata["images seen"] == 592
    alone = training(folder, tmp_path / "alone")
    assert held_out_error(generator, alone.task.data) < held_out_error(alone.task.networks.generator, alone.task.data) / 1.5


def test_new_pictures_are_taken_in_while_it_runs(folder, tmp_path):
    config = TINY.replace(rescan_minutes=0.0, stages=(Stage(resolution=8, batch=8, images=64),))
    run = training(folder, tmp_path / "out", config)
    write_set(folder, range(192, 256), SIZE)
    run.run()
    assert len(run.task.data) == 256


@pytest.mark.parametrize("discriminator", ["stylegan2", "patches"])
def test_adversarial_step_moves_both_networks(folder, tmp_path, discriminator):
    stage = Stage(kind="adversarial", batch=8, resolution=SIZE, images=80, adversarial_ramp=1, path_weight=2.0, texture_weight=1.0)
    run = training(folder, tmp_path / "out", TINY.replace(discriminator=discriminator, stages=(stage,)))
    weights = [run.task.networks.generator.synthesis.b16.conv1.weight, next(run.task.networks.discriminator.parameters())]
    before = [weight.detach().clone() for weight in weights]
    run.task.begin_stage(stage)
    run.progress.stage_images = 10  # after the ramp, and before the end
    values = run.take_step(stage)
    assert set(values) == {"augmented"} | {"pair", "texture", "generator", "features", "discriminator", "r1", "path", "real_sign"}
    assert not any(torch.equal(old, new) for old, new in zip(before, weights, strict=True))


def test_one_pass_through_the_discriminator_gives_both_gradients(folder, tmp_path):
    """Against two passes as the paper has them: realism at the pictures, likelihood at the weights."""
    run = training(folder, tmp_path / "out")
    discriminator, target = run.task.networks.discriminator, run.task.data.batch(np.arange(4))[0]
    fake = torch.randn(4, 4, SIZE, SIZE)
    _, gradient = discriminator_step(discriminator, fake, target, 0, adversarial_weight=0.5, feature_weight=0.0)
    leaf = fake.clone().requires_grad_()
    (expected,) = torch.autograd.grad(0.5 * losses.generator_loss(discriminator(leaf)[0]), leaf)
    assert torch.allclose(gradient, expected, atol=1e-6)
    loss = losses.discriminator_loss(discriminator(target)[0], discriminator(fake)[0])
    weight = discriminator.b16.conv0.weight
    assert torch.allclose(weight.grad, torch.autograd.grad(loss, weight)[0], atol=1e-5)


def test_plain_pictures_train_adversarially_and_not_by_pairs(tmp_path):
    for number in range(64):
        pixels = ellipse(np.random.default_rng(number).standard_normal(LATENTS), SIZE)
        Image.fromarray(pixels[..., :3]).save(tmp_path / f"{number}.png")
    with pytest.raises(StyleRigError, match="no latents"):
        training(tmp_path, tmp_path / "out")
    stage = Stage(kind="adversarial", resolution=SIZE, batch=8, images=32, free=1.0, flip=True)
    run = training(tmp_path, tmp_path / "out", TINY.replace(stages=(stage,)))
    run.run()
    assert load_generator(tmp_path / "out" / "generator.safetensors").metadata["scene_latents"] == 0


def fine_energy(pictures: torch.Tensor) -> float:
    """Mean square of what a 3 x 3 mean takes from the colour of covered pixels."""
    colour, covered = pictures[:, :3], (pictures[:, 3:] > 0.9).float()
    fine = colour - torch.nn.functional.avg_pool2d(torch.nn.functional.pad(colour, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return float((fine.square() * covered).sum() / covered.sum() / 3)


@pytest.mark.slow
def test_the_adversarial_finish_brings_back_texture_that_pairs_blur(tmp_path, monkeypatch):
    """Speckles that no latent tells: regression averages them away, a discriminator misses them."""

    def speckled(latent, size):
        picture = ellipse(latent, size).astype(float)
        rng = np.random.default_rng(int(abs(latent[0]) * 1e6))
        picture[..., :3] *= rng.choice([0.55, 1.0], size=(size, size, 1))
        return picture.astype(np.uint8)

    monkeypatch.setattr(picture_sets, "ellipse", speckled)
    data = write_set(tmp_path / "data", range(300), SIZE)
    pairs = Stage(resolution=SIZE, batch=8, images=1200, learning_rate=0.01)
    finish = Stage(kind="adversarial", resolution=SIZE, batch=8, images=1600, learning_rate=0.003, beta1=0.0,
                   adversarial_weight=0.5, adversarial_ramp=200, pair_skip=1, r1_gamma=0.1)  # fmt: skip
    energy, error = [], []
    for stages in ((pairs,), (pairs, finish)):
        run = training(data, tmp_path / "out", TINY.replace(stages=stages))
        run.run()
        target, latents = run.task.data.batch(run.task.data.rows(held_out=True))
        average = run.task.networks.average
        with torch.no_grad():
            drawn = average.synthesis.raw(average.mapping(run.task.complete(latents, DeviceRng(1))))
        energy.append(fine_energy(drawn) / fine_energy(target))
        error.append(float(torch.nn.functional.avg_pool2d(drawn - target, 4).abs().mean()))
    assert energy[0] < 0.2 and 1.5 * energy[0] < energy[1] < 1.5
    assert error[1] < 1.3 * error[0]


def test_path_lengths_are_those_of_a_linear_generator():
    """For a linear map w -> picture the gradient along a direction is known."""
    matrix = torch.randn(5, 4 * 8 * 8, dtype=torch.float64)
    codes = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    pictures = (codes.sum(1) @ matrix).view(3, 4, 8, 8)
    lengths = losses.path_lengths(pictures, codes, torch.Generator().manual_seed(3))
    directions = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(3)).double() / 8
    assert torch.allclose(lengths, (directions.flatten(1) @ matrix.t()).norm(dim=1))


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
    for a, b in zip(plain, gathered, strict=True):
        assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)


def test_pair_loss_is_zero_for_equal_pictures_and_focuses_on_the_middle():
    picture, focus = torch.zeros(1, 4, 32, 32), losses.focus_map(32, 2.0)
    middle, corner = picture.clone(), picture.clone()
    middle[..., 15:19, 14:18] = 1
    corner[..., :4, :4] = 1
    assert float(losses.pair_loss(picture, picture, focus)) == 0
    assert float(losses.pair_loss(middle, picture, focus)) > 1.5 * float(losses.pair_loss(corner, picture, focus))


def test_skipped_levels_leave_fine_detail_free():
    target, focus = torch.zeros(1, 4, 32, 32), losses.focus_map(32, 2.0)
    stripes = target.clone()
    stripes[:, :3, :, ::2], stripes[:, :3, :, 1::2] = 1, -1
    assert float(losses.pair_loss(stripes, target, focus, skip=1)) == 0
    matte = target.clone()
    matte[:, 3, :, ::2], matte[:, 3, :, 1::2] = 1, -1
    assert float(losses.pair_loss(matte, target, focus, skip=1)) > 0.1
    assert float(losses.pair_loss(matte, target, focus, skip=2)) == 0
    assert float(losses.pair_loss(stripes, target, focus)) > 0.5
    assert float(losses.pair_loss(target + 1, target, focus, skip=1)) == pytest.approx(1, rel=0.01)


def test_near_features_fine_detail_counts_all_the_same():
    target, focus = torch.zeros(1, 4, 32, 32), losses.focus_map(32, 2.0)
    near = torch.zeros(1, 1, 32, 32)
    near[..., 8:16, 8:16] = 1
    stripes = target.clone()
    stripes[:, :3, :8, ::2], stripes[:, :3, :8, 1::2] = 1, -1
    assert float(losses.pair_loss(stripes, target, focus, skip=1, near=near)) == 0
    assert float(losses.pair_loss(stripes.roll(8, 2), target, focus, skip=1, near=near)) > 0.01


def regressor() -> Estimator:
    torch.manual_seed(0)
    sizes = {"identity": 2, "reflectance": 1, "expression": 4, "light": 27, "rotation": 3, "translation": 3}
    return Estimator(sizes, channels=[4, 4, 8, 8, 8]).eval().requires_grad_(False)


def test_a_reading_is_compared_and_can_be_followed():
    target = torch.rand(2, 4, 64, 64) * 2 - 1
    assert float(perceptual_loss(regressor(), target, target)) == 0
    picture = (target + 0.3 * torch.randn_like(target)).requires_grad_()
    loss = perceptual_loss(regressor(), picture, target)
    (gradient,) = torch.autograd.grad(loss, picture)
    assert float(loss.detach()) > 0.01 and bool(gradient[:, :3].any())
    nearer = (picture - 0.1 * gradient / gradient.abs().max()).detach()
    assert float(perceptual_loss(regressor(), nearer, target)) < float(loss.detach())


def test_a_perceptual_loss_needs_a_regressor_that_judges_nothing(folder, tmp_path):
    stages = tuple(stage.replace(perceptual_weight=0.1, images=16) for stage in TINY.stages)
    config = TINY.replace(stages=stages)
    with pytest.raises(StyleRigError, match="perceptual loss") as caught:
        training(folder, tmp_path / "out", config)
    assert "landmarks.safetensors" in caught.value.hint and caught.value.code == "no_face_regressor"
    judge = regressor()
    judge.header = {"half": "evaluation"}
    with pytest.raises(StyleRigError, match="judges"):
        open_training(folder, config, tmp_path / "out", regressor=judge)
    assert not (tmp_path / "out").exists()
    said = []
    open_training(folder, config, tmp_path / "out", say=said.append, regressor=regressor()).run()
    assert any("perceptual" in line for line in said)


def test_the_discriminator_sees_growing_pictures():
    discriminator = Discriminator(SIZE, 4, TINY.discriminator_channels)
    for size, depths in ((16, 2), (8, 1)):
        logits, features = discriminator(torch.randn(3, 4, size, size))
        assert [tuple(one.shape) for one in logits] == [(3, 1)] and len(features) == depths


def test_a_patch_is_judged_by_what_is_near_it():
    discriminator = PatchDiscriminator(4)
    picture = torch.zeros(1, 4, 128, 128)
    other = picture.clone()
    other[:, :, :8, :8] = 1
    fine, coarse = ([discriminator(x)[0][scale][0, 0] for x in (picture, other)] for scale in (0, 1))
    changed = (fine[0] - fine[1]).abs() > 1e-7
    assert fine[0].shape == (16, 16) and coarse[0].shape == (8, 8)
    assert changed[:2, :2].any() and not changed[4:].any() and not changed[:, 4:].any()


def test_patches_tell_blurred_from_sharp_in_few_steps():
    """Of 8 pictures a step, and of noise, where nothing but sharpness tells them apart."""
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(4)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    for _ in range(40):
        sharp = torch.rand(8, 4, 64, 64) * 2 - 1
        blurred = F.interpolate(F.avg_pool2d(sharp, 2), scale_factor=2, mode="bilinear") * 2
        loss = losses.discriminator_loss(discriminator(sharp)[0], discriminator(blurred)[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7  # log 4 = 1.39 for one that knows nothing


def test_r1_is_the_squared_gradient():
    discriminator = Discriminator(SIZE, 4, TINY.discriminator_channels)
    real = torch.randn(2, 4, SIZE, SIZE, requires_grad=True)
    (gradient,) = torch.autograd.grad(sum(one.flatten(1).mean(1).sum() for one in discriminator(real)[0]), real)
    assert float(losses.r1_penalty(discriminator, real).detach()) == pytest.approx(float(gradient.square().sum() / 2), rel=1e-4)


def test_shipped_plans_are_valid():
    studio, quick = load_plan(PLAN), load_plan(PLAN.with_name("quick.toml"))
    assert studio.generator.resolution == 256 and studio.generator.size * 2 < 24e6
    for config in (studio, quick):
        assert [s.kind for s in config.stages][-1] == "adversarial" and config.stages[0].kind == "pairs"
        assert config.stages[-1].resolution == config.generator.resolution
    free = load_plan(PLAN.with_name("free.toml"))
    assert not free.generator.meanings and all(stage.kind == "adversarial" and stage.free == 1 for stage in free.stages)


def test_pairs_are_not_taught_where_latents_do_not_tell_the_picture(folder, tmp_path):
    whole = json.loads((folder / "index.json").read_text()) | {"format": 3, "shots": 4}
    copy = shutil.copytree(folder, tmp_path / "whole")
    (copy / "index.json").write_text(json.dumps(whole))
    for truth in copy.rglob("*.npz"):
        values = dict(np.load(truth, allow_pickle=False))
        np.savez(truth, **values, crop=np.array([0, 0, 1, 0], np.float32), aligned=values["parameters"])
    with pytest.raises(StyleRigError, match="who somebody is") as caught:
        training(copy, tmp_path / "out")
    assert "free.toml" in caught.value.hint


@pytest.mark.parametrize(
    "values, word",
    [
        ({"stages": []}, "no stages"),
        ({"stages": [{"kind": "magic", "images": 1}]}, "magic"),
        ({"stages": [{"kind": "pairs"}]}, "needs steps, images or minutes"),
        ({"stages": [{"images": 1, "resolution": 100}]}, "100"),
        ({"stages": [{"images": "many"}]}, "images"),
        ({"stages": [{"images": 8, "pair_skip": 6}]}, "leaves out 6"),
        ({"stages": [{"kind": "adversarial", "images": 8, "resolution": 4}]}, "at least 8"),
        ({"discriminator": "patches", "stages": [{"kind": "adversarial", "images": 8, "resolution": 8}]}, "at least 16"),
        ({"discriminator": "oracle"}, "oracle"),
        ({"speed": 3}, "speed"),
        ({"generator": {"img_channels": 3}}, "matte"),
        ([1], "table"),
    ],
)
def test_bad_plans_are_refused(values, word):
    with pytest.raises(StyleRigError, match=word):
        parse_settings(GeneratorPlan, values)


def test_names_of_earlier_versions_are_read():
    stage = {"images": 8, "reading_weight": 0.25, "discriminator_rate": 0.5}
    plan = parse_settings(GeneratorPlan, {"sheet_minutes": 7, "stages": [stage]})
    assert plan.sample_minutes == 7 and plan.stages[0].perceptual_weight == 0.25 and plan.stages[0].discriminator_learning_rate == 0.5


def test_bad_plan_files_are_refused(tmp_path):
    (tmp_path / "plan.toml").write_text("a = = 1")
    with pytest.raises(StyleRigError, match="TOML"):
        load_plan(tmp_path / "plan.toml")
    with pytest.raises(StyleRigError, match="cannot be read"):
        load_plan(tmp_path / "none.toml")


def test_an_empty_folder_and_a_foreign_or_broken_checkpoint_are_refused(folder, tmp_path):
    with pytest.raises(StyleRigError, match="no folder"):
        training(tmp_path / "none", tmp_path / "out")
    run = training(folder, tmp_path / "out")
    run.save()
    other = TINY.replace(generator=dataclasses.replace(TINY.generator, mapping_layers=3))
    with pytest.raises(StyleRigError, match="another training"):
        training(folder, tmp_path / "out", other)
    state = torch.load(run.checkpoint_path, weights_only=True)
    torch.save(state | {"modules": {}}, run.checkpoint_path)
    with pytest.raises(StyleRigError, match="another version"):
        training(folder, tmp_path / "out")
    run.checkpoint_path.write_bytes(run.checkpoint_path.read_bytes()[:-400])
    with pytest.raises(StyleRigError, match=r"checkpoint\.pt cannot be read"):
        training(folder, tmp_path / "out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    assert World("auto").device.type == "cpu"
    with pytest.raises(StyleRigError, match="no CUDA device"):
        World("cuda")


def test_a_loss_that_is_no_number_ends_it_and_keeps_the_checkpoint(folder, tmp_path):
    config = TINY.replace(checkpoint_minutes=0.0, stages=(Stage(resolution=16, batch=8, images=64),))
    run = training(folder, tmp_path / "out", config)
    step = run.task.step
    run.task.step = lambda *given: {"pair": float("nan")} if run.progress.images == 40 else step(*given)
    with pytest.raises(StyleRigError, match=r"pair is no longer a number at step 5 .40 images., in stage 1.*lower learning_rate"):
        run.run()
    assert training(folder, tmp_path / "out", config).progress.images == 40


def test_weights_that_are_no_numbers_are_not_saved(folder, tmp_path):
    run = training(folder, tmp_path / "out")
    run.save()
    kept = run.checkpoint_path.read_bytes()
    with torch.no_grad():
        run.task.networks.generator.mapping.fc0.weight[0, 0] = float("nan")
    with pytest.raises(StyleRigError, match="a weight is no longer a number"):
        run.save()
    assert run.checkpoint_path.read_bytes() == kept
