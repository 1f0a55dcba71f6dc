"""Training the network behind the studio features: it regresses the studio's labels from images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data.image_set import ImageSet, InfiniteShuffle
from models.device_rng import DeviceRng
from models.errors import StyleRigError
from models.io.weights_file import channels_last
from models.perception.features import BATCH, FIELDS, NAME, SIZE, FeatureNetwork, StudioFeatures
from models.training.core.config import Stage
from models.training.core.distributed import World
from models.training.core.trainer import LossTask, Plan, Progress, Trainer

LEARNING_RATE, WARMUP_STEPS = 2e-3, 50
NOISE_STD = 0.02
STATISTICS = 4096  # real images that the features are standardised on


class FeaturesTask(LossTask):
    """Mean squared error of the labels, in their standard deviations.

    ``data`` is at 128 x 128 with all fields of ``FIELDS``; raises StyleRigError for a set without them.
    """

    max_gradient_norm = None

    def __init__(self, data: ImageSet, seed: int, world: World):
        check_labels(data)
        self.data, self.world = data, world
        self.labels, self.slices = flat_labels(data)
        self.rows = data.rows(held_out=False)
        self.mean, std = self.labels[self.rows].mean(0), self.labels[self.rows].std(0)
        self.std = torch.where(std > 1e-6, std, torch.ones_like(std))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = FeatureNetwork(self.labels.shape[1])
        self.network = channels_last(network.to(world.device))
        self.modules = {"network": self.network}
        self.optimizers = {"network": torch.optim.AdamW(network.parameters(), weight_decay=0.01, fused=True)}
        self.shuffle = InfiniteShuffle(seed)

    def batch(self, progress: Progress, rng: DeviceRng) -> tuple[Tensor, Tensor]:
        """Images, with noise so that the network does not lean on single pixels, and standardised labels."""
        count = self.world.share(BATCH)
        rows = self.rows[self.shuffle.take(progress.images + self.world.rank * count, count, len(self.rows))]
        images = self.data.batch(rows)[0].to(self.world.device)
        labels = (self.labels[rows] - self.mean) / self.std
        return images + NOISE_STD * rng.randn(*images.shape), labels.to(self.world.device)

    def losses(self, batch: tuple[Tensor, Tensor], rng: DeviceRng) -> dict[str, Tensor]:
        images, labels = batch
        return {"labels": (self.network(images) - labels).square().mean()}


def train_features(
    data: ImageSet, folder: Path, images: int = 60_000, seed: int = 0, world: World | None = None, say: Callable[[str], None] = print
) -> StudioFeatures:
    """Train on all images but the held-out, with checkpoints in ``folder``; the header says what is regressed on those.

    ``images`` counts images seen. Raises Stopped when the process is asked to stop.
    """
    world = world or World("cpu")
    task = FeaturesTask(data, seed, world)
    stage = Stage(batch=BATCH, steps=max(images // BATCH, 1), learning_rate=LEARNING_RATE, warmup_images=WARMUP_STEPS * BATCH)
    key = {"seed": seed, "images": images, "rows": len(task.rows), "labels": task.slices}
    trainer = Trainer("features", task, Plan(seed=seed), [stage], folder, key, world, say, restart=True)
    trainer.run()
    header = {"name": NAME, "size": SIZE, "truth": task.slices, "pictures": len(task.rows), "pictures_seen": trainer.progress.images,
              "seed": seed, "minutes": round(trainer.progress.seconds / 60, 1), "license": "GPL-3.0-or-later"}  # fmt: skip
    network = task.network.cpu().eval().requires_grad_(False)
    features = StudioFeatures(network, header, task.mean, task.std, torch.zeros(1), torch.ones(1))
    standardise(features, data)
    features.header |= held_out_figures(features, data, task.labels)
    return features


def check_labels(data: ImageSet) -> None:
    if not all(name in data.truth for name in FIELDS) or data.size != SIZE:
        raise StyleRigError(
            f"The images in {data.source.folder} carry no labels to learn from.",
            "Use a set rendered by python -m models.synthetic.",
            code="no_training_data",
        )


def flat_labels(data: ImageSet) -> tuple[Tensor, dict[str, list[int]]]:
    """All fields side by side (M, T), and where each lies."""
    parts, slices, start = [], {}, 0
    for name in FIELDS:
        part = torch.from_numpy(data.truth[name]).flatten(1)
        parts.append(part)
        slices[name] = [start, start + part.shape[1]]
        start += part.shape[1]
    return torch.cat(parts, dim=1), slices


def standardise(features: StudioFeatures, data: ImageSet) -> None:
    """Set the mean and standard deviation of the features over real images."""
    rows = data.rows(held_out=False)[:STATISTICS]
    values = torch.cat([features.unscaled(images) for images in batches(data, rows)])
    features.mean, features.spread = values.mean(0), values.std(0).clamp(min=1e-4)


def batches(data: ImageSet, rows: np.ndarray) -> Iterator[Tensor]:
    """The images of ``rows``, a batch at a time."""
    for start in range(0, len(rows), BATCH):
        yield data.batch(rows[start : start + BATCH])[0]


def held_out_figures(features: StudioFeatures, data: ImageSet, labels: Tensor) -> dict:
    """R² of each latent, and its mean over each field, on held-out images."""
    rows = data.rows(held_out=True)
    found = torch.cat([features.read(images) for images in batches(data, rows)])
    r2 = 1 - (found - labels[rows]).square().mean(0) / features.truth_spread.square()
    figures = {name: [round(float(value), 3) for value in r2[start:stop]] for name, (start, stop) in features.header["truth"].items()}
    return {"held_out": len(rows), "r2": {"latent": figures["latent"]},
            "mean_r2": {name: round(float(np.mean(values)), 3) for name, values in figures.items()}}  # fmt: skip


def train_features_file(data: Path, output: Path, images: int, seed: int, world: World, say: Callable[[str], None]) -> StudioFeatures:
    """Read the set, train, write the file; the checkpoints lie in a folder of its name beside it."""
    image_set = ImageSet(data, SIZE, FIELDS, progress=world.is_main)
    features = train_features(image_set, output.with_suffix(""), images, seed, world, say)
    if world.is_main:
        features.save(output)
    return features
