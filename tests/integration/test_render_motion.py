"""Motion blur of rig files: the mean of the stills that the shutter sees."""

from __future__ import annotations

import json

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from backend.cli import main
from backend.server.schema import parse_rig_file
from models.errors import StyleRigError
from tests.helpers import fake_rig
from tests.integration.test_render_shot import camera_track

SIZE = 32
TURNS = (0.0, 0.4, 0.2)  # yaw of the frames


@pytest.fixture
def content() -> dict:
    output = {"size": SIZE, "passes": ["HeadMatte", "FaceMask", "Depth", "Normal"]}
    return {"portrait": {"seed": 7}, "frames": [{"rotation": [turn, 0.0, 0.0]} for turn in TURNS], "output": output}


@pytest.fixture
def render(tmp_path, capsys):
    """render(content, options…) -> exit status and standard error; pictures go to the folder of ``out``."""

    def run(content: dict, *options: str, out: str = "out") -> tuple[int, str]:
        path = tmp_path / "shot.json"
        path.write_text(json.dumps(content))
        status = main.main(["render", str(path), "--output", str(tmp_path / out), *options], rig_loader=fake_rig.load)
        return status, capsys.readouterr().err

    return run


def channels(path) -> dict[str, np.ndarray]:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels.copy() for name, channel in file.parts[0].channels.items()}


def stills(render, content: dict, states: list[dict], tmp_path, *options: str) -> list[dict[str, np.ndarray]]:
    """The channels of sharp pictures of these frames."""
    sharp = content | {"frames": [state["frame"] for state in states]}
    if "camera" in content:
        sharp["camera"] = content["camera"] | {"sights": [state["sight"] for state in states]}
    sharp.pop("motion", None)
    assert render(sharp, "--format", "exr", *options, out="stills")[0] == 0
    return [channels(tmp_path / "stills" / f"frame_{number:04}.exr") for number in range(1, len(states) + 1)]


def test_a_frame_is_the_mean_of_stills_while_the_shutter_is_open(render, content, tmp_path):
    assert render(content, "--format", "exr", "--motion-samples", "4", "--shutter", "0.8", "--cryptomatte")[0] == 0
    blurred = channels(tmp_path / "out" / "frame_0002.exr")
    turns = [0.4 + (0.4 if time < 0 else -0.2) * time for time in 0.8 * (np.arange(4) + 0.5) / 4 - 0.4]
    seen = stills(render, content, [{"frame": {"rotation": [turn, 0.0, 0.0]}} for turn in turns], tmp_path, "--cryptomatte")
    for name in ("R", "G", "B", "A", "HeadMatte.X", "FaceMask.X"):
        np.testing.assert_allclose(blurred[name], np.mean([one[name] for one in seen], axis=0), atol=2e-3, err_msg=name)
    np.testing.assert_allclose(blurred["CryptoObject00.G"], np.mean([one["CryptoObject00.G"] for one in seen], axis=0), atol=1e-5)
    [own] = stills(render, content, [{"frame": content["frames"][1]}], tmp_path)
    assert blurred["depth.Z"].tobytes() == own["depth.Z"].tobytes() and blurred["Normal.X"].tobytes() == own["Normal.X"].tobytes()
    assert np.abs(blurred["A"].astype(float) - own["A"]).max() > 0.1


def test_before_the_first_frame_and_after_the_last_nothing_moves(render, content, tmp_path):
    render(content, "--format", "exr", "--motion-samples", "2", "--shutter", "1")
    states = [{"frame": {"rotation": [turn, 0.0, 0.0]}} for turn in (0.0, 0.1)]
    seen = stills(render, content, states, tmp_path)
    np.testing.assert_allclose(channels(tmp_path / "out" / "frame_0001.exr")["A"], np.mean([one["A"] for one in seen], axis=0), atol=1e-3)


