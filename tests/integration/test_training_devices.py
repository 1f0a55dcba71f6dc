"""The rig's training and evaluation on another device than the processor: one that is simulated, and a GPU where there is one."""

from __future__ import annotations

import argparse
import json
import shutil
from unittest import mock

import numpy as np
import pytest
import torch

from backend.cli import evaluate_generator, evaluate_rig, main, train_rig
from models.device_rng import DeviceRng
from models.evaluation.control import (
    background,
    coverage,
    disentanglement,
    evaluate,
    load_judge,
    placement,
    stability,
    subjects,
)
from models.evaluation.control.judge_calibration import read
from models.face import load_face_model
from models.face.alignment import project_landmarks
from models.generators import Engine, Generator, cpu, save_generator
from models.generators.guided import GuidedConfig
from models.generators.person import PersonConfig
from models.generators.planes import PlanesConfig
from models.generators.semantic_mapping.scene_edits import draw_pairs, draw_scenes, parameters_of
from models.perception.face_regressor import Estimator
from models.rigging import Controls, Rig
from models.rigging.frame_renderer import FrameRenderer
from models.training.core.checkpoint import load_checkpoint
from models.training.core.distributed import World
from models.training.rig import ablations, reconstruction, rignet
from models.training.rig.config import RigNetSettings
from models.training.rig.latent_pool import LatentPool, draw_codes
from models.training.rig.pipeline import open_generator
from models.training.rig.rignet_data import RigNetData
from models.training.rig.run import Run
from tests.helpers.other_device import DEVICE, other_device
from tests.helpers.rig_training import GENERATOR, prepare, small_pools, tiny_plan, train
from tests.helpers.synthetic_face import synthetic_face

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device and PyTorch for it")


@pytest.fixture(scope="module")
def face():
    return synthetic_face(vertices=200)


@pytest.fixture(scope="module")
def head():
    return load_face_model(None)


@pytest.fixture(scope="module", autouse=True)
def one_precision():
    """What is compared to the bit has to be computed alike: a processor that multiplies bfloat16 in hardware would, the other device would not."""
    with mock.patch.object(cpu, "has_fast_bf16", lambda device="cpu": False):
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a generator and 64 pictures with their truth."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def trained(prepared):
    """A rig trained on the processor, with its ablations."""
    return train_all(prepared, prepared / "rig", World("cpu"))


@pytest.fixture(scope="module")
def trained_elsewhere(prepared):
    """The same on a device that is simulated."""
    world = World("cpu")
    world.device = DEVICE
    with other_device():
        return train_all(prepared, prepared / "elsewhere", world)


def train_all(prepared, output, world, plan=None):
    """Every stage of a training, on the world's device; of the ablations the published losses and steering."""
    train(prepared, output, world, plan)
    run = Run.open(plan or tiny_plan(), synthetic_face(vertices=200), output, lambda line: None, world)
    variants = tuple(variant for variant in ablations.VARIANTS if variant.steering or not variant.changes)
    with small_pools(), mock.patch.object(ablations, "VARIANTS", variants):
        ablations.ablate(run, prepared / "generator.safetensors", prepared / "pictures")
    return output


def first_losses(folder) -> dict[str, dict]:
    """The terms of every stage at its first step."""
    logs = {path.parent.name: json.loads(path.read_text().splitlines()[0]) for path in folder.glob("*/log.jsonl")}
    return {stage: entry["losses"] for stage, entry in logs.items()}


@pytest.mark.slow
def test_every_stage_on_another_device_ends_in_the_same_rig(face, trained, trained_elsewhere):
    found, wanted = (Rig.load(folder, face=face) for folder in (trained_elsewhere, trained))
    assert found.weights_hash == wanted.weights_hash
    assert first_losses(trained_elsewhere) == first_losses(trained)
    tables = [json.loads((folder / "ablations.json").read_text()) for folder in (trained_elsewhere, trained)]
    assert tables[0] == tables[1]
    assert json.loads((trained_elsewhere / "config.json").read_text())["made_with"]["device"] == DEVICE.type


