"""The texts of pictures, of whole ones only, and no more read than needed."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import OpenEXR
import pytest
from PIL import Image, PngImagePlugin

from backend.files import image_metadata
from backend.files.image_metadata import texts_of
from models.errors import StyleRigError

ANY = (ValueError, OSError, struct.error, StyleRigError)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, size: tuple[int, int] = (1, 1)) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 6, 0, 0, 0))
    return image_metadata.PNG_START + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(bytes(5))) + chunk(b"IEND", b"")


@pytest.fixture
def texts(tmp_path):
    """texts(content) -> the texts of a file that holds it."""

    def read(content: bytes) -> dict[str, str]:
        path = tmp_path / "picture"
        path.write_bytes(content)
        return texts_of(path)

    return read


def test_texts_of_a_png_by_pillow(texts):
    info = PngImagePlugin.PngInfo()
    info.add_text("Plain", "one")
    info.add_text("Packed", "two" * 100, zip=True)
    info.add_itxt("International", "日本", "ja", "name")
    info.add_itxt("Both", "é" * 100, zip=True)
    file = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(file, "PNG", pnginfo=info)
    assert texts(file.getvalue()) == {"Plain": "one", "Packed": "two" * 100, "International": "日本", "Both": "é" * 100}


def test_pixels_are_not_unpacked(texts):
    """Pillow would refuse this one, of 10,000 megapixels, or take 40 GB for it."""
    assert texts(png(chunk(b"tEXt", b"name\0text"), size=(100_000, 100_000))) == {"Name": "text"}


def test_texts_are_bounded(texts, monkeypatch):
    monkeypatch.setattr(image_metadata, "MAX_TEXT", 1000)
    bomb = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(1_000_000)))
    assert {name: len(text) for name, text in texts(png(bomb)).items()} in ({"Bomb": 1000}, {})
    many = [chunk(b"tEXt", b"n%03d\0" % n + bytes(96)) for n in range(100)]
    assert len(texts(png(*many))) == 9


@pytest.mark.parametrize("place", range(8))
def test_a_damaged_png_is_none(texts, place):
    whole = png(chunk(b"tEXt", b"name\0text"))
    position = 8 + place * (len(whole) - 9) // 8
    damaged = bytearray(whole)
    damaged[position] ^= 0x40
    with pytest.raises(ANY):
        texts(bytes(damaged))


@pytest.mark.parametrize(
    "compression", [OpenEXR.NO_COMPRESSION, OpenEXR.ZIPS_COMPRESSION, OpenEXR.PIZ_COMPRESSION, OpenEXR.HTJ2K256_COMPRESSION]
)
@pytest.mark.parametrize("parts", [1, 2])
def test_texts_of_an_exr_whatever_packs_it(texts, tmp_path, compression, parts):
    random = np.random.default_rng(1)
    made = [
        OpenEXR.Part({"compression": compression, "type": OpenEXR.scanlineimage, "stylerigRecipe": "日本" if n == 0 else "other"},
                     {"Y": random.random((300, 20), dtype=np.float32)}, f"part{n}")
        for n in range(parts)
    ]  # fmt: skip
    path = tmp_path / "a.exr"
    OpenEXR.File(made).write(str(path))
    whole = path.read_bytes()
    assert texts(whole)["StylerigRecipe"] == "日本"
    for length in (0, 4, 8, 50, 300, len(whole) // 2, len(whole) - 1):
        with pytest.raises(ANY):
            texts(whole[:length])
    with pytest.raises(ANY):  # as a writer leaves it that is killed before it writes the table
        texts(unfinished(whole))


def unfinished(whole: bytes) -> bytes:
    """An EXR whose table of chunks, places that ascend from right behind it, is still empty."""
    for place in range(100, len(whole) - 16):
        first, second = struct.unpack_from("<QQ", whole, place)
        if place < first < second < len(whole) and (first - place) % 8 == 0:
            return whole[:place] + bytes(first - place) + whole[first:]
    raise AssertionError("there is no table")


def test_an_exr_of_tiles(texts, tmp_path):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.tiledimage, "software": "Blender"}
    description = OpenEXR.TileDescription()
    description.xSize = description.ySize = 16
    header["tiles"] = description
    OpenEXR.File(header, {"Y": np.zeros((40, 40), np.float32)}).write(str(tmp_path / "a.exr"))
    whole = (tmp_path / "a.exr").read_bytes()
    assert texts(whole)["Software"] == "Blender"
    with pytest.raises(ANY):
        texts(whole[: len(whole) // 2])


def test_chance_bytes_end_in_a_word(texts):
    random = np.random.default_rng(5)
    for start in (b"", image_metadata.PNG_START, image_metadata.EXR_START + b"\2\0\0\0", image_metadata.EXR_START + b"\2\x10\0\0"):
        for _ in range(50):
            with pytest.raises(ANY):
                texts(start + random.bytes(200))
