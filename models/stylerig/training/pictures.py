"""The studio's rendered portraits with their exact truth, in two halves that share no picture."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.errors import StyleRigError

HALVES = ("training", "evaluation")
HELD_OUT = 16  # every 16th part of a half is kept for validation


@dataclass(eq=False)
class Batch:
    """Pictures with alpha and their truth."""

    pictures: Tensor  # (N, 4, H, W) premultiplied sRGB 0–1
    parameters: Tensor  # (N, P) vectors of RigParameters
    landmarks: Tensor  # (N, 68, 2) NDC, y up


class StudioPictures:
    """One half of a folder of shards: the first half of every shard is for training the rig, the
    second for the network that judges it, so that both stay apart also when shards are added."""

    def __init__(self, folder: Path, half: str, size: int):
        self.files = sorted(folder.glob("pictures-*.npy"))
        if not self.files:
            raise StyleRigError(
                f"There are no pictures in {folder}.", "Render them with: python -m models.studio", code="no_pictures"
            )
        self.half = half
        self.shards = [read_shard(path, size) for path in self.files]
        train, held = [], []
        for number, (pictures, _, _) in enumerate(self.shards):
            middle = len(pictures) // 2
            rows = np.arange(0, middle) if half == HALVES[0] else np.arange(middle, len(pictures))
            cut = len(rows) - max(1, len(rows) // HELD_OUT)
            train += [(number, row) for row in rows[:cut]]
            held += [(number, row) for row in rows[cut:]]
        self.train, self.held = np.array(train), np.array(held)

    def __len__(self) -> int:
        return len(self.train)

    def names(self) -> set[tuple[str, int]]:
        """(file, row) of every picture of this half."""
        return {(self.files[shard].name, int(row)) for shard, row in (*self.train, *self.held)}

    def sample(self, count: int, random: torch.Generator) -> Batch:
        """Pictures for training, drawn with replacement."""
        return self.batch(self.train[torch.randint(len(self.train), (count,), generator=random).numpy()])

    def batch(self, rows: np.ndarray) -> Batch:
        """The pictures at ``rows`` (N, 2) of (shard, row)."""
        picked = [[part[row] for part in self.shards[shard]] for shard, row in rows]
        pictures, parameters, landmarks = (torch.from_numpy(np.stack(part)) for part in zip(*picked, strict=True))
        return Batch(pictures.permute(0, 3, 1, 2).float() / 255, parameters.float(), landmarks.float())

    def truth(self) -> tuple[Tensor, Tensor]:
        """Parameters (M, P) and landmarks (M, 68, 2) of all pictures for training."""
        parameters = np.stack([self.shards[shard][1][row] for shard, row in self.train])
        landmarks = np.stack([self.shards[shard][2][row] for shard, row in self.train])
        return torch.from_numpy(parameters).float(), torch.from_numpy(landmarks).float()


def read_shard(path: Path, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (mapped, not read), parameters and landmarks of one shard whose vectors have ``size`` numbers."""
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
        truth_path = path.with_name(path.name.replace("pictures-", "truth-")).with_suffix(".npz")
        with np.load(truth_path, allow_pickle=False) as truth:
            parameters, landmarks = truth["parameters"], truth["landmarks"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise bad_pictures(path, str(error)) from error
    count = len(pictures)
    if pictures.ndim != 4 or pictures.shape[3] != 4 or landmarks.shape != (count, 68, 2):
        raise bad_pictures(path, "pictures and landmarks do not have the expected shapes")
    if parameters.shape != (count, size):
        raise bad_pictures(path, f"its truth is {parameters.shape}, this face model has {size} parameters")
    return pictures, parameters, landmarks


def bad_pictures(path: Path, reason: str) -> StyleRigError:
    return StyleRigError(
        f"{path} cannot be used: {reason}.", "Render the studio's pictures again.", code="bad_pictures"
    )


def uniform(count: int, low: float, high: float, random: torch.Generator) -> Tensor:
    """(count, 1, 1, 1) numbers between ``low`` and ``high``."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=random)


def over_backgrounds(pictures: Tensor, random: torch.Generator, neutral: float = 0.5) -> Tensor:
    """RGBA (N, 4, H, W) -> RGB over smooth random colours; a share ``neutral`` lies over grey 0.5."""
    count = len(pictures)
    colours = torch.rand(count, 3, 3, 3, generator=random)
    smooth = interpolate(colours, size=pictures.shape[2:], mode="bilinear", align_corners=True)
    grey = (torch.rand(count, 1, 1, 1, generator=random) < neutral).float()
    background = 0.5 * grey + smooth * (1 - grey)
    return pictures[:, :3] + (1 - pictures[:, 3:]) * background


def degrade(images: Tensor, random: torch.Generator) -> Tensor:
    """Soften half of the batch (a generator's pictures are softer than rendered ones) and add noise."""
    size = images.shape[-1]
    small = int(size / (1 + 1.5 * torch.rand((), generator=random)))
    soft = interpolate(images, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    soft = interpolate(soft, size=(size, size), mode="bicubic", align_corners=False)
    chosen = (torch.rand(len(images), 1, 1, 1, generator=random) < 0.5).float()
    mixed = images + chosen * (soft - images)
    noise = torch.randn(images.shape, generator=random) * uniform(len(images), 0, 0.03, random)
    return (mixed + noise).clamp(0, 1)
