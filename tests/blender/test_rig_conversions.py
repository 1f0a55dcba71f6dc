"""Frames and units: pairs are inverse, and agree with Blender's own mathematics."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

RANDOM = np.random.default_rng(3)


@pytest.fixture(scope="module")
def conversions(extension):
    return importlib.import_module(f"{extension.__name__}.protocol.conversions")


@pytest.fixture(scope="module")
def camera(extension):
    return importlib.import_module(f"{extension.__name__}.protocol.camera")


@pytest.fixture(scope="module")
def harmonics(extension):
    return importlib.import_module(f"{extension.__name__}.protocol.harmonics")


@pytest.mark.parametrize("kind", ("points", "directions"))
def test_points_come_back(conversions, kind):
    points = RANDOM.standard_normal((5, 7, 3))
    there = getattr(conversions, f"{kind}_model_to_blender")
    back = getattr(conversions, f"{kind}_blender_to_model")
    assert np.allclose(back(there(points)), points)


def test_axes_and_units(conversions):
    nose, top, left = (0, 0, 10), (0, 12, 0), (8, 0, 0)  # cm, model space
    assert np.allclose(conversions.points_model_to_blender((nose, top, left)), ((0, -0.1, 0), (0, 0, 0.12), (0.08, 0, 0)))


def test_bone_angles_are_blenders(conversions, camera):
    from mathutils import Euler

    rotation = (0.4, -0.2, 0.1)
    euler = conversions.rotation_model_to_bone(rotation)
    assert np.allclose(Euler(euler, "XYZ").to_matrix(), camera.rotation_to_matrix(rotation), atol=1e-6)
    assert conversions.rotation_bone_to_model(euler) == rotation


def test_matrix_pair(conversions, camera):
    matrix = camera.rotation_to_matrix((0.4, -0.2, 0.1))
    turned = conversions.matrix_model_to_blender(matrix)
    point = np.array((1.0, 2.0, 3.0))
    expected = conversions.directions_model_to_blender(matrix @ point)
    assert np.allclose(turned @ conversions.directions_model_to_blender(point), expected)
    assert np.allclose(conversions.matrix_blender_to_model(turned), matrix)


def test_frame_offsets(conversions, camera):
    (x, y), scale = conversions.offset_model_to_frame((2.5, 0, 0))
    assert (x, y, scale) == pytest.approx((0.1, 0, 1))  # a tenth of the frame
    assert conversions.offset_model_to_frame((0, 0, 60))[1] == pytest.approx(2)  # half-way to the camera
    offset, seen_by = np.array((1.5, -2.0, 10.0)), camera.PortraitCamera(100.0, 40.0)
    shift, scale = conversions.offset_model_to_frame(offset, seen_by)
    assert 2 * complex(*shift) == pytest.approx(seen_by.project(offset)) and scale == pytest.approx(100 / 90)


def test_light_frames(conversions, harmonics):
    light = RANDOM.standard_normal((9, 3))
    directions = harmonics.sample_directions(20)
    blender = conversions.light_model_to_blender(light)
    there = harmonics.basis(conversions.directions_model_to_blender(directions)) @ blender
    assert np.allclose(there, harmonics.basis(directions) @ light)
    assert np.allclose(conversions.light_blender_to_model(blender), light)


def test_basis_is_orthonormal(harmonics):
    directions = RANDOM.standard_normal((200_000, 3))
    values = harmonics.basis(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    assert np.allclose(values.T @ values / len(values) * 4 * np.pi, np.eye(9), atol=0.03)


def test_smallest_rotation(harmonics):
    for start, end in (((0, 0, 1), (1, 0, 0)), ((0, 0, 1), (0, 0, -1)), ((0, 1, 0), (0, -1, 0)), ((1, 0, 0), (1, 0, 0))):
        rotation = harmonics.rotation_between(np.array(start, float), np.array(end, float))
        assert np.allclose(rotation @ start, end)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert np.allclose(rotation @ rotation.T, np.eye(3))
