"""A small made-up face model: an ellipsoid with smooth random modes, for tests without our head."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.face.model import FaceModel

RADII = torch.tensor((7.5, 11.0, 9.5))  # cm, about a head


def synthetic_face(vertices: int = 500, identity: int = 8, expression: int = 5, reflectance: int = 4) -> FaceModel:
    """An ellipsoid of about ``vertices`` vertices with 68 landmarks where a face has them.

    Poles lie on the y axis; triangles are counter-clockwise seen from outside. The same arguments
    give the same model.
    """
    rows = max(6, round(math.sqrt(vertices / 2)))
    directions, triangles, uv = sphere(rows, 2 * rows)
    mean = directions * RADII
    random = torch.Generator().manual_seed(5)
    modes = smooth_modes(directions, identity + expression, random).unsqueeze(-1) * directions
    colours = torch.rand(reflectance, 1, 3, generator=random) * 0.06
    front = (directions[:, 2] > 0.2).float()
    eyes = torch.tensor(((3.2, 2.5, 7.0), (-3.2, 2.5, 7.0)))
    return FaceModel(
        mean=mean,
        identity=0.35 * modes[:identity],
        expression=0.8 * modes[identity:] * front[:, None],
        expression_names=[f"expression{i}" for i in range(expression)],
        albedo_mean=0.4 + 0.2 * directions.abs(),
        albedo=smooth_modes(directions, reflectance, random).unsqueeze(-1) * colours,
        triangles=triangles,
        landmarks=nearest_vertices(mean, landmark_places()),
        uv=uv,
        uv_triangles=triangles,
        masks={"face": front, "skin": torch.ones_like(front)},
        groups={"head": torch.ones_like(front)},
        eye_centers=eyes,
        identity_eye_centers=torch.zeros(identity, 2, 3),
        name="synthetic",
    )


def sphere(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit directions (V, 3), outward triangles (F, 3) and uv (V, 2) of a latitude grid."""
    polar = torch.arange(1, rows).repeat_interleave(columns) * (math.pi / rows)
    around = torch.arange(columns).repeat(rows - 1) * (2 * math.pi / columns)
    ring = torch.stack((polar.sin() * around.sin(), polar.cos(), polar.sin() * around.cos()), 1)
    poles = torch.tensor(((0.0, 1.0, 0.0), (0.0, -1.0, 0.0)))
    uv = torch.stack((around / (2 * math.pi), 1 - polar / math.pi), 1)
    uv = torch.cat((uv, torch.tensor(((0.5, 1.0), (0.5, 0.0)))))
    top = (rows - 1) * columns
    faces = []
    for column in range(columns):
        right = (column + 1) % columns
        faces.append((top, column, right))
        last = top - columns
        faces.append((top + 1, last + right, last + column))
        for row in range(rows - 2):
            a, b = row * columns + column, row * columns + right
            faces += [(a, a + columns, b), (b, a + columns, b + columns)]
    return torch.cat((ring, poles)), torch.tensor(faces), uv


def smooth_modes(directions: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Smooth functions (count, V) on the sphere, about unit size."""
    waves = torch.randn(count, 3, generator=random) * 1.5
    phases = torch.rand(count, 1, generator=random) * 2 * math.pi
    return torch.sin(waves @ directions.mT + phases)


def landmark_places() -> Tensor:
    """Where the 68 landmarks (68, 3) lie on a face of this size; -x first, as in Multi-PIE."""
    places = torch.zeros(68, 3)
    jaw = torch.linspace(-math.pi / 2, math.pi / 2, 17)
    places[:17] = torch.stack((7.5 * jaw.sin(), -9 * jaw.cos(), 2 + 4 * jaw.cos()), 1)
    places[17:27, 0] = torch.linspace(-5.5, 5.5, 10)
    places[17:27, 1:] = torch.tensor((4.5, 8.0))
    places[27:36, 1:] = torch.tensor((-1.0, 9.5))
    for start, side in ((36, -1.0), (42, 1.0)):
        angle = torch.arange(6) * (math.pi / 3)
        x, y = 3.2 * side - 1.2 * angle.cos(), 2.5 + 0.5 * angle.sin()
        places[start : start + 6] = torch.stack((x, y, torch.full((6,), 8.0)), 1)
    angle = torch.arange(20) * (math.pi / 6)
    places[48:68, 0], places[48:68, 1] = -2.5 * angle.cos(), -4.5 + 0.9 * angle.sin()
    places[48:68, 2] = 8.5
    return places


def nearest_vertices(points: Tensor, places: Tensor) -> Tensor:
    """Index (M,) of the vertex nearest to each place (M, 3)."""
    return torch.cdist(places, points).argmin(dim=1)
