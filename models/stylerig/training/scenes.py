"""Exact pairs from a generator that was taught by the studio's scenes.

The first numbers of such a generator's z are the numbers that determine a scene, so the rig
parameters of z are known, and two z that differ in the numbers of one control are the same person
before and after an edit. Other generators have no such pairs; everything works without them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.errors import StyleRigError
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.generators import Generator
from models.studio.scene import latent_size, layout, scene_from_latent

POSE_STRETCH = 1.3
STRONG_SHARE, STRONG_STRETCH = 0.1, 2.2
CONTROL_PARTS = {"pose": ("pose",), "expression": ("expression", "mood", "gaze"), "light": ("light",)}


def check_scenes(generator: Generator, face: FaceModel) -> None:
    """Raise StyleRigError when z is too small to hold a scene."""
    if generator.z_dim < latent_size(face):
        raise StyleRigError(
            f"This generator's z has {generator.z_dim} numbers, a scene of the studio {latent_size(face)}.",
            'Set "scenes" to 0 for generators that the studio did not teach.',
            code="bad_config",
        )


def parameters_of(z: Tensor, face: FaceModel) -> RigParameters:
    """The exact, aligned parameters of z (N, z_dim)."""
    return scene_from_latent(z[:, : latent_size(face)], face).parameters


@torch.no_grad()
def draw_scenes(generator: Generator, face: FaceModel, count: int, random: torch.Generator) -> tuple[Tensor, RigParameters]:
    """Codes (N, L, 512) and their parameters."""
    z = torch.randn(count, generator.z_dim, generator=random)
    return generator.mapping(z), parameters_of(z, face)


@torch.no_grad()
def draw_pairs(generator: Generator, face: FaceModel, count: int, random: torch.Generator):
    """Codes and parameters before and after the edit of a random choice of controls: (w, p, w', p')."""
    z = torch.randn(count, generator.z_dim, generator=random)
    edited, fresh = z.clone(), torch.randn(count, generator.z_dim, generator=random)
    places = layout(face)
    spread_out(fresh, places, random)
    chosen = torch.rand(count, len(CONTROL_PARTS), generator=random) < 0.5
    for column, parts in enumerate(CONTROL_PARTS.values()):
        for part in parts:
            place = places[part]
            edited[:, place] = torch.where(chosen[:, column, None], fresh[:, place], z[:, place])
    both = torch.cat((z, edited))
    w, parameters = generator.mapping(both), parameters_of(both, face)
    rows = (torch.arange(count), torch.arange(count, 2 * count))
    return w[rows[0]], parameters[rows[0]], w[rows[1]], parameters[rows[1]]


def spread_out(z: Tensor, places: dict[str, slice], random: torch.Generator) -> None:
    """Make strong poses and expressions more common than in the population, in place.

    An artist asks for full weights; by chance a scene holds one of a rare expression in 250.
    """
    z[:, places["pose"]] *= POSE_STRETCH
    expression = z[:, places["expression"]]
    strong = torch.rand(expression.shape, generator=random) < STRONG_SHARE
    expression[strong] *= STRONG_STRETCH
