"""Files that are no looks, are damaged, or mean harm: refused in words, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct

import pytest
import torch
from safetensors.torch import save

from models.errors import StyleRigError
from models.translation import is_look, load_look
from tests.helpers import translation_reference as reference
from tests.helpers.damage import zip_with_a_long_list
from tests.helpers.hostile_files import DAMAGES, stored_zip
from tests.unit.test_io_pickles import HOSTILE
from tests.unit.test_translation_published import every_layout

BLOCKS = reference.resnet_state(2, 2)


class Shell:
    def __reduce__(self):
        return os.system, ("touch /tmp/stylerig-was-here",)


def refused(path, data: bytes | dict) -> StyleRigError:
    """The error of a file, which is in words and names the file."""
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        torch.save(data, path)
    with pytest.raises(StyleRigError) as caught:
        load_look(path)
    assert str(path) in caught.value.message and caught.value.hint and caught.value.message.isprintable()
    return caught.value


@pytest.mark.parametrize("name", every_layout())
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(tmp_path, name, damage):
    """A file is read or refused; whatever is read is finite."""
    path = reference.save_published(every_layout()[name], tmp_path / name)
    good = path.read_bytes()
    for seed in range(4):
        path.write_bytes(DAMAGES[damage](bytearray(good), random.Random(f"{name}{seed}"), good[::-1]))
        is_look(path)
        try:
            look = load_look(path)
        except StyleRigError as error:
            assert str(path) in error.message and error.hint
        else:
            assert all(value.isfinite().all() for value in look.network.state_dict().values())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path, name):
    for file, data in (("a.pth", HOSTILE[name]), ("b.pth", stored_zip({"a/data.pkl": HOSTILE[name]}))):
        refused(tmp_path / file, data)
        assert not is_look(tmp_path / file)


def test_code_is_not_run(tmp_path):
    error = refused(tmp_path / "latest_net_G.pth", {"model.1.weight": torch.zeros(2, 3, 7, 7), "x": Shell()})
    assert "never run" in error.hint
    refused(tmp_path / "b.pth", pickle.dumps(Shell()))
    assert not os.path.exists("/tmp/stylerig-was-here")


def test_hostile_zips(tmp_path):
    refused(tmp_path / "nothing.pth", stored_zip({"a/data.pkl": b""}))
    refused(tmp_path / "bomb.pth", stored_zip({"a/data.pkl": bytes(5_000_000)}, packed=True))
    refused(tmp_path / "long.pth", zip_with_a_long_list("a/data.pkl", b"N."))


def safetensors(header: object) -> bytes:
    return save({"a": torch.zeros(2)}, {"stylerig": header if isinstance(header, str) else json.dumps(header)})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": "rignet-1"}, "'rignet-1'"),
        ({"format": "look-1"}, "configuration cannot be used|not a look"),
        ({"format": "look-1", "config": {"kind": "cyclegan", "width": 10**9}}, "width"),
        ({"format": "look-1", "config": {"kind": "cyclegan", "blocks": 32, "width": 1024}}, "is missing"),
        ({"format": "look-1", "config": {"kind": "stargan", "label_sets": [["x" * 500]]}}, "label_sets"),
        ("[" * 100_000, "damaged"),
        ("[]", "not a table"),
        ("9" * 2_000_000, "longer than any"),
    ],
)
def test_hostile_headers(tmp_path, header, message):
    error = refused(tmp_path / "x.safetensors", safetensors(header))
    assert any(part in error.message for part in message.split("|"))


def test_broken_safetensors(tmp_path):
    refused(tmp_path / "a.safetensors", struct.pack("<Q", 2**62) + b"{")
    refused(tmp_path / "b.safetensors", struct.pack("<Q", 200_016) + b'{"__metadata__":' + b"[" * 200_000)
    whole = safetensors({"format": "look-1"})
    refused(tmp_path / "c.safetensors", whole[:-4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.4.weight": torch.zeros(4, 2, 5, 5)}, "model.4.weight has the shape"),
        ({"model.4.weight": torch.full((4, 2, 3, 3), float("nan"))}, "not numbers"),
        ({"extra.weight": torch.zeros(1)}, "does not belong"),
        ({"model.7.weight": None}, "model.7.weight is missing"),
        ({"model.1.weight": torch.zeros(2, 6, 7, 7)}, "inputs"),
        ({"model.1.weight": torch.zeros(2)}, "shape (2,)"),
        ({"model.10.conv_block.1.weight": None, "model.11.conv_block.1.weight": None}, "blocks are missing"),
    ],
)
def test_numbers_that_do_not_fit(tmp_path, change, message):
    state = {name: value for name, value in {**BLOCKS, **change}.items() if value is not None}
    assert message in refused(tmp_path / "latest_net_G.pth", state).message
    assert is_look(tmp_path / "latest_net_G.pth")


def test_one_storage_behind_many_tensors(tmp_path):
    """A small file whose views add up to more numbers than it has."""
    shared = torch.zeros(100_000)
    state = BLOCKS | {f"x.{index}": shared[index:] for index in range(50)}
    assert "more than the file" in refused(tmp_path / "latest_net_G.pth", state).message


def test_parts_of_starganv2_that_are_missing(tmp_path):
    tables = reference.starganv2_state(image_size=32, width=2, most=4, downs=1)
    for part in tables:
        left = {name: table for name, table in tables.items() if name != part}
        error = refused(tmp_path / "1_nets_ema.ckpt", left)
        assert error.code == "bad_look"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model.0.weight": torch.zeros(4, 3, 4, 4), "model.11.weight": torch.zeros(1, 4, 4, 4)}, "CycleGAN's discriminator"),
        ({"net.0.weight": torch.zeros(4, 3, 1, 1), "net.5.weight": torch.zeros(1, 4, 1, 1)}, "discriminator"),
        ({f"{name}.weight": torch.zeros(1) for name in ("main.0", "conv1", "conv2")}, "StarGAN's discriminator"),
        ({"synthesis.b4.const": torch.zeros(4)}, "numbers such as 'synthesis.b4.const'"),
        ({"state": 1}, "no look"),
        ({}, "no look"),
    ],
)
def test_weights_of_another_kind(tmp_path, content, message):
    assert message in refused(tmp_path / "x.pth", content).message


def test_files_of_another_kind(tmp_path):
    assert "web page" in refused(tmp_path / "a.pth", b"<!DOCTYPE html><html></html>").message
    assert "Git LFS" in refused(tmp_path / "b.pth", b"version https://git-lfs.github.com/spec/v1\nsize 10\n").message
    assert "empty" in refused(tmp_path / "c.pth", b"").message
    assert "like no look" in refused(tmp_path / "d.pth", bytes(200)).message
    (tmp_path / "folder").mkdir()
    for path, code in ((tmp_path / "none.pth", "missing_look"), (tmp_path / "folder", "unreadable_file")):
        with pytest.raises(StyleRigError) as caught:
            load_look(path)
        assert caught.value.code == code
        assert not is_look(path)
