"""Sequences without Blender: whole frames only, resumable, clear errors."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from PIL import Image, PngImagePlugin

from backend.cli import main
from backend.files import images
from backend.protocol import frames, image_texts
from backend.server import schema, serialization
from tests.helpers import fake_rig

FRAMES = 8


def write_rig_file(folder: Path, **changes) -> Path:
    yaws = np.linspace(-0.5, 0.5, FRAMES)
    content = {"portrait": {"seed": 7}, "frames": [{"rotation": [yaw, 0, 0]} for yaw in yaws], **changes}
    path = folder / "rig.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def render(capsys):
    """render(rig file, options…) -> exit status, stdout, stderr of the command, run in this process."""

    def run(*arguments) -> tuple[int, str, str]:
        status = main.main(["render", *map(str, arguments)], rig_loader=fake_rig.load)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_frames_are_numbered_and_differ(tmp_path):
    """In a process of its own, as a person calls it."""
    process = fake_rig.start("render", str(write_rig_file(tmp_path)), "--output", str(tmp_path / "out"))
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert f"{FRAMES} frames rendered" in out and str(tmp_path / "out") in out
    assert f"{FRAMES}/{FRAMES}" in errors  # the progress bar
    made = pictures(tmp_path / "out")
    assert list(made) == [f"frame_{i:04}.png" for i in range(1, FRAMES + 1)]
    assert len(set(made.values())) == FRAMES
    alpha = np.asarray(Image.open(tmp_path / "out" / "frame_0001.png"))[..., 3].sum(axis=0)
    assert (alpha * np.arange(32)).sum() / alpha.sum() < 14  # turned to the picture's left


@pytest.mark.slow
def test_the_shipped_rig_draws_the_same_on_any_number_of_processors(tmp_path, run_python):
    controls = {"rotation": [0.3, 0.1, 0.2], "expression": {"jawOpen": 0.5}, "scale": 1.1}
    passes = list(frames.PASSES)
    rig_file = write_rig_file(tmp_path, frames=[controls], output={"size": 128, "passes": passes})
    made = []
    for count in ("1", "3"):
        options = [rig_file, "--output", tmp_path / count, "--format", "exr", "--device", "cpu"]
        answer = run_python([sys.executable, "-m", "backend", "render", *options], env={**os.environ, "OMP_NUM_THREADS": count})
        if "no weights" in answer.stderr:
            pytest.skip("no weights are there yet")
        assert answer.returncode == 0, answer.stderr
        made.append(pictures(tmp_path / count))
    assert len(made[0]) == 1 and made[0] == made[1]


@pytest.mark.parametrize("kind", ["png", "exr"])
def test_a_picture_that_is_not_numbers_is_not_written(tmp_path, render, monkeypatch, kind):
    monkeypatch.setenv("FAKE_RIG_FAULT", "nan")
    status, _, errors = render(write_rig_file(tmp_path), "--output", tmp_path / "out", "--format", kind)
    assert status == 3 and "not numbers (Portrait)" in errors and "hint: " in errors
    assert list((tmp_path / "out").iterdir()) == []


def test_exr_holds_the_passes_that_were_asked_for(tmp_path, render):
    rig_file = write_rig_file(tmp_path, frames=[{}], output={"size": 20, "passes": ["Normal", "Depth"]})
    status, _, errors = render(rig_file, "--output", tmp_path / "out", "--format", "exr")
    assert status == 0, errors
    rig = fake_rig.load()
    frame = rig.frame(rig.new_portrait(7), fake_rig.Controls(), size=20)
    with OpenEXR.File(str(tmp_path / "out" / "frame_0001.exr"), separate_channels=True) as file:
        channels = {name: channel.pixels.copy() for name, channel in file.parts[0].channels.items()}
    assert set(channels) == {"R", "G", "B", "A", "Normal.X", "Normal.Y", "Normal.Z", "depth.Z"}
    np.testing.assert_array_equal(channels["G"], frame["Combined"][..., 1].astype(np.float16))
    np.testing.assert_array_equal(channels["Normal.Z"], frame["Normal"][..., 2].astype(np.float16))
    np.testing.assert_array_equal(channels["depth.Z"], frame["Depth"][..., 0])


def test_another_compression_is_another_picture_and_the_usual_one_has_the_digest_it_had(tmp_path, render):
    output = {"size": 20, "passes": ["Depth"]}
    made = {}
    for name, asked in (("usual", output), ("zip", output | {"compression": "ZIP"}), ("dwaa", output | {"compression": "DWAA"})):
        status, _, errors = render(write_rig_file(tmp_path, frames=[{}], output=asked), "--output", tmp_path / name, "--format", "exr")
        assert status == 0, errors
        made[name] = images.request_of(tmp_path / name / "frame_0001.exr")
    assert made["usual"] == made["zip"] != made["dwaa"]
    recipe = json.loads(images.recipe_of(tmp_path / "usual" / "frame_0001.exr"))
    assert recipe["output"] == output
    status, _, errors = render(write_rig_file(tmp_path, output={"compression": "JPEG"}), "--output", tmp_path / "no", "--format", "exr")
    assert status == 2 and "output.compression" in errors


def test_killed_midway_it_leaves_whole_frames_and_goes_on(tmp_path, render):
    rig_file, out = write_rig_file(tmp_path), tmp_path / "out"
    process = fake_rig.start("render", str(rig_file), "--output", str(out), FAKE_RIG_SECONDS="0.2")
    while len(list(out.glob("frame_*.png"))) < 3:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    left = pictures(out)
    assert 3 <= len(left) < FRAMES
    for name in left:
        Image.open(out / name).load()
    times = {name: os.stat(out / name).st_mtime_ns for name in left}

    status, text, errors = render(rig_file, "--output", out, "--resume")
    assert status == 0, errors
    assert f"{FRAMES - len(left)} frames rendered, {len(left)} were there" in text
    assert {name: os.stat(out / name).st_mtime_ns for name in left} == times
    render(rig_file, "--output", tmp_path / "at once")
    assert pictures(out) == pictures(tmp_path / "at once")


def test_resume_makes_damaged_and_outdated_frames_again(tmp_path, render):
    rig_file, out = write_rig_file(tmp_path), tmp_path / "out"
    render(rig_file, "--output", out)
    before = pictures(out)
    (out / "frame_0002.png").write_bytes(before["frame_0002.png"][:300])
    content = json.loads(rig_file.read_text())
    content["frames"][4]["scale"] = 1.5
    rig_file.write_text(json.dumps(content))
    status, text, _ = render(rig_file, "--output", out, "--resume")
    assert status == 0 and "2 frames rendered, 6 were there" in text
    after = pictures(out)
    assert after["frame_0002.png"] == before["frame_0002.png"]
    assert [name for name in before if before[name] != after[name]] == ["frame_0005.png"]


def test_a_portrait_by_value_is_the_portrait_of_its_seed(tmp_path, render):
    rig = fake_rig.load()
    portrait = serialization.portrait_to_schema(rig.new_portrait(7), rig).model_dump()
    render(write_rig_file(tmp_path), "--output", tmp_path / "seed")
    status, _, errors = render(write_rig_file(tmp_path, portrait=portrait), "--output", tmp_path / "value")
    assert status == 0, errors
    assert pictures(tmp_path / "seed") == pictures(tmp_path / "value")


@pytest.mark.parametrize("kind", ["png", "exr"])
@pytest.mark.parametrize("compression", ["ZIP", "DWAA"])
def test_a_picture_is_made_again_from_itself(tmp_path, render, kind, compression):
    output = {"size": 20, "passes": ["UV", "Position", "HeadMatte"], "compression": compression}
    render(write_rig_file(tmp_path, output=output), "--output", tmp_path / "out", "--format", kind)
    picture = tmp_path / "out" / f"frame_0003.{kind}"
    status, _, errors = render(picture, "--output", tmp_path / "again", "--format", kind)
    assert status == 0, errors
    assert list(pictures(tmp_path / "again").values()) == [picture.read_bytes()]


@pytest.mark.parametrize("options", [[], ["--share", "expression", "light", "--from-seed", "9", "--size", "48"]])
def test_a_sample_is_made_again_from_itself(tmp_path, capsys, render, options):
    assert main.main(["sample", "--seeds", "3", "4", "--output", str(tmp_path / "out"), *options], rig_loader=fake_rig.load) == 0
    for picture in sorted((tmp_path / "out").iterdir()):
        status, _, errors = render(picture, "--output", tmp_path / picture.stem)
        assert status == 0, errors
        assert list(pictures(tmp_path / picture.stem).values()) == [picture.read_bytes()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_rig_files_as_editors_save_them(tmp_path, render, encoding):
    path = write_rig_file(tmp_path, frames=[{}, {"rotation": [0.2, 0, 0]}])
    path.write_bytes(path.read_text().encode(encoding))
    status, _, errors = render(path, "--output", tmp_path / "out")
    assert status == 0, errors
    assert len(pictures(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"frames": [' + b"[]," * schema.MAX_PARTS + b"0]}", "more lists and objects"),
        (b'{"frames": [{"expression": {' + b",".join(b'"e%d": 0' % n for n in range(1025)) + b"}}]}", "more than 1024 names"),
        (b'{"portrait": {"seed": ' + b"7" * 5000 + b'}, "frames": [{}]}', "4300 digits"),
        (b"\xff\xfe{\x00\x80", "not JSON"),
    ],
    ids=["nested", "lists", "names", "digits", "half a sign"],
)
def test_a_rig_file_of_too_many_parts_is_refused(tmp_path, render, content, message):
    (tmp_path / "rig.json").write_bytes(content)
    status, _, errors = render(tmp_path / "rig.json", "--output", tmp_path / "out")
    assert_refused(status, errors, message)


def test_what_is_too_large_or_no_file_is_refused_unread(tmp_path, render):
    large, pipe, picture = tmp_path / "large.json", tmp_path / "pipe.json", tmp_path / "pipe.png"
    with open(large, "wb") as file:
        file.truncate(198_000_000)
    status, _, errors = render(large, "--output", tmp_path / "out")
    assert_refused(status, errors, "it has 198000000 bytes")
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
        os.mkfifo(picture)
        assert_refused(*render(pipe, "--output", tmp_path / "out")[::2], "it is a pipe")
        assert_refused(*render(picture, "--output", tmp_path / "out")[::2], "does not say what it was made from")
    assert_refused(*render(tmp_path, "--output", tmp_path / "out")[::2], "it is a folder")


def test_a_pipe_where_a_frame_belongs_is_no_frame(tmp_path, render):
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with names here")
    rig_file, out = write_rig_file(tmp_path, frames=[{}]), tmp_path / "out"
    out.mkdir()
    os.mkfifo(out / "frame_0001.png")
    status, _, errors = render(rig_file, "--output", out, "--resume")
    assert status == 0, errors
    assert (out / "frame_0001.png").is_file()


def test_a_picture_orders_one_frame(tmp_path, render):
    """However many its recipe has."""
    recipe = {"portrait": {"seed": 1}, "frames": [{}] * 100_000, "output": {"size": 2048}}
    path = picture_of(tmp_path / "many.png", StyleRigRecipe=image_texts.pack_recipe(json.dumps(recipe)))
    status, _, errors = render(path, "--output", tmp_path / "out")
    assert_refused(status, errors, "made from 100000 frames; a picture is one")
    assert not (tmp_path / "out").exists()


def test_what_a_file_says_cannot_steer_the_terminal(tmp_path, render):
    recipe = {"portrait": {"seed": 1}, "frames": [{}], "\x1b]0;mine\x07\x1b[2J\r\nerror: \u202e": 1}
    path = picture_of(tmp_path / "a.png", StyleRigRecipe=image_texts.pack_recipe(json.dumps(recipe)))
    status, _, errors = render(path, "--output", tmp_path / "out")
    assert_refused(status, errors, r"\x1b]0;mine\x07\x1b[2J\r\nerror: \u202e: Extra inputs")


def picture_of(path: Path, **texts: str) -> Path:
    """A PNG of one pixel with these texts."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGBA", (1, 1)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("seed", [2**31, 3698135662, 2**32 - 1, 2**53 + 1, 2**63 - 1])
