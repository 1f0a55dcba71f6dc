"""The figures of control, on values whose answer is known and on a whole tiny rig."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from backend.cli import evaluate_rig
from models.errors import StyleRigError
from models.evaluation.control import azimuth, coverage, evaluate, load_judge, placement, stability
from models.evaluation.control.axes import YAW, Axis, add_leakage
from models.evaluation.control.identity import other_people, similarity
from models.evaluation.control.pairs import measure_pairs
from models.evaluation.control.registration import Motion, find_motion
from models.evaluation.control.response import disentanglement, leakage, leaks, psnr, response, smoothness, usable_range
from models.evaluation.control.upper_bound import measure_upper_bound
from models.evaluation.plots import Series, heat_map, histogram, line_plot
from models.face import load_face_model
from models.face.parameters import RigParameters, part_sizes
from models.generators import Generator, GeneratorConfig, save_generator
from models.generators.semantic_mapping.scene_edits import check_scenes
from models.perception.face_regressor import Estimator
from models.rigging import Rig
from models.rigging import rig as rig_module
from models.rigging.similarity_transform import Similarity
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig


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
    found = leaks(changes, {"yaw": 1.0, "pitch": 5.0, "smile": 1.0}, {"yaw"})
    assert found == {"pitch": 0.1, "smile": 0.0}
    assert leakage(found, None) == {
        "leakage": 0.05, "leaks_most_into": "pitch", "leakage_floor": None, "leakage_above_floor": None
    }  # fmt: skip


def test_what_the_judge_shows_of_itself_does_not_count_as_leakage():
    figures = leakage({"pitch": 0.5, "smile": 0.1}, {"pitch": 0.3, "smile": 0.2})
    assert figures["leakage_floor"] == 0.25 and figures["leakage_above_floor"] == pytest.approx(0.2)


def test_disentanglement_is_the_product_of_ratios():
    scores = disentanglement({"pose": {"pose": 1.0, "light": 0.1, "identity": 0.2}, "light": {"pose": 0.5, "light": 0.5, "identity": 0.25}})
    assert scores == {"pose": 50.0, "light": 2.0}


def test_psnr_looks_only_where_it_is_told():
    first, second = np.zeros((3, 4, 4)), np.zeros((3, 4, 4))
    second[:, 0] = 0.1
    where = np.zeros((4, 4))
    assert psnr(first, second, where) == 99
    where[0] = 1
    assert psnr(first, second, where) == pytest.approx(20)


def test_smoothness_tells_even_motion_from_flicker():
    t = np.linspace(0, 1, 20)[:, None]
    random = np.random.default_rng(0)
    even, noise = smoothness(np.tile(t, (1, 50))), smoothness(random.normal(size=(20, 50)))
    assert even["jitter"] < 1e-6 and even["worst_jump"] == 1 and noise["jitter"] == pytest.approx(1.73, abs=0.1)


@pytest.mark.parametrize("asked", [Motion(12.0, 1.0, (0.0, 0.0)), Motion(0.0, 1.1, (0.0, 0.0)), Motion(0.0, 1.0, (0.06, -0.04))])
def test_a_motion_is_found_in_the_pixels(asked):
    y, x = np.mgrid[:96, :96] / 48 - 1
    before = np.exp(-20 * ((x - 0.2) ** 2 + (y - 0.1) ** 2)) + 0.6 * np.exp(-12 * ((x + 0.3) ** 2 + (y + 0.2) ** 2))
    shift = tuple(2 * value for value in asked.shift)
    moved = Similarity(np.radians(asked.angle), asked.scale, (0.0, 0.0), shift).warp(torch.from_numpy(before)[None, None])
    start = Motion(asked.angle + 2, asked.scale * 1.03, (asked.shift[0] + 0.01, asked.shift[1]))
    found = find_motion(before, moved[0, 0].numpy(), start)
    assert found.angle == pytest.approx(asked.angle, abs=0.1) and found.scale == pytest.approx(asked.scale, abs=0.003)
    assert found.shift == pytest.approx(asked.shift, abs=0.001)


def test_similarity_is_one_for_the_same_and_none_for_others():
    rows = np.eye(4)
    assert similarity(rows, 3 * rows) == pytest.approx(1) and other_people(rows) == pytest.approx(0)
    assert other_people(rows[:1]) == 0


def test_azimuth_is_positive_to_the_left_of_the_face():
    brightness = np.zeros((9, 2))
    brightness[2], brightness[3] = 1, (1, -1)
    assert azimuth(brightness) == pytest.approx([45, -45])


def test_plot_shows_its_points():
    image = line_plot("t", [Series("a", np.array([[0.0, 0], [1, 1]])), Series("b", np.zeros((0, 2)))], "x", "y", diagonal=True)
    assert image.shape == (320, 420, 3) and image.dtype == np.uint8 and (image < 128).any()


def test_maps_and_histograms_show_their_values():
    names = [f"name {number}" for number in range(20)]
    values = np.full((20, 20), np.nan)
    values[0] = 1.0
    values[1] = 0.0
    image = heat_map("leaks", names, names, values, 1.0).astype(int)
    share = lambda colour: (np.abs(image - colour).max(axis=2) < 12).mean()
    dark = (103, 0, 13)  # the end of matplotlib's Reds
    assert share((224, 224, 224)) > 5 * share(dark) > 0.01
    shown = histogram("yaw", {"psi 1": np.arange(10.0), "psi 0.7": np.arange(10.0) / 2}, "degrees")
    assert shown.shape == (320, 420, 3) and shown.min() < 128


@pytest.fixture
def rig_folder(tmp_path, monkeypatch):
    face = synthetic_face(vertices=150)
    config = GeneratorConfig(resolution=16, channels={4: 8, 8: 8, 16: 8})
    rig = untrained_rig(face, Generator.create(config))
    save_generator(rig.generator, tmp_path / "tiny-generator.safetensors")
    rig.reconstruction.save(tmp_path / "tiny-reconstruction.safetensors", {})
    rig.networks.save(tmp_path / "tiny-rignet.safetensors", {})
    judge = Estimator(part_sizes(face), channels=[4, 4, 8, 8, 8], n_attributes=3).eval()
    floors = {"leakage": {"yaw": {"pitch": 0.5}}, "likeness": {"pose": 0.9, "expression": 0.9, "light": 0.9}}
    judge.save(tmp_path / "tiny-judge.safetensors", {"half": "evaluation", "floors": floors})
    judge.save(tmp_path / "wrong.safetensors", {"half": "training"})
    monkeypatch.setattr(rig_module, "load_face_model", lambda path: face)
    return tmp_path


def test_the_judges_own_error_is_told_in_the_same_units_as_leakage():
    axis = Axis("yaw", np.zeros((1, 1)), np.zeros((1, 1)), {}, found=[])
    subjects = SimpleNamespace(
        judge=SimpleNamespace(floors={"leakage": {"yaw": {"pitch": 1.5, "smile": 0.1}}}),
        stds={"pitch": 5.0, "smile": 0.0}, changes=lambda found: {"pitch": np.array([[2.5]])},
    )  # fmt: skip
    add_leakage(subjects, axis, set())
    assert axis.figures["leakage"] == 0.5 and axis.figures["leakage_floor"] == 0.3
    assert axis.figures["leakage_above_floor"] == 0.4


def test_evaluate_rig_writes_figures_for_every_axis(rig_folder, capsys, monkeypatch):
    # A random generator draws noise, whose pixels say nothing of a motion.
    monkeypatch.setattr(placement, "find_motion", lambda before, after, start: start)
    monkeypatch.setattr(stability, "FRAMES", 3)
    monkeypatch.setattr(coverage, "SAMPLES", 20)
    arguments = SimpleNamespace(
        rig=rig_folder, judge=None, json=rig_folder / "out.json", plots=rig_folder / "plots", portraits=2,
        truncation=0.7, method=None, axes_only=False, upper_bound=False, threads=None, device="cpu",
    )  # fmt: skip
    assert evaluate_rig.run(arguments) == 0
    figures = json.loads((rig_folder / "out.json").read_text())
    sections = figures.pop("rig")
    axes = {"yaw", "pitch", "roll", "translation_x", "translation_y", "scale", "light_direction"}
    assert set(figures) == axes | {f"light_band_{b}" for b in range(3)} | {f"expression{i}" for i in range(5)}
    for item in figures.values():
        assert {"slope", "r2", "median_error", "range", "leakage"} <= set(item)
    assert figures["yaw"]["leakage_floor"] > 0 and figures["pitch"]["leakage_floor"] is None
    assert figures["roll"]["leakage"] == 0 and figures["scale"]["slope"] == pytest.approx(1.02, abs=0.01)
    check_sections(sections)
    assert {"yaw.png", "all-axes.png", "leakage.png", "covered.png"} <= {path.name for path in (rig_folder / "plots").iterdir()}
    assert "| yaw |" in capsys.readouterr().out


def check_sections(sections: dict) -> None:
    assert set(sections) == {"both_sides", "identity", "outside_face", "disentanglement", "stability", "coverage", "measured", "goals"}
    assert sections["identity"]["same_person_from"] == "renders" and set(sections["identity"]["edits"]) == {"pose", "expression", "light"}
    assert set(sections["outside_face"]) == {"expression", "light_direction"}
    assert sections["outside_face"]["expression"]["hair_and_clothes"] > 0
    assert set(sections["disentanglement"]["scores"]) == {"pose", "expression", "light"}
    assert sections["stability"]["still"] == 0 and sections["stability"]["moving"]["step"] >= 0
    low, high = (sections["coverage"]["truncation"]["1.0"]["yaw"][place] for place in (0, -1))
    assert low <= high and sections["measured"]["portraits"] == 2
    assert all({"goal", "found", "reached"} == set(item) for item in sections["goals"])


def test_both_sides_are_asked_for_by_the_same_weight():
    """Expressions that follow where both sides move, and not at all where one does."""
    names = ["squint_L", "squint_R", "jaw", "eyeLookUp_L", "eyeLookUp_R"]
    face = dataclasses.replace(synthetic_face(), expression_names=names)
    place, size = RigParameters.slices(face)["expression"].start, RigParameters.slices(face)["translation"].stop
    judge = SimpleNamespace(reliability=torch.ones(size))

    def request(expression):
        vector = torch.zeros(len(expression), size)
        vector[:, place : place + 2] = expression[:, :2].amin(dim=1, keepdim=True)
        return SimpleNamespace(vector=vector)

    subjects = SimpleNamespace(face=face, judge=judge, own=SimpleNamespace(expression=torch.zeros(3, 5)), request=request)
    found = measure_pairs(subjects)
    assert set(found) == {"squint_L", "squint_R"}
    assert found["squint_L"]["slope"] == 1 and found["squint_R"]["r2"] == 1


def test_the_axes_alone(rig_folder):
    rig = Rig.load(rig_folder)
    results = evaluate(rig, load_judge(rig_folder, None, rig), 2, 0.7, "paper", lambda line: None, ())
    assert set(results.sections) == {"measured", "goals"} and results.sections["measured"]["method"] == "paper"
    rows, columns, matrix = results.leakage_matrix()
    assert "yaw" in rows and matrix.shape == (len(rows), len(columns))
    assert np.isnan(matrix[rows.index("yaw"), columns.index("yaw")])


def test_the_upper_bound_of_a_generator_taught_by_scenes():
    head = load_face_model(None)
    rig = untrained_rig(head, Generator.create(GeneratorConfig(resolution=16, channels={4: 8, 8: 8, 16: 8})))
    judge = Estimator(part_sizes(head), channels=[4, 4, 8, 8, 8]).eval()
    trust = judge.reliability
    trust.zero_()[RigParameters.slices(head)["expression"].start + head.expression_names.index("jawOpen")] = 1
    results = measure_upper_bound(rig, judge, 2, lambda line: None)
    assert set(results.axes) == {"yaw", "pitch", "jawOpen", *(f"light_band_{band}" for band in range(3))}
    assert np.allclose(results.axes["jawOpen"].requested, (0, 0.5, 1), atol=1e-4)
    assert np.allclose(results.axes["yaw"].requested, YAW, atol=1e-3)
    with pytest.raises(StyleRigError, match="a scene of the studio"):
        check_scenes(SimpleNamespace(z_dim=3), head)


def test_a_judge_that_learned_with_the_rig_is_refused(rig_folder):
    rig = Rig.load(rig_folder)
    with pytest.raises(StyleRigError, match="cannot judge"):
        load_judge(rig_folder, rig_folder / "wrong.safetensors", rig)
    assert isinstance(load_judge(rig_folder, None, rig), torch.nn.Module)
