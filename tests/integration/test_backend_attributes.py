"""Attributes over HTTP, in rig files and on the command line: the model's own, and those that a portrait brings."""

from __future__ import annotations

import base64
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from backend.cli import main
from backend.files.images import recipe_of
from models.editing.directions import Header, save_directions
from models.editing.sefa import find_directions
from tests.helpers import fake_rig

CHANGED = {"age": 0.5, "beard": 9.0}


@pytest.fixture(scope="module")
def client():
    headers = {"Authorization": f"Bearer {fake_rig.TOKEN}"}
    with fake_rig.served() as backend, httpx.Client(base_url=backend.url, headers=headers, timeout=240, trust_env=False) as opened:
        yield opened


@pytest.fixture
def portrait(client) -> dict:
    return client.post("/v1/portraits", json={"seed": 7}).json()


def frame(client, portrait: dict, attributes: dict) -> np.ndarray:
    body = {"portrait": portrait, "controls": {"attributes": attributes}, "output": {"size": 32, "format": "raw"}}
    answer = client.post("/v1/frames", json=body)
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<f4")


def own_directions(tmp_path, **changes) -> bytes:
    """The file of two SeFa directions of the fake rig's generator."""
    found = find_directions(fake_rig.fake_generator(), [0, 1], 2, reach=4.0)
    found.header.__dict__.update(changes)
    return save_directions(found, tmp_path / "d.safetensors").read_bytes()


def load(client, data: bytes, **others):
    return client.post("/v1/directions", json={"name": "d.safetensors", "file": base64.b64encode(data).decode(), **others})


def test_models_and_portraits_list_what_can_be_changed(client, portrait):
    listed = [{"name": "age", "minimum": -1.0, "maximum": 1.0}, {"name": "beard", "minimum": -0.5, "maximum": 1.0}]
    [model] = client.get("/v1/models").json()
    assert model["attributes"] == listed == portrait["attributes"] and portrait["directions"] is None


def test_a_frame_shows_its_attributes_as_far_as_they_go(client, portrait):
    still, changed = frame(client, portrait, {}), frame(client, portrait, CHANGED)
    assert np.abs(still - changed).max() > 0.01
    assert np.array_equal(changed, frame(client, portrait, {"age": 0.5, "beard": 1.0}))
    assert np.array_equal(still, frame(client, portrait, {"age": 0.0}))


def test_a_portrait_of_an_older_version_has_them_too(client, portrait):
    older = {name: value for name, value in portrait.items() if name not in ("attributes", "directions", "frame")}
    assert np.array_equal(frame(client, older, CHANGED), frame(client, portrait, CHANGED))


