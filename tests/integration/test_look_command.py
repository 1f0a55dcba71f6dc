"""`python -m backend look`: pictures, sequences and EXRs get a look, and keep all that a look does not change."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image, PngImagePlugin

from backend.cli import main
from backend.files.image_metadata import texts_of
from backend.protocol import image_texts
from backend.protocol.colour import linear_to_srgb
from models import translation
from models.translation import make_look, save_look
from models.translation.config import CoGANConfig, ResNetConfig, StarGANConfig, StarGANv2Config, UNetConfig
from models.translation.look import ResNetLook

CONFIGS = {
    "pix2pix": UNetConfig(levels=6, width=1),
    "colouriser": UNetConfig(levels=5, width=1, inputs=1, outputs=2),
    "cyclegan": ResNetConfig(width=2, blocks=1),
    "stargan": StarGANConfig(width=2, blocks=1, label_sets=(("black", "blond", "young"),)),
    "starganv2": StarGANv2Config(image_size=32, width=2, max_width=4, downs=2, hidden=4, style_dim=4, domains=("short", "long")),
    "cogan": CoGANConfig(image_size=32, width=1, latent_dim=4),
}


@pytest.fixture
def call(capsys):
    """call(options…) -> exit status, stdout, stderr of the command, run in this process."""

    def run(*arguments) -> tuple[int, str, str]:
        status = main.main(["look", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def look_file(folder: Path, name: str) -> Path:
    torch.manual_seed(1)
    return save_look(make_look(CONFIGS[name]), folder / f"{name}.safetensors")


@pytest.fixture
def worn(monkeypatch, tmp_path):
    """worn(function) -> the file of a look that does ``function`` to images (N, 3, H, W)."""

    def make(function) -> Path:
        class Plain(ResNetLook):
            def translate(self, image, label, style):
                return function(image)

        monkeypatch.setattr(translation, "load_look", lambda path, **_: Plain(CONFIGS["cyclegan"]))
        return look_file(tmp_path, "cyclegan")

    return make


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_png(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def write_exr(path: Path, channels: dict[str, np.ndarray], **header) -> Path:
    with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, dict(channels)) as file:
        file.write(str(path))
    return path


def channels_of(path: Path) -> dict[str, np.ndarray]:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels.copy() for part in file.parts for name, channel in part.channels.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pix2pix", []),
        ("colouriser", []),
        ("cyclegan", []),
        ("stargan", ["--label", "blond,young=0.5"]),
        ("stargan", ["--label", "0,1,0.5"]),
        ("starganv2", ["--label", "long"]),
        ("starganv2", ["--label", "1", "--style", 7]),
    ],
)
def test_every_kind_is_put_on_pictures_of_any_size(tmp_path, call, name, options):
    picture, look = write_png(tmp_path / "in" / "a.png", noise(19, 33, 3)), look_file(tmp_path, name)
    status, out, err = call(picture, "--look", look, *options, "--output", tmp_path / "out")
    assert status == 0 and "1 pictures made" in out and "1/1 pictures" in err, err
    made, loaded = pixels_of(tmp_path / "out" / "a.png"), translation.load_look(look)
    label = {"stargan": {"blond": 1, "young": 0.5}, "starganv2": 1}.get(name)
    style = loaded.style(torch.randn(1, 16, generator=torch.Generator().manual_seed(7)), 1) if 7 in options else None
    image = torch.from_numpy(pixels_of(picture).transpose(2, 0, 1).copy())[None] / 127.5 - 1
    expected = (loaded(image, label, style)[0].clamp(-1, 1) * 127.5 + 127.5).round().movedim(0, -1).numpy()
    assert made.shape == (19, 33, 3) and np.abs(made - expected).max() <= 1


def test_a_reference_gives_its_style(tmp_path, call):
    picture, look = write_png(tmp_path / "a.png", noise(32, 32, 3)), look_file(tmp_path, "starganv2")
    made = []
    for seed in (1, 2):
        reference = write_png(tmp_path / f"reference{seed}.png", noise(40, 24, 4, seed=seed))
        assert call(picture, "--look", look, "--label", "long", "--reference", reference, "--output", tmp_path / str(seed))[0] == 0
        made.append(pixels_of(tmp_path / str(seed) / "a.png"))
    assert not np.array_equal(*made)
    said = json.loads(texts_of(tmp_path / "1" / "a.png")["StyleRigLook"])
    assert said["label"] == "long" and len(said["reference"]) == 64 and said["kind"] == "starganv2"


def test_as_tested_has_dropout_that_is_the_same_every_time(tmp_path, call):
    picture, look, made = write_png(tmp_path / "a.png", noise(32, 32, 3)), look_file(tmp_path, "pix2pix"), []
    for name, options in (("plain", []), ("one", ["--as-tested"]), ("two", ["--as-tested"])):
        assert call(picture, "--look", look, *options, "--output", tmp_path / name)[0] == 0
        made.append(pixels_of(tmp_path / name / "a.png"))
    assert np.array_equal(made[1], made[2]) and not np.array_equal(made[0], made[1])
    assert "1 pictures made:" in call(picture, "--look", look, "--resume", "--output", tmp_path / "one")[1]


def test_strength_goes_from_the_picture_to_the_look(tmp_path, call, worn):
    picture, look = write_png(tmp_path / "a.png", noise(8, 9, 3)), worn(lambda image: -image)
    made = {}
    for strength in ("0", "0.25", "1"):
        assert call(picture, "--look", look, "--strength", strength, "--output", tmp_path / strength)[0] == 0
        made[strength] = pixels_of(tmp_path / strength / "a.png").astype(float)
    given = pixels_of(picture)
    assert np.array_equal(made["0"], given) and np.array_equal(made["1"], 255 - given)
    assert np.abs(made["0.25"] - (0.75 * given + 0.25 * (255 - given))).max() <= 0.5


def test_alpha_and_what_is_under_it_stay(tmp_path, call, worn):
    pixels = noise(8, 8, 4)
    pixels[:4, :, 3] = 0
    seen = []
    look = worn(lambda image: seen.append(image) or -image)
    assert call(write_png(tmp_path / "a.png", pixels), "--look", look, "--output", tmp_path / "out")[0] == 0
    made = pixels_of(tmp_path / "out" / "a.png")
    assert np.array_equal(made[..., 3], pixels[..., 3]) and np.array_equal(made[:4], pixels[:4])
    assert np.array_equal(made[4:][pixels[4:, :, 3] > 0][:, :3], 255 - pixels[4:][pixels[4:, :, 3] > 0][:, :3])
    assert (seen[-1][0, :, :4, :] == 0).all()  # the backdrop, where nothing is


@pytest.mark.parametrize(("mode", "shape"), [("L", (6, 5)), ("LA", (6, 5, 2)), ("P", None), ("I;16", None)])
def test_grey_and_palettes_become_colour(tmp_path, call, worn, mode, shape):
    grey = noise(6, 5)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode
    assert call(tmp_path / "a.png", "--look", worn(lambda image: -image), "--output", tmp_path / "out")[0] == 0
    made = pixels_of(tmp_path / "out" / "a.png")
    assert np.array_equal(made, np.repeat(255 - grey[..., None], 3, axis=2))


def exr_channels(dtype=np.float32) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    colour = random.normal(0.6, 1.5, (3, 12, 10)).astype(dtype)
    alpha = np.clip(random.normal(0.5, 0.6, (12, 10)), 0, 1).astype(dtype)
    return {**dict(zip("RGB", colour * alpha, strict=True)), "A": alpha,
            "Depth.Z": random.random((12, 10)).astype(np.float32), "Id.X": np.arange(120, dtype=np.uint32).reshape(12, 10)}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_exr_keeps_what_is_beyond_0_to_1_and_all_its_passes(tmp_path, call, worn, dtype):
    channels = exr_channels(dtype)
    channels["R"][0, 0], channels["A"][0, 0] = 3.0, 0.0  # light without a surface
    assert min(channels["R"].min(), channels["G"].min()) < -0.2 and channels["R"].max() > 1.5
    windows = {"dataWindow": (np.int32([2, 3]), np.int32([11, 14])), "displayWindow": (np.int32([0, 0]), np.int32([19, 19]))}
    picture = write_exr(tmp_path / "a.exr", channels, owner="somebody", **windows)
    assert call(picture, "--look", worn(lambda image: image), "--output", tmp_path / "out")[0] == 0
    made = channels_of(tmp_path / "out" / "a.exr")
    for name, values in channels.items():
        assert made[name].dtype == values.dtype
        assert np.allclose(made[name], values, rtol=2e-3 if dtype == np.float16 else 1e-5, atol=2e-3 if dtype == np.float16 else 1e-5)
    header = OpenEXR.File(str(tmp_path / "out" / "a.exr")).header()
    assert header["owner"] == "somebody" and header["dataWindow"][0].tolist() == [2, 3] and header["displayWindow"][1].tolist() == [19, 19]


def test_bright_colours_are_changed_as_others_are_and_stay_bright(tmp_path, call, worn):
    colour = np.array([[[4.0, 2.0, 1.0], [0.4, 0.2, 0.1]]], np.float32)
    picture = write_exr(tmp_path / "a.exr", dict(zip("RGB", colour.transpose(2, 0, 1).copy(), strict=True)))
    seen = []
    look = worn(lambda image: seen.append(image) or image.amax(dim=1, keepdim=True).expand_as(image))
    assert call(picture, "--look", look, "--output", tmp_path / "out")[0] == 0
    made = channels_of(tmp_path / "out" / "a.exr")
    assert np.allclose([made[letter] for letter in "RGB"], [[[4.0, 0.4]]] * 3, atol=1e-5)  # no colour left, as bright as before
    shown = seen[-1][0].flatten(1) / 2 + 0.5  # mirrored outwards
    assert np.allclose(shown[:, shown[0].argmax()], linear_to_srgb(np.array([1.0, 0.5, 0.25])), atol=1e-5)


def test_layers_and_parts_of_blenders_files_are_found(tmp_path, call, worn):
    combined = {f"ViewLayer.Combined.{letter}": np.full((8, 8), 0.25, np.float32) for letter in "RGBA"}
    depth = {"ViewLayer.Depth.Z": np.ones((8, 8), np.float32)}
    one = write_exr(tmp_path / "one.exr", combined | depth)
    parts = [
        OpenEXR.Part({"type": OpenEXR.scanlineimage}, dict(channels), name=name) for name, channels in (("z", depth), ("rgb", combined))
    ]
    OpenEXR.File(parts).write(str(tmp_path / "two.exr"))
    look = worn(lambda image: torch.ones_like(image))
    assert call(one, tmp_path / "two.exr", "--look", look, "--output", tmp_path / "out")[0] == 0
    for name in ("one.exr", "two.exr"):
        made = channels_of(tmp_path / "out" / name)
        assert np.allclose(made["ViewLayer.Combined.R"], 0.25) and (made["ViewLayer.Depth.Z"] == 1).all()  # white, premultiplied


def test_folders_and_patterns_are_sequences(tmp_path, call, worn):
    for number in (1, 2, 10):
        write_png(tmp_path / "in" / f"f_{number:04}.png", noise(4, 4, 3, seed=number))
    write_png(tmp_path / "in" / "other.jpg", noise(4, 4, 3))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    look, folder = worn(lambda image: image), tmp_path / "in"
    for name, inputs, count in (("all", [folder], 4), ("hashes", [folder / "f_####.png"], 3), ("percent", [folder / "f_%04d.png"], 3),
                                ("stars", [folder / "f_*2.png"], 1), ("both", [folder, folder / "f_0001.png"], 4)):  # fmt: skip
        status, out, err = call(*inputs, "--look", look, "--output", tmp_path / name)
        assert status == 0 and f"{count} pictures made" in out, err
        assert len(list((tmp_path / name).iterdir())) == count
    assert (tmp_path / "all" / "other.png").is_file()


def test_resume_makes_only_what_is_missing_or_out_of_date(tmp_path, call):
    look, folder, out = look_file(tmp_path, "cyclegan"), tmp_path / "in", tmp_path / "out"
    for number in range(3):
        write_png(folder / f"{number}.png", noise(8, 8, 3, seed=number))
    write_exr(folder / "3.exr", exr_channels())
    whole = ["--look", look, "--output", out, "--resume"]
    assert "4 pictures made:" in call(folder, *whole)[1]
    kept = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert "0 pictures made, 4 were there" in call(folder, *whole)[1]
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == kept
    write_png(folder / "0.png", noise(8, 8, 3, seed=9))
    (out / "1.png").write_bytes((out / "1.png").read_bytes()[:-20])
    (out / "3.exr").unlink()
    assert "3 pictures made, 1 were there" in call(folder, *whole)[1]
    assert "4 pictures made" in call(folder, *whole, "--strength", 0.5)[1]


def test_metadata_goes_with_the_picture(tmp_path, call, worn):
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", "Größe")
    info.add_itxt(image_texts.XMP_NAME, image_texts.XMP)
    picture = write_png(tmp_path / "a.png", noise(4, 4, 3), pnginfo=info, icc_profile=b"profile")
    assert call(picture, "--look", worn(lambda image: image), "--strength", 0.5, "--output", tmp_path / "out")[0] == 0
    texts = texts_of(tmp_path / "out" / "a.png")
    assert texts["Description"] == "Größe" and texts[image_texts.XMP_NAME] == image_texts.XMP
    assert json.loads(texts["StyleRigLook"])["strength"] == 0.5 and len(texts[image_texts.REQUEST]) == 64
    assert Image.open(tmp_path / "out" / "a.png").info["icc_profile"] == b"profile"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("stargan", [], "label cannot be used: it is missing"),
        ("stargan", ["--label", "grey"], "there is no 'grey'"),
        ("stargan", ["--label", "blond=much"], "is no number for an attribute"),
        ("stargan", ["--label", "1,0"], "it has the shape (1, 2)"),
        ("stargan", ["--label", "blond", "--style", 1], "has no styles"),
        ("starganv2", [], "the domain is missing"),
        ("starganv2", ["--label", "medium"], "no domain 'medium'"),
        ("starganv2", ["--label", "2"], "no domain [2]"),
        ("starganv2", ["--label", "long", "--reference", "nothing.png"], "nothing.png cannot be read"),
        ("cyclegan", ["--label", "blond"], "has no labels"),
        ("cogan", [], "makes images from latents"),
    ],
)
def test_what_a_look_does_not_take_is_said_before_anything_is_made(tmp_path, call, name, options, words):
    picture = write_png(tmp_path / "a.png", noise(8, 8, 3))
    status, _, err = call(picture, "--look", look_file(tmp_path, name), *options, "--output", tmp_path / "out")
    assert status == 2 and words in err and err.count("\n") == 2, err
    assert not (tmp_path / "out").exists()


def bad_pictures(folder: Path) -> dict[str, Path]:
    """What is wrong -> a file."""
    ones = np.ones((4, 4), np.float32)
    Image.fromarray(noise(4, 4, 4), "CMYK").save(folder / "cmyk.jpg")
    (folder / "cut.png").write_bytes(write_png(folder / "whole.png", noise(64, 64, 3)).read_bytes()[:-500])
    (folder / "cut.exr").write_bytes(write_exr(folder / "whole.exr", exr_channels()).read_bytes()[:-200])
    write_exr(folder / "named.exr", exr_channels()).rename(folder / "named.png")
    return {
        "its pixels are CMYK": folder / "cmyk.jpg",
        "no whole PNG, JPEG or EXR": folder / "cut.png",
        "it is no whole": folder / "cut.exr",
        "no channels R, G and B, but Y": write_exr(folder / "grey.exr", {"Y": ones}),
        "values that are not numbers": write_exr(folder / "nan.exr", dict.fromkeys("RGB", ones * np.nan)),
        "not what its name says": folder / "named.png",
        "There is no picture": folder / "missing.png",
        "There are no pictures in": folder / "empty",
    }


def test_bad_pictures_are_refused_by_name(tmp_path, call, worn):
    (tmp_path / "empty").mkdir()
    look = worn(lambda image: image)
    for words, path in bad_pictures(tmp_path).items():
        status, _, err = call(path, "--look", look, "--output", tmp_path / "out")
        assert status == 2 and words in err and path.name in err, err
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_no_picture_is_replaced_and_no_two_become_one(tmp_path, call, worn):
    look = worn(lambda image: -image)
    picture, other = (write_png(tmp_path / name / "a.png", noise(4, 4, 3)) for name in "ab")
    before = picture.read_bytes()
    status, _, err = call(picture, "--look", look, "--output", tmp_path / "a")
    assert status == 2 and "would replace" in err and picture.read_bytes() == before
    status, _, err = call(picture, other, "--look", look, "--output", tmp_path / "out")
    assert status == 2 and "would both become" in err


def test_other_weights_and_plain_references_are_refused(tmp_path, call):
    picture = write_png(tmp_path / "a.png", noise(8, 8, 3))
    status, _, err = call(picture, "--look", picture, "--output", tmp_path / "out")
    assert status == 2 and "is not a look that can be used: it is a picture" in err
    plain = write_png(tmp_path / "plain.png", np.full((8, 8, 3), 200, np.uint8))
    options = ["--look", look_file(tmp_path, "starganv2"), "--label", "long", "--output", tmp_path / "out"]
    status, _, err = call(picture, *options, "--reference", plain)
    assert status == 2 and "shows nobody" in err
    with pytest.raises(SystemExit):
        call(picture, *options, "--strength", "1.5")


@pytest.fixture
def own_looks(monkeypatch, tmp_path):
    """The folder of a person's looks."""
    from models.translation import library

    folder = tmp_path / "looks"
    monkeypatch.setenv(library.FOLDER_VARIABLE, str(folder))
    library.library.cache_clear()
    yield folder
    library.library.cache_clear()


