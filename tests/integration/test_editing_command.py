"""python -m backend directions: files, sheets and tables, and what it says where something is wrong."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from backend.cli import directions as command
from backend.cli import main
from models.editing import quality
from models.editing.codes import codes_of_seeds
from models.editing.directions import load_directions, move
from models.editing.sliders import check_usable
from models.generators import Generator, latents_from_seed, load_generator, save_generator
from models.generators.config import ProGANConfig, StyleGAN1Config, StyleGAN2Config
from models.generators.guided import GuidedConfig
from models.generators.person import PersonConfig
from models.synthetic.description import CHOICES
from tests.data.official_format import lively, stylegan3_config

SIZES = {"resolution": 16, "z_dim": 12, "w_dim": 12, "mapping_layers": 2, "channels": {4: 10, 8: 8, 16: 6}}
CONFIGS = {
    "progan": (ProGANConfig(**SIZES), "0"),
    "stylegan1": (StyleGAN1Config(**SIZES), "0-1,4"),
    "stylegan2": (StyleGAN2Config(**SIZES), "0-1,4"),
    "stylegan3": (stylegan3_config(), "0-1"),
    "guided": (GuidedConfig(mattes=("skin", "hair"), **SIZES), "0-1,4"),
}


def call(capsys, *arguments) -> tuple[int, str, str]:
    try:
        status = main.main(["directions", *map(str, arguments)])
    except SystemExit as ended:  # argparse's own errors
        status = ended.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def generators(tmp_path_factory) -> dict[str, Generator]:
    """Files of small generators, by kind."""
    folder = tmp_path_factory.mktemp("generators")
    return {kind: save_generator(lively(Generator.create(config, seed=1)), folder / f"{kind}.safetensors")
            for kind, (config, _) in CONFIGS.items()}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
def test_sefa_writes_directions_and_a_sheet(kind, generators, capsys, tmp_path):
    layers = CONFIGS[kind][1]
    status, out, err = call(capsys, "sefa", "--generator", generators[kind], "--layers", layers, "--count", 3, "--steps", 5,
                            "--distance", 9, "--output", tmp_path / "d.safetensors", "--sheet", tmp_path / "sheet.png")  # fmt: skip
    assert status == 0, err
    assert "SeFa 2: eigenvalue" in out and str(tmp_path / "sheet.png") in out
    found = load_directions(tmp_path / "d.safetensors")
    assert found.header.ranges == ((-9.0, 9.0),) * 3 and len(found.header.layers) == {"0": 1, "0-1": 2, "0-1,4": 3}[layers]
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    size = 32 if kind == "stylegan3" else 16
    assert sheet.shape == (3 * (size + 2 + 16) + 2, 5 * (size + 2) + 2, 3)
    rows = [[sheet[2 + row * (size + 18) :][:size, 2 + column * (size + 2) :][:, :size] for column in range(5)] for row in range(3)]
    assert all((row[2] == rows[0][2]).all() for row in rows)  # the middle is the person
    assert all(abs(row[0] - row[4]).max() > 2 for row in rows)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layers", "0-9"], "there is no layer 9; this generator has 5"),
        (["--layers", "x"], "'x' is neither a number nor a range"),
        (["--count", "13"], "13 directions cannot be found"),
        (["--count", "0"], "0 directions cannot be found"),
        (["--sheet", "sheet.gif"], "sheet.gif names no picture"),
        (["--steps", "1"], "'1' is no whole number from 2 to 51"),
        (["--distance", "nan"], "'nan' is no number above 0"),
        (["--generator", "missing.pkl"], "There is no generator at missing.pkl"),
    ],
)
def test_sefa_says_what_is_wrong(options, words, generators, capsys, tmp_path):
    status, _, err = call(capsys, "sefa", "--generator", generators["stylegan2"], "--output", tmp_path / "d.safetensors", *options)
    assert status == 2 and words in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def scores(generators, tmp_path_factory):
    """A table of two attributes that lie along known normals of the StyleGAN2's w."""

    codes = codes_of_seeds(load_generator(generators["stylegan2"]), range(600))
    age, smile = codes[:, 0] + 0.1 * codes[:, 1], codes[:, 1]
    path = tmp_path_factory.mktemp("scores") / "people.csv"
    lines = [f"{seed},{float(age[seed])},{float(smile[seed])}" for seed in range(600)]
    path.write_text("\n".join(["seed,age,smile", *lines]))
    return path


