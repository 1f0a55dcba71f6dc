"""Checkpoints of rosinality's stylegan2-pytorch: names and shapes, both of torch's formats, damage."""

from __future__ import annotations

import argparse
import random
import re
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import StyleRigError
from models.generators import Generator, latents_from_seed, load_generator
from tests.data.official_format import lively
from tests.data.rosinality_format import SMALL, theirs

SECONDS = 5.0


def generator() -> Generator:
    return lively(Generator.create(SMALL, seed=3))


def write(path: Path, content: Any, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_a_converted_checkpoint_is_read_whole(zipped, tmp_path):
    ours = generator()
    path = write(tmp_path / "network.pt", {"g_ema": theirs(ours), "latent_avg": ours.w_avg}, zipped)
    loaded = load_generator(path)
    assert loaded.config == SMALL and "rosinality" in loaded.metadata["kind"]
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in loaded.state_dict().items())
    w = loaded.mapping(latents_from_seed(1, 2, 6), truncation_psi=0.5)
    assert torch.equal(loaded.synthesis(w), ours.synthesis(w))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_checkpoint_gets_an_average(zipped, tmp_path):
    ours = generator()
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], betas=(0.0, 0.99))
    parameter.sum().backward()
    optimizer.step()
    content = {"g": {"x": torch.zeros(1)}, "d": {"y": torch.zeros(1)}, "g_ema": theirs(ours),
               "g_optim": optimizer.state_dict(), "args": argparse.Namespace(size=16, lr=0.002, tune=[1, 2]),
               "ada_aug_p": 0.1}  # fmt: skip
    loaded = load_generator(write(tmp_path / "training.pt", content, zipped))
    expected = ours.mapping.single(latents_from_seed(0, 4096, 6)).mean(0)
    assert torch.allclose(loaded.w_avg, expected, atol=1e-6)
    assert torch.equal(loaded.synthesis.b16.conv0.weight, ours.synthesis.b16.conv0.weight)


def refusal(path: Path) -> str:
    start = time.process_time()
    with pytest.raises(StyleRigError) as caught:
        load_generator(path)
    assert time.process_time() - start < SECONDS
    assert str(path) in caught.value.message and caught.value.code == "bad_generator"
    return caught.value.message.split(": ", 1)[1]


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("network/data.pkl", b"\0" * 50_000_000)
    assert "packed zip" in refusal(path)
    packed = path.read_bytes()
    # The same, said to be stored: its size cannot be true.
    path.write_bytes(re.sub(b"(PK\x03\x04....)\x08|(PK\x01\x02......)\x08", rb"\1\2\0", packed, flags=re.DOTALL))
    assert "more than its own size" in refusal(path)


def test_entries_that_repeat_or_are_missing(tmp_path):
    path = write(tmp_path / "network.pt", {"g_ema": theirs(generator())})
    for missing, reason in (("data/3", "'data/3' is missing"), ("data.pkl", "without a torch checkpoint")):
        target = tmp_path / "less.pt"
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
            for entry in source.infolist():
                if not entry.filename.endswith("/" + missing):
                    archive.writestr(entry.filename, source.read(entry))
        assert reason in refusal(target)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("network/data/3", b"1234567")
    assert "bytes, expected" in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_and_flipped(zipped, tmp_path):
    source = write(tmp_path / "network.pt", {"g_ema": theirs(generator()), "latent_avg": torch.zeros(6)}, zipped)
    data, path = source.read_bytes(), tmp_path / "damaged.pt"
    for part in range(40):
        path.write_bytes(data[: len(data) * part // 40])
        assert refusal(path)
    draw, refused = random.Random(3), 0
    for _ in range(200):
        changed = bytearray(data)
        place = draw.randrange(len(changed) * 8)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        start = time.process_time()
        try:
            load_generator(path)
        except StyleRigError as error:
            assert str(path) in error.message
            refused += 1
        assert time.process_time() - start < SECONDS
    assert refused > 40


def test_names_that_no_checkpoint_needs(tmp_path):
    class Trap:
        def __reduce__(self):
            return exec, ("import pathlib; pathlib.Path('trap').touch()",)

    for zipped in (True, False):
        path = write(tmp_path / "trap.pt", {"g_ema": theirs(generator()), "args": Trap()}, zipped)
        assert "builtins.exec" in refusal(path) or "__builtin__.exec" in refusal(path)
    assert not Path("trap").exists()


@pytest.mark.parametrize("change, reason", [
    ({"convs.0.conv.blur.kernel": torch.ones(4, 4) / 4}, "[1, 3, 3, 1]"),
    ({"convs.0.conv.weight": torch.zeros(2, 4, 5, 3, 3)}, "(2, 4, 5, 3, 3)"),
    ({"convs.7.conv.weight": torch.zeros(1, 4, 5, 3, 3)}, "does not belong"),
    ({"style.2.weight": torch.zeros(6, 7)}, "mapping network is not whole"),
    ({"to_rgb1.conv.weight": torch.zeros(1, 1, 5, 1, 1)}, "b4.torgb.weight has the shape"),
    ({"encoder.weight": torch.zeros(1)}, "'encoder.weight' is no part"),
    ({"convs.0.activate.bias": torch.full((4,), float("inf"))}, "not numbers"),
    ({"input.input": "text"}, "no StyleGAN generator"),
])  # fmt: skip
def test_states_that_do_not_fit(change, reason, tmp_path):
    path = write(tmp_path / "network.pt", {"g_ema": theirs(generator()) | change})
    assert reason in refusal(path)


def test_what_is_no_generator_is_refused_by_name(tmp_path):
    judge = {"convs.0.0.weight": torch.zeros(2)}
    assert "discriminator only" in refusal(write(tmp_path / "a.pt", {"d": judge}))
    assert "no StyleGAN generator" in refusal(write(tmp_path / "b.pt", {"epoch": 3}))
    assert "no checkpoint" in refusal(write(tmp_path / "c.pt", torch.zeros(3)))


def test_a_small_file_cannot_ask_for_a_large_network(tmp_path):
    state = theirs(generator())
    state["to_rgb1.conv.weight"] = torch.zeros(1, 3, 1024, 1, 1)
    state["to_rgbs.0.conv.weight"] = torch.zeros(1, 3, 1024, 1, 1)
    assert "ask for" in refusal(write(tmp_path / "network.pt", {"g_ema": state}))
