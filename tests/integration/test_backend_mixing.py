"""A portrait whose latent the client brings, as when it has mixed two."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from backend.server import schema, serialization
from models.errors import StyleRigError
from models.generators import Generator, GeneratorConfig
from models.rigging import Rig
from tests.helpers.synthetic_face import synthetic_face
from tests.helpers.untrained_rig import untrained_rig


@pytest.fixture(scope="module")
def rig() -> Rig:
    generator = Generator.create(GeneratorConfig(resolution=16), 0)
    return untrained_rig(synthetic_face(vertices=300), generator, hidden=8)


def request(rig: Rig, w: np.ndarray, **others) -> schema.LatentRequest:
    content = {"seed": 7, "w": base64.b64encode(w.astype("<f4").tobytes()).decode(), "w_shape": list(w.shape), **others}
    return schema.LatentRequest(model=rig.name, **content)


def test_the_same_latent_is_the_same_portrait(rig):
    drawn = serialization.new_portrait(schema.LatentRequest(model=rig.name, seed=7), rig)
    brought = serialization.new_portrait(request(rig, drawn.w), rig)
    assert np.array_equal(brought.w, drawn.w)
    assert np.array_equal(brought.parameters.vector(), drawn.parameters.vector()), "the same to the last bit"


def test_a_mixed_latent_is_read_anew(rig):
    first, second = (serialization.new_portrait(schema.LatentRequest(model=rig.name, seed=seed), rig) for seed in (1, 2))
    w = np.concatenate((first.w[:4], second.w[4:]))
    mixed = serialization.new_portrait(request(rig, w), rig)
    assert np.array_equal(mixed.w, w) and mixed.seed == 7
    assert not np.allclose(mixed.parameters.identity, first.parameters.identity)
    again = serialization.portrait_from_schema(serialization.portrait_to_schema(mixed, rig), rig)
    assert np.array_equal(again.w, w)


def test_a_latent_that_does_not_fit(rig):
    with pytest.raises(StyleRigError, match="shape"):
        serialization.new_portrait(request(rig, np.zeros((2, 512))), rig)
    with pytest.raises(ValueError, match="belong together"):
        schema.LatentRequest(seed=1, w="AAAA")
