"""People photographed with one thing changed, and the judge's own error on them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import StyleRigError
from models.evaluation.control.judge_calibration import KINDS, add_floors, axis_floors, measure_floors, variation
from models.face import load_face_model
from models.face.parameters import RigParameters, part_sizes
from models.perception.face_regressor import Estimator
from models.synthetic.dataset import aligned
from models.synthetic.person import latent_of, person_from_latent
from tests.helpers.picture_sets import paths, write_set

PEOPLE = 14


@pytest.fixture(scope="module")
def head():
    return load_face_model(None)


def truths(seed: int, number: int, head) -> list[RigParameters]:
    """The aligned parameters of one person's variations."""
    person = person_from_latent(latent_of(seed, number, head), head)
    return [aligned(shot.parameters(person, head), head) for shot in variation(person, number, np.random.default_rng((seed, number)), head)]


def test_a_variation_changes_one_control_and_nothing_else(head):
    looking = [name.startswith("eyeLook") for name in head.expression_names]
    for number in range(4):
        person = person_from_latent(latent_of(3, number, head), head)
        own, *edited = [shot.parameters(person, head) for shot in variation(person, number, np.random.default_rng((3, number)), head)]
        changed = {"yaw": {"rotation"}, "pitch": {"rotation"}, "expression": {"expression"}, "light": {"light"}}
        for kind, other in zip(KINDS[1:], edited, strict=True):
            other.expression[:, looking] = own.expression[:, looking]  # the eyes stay on the camera
            differ = {name for name in ("identity", "reflectance", "expression", "light", "rotation")
                      if (getattr(own, name) - getattr(other, name)).abs().max() > 1e-4}  # fmt: skip
            assert differ == changed[kind], kind
            if kind in ("yaw", "pitch"):
                turned = (own.rotation - other.rotation)[0].abs()
                assert turned.argmax() == ("yaw", "pitch").index(kind)


@pytest.fixture
def folder(tmp_path, head):
    """Plain pictures with the truth of variations."""
    folder = write_set(tmp_path / "set", range(PEOPLE * len(KINDS)), 32)
    places = {name: [place.start, place.stop] for name, place in RigParameters.slices(head).items()}
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"parameters": places, "variations": list(KINDS)}))
    random = np.random.default_rng(0)
    vectors = [each.vector()[0].numpy() for person in range(PEOPLE) for each in truths(0, person, head)]
    for number, vector in enumerate(vectors):
        png, truth = paths(folder, number)
        np.savez(truth, parameters=vector, latent=np.zeros(12, np.float32), landmarks=np.zeros((68, 2), np.float32))
        pixels = np.full((32, 32, 4), 255, np.uint8)
        pixels[..., :3] = random.integers(0, 255, (4, 4, 3)).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(pixels, "RGBA").save(png)
    return folder


def test_floors_are_kept_in_the_judges_file(folder, tmp_path, head):
    torch.manual_seed(0)
    judge = Estimator(part_sizes(head), channels=[4, 4, 8, 8, 8], n_attributes=2).eval()
    judge.save(tmp_path / "judge.safetensors", {"half": "evaluation"})
    floors = add_floors(tmp_path / "judge.safetensors", folder, head).floors
    assert floors["people"] == PEOPLE and set(floors["leakage"]) == set(KINDS[1:])
    assert "yaw" not in floors["leakage"]["yaw"] and floors["leakage"]["yaw"]["jawOpen"] > 0
    assert not any(name.startswith("light_") for name in floors["leakage"]["light"])
    assert "light_0" in floors["leakage"]["expression"] and set(floors["likeness"]) == {"pose", "expression", "light"}
    again = Estimator.load(tmp_path / "judge.safetensors")
    assert again.floors == floors and again.header["half"] == "evaluation"


def test_the_floor_is_the_change_that_is_read_where_the_truth_stayed():
    read = {"smile": np.array([[0.0, 0.5], [1.0, 1.0], [2.0, 9.0]])}
    truth = {"smile": np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 3.0]])}
    assert axis_floors(read, truth, 1)["smile"] == pytest.approx(np.sqrt(0.125), abs=1e-4)


def test_other_pictures_are_refused(tmp_path, head):
    folder = write_set(tmp_path, range(70), 16)
    judge = Estimator(part_sizes(head), channels=[4, 4, 8, 8, 8]).eval()
    with pytest.raises(StyleRigError, match="variations"):
        measure_floors(judge, folder, head)
