"""Files of others are regular and of bounded size before anything is read from them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from models.errors import escaped
from models.io.regular_file import UnreadableFile, open_regular, read_regular, read_text


def reason(path, most_bytes: int = 1000) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_regular(path, most_bytes)
    assert escaped(str(path)) in caught.value.message and caught.value.hint
    return caught.value.reason


def test_a_file_within_the_limit_is_read_through_links_too(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"0123456789")
    assert read_regular(file, 10) == b"0123456789"
    with open_regular(file, 10) as opened:
        assert opened.read(3) == b"012"
    if os.name != "nt":
        (tmp_path / "link").symlink_to(file)
        assert read_regular(tmp_path / "link", 10) == b"0123456789"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_text_by_its_byte_order_mark(tmp_path, encoding):
    (tmp_path / "a.toml").write_bytes("name = '日本'".encode(encoding))
    assert read_text(tmp_path / "a.toml", 100) == "name = '日本'"


def test_what_is_no_text(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xe9t\xe9")
    with pytest.raises(UnreadableFile, match="it is no text"):
        read_text(tmp_path / "a.toml", 100)


def test_what_is_missing_too_large_or_a_folder(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    assert "10 bytes, more than the 9" in reason(tmp_path / "a.bin", 9)
    assert reason(tmp_path) == "it is a folder"
    assert "No such file" in reason(tmp_path / "none")
    assert reason(Path(f"{tmp_path}/a\0b"))
    assert reason(tmp_path / ("x" * 5000))


@pytest.mark.skipif(os.name == "nt", reason="no pipes and devices among Windows's files")
def test_pipes_sockets_and_devices_do_not_hold_up(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "pipe") == "it is a pipe"
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        assert reason(Path(device)) == "it is a device"
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert reason(Path("socket")) == "it is a socket"
    (tmp_path / "turns").symlink_to(tmp_path / "turns")
    assert reason(tmp_path / "turns")


@pytest.mark.skipif(os.name == "nt", reason="no pipes among Windows's files")
def test_a_pipe_that_takes_a_file_s_place_at_the_last_moment(tmp_path, monkeypatch):
    file, found = tmp_path / "a.bin", os.stat
    file.write_bytes(b"0")

    def swapped(path, *arguments, **keywords):
        result = found(path, *arguments, **keywords)
        if Path(path) == file:
            file.unlink()
            os.mkfifo(file)
        return result

    monkeypatch.setattr(os, "stat", swapped)
    assert reason(file) == "it is a pipe"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_file_that_hides_its_size(tmp_path):
    assert os.stat("/proc/self/maps").st_size == 0
    assert "another size" in reason(Path("/proc/self/maps"))
