"""How far a turn of the head falls short of what was asked, measured once on samples and taken back.

A network that learns from noisy readings moves towards the mean: it turns heads less than asked. That part is
the same for all, so it is a number for each axis, and needs no more training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.device_rng import DeviceRng
from models.face.parameters import RigParameters
from models.rigging.rignet import RigNets
from models.training.rig.rignet_data import RigNetData

TURNS = math.radians(30), math.radians(12)  # yaw and pitch that are asked for, at most; roll is no network's
SAMPLES = 96
LIMITS = 0.8, 1.25


@torch.no_grad()
def rotation_gains(data: RigNetData, nets: RigNets, seed: int) -> Tensor:
    """What to multiply yaw, pitch and roll's changes (3,) with, for the method "joint".

    From training samples, turned and read by the landmark network; one over the slope of read against asked
    changes, within LIMITS. Roll's is 1.
    """
    rng = DeviceRng(seed, data.pool.w.device)
    rows = data.sample_rows(SAMPLES, rng)
    w, own = data.pool.w[rows], data.parameters[rows]
    before = data.pool.parameters[rows]
    place = RigParameters.slices(data.face)["rotation"].start
    gains = torch.ones(3, device=w.device)
    for axis, most in enumerate(TURNS):
        turned = own.rotation.clone()
        turned[:, axis] = (2 * rng.rand(SAMPLES) - 1) * most
        edited = nets(w, own, own.replace(rotation=turned), data.reconstruction, data.face, "joint")
        asked = turned[:, axis] - own.rotation[:, axis]
        found = data.detect(edited)[:, place + axis] - before[:, place + axis]
        slope = (asked * found).sum() / asked.square().sum()
        gains[axis] = (1 / slope.clamp(min=1e-3)).clamp(*LIMITS)
    return gains