def test_a_large_seed_is_the_same_person_by_every_way(tmp_path, capsys, render, seed):
    assert main.main(["sample", "--seeds", str(seed), "--output", str(tmp_path)], rig_loader=fake_rig.load) == 0
    status, _, errors = render(write_rig_file(tmp_path, portrait={"seed": seed}, frames=[{}]), "--output", tmp_path / "out")
    assert status == 0, errors
    sample, frame = Image.open(tmp_path / f"person_{seed}.png"), Image.open(tmp_path / "out" / "frame_0001.png")
    assert sample.tobytes() == frame.tobytes() and f"seed {seed}" in frame.info["Source"]


@pytest.mark.parametrize("seed", ["-1", "9223372036854775808", "1e3", "7.0", "٣"])
def test_what_is_no_seed(tmp_path, capsys, seed):
    for options in (["--seeds", seed], ["--seeds", "1", "--of", seed]):
        with pytest.raises(SystemExit) as ended:
            main.main(["sample", *options, "--output", str(tmp_path / "out")], rig_loader=fake_rig.load)
        assert ended.value.code == 2 and "from 0 to 9223372036854775807" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_picture_that_does_not_say_what_made_it(tmp_path, render):
    path = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(path)
    status, _, errors = render(path, "--output", tmp_path / "out")
    assert_refused(status, errors, "does not say what it was made from")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": []}, "frames: "),
        ({"frames": [{}, {"rotation": [0, float("nan"), 0]}]}, "frames.1.rotation.1: "),
        ({"frames": [{}, {"expression": {"smile": 1}}]}, "no expression 'smile'"),
        ({"portrait": {"seed": -1}}, "seed: "),
        ({"portrait": {"seed": 2**63}}, "seed: "),
        ({"portrait": {"seed": 1, "model": "other"}}, "no model 'other'"),
        ({"portrait": 5}, "portrait"),
        ({"output": {"size": 9}}, "output.size: "),
        ({"extra": 1}, "extra: "),
    ],
)
def test_a_wrong_rig_file_is_one_line_and_no_frame(tmp_path, render, changes, message):
    status, out, errors = render(write_rig_file(tmp_path, **changes), "--output", tmp_path / "out")
    assert_refused(status, errors, message)
    assert out == "" and not list(tmp_path.glob("out/*"))


