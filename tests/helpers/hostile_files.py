"""Files as nobody should send them: what is hostile by design, and good files damaged in every way that is cheap to think of."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save

from backend.protocol.image_texts import pack_recipe
from models.generators import Generator, save_generator
from models.translation import load_look, save_look
from tests.data.official_format import dumps, lively, official, official_names, snapshot, stylegan3_config
from tests.data.rosinality_format import SMALL, theirs
from tests.helpers.damage import zip_with_a_long_list
from tests.helpers.face_files import flame_entries, gnm_entries, write_bfm2009, write_bfm_h5, write_flame
from tests.helpers.translation_reference import resnet_state, starganv2_state
from tests.unit.test_io_pickles import HOSTILE

Damage = Callable[[bytearray, random.Random, bytes], bytes]
PICKLES = Path(__file__).parents[1] / "data" / "stylegan-pickles"


def small_mesh(count: int = 120) -> Any:
    """What the writers of face models ask of a mesh; no face, but enough for the readers, and small."""
    draw = torch.Generator().manual_seed(1)
    eyes = {name: (torch.arange(count) // 10 == index).float() for index, name in enumerate(("eye_L", "eye_R"))}
    polygons = torch.stack([torch.arange(count).roll(-step) for step in range(4)], dim=1)
    return SimpleNamespace(
        mean=torch.randn(count, 3, generator=draw), triangles=polygons[:, :3], quads=polygons, landmarks=torch.arange(68), groups=eyes,
        masks={"eyes": sum(eyes.values())},
    )  # fmt: skip


def good_files(folder: Path, mesh: Any) -> Iterator[tuple[str, str, bytes]]:
    """Names with suffixes, which reader they are for, and small files that it reads."""
    ours = lively(Generator.create(SMALL, seed=1))
    yield "stylegan2.pkl", "generator", dumps(snapshot(official(ours)))
    yield "stylegan3.pkl", "generator", dumps(snapshot(official(lively(Generator.create(stylegan3_config(), seed=1)))))
    yield "official.pkl", "generator", (PICKLES / "stylegan2-64.pkl").read_bytes()
    for zipped in (True, False):
        for name, content in (("theirs", {"g_ema": theirs(ours)}), ("whole", official(ours))):
            with official_names():
                torch.save(content, folder / "x.pt", _use_new_zipfile_serialization=zipped)
            yield f"{name}-{'zip' if zipped else 'legacy'}.pt", "generator", (folder / "x.pt").read_bytes()
    yield "ours.safetensors", "generator", save_generator(ours, folder / "x.safetensors", {}).read_bytes()
    yield "others.safetensors", "generator", save({name: value.contiguous() for name, value in theirs(ours).items()})
    for name, content in {"look.pth": resnet_state(1, 2, old=True), "look.ckpt": starganv2_state(32, 2, 4, 1)}.items():
        torch.save(content, folder / "x.pt")
        yield name, "look", (folder / "x.pt").read_bytes()
    yield "look.safetensors", "look", save_look(load_look(folder / "x.pt"), folder / "y.safetensors").read_bytes()
    header = {"stylerig": json.dumps({"format": "rignet-1"})}
    yield "rignet.safetensors", "network", save({"a": torch.zeros(3, 3)}, header)
    yield "flame.pkl", "face", write_flame(folder / "x.pkl", flame_entries(mesh, 150)).read_bytes()
    yield "bfm.mat", "face", write_bfm2009(folder / "x.mat", mesh).read_bytes()
    yield "bfm.h5", "face", write_bfm_h5(folder / "x.h5", mesh).read_bytes()
    for name, write in (("gnm", np.savez), ("packed-gnm", np.savez_compressed)):
        write(folder / "x.npz", **gnm_entries(mesh))
        yield f"{name}.npz", "face", (folder / "x.npz").read_bytes()
    yield "recipe.png", "recipe", picture(json.dumps({"portrait": {"seed": 1}, "frames": [{}]}).encode())
    yield "rig.json", "recipe", json.dumps({"portrait": {"seed": 1}, "frames": [{"expression": {"jawOpen": 1}}]}).encode()


def picture(recipe: bytes) -> bytes:
    texts = PngInfo()
    texts.add_text("StyleRigRecipe", pack_recipe(recipe.decode()))
    stream = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(stream, "PNG", pnginfo=texts)
    return stream.getvalue()


def cut(data: bytearray, draw: random.Random, _: bytes) -> bytes:
    return bytes(data[: draw.randrange(len(data))])


def flip(data: bytearray, draw: random.Random, _: bytes) -> bytes:
    for _ in range(draw.choice((1, 3, 20))):
        data[place(data, draw)] ^= 1 << draw.randrange(8)
    return bytes(data)


def huge(data: bytearray, draw: random.Random, _: bytes) -> bytes:
    """Sizes and offsets as large as they go, one less, or negative."""
    start = place(data, draw)
    number = draw.choice((b"\xff" * 4, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80", bytes(8), b"\xff" * 7 + b"\x7f"))
    data[start : start + len(number)] = number
    return bytes(data)


def repeat(data: bytearray, draw: random.Random, _: bytes) -> bytes:
    start, size = place(data, draw), draw.choice((1, 8, 100, 4000))
    return bytes(data[:start] + data[start : start + size] * draw.choice((2, 50)) + data[start + size :])


def drop(data: bytearray, draw: random.Random, _: bytes) -> bytes:
    start = place(data, draw)
    return bytes(data[:start] + data[start + draw.choice((1, 8, 100, 4000)) :])


def graft(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    """A piece of another file in the place of one of its own."""
    start, size, source = place(data, draw), draw.choice((8, 100, 4000)), draw.randrange(len(other))
    return bytes(data[:start] + other[source : source + size] + data[start + size :])


def place(data: bytearray, draw: random.Random) -> int:
    """Somewhere, mostly near an end: there are the headers."""
    return draw.choice((draw.randrange(len(data)), draw.randrange(min(len(data), 2000)), -draw.randrange(1, min(len(data), 2000))))


DAMAGES: dict[str, Damage] = {"cut": cut, "flip": flip, "huge": huge, "repeat": repeat, "drop": drop, "graft": graft}


def damaged(good: dict[str, bytes], name: str, damage: str, seed: int) -> bytes:
    draw = random.Random(f"{name} {damage} {seed}")
    return DAMAGES[damage](bytearray(good[name]), draw, good[draw.choice(sorted(good))])


def stored_zip(members: dict[str, bytes], packed: bool = False) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def matlab(*bodies: bytes) -> bytes:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM"
    return head + b"".join(struct.pack("<II", 15, len(body)) + body for body in bodies)


def array_header(shape: tuple, kind: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def json_header(text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + data


def matlab_bomb(size: int = 100 << 20) -> bytes:
    """An array of zeros that is wanted, packed to a thousandth."""
    flags, shape = struct.pack("<IIII", 6, 8, 6, 0), struct.pack("<IIii", 5, 8, 1, size // 8)
    name, tag = struct.pack("<II8s", 1, 7, b"shapeMU"), struct.pack("<II", 9, size)
    length = len(flags + shape + name + tag) + size
    packer = zlib.compressobj(1)
    return packer.compress(struct.pack("<II", 14, length) + flags + shape + name + tag) + packer.compress(bytes(size)) + packer.flush()


NESTED = b"[" * 200_000


def designed() -> dict[str, tuple[str, bytes]]:
    """Names with suffixes -> the reader that they are for, and what they hold."""
    bomb = matlab_bomb()
    return {
        **{f"{name}-{reader}.pkl".replace(" ", "-"): (reader, data)
           for name, data in HOSTILE.items() for reader in ("generator", "look", "face")},
        "zip-of-nothing.pt": ("generator", stored_zip({"a/data.pkl": b""})),
        "zip-bomb.pt": ("generator", stored_zip({"a/data.pkl": bytes(20_000_000)}, packed=True)),
        "zip-of-many.pt": ("generator", zip_with_a_long_list("a/data.pkl", b"N.")),
        "zip-names.pt": ("generator", stored_zip({"../../etc/data.pkl": b"\x80\x02N."})),
        "zip-deep.pt": ("generator", stored_zip({"a/data.pkl": HOSTILE["deep list"]})),
        "huge-header.safetensors": ("generator", struct.pack("<Q", 2**62) + b"{"),
        "nested.safetensors": ("generator", json_header(b'{"__metadata__":' + NESTED)),
        "nested-config.safetensors": ("generator", json_header(json.dumps(
            {"__metadata__": {"format": "stylerig-generator-1", "config": "[" * 100_000, "metadata": "{}"}}).encode())),
        "nested-rignet.safetensors": ("network", json_header(json.dumps({"__metadata__": {"stylerig": "[" * 100_000}}).encode())),
        "overlapping.safetensors": ("generator", json_header(json.dumps({
            f"t{index}": {"dtype": "F32", "shape": [250], "data_offsets": [0, 1000]} for index in range(5000)}).encode(), bytes(1000))),
        "large-shape.safetensors": ("generator", json_header(
            b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}')),
        "bomb.mat": ("face", matlab(bomb)),
        "bombs.mat": ("face", matlab(*[bomb] * 50)),
        "cells.mat": ("face", matlab(*[zlib.compress(struct.pack("<IIIIII", 14, 48, 6, 8, 1, 0) + bytes(40))] * 5000)),
        "shape.npz": ("face", stored_zip({f"{name}.npy": array_header((10**9, 10**9)) for name in
                                          ("template_vertex_positions", "triangles")})),
        "objects.npz": ("face", stored_zip({"template_vertex_positions.npy": array_header((1,), "|O") + b"cos\nsystem\n(S'x'\ntR."})),
        "many.npz": ("face", zip_with_a_long_list("triangles.npy", b"")),
        "nested.json": ("recipe", NESTED),
        "nested-tables.json": ("recipe", b'{"a":' * 50_000),
        "number.json": ("recipe", b'{"portrait": {"seed": ' + b"9" * 100_000 + b"}}"),
        "keys.json": ("recipe", b"{" + b",".join(b'"%d": 0' % index for index in range(20_000)) + b"}"),
        "infinite.json": ("recipe", b'{"portrait": {"seed": 1}, "frames": [{"scale": 1e999, "rotation": [NaN, 0, 0]}]}'),
        "bomb.png": ("recipe", b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
                     + bytes(4) + bytes(4) + b"IEND\xaeB`\x82"),
        "text.png": ("recipe", picture(b"{}").replace(b"tEXt", b"zTXt")),
    }  # fmt: skip
