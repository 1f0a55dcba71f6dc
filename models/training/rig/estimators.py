"""Training an estimator on one half of the studio's pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from models.face import FaceModel
from models.face.parameters import RigParameters
from models.perception.face_regressor import LANDMARKS, PERSON, Estimator
from models.training.core.distributed import World
from models.training.core.random import Draws
from models.training.rig.config import Stage
from models.training.rig.images import Mirror, StudioPictures, degrade, over_backgrounds
from models.training.rig.loop import Loop, Report, mixed, wait_for_all

PART_WEIGHTS = {"identity": 0.3, "reflectance": 0.3, "expression": 1.0, "light": 0.5, "rotation": 2.0, "translation": 0.2,
                "looks": 0.3}  # fmt: skip


def train_estimator(
    name: str,
    pictures: StudioPictures,
    face: FaceModel,
    stage: Stage,
    seed: int,
    folder: Path,
    key: str,
    report: Report,
    world: World,
    precision: str = "float32",
) -> Estimator:
    """Train, measure on the pictures held out, write ``NAME.safetensors``; returns it for use."""
    path = folder / f"{name}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Estimator.create(face, *pictures.truth())
    network.to(world.device, memory_format=torch.channels_last).train()
    loop = Loop(name, folder, network, stage, seed, key, report, world)
    if loop.done and path.is_file():
        report(f"{name}: was finished before")
        return Estimator.load(path).to(world.device)
    places = {part: slice(LANDMARKS + place.start, LANDMARKS + place.stop)
              for part, place in RigParameters.slices(face).items()}  # fmt: skip

    mirror = Mirror(face)

    def step(_: int, random: Draws) -> dict[str, Tensor]:
        flipped = random.uniform(stage.batch) < (0.5 if mirror.known else 0.0)
        batch = pictures.sample(stage.batch, random).mirrored(mirror, flipped)
        images = degrade(over_backgrounds(batch.pictures, random), random)
        truth = torch.cat((batch.landmarks.flatten(1), batch.parameters, batch.looks), dim=1)
        wanted = (truth - network.mean) / network.spread
        with mixed(precision, world.device):
            found = network.standardised(images)
        loss = smooth_l1_loss(found, wanted, reduction="none")
        person = ~flipped.unsqueeze(1)  # a mirrored face is another person's, of unknown numbers
        terms = {"landmarks": 2 * loss[:, :LANDMARKS].mean()}
        for part, place in places.items():
            known = loss[:, place] * person if part in PERSON else loss[:, place]
            terms[part] = PART_WEIGHTS[part] * known.mean()
        if network.n_attributes:
            terms["looks"] = PART_WEIGHTS["looks"] * (loss[:, -network.n_attributes :] * person).mean()
        return terms

    loop.run(step)
    network.eval()
    if world.leads:
        measured = validate(network, pictures)
        report(f"{name}: landmarks {measured['landmark_pixels']:.2f} px of {measured['size']} on pictures held out")
        header = {"half": pictures.half, "pictures": len(pictures.numbers()), "measured": measured}
        network.save(path, header)
    wait_for_all(world)
    return Estimator.load(path).to(world.device)


@torch.no_grad()
def validate(network: Estimator, pictures: StudioPictures) -> dict:
    """Errors on the pictures held out; fills ``network.reliability``."""
    random = Draws(0, pictures.device)
    found, wanted, errors = [], [], []
    for start in range(0, min(len(pictures.held), 1024), 64):
        batch = pictures.batch(pictures.held[start : start + 64])
        landmarks, parameters = network(over_backgrounds(batch.pictures, random, neutral=1.0))
        errors.append((landmarks - batch.landmarks).norm(dim=-1).mean(dim=1))
        found.append(parameters)
        wanted.append(batch.parameters)
    found, wanted = torch.cat(found), torch.cat(wanted)
    network.reliability.copy_(explained(found, wanted))
    size = batch.pictures.shape[-1]
    places, start = {}, 0
    for part, count in network.sizes.items():
        places[part] = [round(value, 4) for value in network.reliability[start : start + count].tolist()]
        start += count
    return {"size": size, "landmark_pixels": float(torch.cat(errors).mean()) * size / 2, "r2": places}


def explained(found: Tensor, wanted: Tensor) -> Tensor:
    """Share of variance explained (C,), 0–1, of columns (N, C); 0 for columns that do not vary."""
    residual = (found - wanted).square().mean(dim=0)
    variance = wanted.var(dim=0, unbiased=False) if len(wanted) > 1 else torch.zeros_like(residual)
    return torch.where(variance > 1e-8, 1 - residual / variance.clamp(min=1e-8), torch.zeros_like(residual)).clamp(0, 1)