def test_portrait_of_other_weights(tmp_path, render):
    rig = fake_rig.load()
    portrait = serialization.portrait_to_schema(rig.new_portrait(7), rig).model_dump()
    portrait["weights_hash"] = "0" * 64
    status, _, errors = render(write_rig_file(tmp_path, portrait=portrait), "--output", tmp_path / "out")
    assert_refused(status, errors, "weights that made this portrait (studio 00000000) are not here")


@pytest.mark.parametrize("content", [None, b"", b"not json", b"\xff\x00"])
def test_a_rig_file_that_is_none(tmp_path, render, content):
    path = tmp_path / "rig.json"
    if content is not None:
        path.write_bytes(content)
    status, _, errors = render(path, "--output", tmp_path / "out")
    assert_refused(status, errors, str(path))


@pytest.mark.parametrize("place", ["file/out", "file", "closed/out", "/proc/out"])
def test_output_folder_that_cannot_be_written(tmp_path, render, place):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "closed").mkdir(mode=0o500)
    if place.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no folder here that even root may not write to")
    if place.startswith("closed") and os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    status, _, errors = render(write_rig_file(tmp_path), "--output", tmp_path / place)
    assert_refused(status, errors, "Cannot write")
    assert (tmp_path / "file").read_text() == "in the way"


def test_missing_weights(tmp_path, render, monkeypatch):
    monkeypatch.setenv("FAKE_RIG_MISSING", "1")
    status, _, errors = render(write_rig_file(tmp_path), "--output", tmp_path / "out")
    assert_refused(status, errors, "The weights are not there.")


def assert_refused(status: int, errors: str, message: str) -> None:
    """Exit status 2, one line that says ``message`` and one hint."""
    assert status == 2
    line, hint = errors.splitlines()
    assert line.startswith("error: ") and message in line
    assert hint.startswith("hint: ")
