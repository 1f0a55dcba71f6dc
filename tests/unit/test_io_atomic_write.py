"""Files appear whole or not at all, and nobody can place something where they are begun."""

from __future__ import annotations

import os

import pytest

from models.errors import StyleRigError
from models.io import atomic_write
from models.io.atomic_write import write_atomic


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"new", lambda path: path.write_bytes(b"new")])
def test_a_file_is_written_or_replaced_whole(tmp_path, content):
    target = tmp_path / "deep" / "frame.png"
    for _ in range(2):
        assert write_atomic(target, content) == target
        assert target.read_bytes() == b"new" and names(target.parent) == ["frame.png"]


def test_a_writer_gets_a_path_with_the_suffix(tmp_path):
    seen = []
    write_atomic(tmp_path / "film.mp4", lambda path: seen.append(path))
    write_atomic(tmp_path / "film.mp4", lambda path: seen.append(path))
    assert {path.suffix for path in seen} == {".mp4"} and {path.parent for path in seen} == {tmp_path}
    assert seen[0] != seen[1]


def test_the_longest_name_that_a_folder_takes(tmp_path):
    target = tmp_path / ("x" * 251 + ".png")
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), ValueError("an encoder's"), KeyboardInterrupt()])
def test_nothing_is_left_behind_and_the_old_file_stays(tmp_path, failure):
    target = tmp_path / "frame.png"
    target.write_bytes(b"old")

    def half(path):
        path.write_bytes(b"ha")
        raise failure

    with pytest.raises(StyleRigError if isinstance(failure, OSError) else type(failure)):
        write_atomic(target, half)
    assert names(tmp_path) == ["frame.png"] and target.read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("content", [b"new", lambda path: path.write_bytes(b"new")])
def test_planted_links_are_not_followed(tmp_path, monkeypatch, content):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    # Even if the name were known: a link there is refused, and neither is touched.
    monkeypatch.setattr(atomic_write, "temporary_name", lambda suffix: f".known{suffix}")
    (tmp_path / ".known.png").symlink_to(victim)
    with pytest.raises(StyleRigError, match="Cannot write"):
        write_atomic(tmp_path / "frame.png", content)
    assert victim.read_bytes() == b"precious" and names(tmp_path) == [".known.png", "victim"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_at_the_place_itself_is_replaced(tmp_path):
    victim, target = tmp_path / "victim", tmp_path / "frame.png"
    victim.write_bytes(b"precious")
    target.symlink_to(victim)
    write_atomic(target, b"new")
    assert victim.read_bytes() == b"precious" and target.read_bytes() == b"new" and not target.is_symlink()
