"""Looks over HTTP and in rig files: lists, styles of references, pictures, and frames that say what was put on them."""

from __future__ import annotations

import base64
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from backend.cli import main
from backend.files.images import recipe_of, request_of
from backend.files.pictures import SceneColours
from backend.files.recipe import controls_to_schema, one_frame
from backend.protocol.frames import passes_from_array
from backend.server import schema, serialization
from models.generators import Generator, GeneratorConfig
from models.rigging import Controls, LookUse
from models.translation.library import library
from models.translation.request import put_on
from tests.helpers import fake_rig
from tests.helpers.looks import library_in, write_look
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    with library_in(tmp_path_factory.mktemp("looks")) as folder:
        yield folder


@pytest.fixture(scope="module")
def client(looks):
    with (
        fake_rig.served(STYLERIG_LOOKS=str(looks)) as running,
        httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {fake_rig.TOKEN}"}, timeout=240, trust_env=False) as opened,
    ):
        yield opened


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[: height // 2, ..., 3] = 255
    pixels[-1, -1, 3] = 0
    return pixels


def sent(pixels: np.ndarray) -> dict:
    kind = "u1" if pixels.dtype == np.uint8 else "<f2"
    return {"shape": list(pixels.shape[:2]), "type": kind, "data": base64.b64encode(pixels.astype(kind).tobytes()).decode()}


def answered(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    headers = {name.lower(): value for name, value in answer.headers.items()} | {"x-array-channels": "P.R,P.G,P.B,P.A"}
    return passes_from_array(answer.content, headers)["P"]


def test_all_looks_are_listed_with_what_they_take(client):
    listed = {entry["name"]: entry for entry in client.get("/v1/looks").json()}
    assert set(listed) >= {"painting", "attributes", "styles"}
    assert listed["attributes"]["labels"] == ["black hair", "beard"] and listed["styles"]["domains"] == ["young", "old"]
    assert listed["painting"]["sha256"] == library().digest_of("painting") and listed["painting"]["kind"] == "cyclegan"


def test_a_picture_gets_a_look_and_keeps_its_alpha(client):
    pixels = noise(13, 21)
    made = answered(client.post("/v1/looks/pictures", json={"look": {"name": "painting", "strength": 0.5}, "picture": sent(pixels)}))
    covered = pixels[..., 3:] > 0
    shown = np.where(covered, pixels[..., :3] / np.float32(255), np.float32(0.5))
    expected = np.where(covered, put_on(library().get("painting"), shown, 0.5), pixels[..., :3] / 255)
    assert np.allclose(made[..., :3], expected, atol=1e-5) and np.allclose(made[..., 3], pixels[..., 3] / 255)


def test_scene_linear_colours_stay_bright_and_hidden_ones_as_they_are(client):
    pixels = np.random.default_rng(3).random((16, 16, 4)).astype(np.float16)
    pixels[0, :, :3] *= 8
    pixels[1, :, 3] = 0
    made = answered(client.post("/v1/looks/pictures", json={"look": {"name": "painting"}, "picture": sent(pixels)}))
    given = pixels.astype(np.float32)
    colours = SceneColours(given[..., :3], given[..., 3:])
    assert np.allclose(made[..., :3], colours.back(put_on(library().get("painting"), colours.shown, 1.0)), atol=1e-4)
    assert made[0].max() > 1 and np.array_equal(made[1, :, :3], given[1, :, :3])


def test_pictures_of_many_megabytes_come_through_and_frames_do_not(client):
    pixels = noise(720, 1000)
    body = {"look": {"name": "painting", "strength": 0.0}, "picture": sent(pixels)}
    assert len(json.dumps(body)) > 3 << 20
    assert np.allclose(answered(client.post("/v1/looks/pictures", json=body)), pixels / np.float32(255), atol=1e-6)
    answer = client.post("/v1/looks/style", json=body)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"


def test_a_reference_gives_the_style_of_its_domain(client):
    request = {"look": {"name": "styles", "label": "old"}, "picture": sent(noise(40, 40, seed=5))}
    style = client.post("/v1/looks/style", json=request).json()["style"]
    assert serialization.decode_style(style).shape == (4,)
    young = {**request, "look": {"name": "styles", "label": "young"}}
    assert client.post("/v1/looks/style", json=young).json()["style"] != style


PLAIN = sent(np.full((8, 8, 4), 200, np.uint8))
NO_NUMBER = sent(np.full((8, 8, 4), np.nan, np.float16))


@pytest.mark.parametrize(
    ("path", "look", "picture", "code"),
    [
        ("pictures", {"name": "absent"}, PLAIN, "unknown_look"),
        ("pictures", {"name": "painting", "sha256": "0" * 64}, PLAIN, "other_look"),
        ("pictures", {"name": "painting", "mask": "hair"}, PLAIN, "bad_image"),
        ("pictures", {"name": "attributes", "label": "wings"}, PLAIN, "bad_label"),
        ("pictures", {"name": "styles", "style": "!"}, PLAIN, "bad_style"),
        ("pictures", {"name": "painting"}, {**PLAIN, "shape": [8, 9]}, "bad_picture"),
        ("pictures", {"name": "painting"}, {**PLAIN, "data": "%"}, "bad_picture"),
        ("pictures", {"name": "painting"}, NO_NUMBER, "bad_picture"),
        ("pictures", {"name": "painting", "strength": 2}, PLAIN, "invalid"),
        ("pictures", {"name": "styles", "seed": 1, "style": ""}, PLAIN, "invalid"),
        ("style", {"name": "styles", "label": "old"}, PLAIN, "bad_picture"),
        ("style", {"name": "painting"}, sent(noise(8, 8)), "bad_style"),
    ],
)
def test_what_cannot_be_used_is_told(client, path, look, picture, code):
    answer = client.post(f"/v1/looks/{path}", json={"look": look, "picture": picture})
    assert 400 <= answer.status_code < 500 and answer.json()["error"]["code"] == code, answer.text


CONFIG = GeneratorConfig(resolution=32, channels={4: 16, 8: 16, 16: 16, 32: 16})


def small_rig(_device: str = "cpu", name: str | None = None):
    return untrained_rig(synthetic_face(), Generator.create(CONFIG), seed=3)


def rig_file(folder, *looks: dict):
    path = folder / "shot.json"
    path.write_text(json.dumps({"portrait": {"seed": 7}, "frames": [{"looks": list(looks)}], "output": {"size": 32}}))
    return path


def test_a_rig_file_with_looks_renders_and_its_picture_renders_the_same(tmp_path, looks):
    use = {"name": "attributes", "label": "beard", "strength": 0.8, "mask": "face"}
    render = lambda path, to: main.main(["render", str(path), "--output", str(tmp_path / to)], rig_loader=small_rig)
    assert render(rig_file(tmp_path, use), "worn") == 0 and render(rig_file(tmp_path), "plain") == 0
    worn, plain = (tmp_path / name / "frame_0001.png" for name in ("worn", "plain"))
    assert (np.asarray(Image.open(worn)) != np.asarray(Image.open(plain))).any()
    frame = json.loads(recipe_of(worn))["frames"][0]
    assert frame["looks"][0]["sha256"] == library().digest_of("attributes") and frame["looks"][0]["mask"] == "face"
    assert render(worn, "again") == 0
    again = tmp_path / "again" / "frame_0001.png"
    assert np.array_equal(np.asarray(Image.open(worn)), np.asarray(Image.open(again))) and request_of(worn) == request_of(again)


def test_resume_makes_a_frame_again_when_the_look_of_that_name_is_another(tmp_path, looks, capsys):
    command = ["render", str(rig_file(tmp_path, {"name": "painting"})), "--output", str(tmp_path / "out"), "--resume"]
    frame = tmp_path / "out" / "frame_0001.png"
    made = []
    try:
        for seed in (1, 1, 4):
            write_look(looks, "painting", seed)
            assert main.main(command, rig_loader=small_rig) == 0
            made.append((frame.stat().st_mtime_ns, request_of(frame)))
    finally:
        write_look(looks, "painting")
    assert made[0] == made[1] and made[1][1] != made[2][1]


def test_frames_without_looks_are_known_as_they_were_before_there_were_any(looks):
    rig = small_rig()
    portrait = serialization.portrait_to_schema(rig.new_portrait(7), rig)
    assert "looks" not in one_frame(portrait, schema.Controls(), 32, [])["frames"][0]


def test_looks_survive_the_way_into_a_rig_file_and_back():
    given = Controls(looks=[LookUse("a", "0" * 64, 0.25, "old", style=(0.5, -1.0), mask="hair"), LookUse("b", seed=2**40)], distance=90.0)
    message = controls_to_schema(given)
    back = serialization.controls_from_schema(schema.Controls.model_validate_json(message.model_dump_json()), synthetic_face())
    assert back.looks == tuple(given.looks) and back.distance == 90.0
