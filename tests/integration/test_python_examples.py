"""The examples of docs/python.md run, one after another, as a person would type them; those of Blender: tests/blender."""

from __future__ import annotations

import re

import pytest

from models.rigging import Rig
from tests.helpers import fake_rig
from tests.helpers.looks import library_in

PAGE = fake_rig.ROOT / "docs" / "python.md"
EXAMPLES = [found for found in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL) if "bpy" not in found]


@pytest.fixture(autouse=True)
def looks(tmp_path):
    (tmp_path / "looks").mkdir()
    with library_in(tmp_path / "looks"):
        yield


def run(folder, monkeypatch) -> dict:
    monkeypatch.chdir(folder)
    names: dict = {}
    for example in EXAMPLES:
        exec(compile(example, str(PAGE), "exec"), names)
    assert names["portrait"].seed == 7 and names["drawing"]["Combined"].shape == (64, 64, 4)
    for name, channels in re.findall(r'^frame\["(\w+)"\]\.shape +# \(64, 64, (\d)\)', PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        assert names["frame"][name].shape == (64, 64, int(channels)), name
    return names


def test_the_examples_run(tmp_path, monkeypatch):
    """Over a rig that needs no weights, with the expressions of the real one."""
    rig = fake_rig.load()
    rig.face.expression_names = ("jawOpen", *rig.face.expression_names[1:])
    monkeypatch.setattr(Rig, "load", lambda *_: rig)
    run(tmp_path, monkeypatch)
    from backend.cli.render import read_rig_file

    assert len(read_rig_file(tmp_path / "shot.json").frames) == 11
    assert (tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_examples_run_with_the_rig_that_ships(tmp_path, monkeypatch):
    names = run(tmp_path, monkeypatch)
    assert names["rig"].weights_hash == names["portrait"].weights_hash
    plain = names["rig"].frame(names["portrait"], names["Controls"](), size=64, passes=())
    assert abs(plain["Combined"] - names["drawing"]["Combined"]).max() > 0.01
