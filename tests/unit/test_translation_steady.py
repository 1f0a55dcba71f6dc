"""Flows from passes, and looks that are steady in time."""

from __future__ import annotations

import numpy as np
import pytest

from models.translation.steady import Steadier, completed, flicker, flow_from_uv, flow_from_vectors, warped

SIZE = 64


def smooth(shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """A picture (S, S, 3) of waves, moved to the right by so many pixels."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    waves = [np.sin((columns - shift) * random.uniform(0.1, 0.4) + rows * random.uniform(0.1, 0.4)) for _ in range(3)]
    return (0.5 + 0.3 * np.stack(waves, axis=2)).astype(np.float32)


def disc(shift: float) -> tuple[np.ndarray, np.ndarray]:
    """UV (S, S, 2) of a disc that stands so many pixels to the right, 0 around it; and where it is."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    x, y = (columns - shift) / SIZE, rows / SIZE
    there = np.hypot(x - 0.5, y - 0.5) < 0.3
    return np.where(there[..., None], np.stack((x, 1 - y), axis=2), 0).astype(np.float32), there


def test_a_surface_that_moves_is_found_where_it_was():
    now, there = disc(5.0)
    flow = flow_from_uv(now, disc(0.0)[0])
    assert np.isnan(flow[~there]).all()
    inner = there & np.roll(there, 3, 0) & np.roll(there, -3, 0) & np.roll(there, 3, 1) & np.roll(there, -3, 1)
    assert np.abs(flow[inner] - (-5, 0)).max() < 0.3
    assert np.isnan(flow_from_uv(now, np.zeros_like(now))).all()


def test_what_has_no_surface_moves_with_what_is_next_to_it():
    now, _ = disc(5.0)
    whole = completed(flow_from_uv(now, disc(0.0)[0]))
    assert np.isfinite(whole).all() and np.abs(whole - (-5, 0)).max() < 1.0
    assert not completed(np.full((4, 4, 2), np.nan, np.float32)).any()


def test_a_vector_pass_points_up_where_a_flow_points_down():
    vectors = np.zeros((2, 2, 4), np.float32)
    vectors[...] = (3, 2, 9, 9)
    assert np.array_equal(flow_from_vectors(vectors)[0, 0], (3, -2))


def test_a_frame_before_is_moved_to_where_this_one_has_it():
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 0] = -5
    moved, inside = warped(smooth(0), flow)
    assert np.abs(moved - smooth(5))[:, 5:].max() < 1e-4
    assert not inside[:, :5].any() and inside[:, 5:].all()


def looks(count: int, jitter: float) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Pictures that move by 2 pixels a frame, what a look that flickers makes of them, and flows."""
    random, flow = np.random.default_rng(3), np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 0] = -2
    pictures = [smooth(2.0 * index) for index in range(count)]
    return pictures, [1 - picture + jitter * random.standard_normal(3).astype(np.float32) for picture in pictures], [flow] * count


def test_a_steady_look_flickers_less_and_keeps_up_with_motion():
    pictures, flickering, flows = looks(8, 0.05)
    steadier = Steadier(0.8)
    steady = [steadier.frame(*each) for each in zip(pictures, flickering, flows, strict=True)]
    assert flicker(pictures, flows) < 1e-3 < flicker(flickering, flows)
    assert flicker(steady, flows) < 0.45 * flicker(flickering, flows)
    assert np.abs(steady[-1] - flickering[-1]).mean() < 0.08  # no trail
    still = [Steadier(0.0).frame(pictures[0], flickering[0], None)]
    assert np.array_equal(still[0], flickering[0])


def test_what_changes_in_the_picture_changes_at_once():
    steadier, flow = Steadier(1.0), np.zeros((SIZE, SIZE, 2), np.float32)
    dark, bright = np.full((SIZE, SIZE, 3), 0.2, np.float32), np.full((SIZE, SIZE, 3), 0.8, np.float32)
    steadier.frame(dark, dark, None)
    cut = bright.copy()
    cut[:, : SIZE // 2] = 0.2
    result = steadier.frame(cut, cut * 0.5, flow)
    assert np.abs(result[:, SIZE // 2 :] - 0.4).max() < 1e-3  # new: the look's own
    assert np.abs(result[:, : SIZE // 2] - 0.2).max() < 1e-3  # as it was: from before


def test_flicker_without_a_flow_is_plain_change():
    a, b = np.zeros((4, 4, 3), np.float32), np.full((4, 4, 3), 0.25, np.float32)
    assert flicker([a, b, a], [None] * 3) == pytest.approx(0.25) and flicker([a], [None]) == 0
