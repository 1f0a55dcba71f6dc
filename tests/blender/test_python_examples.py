"""The examples of docs/python.md that are for Blender run, one after another, as in a script."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
EXAMPLES = [found for found in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL) if "bpy" in found]


def test_the_examples_run(empty_scene, server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for example in EXAMPLES:
        exec(compile(example, str(PAGE), "exec"), names)
    frames = json.loads((tmp_path / "shot.json").read_text(encoding="utf-8"))["frames"]
    assert [frame["expression"]["jawOpen"] for frame in frames] == pytest.approx([0, 0.3, 0.6])
    assert frames[0]["rotation"][0] < 0 < frames[2]["rotation"][0]
    assert len(list((tmp_path / "shot").rglob("*.png"))) == 3
