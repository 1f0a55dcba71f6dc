"""The whole demo, once, with 4 frames: its files are what README.md says, and its .blend renders again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from backend.project.blender import Blender
from backend.project.common import BUILD, ROOT

pytestmark = pytest.mark.slow

FRAMES = 4
PASSES = {"Combined": "RGBA", "FaceMask": "V", "Normal": "XYZ", "Albedo": "RGB", "Shading": "RGB", "Depth": "V"}
FAR = 1e9  # metres; depth beyond is background


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, blender: Blender) -> SimpleNamespace:
    """The demo's output folder and what it printed. No Blender of the person's own takes part."""
    output = tmp_path_factory.mktemp("demo") / "out"
    # python build.py demo --frames 4 --output DIR, in a home of its own
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, ROOT / "build.py", "demo", "--frames", str(FRAMES), "--output", output]
    environment = {**os.environ, "HOME": str(home)}
    answer = subprocess.run(list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    log = output / "demo.log"
    assert answer.returncode == 0, answer.stdout + answer.stderr + (log.read_text()[-4000:] if log.exists() else "")
    return SimpleNamespace(output=output, shown=answer.stdout, home=home)


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """Channels of a multilayer EXR by their names, (H, W) each."""
    import OpenEXR

    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: np.array(channel.pixels) for part in file.parts for name, channel in part.channels.items()}


def pass_of(channels: dict[str, np.ndarray], name: str) -> np.ndarray:
    """One pass (H, W, C)."""
    return np.stack([channels[f"{name}.{letter}"] for letter in PASSES[name]], axis=-1)


def pictures(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path).convert("RGB")).astype(float) for path in sorted(folder.glob("*.png"))]


def test_every_frame_is_there_and_they_differ(demo):
    frames = pictures(demo.output / "frames")
    assert len(frames) == FRAMES
    for before, after in pairwise(frames):
        assert np.abs(after - before).mean() > 1


def test_the_plate_shows_around_the_portrait_and_not_through_it(demo):
    frame = pictures(demo.output / "frames")[0]
    plate = np.asarray(Image.open(demo.output / "plate.png").convert("RGB")).astype(float)
    height, width = frame.shape[:2]
    margin = (width - height) // 2 - 2
    assert np.abs(frame[:, :margin] - plate[:, :margin]).max() <= 2
    centre = (slice(height // 3, 2 * height // 3), slice(width // 2 - 20, width // 2 + 20))
    assert np.abs(frame[centre] - plate[centre]).mean() > 10


def test_multilayer_exr_holds_every_pass(demo):
    paths = sorted((demo.output / "passes").glob("*.exr"))
    assert len(paths) == FRAMES
    channels = read_exr(paths[0])
    passes = {name: pass_of(channels, name) for name in PASSES}
    alpha, mask, depth = passes["Combined"][..., 3], passes["FaceMask"][..., 0], passes["Depth"][..., 0]
    assert 0.05 < alpha.mean() < 0.9 and alpha.min() == 0 and alpha.max() > 0.95
    assert 0.02 < mask.mean() < alpha.mean() + 0.05
    inside = mask > 0.99
    assert np.allclose(np.linalg.norm(passes["Normal"][inside], axis=-1), 1, atol=0.1)
    assert (passes["Albedo"][inside] > 0).all() and passes["Shading"][inside].mean() > 0.1
    assert 0.9 < np.median(depth[inside]) < 1.3  # the camera stands 1.2 m before the head's middle
    assert (depth[0, 0] > FAR) and np.isfinite(passes["Combined"]).all()


def test_combined_is_premultiplied(demo):
    for path in (demo.output / "passes").glob("*.exr"):
        combined = pass_of(read_exr(path), "Combined")
        assert np.abs(combined[combined[..., 3] == 0]).max() == 0


def test_sheet_film_texture_and_log_are_there(demo):
    import imageio_ffmpeg

    frame = pictures(demo.output / "frames")[0]
    assert len(list(imageio_ffmpeg.read_frames(str(demo.output / "film.mp4")))) == FRAMES + 1  # and its header
    sheet = Image.open(demo.output / "contact-sheet.png")
    assert sheet.width > FRAMES * frame.shape[1]
    texture = np.asarray(Image.open(demo.output / "texture.png").convert("RGB")).astype(float)
    assert texture.std() > 5
    assert (demo.output / "demo.log").stat().st_size > 0


def test_it_says_what_it_does_and_how_long_a_frame_takes(demo):
    for words in ("Packaged the extension", "Built the rig", f"{FRAMES}/{FRAMES}", "s per frame", "film.mp4"):
        assert words in demo.shown


def test_the_home_folder_is_left_alone(demo):
    assert [path.name for path in demo.home.rglob("*") if path.is_file()] == []


def test_the_saved_file_renders_the_same_frames_again(demo, blender, tmp_path, run_python):
    """A copy elsewhere, without its frames: the file needs nothing but the plate beside it."""
    for name in ("demo.blend", "plate.png"):
        shutil.copy(demo.output / name, tmp_path / name)
    script = blender.command(ROOT / "blender_addon" / "demo.py", "--again", str(tmp_path / "demo.blend"))
    answer = run_python(script, env=blender.environment(BUILD / "demo-blender"))
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    first, second = pictures(demo.output / "frames"), pictures(tmp_path / "frames")
    assert len(second) == FRAMES
    assert max(np.abs(a - b).max() for a, b in zip(first, second, strict=True)) == 0


def test_an_output_folder_that_cannot_be_written_is_said_at_once(tmp_path, run_python):
    (tmp_path / "file").write_text("in the way")
    command = [sys.executable, ROOT / "build.py", "demo", "--frames", "1", "--output", tmp_path / "file" / "out"]
    answer = run_python(command)
    assert answer.returncode == 1
    assert "Cannot write to" in answer.stderr and "Choose another folder with --output" in answer.stderr


def test_no_backend_environment_is_said_clearly(demo, blender, tmp_path, run_python):
    shutil.copy(demo.output / "demo.blend", tmp_path / "demo.blend")
    shutil.copy(demo.output / "plate.png", tmp_path / "plate.png")
    variables = {**blender.environment(BUILD / "demo-blender"), "STYLERIG_PYTHON": str(tmp_path / "absent")}
    script = blender.command(ROOT / "blender_addon" / "demo.py", "--again", str(tmp_path / "demo.blend"))
    answer = run_python(script, env=variables)
    assert answer.returncode == 1
    [error] = [line for line in answer.stdout.splitlines() if line.startswith("@error")]
    assert "absent" in error or "environment" in error
    assert not list((tmp_path / "frames").glob("*.png"))


def test_missing_weights_are_said_and_finished_frames_stay(demo, blender, tmp_path, run_python):
    """The file is opened where the weights of its portrait are not installed."""
    payload = tmp_path / "payload"
    for part in ("backend", "models"):
        shutil.copytree(ROOT / part, payload / part, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    shutil.copytree(demo.output, tmp_path / "shot")
    before = {path.name: path.read_bytes() for path in (tmp_path / "shot" / "frames").iterdir()}
    variables = {**blender.environment(BUILD / "demo-blender"), "STYLERIG_PAYLOAD": str(payload)}
    script = blender.command(ROOT / "blender_addon" / "demo.py", "--again", str(tmp_path / "shot" / "demo.blend"))
    answer = run_python(script, env=variables)
    assert answer.returncode == 1
    [error] = [line for line in answer.stdout.splitlines() if line.startswith("@error")]
    assert "weights" in error
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "shot" / "frames").iterdir()}