@pytest.mark.parametrize(("attributes", "status", "code"), [
    ({"bears": 1.0}, 400, "unknown_attribute"), ({"age": 1e9}, 422, "invalid"), ({"age": "1"}, 422, "invalid"), ({"": 1.0}, 422, "invalid"),
    ({"a\nb": 1.0}, 422, "invalid"), ({str(number): 0.0 for number in range(2000)}, 422, "invalid"),
])  # fmt: skip
def test_attributes_that_cannot_be_are_refused(client, portrait, attributes, status, code):
    answer = client.post("/v1/frames", json={"portrait": portrait, "controls": {"attributes": attributes}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_file_of_directions_becomes_attributes_of_a_portrait(client, portrait, tmp_path):
    answer = load(client, own_directions(tmp_path), weights_hash=portrait["weights_hash"])
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [entry["name"] for entry in found["directions"]] == ["SeFa 0", "SeFa 1"]
    assert all((entry["layers"], entry["minimum"], entry["maximum"]) == ([0, 1], -4.0, 4.0) for entry in found["directions"])
    own = portrait | {"directions": found}
    assert not np.array_equal(frame(client, own, {"SeFa 1": 4.0}), frame(client, own, {}))
    assert np.array_equal(frame(client, own, {"age": 1.0}), frame(client, portrait, {"age": 1.0}))


def test_sefas_directions_go_from_minus_one_to_one(client, portrait):
    body = {"weights_hash": portrait["weights_hash"], "layers": "0-1", "count": 3, "distance": 8.0}
    found = client.post("/v1/directions/sefa", json=body).json()
    assert [entry["name"] for entry in found["directions"]] == [f"SeFa 0-1: {number}" for number in (1, 2, 3)]
    step = np.frombuffer(base64.b64decode(found["directions"][2]["step"]), "<f4")
    assert np.linalg.norm(step) == pytest.approx(8.0, rel=1e-5) and found["directions"][0]["maximum"] == 1.0
    assert not np.array_equal(frame(client, portrait | {"directions": found}, {"SeFa 0-1: 3": -1.0}), frame(client, portrait, {}))
    answer = client.post("/v1/directions/sefa", json={"layers": "0-9"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_layers")


def test_files_that_do_not_fit_are_refused(client, tmp_path):
    cases = {
        "belong to another generator": own_directions(tmp_path, generator="0" * 64),
        "no safetensors file": b"\x80\x04cos\nsystem\n.",
        "directions in Z": save_directions(z_directions(), tmp_path / "z").read_bytes(),
    }
    for words, data in cases.items():
        error = load(client, data).json()["error"]
        assert error["code"] == "bad_directions" and words in error["message"] and "d.safetensors" in error["message"], error
    answer = client.post("/v1/directions", json={"file": "no base64!"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_directions")


def z_directions():
    found = find_directions(fake_rig.fake_generator(), [0], 1)
    header = found.header.model_dump() | {"kind": "interfacegan", "space": "z"}
    row = found.rows[:, :8] / found.rows[:, :8].norm()
    generator = fake_rig.fake_generator()
    return type(found)(Header(**header | {"generator": fake_rig.generator_hash(generator)}), row)


@pytest.mark.parametrize("change", [
    {"generator": "0" * 64}, {"step": base64.b64encode(np.zeros(512, "<f4")).decode()}, {"step": "AAAA"}, {"layers": [9]}, {"layers": [1, 0]},
    {"step": base64.b64encode(np.full(512, np.nan, "<f4")).decode()}, {"minimum": 5.0},
])  # fmt: skip
def test_directions_of_a_portrait_that_do_not_fit_are_refused(client, portrait, tmp_path, change):
    found = load(client, own_directions(tmp_path)).json()
    if "generator" in change:
        found |= change
    else:
        found["directions"][0] |= change
    answer = client.post("/v1/frames", json={"portrait": portrait | {"directions": found}, "controls": {}})
    assert answer.status_code == 400 and answer.json()["error"]["code"] in ("bad_portrait", "bad_directions"), answer.text


def call(capsys, *arguments) -> tuple[int, str]:
    try:
        status = main.main(list(map(str, arguments)), rig_loader=fake_rig.load)
    except SystemExit as ended:  # argparse's own errors
        status = ended.code
    return status, capsys.readouterr().err


def test_a_rig_file_keys_them_and_a_picture_makes_itself_again(client, capsys, tmp_path):
    frames = [{"attributes": {"age": value}} for value in (0.0, 1.0)]
    (tmp_path / "shot.json").write_text(json.dumps({"portrait": {"seed": 7}, "frames": frames}))
    assert call(capsys, "render", tmp_path / "shot.json", "--output", tmp_path / "out")[0] == 0
    first, second = (tmp_path / "out" / f"frame_000{number}.png" for number in (1, 2))
    pixels = lambda path: np.asarray(Image.open(path)).astype(int)
    assert np.abs(pixels(first) - pixels(second)).max() > 5
    assert json.loads(recipe_of(second))["frames"][0]["attributes"] == {"age": 1.0}
    assert call(capsys, "render", second, "--output", tmp_path / "again")[0] == 0
    assert np.array_equal(pixels(tmp_path / "again" / "frame_0001.png"), pixels(second))


def test_a_rig_file_with_an_unknown_one_makes_no_picture(capsys, tmp_path):
    frames = [{}, {"attributes": {"agee": 1.0}}]
    (tmp_path / "shot.json").write_text(json.dumps({"portrait": {"seed": 7}, "frames": frames}))
    status, words = call(capsys, "render", tmp_path / "shot.json", "--output", tmp_path / "out")
    assert status == 2 and "no attribute 'agee'" in words and "Did you mean 'age'?" in words
    assert list((tmp_path / "out").iterdir()) == []


def test_sample_takes_attributes_and_a_file_of_them(capsys, tmp_path):
    own_directions(tmp_path)
    common = ("sample", "--seeds", 1, "--output")
    assert call(capsys, *common, tmp_path / "a")[0] == 0
    options = ("--attributes", "age=1", "SeFa 0=-4", "--directions", tmp_path / "d.safetensors")
    assert call(capsys, *common, tmp_path / "b", *options)[0] == 0
    assert json.loads(recipe_of(tmp_path / "b" / "person_1.png"))["frames"][0]["attributes"] == {"age": 1.0, "SeFa 0": -4.0}
    assert (tmp_path / "a" / "person_1.png").read_bytes() != (tmp_path / "b" / "person_1.png").read_bytes()
    assert call(capsys, "render", tmp_path / "b" / "person_1.png", "--output", tmp_path / "c")[0] == 0
    for wrong in ("age", "=1", "age=old"):
        status, words = call(capsys, *common, tmp_path / "d", "--attributes", wrong)
        assert status == 2 and "is not NAME=AMOUNT" in words
