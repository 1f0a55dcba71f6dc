"""Whether detail goes where the skin goes: figures of images that are known to be steady, to crawl and to stick to the screen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from backend.cli.main import main
from models.errors import StyleRigError
from models.evaluation.control.steadiness import FRAMES, MOTIONS, SERIES, TURN, Renderings, Seen, changes, motions, turned
from models.face import load_face_model
from models.face.camera import rotation_matrix
from models.face.harmonics import rotate
from models.rigging.guided_renderer import BODY_SHARE
from models.synthetic.dataset import HEAD, write_index, write_picture
from models.synthetic.light import draw_light
from models.synthetic.person import latent_of, person_from_latent
from tests.helpers import fake_rig

SIZE = 64


@pytest.fixture(scope="module")
def face():
    return load_face_model(HEAD)


def surface(shift: float, pattern: float) -> Seen:
    """A flat surface that has gone ``shift`` pixels to the right, and detail on it that has gone ``pattern`` pixels."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    uv = np.stack((0.1 + 0.8 * (columns - shift) / SIZE, 0.1 + 0.8 * rows / SIZE), axis=2).clip(0.01, 0.99)
    fine = 0.5 + 0.2 * np.sin((columns - pattern) * 1.3) * np.sin(rows * 1.1)
    return Seen(np.repeat(fine[..., None], 3, axis=2).astype(np.float32), uv)


def test_detail_on_the_surface_is_steady_and_detail_on_the_screen_is_not():
    steady = changes([surface(frame, frame) for frame in range(4)])
    stuck = changes([surface(frame, 0) for frame in range(4)])
    assert steady["surface"] < 0.1 < 0.8 < steady["screen"]
    assert stuck["screen"] < 1e-6 and stuck["surface"] > 0.8


def test_points_that_were_hidden_are_not_compared():
    frames = [surface(0, 0), surface(0, 0)]
    hidden = np.zeros_like(frames[0].uv)
    hidden[:, SIZE // 2 :] = frames[0].uv[:, SIZE // 2 :]
    frames[1].image[:, : SIZE // 2] += np.random.default_rng(0).random((SIZE, SIZE // 2, 3), dtype=np.float32)
    assert changes([Seen(frames[0].image, hidden), frames[1]])["surface"] < 0.2


def test_the_motions_move_one_thing_each(face):
    person = person_from_latent(latent_of(3, 0, face), face)
    shots = motions(person, 0, np.random.default_rng(0), face)
    assert len(shots) == len(SERIES.kinds) == len(MOTIONS) * FRAMES
    turn, orbit, light = (shots[start : start + FRAMES] for start in range(0, len(shots), FRAMES))
    steps = np.diff([shot.rotation[0] for shot in turn])
    assert np.allclose(steps, np.radians(TURN)) and np.allclose([shot.body[0] for shot in turn], [BODY_SHARE * s.rotation[0] for s in turn])
    assert all(torch.equal(shot.light.harmonics(), turn[0].light.harmonics()) for shot in turn)
    assert all(np.array_equal(shot.body, shot.rotation) for shot in orbit)
    assert all(not shot.rotation.any() for shot in light) and not torch.allclose(light[0].light.harmonics(), light[-1].light.harmonics())


def test_a_turned_light_is_the_light_turned():
    light = draw_light(np.random.default_rng(2), 0.0, "studio")
    turn = rotation_matrix(torch.tensor([[0.4, 0.0, 0.0]]))
    assert torch.allclose(turned(light, 0.4).harmonics(), rotate(light.harmonics()[None], turn)[0], atol=2e-3)


@pytest.fixture
def folder(tmp_path, face):
    """One person in motion, as evenly coloured squares."""
    folder = tmp_path / "motions"
    folder.mkdir()
    write_index(folder, SIZE, SIZE, 78, 1, face)
    index = json.loads((folder / "index.json").read_text())
    ours = {SERIES.name: list(SERIES.kinds), "shots": len(SERIES.kinds), "count": len(SERIES.kinds)}
    (folder / "index.json").write_text(json.dumps(index | ours))
    latent = latent_of(78, 0, face)
    person = person_from_latent(latent, face)
    shots = motions(person, 0, np.random.default_rng(0), face)
    matte = np.ones((SIZE, SIZE), np.float32)
    colour = np.concatenate((np.random.default_rng(1).random((SIZE, SIZE, 3)), matte[..., None]), axis=2).astype(np.float32)
    for number, shot in enumerate(shots):
        frame = {"colour": colour, "matte": matte, "classes": np.zeros((SIZE, SIZE), np.float32)}
        write_picture(folder / "00000" / f"{number:06d}.png", frame, latent, person, shot, face)
    return folder


def test_a_rig_is_measured_beside_renderings(folder, tmp_path, capsys):
    output = tmp_path / "steadiness.json"
    assert main(["evaluate", "steadiness", "--motions", str(folder), "--json", str(output), "--device", "cpu"], fake_rig.load) == 0
    figures = json.loads(output.read_text())
    assert list(figures) == list(MOTIONS) and len(capsys.readouterr().out.splitlines()) == len(MOTIONS)
    still = figures["light"]["renderings"]  # the same square in every frame, and a head at rest
    assert still["screen"] == 0.0 and still["surface"] < 0.15
    assert figures["turn"]["renderings"]["screen"] == 0.0 < 0.3 < figures["turn"]["renderings"]["surface"]


def test_other_pictures_are_refused(folder):
    (folder / "00000" / "000035.png").unlink()
    with pytest.raises(StyleRigError, match="not whole sets of motions"):
        Renderings.open(folder)
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {SERIES.name: ["turn"]}))
    with pytest.raises(StyleRigError, match="not whole sets of motions"):
        Renderings.open(folder)
