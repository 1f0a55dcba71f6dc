"""Rig files with a camera: the portrait stands in the camera's picture."""

from __future__ import annotations

import json

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from backend.cli import main
from backend.files.images import straight_srgb
from backend.protocol import conversions, placement, shot
from backend.server import schema, serialization
from backend.server.schema import parse_rig_file
from models.errors import StyleRigError
from tests.helpers import fake_rig

WIDTH, HEIGHT = 80, 48
PASSES = ["HeadMatte", "Normal", "Depth", "UV", "Position"]


def camera_track(distances: list[float]) -> dict:
    """A camera before a head at the world's origin, in whose picture the head is aside; it looks along +Y as Blender's new ones do."""
    projection = np.diag((3.0, 3.0 * WIDTH / HEIGHT, -1.0, 0.0))
    projection[2, 3], projection[3, 2] = -0.2, -1.0
    sights = []
    for distance in distances:
        to_camera = np.eye(4)
        to_camera[:3, :3] = ((1, 0, 0), (0, 0, 1), (0, -1, 0))
        to_camera[:3, 3] = (0.05, 0.02, -distance)
        view = placement.View(to_camera, projection, WIDTH, HEIGHT, 1.0, 0.1)
        sights.append(shot.sight(view, (conversions.MODEL_TO_BLENDER, np.eye(3))))
    return shot.track(view, sights)


@pytest.fixture
def content() -> dict:
    frames = [{"expression": {}, "rotation": [0.1, 0, 0]}, {"rotation": [0.2, 0, 0]}, {}]
    return {"portrait": {"seed": 7}, "frames": frames, "output": {"passes": PASSES}, "camera": camera_track([1.2, 1.6, -3.0])}


@pytest.fixture
def render(tmp_path):
    def run(content: dict, *options: str) -> int:
        path = tmp_path / "shot.json"
        path.write_text(json.dumps(content))
        return main.main(["render", str(path), "--output", str(tmp_path / "out"), *options], rig_loader=fake_rig.load)

    return run


def expected(content: dict, number: int) -> dict[str, np.ndarray]:
    """The picture, made step by step."""
    rig = fake_rig.load()
    portrait = rig.new_portrait(7, 0.7)
    whole = serialization.portrait_to_schema(portrait, rig).model_dump()
    landmarks = placement.Landmarks.of_mesh(serialization.portrait_mesh(portrait, rig.face))
    camera = content["camera"] | {"sights": [content["camera"]["sights"][number - 1]]}
    own = whole["parameters"]
    where = shot.placed(whole, {"expression": own["expression"], "light": own["light"]}, landmarks, camera)
    if where is None:
        return shot.picture(None, {}, camera, PASSES)
    frame = rig.frame(portrait, serialization.controls_from_schema(schema.Controls(**where.controls), rig.face), where.size, PASSES)
    return shot.picture(where, dict(frame) | {"placement": np.array(frame.placement)}, camera, PASSES)


def test_the_portrait_is_where_the_camera_sees_it(render, content, tmp_path):
    assert render(content) == 0 and render(content, "--format", "exr") == 0
    for number in (1, 2, 3):
        wanted = expected(content, number)
        with Image.open(tmp_path / "out" / f"frame_{number:04}.png") as picture:
            assert picture.size == (WIDTH, HEIGHT)
            assert np.asarray(picture).tobytes() == straight_srgb(wanted["Combined"]).tobytes()
        with OpenEXR.File(str(tmp_path / "out" / f"frame_{number:04}.exr"), separate_channels=True) as file:
            found = {name: channel.pixels.copy() for name, channel in file.parts[0].channels.items()}
        assert found["depth.Z"].tobytes() == wanted["Depth"][..., 0].tobytes()
        assert found["Position.Y"].tobytes() == np.ascontiguousarray(wanted["Position"][..., 1]).tobytes()
        assert found["A"].tobytes() == wanted["Combined"][..., 3].astype(np.float16).tobytes()
        seen = found["A"] > 0
        assert not seen.any() if number == 3 else 0.03 < seen.mean() < 0.9  # the third camera looks away
    assert expected(content, 1)["Combined"].tobytes() != expected(content, 2)["Combined"].tobytes()


def test_resume_knows_the_camera(render, content, tmp_path, capsys):
    render(content)
    capsys.readouterr()
    content["camera"]["sights"][1] = content["camera"]["sights"][0]
    assert render(content, "--resume") == 0
    assert capsys.readouterr().out.count("skipping existing frame") == 2


def vectors(path) -> np.ndarray:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = file.parts[0].channels
        return np.stack([channels[f"Vector.{letter}"].pixels for letter in "XYZW"] + [channels["HeadDepth.Z"].pixels], axis=2)


def test_vectors_say_how_the_head_moves(render, content, tmp_path):
    """The second head is where the first was, 0.4 m deeper; the third camera looks away."""
    content["output"]["passes"] = ["Vector", "HeadDepth"]
    assert render(content, "--format", "exr") == 0
    first, second, _ = (vectors(tmp_path / "out" / f"frame_{number:04}.exr") for number in (1, 2, 3))
    there = second[..., 4] < 100
    middle = np.array((WIDTH, HEIGHT)) / 2
    rows, columns = np.nonzero(there)
    place = np.stack((columns + 0.5, HEIGHT - rows - 0.5), axis=1) - middle
    depth = second[rows, columns, 4]
    assert there.any() and np.allclose(second[rows, columns, :2], place * (depth / (depth - 0.4) - 1)[:, None], atol=1e-2)
    assert np.abs(first[..., :2]).max() < 1e-4 and np.abs(first[..., 2:4]).max() > 1  # before the first frame nothing moves
    again = tmp_path / "again"
    assert (
        main.main(["render", str(tmp_path / "out" / "frame_0002.exr"), "--format", "exr", "--output", str(again)], rig_loader=fake_rig.load)
        == 0
    )
    assert vectors(again / "frame_0001.exr").tobytes() == second.tobytes()


def test_passes_of_a_shot_need_a_camera(render, content, capsys):
    del content["camera"]
    content["output"]["passes"] = ["HeadDepth"]
    assert render(content, "--format", "exr") == 2
    assert "HeadDepth is a pass of a camera's picture" in capsys.readouterr().err


def test_a_picture_of_a_shot_makes_itself_again(render, content, tmp_path):
    render(content)
    path = tmp_path / "out" / "frame_0002.png"
    assert main.main(["render", str(path), "--output", str(tmp_path / "again")], rig_loader=fake_rig.load) == 0
    with Image.open(path) as first, Image.open(tmp_path / "again" / "frame_0001.png") as second:
        assert first.tobytes() == second.tobytes()


def test_a_camera_that_does_not_fit_is_refused(render, content, capsys):
    assert render(content, "--size", "64") == 2
    assert "--size is for portraits in their own frame" in capsys.readouterr().err
    for change, reason in (({"output": {"size": 64}}, "output cannot say another"), ({"frames": [{}]}, "3 sights, and there are 1 frames")):
        with pytest.raises(StyleRigError, match=reason):
            parse_rig_file(json.dumps(content | change), "shot.json")
    content["camera"]["sights"][0]["head"] = [0.0] * 15
    with pytest.raises(StyleRigError, match=r"camera\.sights\.0\.head"):
        parse_rig_file(json.dumps(content), "shot.json")
