"""exr: what Blender's File Output node writes becomes what Nuke, Fusion and Natron expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from backend.cli import main
from backend.files.image_metadata import texts_of

SIDE = 24


def layer(name: str, letters: str, random: np.random.Generator) -> dict[str, np.ndarray]:
    return {f"{name}.{letter}": random.random((SIDE, SIDE)).astype(np.float32) for letter in letters}


def written_by_blender(path: Path, *, lower: bool = False, **more: str) -> dict[str, np.ndarray]:
    """A file with the names that Blender gives sockets of colours, vectors and single numbers."""
    random = np.random.default_rng(1)
    letters = {"Combined": "RGBA", "Shading": "RGBA", "Normal": "XYZ", "Depth": "V", "HeadDepth": "V", "UV": "XYZ", "HairMatte": "V", "Vector": "XYZW",
               "CryptoStyleRigPart00": "RGBA", "artist": "RG"} | more  # fmt: skip
    channels: dict[str, np.ndarray] = {}
    for name, found in letters.items():
        channels |= layer(name, found.lower() if lower and found == "RGBA" else found, random)
    channels["Depth.V" if "Depth.V" in channels else "Combined.A"][0, 0] = 1e10
    given = dict(channels)
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, "BlenderMultiChannel": "Blender V2.55.1 and newer",
              "StyleRigVersion": "0.1.0", "Description": "Synthetic", "cryptomatte/1234567/manifest": "{}"}  # fmt: skip
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))
    return given


def call(*arguments: object) -> int:
    return main.main(["exr", *map(str, arguments)])


def read(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}, dict(file.parts[0].header)


@pytest.mark.parametrize("lower", [False, True])
def test_names_types_and_texts_are_those_of_render(tmp_path, lower, capsys):
    (tmp_path / "passes").mkdir()
    given = written_by_blender(tmp_path / "passes" / "frame_0001.exr", lower=lower)
    assert call(tmp_path / "passes", "--output", tmp_path / "nuke") == 0
    channels, header = read(tmp_path / "nuke" / "frame_0001.exr")
    assert set("RGBA") <= set(channels) and not any("Combined" in name or (name.endswith(".V") and name != "UV.V") for name in channels)
    assert channels["depth.Z"].dtype == np.float32 and channels["depth.Z"][0, 0] == np.float32(1e10)
    assert channels["R"].dtype == channels["Normal.X"].dtype == channels["HairMatte.X"].dtype == np.float16
    for name, source in {
        "depth.Z": "Depth.V",
        "HeadDepth.Z": "HeadDepth.V",
        "UV.U": "UV.X",
        "UV.A": "UV.Z",
        "Vector.W": "Vector.W",
    }.items():
        assert np.array_equal(channels[name], given[source]), name
    assert np.abs(channels["G"] - given["Combined.g" if lower else "Combined.G"]).max() < 1e-3 and "Shading.A" not in channels
    assert np.array_equal(channels["CryptoStyleRigPart00.B"], given["CryptoStyleRigPart00.b" if lower else "CryptoStyleRigPart00.B"])
    assert np.array_equal(channels["artist.R"], given["artist.R"])
    assert header["colorInteropID"] == "lin_rec709_scene" and "BlenderMultiChannel" not in header
    assert texts_of(tmp_path / "nuke" / "frame_0001.exr")["StyleRigVersion"] == "0.1.0" and header["cryptomatte/1234567/manifest"] == "{}"
    assert "1 files" in capsys.readouterr().out


def test_dwaa_leaves_what_is_no_colour_to_the_bit(tmp_path):
    given = written_by_blender(tmp_path / "f.exr")
    assert call(tmp_path / "f.exr", "--output", tmp_path / "out", "--compression", "DWAA") == 0
    channels, _ = read(tmp_path / "out" / "f.exr")
    for name, source in {
        "UV.A": "UV.Z",
        "depth.Z": "Depth.V",
        "CryptoStyleRigPart00.R": "CryptoStyleRigPart00.R",
        "artist.G": "artist.G",
    }.items():
        assert np.array_equal(channels[name], given[source]), name
    assert np.abs(channels["R"] - given["Combined.R"]).max() > 0
    assert np.array_equal(channels["Normal.Y"], given["Normal.Y"].astype(np.float16))


def test_other_files_and_places_are_told(tmp_path, capsys):
    (tmp_path / "text.exr").write_text("no picture")
    assert call(tmp_path / "text.exr", "--output", tmp_path / "out") == 2
    assert "cannot be used" in capsys.readouterr().err
    with OpenEXR.File({"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}, {"R": np.zeros((4, 4), np.float32)}) as file:
        file.write(str(tmp_path / "plain.exr"))
    assert call(tmp_path / "plain.exr", "--output", tmp_path / "out") == 2
    assert "no layer Combined" in capsys.readouterr().err and not (tmp_path / "out").exists()
    written_by_blender(tmp_path / "f.exr")
    assert call(tmp_path / "f.exr", "--output", tmp_path) == 2 and "another folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert call(tmp_path / "empty", "--output", tmp_path / "out") == 2 and "no EXR" in capsys.readouterr().err
