"""The morphable face model that every source (ours or imported) becomes."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.errors import StyleRigError

HASHED = ("mean", "identity", "expression", "albedo_mean", "albedo", "triangles", "landmarks")


@dataclass(eq=False)
class FaceModel:
    """A linear 3DMM: shape = mean + identity·α + expression·δ, albedo = albedo_mean + albedo·β.

    Model space: right-handed, y up, the face looks along +z, x to the face's left, centimetres.
    Albedo is linear RGB. Weights α and β are N(0, 1) in the population, δ lies in 0–1.
    """

    mean: Tensor  # (V, 3)
    identity: Tensor  # (K, V, 3)
    expression: Tensor  # (E, V, 3)
    expression_names: list[str]
    albedo_mean: Tensor  # (V, 3)
    albedo: Tensor  # (B, V, 3)
    triangles: Tensor  # (F, 3) int64
    landmarks: Tensor  # (68,) int64 vertex indices, Multi-PIE order
    eye_centers: Tensor  # (2, 3) left, right, on the mean
    identity_eye_centers: Tensor  # (K, 2, 3) change per identity mode
    quads: Tensor | None = None  # (Q, 4) int64; -1 in the last column marks a triangle
    uv: Tensor | None = None  # (T, 2), v up
    uv_triangles: Tensor | None = None  # (F, 3) int64 into uv
    uv_quads: Tensor | None = None  # (Q, 4) int64 into uv
    masks: dict[str, Tensor] = field(default_factory=dict)  # (V,) 0–1
    groups: dict[str, Tensor] = field(default_factory=dict)  # (V,) vertex-group weights

    proxy: FaceModel | None = None  # the same parameters on a coarser mesh
    name: str = "face"
    identity_names: list[str] = field(default_factory=list)  # K, where the source names its modes
    reflectance_names: list[str] = field(default_factory=list)  # B
    albedo_floor: float = 0.0  # no weights make albedo darker than this share of the mean: keeps the hue of dark skin
    scales: dict[str, Tensor] = field(default_factory=dict)  # "identity" (K,), …: RMS change at weight 1, cm or albedo
    licence: str = ""  # what a person must know before using the model; empty for ours
    notes: list[str] = field(default_factory=list)  # what the source lacked and where it was taken from

    def vertices(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Vertices (N, V, 3) for identity weights (N, K) and expression weights (N, E)."""
        moved = identity @ self.identity.flatten(1) + expression @ self.expression.flatten(1)
        return self.mean + moved.unflatten(1, (-1, 3))

    def neutral(self, identity: Tensor) -> Tensor:
        """Vertices (N, V, 3) without expression for identity weights (N, K)."""
        return self.mean + (identity @ self.identity.flatten(1)).unflatten(1, (-1, 3))

    def expression_weights(self, values: Mapping[str, float]) -> Tensor:
        """Expression weights (1, E) from values by name; StyleRigError names an expression that there is not."""
        weights = self.mean.new_zeros(1, len(self.expression_names))
        for name, value in values.items():
            if name not in self.expression_names:
                near = difflib.get_close_matches(name, self.expression_names, n=3)
                hint = f"Did you mean {', '.join(near)}?" if near else f"It has {', '.join(self.expression_names)}."
                raise StyleRigError(f"The face model {self.name} has no expression {name}.", hint)
            weights[0, self.expression_names.index(name)] = value
        return weights

    def albedo_for(self, reflectance: Tensor) -> Tensor:
        """Per-vertex linear albedo (N, V, 3) for reflectance weights (N, B), kept above black."""
        change = (reflectance @ self.albedo.flatten(1)).unflatten(1, (-1, 3))
        return torch.maximum(self.albedo_mean + change, (self.albedo_floor * self.albedo_mean).clamp(min=0.005))

    def eyes_for(self, identity: Tensor) -> Tensor:
        """Eyeball centres (N, 2, 3), left then right, for identity weights (N, K)."""
        change = (identity @ self.identity_eye_centers.flatten(1)).unflatten(1, (2, 3))
        return self.eye_centers + change

    def content_hash(self) -> str:
        """SHA-256 of the numbers that a picture of this head depends on, those of its proxy too."""
        digest = hashlib.sha256(repr((self.expression_names, self.albedo_floor)).encode())
        for key in HASHED:
            value = getattr(self, key)
            digest.update(f"{key} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy())
        if self.proxy is not None:
            digest.update(self.proxy.content_hash().encode())
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> FaceModel:
        """The same model with its tensors on ``device``."""
        moved = {key: move(value, device) for key, value in vars(self).items()}
        return FaceModel(**moved)


def needed(values: Tensor | None, what: str) -> Tensor:
    """A part that not every face model has; StyleRigError, saying ``what``, where it is missing."""
    if values is None:
        raise StyleRigError(f"This face model has no {what}.", "Use our own head, or a model whose file holds them.", code="bad_face_model")
    return values


def move(value: Any, device: torch.device | str) -> Any:
    """Move a tensor, a dict of tensors or a FaceModel; leave anything else."""
    if isinstance(value, (Tensor, FaceModel)):
        return value.to(device)
    if isinstance(value, dict):
        return {key: move(item, device) for key, item in value.items()}
    return value
