"""The file of directions: what is written is read, what does not fit or would do harm is refused; moving a code."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from models.editing.directions import Directions, Header, generator_hash, load_directions, move, save_directions
from models.editing.sefa import find_directions
from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed, load_generator, save_generator
from models.generators.config import ProGANConfig, StyleGAN2Config
from tests.data.official_format import dumps, lively, official, snapshot

CHANNELS = {4: 10, 8: 8, 16: 6}
SIZES = {"resolution": 16, "z_dim": 12, "w_dim": 12, "mapping_layers": 2, "channels": CHANNELS}


def made(seed: int = 2, **sizes) -> Generator:
    return lively(Generator.create(StyleGAN2Config(**SIZES | sizes), seed=seed))


@pytest.fixture(scope="module")
def generator() -> Generator:
    return made()


@pytest.fixture(scope="module")
def directions(generator) -> Directions:
    return find_directions(generator, [0, 1, 4], 3)


def test_what_is_written_is_read(generator, directions, tmp_path):
    path = save_directions(directions, tmp_path / "new" / "d.safetensors")
    read = load_directions(path, generator)
    assert read.header == directions.header
    assert torch.equal(read.rows, directions.rows) and torch.equal(read.eigenvalues, directions.eigenvalues)
    assert (read.header.layers, read.header.kind, read.header.space) == ((0, 1, 4), "sefa", "w")
    assert read.header.generator == generator_hash(generator) and len(read) == 3


def test_the_file_is_plain_safetensors_and_the_same_each_time(directions, tmp_path):
    first, second = (save_directions(directions, tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    with safe_open(tmp_path / "a", framework="pt") as file:
        assert sorted(file.keys()) == ["directions", "eigenvalues"]
        assert file.get_tensor("directions").shape == (3, 12) and file.get_tensor("eigenvalues").shape == (3,)
        header = json.loads(file.metadata()["stylerig"])
    assert header["layers"] == [0, 1, 4] and header["ranges"] == [[-3.0, 3.0]] * 3
    assert header["names"] == ["SeFa 0", "SeFa 1", "SeFa 2"] and len(header["generator"]) == 64


def test_the_same_weights_from_another_file_are_the_same_generator(generator, directions, tmp_path):
    (tmp_path / "g.pkl").write_bytes(dumps(snapshot(official(generator))))
    save_generator(generator, tmp_path / "g.safetensors")
    path = save_directions(directions, tmp_path / "d.safetensors")
    for name in ("g.pkl", "g.safetensors"):
        assert load_directions(path, load_generator(tmp_path / name)).header == directions.header


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (made(seed=3), "they belong to another generator"),
        (made(w_dim=16), "12 numbers each, this generator's w 16"),
    ],
)
def test_another_generator_is_told(other, words, directions, tmp_path):
    path = save_directions(directions, tmp_path / "d.safetensors")
    with pytest.raises(StyleRigError, match=words) as error:
        load_directions(path, other)
    assert error.value.code == "bad_directions" and "for this one" in error.value.hint


def test_one_changed_weight_makes_another_generator(generator):
    before = generator_hash(generator)
    changed = made()
    assert generator_hash(changed) == before
    changed.synthesis.b8.conv1.affine.bias[3] += 1e-6
    assert generator_hash(changed) != before


def damaged(directions: Directions, **changes) -> Directions:
    return replace(directions, header=directions.header.model_copy(update=changes))


def test_numbers_that_do_not_fit_are_refused(directions, tmp_path):
    nan, long = directions.rows.clone(), directions.rows.clone()
    nan[1, 2], long[0] = float("nan"), long[0] * 1.01
    inf = directions.eigenvalues.clone()
    inf[0] = float("inf")
    cases = {
        "values that are not numbers": [replace(directions, rows=nan), replace(directions, eigenvalues=inf)],
        "the length 1": [replace(directions, rows=long), replace(directions, rows=torch.zeros_like(long))],
        "no table": [replace(directions, rows=directions.rows[0]), replace(directions, rows=torch.zeros(0, 12))],
        "eigenvalues are not 3": [replace(directions, eigenvalues=directions.eigenvalues[:2])],
        "belong to SeFa": [replace(directions, eigenvalues=None), damaged(directions, kind="interfacegan")],
        "2 names": [damaged(directions, names=("a", "b"))],
        "1 ranges": [damaged(directions, ranges=((-1.0, 1.0),))],
        "ends before": [damaged(directions, ranges=((-1.0, 1.0), (2.0, -2.0), (0.0, 0.0)))],
        "not ascending": [damaged(directions, layers=(1, 0)), damaged(directions, layers=(1, 1))],
    }
    for words, wrong in cases.items():
        for one in wrong:
            path = save_directions(one, tmp_path / "d.safetensors")
            with pytest.raises(StyleRigError, match=words) as error:
                load_directions(path)
            assert error.value.code == "bad_directions"


def test_a_layer_that_the_generator_lacks_is_refused(generator, directions, tmp_path):
    path = save_directions(damaged(directions, layers=(0, 5)), tmp_path / "d.safetensors")
    with pytest.raises(StyleRigError, match="they move layer 5, but this generator has 5"):
        load_directions(path, generator)


GOOD = {"format": "directions-1", "kind": "sefa", "generator": "0" * 64, "layers": [0], "names": ["a"], "ranges": [[-3, 3]]}
ROWS = {"directions": torch.eye(12)[:1], "eigenvalues": torch.ones(1)}


def json_header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def written(header: str, tensors=ROWS) -> bytes:
    return save(tensors, {"stylerig": header})


WRONG_HEADERS = {
    "no header": save(ROWS),
    "no JSON": written("{"),
    "a list": written("[]"),
    "deep": written("[" * 100_000),
    "another format": written(json.dumps(GOOD | {"format": "rignet-1"})),
    "another kind": written(json.dumps(GOOD | {"kind": "magic"})),
    "no hash": written(json.dumps(GOOD | {"generator": "../../etc"})),
    "no layers": written(json.dumps(GOOD | {"layers": []})),
    "negative layers": written(json.dumps(GOOD | {"layers": [-1]})),
    "layers of text": written(json.dumps(GOOD | {"layers": "all"})),
    "long name": written(json.dumps(GOOD | {"names": ["a" * 65]})),
    "range without end": written(json.dumps(GOOD | {"ranges": [[-3, float("inf")]]})),
    "NaN range": written(json.dumps(GOOD | {"ranges": [[float("nan"), 3]]})),
    "more": written(json.dumps(GOOD | {"run": "me"})),
    "integers": written(json.dumps(GOOD), {"directions": torch.ones(1, 12, dtype=torch.int64), "eigenvalues": torch.ones(1)}),
    "no directions": written(json.dumps(GOOD), {"eigenvalues": torch.ones(1)}),
    "huge shape": json_header(b'{"directions":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'),
    "cut": written(json.dumps(GOOD))[:-10],
    "a pickle": b"\x80\x04cos\nsystem\n(S'touch x'\ntR.",
    "empty": b"",
}


def test_the_good_header_is_good(tmp_path):
    (tmp_path / "d").write_bytes(written(json.dumps(GOOD)))
    assert load_directions(tmp_path / "d").header.names == ("a",)


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_files_that_are_something_else_are_refused(name, tmp_path):
    (tmp_path / "d.safetensors").write_bytes(WRONG_HEADERS[name])
    with pytest.raises(StyleRigError) as error:
        load_directions(tmp_path / "d.safetensors")
    assert error.value.code == "bad_directions" and error.value.hint and len(error.value.message) < 500


def test_files_that_are_none_are_refused_at_once(tmp_path):
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(65 << 20)
    paths = [tmp_path / "missing", tmp_path, tmp_path / "huge"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        paths.append(tmp_path / "pipe")
    for path in paths:
        with pytest.raises(StyleRigError) as error:
            load_directions(path)
        assert error.value.code == "bad_directions"


def test_moving_adds_the_directions_on_their_layers_alone(generator, directions):
    w = generator.mapping(latents_from_seed(1, 2, 12), truncation_psi=0.7)
    amounts = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 3.0]])
    moved = move(generator, w, directions, amounts)
    expected = torch.stack((directions.rows[0] - 2 * directions.rows[1], 3 * directions.rows[2]))
    for layer in range(generator.num_ws):
        step = expected if layer in (0, 1, 4) else torch.zeros_like(expected)
        assert torch.allclose(moved[:, layer] - w[:, layer], step, atol=1e-6), layer
    assert torch.equal(move(generator, w, directions, [0.0, 0.0, 0.0]), w)
    assert torch.allclose(move(generator, w, directions, [1.0, -2.0, 0.0])[0], moved[0])


def test_a_stronger_eigenvalue_changes_the_styles_more(generator):
    """What the method promises, seen in the network itself: styles of the chosen layers, each channel by its own size."""
    found = find_directions(generator, [0, 1], 12)
    w = generator.mapping(latents_from_seed(1, 1, 12))
    changes = []
    for number in (0, 11):
        amounts = torch.eye(12)[number]
        moved = move(generator, w, found, amounts)
        layers = (generator.synthesis.b4.conv1, generator.synthesis.b8.conv0)
        steps = [(layer.affine(moved[:, place]) - layer.affine(w[:, place])) / (layer.affine.weight_gain * layer.affine.weight.norm(dim=1))
                 for place, layer in enumerate(layers)]  # fmt: skip
        changes.append(float(torch.cat(steps, dim=1).square().sum()))
    assert changes[0] == pytest.approx(float(found.eigenvalues[0]), rel=1e-3)
    assert changes[1] == pytest.approx(float(found.eigenvalues[11]), rel=1e-3, abs=1e-6)
    assert changes[0] > 2 * changes[1]


def test_progan_moves_along_the_sphere_of_its_w():
    generator = lively(Generator.create(ProGANConfig(**SIZES), seed=2))
    found = find_directions(generator, [0], 2)
    w = generator.mapping(latents_from_seed(1, 3, 12))
    moved = move(generator, w, found, [2.0, 0.0])
    assert torch.allclose(moved.square().mean(dim=2), torch.ones(3, 1), atol=1e-4)
    expected = torch.nn.functional.normalize(w[:, 0] + 2 * found.rows[0], dim=1)
    assert torch.allclose(torch.nn.functional.normalize(moved[:, 0], dim=1), expected, atol=1e-5)
    assert (generator.synthesis(moved) - generator.synthesis(w)).abs().max() > 1e-3


def test_directions_in_z_do_not_move_w(generator):
    header = Header(kind="interfacegan", space="z", generator="0" * 64, layers=(0,), names=("age",), ranges=((-3, 3),))
    with pytest.raises(ValueError, match="in Z"):
        move(generator, generator.mapping(latents_from_seed(1, 1, 12)), Directions(header, torch.eye(12)[:1]), [1.0])
