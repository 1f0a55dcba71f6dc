"""What extension and backend share: the formulas are the models' own, and OpenAPI says what the constants say."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from backend.protocol import alignment, camera, colour, frames, harmonics, image_texts
from backend.server.app import create_app
from backend.server.inference import rig_library
from models import colour as tensor_colour
from models import seeds
from models.face import alignment as tensor_alignment
from models.face import harmonics as tensor_harmonics
from models.face.camera import PORTRAIT_CAMERA, rotation_from_matrix, rotation_matrix
from models.face.fragments import BACKGROUND_DEPTH
from models.face.parameters import RigParameters
from models.generators import Generator, GeneratorConfig
from models.rigging import controls, rig
from models.synthetic import shot
from tests.helpers import fake_rig
from tests.helpers.json_schema import problems
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig

RANDOM = np.random.default_rng(5)
ROTATIONS = [(0.4, -0.2, 0.1), (-1.2, 1.0, -2.0), (0.0, 0.0, 0.0), *RANDOM.uniform(-1.5, 1.5, (5, 3)).tolist()]


def directions(count: int) -> np.ndarray:
    drawn = RANDOM.standard_normal((count, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


# ---------------------------------------------------------------- formulas, beside the models' tensors


def test_constants_are_the_models():
    assert (PORTRAIT_CAMERA.distance, 2 * PORTRAIT_CAMERA.half_width) == (camera.FFHQ.distance, camera.FFHQ.frame_width)
    assert PORTRAIT_CAMERA.focal == camera.FFHQ.focal
    assert (frames.MIN_DISTANCE, frames.MAX_DISTANCE) == controls.DISTANCES == shot.DISTANCE
    assert colour.BACKDROP == tensor_colour.BACKDROP
    assert colour.LUMINANCE == tensor_harmonics.LUMINANCE
    assert (frames.FAR, frames.MAX_SEED) == (BACKGROUND_DEPTH, seeds.LARGEST_SEED)
    assert (alignment.LEFT_EYE.start, alignment.LEFT_EYE.stop) == (tensor_alignment.LEFT_EYE.start, tensor_alignment.LEFT_EYE.stop)
    assert (alignment.RIGHT_EYE.start, alignment.RIGHT_EYE.stop) == (tensor_alignment.RIGHT_EYE.start, tensor_alignment.RIGHT_EYE.stop)
    assert alignment.MOUTH_CORNERS == tensor_alignment.MOUTH_CORNERS


def test_the_rig_takes_all_that_the_protocol_allows():
    assert controls.LARGEST_SCALE == frames.MAX_SCALE == 1 / frames.MIN_SCALE
    controls.Controls(light=np.full((9, 3), frames.MAX_LIGHT), translation=(frames.MAX_SHIFT,) * 2).check(synthetic_face())
    least, most = rig.SIZES
    assert least <= frames.MIN_SIZE and most >= frames.MAX_SIZE


def test_the_rigs_frames_have_the_protocols_passes():
    generator = Generator.create(GeneratorConfig(resolution=16), 0)
    made = untrained_rig(synthetic_face(vertices=300), generator, hidden=8)
    frame = made.frame(made.new_portrait(1), controls.Controls(), size=frames.MIN_SIZE, passes=frames.PASSES)
    assert {name: array.shape[2] for name, array in frame.items()} == {name: len(letters) for name, letters in frames.CHANNELS.items()}


@pytest.mark.parametrize("name", ["srgb_to_linear", "linear_to_srgb"])
def test_srgb_is_the_models(name):
    values = np.concatenate((np.linspace(0, 1, 4096), RANDOM.random(4096))).astype(np.float32)
    wanted = getattr(tensor_colour, name)(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(getattr(colour, name)(values), wanted, atol=3e-7)


def test_a_portrait_over_the_backdrop_is_the_rigs_portrait_pass():
    """As Rig.frame lays a generator's picture over the grey, and as the backend sends it on, scene-linear."""
    display, alpha = RANDOM.random((8, 8, 3), np.float32), RANDOM.random((8, 8, 1), np.float32)
    combined = np.concatenate((colour.srgb_to_linear(display) * alpha, alpha), axis=2)
    over = tensor_colour.over_backdrop(torch.from_numpy(display * alpha), torch.from_numpy(alpha))
    wanted = tensor_colour.srgb_to_linear(over).numpy()
    np.testing.assert_allclose(colour.combined_over_backdrop(combined), wanted, atol=1e-5)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_rotations_are_the_models(rotation):
    matrix = camera.rotation_to_matrix(rotation)
    wanted = rotation_matrix(torch.tensor([rotation], dtype=torch.float64))
    np.testing.assert_allclose(matrix, wanted[0], atol=1e-12)
    np.testing.assert_allclose(camera.rotation_from_matrix(matrix), rotation_from_matrix(wanted)[0], atol=1e-12)
    np.testing.assert_allclose(camera.rotation_to_matrix(camera.rotation_from_matrix(matrix)), matrix, atol=1e-12)


