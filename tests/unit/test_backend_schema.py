"""The request schema: what goes through JSON comes back the same, what is out of bounds does not get in."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.protocol import frames
from backend.server import schema, serialization
from models.errors import StyleRigError
from tests.helpers import fake_rig

RIG = fake_rig.load()
NAMES = RIG.face.expression_names


def numbers(largest: float, smallest: float | None = None):
    return st.floats(-largest if smallest is None else smallest, largest, allow_nan=False)


def triples(largest: float):
    return st.lists(numbers(largest), min_size=3, max_size=3)


expressions = st.dictionaries(st.sampled_from(NAMES), numbers(10))
lights = st.lists(triples(1000), min_size=9, max_size=9)
controls = st.builds(
    schema.Controls,
    rotation=st.none() | triples(10),
    expression=expressions,
    light=st.none() | lights,
    translation=st.none() | st.lists(numbers(100), min_size=2, max_size=2),
    scale=numbers(8, 0.125),
)
sizes = st.none() | st.integers(frames.MIN_SIZE, frames.MAX_SIZE)
passes = st.lists(st.sampled_from(["FaceMask", "Normal", "Albedo", "Shading", "Depth"]), unique=True)
outputs = st.builds(schema.FrameOutput, size=sizes, passes=passes, format=st.sampled_from(["png", "raw"]))
requests = st.builds(schema.PortraitRequest, seed=st.integers(0, 2**63 - 1), truncation=numbers(2, 0))

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["w", "seed", "size"]) | st.text(), inner),
)


@st.composite
def whole_portraits(draw) -> schema.Portrait:
    seed = draw(st.integers(0, 2**32))
    return serialization.portrait_to_schema(RIG.new_portrait(seed, draw(numbers(2, 0))), RIG)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(whole_portraits(), controls, outputs)
def test_frame_request_survives_json(portrait, asked, output):
    request = schema.FrameRequest(portrait=portrait, controls=asked, output=output)
    assert schema.FrameRequest.model_validate_json(request.model_dump_json()) == request
    assert schema.FrameRequest.model_validate(json.loads(request.model_dump_json())) == request


@settings(max_examples=40, deadline=None)
@given(requests | whole_portraits(), st.lists(controls, min_size=1, max_size=3), outputs)
def test_rig_file_survives_json(portrait, frames, output):
    layers = schema.SequenceOutput(size=output.size, passes=output.passes)
    rig_file = schema.RigFile(portrait=portrait, frames=frames, output=layers)
    assert schema.parse_rig_file(rig_file.model_dump_json(), "x.json") == rig_file


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**63 - 1), numbers(2, 0))
def test_portrait_survives_the_schema(seed, truncation):
    portrait = RIG.new_portrait(seed, truncation)
    message = serialization.portrait_to_schema(portrait, RIG)
    text = json.loads(json.dumps(message.model_dump()))
    back = serialization.portrait_from_schema(schema.Portrait.model_validate(text), RIG)
    np.testing.assert_array_equal(back.w, portrait.w)
    np.testing.assert_array_equal(back.parameters.vector(), portrait.parameters.vector())
    assert (back.seed, back.truncation, back.weights_hash) == (seed, truncation, portrait.weights_hash)


@settings(max_examples=60, deadline=None)
@given(controls)
def test_controls_reach_the_rig_as_they_are(asked):
    made = serialization.controls_from_schema(asked, RIG.face)
    assert (made.rotation and list(made.rotation)) == asked.rotation
    assert (made.translation and list(made.translation)) == asked.translation
    assert (made.expression, made.scale) == (asked.expression, asked.scale)
    if asked.light is None:
        assert made.light is None
    else:
        np.testing.assert_array_equal(made.light, np.array(asked.light, np.float32))
    assert RIG.frame(RIG.new_portrait(1), made, size=16, passes=())["Combined"].shape == (16, 16, 4)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([math.nan, math.inf, -math.inf, 1e6, "1", True, None, [], 10**400]), st.data())
def test_no_number_gets_in_that_is_not_one(value, data):
    parts = {"rotation": [0.0] * 3, "expression": {NAMES[0]: 0.0}, "light": [[0.0] * 3] * 9, "translation": [0.0] * 2}
    name = data.draw(st.sampled_from([*parts, "scale"]))
    wrong = {
        "rotation": [0.0, value, 0.0],
        "expression": {NAMES[0]: value},
        "light": [[0.0] * 3] * 8 + [[0.0, 0.0, value]],
        "translation": [0.0, value],
        "scale": value,
    }
    with pytest.raises(ValidationError):
        schema.Controls.model_validate({**parts, name: wrong[name]})


@settings(max_examples=100, deadline=None)
@given(values | st.fixed_dictionaries({"portrait": values, "frames": values, "output": values}))
def test_anything_else_is_a_plain_error(value):
    with pytest.raises(StyleRigError) as caught:
        schema.parse_rig_file(json.dumps(value), "x.json")
    assert caught.value.code == "bad_rig_file" and "\n" not in caught.value.message


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=64))
def test_a_w_of_other_bytes_is_a_plain_error(data):
    message = serialization.portrait_to_schema(RIG.new_portrait(1), RIG)
    message = message.model_copy(update={"w": base64.b64encode(data).decode()})
    with pytest.raises(StyleRigError, match="its w holds"):
        serialization.portrait_from_schema(message, RIG)


def test_expressions_left_out_of_a_portrait_are_zero():
    message = serialization.portrait_to_schema(RIG.new_portrait(1), RIG)
    message.parameters.expression = {NAMES[2]: 0.5}
    values = serialization.portrait_from_schema(message, RIG).parameters.expression[0]
    assert values.tolist() == [0, 0, 0.5, 0, 0]


def test_schema_and_rig_agree_on_the_bounds():
    """What the schema lets through, the real rig's own check accepts too."""
    widest = schema.Controls(
        rotation=[10.0, -10.0, 10.0],
        expression=dict.fromkeys(NAMES, 10.0),
        light=[[1000.0] * 3] * 9,
        translation=[100.0, -100.0],
        scale=8.0,
    )
    made = serialization.controls_from_schema(widest, RIG.face)
    made.check(RIG.face)
    assert made.scale == 8.0
