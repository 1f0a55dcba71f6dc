"""What of a picture's file can be told from its bytes: cut off or not, and which texts it holds."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import bpy
import numpy as np
import pytest
from output_shot import module

SIZE = 300  # pixels: several chunks in every codec
CODECS = [
    item.identifier
    for item in bpy.types.ImageFormatSettings.bl_rna.properties["exr_codec"].enum_items
    if not item.identifier.startswith("B44")
]
TEXTS = {"StyleRigVersion": "1.2", "Description": "Größe 🙂", "Long": "x" * 100_000}


@pytest.fixture
def whole(extension):
    return module(extension, "render.file_integrity")


@pytest.fixture
def picture(empty_scene):
    """picture(path, kind, codec) saves noise."""
    image = bpy.data.images.new("noise", SIZE, SIZE, float_buffer=True)
    image.pixels.foreach_set(np.random.default_rng(0).random(SIZE * SIZE * 4, dtype=np.float32))

    def save(path: Path, kind: str, codec: str = "ZIP") -> bytes:
        settings = empty_scene.render.image_settings
        if hasattr(settings, "media_type"):
            settings.media_type = "IMAGE"
        settings.file_format, settings.exr_codec, settings.color_mode = kind, codec, "RGBA" if kind != "JPEG" else "RGB"
        image.save_render(str(path), scene=empty_scene)
        return path.read_bytes()

    return save


def pixels(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    found = np.array(image.pixels[:], dtype=np.float32)
    bpy.data.images.remove(image)
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_of_this_blender_is_read_to_its_end(extension, whole, picture, tmp_path, codec):
    """And gets its texts without a change to its pixels."""
    path = tmp_path / "a.exr"
    content, before = picture(path, "OPEN_EXR", codec=codec), pixels(path)
    assert whole.is_complete(path) and whole.is_marked(path) is False
    module(extension, "render.metadata_text").add_texts(path, TEXTS)
    assert whole.is_complete(path) and whole.is_marked(path) and len(path.read_bytes()) > len(content) + 100_000
    np.testing.assert_array_equal(pixels(path), before)
    marked, cut = path.read_bytes(), tmp_path / "cut.exr"
    for original in (content, marked):
        for length in np.linspace(0, len(original) - 1, 30).astype(int):
            cut.write_bytes(original[:length])
            assert not whole.is_complete(cut), length


def test_the_texts_are_what_another_reader_finds(extension, picture, tmp_path):
    texts = module(extension, "render.metadata_text")
    for name, kind in (("a.png", "PNG"), ("a.exr", "OPEN_EXR"), ("a.jpg", "JPEG")):
        picture(tmp_path / name, kind)
        texts.add_texts(tmp_path / name, TEXTS)
        content = (tmp_path / name).read_bytes()
        assert content.count("Größe 🙂".encode()) == 1 and content.count(b"x" * 100_000) == (kind != "JPEG")
        assert len(pixels(tmp_path / name)) == SIZE * SIZE * 4
        texts.add_texts(tmp_path / name, TEXTS)  # once is enough
        assert (tmp_path / name).read_bytes() == content


def with_attribute(content: bytes, name: bytes, value: bytes) -> bytes:
    """An EXR whose attribute of one byte has another value."""
    start = content.index(name + b"\0" + name + b"\0") + 2 * len(name) + 2 + 4
    return content[:start] + value + content[start + 1 :]


def test_a_codec_that_nobody_knows_yet(extension, whole, picture, tmp_path):
    """Its chunks are counted by the table itself. Where that cannot be, the file may be whole."""
    path = tmp_path / "a.exr"
    content = with_attribute(picture(path, "OPEN_EXR"), b"compression", b"\x63")
    path.write_bytes(content)
    assert whole.is_complete(path)
    module(extension, "render.metadata_text").add_texts(path, TEXTS)
    assert whole.is_complete(path) and whole.is_marked(path) and path.read_bytes()[-1000:] == content[-1000:]
    path.write_bytes(content[:-1])
    assert not whole.is_complete(path)
    table = whole.exr_layout(io.BytesIO(content)).table
    path.write_bytes(content[:table] + bytes(len(content) - table))  # as Blender leaves it when it is killed: the table comes last
    assert not whole.is_complete(path)
    path.write_bytes(content[: table + 8] + bytes(8) + content[table + 16 :])
    assert whole.is_complete(path) and whole.is_marked(path) is None
    path.write_bytes(with_attribute(content, b"lineOrder", b"\x02")[:-1])
    assert whole.is_complete(path) and whole.is_marked(path) is None


@pytest.mark.parametrize("flag", [0x200, 0x800])
def test_tiles_and_deep_pictures_are_left_to_those_who_know_them(extension, whole, picture, tmp_path, flag):
    path = tmp_path / "a.exr"
    content = picture(path, "OPEN_EXR")
    path.write_bytes(content[:4] + struct.pack("<I", 2 | flag) + content[8:])
    assert whole.is_complete(path) and whole.is_marked(path) is None
    before = path.read_bytes()
    module(extension, "render.metadata_text").add_texts(path, TEXTS)
    assert path.read_bytes() == before


def test_a_png_with_something_behind_its_end_is_whole(whole, picture, tmp_path):
    path = tmp_path / "a.png"
    content = picture(path, "PNG")
    path.write_bytes(content + b"a tool's own notes")
    assert whole.is_complete(path)
    path.write_bytes(content[:-12] + b"a tool's own notes")
    assert not whole.is_complete(path)


def test_marks_stand_in_the_names_of_texts_and_before_the_pixels(extension, whole, picture, tmp_path):
    """However long the texts before them are; the word in another text, or in the pixels, is none."""
    texts, path = module(extension, "render.metadata_text"), tmp_path / "a.png"
    content = picture(path, "PNG")
    path.write_bytes(texts.with_png_texts(content, {"Long": "x" * 300_000, "StyleRigVersion": "1"}))
    assert whole.is_marked(path)
    path.write_bytes(texts.with_png_texts(content, {"Comment": "\0StyleRigVersion\0"}))
    assert whole.is_marked(path) is False
    path.write_bytes(content + b"StyleRigVersion")
    assert whole.is_marked(path) is False


def test_what_only_calls_itself_a_picture_has_no_mark(whole, tmp_path):
    for name, marked in (("a.png", False), ("a.EXR", False), ("a.jpeg", False), ("a.tif", None), ("a", None)):
        (tmp_path / name).write_bytes(b"II*\0 a TIFF, or anything")
        assert whole.is_marked(tmp_path / name) is marked and whole.is_complete(tmp_path / name)
    (tmp_path / "zeros.tga").write_bytes(b"\0\0\2" + bytes(15))  # as a TGA begins
    assert whole.is_complete(tmp_path / "zeros.tga")


def test_no_bytes_make_the_reader_fail_or_ask_for_much_memory(whole, picture, tmp_path):
    """Files that a person's disk or another program has spoilt."""
    rng, path = random.Random(3), tmp_path / "spoilt"
    for kind in ("PNG", "OPEN_EXR", "JPEG"):
        content = picture(path, kind)
        for _ in range(300):
            spoilt = bytearray(content)
            for _ in range(rng.randint(1, 8)):
                spoilt[rng.randrange(min(len(spoilt), 700))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            path.write_bytes(spoilt)
            assert whole.is_complete(path) in (True, False) and whole.is_marked(path) in (True, False, None)
