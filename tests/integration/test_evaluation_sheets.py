"""Sheets that people judge a rig by: every person, pose, expression, light and lens in its place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from backend.cli import main
from models.evaluation.control import sheets
from models.io.images import LABEL_HEIGHT
from models.rigging import Rig
from tests.helpers.untrained_rig import untrained_rig


@pytest.fixture(scope="module")
def rig():
    return untrained_rig()


def test_a_cell_for_each_person_and_control(rig):
    seeds = range(2)
    assert [cell.label for cell in sheets.people(rig, seeds)] == ["0", "1"]
    turned = list(sheets.turns(rig, seeds))
    assert len(turned) == 2 * len(sheets.YAWS) and turned[0].controls.rotation[0] == pytest.approx(np.radians(-75))
    half = list(sheets.expressions(rig, seeds, 0.5))
    assert len(half) == 2 * len(sheets.EXPRESSIONS) and set(half[0].controls.expression.values()) == {0.0}
    lit = [cell.controls.light for cell in sheets.lights(rig, seeds)]
    assert len(lit) == 16 and all(light.shape == (9, 3) for light in lit)
    left, right = (lit[list(sheets.LIGHTS).index(name)] for name in ("left", "right"))
    assert left[3].mean() > 0.2 > -0.2 > right[3].mean()  # x is to the face's left
    assert [cell.controls.distance for cell in sheets.lenses(rig, [0])] == list(sheets.DISTANCES)


def test_speech_stays_within_what_a_rig_takes(rig):
    said = [sheets.speaking(number / sheets.RATE) for number in range(sheets.RATE * sheets.SECONDS)]
    values = np.array([list(controls.expression.values()) for controls in said])
    assert values.min() >= 0 and values.max() <= 1 and (values.max(axis=0) > 0.25).all()
    assert max(abs(controls.rotation[0]) for controls in said) > 0.5


def test_the_command_writes_all_sheets(rig, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Rig, "load", lambda *_given, **_named: rig)
    monkeypatch.setattr(sheets, "PEOPLE", 9)
    monkeypatch.setattr(sheets, "ROWS", 3)
    monkeypatch.setattr(sheets, "SECONDS", 1)
    assert main.main(["evaluate", "sheets", "--size", "16", "--film", "3", "--output", str(tmp_path)]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "people.jpg", "turns.jpg", "expressions-half.jpg", "expressions-full.jpg", "lights.jpg", "screens.png", "film.mp4"
    }  # fmt: skip
    assert {line.rpartition("/")[2] for line in capsys.readouterr().out.split()} == written
    width, height = Image.open(tmp_path / "people.jpg").size
    assert (width, height) == (3 * 18 + 2, 3 * (18 + LABEL_HEIGHT) + 2)
    white, black, _green = np.split(np.asarray(Image.open(tmp_path / "screens.png")), 3)
    assert white.mean() > black.mean()
