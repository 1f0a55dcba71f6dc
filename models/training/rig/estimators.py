"""Training a face regressor on one half of the studio's images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from models.device_rng import DeviceRng
from models.face import FaceModel
from models.face.parameters import RigParameters
from models.io.weights_file import channels_last
from models.perception.face_regressor import LANDMARKS, PERSON, Estimator
from models.training.core.trainer import Progress
from models.training.rig.config import Stage
from models.training.rig.images import Batch, Mirror, StudioImages, degrade, over_backgrounds
from models.training.rig.run import RigTask, Run, key_of

PART_WEIGHTS = {"identity": 0.3, "reflectance": 0.3, "expression": 1.0, "light": 0.5, "rotation": 2.0, "translation": 0.2}
LOOKS_WEIGHT = 0.3
MAX_VALIDATED, VALIDATION_BATCH = 1024, 64


class EstimatorTask(RigTask):
    """Robust differences of the labels, in their standard deviations."""

    network: Estimator

    def __init__(self, run: Run, network: Estimator, stage: Stage, images: StudioImages):
        super().__init__(run, network, stage)
        self.images, self.mirror = images, Mirror(run.face)
        self.slices = {part: slice(LANDMARKS + place.start, LANDMARKS + place.stop)
                       for part, place in RigParameters.slices(run.face).items()}  # fmt: skip

    def batch(self, progress: Progress, rng: DeviceRng) -> tuple[Batch, Tensor]:
        """Images with their labels, and which of them are mirrored (N,) bool."""
        flipped = rng.rand(self.count) < (0.5 if self.mirror.known else 0.0)
        return self.images.sample(self.count, rng).mirrored(self.mirror, flipped), flipped

    def losses(self, batch: tuple[Batch, Tensor], rng: DeviceRng) -> dict[str, Tensor]:
        (shown, flipped), network = batch, self.network
        images = degrade(over_backgrounds(shown.images, rng), rng)
        labels = torch.cat((shown.landmarks.flatten(1), shown.parameters, shown.looks), dim=1)
        with self.run.autocast():
            found = network.standardised(images)
        loss = smooth_l1_loss(found, (labels - network.mean) / network.spread, reduction="none")
        person = ~flipped.unsqueeze(1)  # a mirrored face is another person's, of unknown numbers
        terms = {"landmarks": 2 * loss[:, :LANDMARKS].mean()}
        for part, place in self.slices.items():
            known = loss[:, place] * person if part in PERSON else loss[:, place]
            terms[part] = PART_WEIGHTS[part] * known.mean()
        if network.n_attributes:
            terms["looks"] = LOOKS_WEIGHT * (loss[:, -network.n_attributes :] * person).mean()
        return terms


def train_estimator(run: Run, name: str, images: StudioImages, stage: Stage, seed: int) -> Estimator:
    """Train, measure on the images held out, write ``NAME.safetensors``; returns it for use."""
    path = run.output / f"{name}.safetensors"
    network = channels_last(new_estimator(run.face, images, seed).to(run.world.device)).train()
    key = key_of(stage, seed, run.face.name, run.plan.precision, run.world.size)
    trainer = run.trainer(name, EstimatorTask(run, network, stage, images), stage, key, seed)
    finished = trainer.finished and path.is_file()
    trainer.run()
    if run.world.is_main and not finished:
        write_estimator(run, path, network.eval(), images)
    run.world.barrier()
    return Estimator.load(path).to(run.world.device)


def new_estimator(face: FaceModel, images: StudioImages, seed: int) -> Estimator:
    """Untrained; the same for a seed everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Estimator.create(face, *images.labels())


def write_estimator(run: Run, path: Path, network: Estimator, images: StudioImages) -> None:
    """The file, with what was measured on the images held out."""
    measured = validate(network, images)
    run.say(f"{path.stem}: landmarks {measured['landmark_pixels']:.2f} px of {measured['size']} on images held out")
    network.save(path, {"half": images.half, "pictures": len(images.numbers()), "measured": measured})


@torch.no_grad()
def validate(network: Estimator, images: StudioImages) -> dict:
    """Errors on the images held out; fills ``network.reliability``."""
    rng = DeviceRng(0, images.device)
    found, labels, errors = [], [], []
    for start in range(0, min(len(images.held_out), MAX_VALIDATED), VALIDATION_BATCH):
        batch = images.batch(images.held_out[start : start + VALIDATION_BATCH])
        landmarks, parameters = network(over_backgrounds(batch.images, rng, neutral=1.0))
        errors.append((landmarks - batch.landmarks).norm(dim=-1).mean(dim=1))
        found.append(parameters)
        labels.append(batch.parameters)
    network.reliability.copy_(explained(torch.cat(found), torch.cat(labels)))
    size = batch.images.shape[-1]
    parts = zip(network.sizes, network.reliability.split(list(network.sizes.values())), strict=True)
    r2 = {part: [round(value, 4) for value in values.tolist()] for part, values in parts}
    return {"size": size, "landmark_pixels": float(torch.cat(errors).mean()) * size / 2, "r2": r2}


def explained(found: Tensor, labels: Tensor) -> Tensor:
    """Share of variance explained (C,), 0–1, of columns (N, C); 0 for columns that do not vary."""
    residual = (found - labels).square().mean(dim=0)
    variance = labels.var(dim=0, unbiased=False) if len(labels) > 1 else torch.zeros_like(residual)
    return torch.where(variance > 1e-8, 1 - residual / variance.clamp(min=1e-8), torch.zeros_like(residual)).clamp(0, 1)
