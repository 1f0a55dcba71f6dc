"""InterFaceGAN: boundaries against known ones, projection and edits against the published formulas, published files."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from models.editing.boundary import (
    correlations,
    cosines,
    edit,
    load_boundary,
    project,
    save_boundary,
    space_by_name,
    train_boundary,
)
from models.errors import StyleRigError

WIDTH = 16
PUBLISHED = ("age", "eyeglasses", "gender", "pose", "smile")


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(count: int, seed: int = 1, width: int = WIDTH) -> torch.Tensor:
    return normalize(torch.randn(count, width, generator=random(seed)), dim=1)


def population(count: int = 4000, middle: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes around ``middle`` times the normal, their scores, and the normal."""
    normal = unit(1, seed=9)[0]
    codes = torch.randn(count, WIDTH, generator=random(2)) + middle * normal
    return codes, codes @ normal, normal


def test_a_plane_is_found_where_it_is():
    codes, scores, normal = population(middle=5.0)
    found = train_boundary(codes, 7 * scores - 100)  # the scores' own scale does not matter
    assert float(found.normal @ normal) > 0.97 and float(found.normal.norm()) == pytest.approx(1)
    right = ((codes @ found.normal > found.offset) == (scores >= (scores.max() + scores.min()) / 2)).float().mean()
    assert found.validation == 1.0 and found.all == pytest.approx(float(right), abs=1e-3) and found.all > 0.85
    assert found.offset == pytest.approx(5.0, abs=0.4)
    assert found.normal.dtype == torch.float32


def test_more_of_the_score_is_the_positive_side():
    codes, scores, normal = population()
    assert float(train_boundary(codes, -scores).normal @ normal) < -0.97


def test_scores_that_say_nothing_are_not_learnt():
    codes, _, _ = population()
    found = train_boundary(codes, torch.randn(len(codes), generator=random(3)), chosen=0.1)
    assert 0.35 < found.validation < 0.65 and 0.45 < found.all < 0.55


def test_the_published_defaults_reach_the_support_vector_machine(monkeypatch):
    """2 % of each end, 70 of 100 of them to train with, labels 1 and 0, linear, C = 1."""
    import sklearn.svm

    seen = {}

    class Recorder(sklearn.svm.SVC):
        def fit(self, codes, labels):
            seen.update(codes=codes, labels=labels, kernel=self.kernel, c=self.C)
            return super().fit(codes, labels)

    monkeypatch.setattr(sklearn.svm, "SVC", Recorder)
    codes, scores, normal = population(1000)
    train_boundary(codes, scores)
    assert (seen["kernel"], seen["c"]) == ("linear", 1.0)
    assert seen["labels"].tolist() == [1] * 14 + [0] * 14
    assert codes.dtype == torch.float32 and seen["codes"].shape == (28, WIDTH)
    limits = scores.sort().values[[19, -20]]
    sides = torch.from_numpy(seen["codes"]).float() @ normal
    assert (sides[:14] >= limits[1] - 1e-5).all() and (sides[14:] <= limits[0] + 1e-5).all()


def test_what_is_chosen_is_a_share_or_a_number_and_never_more_than_half():
    codes, scores, _ = population(400)
    share, number = (train_boundary(codes, scores, chosen=chosen) for chosen in (0.25, 100))
    assert torch.equal(share.normal, number.normal)
    all_of_them, half = (train_boundary(codes, scores, chosen=chosen) for chosen in (1.0, 200))
    assert torch.equal(all_of_them.normal, half.normal)


def test_codes_without_a_score_are_left_out():
    codes, scores, _ = population(1000)
    gaps = scores.clone()
    gaps[::3] = float("nan")
    known = ~gaps.isnan()
    assert torch.equal(train_boundary(codes, gaps).normal, train_boundary(codes[known], scores[known]).normal)


def test_the_same_seed_gives_the_same_boundary():
    codes, scores, _ = population(1000)
    first, second, other = (train_boundary(codes, scores, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.normal, second.normal) and first.validation == second.validation
    assert not torch.equal(first.normal, other.normal)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (torch.ones(1000), "all scores are the same"),
        (torch.cat((torch.ones(5), torch.zeros(995))), "fewer than 20 differ"),
        (torch.arange(499.0), "of 499 codes 9 are chosen, at least 10"),
        (torch.full((1000,), float("nan")), "of 0 codes 0 are chosen"),
    ],
)
def test_scores_that_make_no_ends_are_refused(scores, words):
    with pytest.raises(StyleRigError, match=words) as error:
        train_boundary(torch.randn(len(scores), WIDTH), scores)
    assert error.value.code == "bad_scores" and error.value.hint


