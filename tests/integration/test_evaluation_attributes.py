"""The figures of sliders: on readings whose answer is known, and the command on a whole tiny rig."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from backend.cli import main
from models.editing.directions import Directions, Header, generator_hash
from models.errors import StyleRigError
from models.evaluation import attributes
from models.evaluation.control.subjects import Reading
from models.face.parameters import part_sizes
from models.generators import Generator, GeneratorConfig
from models.generators.semantic_mapping.studio_v1 import LOOKS
from models.perception.face_regressor import Estimator
from models.rigging import Rig
from tests.helpers.untrained_rig import untrained_rig


def test_a_sliders_own_change_is_told_from_the_others():
    at = lambda beard, grey: {"beard": np.array(beard), "grey": np.array(grey), "age": np.zeros(2)}
    spreads = {"beard": 0.5, "grey": 2.0, "age": 1.0}
    own, others = attributes.apart("beard", [at([0.0, 1.0], [0.0, 0.0]), at([1.0, 2.0], [1.0, -1.0])], spreads)
    assert own == pytest.approx(2.0) and others == pytest.approx(0.25)  # half a spread of grey, none of age
    found = attributes.SliderFigures(own, others, 0.4, 0.01)
    assert found.ratio == pytest.approx(8.0)
    assert attributes.apart("coarse_1", [at([0.0, 0.0], [0.0, 0.0])] * 2, spreads) == (None, None)
    table = attributes.table({"beard": found, "coarse_1": attributes.SliderFigures(None, None, 1.2, 0.01)})
    assert "| beard | 2.00 | 0.25 | 8.0 | 0.40 | 0.010 |" in table and "| coarse_1 | – | – | – | 1.20 | 0.010 |" in table
    assert "1 sliders reach 5 : 1 (goal 6); 1 of 2 keep pose" in table


def test_the_rig_is_moved_by_the_larger_of_yaw_and_pitch():
    reading = lambda yaw, pitch, smile: Reading(
        {"yaw": np.array(yaw), "pitch": np.array(pitch), "mouthSmile_L": np.array(smile), "light_0": np.array([9.0, 9.0])},
        np.zeros((2, 0)), torch.zeros(2, 0),
    )  # fmt: skip
    still = reading([0.0, 10.0], [0.0, 0.0], [0.0, 0.5])
    ends = [reading([1.0, 9.0], [0.0, 0.0], [0.2, 0.5]), reading([0.0, 10.0], [3.0, 1.0], [0.0, 0.5])]
    assert attributes.rig_moved(still, ends) == (pytest.approx(1.0), pytest.approx(0.05))


def test_what_is_read_has_the_names_of_the_judge():
    assert all(set(weights) <= {*LOOKS, attributes.TONE} for weights in attributes.READ.values())
    assert attributes.READ["hair_length"]["style_long_straight"] > 0 > attributes.READ["hair_length"]["style_buzz"]


@pytest.fixture(scope="module")
def rig() -> Rig:
    made = untrained_rig(generator=Generator.create(GeneratorConfig(resolution=16), 0), hidden=8)
    header = Header(kind="attributes", generator=generator_hash(made.generator), layers=(0, 1, 2, 3, 4), names=("beard", "coarse_1"),
                    ranges=((-1, 1), (-1, 1)), units=(9.0, 9.0))  # fmt: skip
    made.attributes = Directions(header, torch.eye(512)[:2])
    return made


def judge_of(rig: Rig, looks: int = len(LOOKS)) -> Estimator:
    torch.manual_seed(1)
    return Estimator(part_sizes(rig.face), channels=(4, 4, 4, 4, 4), n_attributes=looks).eval()


def test_the_command_writes_figures_of_every_slider(rig, tmp_path, capsys, monkeypatch):
    judge_of(rig).save(tmp_path / "judge.safetensors", {"half": "evaluation"})
    monkeypatch.setattr(Rig, "load", classmethod(lambda cls, *_arguments, **_options: rig))
    monkeypatch.setattr(attributes, "POPULATION", 6)
    options = ["--judge", tmp_path / "judge.safetensors", "--portraits", 2, "--json", tmp_path / "figures.json"]
    assert main.main(["evaluate", "attributes", *map(str, options)]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == {"beard", "coarse_1"} and figures["beard"]["own"] > 0 and figures["coarse_1"]["own"] is None
    assert "| beard |" in capsys.readouterr().out


def test_what_cannot_be_measured_is_told(rig):
    with pytest.raises(StyleRigError, match="reads no attributes"):
        attributes.measure_sliders(rig, judge_of(rig, looks=0), 1)
    sizes = part_sizes(rig.face)
    other_head = Estimator(sizes | {"expression": sizes["expression"] + 1}, channels=(4, 4, 4, 4, 4), n_attributes=len(LOOKS)).eval()
    with pytest.raises(StyleRigError, match="another face model"):
        attributes.measure_sliders(rig, other_head, 1)
    bare = untrained_rig(generator=rig.generator, hidden=8)
    with pytest.raises(StyleRigError, match="has no attributes"):
        attributes.measure_sliders(bare, judge_of(rig), 1)
