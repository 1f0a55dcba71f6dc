"""Proofs of the spherical-harmonic basis, rotation, irradiance, environment maps and handles."""

from __future__ import annotations

import math

import pytest
import torch

from models.face import harmonics
from models.face.camera import rotation_matrix


def random_directions(count: int, seed: int = 0) -> torch.Tensor:
    """Directions (count, 3) uniform on the sphere."""
    random = torch.Generator().manual_seed(seed)
    points = torch.randn(count, 3, generator=random, dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=-1)


def random_lights(count: int, seed: int = 1) -> torch.Tensor:
    """Lights (count, 9, 3) with a clear mean and direction."""
    random = torch.Generator().manual_seed(seed)
    light = 0.4 * torch.randn(count, 9, 3, generator=random, dtype=torch.float64)
    light[:, 0] = 2 + light[:, 0].abs()
    return light


def random_rotations(count: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    return rotation_matrix(3 * torch.randn(count, 3, generator=random, dtype=torch.float64))


def test_basis_is_orthonormal() -> None:
    functions = harmonics.basis(random_directions(400_000))
    products = functions.mT @ functions * (4 * math.pi / functions.shape[0])
    assert torch.allclose(products, torch.eye(9, dtype=products.dtype), atol=0.015)


def test_rotation_equals_the_rotated_function() -> None:
    light, rotation = random_lights(5), random_rotations(5)
    directions = random_directions(5 * 40).view(5, 40, 3)
    turned = harmonics.rotate(light, rotation)
    expected = harmonics.radiance(light, directions @ rotation)  # rows: R^T w
    assert torch.allclose(harmonics.radiance(turned, directions), expected, atol=1e-12)


def test_rotation_equals_projecting_the_rotated_light() -> None:
    direction, rotation = random_directions(6, seed=3), random_rotations(6)
    colour = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    turned = harmonics.rotate(harmonics.directional_light(direction, colour), rotation)
    moved = (rotation @ direction.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(turned, harmonics.directional_light(moved, colour), atol=1e-12)


def test_wigner_d_equals_brute_force_integration() -> None:
    rotation, directions = random_rotations(2), random_directions(400_000, seed=10)
    arriving = harmonics.basis(directions)
    for one, matrix in zip(rotation, harmonics.wigner_d(rotation), strict=True):
        turned = harmonics.basis(directions @ one)  # rows: R^T w
        brute = arriving.mT @ turned * (4 * math.pi / len(directions))
        assert torch.allclose(matrix, brute, atol=0.02)


def test_wigner_d_is_a_representation() -> None:
    """Orthogonal, without mixing of orders, and turning twice is turning by the product."""
    first, second = random_rotations(6).chunk(2)
    d = harmonics.wigner_d(first)
    assert torch.allclose(d.mT @ d, torch.eye(9).double().expand(3, 9, 9), atol=1e-12)
    order = torch.tensor((0, 1, 1, 1, 2, 2, 2, 2, 2))
    assert (d[:, order[:, None] != order[None]] == 0).all()
    assert torch.allclose(harmonics.wigner_d(second) @ d, harmonics.wigner_d(second @ first), atol=1e-12)
    light = random_lights(3)
    assert torch.allclose(d @ light, harmonics.rotate(light, first), atol=1e-12)


def test_rotation_equals_projecting_the_rotated_environment() -> None:
    """An equirectangular picture rolled by columns is the same world turned about y."""
    image = torch.rand(40, 80, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    yaw = torch.tensor(((-2 * math.pi * 13 / 80, 0.0, 0.0),), dtype=torch.float64)
    turned = harmonics.rotate(harmonics.project_environment(image)[None], rotation_matrix(yaw))[0]
    rolled = harmonics.project_environment(image.roll(13, dims=1))
    assert torch.allclose(turned, rolled, atol=1e-12)


def test_irradiance_equals_brute_force_integration() -> None:
    light, normals = random_lights(4), random_directions(4, seed=5)
    directions = random_directions(1_000_000, seed=6)
    arriving = harmonics.basis(directions)
    for one, normal in zip(light, normals, strict=True):
        cosine = (directions @ normal).clamp(min=0)
        brute = 4 * math.pi * (cosine[:, None] * (arriving @ one)).mean(dim=0)
        exact = harmonics.irradiance(one[None], normal[None])[0]
        assert torch.allclose(exact, brute, rtol=0.01, atol=0.03)


def test_ambient_light_returns_albedo() -> None:
    light = harmonics.ambient_light(torch.ones(1, 3))
    assert light[0, 0, 0].item() == pytest.approx(math.sqrt(4 * math.pi), rel=1e-6)
    normals = random_directions(7).float()[None]
    shading = harmonics.irradiance(light, normals) / math.pi
    assert torch.allclose(shading, torch.ones(1, 7, 3), atol=1e-6)


def test_directional_light_approximates_the_cosine() -> None:
    towards = torch.tensor(((0.0, 0.0, 1.0),))
    light = harmonics.directional_light(towards, torch.ones(1, 3))
    angle = torch.linspace(0, math.pi, 50)
    normals = torch.stack((angle.sin(), torch.zeros(50), angle.cos()), dim=-1)[None]
    error = harmonics.irradiance(light, normals)[0, :, 0] - angle.cos().clamp(min=0)
    assert error.abs().max() < 0.1


def test_disc_light_equals_brute_force_projection() -> None:
    towards = random_directions(1, seed=8)
    angle = torch.tensor((0.7,), dtype=torch.float64)
    colour = torch.tensor(((1.0, 0.5, 0.2),), dtype=torch.float64)
    directions = random_directions(1_000_000, seed=9)
    inside = (directions @ towards[0] > angle.cos()).double()
    brute = 4 * math.pi * (harmonics.basis(directions) * inside[:, None]).mean(dim=0)
    light = harmonics.disc_light(towards, angle, colour)[0]
    assert torch.allclose(light, brute[:, None] * colour, atol=0.01)


def test_point_light_falls_with_the_square_of_the_distance() -> None:
    offset = torch.tensor(((0.0, 30.0, 40.0), (0.0, 60.0, 80.0)))
    light = harmonics.point_light(offset, torch.full((2, 3), 2500.0))
    unit = harmonics.directional_light(torch.tensor(((0.0, 0.6, 0.8),)), torch.ones(1, 3))
    assert torch.allclose(light[:1], unit, atol=1e-6)
    assert torch.allclose(light[1:], unit / 4, atol=1e-6)


@pytest.mark.parametrize("ellipse", [False, True])
def test_area_light_equals_casting_rays_at_it(ellipse: bool) -> None:
    """As near as the light is wide, seen from the side, by a million rays in all directions."""
    offset = torch.tensor(((30.0, 40.0, 60.0),), dtype=torch.float64)
    across = torch.tensor(((40.0, 0.0, -20.0),), dtype=torch.float64)
    up = torch.tensor(((4.0, 20.0, 8.0),), dtype=torch.float64)
    colour = torch.tensor(((1.0, 0.5, 0.2),), dtype=torch.float64)
    normal = torch.linalg.cross(up, across)[0]
    rays = random_directions(1_000_000, seed=13)
    hit = rays * ((offset[0] @ normal) / (rays @ normal))[:, None] - offset[0]
    a, b = ((hit @ side[0] / side[0].square().sum()) for side in (across, up))
    inside = (a**2 + b**2 < 1) if ellipse else (a.abs() < 1) & (b.abs() < 1)
    inside &= (rays @ normal) * (offset[0] @ normal) > 0  # not behind the lit point
    cast = 4 * math.pi * (harmonics.basis(rays) * inside[:, None]).mean(dim=0)
    light = harmonics.area_light(offset, up, across, colour, ellipse)[0]
    assert torch.allclose(light, cast[:, None] * colour, atol=0.01)
    assert cast[0] > 0.05
    assert (harmonics.area_light(offset, across, up, colour, ellipse) == 0).all()  # its dark side


def test_area_light_far_away_is_a_point() -> None:
    offset, across, up = torch.tensor(((0.0, 0.0, 500.0),)), torch.tensor(((5.0, 0, 0),)), torch.tensor(((0, -5.0, 0),))
    lamp = harmonics.area_light(offset, across, up, torch.ones(1, 3))
    assert torch.allclose(lamp, harmonics.point_light(offset, torch.full((1, 3), 100.0)), rtol=1e-3)


def test_environment_projection_recovers_its_coefficients() -> None:
    height, width = 64, 128
    light = random_lights(1)
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    polar = (row + 0.5) * math.pi / height
    around = (column + 0.5) * 2 * math.pi / width - math.pi
    x, z = polar.sin() * around.cos(), polar.sin() * around.sin()
    directions = torch.stack((x, polar.cos(), z), dim=-1).double()
    image = harmonics.radiance(light, directions[None])[0]
    assert torch.allclose(harmonics.project_environment(image), light[0], atol=2e-3)


def test_environment_axes() -> None:
    image = torch.zeros(32, 64, 3)
    image[:4] = 1.0
    up = harmonics.dominant_direction(harmonics.project_environment(image)[None])
    assert torch.allclose(up, torch.tensor(((0.0, 1.0, 0.0),)), atol=1e-4)
    image = torch.zeros(32, 64, 3)
    image[15:17, 47:49] = 1.0  # three quarters across: towards the camera
    front = harmonics.dominant_direction(harmonics.project_environment(image)[None])
    assert torch.allclose(front, torch.tensor(((0.0, 0.0, 1.0),)), atol=1e-4)


def test_handles_give_the_light_back() -> None:
    light = random_lights(20)
    handles = harmonics.handles_from_light(light)
    assert torch.allclose(harmonics.light_from_handles(*handles), light, atol=1e-9)
    assert torch.allclose(harmonics.luminance(handles.tint), torch.ones(20).double())


def test_light_gives_the_handles_back() -> None:
    direction = random_directions(6, seed=11).float()
    strength = torch.linspace(0.2, 3, 6)
    tint = torch.rand(6, 3, generator=torch.Generator().manual_seed(12)) + 0.2
    tint = tint / harmonics.luminance(tint).unsqueeze(-1)
    handles = harmonics.handles_from_light(harmonics.light_from_handles(strength, tint, direction))
    assert torch.allclose(handles.strength, strength, atol=1e-5)
    assert torch.allclose(handles.tint, tint, atol=1e-5)
    assert torch.allclose(handles.direction, direction, atol=1e-5)


def test_direction_handle_points_the_light_even_backwards() -> None:
    light = random_lights(8).float()
    one, white = torch.ones(8), torch.ones(8, 3)
    for direction in (random_directions(8).float(), -harmonics.dominant_direction(light)):
        turned = harmonics.light_from_handles(one, white, direction, light)
        assert torch.allclose(harmonics.dominant_direction(turned), direction, atol=2e-3)
        size = turned.square().sum(dim=1)
        assert torch.allclose(size, light.square().sum(dim=1), rtol=1e-4)


def test_even_light_has_a_direction() -> None:
    light = harmonics.ambient_light(torch.ones(2, 3))
    direction = harmonics.dominant_direction(light)
    assert torch.equal(direction, torch.tensor(((0.0, 0.0, 1.0),) * 2))


def test_soft_key_is_bright_in_front_and_nowhere_negative() -> None:
    light = harmonics.soft_key()[None]
    shading = harmonics.irradiance(light, random_directions(500).float()[None]) / math.pi
    front = harmonics.irradiance(light, torch.tensor(((0.0, 0.0, 1.0),)))[0, 0] / math.pi
    assert shading.min() > 0
    assert front > 1.2
    assert front >= shading.max() - 1e-3
