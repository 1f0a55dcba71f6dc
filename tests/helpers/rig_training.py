"""A whole training of a tiny rig: a synthetic face, pictures from the rasteriser, a random generator.

    python -m tests.helpers.rig_training FOLDER

trains in FOLDER (made by ``prepare``), goes on where it was stopped, and writes a state after every step.
"""

from __future__ import annotations

import contextlib
import json
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import distributed

from models.colour import linear_to_srgb
from models.face.alignment import align, project_landmarks
from models.face.model import FaceModel
from models.face.parameters import RigParameters
from models.face.rasterizer import render
from models.generators import Generator, GeneratorConfig, save_generator
from models.training.core.distributed import World
from models.training.rig import latent_pool
from models.training.rig.config import PoolSettings, RigPlan, Stage
from models.training.rig.pipeline import train_rig
from models.training.rig.run import Run
from tests.helpers.picture_sets import paths, write_set
from tests.helpers.synthetic_face import synthetic_face

GENERATOR = GeneratorConfig(resolution=16, channels={4: 8, 8: 8, 16: 8})
PICTURES, SIZE = 64, 32


def population(face: FaceModel, count: int, random: torch.Generator) -> RigParameters:
    """Heads that differ in everything but reflectance and the colour of their light."""
    parameters = RigParameters.neutral(face, count)
    rotation = 0.3 * torch.randn(count, 3, generator=random)
    expression = torch.rand(count, len(face.expression_names), generator=random)
    identity = torch.randn(count, face.identity.shape[0], generator=random)
    light = parameters.light * (0.7 + 0.3 * torch.rand(count, 1, 1, generator=random))
    return align(face, parameters.replace(rotation=rotation, expression=expression, identity=identity, light=light))


def write_pictures(folder: Path, face: FaceModel) -> Path:
    """A set of 64 pictures of 32² with their truth, in the studio's format."""
    parameters = population(face, PICTURES, torch.Generator().manual_seed(0))
    drawn = render(face, parameters, SIZE, outputs=("colour", "mask"))
    colour = linear_to_srgb(drawn["colour"]) * drawn["mask"]
    pictures = (torch.cat((colour, drawn["mask"]), dim=-1) * 255).floor().byte().numpy()
    landmarks = project_landmarks(face, parameters)[..., :2].numpy()
    write_set(folder, range(PICTURES), SIZE)
    index = json.loads((folder / "index.json").read_text())
    places = {name: [place.start, place.stop] for name, place in RigParameters.slices(face).items()}
    (folder / "index.json").write_text(json.dumps(index | {"parameters": places}))
    for number, (picture, vector, points) in enumerate(zip(pictures, parameters.vector().numpy(), landmarks, strict=True)):
        png, truth = paths(folder, number)
        with np.load(truth) as before:
            latent = before["latent"]
        np.savez(truth, latent=latent, parameters=vector, landmarks=points)
        Image.fromarray(picture, "RGBA").save(png)
    return folder


def tiny_plan(steps: int = 2, **changes) -> RigPlan:
    """Few steps of each stage, in the plan's own types."""
    stages = {name: value.replace(steps=steps, batch=4) for name, value in RigPlan() if isinstance(value, Stage)}
    stages["joint"] = stages["joint"].replace(hidden=16)
    return RigPlan(name="tiny").replace(**stages, pool=PoolSettings(samples=64, size=16), **changes)


@contextlib.contextmanager
def small_pools() -> Iterator[None]:
    """Few samples, and a random generator's pictures pass for faces."""
    with mock.patch.multiple(latent_pool, CHUNK=32, MIN_VARIATION=0.0, CROP_TOLERANCE=100.0):
        yield


def prepare(folder: Path) -> Path:
    """All that a training in ``folder`` needs."""
    save_generator(Generator.create(GENERATOR), folder / "generator.safetensors")
    write_pictures(folder / "pictures", synthetic_face(vertices=200))
    return folder


def train(folder: Path, output: Path, world: World | None = None, plan: RigPlan | None = None, say=None) -> Path:
    """The training; returns the results page."""
    run = Run.open(plan or tiny_plan(), synthetic_face(vertices=200), output, say or (lambda line: None), world)
    with small_pools():
        return train_rig(run, folder / "generator.safetensors", folder / "pictures")


def main() -> None:
    folder, world = Path(sys.argv[1]), World("cpu")
    group = weakref.ref(distributed.group.WORLD) if world.size > 1 else lambda: None
    try:
        plan = tiny_plan(checkpoint_minutes=0.0)
        train(folder, folder / "rig", world, plan, say=lambda line: print(line, flush=True))
    finally:
        world.close()
    assert group() is None, "the threads of the group may still run when Python ends"


if __name__ == "__main__":
    main()
