"""Teaching the network behind the studio features to read the studio's truth off pictures."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data.image_set import Order, PictureSet
from models.errors import StyleRigError
from models.perception.features import BATCH, FIELDS, NAME, SIZE, FeatureNetwork, StudioFeatures

RATE = 2e-3
NOISE = 0.02
STATISTICS = 4096  # real pictures that the features are standardised on


def train_features(data: PictureSet, images: int = 60_000, seed: int = 0, progress: bool = True) -> StudioFeatures:
    """Train on all pictures but the held-out; the header says what is read on those.

    ``data`` is at 128 x 128 with all fields of ``FIELDS``; ``images`` counts pictures seen.
    """
    from tqdm import tqdm

    if not all(name in data.truth for name in FIELDS) or data.size != SIZE:
        raise StyleRigError(
            f"The pictures in {data.source.folder} carry no truth to learn from.",
            "Use a set rendered by python -m models.synthetic.",
            code="no_training_data",
        )
    truth, places = flat_truth(data)
    rows = data.rows(held_out=False)
    mean, spread = truth[rows].mean(0), truth[rows].std(0)
    spread = torch.where(spread > 1e-6, spread, torch.ones_like(spread))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FeatureNetwork(truth.shape[1]).to(memory_format=torch.channels_last)
    begun = time.monotonic()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01, fused=True)
    order, rng = Order(seed), torch.Generator().manual_seed(seed)
    steps = max(images // BATCH, 1)
    bar = tqdm(range(steps), "features", unit="step", file=sys.stderr, disable=None if progress else True)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = rows[order.take(step * BATCH, BATCH, len(rows))]
        pictures = disturb(data.batch(chosen)[0], rng)
        loss = (network(pictures) - (truth[chosen] - mean) / spread).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    header = {"name": NAME, "size": SIZE, "truth": places, "pictures": len(rows), "pictures_seen": steps * BATCH,
              "seed": seed, "minutes": round((time.monotonic() - begun) / 60, 1), "license": "GPL-3.0-or-later"}  # fmt: skip
    features = StudioFeatures(network.eval().requires_grad_(False), header, mean, spread, torch.zeros(1), torch.ones(1))
    standardise(features, data)
    features.header |= held_out_figures(features, data, truth)
    return features


def flat_truth(data: PictureSet) -> tuple[Tensor, dict[str, list[int]]]:
    """All fields side by side (M, T), and where each lies."""
    parts, places, start = [], {}, 0
    for name in FIELDS:
        part = torch.from_numpy(data.truth[name]).flatten(1)
        parts.append(part)
        places[name] = [start, start + part.shape[1]]
        start += part.shape[1]
    return torch.cat(parts, dim=1), places


def disturb(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Noise, so that the network does not lean on single pixels."""
    return pictures + NOISE * torch.randn(pictures.shape, generator=rng)


def standardise(features: StudioFeatures, data: PictureSet) -> None:
    """Set the mean and spread of the features over real pictures."""
    rows = data.rows(held_out=False)[:STATISTICS]
    values = torch.cat([features.unscaled(data.batch(part)[0]) for part in parts_of(rows)])
    features.mean, features.spread = values.mean(0), values.std(0).clamp(min=1e-4)


def parts_of(rows: np.ndarray, size: int = BATCH) -> list[np.ndarray]:
    """Rows in batches."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def held_out_figures(features: StudioFeatures, data: PictureSet, truth: Tensor) -> dict:
    """R² of each latent, and its mean over each field, on held-out pictures."""
    rows = data.rows(held_out=True)
    read = torch.cat([features.read(data.batch(part)[0]) for part in parts_of(rows)])
    error = (read - truth[rows]).square().mean(0)
    r2 = 1 - error / features.truth_spread.square()
    figures = {}
    for name, (start, stop) in features.header["truth"].items():
        figures[name] = [round(float(value), 3) for value in r2[start:stop]]
    return {"held_out": len(rows), "r2": {"latent": figures["latent"]},
            "mean_r2": {name: round(float(np.mean(values)), 3) for name, values in figures.items()}}  # fmt: skip


def train_features_file(data: Path, output: Path, images: int, seed: int = 0) -> StudioFeatures:
    """Read the set, train, write the file."""
    features = train_features(PictureSet(data, SIZE, FIELDS), images, seed)
    features.save(output)
    return features
