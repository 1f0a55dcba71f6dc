"""Training of the rig, tiny and whole: a synthetic face, pictures from the rasteriser, a random generator."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from picture_sets import paths, write_set
from PIL import Image
from synthetic_face import synthetic_face

from backend import cli
from models.errors import StyleRigError
from models.face.alignment import align, project_landmarks
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.generators import Generator, GeneratorConfig
from models.stylerig import Controls, Rig
from models.stylerig.estimator import Estimator
from models.colour import linear_to_srgb
from models.stylerig.training import pool as pool_module
from models.stylerig.training.config import DEFAULT, PoolSettings, Stage, TrainingConfig, read_config
from models.stylerig.training.estimators import explained
from models.stylerig.training.loop import Loop
from models.stylerig.training.pictures import HALVES, StudioPictures, over_backgrounds
from models.stylerig.training.run import parameter_count, train_rig
from models.stylerig.training.scenes import draw_pairs, parameters_of
from models.stylerig.training.wishes import draw_wishes

GENERATOR = GeneratorConfig(resolution=16, channels={4: 8, 8: 8, 16: 8})


@pytest.fixture(scope="module")
def face():
    return synthetic_face(vertices=200)


@pytest.fixture(scope="module")
def studio_folder(face, tmp_path_factory):
    """A set of 64 pictures of 32² with their truth."""
    parameters = population(face, 64, torch.Generator().manual_seed(0))
    drawn = render(face, parameters, 32, outputs=("colour", "mask"))
    colour = linear_to_srgb(drawn["colour"]) * drawn["mask"]
    pictures = (torch.cat((colour, drawn["mask"]), dim=-1) * 255).floor().byte().numpy()
    landmarks = project_landmarks(face, parameters)[..., :2].numpy()
    folder = write_set(tmp_path_factory.mktemp("studio"), range(64), 32)
    index = json.loads((folder / "index.json").read_text())
    places = {name: [place.start, place.stop] for name, place in RigParameters.slices(face).items()}
    (folder / "index.json").write_text(json.dumps(index | {"parameters": places}))
    for number, (picture, vector, points) in enumerate(zip(pictures, parameters.vector().numpy(), landmarks, strict=True)):
        png, truth = paths(folder, number)
        np.savez(truth, parameters=vector, landmarks=points)
        Image.fromarray(picture, "RGBA").save(png)
    return folder


def population(face, count, random):
    parameters = RigParameters.neutral(face, count)
    rotation = 0.3 * torch.randn(count, 3, generator=random)
    expression = torch.rand(count, len(face.expression_names), generator=random)
    identity = torch.randn(count, face.identity.shape[0], generator=random)
    light = parameters.light * (0.7 + 0.3 * torch.rand(count, 1, 1, generator=random))
    return align(face, parameters.replace(rotation=rotation, expression=expression, identity=identity, light=light))


def tiny_config() -> TrainingConfig:
    """Two steps of each stage, in the settings' own types."""
    config, changes = TrainingConfig(name="tiny"), {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if isinstance(value, Stage):
            changes[item.name] = dataclasses.replace(value, steps=2, batch=4, minutes=5.0)
    changes["pool"] = PoolSettings(samples=32, size=16)
    return dataclasses.replace(config, **changes)


@pytest.fixture
def small_pool(monkeypatch):
    """Few samples, and a random generator's pictures pass for faces."""
    monkeypatch.setattr(pool_module, "CHUNK", 32)
    monkeypatch.setattr(pool_module, "LEAST_VARIATION", 0.0)
    monkeypatch.setattr(pool_module, "CROP_TOLERANCE", 100.0)


def test_one_command_makes_a_rig_that_loads_and_a_second_run_repeats_nothing(face, studio_folder, tmp_path, small_pool):
    generator = Generator.create(GENERATOR)
    generator.save(tmp_path / "generator.safetensors")
    output, lines = tmp_path / "rig", []
    page = train_rig(tmp_path / "generator.safetensors", face, studio_folder, output, tiny_config(), lines.append)
    assert page.is_file() and (output / "overlay.png").is_file() and (output / "edits.png").is_file()
    assert {path.stem for path in output.glob("tiny-*.md")} == {"tiny-judge", "tiny-reconstruction", "tiny-rignet"}
    rig = Rig.load(output, face=face)
    assert rig.name == "tiny"
    portrait = rig.new_portrait(seed=5)
    assert np.array_equal(rig.edit(portrait, rig.request(portrait, Controls()))[0].numpy(), portrait.w)
    first = rig.weights_hash
    lines.clear()
    train_rig(tmp_path / "generator.safetensors", face, studio_folder, output, tiny_config(), lines.append)
    assert Rig.load(output, face=face).weights_hash == first
    assert not [line for line in lines if "done," in line]
    logged = [json.loads(line) for line in (output / "rignet-gated.jsonl").read_text().splitlines()]
    assert all(np.isfinite(entry["parameter"]) for entry in logged)


def test_a_generator_without_faces_is_refused(face, studio_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "CHUNK", 32)
    monkeypatch.setattr(pool_module, "LEAST_VARIATION", 10.0)
    Generator.create(GENERATOR).save(tmp_path / "generator.safetensors")
    with pytest.raises(StyleRigError) as caught:
        train_rig(tmp_path / "generator.safetensors", face, studio_folder, tmp_path, tiny_config(), lambda line: None)
    assert caught.value.code == "no_faces"


def test_a_face_without_expressions_is_refused(face, tmp_path):
    bare = dataclasses.replace(face, expression=face.expression[:0], expression_names=[])
    with pytest.raises(StyleRigError, match="no expressions"):
        train_rig(tmp_path / "g", bare, None, tmp_path, tiny_config(), lambda line: None)


def test_the_judge_never_sees_a_picture_of_the_training_half(face, studio_folder):
    training, judging = (StudioPictures(studio_folder, half, parameter_count(face)) for half in HALVES)
    assert len(training) and len(judging)
    assert training.numbers().isdisjoint(judging.numbers())
    assert training.numbers() | judging.numbers() == set(range(64))


def test_pictures_of_another_face_model_are_refused(studio_folder, tmp_path):
    with pytest.raises(StyleRigError, match="parameters"):
        StudioPictures(studio_folder, HALVES[0], 7)
    with pytest.raises(StyleRigError, match="no parameters"):
        StudioPictures(tmp_path, HALVES[0], 7)


def test_an_estimator_learns_the_pictures(face, studio_folder):
    pictures = StudioPictures(studio_folder, HALVES[0], parameter_count(face))
    torch.manual_seed(0)
    network = Estimator.create(face, *pictures.truth(), channels=[8, 8, 16, 16, 16]).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    random, losses = torch.Generator().manual_seed(0), []
    for _ in range(25):
        batch = pictures.sample(16, random)
        found, _ = network(over_backgrounds(batch.pictures, random))
        loss = ((found - batch.landmarks) / 0.1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def line_loop(folder, steps, broken=None):
    """Fits a number to 3; step ``broken`` gives a loss that is no number."""
    module = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(module.weight)
    torch.nn.init.zeros_(module.bias)
    loop = Loop("line", folder, module, Stage(minutes=60.0, steps=steps, rate=0.1), 1, "key", lambda line: None)

    def step(number, random):
        noise = torch.randn(1, 1, generator=random)
        error = (module(1 + 0.1 * noise) - 3).square().sum()
        return {"error": error * float("nan") if number == broken else error}

    return loop, module, step


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_does(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    loop, whole, step = line_loop(tmp_path / "a", 60)
    loop.run(step)
    loop, _, step = line_loop(tmp_path / "b", 60)

    def stopping(number, random):
        if number == 25:
            loop.write()
            raise KeyboardInterrupt
        return step(number, random)

    with pytest.raises(KeyboardInterrupt):
        loop.run(stopping)
    loop, continued, step = line_loop(tmp_path / "b", 60)
    assert loop.step == 25
    loop.run(step)
    assert continued.weight.item() == whole.weight.item() != 0


def test_values_that_are_no_numbers_stop_with_the_last_good_state(tmp_path):
    loop, _, step = line_loop(tmp_path, 60, broken=30)
    with pytest.raises(StyleRigError, match="error at step 30"):
        loop.run(step)
    again, module, _ = line_loop(tmp_path, 60)
    assert again.step == 30 and torch.isfinite(module.weight).all() and module.weight.item() != 0


def test_scene_pairs_change_only_the_chosen_controls():
    from models.face import load_face_model

    head = load_face_model(None)
    generator = Generator.create(GENERATOR)
    w, before, edited, after = draw_pairs(generator, head, 16, torch.Generator().manual_seed(0))
    assert torch.equal(before.identity, after.identity) and torch.equal(before.reflectance, after.reflectance)
    same_code = (w == edited).flatten(1).all(dim=1)
    same = [(getattr(before, part) == getattr(after, part)).flatten(1).all(dim=1) for part in ("rotation", "expression", "light")]
    assert torch.equal(same_code, torch.stack(same).all(dim=0)) and not same_code.all()
    assert parameters_of(torch.zeros(1, 512), head).rotation.abs().max() < 0.1


def test_wishes_are_aligned_and_leave_the_person_alone(face):
    random = torch.Generator().manual_seed(0)
    own, people = population(face, 12, random), population(face, 30, random)
    active = torch.tensor([True, False, True, True, False])
    wanted, chosen = draw_wishes(own, people, face, active, random)
    assert chosen.any(dim=1).all() and torch.equal(wanted.identity, own.identity)
    changed = (wanted.light != own.light).flatten(1).any(dim=1)
    assert torch.equal(changed, chosen[:, 2])
    assert torch.allclose(align(face, wanted).translation, wanted.translation, atol=1e-3)


def test_explained_variance():
    wanted = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    wanted[:, 2] = 0
    found = torch.stack((wanted[:, 0], torch.zeros(200), wanted[:, 2]), dim=1)
    assert torch.allclose(explained(found, wanted), torch.tensor([1.0, 0.0, 0.0]), atol=0.02)


def test_settings_are_read_and_faults_are_named(tmp_path):
    assert read_config(None).name == "studio" and read_config(DEFAULT).reconstruction.landmark == 17.5
    path = tmp_path / "wrong.toml"
    for text in ("colour = 3", "[pool]\nsamples = 'many'", "pool = 3", "= ="):
        path.write_text(text)
        with pytest.raises(StyleRigError) as caught:
            read_config(path)
        assert caught.value.code == "bad_config"


def test_the_command_names_what_is_missing(tmp_path, capsys):
    assert cli.main(["train", "rig", "--output", str(tmp_path)]) == 2
    assert "--generator is missing" in capsys.readouterr().err
    assert cli.main(["train", "rig", "--output", str(tmp_path), "--stage", "judge"]) == 2
    assert "--studio is missing" in capsys.readouterr().err