def test_a_training_goes_on_on_the_processor_where_another_device_left_it(face, prepared, trained, trained_elsewhere, tmp_path):
    folder = shutil.copytree(trained_elsewhere, tmp_path / "rig")
    for stage in ("joint", "finish"):
        shutil.rmtree(folder / f"rignet-{stage}")
    lines = []
    train(prepared, folder, say=lines.append)
    assert "rignet-simultaneous: was finished before" in lines and any(line.startswith("rignet-joint: done") for line in lines)
    assert Rig.load(folder, face=face).weights_hash == Rig.load(trained, face=face).weights_hash


def scene_terms(head, device, folder) -> dict[str, torch.Tensor]:
    """What is learned from exact scenes: the terms of one step of RigNet after one of the reconstruction."""
    world = World("cpu")
    world.device = torch.device(device)
    head = head.to(device)
    generator = Generator.create(GENERATOR).eval().requires_grad_(False).to(device)
    w, plain, z = draw_codes(generator, 24, DeviceRng(0, device))
    truth = parameters_of(z, head)
    landmarks = project_landmarks(head, truth)[..., :2]
    detector = Estimator.create(head, truth.vector().cpu(), landmarks.cpu(), channels=[4, 4, 8, 8, 8]).eval().requires_grad_(False)
    pictures = torch.full((24, 3, 16, 16), 128, dtype=torch.uint8, device=device)
    pool = LatentPool(w, plain, pictures, pictures[:, :1], landmarks, truth.vector(), z)
    plan = tiny_plan()
    plan = plan.replace(reconstruction=plan.reconstruction.replace(steps=1, render_batch=2, scenes=1.0))
    run = Run.open(plan, head, folder, lambda line: None, world)
    network = reconstruction.train_reconstruction(run, generator, pool, detector.to(device), "key")
    data = RigNetData.open(generator, detector, network, head, pool)
    nets = rignet.start_networks(data, plan)
    rignet.fit_linear(data, nets, exact=True)
    task = rignet.JointTask(run, data, nets, RigNetSettings(batch=4, render_batch=2, scenes=1.0))
    return {name: term.detach().cpu() for name, term in task.losses(None, DeviceRng(1, device)).items()}


def make_folder(path):
    path.mkdir()
    return path


def test_exact_scenes_on_another_device_are_the_same(head, tmp_path, monkeypatch):
    for module in (reconstruction, rignet):
        monkeypatch.setattr(module, "LINEAR_SAMPLES", 32)
    wanted = scene_terms(head, "cpu", make_folder(tmp_path / "processor"))
    with other_device():
        found = scene_terms(head, DEVICE, make_folder(tmp_path / "other"))
    assert found == wanted and wanted["scenes"] > 0


def test_scenes_come_on_the_device_of_the_generator(head):
    generator = Generator.create(GENERATOR).requires_grad_(False)
    w, parameters = draw_scenes(generator, head, 4, DeviceRng(3))
    pairs = draw_pairs(generator, head, 4, DeviceRng(4))
    with other_device():
        generator.to(DEVICE)
        found_w, found = draw_scenes(generator, head.to(DEVICE), 4, DeviceRng(3, DEVICE))
        found_pairs = draw_pairs(generator, head.to(DEVICE), 4, DeviceRng(4, DEVICE))
        assert found_w.device == found.light.device == found_pairs[2].device == DEVICE
        assert torch.equal(found_w.cpu(), w) and torch.equal(found.vector().cpu(), parameters.vector())
        assert torch.equal(found_pairs[3].vector().cpu(), pairs[3].vector())


def plain_pictures(renderer, w, precision="exact", regions=None, offsets=None):
    """Without an engine, of which there is none for a device that is simulated."""
    return renderer.generator.foreground(w)


def small_evaluation(monkeypatch):
    """Few people and frames; a random generator draws noise, whose pixels say nothing of a motion."""
    monkeypatch.setattr(placement, "find_motion", lambda before, after, start: start)
    monkeypatch.setattr(stability, "FRAMES", 3)
    monkeypatch.setattr(coverage, "SAMPLES", 20)
    monkeypatch.setattr(subjects, "POPULATION", 12)
    monkeypatch.setattr(disentanglement, "DRAWS", 2)
    for module in (placement, stability, background):
        monkeypatch.setattr(module, "HEADS", 1)


