"""The photo studio: pictures follow from their numbers, their truth fits them, and nothing is lost on the way."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.errors import StyleRigError
from models.face import load_face_model, posing
from models.face.camera import rotation_matrix
from models.face.fragments import interpolate, rasterize
from models.face.frame import ANCHOR, half_width
from models.face.harmonics import project_environment
from models.io.atomic_write import write_atomic
from models.synthetic import accessories, clothing, dataset, expressions, light
from models.synthetic.__main__ import main
from models.synthetic.blender.process import CyclesProcess
from models.synthetic.classes import CHANNELS, CLASSES, labels
from models.synthetic.dataset import HEAD, picture_path, png_bytes, sheet_of
from models.synthetic.environments import NAMES, environment_harmonics, mixed_panorama
from models.synthetic.light import draw_light, on_face
from models.synthetic.message import (
    Pose,
    ear_lobes,
    make_model,
    person_message,
    prepare,
    shot_message,
    stage_message,
)
from models.synthetic.person import latent_of, latent_size, person_from_latent
from models.synthetic.shot import DISTANCE, FARTHEST, NECK, SHOTS, Shot, draw_shot
from models.synthetic.tonemap import develop, tone

ROOT = Path(__file__).resolve().parents[2]
BLENDER = ROOT / ".venv-bpy-5.2" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
needs_blender = pytest.mark.skipif(
    not BLENDER.exists(), reason=f"{BLENDER.parent.parent.name} is not there: python build.py setup makes it"
)


@pytest.fixture(scope="module")
def face():
    return load_face_model(HEAD)


@pytest.fixture(scope="module")
def assets(face):
    return prepare(face)


@pytest.fixture(scope="module")
def people(face):
    return [person_from_latent(latent_of(1, number, face), face) for number in range(60)]


@pytest.fixture(scope="module")
def shots(face, people):
    return [draw_shot(np.random.default_rng((1, number)), people[number % len(people)], face) for number in range(500)]


def test_people_are_of_all_ages_and_both_sexes(people):
    ages, masculine = np.array([p.age for p in people]), np.array([p.masculine for p in people])
    assert ages.min() >= 18 and ages.max() <= 80 and (ages > 55).mean() > 0.15 and (ages < 30).mean() > 0.15
    assert (masculine > 0.6).mean() > 0.2 and (masculine < -0.6).mean() > 0.2


def test_poses_and_lenses_span_what_a_shot_may_want(shots):
    angles = np.degrees([shot.rotation for shot in shots])
    for column, name in enumerate(("yaw", "pitch", "roll")):
        farthest = np.abs(angles[:, column]).max()
        assert 0.85 * FARTHEST[name] < farthest <= FARTHEST[name]
    distance = np.array([shot.distance for shot in shots])
    assert distance.min() >= DISTANCE[0] and distance.max() <= DISTANCE[1] and (distance < 60).any() and (distance > 400).any()
    usual = (np.abs(angles[:, 0]) <= 40) & (distance >= 80) & (distance <= 200)
    assert usual.mean() > 0.6


def test_necks_turn_no_farther_than_necks_do(shots):
    twist = np.degrees([shot.rotation - shot.body for shot in shots])
    assert (np.abs(twist) <= np.array(list(NECK.values())) + 1e-6).all()


def test_every_expression_is_seen_alone_and_most_pictures_are_calm(face, shots):
    weights = np.array([shot.expression for shot in shots])
    assert weights.min() >= 0 and weights.max() <= 1
    moving = [i for i, name in enumerate(face.expression_names) if not name.startswith(("eyeLook", "eyeBlink"))]
    strong = (weights[:, moving] > 0.4).sum(axis=1)
    assert (strong == 0).mean() > 0.4
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(1500):
        alone = dict.fromkeys(face.expression_names, 0.0)
        expressions.single(random, alone)
        seen |= {name for name, value in alone.items() if value}
    assert seen == {name for name in face.expression_names if not name.startswith("eyeLook")}


def test_shares_are_shares():
    for shares in (expressions.SHARES, light.SHARES):
        assert sum(shares.values()) == pytest.approx(1.0)


def test_combinations_name_expressions_that_there_are(face):
    stems = {name.removesuffix("_L").removesuffix("_R") for name in face.expression_names}
    assert {stem for parts in expressions.COMBINATIONS.values() for stem in parts} <= stems


def test_the_eyes_look_back_towards_the_camera(face, shots):
    index = {name: i for i, name in enumerate(face.expression_names)}
    leftward = np.array([shot.expression[index["eyeLookOut_L"]] - shot.expression[index["eyeLookIn_L"]] for shot in shots])
    yaw = np.array([shot.rotation[0] for shot in shots])
    assert np.corrcoef(leftward, yaw)[0, 1] < -0.5
    held = expressions.gaze_weights(-0.3, 0.2)
    assert held["eyeLookOut_R"] == held["eyeLookIn_L"] > 0 and held["eyeLookUp_L"] > 0 and held["eyeLookOut_L"] == 0


def test_an_open_jaw_and_a_turned_head_neither_move_nor_zoom_the_frame(face, people, shots):
    person, shot = people[0], shots[0]
    open_jaw = shot.expression.copy()
    open_jaw[face.expression_names.index("jawOpen")] = 1.0
    other = Shot(open_jaw, np.radians([60.0, -20.0, 10.0]), shot.body, shot.distance, shot.light)
    assert other.camera(person, face) == shot.camera(person, face)
    for each in (shot, other):
        parameters = each.parameters(person, face)
        anchor = rotation_matrix(parameters.rotation) @ torch.tensor(ANCHOR) + parameters.translation
        assert anchor.abs().max() < 1e-4


def test_the_whole_head_lies_in_the_frame_at_every_pose_and_lens(face, people):
    skin = face.masks["face"] > 0.5
    skull = (face.mean[:, 1] > -8) | skin
    for number, angles in enumerate([(0, 0, 0), (75, 0, 0), (-75, 20, 0), (0, 35, 25), (40, -35, -25)]):
        shot = draw_shot(np.random.default_rng(number), people[number], face)
        for distance in DISTANCE:
            placed = Shot(shot.expression, np.radians(np.array(angles, float)), shot.body, distance, shot.light)
            parameters, camera = placed.parameters(people[number], face), placed.camera(people[number], face)
            points = face.vertices(parameters.identity, parameters.expression)[:, skull]
            world = (rotation_matrix(parameters.rotation) @ points.mT).mT + parameters.translation[:, None]
            assert camera.project(world)[..., :2].abs().max() < 0.88


def test_the_frame_is_half_as_wide_again_as_the_ffhq_crop(face):
    width = float(half_width(face, torch.zeros(1, len(face.identity))))
    assert width == pytest.approx(1.5 * 12.5, rel=0.06)


@pytest.mark.parametrize("kind", list(light.SHARES))
def test_light_is_exposed_for_the_face(kind):
    lights = [draw_light(np.random.default_rng(number), 0.0, kind) for number in range(40)]
    reaches = np.array([on_face(each.harmonics()) for each in lights])
    assert 0.35 < np.median(reaches) < 1.3 and reaches.min() > 0.1 and reaches.max() < 3
    assert all((lamp.irradiance >= 0).all() and 0 < lamp.angle <= 1 for each in lights for lamp in each.lamps)


def test_a_turned_panorama_has_turned_harmonics():
    for number in range(3):
        each = draw_light(np.random.default_rng(number), 0.0)
        image = torch.from_numpy(mixed_panorama(each.environment, each.turn)).float()
        lamps = sum(lamp.harmonics() for lamp in each.lamps)
        assert torch.allclose(project_environment(image), each.harmonics() - lamps, atol=0.03)


def test_environments_have_a_mean_luminance_of_one():
    from models.face.harmonics import luminance

    assert environment_harmonics().shape == (len(NAMES), 9, 3)
    assert torch.allclose(luminance(environment_harmonics()[:, 0]) / math.sqrt(4 * math.pi), torch.ones(8), atol=0.02)


def test_a_person_is_the_same_every_time_and_others_differ(assets, people, shots):
    first, second, other = (
        shot_message(make_model(person, assets), shots[0], assets, seed=1) for person in (people[0], people[0], people[1])
    )
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert np.abs(first["head"] - other["head"]).max() > 0.3
    dress = person_message(make_model(people[0], assets), assets, 64)
    assert all(np.isfinite(array).all() for array in (*first.values(), *dress.values()) if array.dtype.kind == "f")


def test_the_neck_joins_head_and_shoulders():
    pose = Pose(torch.tensor([[0.6, 0.2, 0.1]]), torch.tensor([[0.0, -1.0, -1.0]]), np.array([0.1, 0.0, 0.0]))
    points = np.array([[0.0, 5.0, 3.0], [0.0, -20.0, 0.0]])
    assert np.allclose(pose.neck(points)[0], pose.head(points)[0]) and np.allclose(pose.neck(points)[1], pose.body(points)[1])
    pivot = np.array([posing.NECK_PIVOT])
    assert np.allclose(pose.head(pivot), pose.body(pivot))


def test_labels_name_what_most_of_a_pixel_shows():
    shares = np.zeros((1, 3, len(CHANNELS)))
    shares[0, 0, CHANNELS.index("hair")], shares[0, 0, CHANNELS.index("skin")] = 0.6, 0.4
    shares[0, 1, CHANNELS.index("neck")], shares[0, 1, CHANNELS.index("face")] = 0.5, 1.0
    found = labels(shares, np.array([[255, 200, 10]], np.uint8))
    assert [CLASSES[label] for label in found[0]] == ["hair", "neck", "background"]


def test_spectacles_sit_before_the_eyes(face):
    eyes = face.eye_centers.numpy()
    numbers = dict.fromkeys(accessories.NUMBERS, 0.0)
    assert accessories.spectacles(numbers, 0.0) is None and accessories.earrings(numbers, 0.0) is None
    points = accessories.glasses(eyes, face.mean[face.landmarks[27]].numpy(), 7.4, accessories.spectacles(numbers | {"glasses": 2.0}, 0.0))
    quads, material = accessories.glasses_topology()
    assert quads.max() + 1 == len(points) and len(material) == len(quads)
    lens = points[np.unique(quads[material == 1])]
    assert lens[:, 2].min() > eyes[:, 2].max() + 1.0 and np.abs(points[:, 0]).max() < 9
    assert np.allclose(points[:, 0].min(), -points[:, 0].max(), atol=1e-6)


def test_earrings_hang_from_the_ears(face):
    rest = face.mean.numpy().astype(float)
    lobes = ear_lobes(rest, face)
    assert lobes[0, 0] > 6 and lobes[1, 0] < -6 and (lobes[:, 1] < 0).all()
    worn = accessories.earrings(dict.fromkeys(accessories.NUMBERS, 1.0), -1.0)
    points = accessories.earring_points(lobes, worn)
    assert accessories.earring_quads().max() + 1 == len(points) and points[:, 1].max() < lobes[:, 1].max() + 1


@pytest.mark.parametrize("neckline", clothing.NECKLINES)
def test_clothes_lie_over_the_body_and_leave_the_neckline_free(neckline):
    numbers = dict.fromkeys(clothing.NUMBERS, 0.0)
    worn = replace(clothing.outfit(numbers, 0.0), neckline=neckline, depth={"v": 6.0, "turtle": -4.0}.get(neckline, 2.0))
    skin, shirt = (part.reshape(clothing.RINGS, clothing.SEGMENTS, 3) for part in (clothing.bust(worn, 1.0), clothing.shirt(worn, 1.0)))
    assert np.isfinite(shirt).all() and shirt[-1, :, 1].max() < -30
    reach = lambda points: np.hypot(points[..., 0], points[..., 2] + 1.9)
    assert (reach(shirt[6:]) > 6.5).all()
    front = shirt[0, 0, 1]  # the neckline in front
    assert (front < -16) == (neckline == "v") and (front > -12) == (neckline == "turtle") and front < skin[0, 0, 1]


def test_the_tone_curve_rises_and_keeps_middle_grey():
    values = np.linspace(0, 8, 400)
    curve = tone(values)
    assert (np.diff(curve) >= 0).all() and curve.max() <= 1 and tone(np.array(0.18)) == pytest.approx(0.18, abs=1e-3)


def test_a_contact_sheet_shows_people_in_a_row_over_grey(tmp_path):
    red = np.full((8, 8, 4), (200, 0, 0, 255), np.uint8)
    write_atomic(picture_path(tmp_path, 1), png_bytes(red))
    sheet = sheet_of(tmp_path, people=2, columns=1, side=4)
    assert sheet.shape == (8, SHOTS * 4, 3)
    assert (sheet[:4, 4:8] == (200, 0, 0)).all() and (sheet[:4, :4] == 92).all() and (sheet[4:] == 92).all()


def test_a_developed_edge_has_the_colour_of_what_it_bounds():
    colour = np.zeros((16, 16, 4), np.float32)
    colour[:, :8] = (0.3, 0.2, 0.1, 1)
    matte = colour[..., 3].copy()
    matte[:, 8] = 0.5  # which few samples missed
    picture = develop(colour, matte).astype(float)
    assert (picture[..., :3] <= picture[..., 3:] + 1).all()
    edge = picture[8, 8]
    assert 10 < edge[3] < 245
    assert edge[:3] / edge[3] == pytest.approx(picture[8, 2, :3] / 255, abs=0.02)


@needs_blender
def test_the_lit_side_is_where_the_truth_says(assets, people, shots, tmp_path):
    process = CyclesProcess(str(BLENDER), stage_message(assets, threads=1), tmp_path / "log")
    from_left = np.zeros((64, 128, 3))
    from_left[24:40, 56:72] = 20.0  # the middle column looks along +x: the face's left, the picture's right
    facing = Shot(0 * shots[0].expression, np.zeros(3), np.zeros(3), 120.0, shots[0].light)
    model = make_model(people[0], assets)
    message = (
        shot_message(model, facing, assets, 1) | {"environment": from_left[::-1]} | {f"lamp{n}_irradiance": np.zeros(3) for n in range(3)}
    )
    try:
        process.send(person_message(model, assets, 64))
        process.start(message)
        frame = process.finish()
    finally:
        process.close()
    assert project_environment(torch.from_numpy(from_left))[3].sum() > 0  # x
    on_skin = frame["colour"][..., :3].sum(axis=-1) * frame["classes"][..., CHANNELS.index("skin")]
    assert on_skin[20:50, 34:].sum() > 1.5 * on_skin[20:50, :30].sum()


@pytest.mark.slow
@needs_blender
def test_the_picture_coincides_with_the_rigs_own_head(assets, face, people, tmp_path):
    """The outline of the face in the picture is that of the mesh to half a pixel, turned and close up too."""
    bald = person_from_latent(latent_of(1, 0, face), face)
    process = CyclesProcess(str(BLENDER), stage_message(assets, threads=1), tmp_path / "log")
    size = 128
    try:
        for number, (yaw, distance) in enumerate(((0.0, 120.0), (50.0, 45.0))):
            shot = Shot(
                np.zeros(len(face.expression_names)),
                np.radians([yaw, 0.0, 0.0]),
                np.zeros(3),
                distance,
                draw_light(np.random.default_rng(0), 0.0),
            )
            model = make_model(bald, assets)
            message = shot_message(model, shot, assets, number)
            process.send(without_hair(person_message(model, assets, size)))
            process.start({key: value[:0] if key.endswith("_points") else value for key, value in message.items()})
            seen = process.finish()["classes"][..., CHANNELS.index("face")]
            parameters, camera = shot.parameters(bald, face), shot.camera(bald, face)
            world = (
                rotation_matrix(parameters.rotation) @ face.vertices(parameters.identity, parameters.expression).mT
            ).mT + parameters.translation[:, None]
            fragments = rasterize(camera.project(world), face.triangles, 4 * size)
            mask = interpolate(fragments, face.masks["face"][None, :, None])[0, ..., 0].numpy()
            expected = mask.reshape(size, 4, size, 4).mean((1, 3))
            edge = np.abs(seen - expected).sum() / perimeter(expected)
            assert edge < 0.5, edge  # mean distance of the two outlines in pixels
    finally:
        process.close()


@pytest.mark.slow
@needs_blender
def test_a_set_is_made_goes_on_after_a_loss_and_is_the_same_again(tmp_path, face):
    arguments = [
        "--people",
        "1",
        "--size",
        "48",
        "--seed",
        "3",
        "--output",
        str(tmp_path),
        "--workers",
        "1",
        "--blender-python",
        str(BLENDER),
    ]
    assert main(arguments) == 0
    before = [picture_path(tmp_path, number).read_bytes() for number in range(SHOTS)]
    picture_path(tmp_path, 1).unlink()
    assert main(arguments) == 0
    again = [picture_path(tmp_path, number).read_bytes() for number in range(SHOTS)]
    assert again[::2] == before[::2] and again[3] == before[3]
    decode = lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).astype(int)
    assert np.abs(decode(again[1]) - decode(before[1])).max() <= 1
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["format"] == 3 and index["latents"] == latent_size(face) and index["size"] == 48 and index["count"] == SHOTS
    truths = [np.load(picture_path(tmp_path, number).with_suffix(".npz"), allow_pickle=False) for number in range(SHOTS)]
    assert len({truth["latent"].tobytes() for truth in truths}) == 1 and len({truth["parameters"].tobytes() for truth in truths}) == SHOTS
    picture, truth = cv2.imread(str(picture_path(tmp_path, 0)), cv2.IMREAD_UNCHANGED), truths[0]
    assert picture.shape == (48, 48, 4) and (picture[..., :3] <= picture[..., 3:].astype(int) + 1).all()
    rows, columns = ((1 - truth["landmarks"][17:, 1]) * 24).astype(int), ((truth["landmarks"][17:, 0] + 1) * 24).astype(int)
    assert picture[rows.clip(0, 47), columns.clip(0, 47), 3].mean() > 200  # the landmarks lie on the head
    assert truth["classes"].shape == (48, 48) and (truth["classes"] == CLASSES.index("skin")).mean() > 0.02
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000 and not list(tmp_path.rglob(".*.png"))


@pytest.mark.slow
@needs_blender
def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path, monkeypatch):
    arguments = [
        "--people",
        "1",
        "--size",
        "32",
        "--seed",
        "3",
        "--output",
        str(tmp_path),
        "--workers",
        "1",
        "--blender-python",
        str(BLENDER),
    ]
    written = []

    def full_after_two(path, content):
        if path.suffix == ".png" and len(written) == 2:
            raise StyleRigError(f"Cannot write {path}: No space left on device.", "Choose a folder that has space left.")
        written.extend([path] if path.suffix == ".png" else [])
        return write_atomic(path, content)

    monkeypatch.setattr(dataset, "write_atomic", full_after_two)
    with pytest.raises(StyleRigError, match="No space left"):
        main(arguments)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["000000.png", "000001.png"]
    monkeypatch.undo()
    assert main(arguments) == 0 and len(list(tmp_path.rglob("*.png"))) == SHOTS


@needs_blender
def test_a_blender_that_dies_is_told_and_the_rest_is_kept(assets, people, shots, tmp_path):
    process = CyclesProcess(str(BLENDER), stage_message(assets, threads=1), tmp_path / "log")
    try:
        process.process.kill()
        process.start(shot_message(make_model(people[0], assets), shots[0], assets, seed=1))
        with pytest.raises(StyleRigError, match="could not render") as caught:
            process.finish()
        assert "goes on from there" in caught.value.hint
    finally:
        process.close()


def test_another_set_is_not_mixed_in(tmp_path):
    (tmp_path / "index.json").write_text(
        json.dumps({"format": 3, "size": 64, "seed": 1, "head": "x", "count": 5, "latents": 3, "layout": {}})
    )
    with pytest.raises(StyleRigError, match="another set: size, large_size, seed"):
        main(["--size", "48", "--seed", "3", "--output", str(tmp_path)])


@pytest.mark.slow
def test_a_missing_blender_is_told_with_the_way_out(tmp_path):
    command = [sys.executable, "-m", "models.synthetic", "--people", "1", "--output", str(tmp_path), "--blender-python", "/nowhere/python"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1 and "No Blender answers at /nowhere/python" in result.stderr and ".venv-bpy-5.2" in result.stderr
    assert not list(tmp_path.rglob("*.png"))


def without_hair(message: dict) -> dict:
    """A person's message with no strand and no spectacles."""
    bare = {key: value * 0 if key.endswith("_shape") else value for key, value in message.items()}
    return bare | {"has_glasses": np.array(False), "samples": np.array(16)}


def perimeter(mask: np.ndarray) -> float:
    """Length in pixels of the outline of a soft mask."""
    return float(np.hypot(*np.gradient(mask)).sum())
