"""When a shutter is open, and the mean of what it sees."""

from __future__ import annotations

import numpy as np
import pytest

from backend.protocol.exposure import Exposure, offsets


@pytest.mark.parametrize(("position", "middle"), [("START", 0.25), ("CENTER", 0.0), ("END", -0.25)])
def test_portraits_stand_in_the_middles_of_equal_parts_of_its_time(position, middle):
    times = offsets(4, 0.5, position)
    np.testing.assert_allclose(times, middle + 0.5 * np.array((-0.375, -0.125, 0.125, 0.375)))
    np.testing.assert_allclose(offsets(4, 0.5, position, [3.0] * 9), times)
    np.testing.assert_allclose(offsets(4, 0.5, position, [0.0] * 9), times)


@pytest.mark.parametrize(("samples", "shutter"), [(1, 0.5), (8, 0.0)])
def test_nothing_is_blurred_by_one_portrait_or_a_shutter_that_stays_shut(samples, shutter):
    assert offsets(samples, shutter, "CENTER") == []


def test_they_are_dense_where_it_is_wide_open():
    """A triangle from shut to shut: half of the light comes in the middle 1 - 1/√2 of its time, symmetrically."""
    times = np.array(offsets(4, 1.0, "START", [0, 0.5, 1, 0.5, 0]))
    light = np.where(times < 0.5, 2 * times**2, 1 - 2 * (1 - times) ** 2)
    np.testing.assert_allclose(light, (0.125, 0.375, 0.625, 0.875), atol=0.04)  # straight between the curve's steps
    fine = np.array(offsets(4, 1.0, "START", [min(step, 64 - step) for step in range(65)]))
    np.testing.assert_allclose(np.where(fine < 0.5, 2 * fine**2, 1 - 2 * (1 - fine) ** 2), (0.125, 0.375, 0.625, 0.875), atol=1e-3)


def test_a_shutter_that_opens_late_sees_what_comes_late():
    assert min(offsets(5, 1.0, "START", [0, 0, 1, 1])) > 1 / 3


def test_the_mean_has_what_blurs_alone():
    seen = Exposure()
    for value in (0.0, 1.0):
        pixels = {name: np.full((2, 2, 1), value, np.float32) for name in ("Combined", "HairMatte", "Depth")}
        seen.add(pixels, {"CryptoObject": {"A": pixels["Combined"][..., 0]} if value else {}})
    pixels, coverages = seen.mean()
    assert pixels.keys() == {"Combined", "HairMatte"} and (pixels["Combined"] == 0.5).all()
    assert (coverages["CryptoObject"]["A"] == 0.5).all()