# Conditional projection --------------------------------------------------------------------


def test_without_conditions_a_boundary_stays():
    normal = unit(1)[0]
    assert torch.allclose(project(normal, []), normal)


def test_one_condition_as_published():
    primal, condition = unit(2)
    expected = primal - (primal @ condition) * condition
    assert torch.allclose(project(primal, [condition]), expected / expected.norm(), atol=1e-6)


def test_two_conditions_as_published():
    primal, first, second = unit(3)
    second = normalize(second + 2 * first, dim=0)  # far from orthogonal
    p1, p2, c12 = primal @ first, primal @ second, first @ second
    a, b = ((x - y * c12) / (1 - c12**2 + 1e-8) for x, y in ((p1, p2), (p2, p1)))
    expected = primal - a * first - b * second
    assert torch.allclose(project(primal, [first, second]), expected / expected.norm(), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 7, WIDTH - 1])
def test_any_number_of_conditions_is_kept(count):
    primal, conditions = unit(1, seed=5)[0], unit(count, seed=6)
    kept = project(primal, conditions)
    assert (conditions @ kept).abs().max() < 1e-5
    assert float(kept.norm()) == pytest.approx(1, abs=1e-5) and float(kept @ primal) > 0
    solved = torch.linalg.lstsq(conditions.mT.double(), primal.double()).solution
    expected = normalize(primal.double() - conditions.mT.double() @ solved, dim=0)
    assert torch.allclose(kept.double(), expected, atol=1e-5)


def test_a_condition_that_is_there_twice_counts_once():
    primal, first, second = unit(3)
    both = project(primal, [first, second])
    assert torch.allclose(project(primal, [first, second, first, -first, normalize(first + second, dim=0)]), both, atol=1e-5)


def test_a_direction_that_consists_of_its_conditions_is_refused():
    first, second = unit(2)
    for conditions in ([first], [-first, second], [normalize(first + second, dim=0), second]):
        with pytest.raises(StyleRigError, match="age cannot be kept apart"):
            project(first, conditions, "age")


# Edits -------------------------------------------------------------------------------------


def test_an_edit_in_z_or_w_goes_to_a_distance_from_the_plane():
    """linear_interpolate: the code's own component along the boundary is subtracted from the distance."""
    codes, boundary = torch.randn(5, WIDTH, generator=random(7)), unit(1)
    published = np.concatenate([code[None] + (2.0 - code[None] @ boundary.numpy().T) * boundary.numpy() for code in codes.numpy()])
    moved = edit(codes, boundary[0], 2.0)
    assert np.allclose(moved, published, atol=1e-5)
    assert torch.allclose(moved @ boundary[0], torch.full((5,), 2.0), atol=1e-5)
    others = unit(3) - (unit(3) @ boundary[0])[:, None] * boundary  # at right angles to it
    assert torch.allclose(moved @ others.mT, codes @ others.mT, atol=1e-5)
    each = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert torch.allclose(edit(codes, boundary[0], each) @ boundary[0], each, atol=1e-5)


def test_an_edit_in_w_plus_goes_on_from_where_a_code_is():
    codes, normal = torch.randn(2, 4, WIDTH, generator=random(7)), unit(1)[0]
    assert torch.allclose(edit(codes, normal, 2.0), codes + 2 * normal)
    assert torch.allclose(edit(codes, normal, torch.tensor([1.0, -1.0]))[1], codes[1] - normal)
    assert torch.equal(edit(codes, normal, 0.0), codes)


def test_correlations():
    normals = unit(4)
    assert torch.allclose(cosines(3 * normals), (normals @ normals.mT).double(), atol=1e-6)
    scores = torch.randn(200, 3, generator=random(4))
    scores[:, 2] = scores[:, 0] * 2 - scores[:, 1]
    assert np.allclose(correlations(scores), np.corrcoef(scores.numpy().T), atol=1e-6)
    gaps = torch.cat((scores, torch.tensor([[float("nan"), 50.0, 50.0]])))
    assert torch.allclose(correlations(gaps), correlations(scores))
    assert correlations(torch.cat((scores, torch.ones(200, 1)), dim=1))[0, 3].isnan()


