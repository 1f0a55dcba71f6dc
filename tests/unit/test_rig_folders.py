"""A person's own rigs are found by the names of their folders, beside what ships."""

from __future__ import annotations

import sys

import pytest

from backend.server.inference import rig_library
from models.errors import StyleRigError
from models.io.user_folder import user_folder
from models.rigging import folders


@pytest.fixture
def rigs(tmp_path, monkeypatch):
    """Shipped: studio and stylerig. Own: ffhq, one that is called like a shipped one, and what is no rig."""
    shipped, own = tmp_path / "weights", tmp_path / "rigs"
    for file in (shipped / "stylerig-generator.safetensors", shipped / "studio-generator.safetensors",
                 own / "ffhq" / "trained-generator.safetensors", own / "studio" / "x-generator.safetensors",
                 own / "notes" / "a.txt", own / "bad;name" / "x-generator.safetensors"):  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    (own / "lone-generator.safetensors").write_bytes(b"")
    monkeypatch.setattr(folders, "WEIGHTS", shipped)
    monkeypatch.setenv(folders.FOLDER_VARIABLE, str(own))
    return shipped, own


def test_own_rigs_come_after_what_ships_and_never_in_its_place(rigs):
    shipped, own = rigs
    assert folders.all_rigs() == {
        "studio": folders.RigPlace(shipped, "studio"),
        "stylerig": folders.RigPlace(shipped, "stylerig"),
        "ffhq": folders.RigPlace(own / "ffhq", "trained"),
    }


def test_the_library_loads_each_from_its_folder(rigs):
    _, own = rigs
    asked = []

    def load(device, name=None, folder=None, called=None):
        asked.append((device, name, folder, called))
        return object()

    library = rig_library(device="cuda", load=load)
    assert list(library.rigs) == ["studio", "stylerig", "ffhq"]
    library.named("ffhq")
    assert asked == [("cuda", "trained", own / "ffhq", "ffhq")]
    brought = rig_library(load=load, folder=own / "ffhq", called="hero")
    assert brought.places == {"hero": folders.RigPlace(own / "ffhq", "trained")}


def test_nothing_there_is_told_to_the_first_who_asks(rigs, monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "WEIGHTS", tmp_path / "none")
    library = rig_library()
    assert library.places == {}
    with pytest.raises(StyleRigError, match="no weights in"):
        library.named(None)


@pytest.mark.parametrize("platform, variables, expected", [
    ("linux", {"XDG_DATA_HOME": "/data"}, "/data/stylerig/rigs"), ("darwin", {"HOME": "/me"}, "/me/Library/Application Support/StyleRig/rigs"),
    ("win32", {"APPDATA": "/roaming"}, "/roaming/StyleRig/rigs"),
    ("linux", {"OURS": "/mine"}, "/mine")])  # fmt: skip
def test_where_a_person_keeps_them(platform, variables, expected, monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert user_folder("rigs", "OURS").as_posix() == expected
