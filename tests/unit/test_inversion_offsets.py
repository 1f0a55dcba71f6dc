"""What tuning adds to a generator, and its file."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import save

from models.editing.directions import generator_hash
from models.editing.inversion import offsets
from models.editing.inversion.offsets import LARGEST_CHANGE, Offsets, Tuning, largest_rank, offsets_between, read_offsets
from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig

CONFIG = GeneratorConfig(resolution=16, channels={4: 16, 8: 12, 16: 8})


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.create(CONFIG, seed=1).eval().requires_grad_(False)


def some_offsets(generator: Generator, strength: float = 0.1, rank: int = 2, seed: int = 3) -> Offsets:
    tuning = Tuning(generator.synthesis, rank, seed)
    with torch.no_grad():
        for a in tuning.a:
            a.normal_(generator=torch.Generator().manual_seed(seed))
        tuning.bound(strength)
    return tuning.offsets(generator)


def test_the_rank_is_what_fits_into_a_file(generator, monkeypatch):
    assert largest_rank(generator, 6) == 6
    size = len(some_offsets(generator, rank=3).data)
    monkeypatch.setattr(offsets, "HEADER", size - 2 * sum(parameter.numel() for parameter in Tuning(generator.synthesis, 3).parameters()))
    monkeypatch.setattr(offsets, "LARGEST_FILE", size)
    assert largest_rank(generator, 6) == 3
    monkeypatch.setattr(offsets, "LARGEST_FILE", 1000)
    with pytest.raises(StyleRigError, match="too large"):
        largest_rank(generator, 6)


def test_a_file_says_all_and_its_hash_is_that_of_its_bytes(generator):
    offsets = some_offsets(generator)
    again = read_offsets(offsets.data)
    assert again.digest == offsets.digest and again.generator == generator_hash(generator)
    assert all(
        torch.equal(again.factors[name][0], a) and torch.equal(again.factors[name][1], b) for name, (a, b) in offsets.factors.items()
    )


def test_they_change_a_copy_and_only_that(generator):
    before, offsets = copy.deepcopy(generator.state_dict()), some_offsets(generator)
    w = generator.mapping(torch.ones(1, 512))
    tuned = offsets.applied(generator)
    assert not torch.allclose(tuned.synthesis(w), generator.synthesis(w), atol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    still = Tuning(generator.synthesis, rank=2).offsets(generator)
    assert torch.equal(still.applied(generator).synthesis(w), generator.synthesis(w)), "nothing found is nothing changed"


def test_a_change_is_bounded(generator):
    tuning = Tuning(generator.synthesis, rank=2)
    with torch.no_grad():
        for a in tuning.a:
            a.fill_(100.0)
        tuning.bound(0.5)
    for name, change in tuning.changes().items():
        assert change.norm() <= 0.5001 * tuning.weights[name].norm()
    wild = {name: (a * 1000, b) for name, (a, b) in some_offsets(generator).factors.items()}
    with pytest.raises(StyleRigError, match="more than itself"):
        Offsets(generator_hash(generator), wild).applied(generator)
    assert LARGEST_CHANGE >= 0.5


def test_what_was_not_taught_yet_is_left_alone():
    young = Generator.create(CONFIG, seed=1).eval().requires_grad_(False)
    young.synthesis.b16.torgb.weight.zero_()
    tuning = Tuning(young.synthesis, rank=2)
    assert "b16.torgb.weight" not in tuning.names and "b8.torgb.weight" in tuning.names
    assert torch.isfinite(tuning.size())


def test_those_of_another_generator_are_refused(generator):
    other = Generator.create(CONFIG, seed=2)
    with pytest.raises(StyleRigError, match="another generator") as caught:
        some_offsets(generator).applied(other)
    assert caught.value.code == "bad_offsets"
    renamed = Offsets(generator_hash(generator), {"b4.nothing": (torch.zeros(3, 1), torch.zeros(1, 9))})
    with pytest.raises(StyleRigError, match=r"no weight 'b4\.nothing'"):
        renamed.applied(generator)


def test_between_two_they_go_from_one_to_the_other(generator):
    first, second = some_offsets(generator), some_offsets(generator, 0.2, rank=1, seed=4)
    changes = lambda found: {name: a @ b for name, (a, b) in found.factors.items()}
    own, other = changes(first), changes(second)
    half = changes(offsets_between(first, None, 0.5))
    assert all(torch.allclose(half[name], own[name] / 2, atol=1e-3) for name in own), "towards a generator as it was"
    way = [offsets_between(first, second, share) for share in (0.02, 0.5, 0.98)]
    assert all(len(b) <= 2 for found in way for _, b in found.factors.values()), "no larger than the larger one"
    for name in own:
        middle = (own[name] + other[name]) / 2
        kept = torch.linalg.matrix_norm(middle, 2)
        off = (changes(way[1])[name] - middle).norm()
        assert off < middle.norm() and torch.linalg.matrix_norm(changes(way[1])[name], 2) == pytest.approx(float(kept), rel=0.02)
        assert (changes(way[0])[name] - own[name]).norm() < 0.1 * own[name].norm()
        assert (changes(way[2])[name] - other[name]).norm() < 0.1 * other[name].norm()
    assert offsets_between(None, None, 0.5) is None


def damaged_files(data: bytes) -> list[bytes]:
    header = {"stylerig": json.dumps({"format": "portrait-offsets-1", "generator": "0" * 64})}
    a, b = torch.zeros(3, 2).half(), torch.zeros(2, 9).half()
    return [
        b"", b"\0" * 8, data[:-20], data[:50], b"x" * 700_000,
        save({"x.a": a, "x.b": b}, {"stylerig": "{}"}),
        save({"x.a": a, "x.b": b}, {"stylerig": json.dumps({"format": "portrait-offsets-9", "generator": "0"})}),
        save({"x.a": a}, header),
        save({"x.a": a, "x.b": b[:1]}, header),
        save({"x.a": a, "x.b": b * float("nan")}, header),
        save({"x.a": torch.zeros(3, 99).half(), "x.b": torch.zeros(99, 9).half()}, header),
    ]  # fmt: skip


def test_a_damaged_file_is_told(generator):
    for data in damaged_files(some_offsets(generator).data):
        with pytest.raises(StyleRigError) as caught:
            read_offsets(data)
        assert caught.value.code == "bad_offsets"
