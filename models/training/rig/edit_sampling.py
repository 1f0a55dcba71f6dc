"""Random edits to practise on: what an artist may ask of a portrait."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.device_rng import DeviceRng
from models.face import FaceModel
from models.face.alignment import align
from models.face.camera import rotation_matrix
from models.face.gaze import is_gaze, turn_eyes
from models.face.harmonics import rotate
from models.face.parameters import RigParameters
from models.rigging.rignet import CONTROLS

YAW, PITCH = math.radians(35), math.radians(14)
ACTIVE = 0.1  # reliability from which an expression is practised


def chosen_controls(count: int, rng: DeviceRng) -> Tensor:
    """Which of pose, expression, light each row edits (N, 3) bool; always at least one."""
    chosen = rng.rand(count, len(CONTROLS)) < 0.4
    fallback = rng.randint(0, len(CONTROLS), count)
    chosen.scatter_(1, fallback.unsqueeze(1), True)
    return chosen


def sample_target_edits(
    own: RigParameters, population: RigParameters, face: FaceModel, active: Tensor, rng: DeviceRng
) -> tuple[RigParameters, Tensor]:
    """Wanted parameters, aligned, and which controls they edit (N, 3).

    Half of the edits take another sample's component, half are drawn evenly from what the controls
    allow. ``active`` (E,) bool marks the expressions to practise.
    """
    count = len(own)
    chosen = chosen_controls(count, rng)
    other = population[rng.randint(0, len(population), count)]
    even = rng.rand(count, 3) < 0.5
    singly = active & torch.tensor([not is_gaze(name) for name in face.expression_names], device=active.device)
    weights = turned_eyes(sparse_expression(own.expression, singly, rng), face.expression_names, rng)
    candidates = {
        "rotation": (other.rotation, even_rotation(count, rng)),
        "expression": (other.expression, weights),
        "light": (other.light, turned_light(population, count, rng)),
    }
    parts = {}
    for column, part in enumerate(("rotation", "expression", "light")):
        shape = (-1, *[1] * (getattr(own, part).ndim - 1))
        drawn = torch.where(even[:, column].view(shape), candidates[part][1], candidates[part][0])
        parts[part] = torch.where(chosen[:, column].view(shape), drawn, getattr(own, part))
    return align(face, own.replace(**parts)), chosen


def even_rotation(count: int, rng: DeviceRng) -> Tensor:
    """Yaw and pitch evenly over the range of use (N, 3)."""
    angles = 2 * rng.rand(count, 3) - 1
    return angles * angles.new_tensor([YAW, PITCH, 0.0])


def sparse_expression(own: Tensor, active: Tensor, rng: DeviceRng) -> Tensor:
    """A few active expressions at any weight, the others rest or stay as they are (N, E)."""
    count, size = own.shape
    share = 2.0 / active.sum().clamp(min=1)
    on = (rng.rand(count, size) < share) & active
    base = own * (rng.rand(count, 1) < 0.5)
    return torch.where(on, rng.rand(count, size), base)


def turned_eyes(weights: Tensor, names: list[str], rng: DeviceRng) -> Tensor:
    """Weights (N, E), in half of them with eyes that look together any way."""
    count = len(weights)
    turned = weights
    for axis in (0, 1):
        turned = turn_eyes(turned, axis, 2 * rng.rand(count) - 1, names)
    return torch.where(rng.rand(count, 1) < 0.5, turned, weights)


def turned_light(population: RigParameters, count: int, rng: DeviceRng) -> Tensor:
    """Other samples' light, turned about the vertical by up to 60° and made stronger or weaker (N, 9, 3)."""
    light = population.light[rng.randint(0, len(population), count)]
    yaw = (2 * rng.rand(count) - 1) * math.radians(60)
    turn = rotation_matrix(torch.stack((yaw, torch.zeros_like(yaw), torch.zeros_like(yaw)), dim=1))
    strength = torch.exp(0.2 * rng.randn(count, 1, 1))
    return rotate(light, turn) * strength