def test_rotation_signs():
    def nose(yaw=0.0, pitch=0.0):
        return camera.rotation_to_matrix((yaw, pitch, 0.0)) @ (0, 0, 1)

    assert nose(yaw=0.3)[0] > 0.2  # to the face's left
    assert nose(pitch=0.3)[1] < -0.2  # down
    assert (camera.rotation_to_matrix((0, 0, 0.3)) @ (0, 1, 0))[0] < -0.2  # to the face's right


def test_straight_up_has_a_rotation_too():
    matrix = camera.rotation_to_matrix((math.pi / 2, 0.3, 0.2))
    np.testing.assert_allclose(camera.rotation_to_matrix(camera.rotation_from_matrix(matrix)), matrix, atol=1e-9)


def test_projection_is_the_models():
    points = RANDOM.uniform(-12, 12, (9, 3))
    wanted = PORTRAIT_CAMERA.project(torch.from_numpy(points)[None])[0]
    for point, (x, y, depth) in zip(points, wanted.tolist(), strict=True):
        assert camera.FFHQ.project(point) == pytest.approx(complex(x, y)) and camera.FFHQ.depth_of(point) == pytest.approx(depth)


def test_the_crop_is_the_models_and_turns_and_scales_with_its_landmarks():
    landmarks = RANDOM.standard_normal((alignment.LANDMARKS, 2))
    points = [complex(x, y) for x, y in landmarks[alignment.CROP_POINTS].tolist()]
    centre, axis = alignment.ffhq_crop(points)
    wanted = [complex(*part[0].tolist()) for part in tensor_alignment.ffhq_crop(torch.from_numpy(landmarks)[None])]
    assert (centre, axis) == (pytest.approx(wanted[0]), pytest.approx(wanted[1]))
    moved = alignment.ffhq_crop([point * (0.5 + 2j) + (3 - 1j) for point in points])
    np.testing.assert_allclose(moved, (centre * (0.5 + 2j) + (3 - 1j), axis * (0.5 + 2j)), atol=1e-12)


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.5, -0.2), (-0.7, 0.3)])
def test_the_alignment_is_the_models(yaw, pitch):
    face = synthetic_face()
    neutral = RigParameters.neutral(face)
    points = tensor_alignment.landmark_points(face, neutral.identity, neutral.expression)
    asked = neutral.replace(rotation=torch.tensor([[yaw, pitch, 0.0]]))
    found = tensor_alignment.align(face, asked, iterations=8)
    roll, place = alignment.align(points[0].numpy().astype(float), yaw, pitch)
    assert roll == pytest.approx(float(found.rotation[0, 2]), abs=1e-4)
    np.testing.assert_allclose(place, found.translation[0], atol=2e-3)


def test_harmonics_are_the_models():
    where, light = directions(50), RANDOM.standard_normal((9, 3))
    tensor = torch.from_numpy(light)[None]
    np.testing.assert_allclose(harmonics.basis(where), tensor_harmonics.basis(torch.from_numpy(where)), atol=1e-12)
    wanted = tensor_harmonics.irradiance(tensor, torch.from_numpy(where)[None])[0].clamp(min=0)
    np.testing.assert_allclose(harmonics.irradiance(light, where), wanted, atol=1e-12)
    np.testing.assert_allclose(harmonics.CONVOLUTION, tensor_harmonics.CLAMPED_COSINE)
    np.testing.assert_allclose(harmonics.main_direction(light), tensor_harmonics.dominant_direction(tensor)[0], atol=1e-12)
    np.testing.assert_allclose(harmonics.ambient((0.2, 0.3, 0.4))[0], tensor_harmonics.ambient_light(torch.tensor([0.2, 0.3, 0.4]))[0])


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_turned_light_is_the_models(rotation):
    light, matrix = RANDOM.standard_normal((9, 3)), camera.rotation_to_matrix(rotation)
    wanted = tensor_harmonics.rotate(torch.from_numpy(light)[None], torch.from_numpy(matrix)[None])[0]
    np.testing.assert_allclose(harmonics.rotate(light, matrix), wanted, atol=1e-12)