def test_boundaries_of_a_persons_own_scores(generators, scores, capsys, tmp_path):
    status, out, err = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", scores, "--chosen", 0.2,
                            "--output", tmp_path / "out", "--report", tmp_path / "table.md", "--sheet", tmp_path / "s.png", "--steps", 3,
                            "--distance", 5)  # fmt: skip
    assert status == 0, err
    assert Image.open(tmp_path / "s.png").size == (3 * 18 + 2, 2 * 34 + 2)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["boundaries.safetensors", "stylegan2_age_w_boundary.npy", "stylegan2_smile_w_boundary.npy"]
    found = load_directions(tmp_path / "out" / "boundaries.safetensors")
    assert found.header.names == ("age", "smile") and found.header.ranges[0] == (-5.0, 5.0) and float(found.rows[1][1]) > 0.8
    assert np.allclose(np.load(tmp_path / "out" / "stylegan2_age_w_boundary.npy"), found.rows[:1], atol=1e-6)
    table = (tmp_path / "table.md").read_text()
    assert table in out and "600 codes in W, scores by people.csv" in table and "Correlation of attributes" in table


def test_published_boundaries_become_directions(generators, capsys, tmp_path):
    rows = torch.nn.functional.normalize(torch.randn(2, SIZES["w_dim"], generator=torch.Generator().manual_seed(1)), dim=1)
    for name, row in zip(("age", "smile"), rows, strict=True):
        np.save(tmp_path / f"stylegan_ffhq_{name}_w_boundary.npy", row[None].numpy())
    age, smile = (tmp_path / f"stylegan_ffhq_{name}_w_boundary.npy" for name in ("age", "smile"))
    given = ("published", age, "--generator", generators["stylegan2"], "--condition", smile, "--output", tmp_path / "d.safetensors")
    status, out, err = call(capsys, *given, "--distance", 2, "--sheet", tmp_path / "d.jpg", "--steps", 3)
    assert status == 0, err
    found = load_directions(tmp_path / "d.safetensors", load_generator(generators["stylegan2"]))
    assert found.header.names == ("age",) and found.header.conditions == ("smile",) and found.header.ranges == ((-2, 2),)
    assert abs(float(found.rows[0] @ rows[1])) < 1e-5 and float(found.rows[0] @ rows[0]) > 0.9
    assert (tmp_path / "d.jpg").is_file() and "d.safetensors" in out
    assert call(capsys, *given, "--space", "z")[0] == 2


@pytest.mark.parametrize("options", [("--attributes", "beauty"), ("--condition", "yaw")])
def test_attributes_without_scores_are_told_before_anything_is_drawn(generators, capsys, monkeypatch, tmp_path, options):
    monkeypatch.setattr(quality, "quality_of", lambda picture, finder: pytest.fail("a picture was judged"))
    status, _, err = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", "quality", "--output", tmp_path, *options)
    assert status == 2 and f"there is no attribute {options[1]!r}" in err


def test_quality_is_a_boundary_of_how_well_faces_are_found(generators, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(quality, "quality_of", lambda picture, finder: float(picture.mean()))  # brighter is better
    status, out, err = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", "quality", "--samples", 300, "--chosen", 0.2,
                            "--output", tmp_path / "out")  # fmt: skip
    assert status == 0, err
    assert "300 codes in W, scores by quality" in out
    generator = load_generator(generators["stylegan2"])
    found = load_directions(tmp_path / "out" / "boundaries.safetensors", generator)
    assert found.header.names == ("quality",) and check_usable(found, "quality") is None
    w = generator.mapping(latents_from_seed(1, 1, 12))
    low, high = (float(generator.synthesis(move(generator, w, found, [amount])).mean()) for amount in (-2.0, 2.0))
    assert high > low, "the slider does what was scored"


def test_an_attribute_that_is_hardly_in_the_codes_is_told(generators, capsys, tmp_path):
    random = np.random.default_rng(3)
    table = "\n".join(["seed,luck", *(f"{seed},{random.normal()}" for seed in range(300))])
    (tmp_path / "luck.csv").write_text(table)
    status, _, err = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", tmp_path / "luck.csv", "--chosen", 0.3,
                          "--output", tmp_path / "out")  # fmt: skip
    assert status == 0 and "luck is hardly in these codes" in err


