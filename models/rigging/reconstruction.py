"""The reconstruction network F: w -> p (the differentiable face reconstruction, DFR, of StyleRig)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.face import FaceModel
from models.face.alignment import align
from models.face.parameters import RigParameters, default_std, part_sizes
from models.io.weights_file import fill_network, read_network, save_network


class Reconstruction(nn.Module):
    """Three-layer MLP with ELU from a whole (L, 512) code to standardised rig parameters.

    Beside the published MLP there can be a linear path (``linear``), which is fitted in closed form.
    Roll and translation are not predicted: the FFHQ alignment of the generator determines them.
    """

    w_mean: Tensor
    w_scale: Tensor
    mean: Tensor
    spread: Tensor
    header: dict[str, Any]

    def __init__(self, layers: int, width: int, sizes: dict[str, int], hidden: int = 384, linear: bool = True):
        super().__init__()
        self.layers, self.width, self.sizes = layers, width, dict(sizes)
        self.hidden, self.linear = hidden, linear
        size = sum(sizes.values())
        self.mlp = nn.Sequential(
            nn.Linear(layers * width, hidden), nn.ELU(),
            nn.Linear(hidden, hidden), nn.ELU(),
            nn.Linear(hidden, size),
        )  # fmt: skip
        if linear:
            self.slopes = nn.Parameter(torch.zeros(layers * width, size))
        with torch.no_grad():
            self.mlp[-1].get_parameter("weight").mul_(0.1)
            self.mlp[-1].get_parameter("bias").zero_()
        self.register_buffer("w_mean", torch.zeros(layers, width))
        self.register_buffer("w_scale", torch.ones(layers, width))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    @classmethod
    def create(cls, face: FaceModel, layers: int, width: int, **options: Any) -> Reconstruction:
        """An untrained network whose statistics are those of a population under white light."""
        network = cls(layers, width, part_sizes(face), **options)
        neutral = RigParameters.neutral(face)
        network.set_statistics(neutral.vector()[0], default_std(face))
        return network

    def set_statistics(self, mean: Tensor, spread: Tensor) -> None:
        """Mean and spread (P,) of rig parameters, by which the outputs are scaled."""
        self.mean.copy_(mean)
        self.spread.copy_(spread)

    def vector(self, w: Tensor) -> Tensor:
        """w (N, L, 512) -> parameters (N, P) before alignment; expressions may leave 0–1."""
        flat = ((w - self.w_mean) / self.w_scale).flatten(1)
        values = self.mlp(flat) + flat @ self.slopes if self.linear else self.mlp(flat)
        return self.mean + self.spread * values

    @torch.no_grad()
    def fit_linear(self, w: Tensor, wanted: Tensor, ridge: float = 0.01) -> None:
        """Ridge regression of parameters (N, P) on codes (N, L, 512) into the linear path, which then stays.

        ``ridge`` is in units of the spread of a standardised number of w.
        """
        x = ((w - self.w_mean) / self.w_scale).flatten(1)
        y = (wanted - self.mean) / self.spread
        gram = (x.mT @ x).double()
        gram.diagonal().add_(ridge * len(x) * self.layers)
        self.slopes.copy_(torch.linalg.solve(gram, (x.mT @ y).double()))
        self.slopes.requires_grad_(False)

    def forward(self, w: Tensor, face: FaceModel) -> RigParameters:
        """w (N, L, 512) -> aligned parameters of N heads.

        Expressions are clamped to 0–1, gradients pass the clamp so that a stuck one can return.
        """
        parameters = RigParameters.from_vector(self.vector(w), face)
        inside = parameters.expression + (parameters.expression.clamp(0, 1) - parameters.expression).detach()
        return align(face, parameters.replace(expression=inside))

    def save(self, path: Path, header: dict) -> Path:
        shape = {"layers": self.layers, "width": self.width, "sizes": self.sizes, "hidden": self.hidden,
                 "linear": self.linear}  # fmt: skip
        return save_network(self, path, "reconstruction", {**header, "shape": shape})

    @classmethod
    def load(cls, path: Path) -> Reconstruction:
        header, state = read_network(path, "reconstruction")
        network = cls(**header["shape"])
        network.header = header
        return fill_network(network, state, path)