def figures_on(device, folder, face) -> dict:
    rig = Rig.load(folder, device=device, face=face)
    return evaluate(rig, load_judge(folder, None, rig), 2, report=lambda line: None).figures()


@pytest.mark.slow
def test_an_evaluation_on_another_device_finds_the_same(face, trained, monkeypatch):
    small_evaluation(monkeypatch)
    monkeypatch.setattr(FrameRenderer, "synthesize", plain_pictures)
    wanted = figures_on("cpu", trained, face)
    with other_device():
        assert figures_on(DEVICE, trained, face) == wanted


def test_frames_from_another_device_are_the_same(face, trained, monkeypatch):
    monkeypatch.setattr(FrameRenderer, "synthesize", plain_pictures)
    asked = Controls(rotation=(0.3, 0.1, 0.2), expression={face.expression_names[0]: 0.7}, translation=(0.05, 0.0), scale=1.1)

    def frame(device):
        rig = Rig.load(trained, device=device, face=face)
        return rig.frame(rig.new_portrait(seed=3), asked, 32)

    wanted = frame("cpu")
    with other_device():
        found = frame(DEVICE)
    assert found.placement == wanted.placement
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


class PlainRunner:
    """A network as it is, on its own device."""

    def __init__(self, generator: Generator):
        self.network = generator.synthesis

    def raw(self, w, noise, seed, boxes, guide):
        return self.network.raw(w, guide=guide)


@pytest.mark.parametrize("device", [DEVICE, pytest.param("cuda", marks=needs_cuda)])
def test_frames_of_a_generator_that_maps_steer_are_the_same_on_another_device(tmp_path, device, monkeypatch):
    if device == DEVICE:  # for which there is no engine
        monkeypatch.setattr("models.rigging.rig.load_engine", lambda generator, *_: Engine(generator, PlainRunner(generator), "plain"))
    person = PersonConfig(numbers=24, choices=(3, 2), amounts=4, identity=130, reflectance=32)
    config = GuidedConfig(resolution=32, channels={4: 8, 8: 8, 16: 8, 32: 4}, person=person, mattes=("skin", "hair"), palette=True,
                          planes=PlanesConfig(features=2, channels={4: 6, 8: 5}), strands=True)  # fmt: skip
    save_generator(Generator.create(config, seed=3), tmp_path / "studio-generator.safetensors", {})
    asked = Controls(rotation=(0.3, 0.1, 0.2), expression={"jawOpen": 0.7}, translation=(0.05, 0.0), scale=1.1)

    def frame(device):
        rig = Rig.load(tmp_path, device=device)
        rig.prepare()
        portrait = rig.new_portrait(seed=3)
        again = rig.portrait_from_latent(portrait.w, 3, 0.7, portrait.parameters)
        assert torch.equal(again.parameters.vector(), portrait.parameters.vector())
        return rig.frame(again, asked, 32)

    wanted = frame("cpu")
    with other_device():
        found = frame(device)
    assert found.placement == pytest.approx(wanted.placement, abs=1e-5)
    for name, image in wanted.items():
        assert np.abs(found[name] - image).mean() < 1e-4 * max(1.0, np.abs(image).max()), name


def test_the_judges_own_error_is_read_on_its_device(face, prepared, trained):
    judge = Estimator.load(trained / "tiny-judge.safetensors")
    pictures = argparse.Namespace(pictures=np.arange(2 * 32 * 32 * 4, dtype=np.uint8).reshape(2, 32, 32, 4))
    wanted = read(judge, pictures, np.array([0, 1]), face, [])
    with other_device():
        found = read(judge.to(DEVICE), pictures, np.array([0, 1]), face, [])
    assert torch.equal(found.vector, wanted.vector) and found.vector.device.type == "cpu"


