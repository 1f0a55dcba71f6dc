"""Attributes by name: what they move, how far they go, whose they are."""

from __future__ import annotations

import pytest
import torch

from models.editing.directions import Directions, Header, generator_hash, load_directions, save_directions
from models.editing.sliders import attribute_ranges, check_usable, shipped_directions, slide
from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed
from models.generators.config import StyleGAN2Config
from tests.data.official_format import lively

SIZES = {"resolution": 16, "z_dim": 12, "w_dim": 12, "mapping_layers": 2, "channels": {4: 10, 8: 8, 16: 6}}


@pytest.fixture(scope="module")
def generator() -> Generator:
    return lively(Generator.create(StyleGAN2Config(**SIZES), seed=2))


def attributes(made_for: Generator, **changes) -> Directions:
    """Age on all layers by units of 4, a beard on layer 1."""
    entries = {"kind": "attributes", "generator": generator_hash(made_for), "layers": (0, 1, 2, 3, 4), "names": ("age", "beard"),
               "row_layers": ((0, 1, 2, 3, 4), (1,)), "ranges": ((-1, 1), (0, 2)), "units": (4.0, 0.5)}  # fmt: skip
    return Directions(Header(**entries | changes), torch.eye(12)[:2])


def moved(generator, sets, amounts) -> torch.Tensor:
    w = generator.mapping(latents_from_seed(1, 1, 12), truncation_psi=0.7)
    return (slide(generator, w, sets, amounts) - w)[0]


def test_each_attribute_moves_its_own_layers_by_its_own_unit(generator):
    change = moved(generator, [attributes(generator)], {"age": -0.5, "beard": 2})
    assert torch.allclose(change[:, 0], torch.full((6,), -2.0), atol=1e-5)  # everywhere: all layers is an edit in W
    assert torch.allclose(change[:, 1], torch.tensor([0, 1.0, 0, 0, 0, 0]), atol=1e-5)
    assert not change[:, 2:].any()


def test_amounts_end_where_faces_end(generator):
    sets = [attributes(generator)]
    assert torch.equal(moved(generator, sets, {"age": 7, "beard": -1}), moved(generator, sets, {"age": 1, "beard": 0}))
    assert not moved(generator, sets, {"age": 0}).any() and not moved(generator, sets, {}).any()


def test_of_two_with_one_name_the_later_counts(generator):
    other = attributes(generator, names=("age", "hat"), ranges=((-3, 3), (-1, 1)), units=())
    sets = [attributes(generator), other]
    assert attribute_ranges(sets) == {"age": (-3, 3), "beard": (0, 2), "hat": (-1, 1)}
    change = moved(generator, sets, {"age": 3, "beard": 1})
    assert change[0, 0] == pytest.approx(3, abs=1e-5) and change[1, 1] == pytest.approx(0.5, abs=1e-5)


def test_an_unknown_attribute_is_told(generator):
    with pytest.raises(StyleRigError, match="no attribute 'bears'") as error:
        moved(generator, [attributes(generator)], {"bears": 0.0})
    assert error.value.code == "unknown_attribute" and "Did you mean 'beard'?" in error.value.hint
    with pytest.raises(StyleRigError) as error:
        moved(generator, [], {"age": 1.0})
    assert "No directions" in error.value.hint


def test_the_file_keeps_layers_and_units_of_each(generator, tmp_path):
    given = attributes(generator)
    read = load_directions(save_directions(given, tmp_path / "d.safetensors"), generator)
    assert read.header == given.header and torch.equal(read.rows, given.rows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"row_layers": ((0,),)}, "layers or units for another number"),
        ({"units": (1.0,)}, "layers or units for another number"),
        ({"row_layers": ((1, 0), (1,))}, "not ascending"),
        ({"layers": (0, 1)}, "moves a layer that the file does not name"),
    ],
)
def test_entries_that_do_not_fit_are_refused(changes, words, generator, tmp_path):
    path = save_directions(attributes(generator, **changes), tmp_path / "d.safetensors")
    with pytest.raises(StyleRigError, match=words):
        load_directions(path)


def test_a_folder_has_directions_of_its_own_generators_alone(generator, tmp_path):
    assert shipped_directions(generator, tmp_path) is None
    save_directions(attributes(generator, generator="0" * 64), tmp_path / "a-directions.safetensors")
    assert shipped_directions(generator, tmp_path) is None
    save_directions(attributes(generator), tmp_path / "b-directions.safetensors")
    assert shipped_directions(generator, tmp_path).header.names == ("age", "beard")
    (tmp_path / "0-directions.safetensors").write_bytes(b"no")
    with pytest.raises(StyleRigError, match="no safetensors file"):
        shipped_directions(generator, tmp_path)


def test_directions_in_z_are_no_sliders(generator):
    check_usable(attributes(generator), "d")
    with pytest.raises(StyleRigError, match="in Z"):
        check_usable(attributes(generator, space="z"), "d")