# ---------------------------------------------------------------- texts and raw arrays


def test_a_recipe_in_two_parts_unpacks_to_the_whole():
    for start, rest in (('{"a":', "1}"), ('{"a":', "2}"), ("x" * 100_000, "")):
        for level in (-1, 1):
            assert image_texts.unpack_recipe(image_texts.pack_recipe(start, rest, level)).decode() == start + rest


@pytest.mark.parametrize("order", [[], ["Normal"], ["UV", "Depth", "HeadMatte"], list(frames.PASSES)])
def test_raw_arrays_come_back_as_passes(order):
    names = [frames.COMBINED, *order]
    passes = {name: RANDOM.random((3, 5, len(frames.CHANNELS[name])), np.float32) for name in names}
    array = np.concatenate([passes[name] for name in names], axis=2)
    headers = frames.array_headers(array.shape, frames.channel_names(names)) | frames.placement_header(np.arange(6) / 7)
    headers = {name.lower(): text for name, text in headers.items()}
    found = frames.passes_from_array(array.astype(frames.ARRAY_TYPE).tobytes(), headers)
    assert list(found) == names
    assert all((found[name] == passes[name]).all() for name in names)
    assert (frames.placement_from_header(headers) == np.arange(6) / 7).all()


@pytest.mark.parametrize(
    ("name", "text"), [("x-array-shape", "2,2"), ("x-array-shape", "a,b,c"), ("x-array-type", "<f9"), ("x-array-channels", "Combined.R")]
)
def test_headers_that_do_not_fit_their_array_are_refused(name, text):
    headers = frames.array_headers((1, 1, 4), frames.channel_names([frames.COMBINED]))
    headers = {key.lower(): value for key, value in headers.items()} | {name: text}
    with pytest.raises((ValueError, TypeError)):
        frames.passes_from_array(bytes(16), headers)


# ---------------------------------------------------------------- the published schema


@pytest.fixture(scope="module")
def published() -> dict:
    return create_app(rig_library(fake_rig.load), "token").openapi()


def inner(entry: dict) -> dict:
    """What an entry that may be null is otherwise."""
    return next(one for one in entry["anyOf"] if one.get("type") != "null") if "anyOf" in entry else entry


def test_openapi_has_the_protocols_limits(published):
    schemas = published["components"]["schemas"]
    asked, output = schemas["Controls"]["properties"], schemas["FrameOutput"]["properties"]
    size, shift, light = inner(output["size"]), inner(asked["translation"])["items"], inner(asked["light"])["items"]["items"]
    assert (size["minimum"], size["maximum"]) == (frames.MIN_SIZE, frames.MAX_SIZE)
    assert (asked["scale"]["minimum"], asked["scale"]["maximum"]) == (frames.MIN_SCALE, frames.MAX_SCALE)
    assert (shift["minimum"], shift["maximum"]) == (-frames.MAX_SHIFT, frames.MAX_SHIFT)
    assert (light["minimum"], light["maximum"]) == (-frames.MAX_LIGHT, frames.MAX_LIGHT)
    assert inner(asked["light"])["maxItems"] == harmonics.COUNT
    assert schemas["LatentRequest"]["properties"]["seed"]["maximum"] == float(frames.MAX_SEED)  # as OpenAPI writes it
    assert tuple(output["passes"]["items"]["enum"]) == frames.PASSES and output["passes"]["maxItems"] == len(frames.PASSES)


