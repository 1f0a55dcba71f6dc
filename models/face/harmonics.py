"""Light as real spherical harmonics of order 0 to 2.

A light is the radiance arriving from each direction, L(w) = sum_i c_i Y_i(w), kept as coefficients
(N, 9, 3), linear RGB, in the world frame of the models (y up, z towards the camera). With the unit
direction w = (x, y, z) the orthonormal basis is

    Y_0 = 1/2 sqrt(1/pi)
    Y_1, Y_2, Y_3 = sqrt(3/(4 pi)) * (y, z, x)
    Y_4, Y_5, Y_7 = 1/2 sqrt(15/pi) * (xy, yz, xz)
    Y_6 = 1/4 sqrt(5/pi) * (3 z^2 - 1)          Y_8 = 1/4 sqrt(15/pi) * (x^2 - y^2)

A surface of normal n receives E(n) = sum_i A_i c_i Y_i(n) with A = pi, 2 pi/3, pi/4 for the orders
0, 1, 2 and sends back albedo * E / pi (Ramamoorthi and Hanrahan, "An Efficient Representation for
Irradiance Environment Maps", 2001).

Handles, the few numbers an artist holds, mean

    scaled = strength * tint * shape
    light = rotate(scaled, arc(dominant(scaled), direction))

where ``shape`` is any light, tint multiplies the colour channels, arc(a, b) is the shortest
rotation that takes a to b, and dominant(c) is the direction of the band-1 luminance,
normalise(lum(c_3), lum(c_1), lum(c_2)), lum = 0.2126 R + 0.7152 G + 0.0722 B. With strength 1,
tint (1, 1, 1) and direction dominant(shape) the light is ``shape`` itself.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BAND_0 = math.sqrt(1 / math.pi) / 2
BAND_1 = math.sqrt(3 / math.pi) / 2
BAND_2_PRODUCT = math.sqrt(15 / math.pi) / 2
BAND_2_ZONAL = math.sqrt(5 / math.pi) / 4
BAND_2_DIFFERENCE = math.sqrt(15 / math.pi) / 4
LUMINANCE = (0.2126, 0.7152, 0.0722)  # Rec. 709
CLAMPED_COSINE = (math.pi,) + (2 * math.pi / 3,) * 3 + (math.pi / 4,) * 5
FACING = (0.0, 0.0, 1.0)
NODES = 12  # along each side of an area light: 1e-4 of it where the light is half as far away as it is wide


class LightHandles(NamedTuple):
    """What ``light_from_handles`` takes: N lights as a shape and what is done to it."""

    strength: Tensor  # (N,) luminance of the mean radiance
    tint: Tensor  # (N, 3) colour of the mean radiance, of luminance 1
    direction: Tensor  # (N, 3) unit vector to where most light comes from
    shape: Tensor  # (N, 9, 3) the light of strength 1 and tint (1, 1, 1)


def basis(directions: Tensor) -> Tensor:
    """The nine functions at unit vectors (…, 3) -> (…, 9)."""
    x, y, z = directions.movedim(-1, 0).contiguous()
    functions = (
        torch.full_like(x, BAND_0),
        BAND_1 * y,
        BAND_1 * z,
        BAND_1 * x,
        BAND_2_PRODUCT * x * y,
        BAND_2_PRODUCT * y * z,
        BAND_2_ZONAL * (3 * z * z - 1),
        BAND_2_PRODUCT * x * z,
        BAND_2_DIFFERENCE * (x * x - y * y),
    )
    # One function after another in memory: to interleave them would take longer than to compute them.
    return torch.stack(functions).movedim(0, -1)


def radiance(light: Tensor, directions: Tensor) -> Tensor:
    """Radiance (N, …, 3) of lights (N, 9, 3) from unit directions (N, …, 3)."""
    return evaluate(light, basis(directions))


def irradiance(light: Tensor, normals: Tensor) -> Tensor:
    """Irradiance E (N, …, 3) on surfaces of unit normals (N, …, 3) under lights (N, 9, 3).

    May be a little below zero opposite a strong light, where order 2 rings.
    """
    factors = light.new_tensor(CLAMPED_COSINE).unsqueeze(-1)
    return evaluate(light * factors, basis(normals))


def evaluate(coefficients: Tensor, functions: Tensor) -> Tensor:
    """Sum coefficients (N, 9, 3) over functions (N, …, 9) -> (N, …, 3)."""
    flat = functions.flatten(1, -2) if functions.ndim > 2 else functions.unsqueeze(1)
    return (flat @ coefficients).reshape(*functions.shape[:-1], coefficients.shape[-1])


def ambient_light(colour: Tensor) -> Tensor:
    """The same radiance ``colour`` (N, 3) from everywhere -> (N, 9, 3); E is pi * colour."""
    light = torch.zeros(*colour.shape[:-1], 9, 3, dtype=colour.dtype, device=colour.device)
    light[..., 0, :] = colour / BAND_0
    return light


def directional_light(direction: Tensor, colour: Tensor) -> Tensor:
    """A far light in unit directions (N, 3) -> (N, 9, 3).

    ``colour`` (N, 3) is the irradiance on a surface that faces it, so E(n) approximates
    colour * max(0, n · direction).
    """
    return basis(direction).unsqueeze(-1) * colour.unsqueeze(-2)


def disc_light(direction: Tensor, angle: Tensor, colour: Tensor) -> Tensor:
    """Radiance ``colour`` (N, 3) from within ``angle`` (N,) radians of directions (N, 3)."""
    edge = angle.cos()
    orders = torch.stack((2 * (1 - edge), 1 - edge**2, edge * (1 - edge**2)), dim=-1) * math.pi
    bands = orders.repeat_interleave(torch.tensor((1, 3, 5), device=orders.device), dim=-1)
    return (basis(direction) * bands).unsqueeze(-1) * colour.unsqueeze(-2)


def point_light(offset: Tensor, intensity: Tensor) -> Tensor:
    """A small light at ``offset`` (N, 3) cm from the lit point -> (N, 9, 3).

    ``intensity`` (N, 3) is radiant intensity in radiance times cm²: a surface that faces the light
    receives intensity / distance². A lamp of power P W that shines to all sides has P / (4 pi).
    """
    distance = offset.norm(dim=-1, keepdim=True)
    return directional_light(offset / distance, intensity / distance.square())


def area_light(offset: Tensor, across: Tensor, up: Tensor, colour: Tensor, ellipse: bool = False) -> Tensor:
    """A flat Lambertian light whose middle is at ``offset`` (N, 3) cm from the lit point -> (N, 9, 3).

    ``across`` and ``up`` (N, 3), at right angles, lead from the middle to the edge: of a rectangle or,
    with ``ellipse``, of an ellipse. It shines to the side of across x up only, with radiance
    ``colour`` (N, 3). Integrated over ``NODES``² points of the light, each with its solid angle
    area * cosine / distance².
    """
    nodes, areas = (part.to(offset) for part in area_nodes(ellipse))
    towards = offset.unsqueeze(-2) + nodes @ torch.stack((across, up), dim=-2)
    distance = towards.norm(dim=-1)
    normal = torch.linalg.cross(across, up).unsqueeze(-1)  # as long as the unit square is large here
    shining = -(towards @ normal).squeeze(-1).clamp(max=0)
    solid_angles = areas * shining / distance**3
    functions = basis(towards / distance.unsqueeze(-1))
    return (functions.mT @ solid_angles.unsqueeze(-1)) * colour.unsqueeze(-2)


def area_nodes(ellipse: bool) -> tuple[Tensor, Tensor]:
    """Nodes (M, 2) and areas (M,), float64, that integrate over the square [-1, 1]² or the unit disc.

    Gauss and Legendre's along both sides; in the disc along the squared radius, and evenly around it.
    """
    place, share = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(NODES))
    areas = torch.outer(share, share).flatten()
    if not ellipse:
        return torch.cartesian_prod(place, place), areas
    radius = ((place + 1) / 2).sqrt().repeat_interleave(NODES)
    angle = (torch.arange(NODES, dtype=place.dtype) * (2 * math.pi / NODES)).repeat(NODES)
    rings = share.repeat_interleave(NODES) * (math.pi / 2 / NODES)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=-1), rings


def project_environment(image: Tensor) -> Tensor:
    """Project an equirectangular picture (H, W, 3) of linear radiance -> (9, 3).

    Row 0 is up (+y). The middle column looks along +x and columns further right turn towards +z,
    which is how a Blender world maps it once Blender's axes are turned to the models'.
    """
    height, width = image.shape[:2]
    count = partial(torch.arange, dtype=image.dtype, device=image.device)
    polar = (count(height) + 0.5) * (math.pi / height)
    around = (count(width) + 0.5) * (2 * math.pi / width) - math.pi
    level = polar.sin()[:, None]
    upward = polar.cos()[:, None].expand(height, width)
    directions = torch.stack((level * around.cos(), upward, level * around.sin()), dim=-1)
    steps = math.pi / height * count(height + 1)
    rows = (steps[:-1].cos() - steps[1:].cos()) * (2 * math.pi / width)
    weighted = image * rows[:, None, None]
    return basis(directions).flatten(0, 1).mT @ weighted.flatten(0, 1)


def rotate(light: Tensor, rotation: Tensor) -> Tensor:
    """Turn lights (N, 9, 3) by rotations (N, 3, 3): what came from w then comes from R w. Exact.

    Band 1 is a vector and band 2 a symmetric traceless matrix M with L_2(w) = w^T M w; they turn
    to R v and R M R^T, which is what Wigner's D does to the coefficients.
    """
    vector = light[..., (3, 1, 2), :]
    turned = rotation @ vector
    matrix = band_to_matrix(light[..., 4:9, :])
    turn = rotation.unsqueeze(-3)
    band = matrix_to_band(turn @ matrix @ turn.mT)
    return torch.cat((light[..., :1, :], turned[..., (1, 2, 0), :], band), dim=-2)


def wigner_d(rotation: Tensor) -> Tensor:
    """What ``rotate`` does, as matrices (N, 9, 9) for rotations (N, 3, 3): D[i, j] = <Y_i, Y_j(R^T .)>."""
    identity = torch.eye(9, dtype=rotation.dtype, device=rotation.device)
    return rotate(identity.expand(*rotation.shape[:-2], 9, 9), rotation)


def band_to_matrix(band: Tensor) -> Tensor:
    """Band-2 coefficients (…, 5, C) -> symmetric traceless matrices (…, C, 3, 3)."""
    xy, yz, zonal, xz, difference = band.unbind(-2)
    xy, yz, xz = (BAND_2_PRODUCT / 2 * value for value in (xy, yz, xz))
    zonal, difference = BAND_2_ZONAL * zonal, BAND_2_DIFFERENCE * difference
    entries = (difference - zonal, xy, xz, xy, -difference - zonal, yz, xz, yz, 2 * zonal)
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def matrix_to_band(matrix: Tensor) -> Tensor:
    """The inverse of ``band_to_matrix``."""
    band = (
        matrix[..., 0, 1] * (2 / BAND_2_PRODUCT),
        matrix[..., 1, 2] * (2 / BAND_2_PRODUCT),
        matrix[..., 2, 2] / (2 * BAND_2_ZONAL),
        matrix[..., 0, 2] * (2 / BAND_2_PRODUCT),
        (matrix[..., 0, 0] - matrix[..., 1, 1]) / (2 * BAND_2_DIFFERENCE),
    )
    return torch.stack(band, dim=-2)


def luminance(colour: Tensor) -> Tensor:
    """Rec. 709 luminance (…) of linear RGB (…, 3)."""
    return colour @ colour.new_tensor(LUMINANCE)


def dominant_direction(light: Tensor) -> Tensor:
    """Unit vectors (N, 3) to where most light (N, 9, 3) comes from; +z when none stands out."""
    vector = luminance(light)[..., (3, 1, 2)]
    length = vector.norm(dim=-1, keepdim=True)
    flat = length < 1e-6 * (1 + luminance(light[..., 0, :]).abs().unsqueeze(-1))
    facing = vector.new_tensor(FACING).expand_as(vector)
    return torch.where(flat, facing, vector / length.clamp(min=1e-12))


def shortest_rotation(start: Tensor, end: Tensor) -> Tensor:
    """Rotations (N, 3, 3) that take unit vectors ``start`` (N, 3) to ``end`` the shortest way.

    Between opposite vectors every half turn is as short; then the one about an axis close to the
    coordinate axis that ``start`` leans on least is taken.
    """
    # A half turn about start and one about the middle make the rotation; opposite vectors have no
    # middle, any vector across start serves.
    least = torch.nn.functional.one_hot(start.abs().argmin(dim=-1), 3).to(start)
    axis = torch.nn.functional.normalize(torch.linalg.cross(start, least), dim=-1)
    middle = start + end
    opposite = middle.norm(dim=-1, keepdim=True) < 1e-4
    middle = torch.nn.functional.normalize(torch.where(opposite, axis, middle), dim=-1)
    return half_turn(middle) @ half_turn(start)


def half_turn(axis: Tensor) -> Tensor:
    """Rotations (N, 3, 3) by 180° about unit axes (N, 3)."""
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return 2 * axis.unsqueeze(-1) * axis.unsqueeze(-2) - identity


def light_from_handles(strength: Tensor, tint: Tensor, direction: Tensor, shape: Tensor | None = None) -> Tensor:
    """The light (N, 9, 3) of handles; formula in the module's text.

    ``strength`` (N,), ``tint`` (N, 3), ``direction`` (N, 3) of any length above 0, ``shape``
    (N, 9, 3), by default ``soft_key``.
    """
    if shape is None:
        shape = soft_key().to(tint).expand(*tint.shape[:-1], 9, 3)
    scaled = shape * (strength.unsqueeze(-1) * tint).unsqueeze(-2)
    goal = torch.nn.functional.normalize(direction, dim=-1)
    return rotate(scaled, shortest_rotation(dominant_direction(scaled), goal))


def handles_from_light(light: Tensor) -> LightHandles:
    """Handles of lights (N, 9, 3); ``light_from_handles(*handles)`` gives the light back.

    A light whose mean is black in a channel keeps that channel in its shape, with tint 0.001.
    """
    mean = light[..., 0, :] * BAND_0
    strength = luminance(mean).clamp(min=1e-6)
    tint = (mean / strength.unsqueeze(-1)).clamp(min=1e-3)
    shape = light / (strength.unsqueeze(-1) * tint).unsqueeze(-2)
    return LightHandles(strength, tint, dominant_direction(light), shape)


def soft_key(contrast: float = 0.6) -> Tensor:
    """White light (9, 3) of mean radiance 1: ``contrast`` 0–1 of it from around +z, the rest even.

    The directed part is as broad as a hemisphere's light, so that no side goes below zero.
    """
    white = torch.ones(3)
    facing = torch.tensor(FACING)
    key = disc_light(facing, torch.tensor(math.pi / 2), 2 * white)
    return (1 - contrast) * ambient_light(white) + contrast * key
