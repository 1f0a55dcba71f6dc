"""Cryptomatte: hashes of the specification, and layers from which every name's coverage comes back."""

from __future__ import annotations

import json

import numpy as np
import OpenEXR
import pytest

from backend.protocol import cryptomatte


def coverage_of(passes: dict[str, np.ndarray], name: str) -> np.ndarray:
    """What a compositor picks: the coverage of a name (H, W) in a layer's passes."""
    wanted = np.array(cryptomatte.identifier(name), dtype=np.uint32).view(np.float32)
    ranks = [(one[..., 2 * half], one[..., 2 * half + 1]) for one in passes.values() for half in (0, 1)]
    return sum(np.where(names == wanted, coverage, 0) for names, coverage in ranks)


@pytest.mark.parametrize(
    ("name", "bits"),
    [("bunny", 0x13851A76), ("default", 0x42C9679F), ("hello", 0x248BFA47), ("a", 0x3C2569B2), ("abc", 0xB3DD93FA), ("", 0x00800000)],
)
def test_names_have_the_hashes_of_the_specification_and_murmur_hash(name, bits):
    assert cryptomatte.identifier(name) == bits


def test_no_identifier_is_a_float_that_programs_change():
    names = [f"Portrait {number} hair" for number in range(3000)]
    bits = np.array([cryptomatte.identifier(name) for name in names], dtype=np.uint32)
    floats = bits.view(np.float32)
    assert np.isfinite(floats).all() and (np.abs(floats) >= np.finfo(np.float32).tiny).all()
    assert len(set(bits.tolist())) == len(names)


def test_every_name_comes_back_and_those_that_cover_most_stand_first():
    random = np.random.default_rng(0)
    coverages = {f"name {number}": random.random((5, 7), dtype=np.float32) * (random.random((5, 7)) > 0.4) for number in range(5)}
    passes = cryptomatte.ranked("CryptoObject", coverages, levels=5)
    assert list(passes) == ["CryptoObject00", "CryptoObject01", "CryptoObject02"]
    for name, coverage in coverages.items():
        np.testing.assert_array_equal(coverage_of(passes, name), coverage)
    ranks = np.concatenate([one[..., 1::2] for one in passes.values()], axis=2)
    assert (np.diff(ranks, axis=2) <= 0).all() and not ranks[..., 5].any()
    few = cryptomatte.ranked("CryptoObject", coverages, levels=2)
    assert list(few) == ["CryptoObject00"]
    np.testing.assert_array_equal(few["CryptoObject00"], passes["CryptoObject00"])


def portrait(alpha: float, **mattes: float) -> dict[str, np.ndarray]:
    passes = {name: np.full((2, 2, 1), value, dtype=np.float32) for name, value in mattes.items()}
    return passes | {"Combined": np.full((2, 2, 4), alpha, dtype=np.float32)}


def test_parts_add_up_to_the_portrait():
    found = cryptomatte.of_portrait("A", portrait(0.8, HairMatte=0.5, SkinMatte=0.1, EyesMatte=0.0))
    assert {name: round(float(one[0, 0]), 6) for name, one in found["CryptoMaterial"].items()} == {
        "A hair": 0.5,
        "A skin": 0.1,
        "A rest": 0.2,
    }
    much = cryptomatte.of_portrait("A", portrait(0.8, HairMatte=0.8, SkinMatte=0.8))["CryptoMaterial"]
    assert {name: round(float(one[0, 0]), 6) for name, one in much.items()} == {"A hair": 0.4, "A skin": 0.4}
    assert list(cryptomatte.of_portrait("A", portrait(0.8))["CryptoMaterial"]) == ["A rest"]


def test_what_stands_before_hides_what_is_behind():
    front, back = (cryptomatte.of_portrait(name, portrait(alpha, HairMatte=alpha)) for name, alpha in (("A", 0.75), ("B", 1.0)))
    found = cryptomatte.over(front, back)
    for names in (found["CryptoObject"], found["CryptoMaterial"]):
        assert [round(float(one[0, 0]), 6) for one in names.values()] == [0.25, 0.75]
    same = cryptomatte.over(front, cryptomatte.of_portrait("A", portrait(1.0)))
    assert float(same["CryptoObject"]["A"][0, 0]) == 1.0


def test_an_exr_says_which_name_is_which(tmp_path, capsys):
    from backend.cli import main
    from tests.helpers import fake_rig

    (tmp_path / "rig.json").write_text(json.dumps({"portrait": {"seed": 7}, "frames": [{}], "output": {"size": 20, "compression": "DWAA"}}))
    command = ["render", str(tmp_path / "rig.json"), "--output", str(tmp_path / "out"), "--format", "exr", "--cryptomatte"]
    assert main.main(command, rig_loader=fake_rig.load) == 0, capsys.readouterr().err
    with OpenEXR.File(str(tmp_path / "out" / "frame_0001.exr"), separate_channels=True) as file:
        channels = {name: channel.pixels.copy() for part in file.parts for name, channel in part.channels.items()}
        headers = [dict(part.header) for part in file.parts]
    for header in headers:
        about = {name.rpartition("/")[2]: text for name, text in header.items() if name.startswith("cryptomatte/") and text}
        assert about["hash"] == "MurmurHash3_32" and about["conversion"] == "uint32_to_float32"
        manifests = [json.loads(text) for name, text in header.items() if name.startswith("cryptomatte/") and name.endswith("/manifest")]
        assert {"Portrait 7", "Portrait 7 hair"} <= {name for manifest in manifests for name in manifest}
        for manifest in manifests:
            assert all(int(bits, 16) == cryptomatte.identifier(name) for name, bits in manifest.items())
    passes = {"0": np.stack([channels[f"CryptoObject00.{letter}"] for letter in "RGBA"], axis=-1)}
    assert passes["0"].dtype == np.float32
    alpha = channels["A"].astype(np.float32)
    assert np.abs(coverage_of(passes, "Portrait 7") - alpha).max() < 0.02 and alpha.max() > 0.9  # DWAA, half floats
