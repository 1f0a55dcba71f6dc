"""The photo studio: pictures follow from their numbers, their truth fits them, and nothing is lost on the way."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.face import load_face_model
from models.face.harmonics import luminance, project_environment
from models.io.atomic_write import write_atomic
from models.studio import __main__ as studio
from models.studio import hair, heads, wardrobe
from models.studio.__main__ import main, picture_path
from models.studio.develop import develop, tone
from models.studio.environments import environment_harmonics, mixed_panorama
from models.studio.heads import borrow, studio_head
from models.studio.meaning import visible_looks
from models.studio.person import head_surface, person_message, prepare, stage_message
from models.studio.process import CyclesProcess
from models.studio.scene import (
    ENVIRONMENTS,
    LOOKS,
    PITCH_END,
    ROLL_END,
    YAW_END,
    latent_size,
    scene_from_latent,
)

ROOT = Path(__file__).resolve().parents[1]
BLENDER = ROOT / ".venv-bpy-5.2" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
PLACES = [Path(os.environ.get("STYLERIG_ICT", "/nowhere")), ROOT.parent / "shared" / "ict-facekit", Path(tempfile.gettempdir()) / "ict"]
ICT = next((place for place in PLACES if (place / "FaceXModel").is_dir()), None)
needs_blender = pytest.mark.skipif(not BLENDER.exists(), reason=f"{BLENDER.parent.parent.name} is not there: python build.py setup makes it")


@pytest.fixture(scope="module")
def face():
    return load_face_model(None)


@pytest.fixture(scope="module")
def assets(face):
    return prepare(face)


@pytest.fixture(scope="module")
def scene(face):
    return scene_from_latent(torch.randn(400, latent_size(face), generator=torch.Generator().manual_seed(1)), face)


def test_scenes_span_what_a_portrait_shows(face, scene):
    parameters = scene.parameters
    yaw, pitch = parameters.rotation[:, 0], parameters.rotation[:, 1]
    assert float(yaw.abs().max()) <= YAW_END + 1e-6 and float(yaw.abs().max()) > 0.9 * YAW_END
    assert float(pitch.abs().max()) <= PITCH_END + 1e-6 and float(pitch.abs().max()) > 0.9 * PITCH_END
    assert 0.9 * ROLL_END < float(scene.body_roll.abs().max()) <= ROLL_END + 1e-6
    weights = parameters.expression
    assert weights.min() >= 0 and weights.max() <= 1
    reached = dict(zip(face.expression_names, weights.amax(dim=0).tolist(), strict=True))
    assert all(value > 0.25 for value in reached.values()), {k: v for k, v in reached.items() if v <= 0.25}
    moved = torch.tensor([not name.startswith("eyeLook") for name in face.expression_names])
    assert float((weights[:, moved] > 0.3).sum(dim=1).float().median()) <= 7  # a face wears a few at a time


def test_the_eyes_look_back_towards_the_camera(face, scene):
    index = {name: i for i, name in enumerate(face.expression_names)}
    leftward = scene.parameters.expression[:, index["eyeLookOut_L"]] - scene.parameters.expression[:, index["eyeLookIn_L"]]
    assert np.corrcoef(leftward, scene.parameters.rotation[:, 0])[0, 1] < -0.6


def test_light_is_exposed_for_the_face_and_never_negative_on_the_whole(scene):
    mean = luminance(scene.parameters.light[:, 0]) / math.sqrt(4 * math.pi)
    assert 0.05 < float(mean.min()) and float(mean.max()) < 6


def test_a_turned_panorama_has_turned_harmonics(scene):
    for row in range(3):
        weights, turn = scene.environment[row], float(scene.environment_turn[row])
        image = torch.from_numpy(mixed_panorama(weights.numpy(), turn)).float()
        lamps = (scene.key.light() + scene.rim.light())[row]
        assert torch.allclose(project_environment(image), scene.parameters.light[row] - lamps, atol=0.03)


def test_environments_have_a_mean_luminance_of_one():
    assert environment_harmonics().shape == (len(ENVIRONMENTS), 9, 3)
    assert torch.allclose(luminance(environment_harmonics()[:, 0]) / math.sqrt(4 * math.pi), torch.ones(8), atol=0.02)


def test_a_person_is_the_same_every_time_and_others_differ(assets, scene):
    first, second, other = (person_message(scene, row, assets, seed=1) for row in (0, 0, 1))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert np.abs(first["head"] - other["head"]).max() > 0.3
    assert all(np.isfinite(array).all() for array in first.values())


def test_visible_looks_are_those_that_a_person_is_made_of(assets, scene):
    seen = visible_looks(scene)
    styles = np.stack([scene.looks[f"style_{name}"].numpy() for name in hair.STYLE_NAMES], axis=1)
    count = len(hair.STYLE_NAMES)
    assert np.array_equal(seen[:, :count].numpy().argmax(axis=1), styles.argmax(axis=1))
    assert torch.allclose(seen[:, :count].sum(dim=1), torch.ones(len(seen)))
    for row in (0, 7):
        look = {name: float(values[row]) for name, values in scene.looks.items()}
        assert np.allclose(seen[row, count : count + len(hair.FIELDS)], list(hair.blended_style(look).values()), atol=1e-4)
    number = scene.looks["glasses"]
    for row, wears in ((int(number.argmax()), True), (int(number.argmin()), False)):
        assert bool(person_message(scene, row, assets, 1)["has_glasses"]) == wears
        assert bool(seen[row, count + len(hair.FIELDS) + 4] > 0.5) == wears


def test_there_are_many_haircuts_and_they_stay_outside_the_head(assets, face):
    assert len(hair.STYLE_NAMES) >= 12
    rest, normals = face.mean.numpy().astype(float), hair.unit(face.mean.numpy() - hair.CENTRE)
    skull = hair.Skull(rest[assets.skull_points])
    lengths = {}
    for name in hair.STYLE_NAMES:
        look = dict.fromkeys((*(f"style_{style}" for style in hair.STYLE_NAMES), "hair_length", "hair_volume", "hair_curl", "hair_part", "hairline"), 0.0)
        look[f"style_{name}"] = 3.0
        strands, chance = hair.scalp_strands(assets.scalp, face.triangles.numpy(), rest, normals, skull, np.array([0, -1.0, 0]), look)
        assert len(strands) == len(chance) and np.isfinite(strands).all()
        lengths[name] = np.linalg.norm(np.diff(strands, axis=1), axis=2).sum(axis=1).mean() if len(strands) else 0.0
        high = strands[:, 2:][strands[:, 2:, 1] > 2]
        assert len(high) or name == "bald"
        inside = np.linalg.norm(skull.push_out(high, np.zeros(len(high))) - high, axis=1) > 0.8
        assert inside.sum() <= 0.1 * len(high)
    assert lengths["bald"] == 0 and lengths["crop"] < lengths["side_part"] < lengths["bob"] < lengths["long_straight"]


def test_spectacles_sit_before_the_eyes(face):
    eyes = face.eye_centers.numpy()
    look = dict.fromkeys(("glasses_width", "glasses_height", "glasses_round", "frame_thick"), 0.0)
    points = wardrobe.glasses(eyes, face.mean[face.landmarks[27]].numpy(), 7.4, look)
    quads, material = wardrobe.glasses_topology()
    assert quads.max() + 1 == len(points) and len(material) == len(quads)
    lens = points[np.unique(quads[material == 1])]
    assert lens[:, 2].min() > eyes[:, 2].max() + 1.0 and np.abs(points[:, 0]).max() < 9
    assert np.allclose(points[:, 0].min(), -points[:, 0].max(), atol=1e-6)


def test_the_tone_curve_rises_and_keeps_middle_grey():
    values = np.linspace(0, 8, 400)
    curve = tone(values)
    assert (np.diff(curve) >= 0).all() and curve.max() <= 1 and tone(np.array(0.18)) == pytest.approx(0.18, abs=1e-3)


def test_a_developed_edge_has_the_colour_of_what_it_bounds():
    colour = np.zeros((16, 16, 4), np.float32)
    colour[:, :8] = (0.3, 0.2, 0.1, 1)
    picture = develop(colour).astype(float)
    assert (picture[..., :3] <= picture[..., 3:] + 1).all()
    edge = picture[8, 8]
    assert 10 < edge[3] < 245
    assert edge[:3] / edge[3] == pytest.approx(picture[8, 2, :3] / 255, abs=0.02)


def test_another_model_borrows_chart_colours_and_turning_eyes(face):
    foreign = replace(
        face,
        identity=torch.cat((face.identity, face.identity[:3])),
        identity_eye_centers=torch.cat((face.identity_eye_centers, face.identity_eye_centers[:3])),
        expression=face.expression * (1 - face.masks["eyes"])[:, None],
        uv=None,
        uv_quads=None,
        uv_triangles=None,
        albedo=face.albedo[:3],
    )
    head = borrow(foreign, face, Path("kit"))
    assert len(head.identity) == len(face.identity) and head.albedo.shape == face.albedo.shape
    assert torch.allclose(head.expression, face.expression, atol=0.02)  # the eyes turn as ours do
    assert head.uv_quads.shape == head.quads.shape and 0 < len(head.quads) < len(face.quads)  # the bust is gone
    painted = (head_surface(head)[1] > 0.01).all(axis=(1, 2)).mean()
    assert painted > 0.9 * (head_surface(face)[1] > 0.01).all(axis=(1, 2)).mean()


def test_a_model_without_parts_or_elsewhere_is_refused(face, tmp_path, monkeypatch):
    load = lambda model: monkeypatch.setattr(heads, "load_face_model", lambda path: model if path else face)
    load(replace(face, masks={"face": face.masks["face"]}))
    with pytest.raises(StyleRigError, match="skin, eyes, teeth, mouth are not known"):
        studio_head(tmp_path)
    load(replace(face, mean=face.mean + torch.tensor([0.0, 0.0, 9.0])))
    with pytest.raises(StyleRigError, match="cm from where the studio expects it"):
        studio_head(tmp_path)


@pytest.mark.skipif(ICT is None, reason="../shared/ict-facekit is not unpacked, nor is STYLERIG_ICT its folder")
def test_the_published_kit_stands_before_the_camera(face):
    head = studio_head(ICT)
    assert head.identity.shape[0] == face.identity.shape[0] and head.expression_names == face.expression_names
    places = [head.mean[head.landmarks], face.mean[face.landmarks]]
    assert float((places[0] - places[1]).norm(dim=1).mean()) < 0.25  # cm
    assert len(prepare(head).scalp.home) == 3600


@needs_blender
def test_the_lit_side_is_where_the_truth_says(assets, scene, tmp_path):
    process = CyclesProcess(str(BLENDER), stage_message(assets, 64, threads=1), tmp_path / "log")
    person = person_message(scene, 0, assets, seed=1)
    from_left = np.zeros((64, 128, 3))
    from_left[24:40, 56:72] = 20.0  # the middle column looks along +x: the face's left, the picture's right
    person |= {"key_irradiance": np.zeros(3), "rim_irradiance": np.zeros(3), "has_glasses": np.array(False)}
    try:
        process.start({**person, "environment": from_left[::-1]})
        frame = process.finish()
    finally:
        process.close()
    assert project_environment(torch.from_numpy(from_left))[3].sum() > 0  # x
    bright = (frame["colour"][..., :3].sum(axis=-1) * frame["face"])[20:50]
    assert bright[:, 34:].sum() > 1.5 * bright[:, :30].sum()


@needs_blender
def test_a_set_is_made_goes_on_after_a_loss_and_is_the_same_again(tmp_path, face):
    arguments = ["--count", "3", "--size", "48", "--seed", "3", "--output", str(tmp_path), "--workers", "1", "--blender-python", str(BLENDER)]
    assert main(arguments) == 0
    before = [picture_path(tmp_path, number).read_bytes() for number in range(3)]
    picture_path(tmp_path, 1).unlink()
    assert main(arguments) == 0
    again = [picture_path(tmp_path, number).read_bytes() for number in range(3)]
    assert again[::2] == before[::2]
    decode = lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).astype(int)
    assert np.abs(decode(again[1]) - decode(before[1])).max() <= 1
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["format"] == 2 and index["latents"] == latent_size(face) and index["size"] == 48
    assert index["attributes"]["glasses"] == [index["layout"]["looks"][0] + LOOKS.index("glasses"), 1.15]
    picture = cv2.imread(str(picture_path(tmp_path, 0)), cv2.IMREAD_UNCHANGED)
    truth = np.load(picture_path(tmp_path, 0).with_suffix(".npz"), allow_pickle=False)
    assert picture.shape == (48, 48, 4) and (picture[..., :3] <= picture[..., 3:].astype(int) + 1).all()
    assert truth["latent"].shape == (latent_size(face),) and truth["landmarks"].shape == (68, 2)
    rows, columns = ((1 - truth["landmarks"][17:, 1]) * 24).astype(int), ((truth["landmarks"][17:, 0] + 1) * 24).astype(int)
    assert picture[rows.clip(0, 47), columns.clip(0, 47), 3].mean() > 240  # the landmarks lie on the head
    assert 0.1 < (truth["mask"] > 127).mean() < 0.6
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000 and not list(tmp_path.rglob(".*.png"))


@needs_blender
def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path, monkeypatch):
    arguments = ["--count", "6", "--size", "32", "--seed", "3", "--output", str(tmp_path), "--workers", "1", "--blender-python", str(BLENDER)]
    written = []

    def full_after_two(path, content):
        if path.suffix == ".png" and len(written) == 2:
            raise StyleRigError(f"Cannot write {path}: No space left on device.", "Choose a folder that has space left.")
        written.extend([path] if path.suffix == ".png" else [])
        return write_atomic(path, content)

    monkeypatch.setattr(studio, "write_atomic", full_after_two)
    with pytest.raises(StyleRigError, match="No space left"):
        main(arguments)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["000000.png", "000001.png"]
    monkeypatch.undo()
    assert main(arguments) == 0 and len(list(tmp_path.rglob("*.png"))) == 6


@needs_blender
def test_a_blender_that_dies_is_told_and_the_rest_is_kept(assets, scene, tmp_path):
    process = CyclesProcess(str(BLENDER), stage_message(assets, 32, threads=1), tmp_path / "log")
    try:
        process.process.kill()
        process.start(person_message(scene, 0, assets, seed=1))
        with pytest.raises(StyleRigError, match="could not render") as caught:
            process.finish()
        assert "goes on from there" in caught.value.hint
    finally:
        process.close()


@needs_blender
def test_another_set_is_not_mixed_in(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps({"format": 2, "size": 64, "seed": 1, "head": "x", "count": 5, "latents": 3, "layout": {}}))
    with pytest.raises(StyleRigError, match="another set: size, seed"):
        main(["--size", "48", "--seed", "3", "--output", str(tmp_path)])


def test_a_missing_blender_is_told_with_the_way_out(tmp_path):
    command = [sys.executable, "-m", "models.studio", "--count", "1", "--output", str(tmp_path), "--blender-python", "/nowhere/python"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1 and "No Blender answers at /nowhere/python" in result.stderr and "build.py setup" in result.stderr
    assert not list(tmp_path.rglob("*.png"))
