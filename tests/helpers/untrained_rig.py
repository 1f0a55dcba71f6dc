"""A rig with random networks, for tests that need no trained one."""

from __future__ import annotations

import hashlib

import torch

from models.face import FaceModel, load_face_model
from models.generators import CpuScheduler, Generator, GeneratorConfig
from models.rigging import Rig
from models.rigging.reconstruction import Reconstruction
from models.rigging.rignet import RigNets


def untrained_rig(
    face: FaceModel | None = None, generator: Generator | None = None, seed: int = 0, scheduler: CpuScheduler | None = None, **options
) -> Rig:
    """``options`` go to RigNets (method, hidden, localize_expressions). The same arguments give the same rig."""
    face = face or load_face_model(None)
    generator = (generator or Generator.create(GeneratorConfig(), seed)).eval().requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reconstruction = Reconstruction.create(face, generator.num_ws, generator.w_dim)
        networks = RigNets.create(reconstruction, face, **options)
    modules = (generator, reconstruction.eval().requires_grad_(False), networks.eval().requires_grad_(False))
    return Rig("untrained", content_of(modules), modules[0], face, modules[1], modules[2], scheduler)


def content_of(modules: tuple[torch.nn.Module, ...]) -> str:
    """SHA-256 over the values of networks that are in no file."""
    digest = hashlib.sha256()
    for module in modules:
        for value in module.state_dict().values():
            digest.update(value.contiguous().numpy())
    return digest.hexdigest()
