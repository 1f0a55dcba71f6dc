"""Sets are joined whole, without anybody changing sides."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backend.cli import main
from models.data.image_folder import open_folder
from models.data.image_set import is_held_out
from models.errors import StyleRigError
from models.synthetic.dataset import picture_path
from models.synthetic.join import join


def write(folder: Path, size: int, people: int, there: list[int], **changes) -> Path:
    index = {"format": 3, "size": size, "large_size": size, "shots": 4, "count": 4 * people, "latents": 5, "layout": {}, "parameters": {},
             "head": "head-2", "seed": size, **changes}  # fmt: skip
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(index))
    for number in there:
        path = picture_path(folder, number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d" % number)
        np.savez(path.with_suffix(".npz"), size=size, number=number)
    return folder


def test_pictures_keep_their_truth_and_people_their_side(tmp_path, capsys):
    first = write(tmp_path / "a", 64, 40, [0, 1, 124, 125, 159])
    second = write(tmp_path / "b", 128, 10, [3, 39])
    assert main.main(["data", "join", str(first), str(second), "--output", str(tmp_path / "both")]) == 0
    assert capsys.readouterr().out == f"7 pictures in {tmp_path / 'both'}\n"
    source = open_folder(tmp_path / "both")
    assert source.size == 64 and source.larger_sizes == [128] and "seed" not in source.index
    numbers = [entry.number for entry in source.entries()]
    assert numbers == [0, 1, 124, 125, 159, 256 + 3, 256 + 39]
    for entry in source.entries():
        truth = np.load(entry.truth)
        own = entry.number - 256 * (entry.number >= 256)
        assert int(truth["number"]) == own and truth["size"] == (128 if entry.number >= 256 else 64)
        assert is_held_out(source.people(entry.number)) == is_held_out(own // 4)
    assert max(numbers) < source.index["count"]


def test_joining_again_takes_what_is_new(tmp_path):
    first, second = write(tmp_path / "a", 64, 1, [0]), write(tmp_path / "b", 64, 1, [0])
    assert join([first, second], tmp_path / "both") == 2
    (place := picture_path(second, 1)).write_bytes(b"new")
    np.savez(place.with_suffix(".npz"), size=64, number=1)
    kept = picture_path(tmp_path / "both", 0).stat().st_mtime_ns
    assert join([first, second], tmp_path / "both") == 3
    assert picture_path(tmp_path / "both", 129).read_bytes() == b"new" and picture_path(tmp_path / "both", 0).stat().st_mtime_ns == kept


def test_other_sets_are_refused(tmp_path):
    first = write(tmp_path / "a", 64, 1, [0])
    with pytest.raises(StyleRigError, match="latents differ"):
        join([first, write(tmp_path / "b", 64, 1, [0], latents=6)], tmp_path / "both")
    with pytest.raises(StyleRigError, match="no set of whole heads"):
        join([first, write(tmp_path / "c", 64, 1, [0], format=2)], tmp_path / "both")
    assert not (tmp_path / "both").exists()