def test_openapi_names_the_protocols_headers(published):
    asked = published["paths"]["/v1/frames"]["post"]["parameters"]
    names = {entry["name"] for entry in asked if entry["in"] == "header"}
    assert names == {frames.CLIENT_HEADER, frames.SUPERSEDE_HEADER}
    answered = published["paths"]["/v1/frames"]["post"]["responses"]["200"]["headers"]
    headers = {frames.ARRAY_SHAPE_HEADER, frames.ARRAY_TYPE_HEADER, frames.ARRAY_CHANNELS_HEADER, frames.PLACEMENT_HEADER}
    assert set(answered) == headers


# ---------------------------------------------------------------- the add-on tests' backend, beside the published schema


@pytest.fixture(scope="module")
def fake():
    place = Path(__file__).parents[1] / "blender" / "fake_backend.py"
    spec = importlib.util.spec_from_file_location("fake_backend", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with (
        module.FakeBackend() as backend,
        httpx.Client(
            base_url=f"http://127.0.0.1:{backend.port}", headers={"Authorization": f"Bearer {backend.token}"}, trust_env=False
        ) as client,
    ):
        yield client


def answer_problems(published: dict, method: str, path: str, answer: httpx.Response) -> list[str]:
    """What is wrong with a JSON answer, by what OpenAPI says of this path and status."""
    said = published["paths"][path][method]["responses"][str(answer.status_code)]
    return problems(answer.json(), said["content"]["application/json"]["schema"], published)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/health", None, 200),
        ("/v1/models", None, 200),
        ("/v1/portraits", {"model": "studio", "seed": 3, "truncation": 0.7}, 200),
        ("/v1/portraits", {"model": "nobody", "seed": 3, "truncation": 0.7}, 404),
    ],
)
def test_the_fake_backend_answers_as_published(fake, published, path, body, status):
    answer = fake.get(path) if body is None else fake.post(path, json=body)
    assert answer.status_code == status
    assert answer_problems(published, "get" if body is None else "post", path, answer) == []


def test_the_fake_backends_frames_are_as_published(fake, published):
    portrait = fake.post("/v1/portraits", json={"model": "studio", "seed": 3, "truncation": 0.7}).json()
    body = {"portrait": portrait, "controls": {}, "output": {"size": 16, "passes": list(frames.PASSES), "format": "raw"}}
    asked = published["paths"]["/v1/frames"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert problems(body, asked, published) == []
    answer = fake.post("/v1/frames", json=body)
    found = frames.passes_from_array(answer.content, answer.headers)
    assert {name: array.shape[2] for name, array in found.items()} == {name: len(letters) for name, letters in frames.CHANNELS.items()}
    assert frames.placement_from_header(answer.headers).shape == (6,)
    assert (found["Depth"] >= frames.FAR).any()
    said = published["paths"]["/v1/frames"]["post"]["responses"]["200"]
    assert answer.headers["content-type"] in said["content"]
    assert set(map(str.lower, said["headers"])) <= set(answer.headers)


@pytest.mark.parametrize(
    ("changed", "status", "code"), [({"weights_hash": "0" * 64}, 409, "weights_missing"), ({"seed": 3}, 422, "invalid")]
)
def test_the_fake_backends_errors_are_the_backends(fake, published, changed, status, code):
    portrait = fake.post("/v1/portraits", json={"model": "studio", "seed": 3, "truncation": 0.7}).json() | changed
    answer = fake.post("/v1/frames", json={"portrait": portrait, "controls": {}, "output": {"size": 15 if status == 422 else 16}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer_problems(published, "post", "/v1/frames", answer) == []


def test_a_schema_finds_what_is_wrong():
    schema = {
        "type": "object",
        "required": ["a"],
        "additionalProperties": False,
        "properties": {"a": {"type": "integer", "maximum": 3}, "b": {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}},
    }
    assert problems({"a": 3, "b": None}, schema, schema) == []
    for wrong in ({}, {"a": 4}, {"a": True}, {"a": 1, "b": "abc"}, {"a": 1, "c": 1}, []):
        assert problems(wrong, schema, schema)


def test_what_whole_heads_are_said_to_be_taught_is_what_the_studio_photographs():
    assert (shot.FARTHEST["yaw"], shot.FARTHEST["pitch"]) == frames.WHOLE_HEAD_TURN
    assert (shot.USUAL["yaw"][1], shot.USUAL["pitch"][1]) == frames.CROP_TURN
    assert shot.DISTANCE == (frames.MIN_DISTANCE, frames.MAX_DISTANCE)
