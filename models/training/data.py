"""Pictures with the latents that determine them, in a folder of shards that may still grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.errors import StyleRigError


class PairFolder:
    """Shards ``pictures-NNNNN.npy`` (M, R, R, 4) uint8, premultiplied sRGB with alpha, and
    ``latents-NNNNN.npy`` (M, S) float32, standard normal. Shards stay on disk (memory-mapped).

    Raises StyleRigError for a folder without shards and for shards that are damaged or differ.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.pictures: list[np.ndarray] = []
        self.latents: list[np.ndarray] = []
        self.known: set[Path] = set()
        self.starts = np.zeros(1, dtype=np.int64)
        self.rescan()
        if not self.pictures:
            raise StyleRigError(
                f"There are no training pictures in {self.folder}.",
                "Render some first: python -m models.studio --output DIR.",
                code="no_training_data",
            )

    def rescan(self) -> bool:
        """Take in new whole shards; True if there were any. Known ones keep their places."""
        paths = sorted(self.folder.glob("pictures-*.npy")) if self.folder.is_dir() else []
        new = [path for path in paths if path not in self.known and self.partner(path).is_file()]
        for path in new:
            pictures, latents = open_shard(path), open_shard(self.partner(path))
            self.check(path, pictures, latents)
            self.pictures.append(pictures)
            self.latents.append(latents)
            self.known.add(path)
        self.starts = np.cumsum([0] + [len(shard) for shard in self.pictures])
        return bool(new)

    @staticmethod
    def partner(path: Path) -> Path:
        return path.with_name(path.name.replace("pictures", "latents"))

    def check(self, path: Path, pictures: np.ndarray, latents: np.ndarray) -> None:
        shape = pictures.shape
        if pictures.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 4:
            raise bad_shard(path, f"pictures are {pictures.dtype} {shape}, expected uint8 (M, R, R, 4)")
        if latents.ndim != 2 or latents.dtype != np.float32 or len(latents) != len(pictures):
            raise bad_shard(path, f"latents are {latents.dtype} {latents.shape}, expected float32 ({len(pictures)}, S)")
        if not np.isfinite(latents).all():
            raise bad_shard(path, "latents have values that are not numbers")
        if self.pictures and (shape[1:], latents.shape[1]) != (self.pictures[0].shape[1:], self.latent_dim):
            raise bad_shard(path, "its pictures or latents differ in size from those of the other shards")

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def resolution(self) -> int:
        return self.pictures[0].shape[1]

    @property
    def latent_dim(self) -> int:
        return self.latents[0].shape[1]

    def batch(self, indices: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
        """Pictures (N, 4, resolution, resolution) in [-1, 1] and latents (N, S)."""
        numbers = indices.numpy()
        shards = np.searchsorted(self.starts, numbers, side="right") - 1
        places = numbers - self.starts[shards]
        pictures = np.stack([self.pictures[s][p] for s, p in zip(shards, places)])
        latents = np.stack([self.latents[s][p] for s, p in zip(shards, places)])
        tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
        if resolution != self.resolution:
            tensor = F.avg_pool2d(tensor, self.resolution // resolution)
        return tensor, torch.from_numpy(latents)


def open_shard(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise bad_shard(path, str(error)) from error


def bad_shard(path: Path, reason: str) -> StyleRigError:
    return StyleRigError(
        f"{path} cannot be used for training: {reason}.",
        "Delete this shard (both files) or render it again.",
        code="bad_training_data",
    )


class Order:
    """Goes through the pictures in random order, again and again; the first ``held_out`` are never drawn."""

    def __init__(self, generator: torch.Generator, held_out: int):
        self.generator = generator
        self.held_out = held_out
        self.indices = torch.zeros(0, dtype=torch.int64)
        self.position = 0

    def restart(self, count: int) -> None:
        self.indices = torch.randperm(count - self.held_out, generator=self.generator) + self.held_out
        self.position = 0

    def take(self, n: int, count: int) -> Tensor:
        """The next ``n`` indices out of ``count`` pictures."""
        parts, missing = [], n
        while missing:
            if self.position >= len(self.indices):
                self.restart(count)
            part = self.indices[self.position : self.position + missing]
            self.position += len(part)
            missing -= len(part)
            parts.append(part)
        return torch.cat(parts)

    def state(self) -> dict:
        return {"indices": self.indices, "position": self.position}

    def load(self, state: dict) -> None:
        self.indices, self.position = state["indices"], int(state["position"])
