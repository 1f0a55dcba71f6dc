"""The figures of control, on values whose answer is known and on a whole tiny rig."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from synthetic_face import synthetic_face

from backend import evaluate_rig
from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig
from models.metrics.control import leakage, response, usable_range
from models.metrics.plots import Series, line_plot
from models.stylerig import Rig
from models.stylerig import rig as rig_module
from models.stylerig.estimator import Estimator
from models.stylerig.evaluation import azimuth, load_judge
from models.stylerig.reconstruction import part_sizes


def test_response_finds_slope_and_error():
    requested = np.tile(np.array([-30.0, -15, 0, 15, 30]), (4, 1))
    figures = response(requested, 0.8 * requested + 1, tolerance=4)
    assert figures["slope"] == pytest.approx(0.8) and figures["r2"] == pytest.approx(1)
    assert figures["median_error"] == pytest.approx(4.0) and figures["range"] == [-15, 15]
    noise = np.random.default_rng(0).normal(size=requested.shape) * 20
    assert response(requested, requested + noise, 4)["r2"] < 0.8
    assert response(requested, np.zeros_like(requested), 4)["r2"] == 0


def test_usable_range_stops_at_the_first_gap_and_may_be_empty():
    requested = np.array([[0.0, 0.25, 0.5, 0.75, 1.0]])
    assert usable_range(requested, np.array([[0.0, 0.3, 0.0, 0.75, 1.0]]), 0.1) == [0, 0.25]
    assert usable_range(requested, requested + 1, 0.1) is None


def test_leakage_counts_other_axes_in_units_of_their_spread():
    changes = {"yaw": np.full((2, 3), 9.0), "pitch": np.full((2, 3), 0.5), "smile": np.zeros((2, 3))}
    assert leakage(changes, {"yaw": 1.0, "pitch": 5.0, "smile": 1.0}, {"yaw"}) == (0.05, "pitch")


def test_azimuth_is_positive_to_the_left_of_the_face():
    brightness = np.zeros((9, 2))
    brightness[2], brightness[3] = 1, (1, -1)
    assert azimuth(brightness) == pytest.approx([45, -45])


def test_plot_shows_its_points():
    image = line_plot("t", [Series("a", np.array([[0.0, 0], [1, 1]])), Series("b", np.zeros((0, 2)))], "x", "y", diagonal=True)
    assert image.shape == (3, 320, 420) and (image < 0.5).any()


@pytest.fixture
def rig_folder(tmp_path, monkeypatch):
    face = synthetic_face(vertices=150)
    config = GeneratorConfig(resolution=16, channels={4: 8, 8: 8, 16: 8})
    rig = Rig.create_untrained(face, Generator.create(config))
    rig.generator.save(tmp_path / "tiny-generator.safetensors")
    rig.reconstruction.save(tmp_path / "tiny-reconstruction.safetensors", {})
    rig.networks.save(tmp_path / "tiny-rignet.safetensors", {})
    judge = Estimator(part_sizes(face), channels=[4, 4, 8, 8, 8]).eval()
    judge.save(tmp_path / "tiny-judge.safetensors", {"half": "evaluation"})
    judge.save(tmp_path / "wrong.safetensors", {"half": "training"})
    monkeypatch.setattr(rig_module, "load_face_model", lambda path: face)
    return tmp_path


def test_evaluate_rig_writes_figures_for_every_axis(rig_folder, capsys):
    arguments = SimpleNamespace(
        rig=rig_folder, judge=None, json=rig_folder / "out.json", plots=rig_folder / "plots", portraits=2,
        truncation=0.7, method=None,
    )  # fmt: skip
    assert evaluate_rig.run(arguments) == 0
    figures = json.loads((rig_folder / "out.json").read_text())
    expected = {"yaw", "pitch", "light_direction", *(f"light_band_{b}" for b in range(3)), *(f"expression{i}" for i in range(5))}
    assert set(figures) == expected
    for item in figures.values():
        assert {"slope", "r2", "median_error", "range", "leakage"} <= set(item)
    assert (rig_folder / "plots" / "yaw.png").is_file()
    assert "| yaw |" in capsys.readouterr().out


def test_a_judge_that_learned_with_the_rig_is_refused(rig_folder):
    rig = Rig.load(rig_folder)
    with pytest.raises(StyleRigError, match="cannot judge"):
        load_judge(rig_folder, rig_folder / "wrong.safetensors", rig)
    assert isinstance(load_judge(rig_folder, None, rig), torch.nn.Module)