# Files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_boundary_loads(name, root, tmp_path):
    """The real file where it is, else one like it: float64 (1, 512) of length 1."""
    path = root.parent / "shared" / "interfacegan-boundaries" / f"stylegan_ffhq_{name}_w_boundary.npy"
    if not path.is_file():
        path = tmp_path / path.name
        np.save(path, unit(1, width=512).double().numpy())
    normal = load_boundary(path, 512)
    expected = np.load(path)
    assert expected.shape == (1, 512) and expected.dtype == np.float64
    assert np.allclose(normal, expected[0], atol=1e-6) and float(normal.norm()) == pytest.approx(1, abs=1e-6)
    assert space_by_name(path) == "w"
    with pytest.raises(StyleRigError, match=r"shape \(1, 512\), this generator needs \(1, 256\)"):
        load_boundary(path, 256)


def test_what_is_written_is_read_and_laid_out_as_published(tmp_path):
    normal = unit(1)[0]
    path = save_boundary(tmp_path / "new" / "age_boundary.npy", normal)
    assert np.load(path).shape == (1, WIDTH)
    assert torch.allclose(load_boundary(path, WIDTH), normal, atol=1e-6)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8", ">f8"])
@pytest.mark.parametrize("shape", [(WIDTH,), (1, WIDTH)])
def test_other_floats_and_lengths_load(dtype, shape, tmp_path):
    np.save(tmp_path / "a.npy", 3 * unit(1)[0].numpy().astype(dtype).reshape(shape))
    assert torch.allclose(load_boundary(tmp_path / "a.npy", WIDTH), unit(1)[0], atol=2e-3)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def array_header(shape: tuple) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


NAN = unit(1).numpy().copy()
NAN[0, 3] = np.nan
GOOD = npy(unit(1).numpy())
HOSTILE = {
    "NaN": (npy(NAN), "values that are not numbers"),
    "infinite": (npy(np.full((1, WIDTH), np.inf)), "values that are not numbers"),
    "zero": (npy(np.zeros((1, WIDTH))), "no direction"),
    "vast": (npy(np.full((1, WIDTH), 1e300)), "no direction"),
    "pickled": (npy(np.array([[Harmful()] * WIDTH], dtype=object)), "Python objects"),
    "whole numbers": (npy(np.ones((1, WIDTH), dtype=int)), "not floating-point"),
    "text": (npy(np.full((1, WIDTH), "x")), "not floating-point"),
    "named fields": (npy(np.zeros((1, WIDTH), dtype=[("a", "f8")])), "not floating-point"),
    "two rows": (npy(unit(2).numpy()), r"shape \(2, 16\)"),
    "wider": (npy(unit(1, width=17).numpy()), r"shape \(1, 17\)"),
    "three dimensions": (npy(unit(1).numpy()[None]), "shape"),
    "no dimension": (npy(np.float64(1)), r"shape \(\)"),
    "claims the memory": (array_header((10**9, 10**9)), "shape"),
    "claims more": (array_header((1, WIDTH)) + b"abc", "another size"),
    "has more": (GOOD + b"abc", "another size"),
    "cut": (GOOD[:-4], "another size"),
    "cut in the header": (GOOD[:40], "damaged"),
    "nested header": (array_header((1, WIDTH)).replace(b"(1, 16)", b"(" * 7), "damaged"),
    "no npy": (b"seed,age\n1,2\n", "no .npy file"),
    "empty": (b"", "no .npy file"),
    "an archive": (b"PK\x03\x04" + bytes(100), "no .npy file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_other_arrays_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, words = HOSTILE[name]
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(StyleRigError, match=words) as error:
        load_boundary("a.npy", WIDTH)
    assert error.value.code == "bad_boundary" and not (tmp_path / "harm").exists()


def test_what_is_no_file_is_refused_at_once(tmp_path):
    with open(tmp_path / "huge.npy", "wb") as file:
        file.truncate(2 << 20)
    for path in (tmp_path / "missing.npy", tmp_path, tmp_path / "huge.npy"):
        with pytest.raises(StyleRigError) as error:
            load_boundary(path, WIDTH)
        assert error.value.code == "bad_boundary"


def test_spaces_by_name():
    names = {"stylegan_ffhq_age_w_boundary.npy": "w", "pggan_celebahq_age_c_gender_boundary.npy": "z", "mine.npy": None}
    assert {name: space_by_name(name) for name in names} == names