def test_a_look_is_called_by_its_name_and_listed(tmp_path, call, own_looks):
    picture, file = write_png(tmp_path / "a.png", noise(16, 16, 3)), look_file(own_looks, "stargan")
    (own_looks / "stargan.md").write_text("# stargan\n\nHair and age.\n")
    options = ["--label", "blond"]
    assert call(picture, "--look", "stargan", *options, "--output", tmp_path / "named")[0] == 0
    assert call(picture, "--look", file, *options, "--output", tmp_path / "file")[0] == 0
    assert (pixels_of(tmp_path / "named" / "a.png") == pixels_of(tmp_path / "file" / "a.png")).all()
    status, out, _ = call("--list")
    line = next(line for line in out.splitlines() if line.startswith("stargan"))
    assert status == 0 and "black, blond, young" in line and "Hair and age." in out and str(own_looks) in out


def test_a_name_that_is_not_there_and_options_that_are_missing_are_told(tmp_path, call, own_looks):
    picture = write_png(tmp_path / "a.png", noise(8, 8, 3))
    look_file(own_looks, "cyclegan")
    status, _, err = call(picture, "--look", "painting", "--output", tmp_path / "out")
    assert status == 2 and "no look called 'painting'" in err and "cyclegan" in err
    status, _, err = call(picture)
    assert status == 2 and "--look and --output is missing" in err
    assert not (tmp_path / "out").exists()