def test_conditions_are_attributes_and_published_files(generators, scores, capsys, tmp_path):
    normal = np.eye(12)[5:6]
    np.save(tmp_path / "stylegan_ffhq_pose_w_boundary.npy", normal)
    status, _, err = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", scores, "--chosen", 0.2, "--attributes", "age",
                          "--condition", f"smile,{tmp_path / 'stylegan_ffhq_pose_w_boundary.npy'}", "--output", tmp_path / "out")  # fmt: skip
    assert status == 0, err
    found = load_directions(tmp_path / "out" / "boundaries.safetensors")
    assert found.header.conditions == ("smile", "stylegan_ffhq_pose_w_boundary") and found.header.names == ("age",)
    assert abs(float(found.rows[0, 5])) < 1e-5
    assert (tmp_path / "out" / "stylegan2_age_c_smile_stylegan_ffhq_pose_w_boundary_w_boundary.npy").is_file()


def test_boundaries_in_z_belong_to_z(generators, scores, capsys, tmp_path):
    status, _, err = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", scores, "--chosen", 0.2, "--attributes",
                          "age", "--space", "z", "--output", tmp_path / "out")  # fmt: skip
    assert status == 0, err
    assert load_directions(tmp_path / "out" / "boundaries.safetensors").header.space == "z"
    assert (tmp_path / "out" / "stylegan2_age_boundary.npy").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--attributes", "age,beard"], "there is no attribute 'beard'"),
        (["--condition", "beard"], "there is no attribute 'beard'"),
        (["--condition", "a.npy"], "a.npy is no boundary that can be used"),
        (["--condition", "age_boundary.npy"], "is a boundary of the other space"),
        (["--scores", "studio"], "the studio did not teach it"),
        (["--scores", "missing.csv"], "The scores cannot be used: missing.csv"),
        (["--chosen", "0.001"], "0 are chosen, at least 10"),
        (["--chosen", "-1"], "'-1' is no number above 0"),
        (["--samples", "1e9"], "'1e9' is no whole number"),
        (["--sheet", "sheet.gif"], "sheet.gif names no picture"),
        (["--sheet", "sheet.png", "--space", "z"], "directions in W only"),
    ],
)
def test_boundary_says_what_is_wrong(options, words, generators, scores, capsys, tmp_path):
    arguments = ["--generator", generators["stylegan2"], "--scores", scores, "--chosen", 0.2, "--output", tmp_path / "out", *options]
    status, _, err = call(capsys, "boundary", *arguments)
    assert status == 2 and words in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_progress_is_said_when_it_takes_long(capsys, monkeypatch):
    now = iter((0.0, 1.0, 2.5, 2.5, 3.0))
    monkeypatch.setattr(command.time, "monotonic", lambda: next(now))
    progress = command.Progress("codes")
    for done in (1, 2, 3):
        progress(done, 9)
    assert capsys.readouterr().err == "2 of 9 codes\n"


def test_where_scikit_learn_is_missing_its_extra_is_named(generators, scores, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    status, _, err = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", scores, "--output", tmp_path / "out")
    assert status == 2 and "scikit-learn is not installed" in err and "'train'" in err


def test_a_stopped_command_writes_nothing(generators, scores, capsys, monkeypatch, tmp_path):
    def stop(self, done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(command.Progress, "__call__", stop)
    status, _, _ = call(capsys, "boundary", "--generator", generators["stylegan2"], "--scores", scores, "--output", tmp_path / "out")
    assert status == main.INTERRUPTED and not (tmp_path / "out").exists()


def test_attributes_of_a_generator_that_the_studio_taught(capsys, tmp_path):
    person = PersonConfig(numbers=12, choices=tuple(map(len, CHOICES.values())), amounts=119, identity=4, reflectance=3)
    sizes = SIZES | {"resolution": 64, "channels": {4: 4, 8: 4, 16: 4, 32: 4, 64: 4}}
    made = lively(Generator.create(GuidedConfig(mattes=("skin",), person=person, **sizes), seed=1))
    path = save_generator(made, tmp_path / "studio-generator.safetensors")
    options = ("--generator", path, "--people", 100, "--output", tmp_path / "studio-directions.safetensors", "--sheet",
               tmp_path / "s.png", "--steps", 2)  # fmt: skip
    status, out, err = call(capsys, "attributes", *options)
    assert status == 0, err
    found = load_directions(tmp_path / "studio-directions.safetensors", load_generator(path))
    assert found.header.names[:2] == ("age", "masculine") and "beard: -1 to 1" in out
    assert Image.open(tmp_path / "s.png").size[0] == 2 * 66 + 2


def test_attributes_of_another_are_told(generators, capsys, tmp_path):
    status, _, err = call(capsys, "attributes", "--generator", generators["stylegan2"], "--output", tmp_path / "d.safetensors")
    assert status == 2 and "the studio did not teach it" in err and list(tmp_path.iterdir()) == []
