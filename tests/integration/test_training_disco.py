"""A whole tiny training of DiscoFaceGAN: what it learns from, that it goes on where it stopped, and what it refuses."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from backend.cli.main import main
from models.errors import StyleRigError
from models.face import load_face_model
from models.face.parameters import RigParameters
from models.generators import load_generator, torch_threads
from models.perception.face_regressor import Estimator
from models.training.core.checkpoint import Stopped
from models.training.core.config import Stage as FactorStage
from models.training.core.config import parse_settings
from models.training.core.trainer import Trainer
from models.training.disco import population, task
from models.training.disco.config import DiscoPlan, Stage, load_plan
from models.training.disco.population import draw_heads
from models.training.disco.task import FILE, open_training, train_disco
from tests.helpers.picture_sets import write_set

SMALL = {4: 8, 8: 8, 16: 8, 32: 8, 64: 4}
NUMBERS = {"identity": 6, "expression": 4, "light": 3, "rotation": 3}


@pytest.fixture(scope="module")
def face():
    return load_face_model("head-2")


@pytest.fixture(autouse=True)
def one_thread():
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), range(64), size=64)


@pytest.fixture(scope="module")
def regressor(face) -> Estimator:
    """Untrained, of the half that may teach."""
    torch.manual_seed(0)
    network = Estimator.create(face, RigParameters.neutral(face, 4).vector(), torch.rand(4, 68, 2), channels=(4, 4, 4, 4, 4))
    network.header = {"half": "training"}
    return network.eval().requires_grad_(False)


def plan(**changes) -> DiscoPlan:
    stages = (
        Stage(resolution=16, batch=4, images=24, learning_rate=0.003),
        Stage(resolution=64, batch=4, images=12, learning_rate=0.001, contrastive=True, landmark_weight=100.0),
    )
    plan = DiscoPlan(channels=SMALL, discriminator_channels=SMALL, stages=stages, numbers=NUMBERS, hidden=dict.fromkeys(NUMBERS, 8),
                     noise=4, mapping_layers=2, heads=40, factors=FactorStage(batch=8, steps=3))  # fmt: skip
    return plan.replace(**changes)


@pytest.fixture
def output(tmp_path, face):
    """A function that makes an output folder with the population in it: drawing people takes seconds."""

    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        torch.manual_seed(1)
        heads = RigParameters.neutral(face, 40)
        shaped = heads.replace(identity=torch.randn_like(heads.identity), expression=torch.rand_like(heads.expression) ** 3,
                               light=heads.light + 0.3 * torch.randn_like(heads.light), rotation=0.3 * torch.randn(40, 3))  # fmt: skip
        torch.save(shaped.vector(), tmp_path / name / "heads.pt")
        return tmp_path / name

    return make


def training(images: Path, output: Path, plan: DiscoPlan, regressor: Estimator | None) -> Trainer:
    return open_training(images, plan, output, say=lambda line: None, regressor=regressor)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trainer.task.average.state_dict().values()])


def test_a_training_goes_on_where_it_stopped_and_leaves_a_generator(images, output, regressor):
    whole = training(images, output("whole"), plan(), regressor)
    page = train_disco(whole)
    log = whole.log.losses()
    assert {"colour", "identity", "landmark", "light", "skin", "expression", "relight", "r1"} <= set(log)
    assert "factors.jpg" in page.read_text() and (page.parent / "factors.jpg").is_file()

    parts = training(images, output("parts"), plan(), regressor)
    count = 0

    def stop_at(step: int):
        original = parts.task.after_step

        def after_step(progress, losses):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(progress, losses)

        return after_step

    parts.task.after_step = stop_at(7)  # in the second stage
    with pytest.raises(Stopped):
        parts.run()
    again = training(images, parts.folder, plan(), regressor)
    again.run()
    assert again.progress.images == 36 and torch.equal(weights(again), weights(whole))

    generator = load_generator(page.parent / FILE)
    assert generator.metadata["contrastive"] and generator(torch.randn(2, generator.z_dim)).shape == (2, 3, 64, 64)
    assert generator.w_avg.abs().max() > 0
    with pytest.raises(StyleRigError, match="another training"):
        training(images, page.parent, plan(noise=5), regressor)


def test_the_early_stages_learn_the_colour_of_the_face(images, output):
    stage = Stage(resolution=16, batch=8, images=400, learning_rate=0.01, adversarial_weight=0.0)
    trainer = training(images, output("early"), plan(stages=(stage,)), None)
    losses = []
    trainer.task.after_step = lambda progress, found: losses.append(found["colour"]) or {}
    trainer.run()
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_without_contrast_there_are_no_pairs(images, output, regressor):
    trainer = training(images, output("plain"), plan(contrastive=False), regressor)
    trainer.run()
    assert "relight" not in trainer.log.losses() and not trainer.task.summary(trainer.progress)["contrastive"]


def test_pairs_differ_in_one_factor_alone(images, output, regressor):
    trainer = training(images, output("pairs"), plan(), regressor)
    trainer.task.begin_stage(trainer.stages[1])
    z = trainer.task.draw_pairs(task.DeviceRng(0))
    parts = trainer.task.mapping.split(z)
    for name, places in (("expression", (0, 1)), ("light", (2, 3))):
        first, second = places
        same = {each: torch.equal(values[first], values[second]) for each, values in parts.items()}
        assert same == {each: each != name for each in parts}


def test_who_may_teach(images, output, regressor):
    with pytest.raises(StyleRigError, match="need a face regressor"):
        training(images, output("none"), plan(), None)
    judge = Estimator(regressor.sizes, channels=(4, 4, 4, 4, 4))
    judge.header = {"half": "evaluation"}
    with pytest.raises(StyleRigError, match="judges rigs"):
        training(images, output("judge"), plan(), judge)
    other = Estimator(regressor.sizes | {"identity": 80}, channels=(4, 4, 4, 4, 4))
    with pytest.raises(StyleRigError, match="another head"):
        training(images, output("head"), plan(), other)


def test_the_shipped_plans_are_whole_and_wrong_ones_are_told():
    quick = load_plan(Path(task.__file__).with_name("quick.toml"))
    assert quick.stages[0].is_early and quick.stages[-1].contrastive
    shipped = load_plan(Path(task.__file__).with_name("studio.toml"))
    assert [stage.contrastive for stage in shipped.stages] == [False] * 4 + [True]
    assert shipped.stages[-1].landmark_weight == 100 and shipped.stages[0].landmark_weight == 500
    values = shipped.model_dump(mode="json")
    early = values["stages"][0] | {"contrastive": True}
    for wrong, match in (
        ({"stages": [early]}, "more than 32"),
        ({"numbers": {"identity": 3}}, "numbers needs"),
        ({"channels": {4: 8}}, "passes through"),
    ):
        with pytest.raises(StyleRigError, match=match):
            parse_settings(DiscoPlan, values | wrong)


def test_the_factors_alone_need_no_images(output, tmp_path, capsys):
    folder = output("factors")
    config = tmp_path / "plan.json"
    config.write_text(
        plan().model_dump_json(exclude={"stages", "factors"})[:-1]
        + ', "factors": {"batch": 8, "steps": 2}, "stages": [{"resolution": 16, "images": 4, "batch": 4}]}'
    )
    assert main(["train", "disco", "--only", "factors", "--config", str(config), "--output", str(folder), "--device", "cpu"]) == 0
    assert (folder / "factors.safetensors").is_file() and (folder / "factors.jpg").is_file()
    assert main(["train", "disco", "--config", str(config), "--output", str(folder)]) == 2
    assert "--data" in capsys.readouterr().err


def test_heads_are_drawn_once(tmp_path, face, monkeypatch):
    monkeypatch.setattr(population, "CHUNK", 2)
    monkeypatch.setattr(population, "ProcessPoolExecutor", Alone)
    drawn = draw_heads(3, "head-2", tmp_path)
    assert len(drawn) == 3 and torch.equal(drawn.vector(), draw_heads(3, "head-2", tmp_path).vector())
    assert torch.allclose(population.align(face, drawn).translation, drawn.translation, atol=1e-3)


class Alone:
    """A pool without processes."""

    def __init__(self, workers: int):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    map = staticmethod(map)
