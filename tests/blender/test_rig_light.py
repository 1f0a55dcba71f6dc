"""The handles above the coefficients."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

LIGHT = np.random.default_rng(4).standard_normal((9, 3)) * 0.3
LIGHT[0] = 2.5


@pytest.fixture(scope="module")
def light(extension):
    return importlib.import_module(f"{extension.__name__}.rig.light")


@pytest.fixture(scope="module")
def harmonics(extension):
    return importlib.import_module(f"{extension.__name__}.protocol.harmonics")


def test_neutral_handles_change_nothing(light):
    own = light.own_direction(LIGHT.ravel())
    final = light.final_light(LIGHT.ravel(), light.NEUTRAL_STRENGTH, light.NEUTRAL_TINT, own)
    assert np.allclose(final, LIGHT, atol=1e-12)


def test_zero_direction_is_no_direction(light):
    assert np.allclose(light.final_light(LIGHT.ravel(), 1, (1, 1, 1), (0, 0, 0)), LIGHT)


def test_strength_and_tint_multiply(light):
    own = light.own_direction(LIGHT.ravel())
    assert np.allclose(light.final_light(LIGHT.ravel(), 2, (1, 0.5, 0), own), LIGHT * (2, 1, 0))


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (0, 0, 2), (-0.3, -0.5, 0.2)])
def test_light_comes_from_the_handle(light, harmonics, direction):
    final = light.final_light(LIGHT.ravel(), 1, (1, 1, 1), direction)
    assert light.own_direction(final.ravel()) == pytest.approx(np.array(direction) / np.linalg.norm(direction))
    for degree in (slice(0, 1), slice(1, 4), slice(4, 9)):  # a rotation keeps the power of each degree
        assert (final[degree] ** 2).sum() == pytest.approx((LIGHT[degree] ** 2).sum())


def test_even_light_has_no_direction_to_turn(light):
    assert np.allclose(light.final_light(light.EVEN_LIGHT, 1, (1, 1, 1), (1, 0, 0)).ravel(), light.EVEN_LIGHT)
    assert light.own_direction(light.EVEN_LIGHT) == light.FRONT_DIRECTION
