"""Before any picture the mapping learns what a scene's numbers mean, and pairs weigh where people look."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from models.errors import StyleRigError
from models.face import load_face_model
from models.generators import Generator, GeneratorConfig
from models.studio.scene import latent_size
from models.training import losses
from models.training.config import Stage
from models.training.lesson import BATCH, Lesson, teach_mapping
from tests.picture_sets import write_set
from tests.test_training_generator import TINY, training

CONFIG = GeneratorConfig(resolution=8, z_dim=512, mapping_layers=3, mapping_lr_multiplier=1.0, channels={4: 16, 8: 16})


@pytest.fixture(scope="module")
def face():
    return load_face_model(None)


def taught(face, scenes: int) -> Lesson:
    lesson = Lesson(Generator.create(CONFIG, 0), latent_size(face), 1, face)
    for _ in lesson.run(scenes):
        pass
    return lesson


def test_w_holds_expressions_linearly_and_begins_with_plain_styles(face):
    lesson = taught(face, 80 * BATCH)
    explained = lesson.explained()
    assert min(explained["identity"], explained["pose"], explained["reflectance"]) > 0.85
    # Of the numbers themselves a linear function reaches 0.40, 0.31 and 0.41.
    assert explained["expression"] > 0.45 and explained["light"] > 0.36 and explained["looks"] > 0.5
    w = lesson.mapping.single(lesson.draw(4096)).detach()
    assert float(w.std(0).mean()) == pytest.approx(1, abs=0.05)
    affine = lesson.generator.synthesis.b8.conv0.affine
    assert (affine(lesson.mapping.w_avg[None]) - 1).abs().max().item() < 1e-3


def test_the_same_seed_teaches_the_same_and_free_numbers_do_not_matter(face):
    first, second = taught(face, 2 * BATCH), taught(face, 2 * BATCH)
    z = first.draw(64)
    assert (first.mapping.single(z) - second.mapping.single(z)).abs().max().item() < 0.01
    assert first.mapping.fc0.weight[:, latent_size(face) :].abs().max().item() == 0


def test_the_lesson_is_told(face):
    told = []
    teach_mapping(Generator.create(CONFIG, 0), latent_size(face), BATCH, 0, told.append)
    assert told[0].startswith(f"mapping  {BATCH} of {BATCH} scenes") and "expression" in told[-1]


def test_scenes_of_another_length_are_refused(tmp_path):
    folder = write_set(tmp_path / "set", range(96))
    run = training(folder, tmp_path / "out", dataclasses.replace(TINY, mapping_lesson=1000))
    with pytest.raises(StyleRigError, match="have 12 numbers"):
        run.run()


def test_eyes_and_mouth_weigh_more():
    landmarks = torch.zeros(1, 68, 2)
    landmarks[:, 36:48] = torch.tensor((-0.5, 0.5))  # eyes: left in the picture, above the middle
    near = losses.feature_map(landmarks, 128)
    assert near.shape == (1, 1, 128, 128)
    assert float(near[0, 0, 32, 32]) > 0.9 and float(near[0, 0, 96, 96]) < 0.01
    assert float(near.max()) <= 1


def test_pairs_are_learned_with_more_weight_on_features(tmp_path):
    folder = write_set(tmp_path / "set", range(96))
    stage = Stage(resolution=8, batch=8, images=32, feature_focus=4.0)
    run = training(folder, tmp_path / "out", dataclasses.replace(TINY, stages=(stage,), mapping_rate=0.1))
    assert run.run()
    rates = {group["share"]: group["lr"] for group in run.networks.generator_optimizer.param_groups}
    assert rates[0.1] == pytest.approx(0.1 * rates[1.0])
    weight = run.teacher.focus
    assert weight.shape == (8, 1, 8, 8) and float(weight.mean()) == pytest.approx(1, rel=1e-5)
