"""Every script that draws the docs' pictures runs, at its smallest."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image

from backend.cli.render import read_rig_file
from tests.helpers.untrained_rig import untrained_rig

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """script(name, arguments, **settings): a module of docs/pictures with other settings, its arguments on the command line."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # what is small is quicker alone

    def load(name: str, *arguments: str, **settings: object) -> ModuleType:
        specification = importlib.util.spec_from_file_location(f"pictures_{name}", PICTURES / f"{name}.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        for setting, value in settings.items():
            assert hasattr(module, setting)
            setattr(module, setting, value)
        return module

    yield load
    torch.set_num_threads(before)


def save(picture: Path, width: int, height: int) -> None:
    """Random pixels, with alpha."""
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 4), np.uint8)
    Image.fromarray(pixels).save(picture)


def test_each_script_is_run_by_a_test():
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    forms = ('script("{}"', "docs.pictures.{}", "docs/pictures/{}.py")
    assert not [path.name for path in PICTURES.glob("*.py") if not any(form.format(path.stem) in tests for form in forms)]


def test_looks_on_portraits_and_on_a_speaker(script, tmp_path):
    rig = untrained_rig()
    small = {"SEEDS": range(2), "DRAWN": 64, "SHOWN": 64, "FRAMES": 2}
    looks = script("looks", "--output", str(tmp_path), Rig=SimpleNamespace(load=lambda name: rig), **small)
    looks.main()
    assert {path.stem for path in tmp_path.iterdir()} == set(looks.DEFAULT)
    portraits, drawn = np.split(np.asarray(Image.open(tmp_path / "drawing.jpg")), 2)
    assert portraits.shape == (64, 128, 3) and np.abs(portraits.astype(float) - drawn).mean() > 20
    portraits, plain, coloured = np.split(np.asarray(Image.open(tmp_path / "colourise.jpg")).astype(float), 3)
    assert np.ptp(plain, axis=2).mean() < 3 < np.ptp(coloured, axis=2).mean()
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames == 2 and film.size == (6 * 64, 64)
    looks = script("looks", "--rig-file", str(tmp_path / "shot.json"), Rig=SimpleNamespace(load=lambda name: rig), **small)
    looks.main()
    frames = read_rig_file(tmp_path / "shot.json").frames
    assert len(frames) == 2 and frames[0].rotation != frames[1].rotation


def test_sheets_of_the_head(script, tmp_path):
    face = script("face", FINE=0.2, tqdm=lambda work, *_: list(work)[:2], OUTPUT=tmp_path)
    face.main()
    assert {path.stem for path in tmp_path.iterdir()} == {*face.SHEETS, *face.SHEETS_2}
    for path in tmp_path.iterdir():
        assert np.asarray(Image.open(path)).std() > 5, f"{path.name} is empty"


def test_people_who_speak(script, tmp_path, monkeypatch):
    rig = untrained_rig()
    animation = script("animation", "--seeds", "1", "2", "--output", str(tmp_path / "people.webp"), SIZE=16, FRAMES=3)
    monkeypatch.setattr(animation.Rig, "load", lambda **_named: rig)
    animation.main()
    with Image.open(tmp_path / "people.webp") as written:
        assert (written.n_frames, written.size, written.info["loop"]) == (3, (32, 16), 0)


def test_faces_under_hdris(script, tmp_path):
    for name in ("day", "night"):
        channels = {letter: np.random.default_rng(2).random((8, 16), np.float32) for letter in "RGB"}
        OpenEXR.File({"type": OpenEXR.scanlineimage}, channels).write(str(tmp_path / f"{name}.exr"))
    light = script("light", "--world", str(tmp_path), FINE=1, TILE=64, STRIP=16, BALL=20, MARGIN=2, OUTPUT=tmp_path / "sheet.jpg")
    light.main()
    assert Image.open(tmp_path / "sheet.jpg").size == (4 * 64, 64 + 16)


class FirstOnly:
    """Instead of models.synthetic's Photographer, which needs Blender: takes one picture, of noise."""

    def __init__(self, *_: object):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_: object):
        pass

    def take(self, jobs):
        noise = np.random.default_rng(3).random((16, 16, 4), np.float32)
        yield next(iter(jobs)), {"colour": noise, "matte": noise[..., 3]}


@pytest.mark.slow
def test_sheets_of_the_studio(script, tmp_path):
    studio = script("synthetic", "--size", "16", "--output", str(tmp_path), Photographer=FirstOnly)
    studio.main()
    assert {path.stem for path in tmp_path.iterdir()} == set(studio.SHEETS)


def test_portraits_in_a_shot(script, tmp_path, monkeypatch):
    """Without Blender: what is drawn there stands in tests/blender/test_pictures_shot.py."""
    shot = script("shot", "--seed", "3", WIDTH=16, HEIGHT=12, OUTPUT=tmp_path / "shot.jpg")
    started = []
    fake = SimpleNamespace(
        install=lambda *_: None, environment=lambda folder: {}, command=lambda script, *arguments: [script.name, *arguments]
    )
    monkeypatch.setattr("backend.project.blender.wheels", lambda environments: [fake])
    monkeypatch.setattr("backend.project.extension.package", lambda folder: folder)

    def draw(command, **_):
        started.append(command)
        for engine in ("CYCLES", "STYLERIG"):
            for number in range(len(shot.SHOTS)):
                save(Path(command[2]) / f"{engine}-{number}.png", 16, 12)

    monkeypatch.setattr(shot.subprocess, "run", draw)
    shot.main()
    assert started[0][:2] == ["shot.py", "--inside"] and started[0][3] == "3"
    assert Image.open(tmp_path / "shot.jpg").size == (4 * 20 + 4, 3 * 16 + 4)


def test_pictures_of_the_window(script, tmp_path):
    window = script("window", "--kept", SCREENSHOTS=tmp_path, IMAGES=tmp_path)
    with pytest.raises(SystemExit, match=r"Not in .*live.png"):
        window.main()
    for sources, _, _ in window.PICTURES.values():
        for source in sources:
            save(tmp_path / source, 400, 600)
    sidebar = np.zeros((600, 400, 3), np.uint8)
    sidebar[20:570:40] = 255  # lines of text
    Image.fromarray(sidebar).save(tmp_path / "sidebar.png")
    assert window.main() == 0
    assert {path.stem for path in tmp_path.glob("*.jpg")} == set(window.PICTURES)
