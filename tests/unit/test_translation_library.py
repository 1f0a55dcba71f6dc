"""Looks by name: which file is meant, and what is said where none is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from models.errors import StyleRigError
from models.translation import make_look, save_look
from models.translation.config import ResNetConfig, StarGANConfig
from models.translation.files import digest
from models.translation.library import FOLDER_VARIABLE, SHIPPED, LookLibrary

PAINTING = ResNetConfig(width=2, blocks=1)


def write(folder: Path, name: str, config=PAINTING, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    return save_look(make_look(config), folder / f"{name}.safetensors")


def test_names_are_those_of_all_folders_and_the_first_comes_first(tmp_path):
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    first = write(own, "drawing", seed=1)
    write(shipped, "drawing", seed=2)
    write(shipped, "attributes", StarGANConfig(width=2, blocks=1, label_sets=(("beard", "young"),)))
    (shipped / "attributes.md").write_text("# attributes\n\nHair and beards.\n")
    (shipped / "broken.safetensors").write_bytes(b"no look")
    looks = LookLibrary([own, shipped, tmp_path / "absent"])
    found = {entry.name: entry for entry in looks.entries()}
    assert list(found) == ["attributes", "drawing"]
    assert found["attributes"].labels == ("beard", "young") and found["attributes"].title == "Hair and beards."
    assert found["drawing"].path == first and found["drawing"].sha256 == digest(first)


def test_a_hash_finds_its_file_under_another_name_and_refuses_another_file(tmp_path):
    first, second = write(tmp_path, "first", seed=1), write(tmp_path, "second", seed=2)
    looks = LookLibrary([tmp_path])
    assert looks.path_of("first") == first
    assert looks.path_of("first", digest(second)) == second
    assert looks.path_of("gone", digest(second)) == second
    with pytest.raises(StyleRigError, match="another than the one that was chosen") as error:
        looks.path_of("first", "0" * 64)
    assert error.value.code == "other_look"


def test_a_file_that_changes_is_read_again_and_one_that_stays_is_not(tmp_path):
    path = write(tmp_path, "painting", seed=1)
    looks, image = LookLibrary([tmp_path]), torch.rand(1, 3, 16, 16) * 2 - 1
    before = looks.get("painting")
    assert looks.get("painting") is before
    write(tmp_path, "painting", seed=2)
    os.utime(path, (1, 1))
    after = looks.get("painting")
    assert after is not before and not torch.equal(before(image), after(image))


def test_only_the_last_used_stay_in_memory(tmp_path):
    looks = LookLibrary([tmp_path])
    for number in range(6):
        write(tmp_path, f"look{number}", seed=number)
        looks.get(f"look{number}")
    assert len(looks.loaded) == 4
    kept = next(iter(looks.loaded.values()))
    assert looks.get("look2") is kept


@pytest.mark.parametrize("name", ["absent", "../first", "", "a/b", "x" * 100])
def test_names_that_there_are_not_say_what_there_is(tmp_path, name):
    write(tmp_path, "first")
    with pytest.raises(StyleRigError) as error:
        LookLibrary([tmp_path]).get(name)
    assert error.value.code == "unknown_look" and "first" in error.value.hint


def test_a_file_too_large_for_a_look_is_refused_without_reading_it(tmp_path):
    with open(tmp_path / "huge.safetensors", "wb") as file:
        file.truncate(1 << 34)
    looks = LookLibrary([tmp_path])
    assert looks.entries() == []
    with pytest.raises(StyleRigError, match="more than the"):
        looks.get("huge")


def test_an_empty_library_says_where_looks_go(tmp_path):
    with pytest.raises(StyleRigError) as error:
        LookLibrary([tmp_path / "mine"]).get("drawing")
    assert str(tmp_path / "mine") in error.value.hint


def test_the_folder_is_the_systems_or_the_persons(monkeypatch, tmp_path):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert LookLibrary().folders[0].name == "looks" and LookLibrary().folders[0].parent.name.lower() == "stylerig"
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert LookLibrary().folders == [tmp_path, SHIPPED]