def test_moments_that_are_known_are_drawn_as_they_are(render, content, tmp_path):
    known = [-0.3, 0.7, -0.5]  # of yaw: no mixture of the frames around
    moments = [
        [{"time": time, "controls": {"rotation": [turn, 0.0, 0.0]}} for time, turn in zip((-0.25, 0.25), known[:2], strict=True)]
    ] * 3
    content["motion"] = {"samples": 2, "shutter": 1.0, "moments": moments}
    assert render(content, "--format", "exr")[0] == 0
    seen = stills(render, content, [{"frame": {"rotation": [turn, 0.0, 0.0]}} for turn in known[:2]], tmp_path)
    blurred = channels(tmp_path / "out" / "frame_0002.exr")
    np.testing.assert_allclose(blurred["A"], np.mean([one["A"] for one in seen], axis=0), atol=1e-3)
    assert render(content, "--motion-samples", "1", "--format", "exr", out="sharp")[0] == 0
    [own] = stills(render, content, [{"frame": content["frames"][1]}], tmp_path)
    assert channels(tmp_path / "sharp" / "frame_0002.exr")["A"].tobytes() == own["A"].tobytes()


def test_a_camera_that_passes_by(render, content, tmp_path):
    """Half way between two cameras that went straight it stands half way."""
    content["camera"] = camera_track([1.2, 1.6, 1.4])
    content["frames"], content["output"] = [{"rotation": [0.1, 0, 0]}] * 3, {"passes": ["HeadMatte"]}
    assert render(content, "--format", "exr", "--motion-samples", "2", "--shutter", "0.8")[0] == 0
    sights = camera_track([1.2 + 0.8 * 0.4, 1.6 - 0.2 * 0.2])["sights"]
    seen = stills(render, content, [{"frame": content["frames"][0], "sight": sight} for sight in sights], tmp_path)
    blurred = channels(tmp_path / "out" / "frame_0002.exr")
    assert blurred["A"].shape == (48, 80) and 0.02 < blurred["A"].mean() < 0.9
    np.testing.assert_allclose(blurred["A"], np.mean([one["A"] for one in seen], axis=0), atol=2e-3)


def test_a_blurred_picture_makes_itself_again_and_is_resumed(render, content, tmp_path, capsys):
    assert render(content, "--motion-samples", "3")[0] == 0
    picture = tmp_path / "out" / "frame_0002.png"
    assert main.main(["render", str(picture), "--output", str(tmp_path / "again")], rig_loader=fake_rig.load) == 0
    assert (tmp_path / "again" / "frame_0001.png").read_bytes() == picture.read_bytes()
    capsys.readouterr()
    for samples, kept in (("3", 3), ("4", 0)):
        command = ["render", str(tmp_path / "shot.json"), "--output", str(tmp_path / "out"), "--motion-samples", samples, "--resume"]
        assert main.main(command, rig_loader=fake_rig.load) == 0
        assert capsys.readouterr().out.count("skipping existing frame") == kept


def test_what_does_not_move_is_drawn_once(render, content, tmp_path, monkeypatch):
    drawn, frame = [], fake_rig.FakeRig.frame
    monkeypatch.setattr(fake_rig.FakeRig, "frame", lambda self, *args, **named: drawn.append(1) or frame(self, *args, **named))
    content["frames"] = [{"rotation": [0.1, 0.0, 0.0]}] * 3
    assert render(content, "--motion-samples", "8", "--frames", "2")[0] == 0 and len(drawn) == 1
    assert render(content, "--frames", "2", out="sharp")[0] == 0
    blurred, sharp = (np.asarray(Image.open(tmp_path / folder / "frame_0002.png")).astype(int) for folder in ("out", "sharp"))
    assert np.abs(blurred - sharp).max() <= 1


def test_motion_that_does_not_fit_is_refused(render, content, capsys):
    status, words = render(content, "--shutter", "0.5")
    assert status == 2 and "--shutter is for motion blur, and this rig file has none." in words and "--motion-samples 8" in words
    for options, reason in ((("--motion-samples", "0"), "from 1 to 256"), (("--motion-samples", "2", "--shutter", "nan"), "from 0 to 100")):
        with pytest.raises(SystemExit):
            render(content, *options)
        assert reason in capsys.readouterr().err
    moment = {"time": 0.1, "controls": {}}
    for motion, reason in (
        ({"moments": [[moment]]}, "moments of 1 frames, and there are 3"),
        ({"moments": [[moment | {"sight": camera_track([1.0])["sights"][0]}]] * 3}, "moments have a sight where there is a camera"),
        ({"samples": 0}, r"motion\.samples"),
        ({"curve": [-1.0]}, r"motion\.curve\.0"),
    ):
        with pytest.raises(StyleRigError, match=reason):
            parse_rig_file(json.dumps(content | {"motion": motion}), "shot.json")
