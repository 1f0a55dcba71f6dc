"""Distances of feature sets have the values that their definitions give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.evaluation.generator import inception, path_length, separability, sheets
from models.evaluation.generator.detection import detection_rate
from models.evaluation.generator.distances import frechet_distance, kernel_distance, nearest, precision_recall
from models.evaluation.generator.samples import over
from models.generators import Generator, GeneratorConfig

RNG = torch.Generator().manual_seed(0)


def normal(count: int, size: int = 8) -> torch.Tensor:
    return torch.randn(count, size, generator=RNG)


def test_frechet_distance_of_gaussians_is_the_formula():
    """N(m, s1^2 I) and N(0, s2^2 I): |m|^2 + D (s1 - s2)^2."""
    first, second = normal(40_000), normal(40_000) * 2 + 1.5
    assert frechet_distance(first, second) == pytest.approx(8 * 1.5**2 + 8 * (2 - 1) ** 2, rel=0.02)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_correlated_features_needs_the_whole_covariance():
    shared = normal(20_000, 1)
    correlated = torch.cat((shared, shared + 0.1 * normal(20_000, 1)), dim=1)
    separate = torch.cat((correlated[:, :1], correlated[torch.randperm(20_000, generator=RNG), 1:]), dim=1)
    # Marginals are equal: only the correlation differs. tr C1 + tr C2 - 2 tr (C1 C2)^(1/2).
    a, b = torch.cov(correlated.t()).double(), torch.cov(separate.t()).double()
    root = torch.linalg.eigvals(a @ b).real.sqrt().sum()
    expected = float(a.trace() + b.trace() - 2 * root + (correlated.mean(0) - separate.mean(0)).square().sum())
    assert expected > 0.3
    assert frechet_distance(correlated, separate) == pytest.approx(expected, rel=1e-3)


def test_kernel_distance_is_unbiased_and_grows():
    same = [kernel_distance(normal(300), normal(300), subsets=5, size=200, seed=n) for n in range(10)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(10) + 1e-3
    assert kernel_distance(normal(300), normal(300) + 1, subsets=5) > 10 * max(map(abs, same))


def test_precision_is_about_quality_and_recall_about_variety():
    real = normal(600, 4)
    narrow, wide = normal(600, 4) * 0.2, normal(600, 4) * 4
    precise, few = precision_recall(real, narrow)
    assert precise > 0.95 and few < 0.3
    poor, all_of_it = precision_recall(real, wide)
    assert poor < 0.5 and all_of_it > 0.9
    assert min(precision_recall(real, normal(600, 4))) > 0.6


def test_nearest_are_the_nearest():
    others = torch.arange(10.0)[:, None]
    distances, rows = nearest(torch.tensor([[3.2]]), others, 3)
    assert rows.tolist() == [[3, 4, 2]] and distances[0, 0] == pytest.approx(0.2)


def test_a_linear_attribute_is_separable_and_a_round_one_is_not():
    codes = normal(3000, 6)
    read = torch.stack((codes[:, 0] + 0.01 * normal(3000, 1)[:, 0], codes.square().sum(1) - 6), dim=1)
    good, bits = separability.separability(codes, read, {"line": (0, 0.0), "ball": (1, 0.0)}, torch.ones(2))
    assert bits["line"] < 0.02 and bits["ball"] > 0.8
    assert good == pytest.approx(2 ** sum(bits.values()))
    assert separability.separability(codes, read + 100, {"line": (0, 0.0)}, torch.ones(2)) == (1.0, {})


def test_conditional_entropy_of_known_tables():
    of = torch.tensor([True, True, False, False])
    assert separability.conditional_entropy(of, of) == pytest.approx(0, abs=1e-6)
    assert separability.conditional_entropy(torch.tensor([True, False, True, False]), of) == pytest.approx(1)


def test_attributes_are_what_can_be_read():
    truth = normal(400, 4)
    step = torch.where(truth[:, 2] > 1, 1.5, -0.2)  # a threshold leaves no more to be read
    read = torch.stack((truth[:, 0], -truth[:, 1], step, normal(400, 1)[:, 0]), dim=1)
    layout = {"pose": [0, 2], "looks": [2, 4]}
    assert separability.attributes_of({"layout": layout}, truth, read) == {"pose 0": (0, 0.0)}
    given = {"layout": layout, "attributes": {"glasses": [2, 1.0], "beard": [1, 0.0], "never": [0, 90.0]}}
    assert separability.attributes_of(given, truth, read) == {"pose 0": (0, 0.0), "glasses": (2, 1.0)}


def test_slerp_keeps_to_the_great_circle():
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    half = path_length.slerp(first, second, torch.tensor([[0.5]]))
    assert torch.allclose(half, torch.tensor([[math.sqrt(0.5)] * 2]), atol=1e-6)
    assert torch.allclose(path_length.slerp(first, second, torch.tensor([[1.0]])), torch.tensor([[0.0, 1.0]]), atol=1e-6)


class Plain:
    """Stands in for the features: the distance of pictures is their mean square."""

    @staticmethod
    def perceptual_distance(first, second):
        return (first - second).square().mean((1, 2, 3))


@pytest.fixture(scope="module")
def generator() -> Generator:
    config = GeneratorConfig(resolution=16, z_dim=16, w_dim=16, mapping_lr_multiplier=1.0, channels={4: 8, 8: 8, 16: 8})
    return Generator.create(config, seed=3).eval().requires_grad_(False)


def test_path_length_does_not_depend_on_the_step(generator, monkeypatch):
    """It is a squared derivative: a step ten times as long gives the same."""

    def length(space: str) -> float:
        parts = path_length.steps(generator, 32, seed=0)
        assert [len(part.t) for part in parts] == [16, 16] and not torch.equal(parts[0].t, parts[1].t)
        return path_length.path_length(torch.cat([path_length.lengths(generator, Plain(), space, part) for part in parts]))

    fine = length("w")
    monkeypatch.setattr(path_length, "EPSILON", 1e-3)
    assert length("w") == pytest.approx(fine, rel=0.1)
    assert fine > 0 and length("z") > 0
    with pytest.raises(ValueError, match="space"):
        length("x")


def test_sheets_and_interpolation(generator, tmp_path):
    names = {path.name for path in sheets.write_sheets(generator, tmp_path)}
    assert names == {"samples-psi-0.7.jpg", "samples-psi-1.0.jpg", "over-plate.jpg", "over-green.jpg"}
    frames = sheets.interpolation(generator)
    first, second = next(frames), next(frames)
    assert first.shape == (16, 16, 3) and np.abs(first.astype(int) - second).max() < 60
    video = sheets.write_interpolation(generator, tmp_path / "loop.mp4")
    assert video.read_bytes()[4:8] == b"ftyp"


def test_over_a_plate_nothing_is_the_plate():
    nothing = torch.full((1, 4, 8, 8), -1.0)
    assert torch.allclose(over(nothing, sheets.plate(8))[0], sheets.plate(8))
    assert torch.allclose(over(torch.ones(1, 4, 8, 8), 0.3), torch.ones(1, 3, 8, 8))


def test_detection_finds_no_face_in_nothing():
    pytest.importorskip("cv2")
    assert detection_rate([torch.zeros(3, 4, 64, 64)]) == 0.0


# Inception-v3 as published: name, in, out, kernel height and width.
STEM = [("Conv2d_1a_3x3", 3, 32, 3, 3), ("Conv2d_2a_3x3", 32, 32, 3, 3), ("Conv2d_2b_3x3", 32, 64, 3, 3),
        ("Conv2d_3b_1x1", 64, 80, 1, 1), ("Conv2d_4a_3x3", 80, 192, 3, 3)]  # fmt: skip


def convolutions() -> list[tuple[str, int, int, int, int]]:
    found = list(STEM)

    def add(block, *items):
        found.extend((f"Mixed_{block}.{name}", *shape) for name, *shape in items)

    for block, i, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        add(block, ("branch1x1", i, 64, 1, 1), ("branch5x5_1", i, 48, 1, 1), ("branch5x5_2", 48, 64, 5, 5),
            ("branch3x3dbl_1", i, 64, 1, 1), ("branch3x3dbl_2", 64, 96, 3, 3), ("branch3x3dbl_3", 96, 96, 3, 3),
            ("branch_pool", i, pool, 1, 1))  # fmt: skip
    add("6a", ("branch3x3", 288, 384, 3, 3), ("branch3x3dbl_1", 288, 64, 1, 1), ("branch3x3dbl_2", 64, 96, 3, 3),
        ("branch3x3dbl_3", 96, 96, 3, 3))  # fmt: skip
    for block, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        add(block, ("branch1x1", 768, 192, 1, 1), ("branch7x7_1", 768, c, 1, 1), ("branch7x7_2", c, c, 1, 7),
            ("branch7x7_3", c, 192, 7, 1), ("branch7x7dbl_1", 768, c, 1, 1), ("branch7x7dbl_2", c, c, 7, 1),
            ("branch7x7dbl_3", c, c, 1, 7), ("branch7x7dbl_4", c, c, 7, 1), ("branch7x7dbl_5", c, 192, 1, 7),
            ("branch_pool", 768, 192, 1, 1))  # fmt: skip
    add("7a", ("branch3x3_1", 768, 192, 1, 1), ("branch3x3_2", 192, 320, 3, 3), ("branch7x7x3_1", 768, 192, 1, 1),
        ("branch7x7x3_2", 192, 192, 1, 7), ("branch7x7x3_3", 192, 192, 7, 1), ("branch7x7x3_4", 192, 192, 3, 3))  # fmt: skip
    for block, i in (("7b", 1280), ("7c", 2048)):
        add(block, ("branch1x1", i, 320, 1, 1), ("branch3x3_1", i, 384, 1, 1), ("branch3x3_2a", 384, 384, 1, 3),
            ("branch3x3_2b", 384, 384, 3, 1), ("branch3x3dbl_1", i, 448, 1, 1), ("branch3x3dbl_2", 448, 384, 3, 3),
            ("branch3x3dbl_3a", 384, 384, 1, 3), ("branch3x3dbl_3b", 384, 384, 3, 1), ("branch_pool", i, 192, 1, 1))  # fmt: skip
    return found


def inception_state(classes: int = 1008) -> dict[str, torch.Tensor]:
    state = {"fc.weight": torch.zeros(classes, 2048)}
    for name, inputs, outputs, height, width in convolutions():
        scale = math.sqrt(2 / (inputs * height * width))
        state[f"{name}.conv.weight"] = torch.randn(outputs, inputs, height, width, generator=RNG) * scale
        state |= {f"{name}.bn.{part}": torch.ones(outputs) for part in ("weight", "running_var")}
        state |= {f"{name}.bn.{part}": torch.zeros(outputs) for part in ("bias", "running_mean")}
    return state


def test_inception_runs_on_the_published_layout(tmp_path):
    state = inception_state()
    trained = [v for name, v in state.items() if name.endswith(("conv.weight", "bn.weight", "bn.bias"))]
    assert sum(v.numel() for v in trained) == 21_785_568  # Inception-v3 without classifier and auxiliary head
    torch.save(state, tmp_path / "weights.pth")
    features = inception.load_inception(tmp_path / "weights.pth")(torch.rand(2, 3, 64, 64, generator=RNG))
    assert features.shape == (2, 2048) and bool(features.isfinite().all()) and float(features.std()) > 0


def test_foreign_inception_weights_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(StyleRigError, match="no such file"):
        inception.load_inception(path)
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, path)
    with pytest.raises(StyleRigError, match="1008 classes"):
        inception.load_inception(path)
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, path)
    with pytest.raises(StyleRigError, match="Conv2d_1a_3x3"):
        inception.load_inception(path)
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(StyleRigError, match="cannot be used"):
        inception.load_inception(path)