def test_options_of_farms_are_for_farms(call, tmp_path):
    write_png(tmp_path / "a.png", noise(32, 32, 3))
    given = [tmp_path / "a.png", "--look", look_file(tmp_path, "pix2pix"), "--output", tmp_path / "out"]
    for option in (["--workers", 2], ["--json-log"]):
        status, _, said = call(*given, *option)
        assert status == 2 and "Add --ray local" in said and not (tmp_path / "out").exists()
    status, _, said = call(*given, "--ray", "local", "--steady", "0.5")
    assert status == 2 and "one frame after the other" in said


def moving_sequence(folder: Path, layer: str, count: int = 4) -> Path:
    """EXRs of a wave that moves to the right by 2 pixels a frame, with the pass ``layer`` that says so."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[:32, :32].astype(np.float32)
    for number in range(count):
        wave = 0.5 + 0.3 * np.sin((columns - 2 * number) * 0.3 + rows * 0.2)
        uv = {"UV.U": (columns - 2 * number + 20) / 64, "UV.V": rows / 64 + 0.1}
        vector = {"View.Vector.X": np.full_like(wave, -2), "View.Vector.Y": np.zeros_like(wave)}
        colours = {letter: wave.astype(np.float32) for letter in "RGB"} | {"A": np.ones_like(wave)}
        write_exr(folder / f"f_{number:04}.exr", colours | (vector if layer == "Vector" else uv))
    return folder


@pytest.fixture
def flickering(monkeypatch, tmp_path):
    """The file of a look that is another grey each time, and is called how often."""
    calls = []

    def answer(look, shown, strength, label=None, style=None):
        calls.append(shown)
        return np.clip(shown + (0.2 if len(calls) % 2 else -0.2), 0, 1)

    monkeypatch.setattr("models.translation.request.put_on", answer)
    return look_file(tmp_path, "cyclegan"), calls


def changes(folder: Path) -> float:
    """Mean difference of frames from those before, moved by 2 pixels, in display values."""
    frames = [linear_to_srgb(channels_of(path)["R"]) for path in sorted(folder.glob("*.exr"))]
    return float(np.mean([np.abs(now[:, 4:-4] - before[:, 2:-6]).mean() for before, now in itertools.pairwise(frames)]))


@pytest.mark.parametrize("layer", ["Vector", "UV"])
def test_a_steady_sequence_flickers_less(tmp_path, call, flickering, layer):
    look, _ = flickering
    shot = moving_sequence(tmp_path / "shot", layer)
    assert call(shot, "--look", look, "--output", tmp_path / "plain")[0] == 0
    assert call(shot, "--look", look, "--steady", "0.8", "--output", tmp_path / "steady")[0] == 0
    assert changes(shot) < 0.01 and changes(tmp_path / "plain") > 0.3
    assert changes(tmp_path / "steady") < 0.5 * changes(tmp_path / "plain")


def test_a_steady_sequence_that_goes_on_is_the_one_that_was_never_stopped(tmp_path, call, flickering):
    look, calls = flickering
    shot, options = moving_sequence(tmp_path / "shot", "UV"), ["--look", look, "--steady", "0.8"]
    call(shot, *options, "--output", tmp_path / "whole")
    calls.clear()
    call(shot, *options, "--output", tmp_path / "again")
    (tmp_path / "again" / "f_0002.exr").unlink()
    del calls[2:]  # it answers as it did: it is tried on once, then asked for that frame
    status, out, _ = call(shot, *options, "--resume", "--output", tmp_path / "again")
    assert status == 0 and "1 pictures made, 3 were there" in out
    for path in sorted((tmp_path / "whole").glob("*.exr")):
        assert np.array_equal(channels_of(path)["R"], channels_of(tmp_path / "again" / path.name)["R"]), path.name
    status, out, _ = call(shot, "--look", look, "--steady", "0.5", "--resume", "--output", tmp_path / "again")
    assert "4 pictures made" in out


def test_pictures_take_their_motion_from_exrs_of_their_names(tmp_path, call, flickering):
    look, _ = flickering
    motion = moving_sequence(tmp_path / "motion", "Vector", 2)
    for number in range(2):
        write_png(tmp_path / "shot" / f"f_{number:04}.png", noise(32, 32, 3, seed=number))
    options = [tmp_path / "shot", "--look", look, "--output", tmp_path / "out"]
    assert call(*options, "--steady", "0.5", "--motion", motion)[0] == 0
    for extra, words in (
        (["--steady", "0.5"], "no pass Vector or UV"),
        (["--motion", motion], "--motion is for --steady"),
        (["--steady", "0.5", "--motion", tmp_path], "no pass Vector or UV"),
    ):
        status, _, err = call(*options, *extra)
        assert status == 2 and words in err
    (tmp_path / "shot" / "f_0001.png").unlink()
    write_png(tmp_path / "shot" / "f_0001.png", noise(16, 16, 3))
    status, _, err = call(*options, "--steady", "0.5", "--motion", motion)
    assert status == 2 and "in one size" in err
