"""Scores: from a table that a person supplies, and from what z means; codes of many people; attributes of the shipped generator."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from models.colour import linear_to_srgb
from models.editing.attributes import directions_of, report, train_attributes
from models.editing.codes import codes_of_seeds, studio_codes
from models.editing.directions import load_directions, save_directions
from models.editing.scores import Scores, read_scores
from models.editing.studio_scores import SHOWN, studio_scores
from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed, load_generator
from models.generators.config import StyleGAN2Config
from models.generators.semantic_mapping.studio_v1 import EXPRESSIONS, LATENT_SIZE, LOOKS, YAW, layout, scene_features, skin_colour
from tests.data.official_format import lively

WEIGHTS = Path(__file__).parents[2] / "models" / "weights" / "stylerig-generator.safetensors"


def table(folder: Path, text: str) -> Path:
    (folder / "scores.csv").write_bytes(text.encode())
    return folder / "scores.csv"


def test_a_table_is_read(tmp_path):
    seeds, scores = read_scores(table(tmp_path, "age, seed ,smile\r\n0.5,7,-1e-3\r\n\r\n ,3,2\r\n"))
    assert seeds == [7, 3] and scores.names == ("age", "smile")
    assert scores.column("smile").tolist() == pytest.approx([-1e-3, 2.0])
    assert scores.column("age")[0] == 0.5 and math.isnan(scores.column("age")[1])


def test_a_table_as_spreadsheets_save_it_is_read(tmp_path):
    seeds, scores = read_scores(table(tmp_path, '\ufeffseed,"long hair, dark"\n"1","2.5"\n'))
    assert (seeds, scores.names, scores.values.tolist()) == ([1], ("long hair, dark",), [[2.5]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column seed"),
        ("age,smile\n1,2\n", "lacks the column seed"),
        ("seed\n1\n", "has no other"),
        ("seed,age,age\n1,2,3\n", "two of the same"),
        ("seed,,age\n1,2,3\n", "without a name"),
        ("seed,age\n", "no lines of numbers"),
        ("seed,age\n1,2\n2,3,4\n", "3 cells in line 3"),
        ("seed,age\n1,old\n", "'old' in line 2, which is no number"),
        ("seed,age\n1,nan\n", "'nan' in line 2"),
        ("seed,age\n1,inf\n", "'inf' in line 2"),
        ("seed,age\n1,1e39\n", "'1e39' in line 2"),
        ("seed,age\n-1,1\n", "'-1' in line 2, which is no seed"),
        ("seed,age\n1.0,1\n", "which is no seed"),
        ("seed,age\n99999999999999999999,1\n", "which is no seed"),
        ("seed,age\n٣,1\n", "which is no seed"),
        ("seed,age\n1,1\n2,1\n1,5\n", "seed 1 in the lines 2 and 4"),
        ("seed," + ",".join(f"a{number}" for number in range(300)), "301 columns"),
    ],
)
def test_other_tables_are_refused_with_the_line(text, words, tmp_path):
    with pytest.raises(StyleRigError, match=words) as error:
        read_scores(table(tmp_path, text))
    assert error.value.code == "bad_scores" and error.value.hint


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    for path in (tmp_path / "a.csv", tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(StyleRigError) as error:
            read_scores(path)
        assert error.value.code == "bad_scores"


def test_an_attribute_without_scores_is_named():
    with pytest.raises(StyleRigError, match="no attribute 'beard'") as error:
        Scores(("age", "smile"), torch.zeros(1, 2)).column("beard")
    assert error.value.hint == "There are age, smile."


# What z means ------------------------------------------------------------------------------


def scene(**numbers: float) -> torch.Tensor:
    """z of a scene whose looks are 0 but for ``numbers``."""
    z = torch.zeros(1, 512)
    for name, value in numbers.items():
        z[0, layout()["looks"].start + LOOKS.index(name)] = value
    return z


def score(name: str, z: torch.Tensor) -> float:
    return float(studio_scores(z).column(name)[0])


def test_the_names_of_what_is_visible_stand_for_all_columns_but_colours():
    assert scene_features(torch.zeros(1, LATENT_SIZE))["looks"].shape[1] == len(SHOWN) + 4 * 3


@pytest.mark.parametrize(
    ("name", "low", "high", "expected"),
    [
        ("age", {"age": -1.5}, {"age": 2.0}, (-1.5, 2.0)),
        ("beard", {"beard": 0.5}, {"beard": 3.0}, (0.0, 1.0)),
        ("beard", {"beard": 3.0, "make_up": 3.0}, {"beard": 3.0}, (0.0, 1.0)),
        ("moustache", {}, {"moustache": 3.0}, (0.0, 1.0)),
        ("make_up", {"make_up": -1.0}, {"make_up": 3.0}, (0.0, 1.0)),
        ("glasses", {"glasses": 1.1}, {"glasses": 1.2}, (0.0, 1.0)),
        ("grey", {"grey": 0.0}, {"age": 5.0}, (0.0, 1.0)),
        ("stubble", {"stubble": -1.0}, {"stubble": 1.0}, (-1.0, 1.0)),
        ("dark_hair", {"hair_dark": -1.0}, {"hair_dark": 1.0}, (-1.0, 1.0)),
        ("hair_length", {"style_buzz": 3.0}, {"style_long_straight": 3.0}, (0.45, 35.0)),
        ("curl", {"style_slick_back": 3.0}, {"style_afro": 3.0}, (0.05, 1.95)),
    ],
)
def test_looks_are_scored_as_they_are_shown(name, low, high, expected):
    assert (score(name, scene(**low)), score(name, scene(**high))) == pytest.approx(expected, abs=0.05)


def test_pose_skin_and_mimic_are_scored():
    z, places = torch.zeros(2, 512), layout()
    z[1, places["pose"].start] = 1.0
    z[1, places["reflectance"].start] = 2.0
    for name in ("mouthSmile_L", "jawOpen"):  # the first side's number is that of both
        z[1, places["expression"].start + EXPRESSIONS.index(name)] = 3.0
    scores = studio_scores(z)
    assert scores.column("yaw").tolist() == pytest.approx([0.0, YAW]) and scores.column("pitch").tolist() == [0.0, 0.0]
    assert scores.column("smile")[0] == 0 and scores.column("smile")[1] > 0.9
    assert scores.column("open_mouth")[1] > 0.9 and scores.column("blink").tolist() == [0.0, 0.0]
    tones = scores.column("light_skin")[:, None].double().numpy()
    dark, light = (float(linear_to_srgb(torch.from_numpy(colour)).mean()) for colour in skin_colour(tones))
    assert light > dark + 0.05


def test_a_generator_that_the_studio_did_not_teach_has_no_such_scores():
    generator = Generator.create(StyleGAN2Config(resolution=8, channels={4: 8, 8: 8}))
    with pytest.raises(StyleRigError, match="studio did not teach it") as error:
        studio_codes(generator, 10)
    assert error.value.code == "no_scene" and "CSV" in error.value.hint


# Codes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Generator:
    return lively(Generator.create(StyleGAN2Config(resolution=8, z_dim=12, w_dim=12, mapping_layers=2, channels={4: 8, 8: 8}), seed=1))


def test_codes_are_those_of_the_seeds(small):
    seeds, said = [5, 2**62, 0], []
    codes = codes_of_seeds(small, seeds, "w", lambda done, total: said.append((done, total)))
    for seed, code in zip(seeds, codes, strict=True):
        assert torch.allclose(code, small.mapping(latents_from_seed(seed, 1, 12))[0, 0], atol=1e-5)
    assert said == [(3, 3)]
    in_z = codes_of_seeds(small, seeds, "z")
    assert torch.allclose(in_z.norm(dim=1), torch.full((3,), math.sqrt(12)), atol=1e-3)
    assert torch.allclose(in_z[0] / in_z[0].norm(), torch.nn.functional.normalize(latents_from_seed(5, 1, 12)[0], dim=0), atol=1e-5)


def test_what_reports_progress_may_stop_the_work(small):
    def stop(done: int, total: int):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        codes_of_seeds(small, range(5000), "w", stop)


# Attributes --------------------------------------------------------------------------------


def linear_scores(codes: torch.Tensor) -> tuple[Scores, torch.Tensor]:
    """Scores of three attributes along known normals, of which the second is half the first."""
    normals = torch.nn.functional.normalize(torch.randn(3, codes.shape[1], generator=torch.Generator().manual_seed(3)), dim=1)
    normals[1] = torch.nn.functional.normalize(normals[0] + normals[1], dim=0)
    return Scores(("age", "glasses", "smile"), codes @ normals.mT), normals


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    return torch.randn(5000, 12, generator=torch.Generator().manual_seed(1))


def test_conditions_take_their_part_out_of_all_others(codes):
    scores, normals = linear_scores(codes)
    found = train_attributes(codes, scores, ["age", "smile"], ["glasses", "mine"], {"mine": normals[2]}, chosen=0.1)
    assert list(found.trained) == ["age", "smile"] and found.conditions == ("glasses", "mine")
    glasses = train_attributes(codes, scores, ["glasses"], chosen=0.1).trained["glasses"].normal
    assert float(found.trained["age"].normal @ glasses) > 0.5
    assert (found.normals @ torch.stack((glasses, normals[2])).mT).abs().max() < 1e-5


def test_an_attribute_is_no_condition_of_itself(codes):
    scores, _ = linear_scores(codes)
    found = train_attributes(codes, scores, ["age", "glasses"], ["age"], chosen=0.1)
    assert torch.allclose(found.normals[0], found.trained["age"].normal, atol=1e-6)
    assert float(found.normals[1] @ found.normals[0]) == pytest.approx(0, abs=1e-5)


def test_attributes_become_directions_of_the_generator(small, codes, tmp_path):
    scores, _ = linear_scores(codes)
    found = train_attributes(codes, scores, ["age", "smile"], ["glasses"], chosen=0.1)
    path = save_directions(directions_of(small, found, "w"), tmp_path / "d.safetensors")
    read = load_directions(path, small)
    assert (read.header.kind, read.header.names, read.header.conditions) == ("interfacegan", ("age", "smile"), ("glasses",))
    assert read.header.layers == (0, 1, 2) and read.eigenvalues is None
    assert torch.equal(read.rows, found.normals)


def test_the_report_holds_the_papers_tables(codes):
    scores, _ = linear_scores(codes)
    found = train_attributes(codes, scores, ["age", "glasses"], ["smile"], chosen=0.1)
    text = report(found, scores, "a title")
    expected = float(found.trained["age"].normal @ found.trained["glasses"].normal)
    assert text.startswith("a title\n\n| attribute | validation | all |")
    assert f"| age | {found.trained['age'].validation:.1%} | {found.trained['age'].all:.1%} |" in text
    assert f"| age | 1.00 | {expected:.2f} |" in text and "The same without smile" in text
    truth = float(torch.corrcoef(scores.values.mT)[0, 1])
    assert f"Correlation of attributes\n\n| | age | glasses |\n|---|---|---|\n| age | 1.00 | {truth:.2f} |" in text


def test_what_z_means_lies_in_planes_of_the_shipped_generators_w():
    """Five attributes on held-out ends and on all codes, from few people; docs/editing.md has the figures of many."""
    generator = load_generator(WEIGHTS)
    codes, scores = studio_codes(generator, 8000, seed=1)
    names = ["beard", "glasses", "make_up", "smile", "yaw"]
    found = train_attributes(codes, scores, names, chosen=0.05)
    assert min(boundary.validation for boundary in found.trained.values()) >= 0.95
    assert min(boundary.all for boundary in found.trained.values()) >= 0.8
    again, _ = studio_codes(generator, 3000, seed=1)
    assert torch.allclose(again, codes[:3000], atol=1e-4)
