"""Studio features: a small network that reads the studio's truth off a picture, and its file.

It is the eye of the project's own metrics. Distances on its features are not FID, which is
defined by the Inception network of 2015; they say so wherever they stand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models.errors import StyleRigError
from models.io.atomic_write import write_atomic
from models.io.weights_file import channels_last

NAME = "studio features"
FORMAT = "stylerig-features-1"
SIZE = 128  # pixels of the pictures that the network sees
CHANNELS = (32, 64, 96, 128, 192)
EMBEDDING = 192
FIELDS = ("latent", "parameters", "landmarks")
BATCH = 64


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


class FeatureNetwork(nn.Module):
    """Premultiplied RGBA (N, 4, 128, 128) in [-1, 1] -> maps of five depths, embedding, standardised truth (N, T)."""

    def __init__(self, targets: int):
        super().__init__()
        self.stages = nn.ModuleList()
        before = 4
        for depth, channels in enumerate(CHANNELS):
            layers = [nn.Conv2d(before, channels, 3, stride=2, padding=1), group_norm(channels), nn.SiLU()]
            if depth:  # at the first, largest size one convolution is enough
                layers += [nn.Conv2d(channels, channels, 3, padding=1), group_norm(channels), nn.SiLU()]
            self.stages.append(nn.Sequential(*layers))
            before = channels
        self.embed = nn.Linear(before * (SIZE >> len(CHANNELS)) ** 2, EMBEDDING)
        self.read = nn.Linear(EMBEDDING, targets)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            pictures = stage(pictures)
            maps.append(pictures)
        return maps

    def embedding(self, last: Tensor) -> Tensor:
        return F.silu(self.embed(last.flatten(1)))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.read(self.embedding(self.maps(pictures)[-1]))


@dataclass(eq=False)
class StudioFeatures:
    """The network with what standardises its truth and features; made by ``train`` or ``load``.

    ``header`` tells the data, the truth's fields (name -> [first, after last] of T) and what the
    network reads on held-out pictures.
    """

    network: FeatureNetwork
    header: dict[str, Any]
    truth_mean: Tensor  # (T,)
    truth_spread: Tensor  # (T,), 1 where the truth never changes
    mean: Tensor  # (D,) of the features of real pictures
    spread: Tensor  # (D,)

    @property
    def name(self) -> str:
        return NAME

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Premultiplied (N, 4, R, R) in [-1, 1], R a multiple of 128 -> features (N, D).

        Mean and spread over places of the maps of all depths, which know texture and sharpness
        (means alone hardly see a blur), and the embedding, which knows the person; each number of
        spread 1 over real pictures.
        """
        return (self.unscaled(resize(pictures)) - self.mean) / self.spread

    @torch.no_grad()
    def unscaled(self, pictures: Tensor) -> Tensor:
        maps = self.network.maps(pictures)
        moments = [moment for m in maps for moment in (m.mean(dim=(2, 3)), m.std(dim=(2, 3)))]
        return torch.cat([*moments, self.network.embedding(maps[-1])], dim=1)

    @torch.no_grad()
    def read(self, pictures: Tensor) -> Tensor:
        """The truth (N, T) that the network reads, in the truth's own units."""
        return self.network(resize(pictures)) * self.truth_spread + self.truth_mean

    def perceptual_distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared differences of unit-length maps, mean over places, summed over depths: (N,).

        The form of LPIPS (Zhang et al. 2018) without its learned weights, on this network.
        """
        total = torch.zeros(len(first))
        for a, b in zip(self.network.maps(resize(first)), self.network.maps(resize(second)), strict=True):
            total += (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2))
        return total

    def all(self, batches: Iterable[Tensor]) -> Tensor:
        """Features of many batches: (sum N, D)."""
        return torch.cat([self(part) for part in batches])

    def tensors(self) -> dict[str, Tensor]:
        """What the file holds: statistics as float32, weights as float16."""
        statistics = ("truth_mean", "truth_spread", "mean", "spread")
        weights = {f"network.{name}": value.half().contiguous() for name, value in self.network.state_dict().items()}
        return {name: getattr(self, name).contiguous() for name in statistics} | weights

    def save(self, path: str | Path) -> Path:
        text = {"stylerig": json.dumps({"format": FORMAT, **self.header})}
        return write_atomic(path, save(self.tensors(), text))


def resize(pictures: Tensor) -> Tensor:
    """To 128 x 128: by box filter from a multiple, else bilinear; values limited to [-1, 1]."""
    pictures = pictures.clamp(-1, 1)
    if pictures.shape[-1] == SIZE:
        return pictures
    if pictures.shape[-1] % SIZE == 0:
        return F.avg_pool2d(pictures, pictures.shape[-1] // SIZE)
    return F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", antialias=True)


def load_features(path: str | Path) -> StudioFeatures:
    """Read a file that ``StudioFeatures.save`` wrote. Raises StyleRigError if it cannot be used."""
    path = Path(path)
    if not path.is_file():
        raise StyleRigError(
            f"There are no {NAME} at {path}.",
            "Train them on a set of the studio, or choose another file.",
            code="missing_features",
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("stylerig", "{}"))
            state = {name: file.get_tensor(name).float() for name in file.keys()}
        if header.get("format") != FORMAT:
            raise ValueError("it holds something else")
        network = FeatureNetwork(len(state["truth_mean"]))
        weights = {name.removeprefix("network."): state.pop(name) for name in list(state) if name.startswith("network.")}
        network.load_state_dict(weights)
        header["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        return StudioFeatures(channels_last(network.eval().requires_grad_(False)), header, **state)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StyleRigError(f"{path} cannot be used as {NAME}: {reason}.", "Copy or train the file again.", code="bad_features") from error