def test_a_mixture_of_devices_is_found():
    with other_device():
        away = torch.ones(3).to(DEVICE)
        with pytest.raises(RuntimeError, match="mixes devices"):
            away + torch.ones(3)
        with pytest.raises(RuntimeError):
            away.numpy()
        assert (away * torch.tensor(2.0)).cpu().tolist() == [2, 2, 2]


def test_random_numbers_are_the_same_on_every_device():
    processor, calls = DeviceRng(5), [lambda d: d.rand(3, 2), lambda d: d.randn(4), lambda d: d.randint(2, 9, 5),
                                  lambda d: d.randperm(6), lambda d: d.multinomial((0.5, 0.5), 7), lambda d: d.rand()]  # fmt: skip
    wanted = [call(processor) for call in calls]
    with other_device():
        away = DeviceRng(5, DEVICE)
        found = [call(away) for call in calls]
        assert all(value.device == DEVICE for value in found)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(found, wanted, strict=True))
        assert torch.equal(away.on("cpu").rand(2), processor.rand(2))


def test_a_generator_that_holds_no_scenes_is_rigged_without_them(head, tmp_path):
    save_generator(Generator.create(GENERATOR), tmp_path / "photographs.safetensors")
    save_generator(Generator.create(GENERATOR), tmp_path / "studio.safetensors", {"scene_latents": 253})
    lines = []
    plan = tiny_plan()
    plan = plan.replace(joint=plan.joint.replace(scenes=3.0))
    run = Run.open(plan, head, tmp_path, lines.append)
    open_generator(run, tmp_path / "photographs.safetensors")
    assert run.plan.joint.scenes == 0 and plan.uses_scenes and "without exact pairs" in lines[0]


@pytest.mark.parametrize("module", [train_rig, evaluate_rig, evaluate_generator])
def test_the_commands_take_a_device(module):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    option = next(action for action in parser._actions if action.dest == "device")
    assert option.default == "auto" and option.choices == ("auto", "cpu", "cuda")


def test_a_gpu_that_is_not_there_is_a_clear_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main.main(["train", "rig", "--output", str(tmp_path), "--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert main.main(["evaluate", "rig", "--json", str(tmp_path / "f.json"), "--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert main.main(["train", "rig", "--output", str(tmp_path), "--device", "auto"]) == 2
    assert "--generator is missing" in capsys.readouterr().err


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_stage_on_a_gpu(face, prepared, trained, tmp_path, precision):
    plan = tiny_plan(precision=precision)
    folder = train_all(prepared, tmp_path / "rig", World("cuda"), plan)
    for path in folder.glob("*/checkpoint.pt"):
        assert all(value.device.type == "cpu" for value in load_checkpoint(path)["modules"]["network"].values())
    rig = Rig.load(folder, face=face)
    assert all(torch.isfinite(value).all() for value in rig.networks.state_dict().values())
    if precision == "float32":  # the estimators' convolutions may run in TF32
        found, wanted = first_losses(folder), first_losses(trained)
        for stage in ("landmarks", "reconstruction", "rignet-pose", "rignet-joint"):
            assert found[stage] == pytest.approx(wanted[stage], rel=0.05, abs=0.02), stage
    shutil.rmtree(folder / "rignet-finish")
    train(prepared, folder, plan=plan)  # goes on on the processor


@pytest.mark.gpu
@needs_cuda
def test_exact_scenes_on_a_gpu(head, tmp_path, monkeypatch):
    for module in (reconstruction, rignet):
        monkeypatch.setattr(module, "LINEAR_SAMPLES", 32)
    wanted = scene_terms(head, "cpu", make_folder(tmp_path / "processor"))
    found = scene_terms(head, "cuda", make_folder(tmp_path / "gpu"))
    assert {name: float(v) for name, v in found.items()} == pytest.approx({n: float(v) for n, v in wanted.items()}, rel=0.05, abs=0.01)


@pytest.mark.gpu
@needs_cuda
def test_an_evaluation_on_a_gpu(face, trained, monkeypatch):
    small_evaluation(monkeypatch)
    found, wanted = (figures_on(device, trained, face) for device in ("cuda", "cpu"))
    assert set(found) == set(wanted) and found["rig"]["stability"]["still"] == 0
