"""Mixing by component, conditional generation, interpolation: in the model and at the command line."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from backend.cli import main
from models.editing.inversion.offsets import Tuning
from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig
from models.rigging import Rig
from models.rigging.applications import between, taken_from
from models.rigging.frame_plan import plan_frame
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig

CONFIG = GeneratorConfig(resolution=32, channels={4: 16, 8: 16, 16: 16, 32: 16})


@pytest.fixture(scope="module")
def rig() -> Rig:
    return untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3)


def test_only_the_components_that_are_taken_change(rig):
    person, source = rig.new_portrait(1), rig.new_portrait(2)
    wanted = plan_frame(person, taken_from(source, ("light", "expression"), rig.face), rig.face).target
    assert np.allclose(wanted.light, source.parameters.light, atol=1e-4), "turned back by the crop's roll, which is small"
    assert np.allclose(wanted.expression, source.parameters.expression)
    assert np.allclose(wanted.rotation[:, :2], person.parameters.rotation[:, :2])
    posed = plan_frame(person, taken_from(source, ("pose",), rig.face), rig.face)
    assert posed.placement[:3] == pytest.approx(source.parameters.rotation[0].tolist())
    assert np.array_equal(posed.target.expression, person.parameters.expression)


def test_new_people_share_what_is_held(rig):
    source = rig.new_portrait(7)
    controls = taken_from(source, ("pose", "light"), rig.face)
    wanted = [plan_frame(rig.new_portrait(seed), controls, rig.face) for seed in (1, 2)]
    assert wanted[0].placement[:3] == wanted[1].placement[:3]
    assert np.allclose(wanted[0].target.rotation[:, :2], source.parameters.rotation[:, :2])
    assert not np.array_equal(wanted[0].target.identity, wanted[1].target.identity)


def test_the_way_from_one_to_another_begins_and_ends_with_them(rig):
    first, second = rig.new_portrait(1), rig.new_portrait(2)
    assert between(rig, first, second, 0.0) is first and between(rig, first, second, 1.0) is second
    middle = between(rig, first, second, 0.5)
    assert np.allclose(middle.w, (first.w + second.w) / 2)
    assert rig.frame(middle, taken_from(first, (), rig.face), passes=("Portrait",))["Portrait"].shape == (32, 32, 3)


def test_between_portraits_of_photos_their_tuning_goes_along(rig):
    plain, other = rig.new_portrait(1), rig.new_portrait(2)
    tuning = Tuning(rig.generator.synthesis, rank=1)
    with torch.no_grad():
        for a in tuning.a:
            a.fill_(0.05)
    tuned = dataclasses.replace(plain, offsets=tuning.offsets(rig.generator))
    middle = between(rig, tuned, other, 0.5)
    assert middle.offsets is not None and between(rig, plain, other, 0.5).offsets is None
    controls = taken_from(plain, (), rig.face)
    pictures = [rig.frame(each, controls)["Combined"] for each in (middle, dataclasses.replace(middle, offsets=None))]
    assert np.abs(pictures[0] - pictures[1]).max() > 1e-3


def test_bad_requests_are_refused(rig):
    person, other = rig.new_portrait(1), untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=4).new_portrait(1)
    for wrong in (lambda: taken_from(person, ("hair",), rig.face), lambda: between(rig, person, other, 0.5),
                  lambda: between(rig, person, person, 2.0)):  # fmt: skip
        with pytest.raises(StyleRigError):
            wrong()


def test_the_command_draws_people_and_ways(rig, tmp_path, capsys):
    call = lambda *arguments: main.main(["sample", *map(str, arguments), "--output", str(tmp_path)], rig_loader=lambda device: rig)
    assert call("--seeds", 1, 2, "--share", "light", "--from-seed", 5, "--size", 32) == 0
    with Image.open(tmp_path / "person_2.png") as picture:
        assert picture.size == (32, 32) and picture.mode == "RGBA"
    assert call("--seeds", 1, 2, "--interpolate", 2) == 0
    assert {path.name for path in tmp_path.glob("frame_*")} == {"frame_0001.png", "frame_0002.png", "frame_0003.png"}
    for name in ("person_2.png", "frame_0002.png"):  # what each was made from is in it
        again = ["render", str(tmp_path / name), "--output", str(tmp_path / "again")]
        assert main.main(again, rig_loader=lambda device: rig) == 0
        with Image.open(tmp_path / name) as before, Image.open(tmp_path / "again" / "frame_0001.png") as after:
            assert before.tobytes() == after.tobytes() and before.info == after.info
    assert call("--seeds", 1, "--interpolate", 2) == 2
    assert "nothing to interpolate" in capsys.readouterr().err
