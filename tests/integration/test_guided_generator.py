"""The generator that the rig steers: its maps show the rig, its pictures follow the maps, its training goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.face import load_face_model
from models.face.camera import Camera
from models.face.frame import half_width, translation
from models.face.parameters import RigParameters
from models.generators.checkpoints.checkpoint import load_generator, save_generator
from models.generators.generator import Generator
from models.generators.guide import CHANNELS, SHELL_COVERED, SHELL_POINT, SURFACE, GuideMesh, guide_maps
from models.generators.guided import GuidedConfig, GuidedSynthesisNetwork, places, pyramid
from models.generators.person import PersonConfig, PersonMapping, PersonNetwork, features_of_choices
from models.generators.planes import PlanesConfig
from models.generators.roi import Box
from models.generators.strands import STRONGEST, Strands, widths
from models.rigging import Controls, Rig
from models.synthetic.description import amounts_of
from models.synthetic.person import latent_size, person_from_latent
from models.training.core.checkpoint import Stopped
from models.training.core.config import parse_settings
from models.training.core.trainer import Trainer
from models.training.guided_generator.config import GuidedPlan, Stage
from models.training.guided_generator.growth import check_growth, take_weights
from models.training.guided_generator.task import GuidedTask, clipped, open_training, train_guided, window
from models.training.people import people, train_person_network

SMALL = {4: 16, 8: 16, 16: 16, 32: 8}
PLANES = {"features": 2, "channels": {"4": 8, "8": 8}, "w_dim": 512}
PEOPLE, LATENTS = 32, 6


@pytest.fixture(scope="module")
def face():
    return load_face_model("head-2")


@pytest.fixture(scope="module")
def mesh(face):
    return GuideMesh.of(face)


def heads(face, count: int, yaw: float = 0.0) -> tuple[RigParameters, Camera, torch.Tensor]:
    """Neutral heads in the whole-head frame, and their shoulders."""
    parameters = RigParameters.neutral(face, count)
    rotation = torch.tensor([[yaw, 0.0, 0.0]]).repeat(count, 1)
    parameters = parameters.replace(rotation=rotation, translation=translation(rotation))
    width = half_width(face, parameters.identity)[:, None]
    return parameters, Camera(torch.full_like(width, 120.0), width), torch.zeros(count, 3)


def test_maps_show_the_head_its_light_and_its_parts(face, mesh):
    maps = guide_maps(mesh, *heads(face, 1), 64)
    assert maps.shape == (1, CHANNELS, 64, 64) and torch.isfinite(maps).all()
    coverage, shoulders, normal = maps[0, 0], maps[0, 1], maps[0, 2:5]
    assert set(coverage.round(decimals=4).unique().tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}  # outlines are no steps
    assert 0.25 < coverage.mean() < 0.6 and ((coverage > 0) & (coverage < 0.999)).float().mean() < 0.1
    assert shoulders[:30].sum() == 0 and shoulders[-1].mean() > 0.5  # below, and only there
    assert normal[2, 28:36, 30:34].mean() > 0.5  # the face looks at the camera
    lit = maps[0, 8:11] ** 2
    assert lit[:, coverage > 0.999].mean() == pytest.approx(1.0, abs=0.02)  # radiance 1 from everywhere
    assert maps[0, SURFACE].mean() > coverage[:40].mean() * 0.5  # the shell lies round the head
    assert maps[0, SURFACE][:40].sum() > (coverage - shoulders)[:40].sum()


def test_a_place_keeps_its_name_when_the_head_turns(face, mesh):
    straight, turned = (guide_maps(mesh, *heads(face, 1, yaw), 128)[0] for yaw in (0.0, 0.6))
    place = slice(14, 17)
    nose = lambda maps: maps[place][:, maps[16] == maps[16].max()].mean(dim=1)  # where z is largest
    assert torch.allclose(nose(straight), nose(turned), atol=0.03)


def test_what_planes_say_of_a_point_goes_where_it_goes(face, mesh):
    torch.manual_seed(0)
    sizes = SMALL | {64: 8, 128: 4}
    config = GuidedConfig(resolution=128, channels=sizes, palette=True, planes=PlanesConfig(features=4, channels={4: 8, 8: 8, 16: 8}))
    network = GuidedSynthesisNetwork(config)
    maps = torch.cat([guide_maps(mesh, *heads(face, 1, yaw), 128) for yaw in (0.0, 0.5)])
    w = torch.randn(1, config.num_ws, config.w_dim).repeat(2, 1, 1)
    coarse, said = [told[:, CHANNELS:] for told in network.told(maps, w, list(map(Box.whole, sizes)))[-2:]]
    assert torch.allclose(coarse, torch.nn.functional.avg_pool2d(said, 2), atol=1e-6)
    assert said.shape == (2, config.told_channels - CHANNELS, 128, 128)
    straight, turned = said[:, 9:13]  # the planes' features of the surface
    least = 0.1 * straight.std().item()
    nose = lambda row: maps[row, 16] == maps[row, 16].max()  # where z is largest
    assert torch.allclose(straight[:, nose(0)].mean(dim=1), turned[:, nose(1)].mean(dim=1), atol=least)
    assert (straight[:, 64, 64] - turned[:, 64, 64]).abs().mean() > least
    assert (said[:, :, maps[0, 0] + maps[0, SURFACE] + maps[1, 0] + maps[1, SURFACE] == 0] == 0).all()  # nothing of no point
    colours = network.colours(w[:, -1])
    shirt = maps[0, 1] * maps[0, 8:11] * colours[0, 0][:, None, None]
    assert torch.allclose(said[0, :3], shirt, atol=1e-5)


def test_strands_turn_with_the_head_and_fade_where_they_are_too_fine(face, mesh):
    strands = Strands(8)
    straight, turned = (guide_maps(mesh, *heads(face, 1, yaw), 256) for yaw in (0.0, 0.6))
    lines, place = [], []
    for maps in (straight, turned):
        points = places(maps, SHELL_COVERED, SHELL_POINT)
        inside = (maps[0, SURFACE] == 1) & (widths(points)[0, 0] < 1 / 512)  # where the first octave is not faded
        lines.append(strands.read(points, widths(points))[0, 0][inside])
        place.append(points[0][:, inside].T)
    distance, nearest = torch.cdist(place[0], place[1]).min(dim=1)
    seen = distance < 0.02
    assert seen.sum() > 500 and lines[0].std() > 0.1
    assert np.corrcoef(lines[0][seen], lines[1][nearest[seen]])[0, 1] > 0.9
    small = places(F.avg_pool2d(straight, 4), SHELL_COVERED, SHELL_POINT)
    assert strands.read(small, small.new_full((1, 1, 64, 64), 1 / 240))[:, 1:].abs().max() == 0  # more than a line a pixel
    assert strands.read(small, small.new_full((1, 1, 64, 64), 1 / 240))[:, 0].std() > 0.1
    face_side = places(straight, SHELL_COVERED, SHELL_POINT)[0, :, 150, 128]
    assert face_side[2] > 0.6 and (strands.read(face_side[None, :, None, None], torch.zeros(1, 1, 1, 1)) == 0).all()  # none before the face


def test_hair_alone_is_made_of_strands(face, mesh):
    torch.manual_seed(0)
    config = GuidedConfig(resolution=64, channels=SMALL | {64: 8}, palette=True, mattes=("skin", "hair"), strands=True)
    network = GuidedSynthesisNetwork(config)
    maps, w = guide_maps(mesh, *heads(face, 1, 0.3), 64), torch.randn(1, config.num_ws, 512)
    smooth = network.raw(w, guide=maps)
    assert torch.equal(smooth, network.raw(w, guide=maps, strands=False)), "at first they are of no strength"
    torch.nn.init.constant_(network.strands.gains.bias, 0.2)
    assert (network.strands.strength(w[:, -1]) < STRONGEST).all()
    drawn = network.raw(w, guide=maps)
    changed = (drawn - smooth).abs().sum(dim=1)[0]
    hair = smooth[0, 5] > -1
    assert changed[hair & (maps[0, SURFACE] == 1)].mean() > 0.002
    assert (changed[~hair] == 0).all() and (changed[maps[0, SURFACE] == 0] == 0).all()
    assert torch.equal(drawn[:, 3:], smooth[:, 3:])
    assert sum(p.numel() for p in network.parameters()) + 512 <= config.size


def test_the_maps_steer_the_picture_and_w_says_who(face, mesh):
    torch.manual_seed(0)
    config = GuidedConfig(resolution=32, channels=SMALL, guide_channels=CHANNELS, person=PersonConfig(numbers=LATENTS))
    mapping, network = PersonMapping(config, config.person), GuidedSynthesisNetwork(config)
    straight, turned = (guide_maps(mesh, *heads(face, 1, yaw), 32) for yaw in (0.0, 0.6))
    z = torch.randn(2, config.z_dim)
    w = mapping(z)
    same = z.clone()
    same[:, LATENTS:] = 0
    assert torch.equal(mapping(same), w)
    one, other, elsewhere = network.raw(w[:1], guide=straight), network.raw(w[1:], guide=straight), network.raw(w[:1], guide=turned)
    assert (one - elsewhere).abs().mean() > 1e-3 and (one - other).abs().mean() > 1e-3
    assert network.raw(w[:1], resolution=16, guide=straight).shape == (1, 4, 16, 16)
    assert sum(p.numel() for p in (*mapping.parameters(), *network.parameters())) <= config.size


def test_a_part_is_what_the_whole_shows_there(face, mesh):
    torch.manual_seed(0)
    sizes = SMALL | {64: 8, 128: 4, 256: 4}
    network = GuidedSynthesisNetwork(
        GuidedConfig(
            resolution=256, channels=sizes, palette=True, planes=PlanesConfig(features=2, channels={4: 8}), mattes=("hair",), strands=True
        )
    )
    torch.nn.init.ones_(network.strands.gains.bias)
    maps, w = guide_maps(mesh, *heads(face, 2, 0.3), 256), torch.randn(2, 14, 512)
    whole = network.raw(w, guide=maps)
    for box in (Box(0, 64, 192, 256), Box(66, 194, 80, 208), Box.whole(256)):
        assert torch.allclose(network.raw(w, guide=maps, box=box), whole[..., *box.place], atol=1e-4)
    for number in range(20):
        box = window(Stage(resolution=64, batch=1, images=1, learning_rate=0.01, window=48), DeviceRng(number))
        assert min(box.top, box.left) >= 0 and max(box.bottom, box.right) <= 64 and box.width == box.height == 48
    assert window(Stage(resolution=64, batch=1, images=1, learning_rate=0.01, window=64), DeviceRng(1)) is None


def test_each_layer_sees_the_average_of_the_maps():
    guide = torch.rand(1, 3, 32, 32)
    levels = pyramid(guide, [4, 8, 16, 32])
    assert list(levels) == [4, 8, 16, 32] and levels[32] is guide
    assert torch.allclose(levels[4], torch.nn.functional.avg_pool2d(guide, 8), atol=1e-6)


def test_what_is_clipped_when_it_is_shown_is_as_good():
    images = torch.tensor([-1.3, -0.9, -1.3, 1.2, 0.9, 1.2], requires_grad=True)
    targets = torch.tensor([-1.0, -1.0, 0.0, 1.0, 1.0, 0.0])
    errors = (clipped(images, targets) - targets).abs()
    assert torch.allclose(errors.detach(), torch.tensor([0.0, 0.1, 1.3, 0.0, 0.1, 1.2]), atol=1e-6)
    errors.sum().backward()
    assert images.grad is not None and images.grad.tolist() == [0, 1, -1, 0, -1, 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, face) -> Path:
    """A set of whole heads whose pictures are the rig's own maps, coloured by person."""
    folder = tmp_path_factory.mktemp("set")
    places = RigParameters.slices(face)
    index = {"format": 3, "size": 32, "large_size": 32, "shots": 4, "count": 4 * PEOPLE, "latents": LATENTS, "seed": 0,
             "layout": {"looks": [0, LATENTS]},
             "parameters": {name: [place.start, place.stop] for name, place in places.items()}}  # fmt: skip
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "00000").mkdir()
    posed = [heads(face, 1, 0.4 * shot - 0.6) for shot in range(4)]
    drawn = [guide_maps(GuideMesh.of(face), *each, 32)[0] for each in posed]
    for number in range(4 * PEOPLE):
        random = np.random.default_rng(number // 4)
        latent = random.standard_normal(LATENTS).astype(np.float32)
        (parameters, camera, body), maps = posed[number % 4], drawn[number % 4]
        alpha = maps[0].numpy()
        colour = (0.5 + 0.2 * np.tanh(latent[:3]))[:, None, None] * (0.5 + 0.5 * maps[4].numpy())
        pixels = np.rint(255 * np.concatenate((colour * alpha, alpha[None]))).astype(np.uint8).transpose(1, 2, 0)
        path = folder / "00000" / f"{number:06d}.png"
        cv2.imwrite(str(path), pixels[..., [2, 1, 0, 3]])
        np.savez(path.with_suffix(".npz"), latent=latent, parameters=parameters.vector()[0].numpy(),
                 landmarks=np.zeros((68, 2), np.float32),
                 camera=np.array([120.0, float(camera.half_width)], np.float32), body=body[0].numpy(),
                 classes=(alpha > 0).astype(np.uint8))  # fmt: skip
    return folder


def plan(**changes) -> GuidedPlan:
    stages = (
        Stage(resolution=16, batch=4, images=60, learning_rate=0.01, warmup_images=0),
        Stage(resolution=32, batch=4, images=8, learning_rate=0.005, adversarial_weight=0.2, window=16),
    )
    return GuidedPlan(channels=SMALL, stages=stages, people=0).replace(**changes)


def training(folder: Path, output: Path, plan: GuidedPlan) -> Trainer:
    return open_training(folder, plan, output, say=lambda line: None)


@torch.no_grad()
def error(task: GuidedTask, rows: np.ndarray) -> float:
    """Mean absolute error of the images at 16 pixels."""
    batch = task.batch_of(rows, 16)
    return float((task.networks(batch.features, batch.maps, 16)[:, :4] - batch.real).abs().mean())


def test_a_training_learns_and_goes_on_where_it_stopped(folder, tmp_path):
    whole = training(folder, tmp_path / "whole", plan())
    rows = whole.task.data.rows(held_out=False)[:8]
    before = error(whole.task, rows)
    first = training(folder, tmp_path / "parts", plan())
    first.task.after_step = stopping(first.task, 20)
    with pytest.raises(Stopped):
        first.run()
    second = training(folder, tmp_path / "parts", plan())
    assert second.progress.images == 20
    whole.run()
    second.run()
    assert error(whole.task, rows) < 0.8 * before
    for a, b in zip(whole.task.networks.parameters(), second.task.networks.parameters(), strict=True):
        assert torch.equal(a, b)
    assert list((tmp_path / "whole" / "samples").glob("*.jpg"))
    assert "images seen" in train_guided(whole).read_text()
    rig = Rig.load(tmp_path / "whole")
    assert rig.frame(rig.new_portrait(1), Controls(rotation=(0.3, 0, 0)), 32)["Combined"].shape == (32, 32, 4)
    losses = whole.log.losses()
    assert {"pair", "mattes", "generator", "features", "discriminator", "held_out_colour"} <= set(losses)


def test_a_training_begins_with_a_generator_of_its_sizes(folder, tmp_path):
    first = training(folder, tmp_path / "first", plan(precision="float32"))
    first.run()
    taught = load_generator(tmp_path / "first" / "studio-generator.safetensors")
    begun = open_training(folder, plan(precision="float32"), tmp_path / "second", say=lambda line: None, begun=taught)
    rows = begun.task.data.rows(held_out=False)[:8]
    assert error(begun.task, rows) < 1.1 * error(first.task, rows)
    assert begun.task.summary(begun.progress)["images seen"] == 68
    begun.save()
    by_its_folder = training(folder, tmp_path / "second", plan(precision="float32"))
    assert by_its_folder.task.summary(by_its_folder.progress)["images seen"] == 68
    larger = plan(channels={size: 2 * width for size, width in SMALL.items()})
    with pytest.raises(StyleRigError, match="other sizes"):
        open_training(folder, larger, tmp_path / "third", begun=taught)


def test_what_is_new_changes_nothing_at_first(face, mesh):
    torch.manual_seed(0)
    known_planes = PlanesConfig(features=2, channels={4: 6, 8: 5})
    config = GuidedConfig(resolution=32, channels=SMALL, palette=True, planes=known_planes, mattes=("hair",))
    larger = dataclasses.replace(config, strands=True)
    finer = dataclasses.replace(larger, planes=PlanesConfig(features=2, channels={4: 6, 8: 5, 16: 4}))
    known, maps = Generator.create(config), guide_maps(mesh, *heads(face, 2, 0.3), 32)
    w = torch.randn(2, config.num_ws, 512)
    before = known.synthesis.raw(w, guide=maps)
    with pytest.raises(StyleRigError, match="other sizes"):
        check_growth(Generator.create(finer), config)
    for grown, most in ((larger, 1e-6), (finer, 0.05)):  # planes of more pixels are read a little smoother
        check_growth(known, grown)
        network = GuidedSynthesisNetwork(grown)
        take_weights(network, known.synthesis)
        assert (network.raw(w, guide=maps) - before).abs().mean() < most * before.std()


def stopping(task: GuidedTask, images: int):
    """What asks the process to stop after so many images."""
    inner = task.after_step

    def after_step(progress, losses):
        if progress.images == images:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(progress, losses)

    return after_step


def test_plans_are_read_with_the_names_of_earlier_versions():
    stage = {"resolution": 16, "batch": 4, "images": 8, "learning_rate": 0.01, "patches": 0.5, "patch_rate": 0.25}
    read = parse_settings(GuidedPlan, {"channels": {"4": 8}, "sheet_minutes": 3, "stages": [stage]})
    assert read.channels == {4: 8} and read.sample_minutes == 3
    assert read.stages[0].adversarial_weight == 0.5 and read.stages[0].discriminator_learning_rate == 0.25


def test_another_plan_and_other_sets_are_refused(folder, tmp_path):
    training(folder, tmp_path, plan()).save()
    with pytest.raises(StyleRigError, match="another training"):
        training(folder, tmp_path, plan(seed=2))
    old = tmp_path / "old"
    old.mkdir()
    (old / "index.json").write_text(json.dumps(json.loads((folder / "index.json").read_text()) | {"format": 2}))
    with pytest.raises(StyleRigError, match="whole heads"):
        training(old, tmp_path / "out", plan())


@pytest.mark.parametrize("planes", [None, PlanesConfig(features=2, channels={4: 6, 8: 5})])
def test_a_file_of_one_is_read_back(tmp_path, planes):
    person = PersonConfig(numbers=LATENTS, choices=(3, 2), amounts=4, identity=130, reflectance=32)
    config = GuidedConfig(
        resolution=32,
        channels=SMALL,
        person=person,
        mattes=("skin", "hair"),
        z_dim=16,
        palette=bool(planes),
        planes=planes,
        strands=bool(planes),
    )
    written = Generator.create(config).half().float()
    save_generator(written, tmp_path / "g.safetensors", {})
    read = load_generator(tmp_path / "g.safetensors")
    z = torch.randn(2, 16)
    assert read.guide_channels == CHANNELS and read.config == config
    with torch.no_grad():
        assert read(z).shape == (2, 3, 32, 32)
        assert (read(z) - written.eval()(z)).abs().max() < 1e-2  # half precision
        assert read.synthesis(read.mapping(z), noise="const").shape == (2, 3, 32, 32)
        colour, alpha = read.foreground(read.mapping(z))
        assert colour.shape == (2, 3, 32, 32) and alpha.shape == (2, 1, 32, 32)
    assert sum(value.numel() for value in read.state_dict().values()) <= config.size


@pytest.mark.parametrize("wrong", [{"head": "/etc/passwd"}, {"person": {"numbers": -1}}, {"person": 3}, {"person": {"choices": [1]}},
                                   {"mattes": ["a b"]}, {"guide_channels": 0}, {"person": {"numbers": 9999}}, {"palette": 3}, {"strands": 1}, {"strands": True},
                                   {"palette": True, "guide_channels": 3}, {"planes": 3}, {"planes": PLANES | {"features": 0}},
                                   {"planes": PLANES | {"channels": {"4": 8, "16": 8}}}, {"planes": PLANES | {"channels": [4]}},
                                   {"planes": PLANES | {"channels": {"4": "8"}}}, {"planes": PLANES | {"w_dim": 8}},
                                   {"planes": PLANES | {"conv_clamp": 1.0}}])  # fmt: skip
def test_configurations_that_cannot_be(wrong):
    with pytest.raises(StyleRigError):
        GuidedConfig.from_json({"resolution": 32, "channels": SMALL} | wrong)


def test_choices_are_shares_and_who_is_known_enters_exactly():
    network = PersonNetwork(PersonConfig(numbers=5, choices=(3, 2), amounts=2, identity=4, reflectance=1))
    features = network.features(torch.randn(7, 16))
    assert features.shape == (7, 7) and torch.allclose(features[:, :3].sum(dim=1), torch.ones(7))
    exact = features_of_choices(torch.tensor([[2, 0]]), torch.tensor([[0.5, -1.0]]), (3, 2))
    assert exact.tolist() == [[0, 0, 1, 1, 0, 0.5, -1.0]]


def test_the_rules_for_people_can_be_learned(face, tmp_path):
    latents = torch.randn(900, latent_size(face), generator=torch.Generator().manual_seed(3))
    drawn = people(latents, face)
    lines = []
    network = train_person_network(drawn, 20, tmp_path, say=lines.append)
    *_, amounts, identity, _ = network(latents[:64])
    assert ((identity - drawn.identity[:64]).abs().mean() / drawn.identity.std()) < 0.25
    masculine = list(amounts_of(person_from_latent(latents[0], face))).index("masculine")
    assert np.corrcoef(amounts[:, masculine], drawn.amounts[:64, masculine])[0, 1] > 0.9
    assert "style" in lines[-1] and drawn.choices.max() < 28
