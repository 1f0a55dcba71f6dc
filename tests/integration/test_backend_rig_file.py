"""The rig file format as documented: its example renders, and its JSON schema is what the backend accepts."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from backend.cli import main
from backend.server.schema import parse_rig_file
from models.errors import StyleRigError
from tests.helpers import fake_rig
from tests.helpers.json_schema import problems

DOCS = Path(__file__).resolve().parents[2] / "docs"
[EXAMPLE] = re.findall(r"```json\n(.*?)```", (DOCS / "rig-file.md").read_text(encoding="utf-8"), re.DOTALL)
NAMES = ("jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R")
WRONG = {
    "an unknown name": ("output", "sizes", 3),
    "a size too large": ("output", "size", 4096),
    "a string for a number": ("output", "size", "256"),
    "no frames": ("frames", None, []),
    "a scale out of range": ("frames", None, [{"scale": 9}]),
    "an unknown pass": ("output", "passes", ["Normals"]),
    "a weight out of range": ("frames", None, [{"expression": {"jawOpen": 11}}]),
}


def rig(_device: str = "cpu"):
    """The fake rig with expressions that the example names."""
    made = fake_rig.load()
    return dataclasses.replace(made, face=dataclasses.replace(made.face, expression_names=NAMES))


def schema() -> dict:
    return json.loads((DOCS / "rig-file.schema.json").read_text(encoding="utf-8"))


def test_the_schema_is_what_the_command_prints(capsys):
    assert main.main(["schema"]) == 0
    assert capsys.readouterr().out == (DOCS / "rig-file.schema.json").read_text(encoding="utf-8")


def test_the_example_fits_schema_and_backend():
    assert problems(json.loads(EXAMPLE), schema(), schema()) == []
    assert parse_rig_file(EXAMPLE, "rig-file.md").output.size == 256


def test_the_example_renders(tmp_path):
    path = tmp_path / "shot.json"
    path.write_text(EXAMPLE)
    for form in ("png", "exr"):
        assert main.main(["render", str(path), "--output", str(tmp_path / form), "--format", form], rig_loader=rig) == 0
        assert len(list((tmp_path / form).glob(f"frame_*.{form}"))) == len(json.loads(EXAMPLE)["frames"])
    with Image.open(tmp_path / "png" / "frame_0003.png") as picture:
        assert picture.size == (256, 256)


@pytest.mark.parametrize("case", WRONG)
def test_schema_and_backend_refuse_alike(case):
    part, name, value = WRONG[case]
    content = json.loads(EXAMPLE)
    if name is None:
        content[part] = value
    else:
        content[part][name] = value
    assert problems(content, schema(), schema())
    with pytest.raises(StyleRigError, match="not a rig file"):
        parse_rig_file(json.dumps(content), "shot.json")
